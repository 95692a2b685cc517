/* SPDX-License-Identifier: Apache-2.0 */
/* write.c - makes a tree from frames, in a folder of its own beside the destination (the stage,
 * which nobody else may enter), and settles it when all has come; see copy.h. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "plugins/guest/copy/copy.h"

#define NAMES_MAX 16

/* A folder that is open. */
struct level {
    int fd;
    mode_t mode;
    int64_t mtime_ns;
};

struct writing {
    struct copy_link *link;
    const struct copy_target *target;
    struct copy_notes *notes;
    struct copy_error *error;
    struct copy_order order;
    int stage, into; /* into: the folder that is merged into; -1: none */
    char stage_name[48];
    struct level levels[COPY_DEPTH_MAX + 1];
    unsigned depth;
    bool is_folder;
    mode_t root_mode;
    int64_t root_mtime_ns;
    uint64_t uid, gid, strangers; /* owner of the root; entries of others */
    /* the file whose bytes come */
    int fd;
    mode_t mode;
    int64_t mtime_ns;
    uint64_t size, at, written; /* written: where its last stored byte ends */
};

static int fail_sys(struct writing *w, const char *what)
{
    return copy_fail_sys(w->error, errno, what);
}

static int open_stage(struct writing *w)
{
    /* What is merged is staged in the folder itself, which may be a mount. */
    if (w->target->flags & COPY_MERGE)
        w->into = openat(w->target->dir, w->target->name,
                         O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int dir = w->into >= 0 ? w->into : w->target->dir;
    copy_sweep(dir);
    for (int i = 0; i < NAMES_MAX; i++) {
        unsigned long long number;
        struct stat st;
        if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
            return fail_sys(w, "cannot get random bytes");
        snprintf(w->stage_name, sizeof(w->stage_name), COPY_STAGE_NAME "%016llx", number);
        if (mkdirat(dir, w->stage_name, 0700) < 0) {
            if (errno == EEXIST)
                continue;
            break;
        }
        w->stage = openat(dir, w->stage_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        /* In a folder that others may write it could be another one by now. */
        if (w->stage >= 0 && fstat(w->stage, &st) == 0 && st.st_uid == geteuid()
            && (st.st_mode & 0077) == 0) {
            if (copy_hold(w->stage) == 0)
                return 0;
            close(w->stage);
            w->stage = -1;
            continue;
        }
        break; /* whose it is now is not known: who sweeps may take it */
    }
    w->stage_name[0] = '\0';
    return fail_sys(w, "cannot write beside the destination");
}

/* --- files --------------------------------------------------------------------------------- */

static const char *special_name(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFIFO:
        return "a named pipe is not copied";
    case S_IFSOCK:
        return "a socket is not copied";
    case S_IFCHR:
    case S_IFBLK:
        return "a device is not copied";
    default:
        return "a file of an unknown kind is not copied";
    }
}

/* The mode that it gets here. */
static mode_t own_mode(struct writing *w, const struct copy_entry *en)
{
    mode_t mode = (mode_t)en->mode & 07777;
    if (!(w->target->flags & COPY_NO_SET_ID) || !(mode & 06000))
        return mode;
    copy_note(w->notes, en->path, en->path_size, 0, "its set-user-ID or set-group-ID bit");
    return mode & 01777;
}

static int finish_file(struct writing *w)
{
    if (w->written < w->size && ftruncate(w->fd, (off_t)w->size) < 0)
        return fail_sys(w, "cannot set the size of a file");
    /* The time comes after the bytes, the mode after the writes, which take set-id bits away. */
    if (fchmod(w->fd, w->mode) < 0 || copy_set_time(w->fd, w->mtime_ns) < 0)
        return fail_sys(w, "cannot set mode and time of a file");
    if (!w->is_folder && fsync(w->fd) < 0)
        return fail_sys(w, "cannot write a file to the disk");
    close(w->fd);
    w->fd = -1;
    return 0;
}

static int begin_file(struct writing *w, int dir, const char *name, const struct copy_entry *en)
{
    w->fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (w->fd < 0 && errno == EEXIST)
        return copy_fail(w->error, NT_GE_INVALID, EEXIST, "a name came twice");
    if (w->fd < 0)
        return fail_sys(w, "cannot make a file");
    w->mode = own_mode(w, en);
    w->mtime_ns = en->mtime_ns;
    w->size = en->size;
    w->at = w->written = 0;
    return w->size ? 0 : finish_file(w);
}

static int write_bytes(struct writing *w, const uint8_t *bytes, size_t size)
{
    while (size) {
        ssize_t n = pwrite(w->fd, bytes, size, (off_t)w->at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_sys(w, "cannot write a file");
        bytes += n;
        size -= (size_t)n;
        w->at += (uint64_t)n;
        w->written = w->at;
        if (w->link->moved)
            atomic_fetch_add(w->link->moved, (uint64_t)n);
    }
    return w->at == w->size ? finish_file(w) : 0;
}

/* --- names --------------------------------------------------------------------------------- */

/* Opens the folder of a path below the root, one step after the other: a path may be longer than
 * PATH_MAX. *ret_name: the last component. */
static int open_above(struct writing *w, const char *path, size_t size, char ret_name[NAME_MAX + 1])
{
    int at = dup(w->levels[0].fd);
    while (at >= 0) {
        const char *slash = memchr(path, '/', size);
        size_t n = slash ? (size_t)(slash - path) : size;
        memcpy(ret_name, path, n); /* NAME_MAX: copy_entry_read */
        ret_name[n] = '\0';
        if (!slash)
            break;
        int next = openat(at, ret_name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        close(at);
        at = next;
        path += n + 1;
        size -= n + 1;
    }
    return at;
}

static int make_link(struct writing *w, int dir, const char *name, const struct copy_entry *en)
{
    char first[NAME_MAX + 1];
    struct stat st;
    int above = w->depth ? open_above(w, en->link, en->link_size, first) : -1;
    int rc =
        above < 0 || fstatat(above, first, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode)
            ? -2
            : linkat(above, first, dir, name, 0);
    int sys = errno;
    if (above >= 0)
        close(above);
    errno = sys;
    if (rc == -2)
        return copy_fail(w->error, NT_GE_INVALID, EINVAL, "an entry links to what was not sent");
    return rc < 0 ? fail_sys(w, "cannot make a hard link") : 0;
}

static int make_symlink(struct writing *w, int dir, const char *name, const struct copy_entry *en)
{
    char target[PATH_MAX];
    memcpy(target, en->target, en->target_size); /* below PATH_MAX: copy_entry_read */
    target[en->target_size] = '\0';
    if (symlinkat(target, dir, name) < 0)
        return errno == EEXIST ? copy_fail(w->error, NT_GE_INVALID, EEXIST, "a name came twice")
                               : fail_sys(w, "cannot make a symbolic link");
    int64_t sec = en->mtime_ns / 1000000000, ns = en->mtime_ns % 1000000000;
    struct timespec times[2] = { { .tv_nsec = UTIME_NOW },
                                 { .tv_sec = ns < 0 ? sec - 1 : sec,
                                   .tv_nsec = ns < 0 ? ns + 1000000000 : ns } };
    utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW);
    return 0;
}

static int make_folder(struct writing *w, int dir, const char *name, const struct copy_entry *en)
{
    if (mkdirat(dir, name, 0700) < 0)
        return errno == EEXIST ? copy_fail(w->error, NT_GE_INVALID, EEXIST, "a name came twice")
                               : fail_sys(w, "cannot make a folder");
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return fail_sys(w, "cannot open a new folder");
    w->levels[w->depth++] = (struct level){ fd, own_mode(w, en), en->mtime_ns };
    return 0;
}

/* Closes the innermost folder; its time is set when nothing more comes into it. */
static int close_folder(struct writing *w)
{
    struct level *l = &w->levels[--w->depth];
    int rc = fchmod(l->fd, w->depth ? l->mode : l->mode | 0700) < 0
                     || copy_set_time(l->fd, l->mtime_ns) < 0
                 ? fail_sys(w, "cannot set mode and time of a folder")
                 : 0;
    close(l->fd);
    return rc;
}

/* --- frames -------------------------------------------------------------------------------- */

static void note_owner(struct writing *w, const struct copy_entry *en)
{
    if (w->order.count == 1) {
        w->uid = en->uid;
        w->gid = en->gid;
    }
    w->strangers += en->uid != w->uid || en->gid != w->gid;
    if (w->strangers == 1 && (en->uid != w->uid || en->gid != w->gid))
        copy_note(w->notes, en->path, en->path_size, 0,
                  "its owner or group, and those of others like it");
}

static int take_entry(struct writing *w, const struct copy_entry *en)
{
    char message[300];
    if (en->sys || en->message_size) {
        snprintf(message, sizeof(message), "%.*s", (int)en->message_size,
                 en->message_size ? en->message : "");
        copy_note(w->notes, en->path, en->path_size, en->sys,
                  en->message_size ? message : strerror(en->sys));
    }
    if (en->sys)
        return 0;
    note_owner(w, en);
    char name[NAME_MAX + 1] = COPY_FRESH;
    int dir = w->depth ? w->levels[w->depth - 1].fd : w->stage;
    if (en->path_size) {
        const char *slash = memrchr(en->path, '/', en->path_size);
        size_t n = slash ? en->path_size - (size_t)(slash + 1 - en->path) : en->path_size;
        memcpy(name, slash ? slash + 1 : en->path, n);
        name[n] = '\0';
    } else {
        w->is_folder = S_ISDIR((mode_t)en->mode);
        w->root_mtime_ns = en->mtime_ns;
        w->root_mode = (mode_t)en->mode & (w->target->flags & COPY_NO_SET_ID ? 01777 : 07777);
        if (!w->is_folder && !S_ISREG((mode_t)en->mode) && !S_ISLNK((mode_t)en->mode))
            return copy_fail(w->error, NT_GE_INVALID, EINVAL, special_name((mode_t)en->mode));
        if (!w->is_folder && w->target->flags & COPY_FOLDER)
            return copy_fail(w->error, NT_GE_NOT_FOUND, ENOENT,
                             "the destination ends with a slash, but is no folder");
        if (copy_may_replace(w->target, w->is_folder, w->error) < 0)
            return -1;
    }
    if (en->has_link)
        return make_link(w, dir, name, en);
    switch (en->mode & S_IFMT) {
    case S_IFREG:
        return begin_file(w, dir, name, en);
    case S_IFDIR:
        return make_folder(w, dir, name, en);
    case S_IFLNK:
        return make_symlink(w, dir, name, en);
    default:
        copy_note(w->notes, en->path, en->path_size, 0, special_name((mode_t)en->mode));
        return 0;
    }
}

static int take_hole(struct writing *w, uint64_t size)
{
    w->at += size;
    if (w->link->moved)
        atomic_fetch_add(w->link->moved, size);
    return w->at == w->size ? finish_file(w) : 0;
}

static int take_frames(struct writing *w)
{
    int rc = 0;
    while (rc == 0 && !w->order.has_ended) {
        struct nt_g_frame frame;
        struct copy_entry en;
        const char *why = NULL;
        unsigned up;
        if (copy_link_next(w->link, &frame, w->error) < 0)
            return -1;
        if (frame.type == NT_G_BEAT)
            continue;
        if (frame.type == NT_G_ERROR)
            return copy_link_refused(&frame, w->error);
        bool is_end = frame.type == NT_G_END;
        if (copy_order_take(&w->order, &frame, &en, &up, &why) < 0)
            return copy_fail(w->error, is_end ? NT_GE_MISMATCH : NT_GE_INVALID, EPROTO, why);
        for (; up && rc == 0; up--)
            rc = close_folder(w);
        if (rc == 0 && frame.type == NT_G_ENTRY)
            rc = take_entry(w, &en);
        else if (rc == 0 && frame.type == NT_G_DATA)
            rc = write_bytes(w, frame.payload, frame.size);
        else if (rc == 0 && frame.type == NT_G_HOLE)
            rc = take_hole(w, en.size);
    }
    while (w->depth && rc == 0)
        rc = close_folder(w);
    return rc;
}

int copy_write(struct copy_link *l, const struct copy_target *target, struct copy_notes *notes,
               struct copy_totals *ret, struct copy_error *e)
{
    struct writing *w = calloc(1, sizeof(*w));
    if (!w)
        return copy_fail(e, NT_GE_SYSTEM, ENOMEM, "out of memory");
    w->link = l;
    w->target = target;
    w->notes = notes;
    w->error = e;
    w->stage = w->fd = w->into = -1;
    int rc = open_stage(w);
    if (rc == 0)
        rc = take_frames(w);
    /* One call for all files: what is renamed is on the disk before it. */
    if (rc == 0 && w->is_folder && syncfs(w->stage) < 0)
        rc = fail_sys(w, "cannot write the files to the disk");
    if (rc == 0)
        rc = copy_settle(w->stage, target, w->into, w->is_folder, w->root_mode, notes, e);
    *ret = (struct copy_totals){ w->order.count, w->order.bytes };
    while (w->depth)
        close(w->levels[--w->depth].fd);
    if (w->fd >= 0)
        close(w->fd);
    if (w->stage_name[0])
        copy_remove_stage(w->into >= 0 ? w->into : target->dir, w->stage_name, w->stage);
    if (w->stage >= 0)
        close(w->stage);
    if (w->into >= 0) {
        if (rc == 0)
            copy_set_time(w->into, w->root_mtime_ns); /* the stage has left it */
        close(w->into);
    }
    copy_order_done(&w->order);
    free(w);
    return rc;
}
