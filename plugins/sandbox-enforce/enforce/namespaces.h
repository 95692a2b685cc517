/* SPDX-License-Identifier: Apache-2.0 */
/* namespaces.h - a process in namespaces of its own, and what is done there before the program:
 * /proc anew, paths hidden, the loopback interface, a listener for outside.
 *
 * With CAP_SYS_ADMIN they are made directly, else within a user namespace that maps the caller's
 * own user and group only. Where that cannot be had (sysctl, LSM, container), the call fails and
 * says which; nothing is left behind. Sources: namespaces(7), user_namespaces(7),
 * mount_namespaces(7). */
#ifndef NT_ENFORCE_NAMESPACES_H
#define NT_ENFORCE_NAMESPACES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define ENFORCE_SPACE_MOUNT 1u
#define ENFORCE_SPACE_PID 2u
#define ENFORCE_SPACE_NETWORK 4u
#define ENFORCE_SPACE_IPC 8u

/* Like fork, with the child in new namespaces (private mount propagation; a user namespace when
 * needed, its maps written): *ret_pid 0 in the child, else its pid and a pidfd of it. 0 or errno;
 * *ret_why is then a remedy, half a sentence. */
int enforce_spaces_fork(uint32_t spaces, pid_t *ret_pid, int *ret_pidfd, const char **ret_why);

/* What of SPACES can be had here, found by trying in a child that ends at once. For reports; a
 * start simply tries. */
uint32_t enforce_spaces_probe(uint32_t spaces, const char **ret_why);

/* --- in the child; 0 or errno ---------------------------------------------------------------- */

/* A new /proc that shows this PID namespace only. EPERM where the old one is masked (containers).
 */
int enforce_spaces_proc(void);

/* Puts an empty, read-only, inaccessible file or folder over what FD (O_PATH) names. */
int enforce_spaces_hide(int fd);

/* Brings `lo` up. */
int enforce_spaces_loopback(void);

/* A TCP listener on 127.0.0.1 (port 0: any; *port becomes what it is) in this network namespace. */
int enforce_spaces_listen(uint16_t *port, int *ret_fd);

#endif
