/* SPDX-License-Identifier: Apache-2.0 */
/* files_write.c - WRITE: the bytes go into a file beside the target, which it replaces only when
 * all of them are on the disk. Runs in a helper process. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "plugins/guest/helper.h"

#define LINKS_MAX 40
#define NAMES_MAX 16

struct target {
    int dir; /* folder of the file */
    char path[PATH_MAX];
    const char *name; /* in path */
    int fd;           /* the new content */
    char temp[48];    /* its name; empty: it has none yet */
    mode_t mode;
};

/* Splits path; "" as folder is "/". */
static int open_parent(struct target *t, bool make)
{
    char dir[PATH_MAX];
    memcpy(dir, t->path, sizeof(dir));
    char *slash = strrchr(dir, '/');
    t->name = t->path + (slash - dir) + 1;
    slash[slash == dir ? 1 : 0] = '\0';
    struct stat st;
    for (char *p = dir + 1; make; p++) {
        if (*p && *p != '/')
            continue;
        char was = *p;
        *p = '\0';
        if (stat(dir, &st) < 0 && mkdir(dir, 0755) < 0 && errno != EEXIST)
            return -1;
        *p = was;
        if (!was)
            break;
    }
    t->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return t->dir < 0 ? -1 : 0;
}

/* Where the path leads, links followed as a normal write does, also to what is not there yet. */
static int resolve(struct target *t, bool make)
{
    for (int i = 0; i < LINKS_MAX; i++) {
        struct stat st;
        char link[PATH_MAX], joined[2 * PATH_MAX + 2];
        if (open_parent(t, make) < 0)
            return -1;
        if (!t->name[0] || strcmp(t->name, ".") == 0 || strcmp(t->name, "..") == 0) {
            errno = EISDIR;
            return -1;
        }
        if (fstatat(t->dir, t->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            return errno == ENOENT ? 0 : -1;
        if (!S_ISLNK(st.st_mode)) {
            t->mode = st.st_mode;
            return 0;
        }
        ssize_t n = readlinkat(t->dir, t->name, link, sizeof(link) - 1);
        if (n < 0)
            return -1;
        link[n] = '\0';
        int size = link[0] == '/' ? snprintf(joined, sizeof(joined), "%s", link)
                                  : snprintf(joined, sizeof(joined), "%.*s%s",
                                             (int)(t->name - t->path), t->path, link);
        if (size >= PATH_MAX) {
            errno = ENAMETOOLONG;
            return -1;
        }
        memcpy(t->path, joined, (size_t)size + 1);
        close(t->dir);
    }
    errno = ELOOP;
    return -1;
}

static void new_name(struct target *t)
{
    unsigned long long number = 0;
    if (getrandom(&number, sizeof(number), 0) != sizeof(number))
        number = (unsigned long long)getpid();
    snprintf(t->temp, sizeof(t->temp), ".nanoterm-write-%016llx", number);
}

/* Without a name, where the file system can do that: then nothing stays behind when we are
 * killed. */
static int open_temp(struct target *t)
{
    t->fd = openat(t->dir, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    for (int i = 0; t->fd < 0 && i < NAMES_MAX; i++) {
        new_name(t);
        t->fd = openat(t->dir, t->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (t->fd < 0 && errno != EEXIST)
            break;
    }
    return t->fd < 0 ? -1 : 0;
}

static int name_temp(struct target *t)
{
    char self[40];
    snprintf(self, sizeof(self), "/proc/self/fd/%d", t->fd);
    int rc = -1;
    for (int i = 0; rc < 0 && i < NAMES_MAX; i++) {
        new_name(t);
        rc = linkat(AT_FDCWD, self, t->dir, t->temp, AT_SYMLINK_FOLLOW);
        if (rc < 0 && errno != EEXIST)
            break;
    }
    if (rc < 0)
        t->temp[0] = '\0';
    return rc;
}

static void drop(struct target *t)
{
    if (t->temp[0])
        unlinkat(t->dir, t->temp, 0);
}

static void fail(struct helper_io *io, struct target *t, int sys, const char *what)
{
    drop(t);
    io_fail(io, sys, what);
}

static int write_all(int fd, const uint8_t *bytes, size_t size)
{
    while (size) {
        ssize_t n = write(fd, bytes, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        bytes += n;
        size -= (size_t)n;
    }
    return 0;
}

static int commit(struct target *t)
{
    if (fchmod(t->fd, t->mode & 07777) < 0 || fsync(t->fd) < 0)
        return -1;
    if (!t->temp[0] && name_temp(t) < 0)
        return -1;
    if (renameat(t->dir, t->temp, t->dir, t->name) < 0)
        return -1;
    t->temp[0] = '\0';
    fsync(t->dir); /* a file system that cannot do it for folders has no such promise to keep */
    return 0;
}

void files_write(struct helper_io *io, const struct request *r)
{
    static struct target t = { .fd = -1 };
    io_path(io, r, NT_GT_PATH, t.path);
    if (resolve(&t, request_number(r, NT_GT_FLAGS, 0) & NT_GF_PARENTS) < 0)
        io_fail(io, errno, "cannot write there");
    if (t.mode && !S_ISREG(t.mode))
        io_refuse(io, NT_GE_INVALID, S_ISDIR(t.mode) ? EISDIR : EINVAL,
                  "that is not a regular file");
    if (!t.mode || request_has(r, NT_GT_MODE))
        t.mode = (mode_t)request_number(r, NT_GT_MODE, 0644) & 07777;
    if (open_temp(&t) < 0)
        io_fail(io, errno, "cannot write there");
    uint8_t memory[64];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_OK);
    io_send(io, &w);
    uint64_t count = 0;
    struct nt_g_frame frame;
    for (io_next(io, &frame); frame.type == NT_G_DATA; io_next(io, &frame)) {
        if (write_all(t.fd, frame.payload, frame.size) < 0)
            fail(io, &t, errno, "cannot write the file");
        count += frame.size;
    }
    struct request end;
    if (frame.type != NT_G_END || request_read(&end, &frame) < 0) {
        drop(&t);
        _exit(1); /* out of order */
    }
    if (request_number(&end, NT_GT_COUNT, UINT64_MAX) != count) {
        drop(&t);
        io_refuse(io, NT_GE_MISMATCH, 0, "the number of bytes is not what was announced");
    }
    if (commit(&t) < 0)
        fail(io, &t, errno, "cannot put the file in its place");
    entry_send(io, t.path);
}
