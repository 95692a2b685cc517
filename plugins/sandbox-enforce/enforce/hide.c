/* SPDX-License-Identifier: Apache-2.0 */
/* hide.c - puts something empty over paths in this mount namespace, keeps the folders above them in
 * their places, and does it again when somebody outside has taken it away: a rename over a covered
 * name detaches what covers it, in every namespace but that of whoever renames (measured on 6.18;
 * mount_namespaces(7)). */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/openat2.h>

#include "layers.h"
#include "namespaces.h"

#define PATH_BYTES 4096
/* A name appears in a watched folder, by whatever way. */
#define APPEARS (IN_CREATE | IN_MOVED_TO | IN_ONLYDIR)

#ifndef STATX_ATTR_MOUNT_ROOT
#define STATX_ATTR_MOUNT_ROOT 0x2000
#endif

/* A mounted tmpfs, not attached anywhere yet: *ret is its root. */
static int new_blank(int *ret)
{
    int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC), sys = 0;
    if (fs < 0)
        return errno;
    if (syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "size", "4k", 0) < 0
        || syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "nr_inodes", "4", 0) < 0
        || syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "mode", "0700", 0) < 0
        || syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0
        || (*ret = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC,
                                MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC))
               < 0)
        sys = errno;
    close(fs);
    return sys;
}

/* What covers: a file and a folder without any mode. Nobody inside changes that: it is read-only.
 */
static int fill_blank(int blank)
{
    struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
    int file = openat(blank, "file", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0);
    if (file < 0)
        return errno;
    close(file);
    if (mkdirat(blank, "folder", 0) < 0)
        return errno;
    return syscall(SYS_mount_setattr, blank, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0 ? errno
                                                                                         : 0;
}

/* Of a path that is there: its kind, and whether it is the root of a mount already. 0, ENOENT. */
static int look(int fd, bool *ret_is_folder, bool *ret_is_mounted)
{
    struct statx st;
    if (statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_TYPE, &st) < 0)
        return errno;
    if (S_ISLNK(st.stx_mode))
        return ELOOP;
    *ret_is_folder = S_ISDIR(st.stx_mode);
    *ret_is_mounted = st.stx_attributes & STATX_ATTR_MOUNT_ROOT;
    return 0;
}

