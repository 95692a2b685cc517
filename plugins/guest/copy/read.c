/* SPDX-License-Identifier: Apache-2.0 */
/* read.c - a folder or file of this side as frames; see copy.h. The tree may change at any time:
 * each name is opened below its folder's descriptor, and never followed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "plugins/guest/copy/copy.h"

#define LINKED_MAX 1000000u /* names of files with more names that are remembered */
#define XATTR_SPACE 1024

/* A file with more than one name: the first that was sent. */
struct linked {
    struct linked *next;
    dev_t dev;
    ino_t ino;
    size_t size;
    char path[];
};

struct reading {
    struct copy_link *link;
    struct copy_error *error;
    struct copy_totals totals;
    struct linked **buckets;
    size_t bucket_count, linked_count;
    unsigned depth;
    size_t path_size;
    char path[COPY_PATH_MAX + 1];
};

static int read_folder(struct reading *r, int fd);

/* --- files with more than one name --------------------------------------------------------- */

static struct linked **bucket_of(struct reading *r, const struct stat *st)
{
    return &r->buckets[((uint64_t)st->st_ino * 0x9e3779b97f4a7c15u >> 32) % r->bucket_count];
}

static int grow_buckets(struct reading *r)
{
    struct linked **old = r->buckets;
    size_t count = r->bucket_count;
    struct linked **grown = calloc(count ? count * 4 : 256, sizeof(struct linked *));
    if (!grown)
        return -1;
    r->buckets = grown;
    r->bucket_count = count ? count * 4 : 256;
    for (size_t i = 0; i < count; i++)
        for (struct linked *l = old[i], *next; l; l = next) {
            next = l->next;
            struct stat st = { .st_ino = l->ino };
            struct linked **at = bucket_of(r, &st);
            l->next = *at;
            *at = l;
        }
    free(old);
    return 0;
}

/* The first name of that file; NULL: this one is it (and is remembered, while there is room). */
static const struct linked *linked_find(struct reading *r, const struct stat *st)
{
    if (st->st_nlink < 2 || (r->linked_count >= r->bucket_count && grow_buckets(r) < 0))
        return NULL;
    struct linked **at = bucket_of(r, st);
    for (struct linked *l = *at; l; l = l->next)
        if (l->ino == st->st_ino && l->dev == st->st_dev)
            return l;
    struct linked *l = r->linked_count < LINKED_MAX ? malloc(sizeof(*l) + r->path_size) : NULL;
    if (l) {
        *l = (struct linked){ *at, st->st_dev, st->st_ino, r->path_size };
        memcpy(l->path, r->path, r->path_size);
        *at = l;
        r->linked_count++;
    }
    return NULL;
}

static void linked_done(struct reading *r)
{
    for (size_t i = 0; i < r->bucket_count; i++)
        for (struct linked *l = r->buckets[i], *next; l; l = next) {
            next = l->next;
            free(l);
        }
    free(r->buckets);
}

/* --- frames -------------------------------------------------------------------------------- */

/* What an entry has that is not sent; NULL: nothing. */
static const char *extras_of(int fd)
{
    char names[XATTR_SPACE];
    ssize_t n = flistxattr(fd, names, sizeof(names));
    if (n < 0)
        return errno == ERANGE ? "extended attributes" : NULL;
    const char *what = NULL;
    for (const char *p = names; p < names + n; p += strlen(p) + 1) {
        if (strncmp(p, "system.posix_acl_", 17) == 0 && !what)
            what = "an access control list";
        else if (strncmp(p, "user.", 5) == 0 || strcmp(p, "security.capability") == 0)
            what = "extended attributes";
    }
    return what;
}

