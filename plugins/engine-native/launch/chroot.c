/* SPDX-License-Identifier: Apache-2.0 */
/* chroot.c - lets a launcher that runs as real root inside a chroot make user namespaces.
 *
 * The kernel refuses them to a process whose root is not its mount namespace's (current_chrooted).
 * In a mount namespace of our own we make the chroot's tree the root for good: nothing outside of
 * it is reachable afterwards, as before. A normal user cannot do that; he gets the refusal and its
 * remedy. */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Moves this process's root to the root of its mount namespace: a process that has chrooted again
 * stands outside of its root, and ".." leads up to the top. */
static int climb(void)
{
    struct stat st, up;
    int out = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (out < 0)
        return errno;
    int sys = chroot("proc") < 0 && chroot("tmp") < 0 ? errno : 0;
    if (!sys && fchdir(out) < 0)
        sys = errno;
    close(out);
    for (int i = 0; i < 4096 && !sys; i++) {
        if (stat(".", &st) < 0 || stat("..", &up) < 0)
            sys = errno;
        else if (st.st_ino == up.st_ino && st.st_dev == up.st_dev)
            break;
        else if (chdir("..") < 0)
            sys = errno;
    }
    return sys ? sys : chroot(".") < 0 ? errno : 0;
}

/* Root's own view of what the chroot has not: without a visible proc and sysfs none can be made in
 * a workspace. */
static int add_kernel_views(void)
{
    if (access("/proc/self/stat", F_OK) < 0
        && mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        return errno;
    if (access("/sys/kernel", F_OK) < 0
        && mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL) < 0)
        return errno;
    return 0;
}

int chroot_leave(void)
{
    static const char *const places[] = { "/tmp", "/mnt", "/usr" };
    if (unshare(CLONE_NEWNS) < 0)
        return errno;
    int tree = (int)syscall(SYS_open_tree, AT_FDCWD, "/",
                            OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    if (tree < 0)
        return errno;
    int sys = climb();
    if (!sys && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        sys = errno;
    int placed = 0;
    for (size_t i = 0; i < 3 && !sys && !placed; i++)
        placed =
            syscall(SYS_move_mount, tree, "", AT_FDCWD, places[i], MOVE_MOUNT_F_EMPTY_PATH) == 0;
    if (!sys && !placed)
        sys = errno;
    /* The clone keeps the propagation of what it copied: cut it, then make it the root. */
    if (!sys && fchdir(tree) < 0)
        sys = errno;
    close(tree);
    if (!sys && mount(NULL, ".", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        sys = errno;
    if (!sys
        && (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0
            || chdir("/") < 0))
        sys = errno;
    return sys ? sys : add_kernel_views();
}
