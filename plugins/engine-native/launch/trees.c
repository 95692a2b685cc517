/* SPDX-License-Identifier: Apache-2.0 */
/* trees.c - opens the folders that become the workspace's root, and maps their owner.
 *
 * Rootless the child opens them itself, in its own mount namespace, as the user. As host root the
 * workspace's uid cannot reach them (the data folder is root's alone), so the launcher clones them
 * as detached mounts while it is still privileged and puts an id map on those that belong to
 * DISK_UID; the child only gets the descriptors. */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MOUNT_ATTR_IDMAP
#define MOUNT_ATTR_IDMAP 0x00100000
#endif

static int set_attr(int fd, uint64_t set, uint64_t userns)
{
    struct mount_attr attr = { .attr_set = set, .userns_fd = userns };
    return syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0 ? errno : 0;
}

/* A detached copy of one mount, with those attributes. */
static int clone_tree(const char *path, uint64_t attributes, int *ret)
{
    int fd = (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (fd < 0)
        return errno;
    int sys = set_attr(fd, attributes, 0);
    if (sys) {
        close(fd);
        return sys;
    }
    *ret = fd;
    return 0;
}

int trees_open(struct launch *l)
{
    char path[4096];
    int sys = clone_tree(l->image, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, &l->image_fd);
    if (!sys && snprintf(path, sizeof(path), "%s/layer", l->workspace) >= (int)sizeof(path))
        sys = ENAMETOOLONG;
    if (!sys)
        sys = clone_tree(path, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, &l->layer_fd);
    if (!sys && snprintf(path, sizeof(path), "%s/jobs", l->workspace) < (int)sizeof(path))
        sys =
            clone_tree(path, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, &l->jobs_fd);
    /* On a read-only mount: the program runs as the owner of the file when rootless, and
     * /proc/1/exe would let it be opened for writing otherwise. */
    if (!sys)
        sys = clone_tree(l->guest, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
                         &l->guest_fd);
    if (sys || !(l->flags & PLAN_HOST_IMAGE))
        return sys;
    for (uint32_t i = 0; i < l->layer_count && !sys; i++) {
        if (snprintf(path, sizeof(path), "/%s", l->layers[i]) >= (int)sizeof(path))
            return ENAMETOOLONG;
        sys = clone_tree(path, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
                         &l->host_fds[i]);
    }
    if (!sys)
        sys =
            clone_tree("/var/lib/dpkg",
                       MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
                       &l->dpkg_fd);
    return sys == ENOENT ? 0 : sys;
}

/* An overlay takes only layers of the caller's own mount namespace, or of one that it has power
 * over: as root the trees are another's until they are attached here. Where does not matter; all
 * goes with the old root. */
int trees_attach(struct launch *l)
{
    int *fds[] = { &l->image_fd, &l->layer_fd };
    for (size_t i = 0; i < 2 + (size_t)l->layer_count; i++) {
        int fd = i < 2 ? *fds[i] : l->host_fds[i - 2];
        if (fd >= 0
            && syscall(SYS_move_mount, fd, "", AT_FDCWD, l->at, MOVE_MOUNT_F_EMPTY_PATH) < 0)
            return errno;
    }
    return 0;
}

int trees_map(struct launch *l, int userns_fd)
{
    int sys = set_attr(l->image_fd, MOUNT_ATTR_IDMAP, (uint64_t)userns_fd);
    if (!sys)
        sys = set_attr(l->layer_fd, MOUNT_ATTR_IDMAP, (uint64_t)userns_fd);
    if (!sys)
        sys = set_attr(l->jobs_fd, MOUNT_ATTR_IDMAP, (uint64_t)userns_fd);
    return sys;
}