static int send_entry(struct reading *r, const struct stat *st, const struct linked *first,
                      const char *target, size_t target_size, const char *extras)
{
    uint8_t *room = copy_link_room(r->link, NT_G_HEAD + NT_G_FRAME_MAX, r->error);
    if (!room)
        return -1;
    struct nt_g_writer w = nt_g_begin(room, NT_G_HEAD + NT_G_FRAME_MAX, NT_G_ENTRY);
    bool has_content = S_ISREG(st->st_mode) && !first;
    int64_t ns;
    if (__builtin_mul_overflow((int64_t)st->st_mtim.tv_sec, (int64_t)1000000000, &ns)
        || __builtin_add_overflow(ns, (int64_t)st->st_mtim.tv_nsec, &ns))
        ns = 0;
    nt_g_add(&w, NT_GT_PATH, r->path, r->path_size);
    nt_g_add_number(&w, NT_GT_MODE, st->st_mode);
    nt_g_add_number(&w, NT_GT_SIZE, has_content ? (uint64_t)st->st_size : 0);
    nt_g_add_number(&w, NT_GT_MTIME_NS, (uint64_t)ns);
    nt_g_add_number(&w, NT_GT_UID, st->st_uid);
    nt_g_add_number(&w, NT_GT_GID, st->st_gid);
    if (first)
        nt_g_add(&w, NT_GT_LINK, first->path, first->size);
    if (target_size)
        nt_g_add(&w, NT_GT_TARGET, target, target_size);
    if (extras)
        nt_g_add_text(&w, NT_GT_MESSAGE, extras);
    r->link->tx_size += nt_g_done(&w); /* it fits: COPY_PATH_MAX */
    r->totals.count++;
    r->totals.bytes += has_content ? (uint64_t)st->st_size : 0;
    return 0;
}

/* Says that the entry is missing or not whole. */
static int send_loss(struct reading *r, int sys, const char *why)
{
    uint8_t *room = copy_link_room(r->link, NT_G_HEAD + NT_G_FRAME_MAX, r->error);
    if (!room)
        return -1;
    struct nt_g_writer w = nt_g_begin(room, NT_G_HEAD + NT_G_FRAME_MAX, NT_G_ENTRY);
    nt_g_add(&w, NT_GT_PATH, r->path, r->path_size);
    nt_g_add_number(&w, NT_GT_ERRNO, (uint64_t)sys);
    nt_g_add_text(&w, NT_GT_MESSAGE, why);
    r->link->tx_size += nt_g_done(&w);
    return 0;
}

static int send_hole(struct reading *r, uint64_t size)
{
    uint8_t memory[64];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_HOLE);
    nt_g_add_number(&w, NT_GT_SIZE, size);
    return copy_link_put(r->link, memory, nt_g_done(&w), r->error);
}

/* Sends [at, end). *ret_at: where it ended; less than end: the file has become shorter, or cannot
 * be read (errno in *ret_sys). */
static int send_data(struct reading *r, int fd, off_t at, off_t end, off_t *ret_at, int *ret_sys)
{
    *ret_sys = 0;
    while (at < end) {
        size_t want = end - at < (off_t)NT_G_FRAME_MAX ? (size_t)(end - at) : NT_G_FRAME_MAX;
        uint8_t *room = copy_link_room(r->link, NT_G_HEAD + want, r->error);
        if (!room)
            return -1;
        ssize_t n = pread(fd, room + NT_G_HEAD, want, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            *ret_sys = n < 0 ? errno : 0;
            break;
        }
        nt_g_head(room, NT_G_DATA, (uint32_t)n);
        r->link->tx_size += NT_G_HEAD + (size_t)n;
        if (r->link->moved)
            atomic_fetch_add(r->link->moved, (uint64_t)n);
        at += n;
    }
    *ret_at = at;
    return 0;
}

/* The bytes that the entry has announced; what is missing meanwhile becomes a hole. */
static int send_content(struct reading *r, int fd, const struct stat *st)
{
    off_t size = st->st_size, at = 0;
    bool is_sparse = (off_t)st->st_blocks * 512 < size;
    int sys = 0;
    while (at < size) {
        off_t data = is_sparse ? lseek(fd, at, SEEK_DATA) : at;
        if (data < 0 && errno != ENXIO) { /* not on this file system */
            is_sparse = false;
            continue;
        }
        if (data < 0 || data > size)
            data = size;
        if (data > at && send_hole(r, (uint64_t)(data - at)) < 0)
            return -1;
        off_t end = is_sparse && data < size ? lseek(fd, data, SEEK_HOLE) : size;
        end = end < data || end > size ? size : end;
        if (send_data(r, fd, data, end, &at, &sys) < 0)
            return -1;
        if (at < end)
            break;
    }
    struct stat now;
    bool has_changed = at < size || fstat(fd, &now) < 0 || now.st_size != size
                       || now.st_mtim.tv_sec != st->st_mtim.tv_sec
                       || now.st_mtim.tv_nsec != st->st_mtim.tv_nsec;
    if (at < size && send_hole(r, (uint64_t)(size - at)) < 0)
        return -1;
    if (sys)
        return send_loss(r, sys, strerror(sys));
    return has_changed ? send_loss(r, ESTALE, "it was changed while it was read") : 0;
}

