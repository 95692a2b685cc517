/* SPDX-License-Identifier: Apache-2.0 */
/* replace.c - REPLACE: one pattern by one text in several files. Each file is replaced as a whole,
 * by a rename, with its mode; the replacement is taken as it is. Runs in a helper process.
 *
 * All files are looked at before the first one is touched. A file that somebody else has changed
 * meanwhile is left alone, and a symbolic link is refused: it would become a file. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "plugins/guest/copy/copy.h"
#include "plugins/guest/search.h"
#include "sdk/io.h"

#define FILES_MAX 1000u
#define FILE_MAX (32u * 1024 * 1024)
#define TEXT_MAX (64u * 1024)
#define NAMES_MAX 16

struct text {
    char *bytes;
    size_t size, cap;
};

struct file {
    char path[PATH_MAX];
    const char *name; /* in path */
    int dir, fd;
    struct stat st;
};

static void fail(struct helper_io *io, const struct file *f, int sys, const char *what)
{
    char text[512];
    snprintf(text, sizeof(text), "%.300s: %s", f->path, what);
    io_fail(io, sys, text);
}

/* The path of an argument, absolute. */
static void read_path(struct helper_io *io, const struct nt_g_field *arg, struct file *f)
{
    const char *text = (const char *)arg->data;
    int n = arg->size && text[0] == '/'
                ? snprintf(f->path, PATH_MAX, "%.*s", (int)arg->size, text)
                : snprintf(f->path, PATH_MAX, "%s/%.*s", guest.base, (int)arg->size, text);
    if (n >= PATH_MAX || arg->size == 0)
        io_refuse(io, NT_GE_INVALID, arg->size ? ENAMETOOLONG : EINVAL,
                  "a path is empty or too long");
}

static void open_file(struct helper_io *io, struct file *f)
{
    char dir[PATH_MAX];
    memcpy(dir, f->path, sizeof(dir));
    char *slash = strrchr(dir, '/');
    f->name = f->path + (slash - dir) + 1;
    slash[slash == dir ? 1 : 0] = '\0';
    f->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    f->fd = f->dir < 0 ? -1 : search_open(f->dir, f->name, &f->st);
    if (f->fd < 0)
        fail(io, f, errno,
             errno == ELOOP ? "is a symbolic link, name what it leads to" : "cannot open the file");
    if (f->st.st_size > (off_t)FILE_MAX)
        fail(io, f, EFBIG, "is larger than 32 MiB");
}

static void close_file(struct file *f)
{
    close(f->fd);
    close(f->dir);
}

static bool text_add(struct text *t, const char *bytes, size_t size)
{
    if (size > t->cap - t->size) {
        size_t cap = (t->size + size) * 2;
        char *grown = cap <= 2 * (size_t)FILE_MAX + 4096 ? realloc(t->bytes, cap) : NULL;
        if (!grown)
            return false;
        t->bytes = grown;
        t->cap = cap;
    }
    if (size)
        memcpy(t->bytes + t->size, bytes, size);
    t->size += size;
    return true;
}

/* One line after the other: ^ and $ are its ends, and no match goes over one. */
static bool replace_line(const struct search_pattern *p, const char *line, size_t size,
                         const char *with, size_t with_size, struct text *out, uint64_t *count)
{
    size_t at = 0, start, end,
           last = SIZE_MAX; /* where the last one that was not empty has ended */
    while (at <= size && search_pattern_find(p, line, size, at, &start, &end)) {
        bool counts = end > start || start != last; /* right behind a match, nothing is none */
        if (!text_add(out, line + at, start - at) || (counts && !text_add(out, with, with_size)))
            return false;
        *count += counts;
        at = end;
        if (end > start) {
            last = end;
            continue;
        }
        if (at < size && !text_add(out, line + at, 1))
            return false; /* an empty match: goes on behind the next byte */
        at++;
    }
    return at >= size || text_add(out, line + at, size - at);
}

