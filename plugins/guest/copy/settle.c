/* SPDX-License-Identifier: Apache-2.0 */
/* settle.c - puts a finished tree in place of its destination, by renames; see copy.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugins/guest/copy/copy.h"

#define TRIES 16

/* Notes keep to this much memory; more are only counted. */
#define NOTES_BYTES (1024u * 1024u)

void copy_note(struct copy_notes *n, const char *path, size_t path_size, int sys, const char *what)
{
    n->count++;
    n->lost += sys != 0;
    size_t want = NT_G_HEAD + 3 * 8 + 8 + path_size + strlen(what);
    if (path_size > COPY_PATH_MAX || want > NOTES_BYTES - n->size)
        return;
    if (!n->frames && !(n->frames = malloc(NOTES_BYTES)))
        return;
    struct nt_g_writer w = nt_g_begin(n->frames + n->size, want, NT_G_ENTRY);
    nt_g_add(&w, NT_GT_PATH, path, path_size);
    nt_g_add_text(&w, NT_GT_MESSAGE, what);
    if (sys)
        nt_g_add_number(&w, NT_GT_ERRNO, (uint64_t)sys);
    n->size += nt_g_done(&w);
}

/* What lies at the destination: its type, 0: nothing; -1: errno. */
static int type_of(int dir, const char *name, mode_t *ret)
{
    struct stat st;
    *ret = 0;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -1;
    *ret = st.st_mode & S_IFMT;
    return 0;
}

int copy_may_replace(const struct copy_target *target, bool is_folder, struct copy_error *e)
{
    mode_t type;
    if (type_of(target->dir, target->name, &type) < 0)
        return copy_fail_sys(e, errno, "cannot look at the destination");
    if (!is_folder && S_ISDIR(type))
        return copy_fail(e, NT_GE_INVALID, EISDIR,
                         "the destination is a folder, and is not replaced by a file");
    if (is_folder && type && !S_ISDIR(type))
        return copy_fail(e, NT_GE_INVALID, ENOTDIR,
                         "the destination is no folder, and is not replaced by one");
    return 0;
}

/* --- merging ------------------------------------------------------------------------------- */

struct merge {
    struct copy_notes *notes;
    size_t path_size;
    char path[COPY_PATH_MAX + 1];
};

static int open_folder(int dir, const char *name)
{
    return openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static void merge_folder(struct merge *m, int from, int to);

/* A folder that is there on both sides gets mode and time of the new one, last. */
static void merge_into(struct merge *m, int from, int to, const char *name)
{
    struct stat st;
    int old = open_folder(to, name), fresh = -1;
    bool is_open = fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) == 0
                   && ((st.st_mode & 0700) == 0700 || fchmodat(from, name, 0700, 0) == 0);
    if (is_open)
        fresh = open_folder(from, name);
    if (old < 0 || fresh < 0) {
        copy_note(m->notes, m->path, m->path_size, errno, "what is there cannot be replaced by it");
    } else {
        merge_folder(m, fresh, old);
        fchmod(old, st.st_mode & 07777);
        copy_set_time(old, (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec);
    }
    if (old >= 0)
        close(old);
    if (fresh >= 0)
        close(fresh);
}

/* Moves what is new. A folder that its owner may not write cannot be moved: it gets its mode back
 * after it. */
static int move_new(int from, int to, const char *name)
{
    if (renameat2(from, name, to, name, RENAME_NOREPLACE) == 0)
        return 0;
    struct stat st;
    int sys = errno;
    if (sys != EACCES || fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode)
        || (st.st_mode & 0700) == 0700 || fchmodat(from, name, 0700, 0) < 0) {
        errno = sys;
        return -1;
    }
    int fd = open_folder(from, name), rc = renameat2(from, name, to, name, RENAME_NOREPLACE);
    sys = errno;
    if (fd >= 0) {
        fchmod(fd, st.st_mode & 07777);
        close(fd);
    }
    errno = sys;
    return rc;
}

static void merge_name(struct merge *m, int from, int to, const char *name)
{
    if (move_new(from, to, name) == 0)
        return;
    mode_t own = 0, other = 0;
    if (errno == EEXIST && type_of(from, name, &own) == 0 && type_of(to, name, &other) == 0) {
        if (S_ISDIR(own) && S_ISDIR(other)) {
            merge_into(m, from, to, name);
            return;
        }
        if (!S_ISDIR(own) && !S_ISDIR(other) && renameat(from, name, to, name) == 0)
            return;
        if (S_ISDIR(own) != S_ISDIR(other))
            errno = S_ISDIR(other) ? EISDIR : ENOTDIR;
    }
    copy_note(m->notes, m->path, m->path_size, errno, "what is there cannot be replaced by it");
}