/* --- the walk ------------------------------------------------------------------------------ */

/* Takes fd: an open folder or regular file. */
static int send_opened(struct reading *r, int fd, const struct stat *st)
{
    const struct linked *first = S_ISREG(st->st_mode) ? linked_find(r, st) : NULL;
    int rc = send_entry(r, st, first, NULL, 0, first ? NULL : extras_of(fd));
    if (rc == 0 && S_ISDIR(st->st_mode))
        return read_folder(r, fd);
    if (rc == 0 && !first)
        rc = send_content(r, fd, st);
    close(fd);
    return rc;
}

static int send_other(struct reading *r, int dir, const char *name, const struct stat *st)
{
    char target[PATH_MAX];
    ssize_t n = S_ISLNK(st->st_mode) ? readlinkat(dir, name, target, sizeof(target)) : 0;
    if (n < 0 || n == (ssize_t)sizeof(target))
        return send_loss(r, n < 0 ? errno : ENAMETOOLONG, "its target cannot be read");
    return send_entry(r, st, NULL, target, (size_t)n, NULL);
}

static int send_name(struct reading *r, int dir, const char *name, unsigned char type)
{
    struct stat st;
    if (type != DT_REG && type != DT_DIR) { /* a device does something when it is opened */
        if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            return errno == ENOENT ? 0 : send_loss(r, errno, strerror(errno));
        if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
            return send_other(r, dir, name, &st);
    }
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : send_loss(r, errno, strerror(errno));
    if (fstat(fd, &st) < 0 || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))) {
        close(fd);
        return send_loss(r, ESTALE, "it was replaced while it was read");
    }
    if (S_ISDIR(st.st_mode) && r->depth >= COPY_DEPTH_MAX) {
        close(fd);
        return send_loss(r, ELOOP, "it lies too deep");
    }
    return send_opened(r, fd, &st);
}

/* Takes fd. */
static int read_folder(struct reading *r, int fd)
{
    DIR *dir = fdopendir(fd);
    if (!dir) {
        int sys = errno;
        close(fd);
        return send_loss(r, sys, strerror(sys));
    }
    size_t own_size = r->path_size;
    int rc = 0;
    r->depth++;
    errno = 0;
    for (struct dirent *d; rc == 0 && (d = readdir(dir)); errno = 0) {
        size_t n = strlen(d->d_name);
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
            continue;
        if (own_size + 1 + n > COPY_PATH_MAX) {
            rc = send_loss(r, ENAMETOOLONG, "the paths below it are too long");
            continue;
        }
        if (own_size)
            r->path[own_size] = '/';
        memcpy(r->path + own_size + (own_size ? 1 : 0), d->d_name, n);
        r->path_size = own_size + (own_size ? 1 : 0) + n;
        rc = send_name(r, dirfd(dir), d->d_name, d->d_type);
        r->path_size = own_size;
    }
    if (rc == 0 && errno)
        rc = send_loss(r, errno, strerror(errno));
    r->depth--;
    closedir(dir);
    return rc;
}

int copy_read(struct copy_link *l, int fd, struct copy_totals *ret, struct copy_error *e)
{
    struct stat st;
    struct reading *r = calloc(1, sizeof(*r));
    if (!r || fstat(fd, &st) < 0 || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))) {
        free(r);
        close(fd);
        return copy_fail(e, NT_GE_INVALID, EINVAL, "that is neither a folder nor a regular file");
    }
    r->link = l;
    r->error = e;
    int rc = send_opened(r, fd, &st);
    uint8_t memory[64];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_END);
    nt_g_add_number(&w, NT_GT_COUNT, r->totals.count);
    nt_g_add_number(&w, NT_GT_OUT_BYTES, r->totals.bytes);
    if (rc == 0)
        rc = copy_link_put(l, memory, nt_g_done(&w), e);
    if (rc == 0)
        rc = copy_link_flush(l, e);
    *ret = r->totals;
    linked_done(r);
    free(r);
    return rc;
}