int spaces_open_path(const char *path)
{
    /* With links refused, nobody puts another path in its place meanwhile. */
    const struct open_how how = { .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
                                  .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
    return (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
}

int spaces_attach(int tree, int at)
{
    return syscall(SYS_move_mount, tree, "", at, "",
                   MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH)
                   < 0
               ? errno
               : 0;
}

static bool is_absent(int sys)
{
    return sys == ENOENT || sys == ENOTDIR;
}

static int cover(int blank, const char *path)
{
    bool is_folder, is_mounted;
    int fd = spaces_open_path(path), tree = -1;
    if (fd < 0)
        return is_absent(errno) ? 0 : errno;
    int sys = look(fd, &is_folder, &is_mounted);
    if (!sys
        && (tree = (int)syscall(SYS_open_tree, blank, is_folder ? "folder" : "file",
                                OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC))
               < 0)
        sys = errno;
    sys = sys ? sys : spaces_attach(tree, fd);
    if (tree >= 0)
        close(tree);
    close(fd);
    return sys;
}

/* Up to Linux 6.14 only what is attached can be cloned: it stands on "/" meanwhile, where paths do
 * not lead, and is taken away by its descriptor. */
int enforce_spaces_hide(const char *const *paths, size_t count, size_t *ret_failed)
{
    int blank = -1;
    *ret_failed = 0;
    if (!count)
        return 0;
    int sys = new_blank(&blank);
    if (!sys)
        sys = fill_blank(blank);
    if (!sys && syscall(SYS_move_mount, blank, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
        sys = errno;
    if (!sys) {
        char place[32];
        for (size_t i = 0; i < count && !sys; i++)
            if ((sys = cover(blank, paths[i])) != 0)
                *ret_failed = i;
        snprintf(place, sizeof(place), "/proc/self/fd/%d", blank);
        if (umount2(place, MNT_DETACH) < 0 && !sys)
            sys = errno;
    }
    if (blank >= 0)
        close(blank);
    return sys;
}

/* --- the folders above ----------------------------------------------------------------------- */

/* 0 also when there is nothing, or a mount already. */
static int pin(const char *path, size_t *pinned)
{
    bool is_folder, is_mounted;
    int fd = spaces_open_path(path), tree = -1;
    if (fd < 0)
        return is_absent(errno) ? 0 : errno;
    int sys = look(fd, &is_folder, &is_mounted);
    if (sys || !is_folder || is_mounted) {
        close(fd);
        return sys;
    }
    tree = (int)syscall(SYS_open_tree, fd, "",
                        OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
    sys = tree < 0 ? errno : spaces_attach(tree, fd);
    if (tree >= 0)
        close(tree);
    close(fd);
    *pinned += !sys;
    return sys;
}

int enforce_spaces_pin(const char *const *paths, size_t count)
{
    size_t pinned = 0;
    int sys = 0;
    for (size_t i = 0; i < count && !sys; i++)
        sys = pin(paths[i], &pinned);
    return sys;
}

/* --- again --------------------------------------------------------------------------------- */

int enforce_spaces_watch_too(int fd, const char *const *paths, size_t count)
{
    char folder[PATH_BYTES];
    int sys = 0;
    for (size_t i = 0; i < count && !sys; i++) {
        const char *slash = strrchr(paths[i], '/');
        size_t size = slash ? (size_t)(slash - paths[i]) : 0;
        if (size >= sizeof(folder)) {
            sys = ENAMETOOLONG;
            continue;
        }
        memcpy(folder, paths[i], size);
        memcpy(folder + size, size ? "" : "/", size ? 1 : 2);
        /* The same folder twice is one watch. */
        if (inotify_add_watch(fd, folder, APPEARS) < 0 && !is_absent(errno))
            sys = errno;
    }
    return sys;
}

int enforce_spaces_watch(const char *const *paths, size_t count, int *ret_fd)
{
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (fd < 0)
        return errno;
    int sys = enforce_spaces_watch_too(fd, paths, count);
    if (sys)
        close(fd);
    else
        *ret_fd = fd;
    return sys;
}

/* true when something is there that nothing covers, or when that is not known: somebody inside may
 * have taken our descriptors away (prlimit). */
static bool is_bare(const char *path)
{
    bool is_folder, is_mounted;
    int fd = spaces_open_path(path);
    if (fd < 0)
        return !is_absent(errno);
    int sys = look(fd, &is_folder, &is_mounted);
    close(fd);
    return sys || !is_mounted;
}

/* Folders that are others by now have watches of their own. */
static int pin_again(int fd, const char *const *pinned, size_t pinned_count,
                     const char *const *paths, size_t count)
{
    size_t again = 0;
    int sys = 0;
    for (size_t i = 0; i < pinned_count && !sys; i++)
        sys = pin(pinned[i], &again);
    if (sys || !again)
        return sys;
    sys = enforce_spaces_watch_too(fd, pinned, pinned_count);
    return sys ? sys : enforce_spaces_watch_too(fd, paths, count);
}

int enforce_spaces_hide_again(int fd, const char *const *pinned, size_t pinned_count,
                              const char *const *paths, size_t count, size_t *ret_again)
{
    char events[PATH_BYTES];
    size_t failed;
    *ret_again = 0;
    while (read(fd, events, sizeof(events)) > 0) { /* which does not matter: all are looked at */
    }
    int sys = pin_again(fd, pinned, pinned_count, paths, count);
    for (size_t i = 0; i < count && !sys; i++) {
        if (!is_bare(paths[i]))
            continue;
        sys = enforce_spaces_hide(paths + i, 1, &failed);
        *ret_again += !sys;
    }
    return sys;
}