static void merge_folder(struct merge *m, int from, int to)
{
    int fd = dup(from);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        copy_note(m->notes, m->path, m->path_size, errno, "it cannot be merged");
        if (fd >= 0)
            close(fd);
        return;
    }
    size_t own = m->path_size;
    for (struct dirent *e; (e = readdir(d));) {
        size_t n = strlen(e->d_name);
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0
            || own + 1 + n > COPY_PATH_MAX)
            continue;
        if (own)
            m->path[own] = '/';
        memcpy(m->path + own + (own ? 1 : 0), e->d_name, n);
        m->path_size = own + (own ? 1 : 0) + n;
        merge_name(m, from, to, e->d_name);
        m->path_size = own;
    }
    closedir(d);
}

/* Merges what is in the stage into the open folder `to`. */
static int merge(int stage, int to, mode_t mode, struct copy_notes *notes, struct copy_error *e)
{
    struct stat st;
    struct merge *m = calloc(1, sizeof(*m));
    if (!m)
        return copy_fail(e, NT_GE_SYSTEM, ENOMEM, "out of memory");
    m->notes = notes;
    int rc = -1, from = open_folder(stage, COPY_FRESH);
    if (from >= 0 && fstat(from, &st) == 0) {
        merge_folder(m, from, to);
        fchmod(to, mode);
        copy_set_time(to, (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec);
        rc = 0;
    } else {
        copy_fail_sys(e, errno, "cannot merge into the destination");
    }
    if (from >= 0)
        close(from);
    free(m);
    return rc;
}

/* --- replacing ----------------------------------------------------------------------------- */

/* Where the file system cannot exchange: for a moment there is nothing at the destination. */
static int swap(int stage, const struct copy_target *target)
{
    if (renameat2(stage, COPY_FRESH, target->dir, target->name, RENAME_EXCHANGE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    if (renameat(target->dir, target->name, stage, COPY_OLD) < 0)
        return -1;
    if (renameat2(stage, COPY_FRESH, target->dir, target->name, RENAME_NOREPLACE) == 0)
        return 0;
    int sys = errno;
    renameat(stage, COPY_OLD, target->dir, target->name);
    errno = sys;
    return -1;
}

static int put_folder(int stage, const struct copy_target *target, struct copy_error *e)
{
    for (int i = 0; i < TRIES; i++) {
        int rc = renameat2(stage, COPY_FRESH, target->dir, target->name, RENAME_NOREPLACE);
        if (rc < 0 && errno == EINVAL) /* not on this file system: an empty folder is replaced */
            rc = renameat(stage, COPY_FRESH, target->dir, target->name);
        if (rc == 0)
            return 0;
        if (errno != EEXIST && errno != ENOTEMPTY)
            break;
        if (copy_may_replace(target, true, e) < 0)
            return -1;
        if (swap(stage, target) == 0)
            return 0;
        if (errno != ENOENT)
            break;
    }
    if (errno == EXDEV)
        return copy_fail(e, NT_GE_SYSTEM, EXDEV,
                         "the folder that is there belongs to the image or is a mount, and cannot "
                         "be replaced as a whole; merge into it");
    return copy_fail_sys(e, errno, "cannot put the folder in its place");
}

int copy_settle(int stage, const struct copy_target *target, int into, bool is_folder, mode_t mode,
                struct copy_notes *notes, struct copy_error *e)
{
    if (into >= 0 && is_folder)
        return merge(stage, into, mode, notes, e);
    if (copy_may_replace(target, is_folder, e) < 0)
        return -1;
    if (!is_folder) {
        if (renameat(stage, COPY_FRESH, target->dir, target->name) < 0)
            return copy_fail_sys(e, errno, "cannot put it in its place");
        fsync(target->dir);
        return 0;
    }
    /* A folder that its owner may not write cannot be moved: its mode comes after it. */
    int fd = open_folder(stage, COPY_FRESH);
    if (fd < 0)
        return copy_fail_sys(e, errno, "cannot open the new folder");
    int rc = put_folder(stage, target, e);
    if (rc == 0)
        fchmod(fd, mode);
    close(fd);
    fsync(target->dir);
    return rc;
}
