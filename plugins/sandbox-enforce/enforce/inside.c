/* SPDX-License-Identifier: Apache-2.0 */
/* inside.c - what is done in new namespaces before the program: /proc, hidden paths, loopback. */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/openat2.h>

#include "namespaces.h"

#define LISTEN_QUEUE 128

int enforce_spaces_proc(void)
{
    return mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0 ? errno : 0;
}

/* --- hiding -------------------------------------------------------------------------------- */

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

static int cover(int blank, const char *path)
{
    /* With links refused, nobody puts another path in its place meanwhile. */
    const struct open_how how = { .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
                                  .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
    struct stat st;
    int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how)), sys = 0, tree = -1;
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : errno;
    if (fstat(fd, &st) < 0)
        sys = errno;
    else if (S_ISLNK(st.st_mode))
        sys = ELOOP;
    if (!sys
        && (tree = (int)syscall(SYS_open_tree, blank, S_ISDIR(st.st_mode) ? "folder" : "file",
                                OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC))
               < 0)
        sys = errno;
    if (!sys
        && syscall(SYS_move_mount, tree, "", fd, "",
                   MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH)
               < 0)
        sys = errno;
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

/* --- network ------------------------------------------------------------------------------- */

int enforce_spaces_loopback(void)
{
    struct ifreq request = { .ifr_name = "lo" };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), sys = 0;
    if (fd < 0)
        return errno;
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
        sys = errno;
    close(fd);
    return sys;
}

int enforce_spaces_listen(uint16_t *port, int *ret_fd)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(*port),
                                   .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    if (bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, LISTEN_QUEUE) < 0
        || getsockname(fd, (struct sockaddr *)&address, &size) < 0) {
        int sys = errno;
        close(fd);
        return sys;
    }
    *port = ntohs(address.sin_port);
    *ret_fd = fd;
    return 0;
}
