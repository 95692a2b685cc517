/* SPDX-License-Identifier: Apache-2.0 */
/* namespaces.h - a process in namespaces of its own, and what is done there before the program:
 * all read-only but some places, /proc anew, paths hidden, the loopback interface, a listener for
 * outside.
 *
 * With CAP_SYS_ADMIN they are made directly, else within a user namespace that maps the caller's
 * own user and group only. Where that cannot be had (sysctl, LSM, container), the call fails and
 * says which; nothing is left behind. Sources: namespaces(7), user_namespaces(7),
 * mount_namespaces(7). */
#ifndef NT_ENFORCE_NAMESPACES_H
#define NT_ENFORCE_NAMESPACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define ENFORCE_SPACE_MOUNT 1u
#define ENFORCE_SPACE_PID 2u
#define ENFORCE_SPACE_NETWORK 4u
#define ENFORCE_SPACE_IPC 8u

/* Like fork, with the child in new namespaces (private mount propagation; a user namespace when
 * needed, its maps written): *ret_pid 0 in the child, else its pid and a pidfd of it. 0 or errno;
 * *ret_why is then a remedy, half a sentence. Without SPACES it is a fork with a pidfd.
 *
 * The caller has one thread; handlers of pthread_atfork do not run. Returns in the caller when the
 * child has what it needs. A caller that is not dumpable stays so, and its child is not either. */
int enforce_spaces_fork(uint32_t spaces, pid_t *ret_pid, int *ret_pidfd, const char **ret_why);

/* What of SPACES can be had here, found by trying in a child that ends at once. For reports; a
 * start simply tries. */
uint32_t enforce_spaces_probe(uint32_t spaces, const char **ret_why);

/* --- in the child; 0 or errno ---------------------------------------------------------------- */

/* A new /proc that shows this PID namespace only (mount and PID namespaces of its own are needed).
 * EPERM where the old one is masked (containers). Descriptors of the old /proc still lead there. */
int enforce_spaces_proc(bool is_readonly);

/* A file or folder that stays as it is when the rest becomes read-only. */
struct enforce_place {
    const char *path; /* canonical */
    int fd;           /* any descriptor of what it was, also of outside */
    int at, tree;     /* the library's own */
};

/* Makes all that is mounted in this mount namespace read-only but for PLACES and what lies beneath
 * them: also modes, owners, times and attributes of files cannot be changed then. Files of devices,
 * sockets and pipes that exist are written all the same. What is at the path of a place by now and
 * is not what `fd` was stays read-only. It is tried: ENOTRECOVERABLE when that goes through.
 *
 * EOPNOTSUPP: it cannot be had here, and nothing has changed (Linux 5.12; filters of containers).
 * Before enforce_spaces_proc and enforce_spaces_hide. Each place is a mount of its own from then
 * on: no link and no renaming between two that do not lie in each other (EXDEV). */
int enforce_spaces_readonly(struct enforce_place *places, size_t count);

/* Whether the calls for it are there: for reports. */
bool enforce_spaces_has_readonly(void);

/* A new /dev/pts: the terminals in it are those that are made in this mount namespace. Of the old
 * one KEPT, with paths such as /dev/pts/4, are there under their names, as far as these are below
 * 256 and while the descriptors RET_HELD, one for each or -1, are open. After
 * enforce_spaces_readonly. EPERM and others: it cannot be had here, and nothing has changed. */
int enforce_spaces_terminals(struct enforce_place *kept, size_t count, int *ret_held);

/* Puts something empty, read-only and inaccessible over each of PATHS, files and folders, in this
 * mount namespace. They are canonical: a symbolic link in one is ELOOP. What is not there is passed
 * over. *ret_failed: the index of the one that failed. Paths and not descriptors: one that was
 * opened before the namespace was made names the mount of another.
 *
 * It holds against everybody inside, if they cannot rename a folder above it: see
 * enforce_spaces_pin. A process outside that renames another file over a hidden one, or removes it,
 * takes the cover away: see enforce_spaces_watch. */
int enforce_spaces_hide(const char *const *paths, size_t count, size_t *ret_failed);

/* Makes each of PATHS, folders, a mount of its own where it is none yet: nobody inside renames it
 * from then on, and makes another in its place where nothing would be hidden. They are canonical, a
 * folder stands before those in it. What is not there is passed over. Between a pinned folder and
 * the rest nothing is linked or renamed (EXDEV). */
int enforce_spaces_pin(const char *const *paths, size_t count);

/* Watches the folders that hold PATHS, from before they are hidden: *ret_fd is readable when a name
 * has appeared in one of them, which may have taken a cover away. EMFILE, ENOSPC: raise
 * fs.inotify.max_user_instances or max_user_watches. */
int enforce_spaces_watch(const char *const *paths, size_t count, int *ret_fd);
/* More of them. */
int enforce_spaces_watch_too(int fd, const char *const *paths, size_t count);

/* Reads that descriptor empty, pins those of PINNED again that somebody outside has made anew, and
 * watches what is in them now; then hides those of PATHS again that are bare; *ret_again: how many.
 * Between the act outside and this a program inside can read what is new under the name: the time
 * that the caller needs to wake up. ELOOP: a symbolic link stands there now, which cannot be
 * covered. Then, and when it is not known what stands there (EMFILE), the program should be ended.
 */
int enforce_spaces_hide_again(int fd, const char *const *pinned, size_t pinned_count,
                              const char *const *paths, size_t count, size_t *ret_again);

/* Puts FILE, read-only, over each of PATHS, files that are there. With WATCH, of
 * enforce_spaces_watch, it is read empty, and those are covered again that somebody outside has
 * made anew; -1: at first. Between the act outside and this the new file itself can be executed
 * inside. */
int enforce_spaces_cover(int watch, const char *file, const char *const *paths, size_t count,
                         size_t *ret_failed);

/* Brings `lo` up. */
int enforce_spaces_loopback(void);

/* A TCP listener on 127.0.0.1 (port 0: any; *port becomes what it is) in this network namespace. */
int enforce_spaces_listen(uint16_t *port, int *ret_fd);

/* --- for those who make namespaces their own way ------------------------------------------------
 */

/* clone3 as a fork: FLAGS of clone(2), child in the control group GROUP (-1: the caller's), a pidfd
 * (NULL: none). What fork returns, -1 with errno. */
long enforce_spaces_clone(uint64_t flags, int group, int *ret_pidfd);

/* Maps of a user namespace whose process is PID: one user and one group, none else. */
int enforce_spaces_map(pid_t pid, uid_t inside, uid_t outside, gid_t inside_group,
                       gid_t outside_group);

/* What to do about a clone that failed with SYS: half a sentence, never NULL. */
const char *enforce_spaces_remedy(int sys);

#endif
