/* SPDX-License-Identifier: Apache-2.0 */
/* root.c - builds the root of the workspace in the child, then leaves the host's behind.
 *
 * Order matters. proc and sysfs are mounted while the host's are still there: in a user namespace
 * the kernel allows a new one only where an old one is fully visible (mount_too_revealing). Only
 * then is the old root detached. */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A file system in memory may take so much of the workspace's memory, or of the machine's: what
 * lies there is held by nobody who could be killed for it. Together they leave room for programs.
 */
static void memory_options(const struct launch *l, const char *mode, unsigned percent, char *ret,
                           size_t size)
{
    if (l->limits.memory_bytes)
        snprintf(ret, size, "mode=%s,size=%llu,nr_inodes=1000000", mode,
                 (unsigned long long)(l->limits.memory_bytes / 100 * percent));
    else
        snprintf(ret, size, "mode=%s,size=%u%%,nr_inodes=1000000", mode, percent);
}

/* Where the tree stands until it becomes the root: any folder that every host has. */
static const char *const places[] = { "/tmp", "/mnt", "/usr" };

int root_private(struct launch *l)
{
    /* What the host mounts or unmounts later must not travel, in either direction. */
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return errno;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]) && !l->at; i++) {
        struct stat st;
        if (stat(places[i], &st) == 0 && S_ISDIR(st.st_mode))
            l->at = places[i];
    }
    return l->at ? 0 : ENOENT;
}

static int overlay_set(int fs, const char *key, const char *value)
{
    return syscall(SYS_fsconfig, fs, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, key, value, 0)
                   < 0
               ? errno
               : 0;
}

/* Opens a folder beneath a tree without following links; it stays open until the overlay is
 * there. */
