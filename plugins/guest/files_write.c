/* SPDX-License-Identifier: Apache-2.0 */
/* files_write.c - WRITE: the bytes go into a file beside the target, which it replaces only when
 * all of them are on the disk. Runs in a helper process. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "plugins/guest/copy/copy.h"
#include "plugins/guest/helper.h"
#include "sdk/io.h"

#define LINKS_MAX 40

/* Splits path; "" as folder is "/". */
int destination_open(struct destination *t, bool make)
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
    if (t->dir < 0)
        return -1;
    if (t->name[0] && strcmp(t->name, ".") != 0 && strcmp(t->name, "..") != 0)
        return 0;
    errno = EISDIR;
    return -1;
}

void destination_path(struct helper_io *io, const struct request *r, bool is_tree,
                      char ret[PATH_MAX])
{
    char name[NAME_MAX + 1];
    struct stat st;
    io_path(io, r, NT_GT_PATH, ret);
    if (!request_has(r, NT_GT_NAME))
        return;
    if (!request_text(r, NT_GT_NAME, name, sizeof(name)) || strchr(name, '/')
        || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        io_refuse(io, NT_GE_INVALID, EINVAL, "the name is not one component of a path");
    const char *text = r->text[NT_GT_PATH];
    bool says_folder = !is_tree && text[r->text_size[NT_GT_PATH] - 1] == '/';
    if (!says_folder && (stat(ret, &st) < 0 || !S_ISDIR(st.st_mode)))
        return;
    size_t size = strlen(ret);
    int n = snprintf(ret + size, PATH_MAX - size, "%s%s", size == 1 ? "" : "/", name);
    if (n < 0 || (size_t)n >= PATH_MAX - size)
        io_refuse(io, NT_GE_INVALID, ENAMETOOLONG, "the path is too long");
}

/* Where the path leads, links followed as a normal write does, also to what is not there yet.
 * *ret_mode: of what is there; 0: nothing. */
static int resolve(struct destination *t, bool make, mode_t *ret_mode)
{
    for (int i = 0; i < LINKS_MAX; i++) {
        struct stat st;
        char link[PATH_MAX], joined[2 * PATH_MAX + 2];
        if (destination_open(t, make) < 0)
            return -1;
        *ret_mode = 0;
        if (fstatat(t->dir, t->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            return errno == ENOENT ? 0 : -1;
        if (!S_ISLNK(st.st_mode)) {
            *ret_mode = st.st_mode;
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

static void fail(struct helper_io *io, struct copy_place *p, int sys, const char *what)
{
    copy_place_done(p);
    io_fail(io, sys, what);
}

/* Takes the bytes up to END. Returns how many were announced there. */
static uint64_t take_content(struct helper_io *io, struct copy_place *p, uint64_t *ret_count)
{
    struct nt_g_frame frame;
    uint64_t begun = 0;
    for (;;) {
        if (io_try_next(io, &frame) < 0) {
            copy_place_done(p);
            _exit(1);
        }
        if (frame.type != NT_G_DATA)
            break;
        if (nt_write_all(p->fd, frame.payload, frame.size) < 0)
            fail(io, p, errno, "cannot write the file");
        *ret_count += frame.size;
        nt_write_out(p->fd, *ret_count, &begun);
    }
    struct request end;
    if (frame.type != NT_G_END || request_read(&end, &frame) < 0) {
        copy_place_done(p);
        _exit(1); /* out of order */
    }
    return request_number(&end, NT_GT_COUNT, UINT64_MAX);
}

void files_write(struct helper_io *io, const struct request *r)
{
    static struct destination t = { .dir = -1 };
    struct copy_place place;
    mode_t mode = 0;
    uint64_t flags = request_number(r, NT_GT_FLAGS, 0);
    destination_path(io, r, false, t.path);
    if (resolve(&t, flags & NT_GF_PARENTS, &mode) < 0)
        io_fail(io, errno, "cannot write there");
    if (mode && !S_ISREG(mode))
        io_refuse(io, NT_GE_INVALID, S_ISDIR(mode) ? EISDIR : EINVAL, "that is not a regular file");
    if (!mode || request_has(r, NT_GT_MODE))
        mode = (mode_t)request_number(r, NT_GT_MODE, 0644) & 07777;
    if (copy_place_open(&place, t.dir) < 0)
        io_fail(io, errno, "cannot write there");
    uint8_t memory[64];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_OK);
    bool is_passed = flags & NT_GF_PASS_FD && copy_is_plain(place.fd);
    io_send_fd(io, &w, is_passed ? place.fd : -1);
    uint64_t count = 0;
    struct stat st;
    uint64_t announced = take_content(io, &place, &count);
    if (is_passed && !count && fstat(place.fd, &st) == 0)
        count = (uint64_t)st.st_size;
    if (announced != count) {
        copy_place_done(&place);
        io_refuse(io, NT_GE_MISMATCH, 0, "the number of bytes is not what was announced");
    }
    int64_t mtime_ns =
        request_has(r, NT_GT_MTIME_NS) ? (int64_t)r->number[NT_GT_MTIME_NS] : INT64_MIN;
    if (copy_place_commit(&place, t.name, mode, mtime_ns) < 0)
        fail(io, &place, errno, "cannot put the file in its place");
    entry_send(io, t.path);
}