/* A zero byte follows, as regexec(3) wants it: sanitizers do not know REG_STARTEND. */
static char *read_all(struct helper_io *io, struct file *f, size_t *ret_size)
{
    size_t size = 0, cap = (size_t)f->st.st_size + 1;
    char *bytes = malloc(cap + 1);
    if (!bytes)
        fail(io, f, ENOMEM, "cannot read the file");
    while (size < cap) {
        ssize_t n = read(f->fd, bytes + size, cap - size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            fail(io, f, errno, "cannot read the file");
        if (n == 0)
            break;
        size += (size_t)n;
    }
    bytes[size] = '\0';
    *ret_size = size;
    return bytes;
}

static bool is_changed(const struct file *f)
{
    struct stat now;
    return fstatat(f->dir, f->name, &now, AT_SYMLINK_NOFOLLOW) < 0 || now.st_ino != f->st.st_ino
           || now.st_dev != f->st.st_dev || now.st_size != f->st.st_size
           || now.st_mtim.tv_sec != f->st.st_mtim.tv_sec
           || now.st_mtim.tv_nsec != f->st.st_mtim.tv_nsec;
}

/* Beside it, synced, then in its place. */
static void put(struct helper_io *io, const struct file *f, const struct text *out)
{
    char temp[48];
    int fd = -1;
    for (int i = 0; fd < 0 && i < NAMES_MAX; i++) {
        unsigned long long number = 0;
        if (getrandom(&number, sizeof(number), 0) != sizeof(number))
            number = (unsigned long long)getpid();
        snprintf(temp, sizeof(temp), COPY_FILE_NAME "%016llx", number);
        fd = openat(f->dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0 && errno != EEXIST)
            break;
        if (fd >= 0 && copy_hold(fd) < 0) {
            close(fd);
            fd = -1;
        }
    }
    if (fd < 0)
        fail(io, f, errno, "cannot write beside it");
    /* the owner is kept where that may be done; the mode always, and after it */
    int rc = nt_write_all(fd, out->bytes, out->size);
    if (rc == 0 && fchown(fd, f->st.st_uid, f->st.st_gid) < 0 && errno != EPERM && errno != EINVAL)
        rc = -1;
    if (rc < 0 || fchmod(fd, f->st.st_mode & 07777) < 0 || fsync(fd) < 0) {
        int sys = errno;
        unlinkat(f->dir, temp, 0);
        fail(io, f, sys, "cannot write the new content");
    }
    if (is_changed(f) || renameat(f->dir, temp, f->dir, f->name) < 0) {
        unlinkat(f->dir, temp, 0);
        fail(io, f, EBUSY, "was changed meanwhile");
    }
    close(fd);
    fsync(f->dir);
}

static uint64_t replace_in(struct helper_io *io, struct file *f, const struct search_pattern *p,
                           const char *with, size_t with_size)
{
    struct text out = { 0 };
    size_t size;
    uint64_t count = 0;
    char *bytes = read_all(io, f, &size);
    bool ok = true, is_binary = memchr(bytes, 0, size) != NULL;
    for (size_t at = 0; ok && !is_binary && at < size;) {
        const char *end = memchr(bytes + at, '\n', size - at);
        size_t stop = end ? (size_t)(end - bytes) : size;
        ok = replace_line(p, bytes + at, stop - at, with, with_size, &out, &count)
             && (!end || text_add(&out, "\n", 1));
        at = stop + 1;
    }
    if (!ok)
        fail(io, f, EFBIG, "would become too large");
    if (count) {
        search_hold();
        put(io, f, &out);
        search_release();
    }
    free(out.bytes);
    free(bytes);
    return count;
}

void replace_serve(struct helper_io *io, const struct request *r)
{
    static struct file f;
    static char with[TEXT_MAX + 1];
    struct search_pattern pattern;
    struct nt_g_field arg;
    unsigned files = 0;
    uint64_t count = 0;
    with[0] = '\0';
    if (!request_has(r, NT_GT_TEXT)
        || (r->text_size[NT_GT_TEXT] && !request_text(r, NT_GT_TEXT, with, sizeof(with))))
        io_refuse(io, NT_GE_INVALID, EINVAL, "the new text is missing or longer than 64 KiB");
    search_limit(io);
    search_pattern_read(io, r, &pattern);
    for (size_t at = 0; nt_g_each(r->payload, r->payload_size, &at, &arg) > 0;) {
        if (arg.tag != NT_GT_ARG)
            continue;
        if (++files > FILES_MAX)
            io_refuse(io, NT_GE_LIMIT, 0, "more than 1000 files at a time");
        read_path(io, &arg, &f);
        open_file(io, &f);
        close_file(&f);
    }
    for (size_t at = 0; nt_g_each(r->payload, r->payload_size, &at, &arg) > 0;) {
        if (arg.tag != NT_GT_ARG)
            continue;
        read_path(io, &arg, &f);
        open_file(io, &f);
        count += replace_in(io, &f, &pattern, with, strlen(with));
        close_file(&f);
    }
    uint8_t memory[64];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_OK);
    nt_g_add_number(&w, NT_GT_COUNT, count);
    search_hold(); /* nothing comes after it */
    io_send(io, &w);
}