static int open_in(int tree, const char *name)
{
    return openat(tree, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* An overlay of the layer's folder NAME over up to two lower folders, put at `at`. Paths are given
 * as /proc/self/fd/N: no length limit, no characters to escape. */
static int overlay(struct launch *l, const char *name, int lower, int lower2, const char *at)
{
    char text[128], work[80];
    snprintf(work, sizeof(work), "work-%.64s", name);
    int upper_fd = open_in(l->layer_fd, name), work_fd = open_in(l->layer_fd, work), fs = -1,
        tree = -1, sys = 0;
    if (upper_fd < 0 || work_fd < 0)
        sys = errno;
    if (!sys && (fs = (int)syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC)) < 0)
        sys = errno;
    if (lower2 >= 0)
        snprintf(text, sizeof(text), "/proc/self/fd/%d:/proc/self/fd/%d", lower, lower2);
    else
        snprintf(text, sizeof(text), "/proc/self/fd/%d", lower);
    if (!sys)
        sys = overlay_set(fs, "lowerdir", text);
    snprintf(text, sizeof(text), "/proc/self/fd/%d", upper_fd);
    if (!sys)
        sys = overlay_set(fs, "upperdir", text);
    snprintf(text, sizeof(text), "/proc/self/fd/%d", work_fd);
    if (!sys)
        sys = overlay_set(fs, "workdir", text);
    if (!sys)
        sys = overlay_set(fs, "userxattr", NULL);
    if (!sys && syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        sys = errno;
    if (!sys
        && (tree = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC,
                                MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV))
               < 0)
        sys = errno;
    if (!sys && syscall(SYS_move_mount, tree, "", AT_FDCWD, at, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        sys = errno;
    int all[] = { upper_fd, work_fd, fs, tree };
    for (size_t i = 0; i < 4; i++)
        if (all[i] >= 0)
            close(all[i]);
    return sys;
}

int root_overlay(struct launch *l)
{
    int lower = open_in(l->image_fd, "root");
    if (lower < 0)
        return errno;
    int sys = overlay(l, "root", lower, -1, l->at);
    close(lower);
    if (!sys && chdir(l->at) < 0)
        sys = errno;
    return sys;
}

int root_layers(struct launch *l)
{
    for (uint32_t i = 0; i < l->layer_count; i++) {
        int lower = open_in(l->image_fd, l->layers[i]);
        if (lower < 0)
            return errno;
        int sys = overlay(l, l->layers[i], lower, l->host_fds[i], l->layers[i]);
        close(lower);
        if (sys)
            return sys;
    }
    return 0;
}

static int bind_device(const char *name)
{
    char host[64], here[64];
    snprintf(host, sizeof(host), "/dev/%s", name);
    snprintf(here, sizeof(here), "dev/%s", name);
    int fd = open(here, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return errno;
    close(fd);
    if (mount(host, here, NULL, MS_BIND, NULL) < 0)
        return errno;
    struct mount_attr attr = { .attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC };
    return syscall(SYS_mount_setattr, AT_FDCWD, here, 0, &attr, sizeof(attr)) < 0 ? errno : 0;
}

int root_devices(struct launch *l)
{
    static const char *const devices[] = { "null", "zero", "full", "random", "urandom", "tty" };
    static const char *const links[][2] = {
        { "/proc/self/fd", "dev/fd" },       { "/proc/self/fd/0", "dev/stdin" },
        { "/proc/self/fd/1", "dev/stdout" }, { "/proc/self/fd/2", "dev/stderr" },
        { "pts/ptmx", "dev/ptmx" },
    };
    if (mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755,size=64k,nr_inodes=64") < 0)
        return errno;
    for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++) {
        int sys = bind_device(devices[i]);
        if (sys)
            return sys;
    }
    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
        if (symlink(links[i][0], links[i][1]) < 0)
            return errno;
    if (mkdir("dev/pts", 0755) < 0 || mkdir("dev/shm", 01777) < 0 || mkdir("dev/mqueue", 01777) < 0)
        return errno;
    if (mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
              "newinstance,ptmxmode=0666,mode=620,max=256")
        < 0)
        return errno;
    char options[96];
    memory_options(l, "1777", 25, options, sizeof(options));
    return mount("tmpfs", "dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, options) < 0 ? errno : 0;
}

int root_kernel(struct launch *l)
{
    (void)l;
    if (mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        return errno;
    return mount("sysfs", "sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL) < 0
               ? errno
               : 0;
}

int root_temporary(struct launch *l)
{
    char options[96];
    memory_options(l, "1777", 50, options, sizeof(options));
    if (mount("tmpfs", "tmp", "tmpfs", MS_NOSUID | MS_NODEV, options) < 0)
        return errno;
    memory_options(l, "755", 10, options, sizeof(options));
    if (mount("tmpfs", "run", "tmpfs", MS_NOSUID | MS_NODEV, options) < 0)
        return errno;
    if (mkdir("run/nanoterm", 0755) < 0 || mkdir("run/lock", 01777) < 0)
        return errno;
    /* By this mark nanoterm knows that it is inside a workspace. */
    int fd = open("run/nanoterm/workspace", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    if (fd < 0)
        return errno;
    size_t size = strlen(l->id);
    int sys = write(fd, l->id, size) == (ssize_t)size && write(fd, "\n", 1) == 1 ? 0 : EIO;
    close(fd);
    return sys;
}

int root_packages(struct launch *l)
{
    if (l->dpkg_fd < 0)
        return 0;
    return syscall(SYS_move_mount, l->dpkg_fd, "", AT_FDCWD, "var/lib/dpkg",
                   MOVE_MOUNT_F_EMPTY_PATH)
                   < 0
               ? errno
               : 0;
}

int root_pivot(struct launch *l)
{
    (void)l;
    /* The old root ends up on top of the new one, at the same place, and is taken away there
     * (pivot_root(2)). */
    if (chdir(l->at) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
        return errno;
    if (umount2(".", MNT_DETACH) < 0)
        return errno;
    return chdir("/") < 0 ? errno : 0;
}

int root_pivot_verify(struct launch *l)
{
    /* Nothing of the host's may be left: the workspace's folder is not there, the mark is. */
    struct stat st;
    if (stat(l->workspace, &st) == 0)
        return ENOTRECOVERABLE;
    return stat("/run/nanoterm/workspace", &st) < 0 ? errno : 0;
}
