/* SPDX-License-Identifier: Apache-2.0 */
/* remove.c - takes away a tree of any depth with few descriptors; see copy.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "plugins/guest/copy/copy.h"

#define DEPTH 64

struct removal {
    int dir; /* where the tree lies: what is too deep is moved there */
    unsigned number;
};

static int open_folder(int dir, const char *name)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(dir, name, flags);
    struct stat st;
    if (fd < 0 && errno == EACCES && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0
        && S_ISDIR(st.st_mode) && fchmodat(dir, name, 0700, 0) == 0)
        fd = openat(dir, name, flags);
    return fd;
}

static int remove_name(struct removal *r, int dir, const char *name, unsigned depth);

static int remove_folder(struct removal *r, int dir, const char *name, unsigned depth)
{
    int fd = open_folder(dir, name);
    struct stat st;
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) == 0 && (st.st_mode & 0300) != 0300)
        fchmod(fd, 0700); /* else nothing in it can be removed */
    DIR *d = fdopendir(fd);
    if (!d) {
        close(fd);
        return -1;
    }
    int rc = 0;
    for (struct dirent *e; rc == 0 && (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            rc = remove_name(r, dirfd(d), e->d_name, depth + 1);
    int sys = errno;
    closedir(d);
    errno = sys;
    return rc < 0 ? -1 : unlinkat(dir, name, AT_REMOVEDIR);
}

static int remove_name(struct removal *r, int dir, const char *name, unsigned depth)
{
    if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -1;
    if (depth <= DEPTH)
        return remove_folder(r, dir, name, depth);
    char other[64];
    snprintf(other, sizeof(other), ".nanoterm-remove-%d-%u", (int)getpid(), r->number);
    if (renameat(dir, name, r->dir, other) < 0)
        return -1;
    r->number++;
    return 0;
}

int copy_remove(int dir, const char *name)
{
    struct removal r = { .dir = dir };
    int rc = remove_name(&r, dir, name, 0);
    for (unsigned i = 0; rc == 0 && i < r.number; i++) {
        char other[64];
        snprintf(other, sizeof(other), ".nanoterm-remove-%d-%u", (int)getpid(), i);
        rc = remove_name(&r, dir, other, 0);
    }
    return rc;
}
