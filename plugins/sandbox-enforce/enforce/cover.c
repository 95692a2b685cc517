/* SPDX-License-Identifier: Apache-2.0 */
/* cover.c - puts one file over others in this mount namespace: who opens or executes one of them
 * there gets that. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "layers.h"
#include "namespaces.h"

/* A mount of FILE that nobody can write by. */
static int clone_file(int file, int *ret)
{
    const struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
    int tree =
        (int)syscall(SYS_open_tree, file, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    if (tree < 0)
        return errno;
    if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0) {
        int sys = errno;
        close(tree);
        return sys;
    }
    *ret = tree;
    return 0;
}

static int cover(int file, const struct stat *st, const char *path, bool may_be_missing)
{
    struct stat there;
    int tree = -1, sys = 0;
    int at = spaces_open_path(path);
    if (at < 0)
        return may_be_missing && (errno == ENOENT || errno == ENOTDIR) ? 0 : errno;
    if (fstat(at, &there) < 0)
        sys = errno;
    else if (S_ISLNK(there.st_mode))
        sys = ELOOP;
    else if (there.st_dev != st->st_dev || there.st_ino != st->st_ino)
        sys = clone_file(file, &tree);
    if (!sys && tree >= 0)
        sys = spaces_attach(tree, at);
    if (tree >= 0)
        close(tree);
    close(at);
    return sys;
}

int enforce_spaces_cover(int watch, const char *file, const char *const *paths, size_t count,
                         size_t *ret_failed)
{
    char events[4096];
    struct stat st;
    *ret_failed = 0;
    while (watch >= 0 && read(watch, events, sizeof(events)) > 0) {
    }
    int fd = spaces_open_path(file);
    if (fd < 0)
        return errno;
    int sys = fstat(fd, &st) < 0 ? errno : 0;
    for (size_t i = 0; i < count && !sys; i++) {
        *ret_failed = i;
        sys = cover(fd, &st, paths[i], watch >= 0);
    }
    close(fd);
    return sys;
}
