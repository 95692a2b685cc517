/* SPDX-License-Identifier: Apache-2.0 */
/* place.c - one file: written beside its destination, and put over it when all is on the disk; and
 * content from file to file. See copy.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "plugins/guest/copy/copy.h"
#include "sdk/io.h"

#define NAMES_MAX 16
#define STEP (16 * 1024 * 1024)
#define BUFFER (512 * 1024)

static void new_name(struct copy_place *p)
{
    unsigned long long number = 0;
    if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
        number = (unsigned long long)getpid();
    snprintf(p->temp, sizeof(p->temp), COPY_FILE_NAME "%016llx", number);
}

int copy_place_open(struct copy_place *p, int dir)
{
    *p = (struct copy_place){ .dir = dir };
    p->fd = openat(dir, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    if (p->fd < 0)
        copy_sweep(dir); /* only here something can be left for long */
    else
        flock(p->fd, LOCK_EX | LOCK_NB); /* it gets a name before it is renamed */
    for (int i = 0; p->fd < 0 && i < NAMES_MAX; i++) {
        new_name(p);
        p->fd = openat(dir, p->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (p->fd < 0 && errno != EEXIST)
            break;
        if (p->fd >= 0 && copy_hold(p->fd) < 0) {
            close(p->fd);
            p->fd = -1;
        }
    }
    if (p->fd < 0)
        p->temp[0] = '\0';
    return p->fd < 0 ? -1 : 0;
}

static int give_name(struct copy_place *p)
{
    char self[40];
    snprintf(self, sizeof(self), "/proc/self/fd/%d", p->fd);
    int rc = -1;
    for (int i = 0; rc < 0 && i < NAMES_MAX; i++) {
        new_name(p);
        rc = linkat(AT_FDCWD, self, p->dir, p->temp, AT_SYMLINK_FOLLOW);
        if (rc < 0 && errno != EEXIST)
            break;
    }
    if (rc < 0)
        p->temp[0] = '\0';
    return rc;
}

int copy_set_time(int fd, int64_t mtime_ns)
{
    int64_t sec = mtime_ns / 1000000000, ns = mtime_ns % 1000000000;
    if (ns < 0) {
        ns += 1000000000;
        sec--;
    }
    struct timespec times[2] = { { .tv_nsec = UTIME_NOW }, { .tv_sec = sec, .tv_nsec = ns } };
    return futimens(fd, times);
}

int copy_place_commit(struct copy_place *p, const char *name, mode_t mode, int64_t mtime_ns)
{
    if (fchmod(p->fd, mode & 07777) < 0
        || (mtime_ns != INT64_MIN && copy_set_time(p->fd, mtime_ns) < 0) || fsync(p->fd) < 0)
        return -1;
    if (!p->temp[0] && give_name(p) < 0)
        return -1;
    if (renameat(p->dir, p->temp, p->dir, name) < 0)
        return -1;
    p->temp[0] = '\0';
    fsync(p->dir); /* a file system that cannot do it for folders has no such promise to keep */
    return 0;
}

void copy_place_done(struct copy_place *p)
{
    if (p->temp[0])
        unlinkat(p->dir, p->temp, 0);
    if (p->fd >= 0)
        close(p->fd);
    *p = (struct copy_place){ .dir = -1, .fd = -1 };
}

static bool is_stopped(const atomic_int *stop)
{
    if (!stop || !atomic_load(stop))
        return false;
    errno = ECANCELED;
    return true;
}

/* The ways to copy, the best one first; the next one is for what the one before cannot do. */
enum {
    BY_RANGE, /* shared blocks, where the file system has them */
    BY_PAGES, /* from page cache to page cache: between file systems */
    BY_BUFFER,
};

/* One piece at the positions of both; 0: the end. */
static ssize_t copy_piece(int from, int to, size_t want, char *buffer, int *way)
{
    while (*way != BY_BUFFER) {
        ssize_t n = *way == BY_RANGE ? copy_file_range(from, NULL, to, NULL, want, 0)
                                     : sendfile(to, from, NULL, want);
        if (n > 0 || (n < 0 && errno == EINTR))
            return n;
        /* other file systems, /proc (0 bytes), filters: the plain way decides what it is */
        ++*way;
    }
    ssize_t n = read(from, buffer, want < BUFFER ? want : BUFFER);
    return n > 0 && nt_write_all(to, buffer, (size_t)n) < 0 ? -1 : n;
}

/* Copies up to `end` (INT64_MAX: what there is). */
static int copy_until(int from, int to, off_t at, off_t end, char *buffer, int *way,
                      const atomic_int *stop, _Atomic uint64_t *moved, off_t *ret_at)
{
    uint64_t begun = (uint64_t)at;
    while (at < end) {
        if (is_stopped(stop))
            return -1;
        ssize_t n = copy_piece(from, to, end - at < STEP ? (size_t)(end - at) : STEP, buffer, way);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        at += n;
        nt_write_out(to, (uint64_t)at, &begun);
        if (moved)
            atomic_fetch_add(moved, (uint64_t)n);
    }
    *ret_at = at;
    return 0;
}

int copy_content(int from, int to, const atomic_int *stop, _Atomic uint64_t *moved, uint64_t *ret)
{
    struct stat st;
    char *buffer = malloc(BUFFER);
    if (!buffer || fstat(from, &st) < 0) {
        free(buffer);
        return -1;
    }
    bool is_sparse = (off_t)st.st_blocks * 512 < st.st_size;
    int way = st.st_size > 0 ? BY_RANGE : BY_BUFFER;
    off_t at = 0, size = st.st_size;
    int rc = 0;
    while (is_sparse && at < size && rc == 0) {
        off_t data = lseek(from, at, SEEK_DATA);
        if (data < 0 && errno != ENXIO)
            break;
        if (data < 0 || data >= size) {
            at = size;
            break;
        }
        off_t end = lseek(from, data, SEEK_HOLE);
        end = end < data || end > size ? size : end;
        if (lseek(from, data, SEEK_SET) < 0 || lseek(to, data, SEEK_SET) < 0)
            rc = -1;
        else
            rc = copy_until(from, to, data, end, buffer, &way, stop, moved, &at);
        if (at < end)
            break; /* it has become shorter */
    }
    if (rc == 0 && is_sparse && ftruncate(to, at) < 0)
        rc = -1;
    if (rc == 0 && (!is_sparse || at < size)
        && (lseek(from, at, SEEK_SET) < 0 || lseek(to, at, SEEK_SET) < 0
            || copy_until(from, to, at, INT64_MAX, buffer, &way, stop, moved, &at) < 0))
        rc = -1;
    int sys = errno;
    free(buffer);
    errno = sys;
    *ret = (uint64_t)at;
    return rc;
}

bool copy_is_plain(int fd)
{
    static const uint32_t others[] = { PROC_SUPER_MAGIC,    SYSFS_MAGIC,   FUSE_SUPER_MAGIC,
                                       CGROUP_SUPER_MAGIC,  DEBUGFS_MAGIC, TRACEFS_MAGIC,
                                       CGROUP2_SUPER_MAGIC, BPF_FS_MAGIC,  SECURITYFS_MAGIC,
                                       BINFMTFS_MAGIC,      SELINUX_MAGIC };
    struct stat st;
    struct statfs fs;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || fstatfs(fd, &fs) < 0)
        return false;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if ((uint32_t)fs.f_type == others[i])
            return false;
    return true;
}
