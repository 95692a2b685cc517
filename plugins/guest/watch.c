/* SPDX-License-Identifier: Apache-2.0 */
/* watch.c - WATCH: what changes in a folder, by inotify. Runs in a helper process of its own, which
 * sleeps until something happens.
 *
 * Recursive: inotify watches one folder, so each new one gets a watch and is then read: what was
 * made in it before the watch is reported too, and once. Folders are opened below the watched one,
 * without following links in any part of their path, and watched by descriptor: a name that is
 * swapped meanwhile leads nowhere. When the kernel has lost events, all is looked at again and
 * RESYNC is said. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "plugins/guest/search.h"
#include "sdk/clock.h"

#define DEPTH_MAX 128
#define FOLDERS_MAX 16384u
#define SEEN_MAX 4096u
#define MASK                                                                                       \
    (IN_CREATE | IN_MODIFY | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF  \
     | IN_MOVE_SELF | IN_EXCL_UNLINK)

/* A watched folder (or the one file). */
struct folder {
    int wd;
    char *path;
};

/* A name that was found by reading: its CREATE may still be in the queue. */
struct seen {
    int wd;
    char name[NAME_MAX + 1];
};

struct watch {
    struct helper_io *io;
    int inotify;
    bool is_recursive;
    int root_wd;
    dev_t root_dev;
    ino_t root_ino;
    char root[PATH_MAX];
    struct folder *folders; /* by wd, which the kernel counts upwards */
    size_t count, cap;
    struct seen *seen;
    size_t seen_count;
    int last_wd; /* of the last WRITE told, with its name: editors write in many pieces */
    char last_name[NAME_MAX + 1];
    int64_t beat_ms, said_ms, end_ms; /* end: 0: never */
};

static uint8_t memory[NT_G_HEAD + 16384];

/* --- watched folders ----------------------------------------------------------------------- */

/* Where wd is, or belongs. */
static size_t folder_at(const struct watch *w, int wd)
{
    size_t low = 0, high = w->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (w->folders[middle].wd < wd)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct folder *folder_find(const struct watch *w, int wd)
{
    size_t i = folder_at(w, wd);
    return i < w->count && w->folders[i].wd == wd ? &w->folders[i] : NULL;
}

static void folder_drop(struct watch *w, size_t i)
{
    free(w->folders[i].path);
    memmove(w->folders + i, w->folders + i + 1, (w->count - i - 1) * sizeof(*w->folders));
    w->count--;
}

static void __attribute__((noreturn)) refuse_limit(struct watch *w, int sys)
{
    if (sys == ENOSPC)
        io_refuse(w->io, NT_GE_LIMIT, sys,
                  "too many folders: fs.inotify.max_user_watches of the host is reached");
    if (sys == EMFILE)
        io_refuse(w->io, NT_GE_LIMIT, sys,
                  "too many watches: fs.inotify.max_user_instances of the host is reached");
    io_fail(w->io, sys, "cannot watch it");
}

/* Watches what fd is; the wd is an old one when it was watched already: by this name (*is_known),
 * or by another one. */
static int folder_add(struct watch *w, int fd, const char *path, bool *is_known)
{
    char self[40];
    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    int wd = inotify_add_watch(w->inotify, self, MASK);
    if (wd < 0)
        refuse_limit(w, errno);
    char *copy = strdup(path);
    struct folder *old = folder_find(w, wd);
    if (!copy)
        refuse_limit(w, ENOMEM);
    *is_known = old && strcmp(old->path, path) == 0;
    if (old) {
        free(old->path);
        old->path = copy;
        return wd;
    }
    if (w->count == FOLDERS_MAX)
        io_refuse(w->io, NT_GE_LIMIT, 0, "more than 16384 folders: watch a part of them");
    if (w->count == w->cap) {
        size_t cap = w->cap ? 2 * w->cap : 16;
        struct folder *grown = realloc(w->folders, cap * sizeof(*grown));
        if (!grown)
            refuse_limit(w, ENOMEM);
        w->folders = grown;
        w->cap = cap;
    }
    size_t at = folder_at(w, wd);
    memmove(w->folders + at + 1, w->folders + at, (w->count - at) * sizeof(*w->folders));
    w->folders[at] = (struct folder){ wd, copy };
    w->count++;
    return wd;
}

/* The folder at path has gone elsewhere, with all that is in it. */
static void folders_leave(struct watch *w, const char *path)
{
    size_t size = strlen(path);
    for (size_t i = w->count; i-- > 0;) {
        const char *p = w->folders[i].path;
        if (strncmp(p, path, size) != 0 || (p[size] && p[size] != '/'))
            continue;
        inotify_rm_watch(w->inotify, w->folders[i].wd);
        folder_drop(w, i);
    }
}

/* --- telling ------------------------------------------------------------------------------- */

static void tell(struct watch *w, uint64_t event, const char *name, const char *path)
{
    struct nt_g_writer out = nt_g_begin(memory, sizeof(memory), NT_G_ENTRY);
    nt_g_add_number(&out, NT_GT_EVENT, event);
    nt_g_add_text(&out, NT_GT_NAME, name);
    nt_g_add_text(&out, NT_GT_PATH, path);
    io_send(w->io, &out);
    w->said_ms = nt_now_ms();
}

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static void __attribute__((noreturn)) finish(struct watch *w)
{
    struct nt_g_writer out = nt_g_begin(memory, sizeof(memory), NT_G_END);
    io_send(w->io, &out);
    _exit(0);
}

static void seen_add(struct watch *w, int wd, const char *name)
{
    if (!w->seen)
        w->seen = calloc(SEEN_MAX, sizeof(*w->seen));
    if (!w->seen || w->seen_count == SEEN_MAX)
        return; /* told twice, then */
    w->seen[w->seen_count].wd = wd;
    snprintf(w->seen[w->seen_count++].name, NAME_MAX + 1, "%s", name);
}

static bool seen_take(struct watch *w, int wd, const char *name)
{
    for (size_t i = 0; i < w->seen_count; i++) {
        if (w->seen[i].wd != wd || strcmp(w->seen[i].name, name) != 0)
            continue;
        w->seen[i] = w->seen[--w->seen_count];
        return true;
    }
    return false;
}

/* Takes fd. Watches the folder and, when recursive, all below it; tells of what is in it when it is
 * a new one. */
static int watch_tree(struct watch *w, int fd, const char *path, bool is_new, int depth)
{
    bool is_known;
    int wd = folder_add(w, fd, path, &is_known);
    /* A new folder that is known has been read with its parent, before the event of its making. */
    DIR *dir = w->is_recursive && !(is_new && is_known) ? fdopendir(fd) : NULL;
    if (!dir) {
        close(fd);
        return wd;
    }
    for (struct dirent *d; (d = readdir(dir));) {
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
            continue;
        char below[PATH_MAX];
        int n = snprintf(below, sizeof(below), "%s/%s", path[1] ? path : "", d->d_name);
        if (n >= (int)sizeof(below))
            continue;
        if (is_new) {
            seen_add(w, wd, d->d_name);
            tell(w, NT_GW_CREATE, d->d_name, below);
        }
        int sub = depth < DEPTH_MAX && (d->d_type == DT_DIR || d->d_type == DT_UNKNOWN)
                      ? openat(dirfd(dir), d->d_name,
                               O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
                      : -1;
        if (sub >= 0)
            watch_tree(w, sub, below, is_new, depth + 1);
    }
    closedir(dir);
    return wd;
}

/* What is watched, if it still lies there. Not held open: it may be a mount, to be unmounted. */
static int root_open(const struct watch *w, int flags)
{
    int fd = open(w->root, flags | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || (fstat(fd, &st) == 0 && st.st_dev == w->root_dev && st.st_ino == w->root_ino))
        return fd;
    close(fd);
    errno = ENOENT;
    return -1;
}

/* A folder has come into a watched one. Its parents may have been swapped for links since. */
static void folder_came(struct watch *w, const char *path)
{
    const char *below = path + strlen(w->root);
    below += *below == '/'; /* not when the root is "/" */
    struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC,
                            .resolve =
                                RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
    int root = root_open(w, O_PATH | O_DIRECTORY), depth = 2;
    int fd = root < 0 ? -1 : (int)syscall(SYS_openat2, root, below, &how, sizeof(how));
    if (root >= 0)
        close(root);
    for (const char *p = below; *p; p++)
        depth += *p == '/';
    if (fd >= 0)
        watch_tree(w, fd, path, true, depth);
}

/* --- events -------------------------------------------------------------------------------- */

static void resync(struct watch *w)
{
    int fd = root_open(w, O_RDONLY);
    if (fd >= 0)
        watch_tree(w, fd, w->root, false, 1);
    w->seen_count = 0;
    tell(w, NT_GW_RESYNC, name_of(w->root), w->root);
}

/* Something about what is in a watched folder. */
static void on_name(struct watch *w, const struct inotify_event *e, const char *folder)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/%s", folder[1] ? folder : "", e->name);
    if (n >= (int)sizeof(path))
        return;
    bool is_same = w->last_wd == e->wd && strcmp(w->last_name, e->name) == 0;
    w->last_wd = -1;
    if (e->mask & IN_MODIFY) {
        if (!is_same)
            tell(w, NT_GW_WRITE, e->name, path);
        w->last_wd = e->wd;
        snprintf(w->last_name, sizeof(w->last_name), "%s", e->name);
    } else if (e->mask & (IN_CREATE | IN_MOVED_TO)) {
        if (!seen_take(w, e->wd, e->name))
            tell(w, NT_GW_CREATE, e->name, path);
        if (w->is_recursive && (e->mask & IN_ISDIR))
            folder_came(w, path);
    } else if (e->mask & (IN_DELETE | IN_MOVED_FROM)) {
        if (e->mask & IN_ISDIR)
            folders_leave(w, path);
        tell(w, e->mask & IN_DELETE ? NT_GW_REMOVE : NT_GW_RENAME, e->name, path);
    } else if (e->mask & IN_ATTRIB) {
        tell(w, NT_GW_CHMOD, e->name, path);
    }
}

/* Something about what is watched itself: for the root it matters, for a folder below its parent
 * has told. */
static void on_self(struct watch *w, const struct inotify_event *e)
{
    if (e->wd != w->root_wd)
        return;
    if (e->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED)) {
        tell(w, e->mask & IN_MOVE_SELF ? NT_GW_RENAME : NT_GW_REMOVE, name_of(w->root), w->root);
        finish(w); /* what comes to lie there later is another one */
    }
    if (e->mask & IN_MODIFY)
        tell(w, NT_GW_WRITE, name_of(w->root), w->root);
    else if (e->mask & IN_ATTRIB)
        tell(w, NT_GW_CHMOD, name_of(w->root), w->root);
}

static void read_events(struct watch *w)
{
    static union {
        char bytes[16384];
        struct inotify_event align;
    } buffer;
    ssize_t n = read(w->inotify, buffer.bytes, sizeof(buffer.bytes));
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0)
        io_fail(w->io, n < 0 ? errno : EIO, "cannot read the events");
    for (size_t at = 0; at < (size_t)n;) {
        const struct inotify_event *e =
            (const struct inotify_event *)(const void *)(buffer.bytes + at);
        at += sizeof(*e) + e->len;
        const struct folder *f = folder_find(w, e->wd);
        if (e->mask & IN_Q_OVERFLOW)
            resync(w);
        else if (f && e->len && e->name[0])
            on_name(w, e, f->path);
        else if (f)
            on_self(w, e);
        if (f && (e->mask & IN_IGNORED) && (f = folder_find(w, e->wd)))
            folder_drop(w, (size_t)(f - w->folders));
    }
    w->last_wd = -1; /* the next piece is news again */
}

/* Sleeps until something is to be done; ends the process when the peer has gone. */
static bool wait_events(struct watch *w)
{
    int64_t now = nt_now_ms(), until = w->end_ms;
    if (w->beat_ms && (!until || w->said_ms + w->beat_ms < until))
        until = w->said_ms + w->beat_ms;
    int64_t left = until ? until - now : -1;
    struct pollfd fds[2] = { { w->inotify, POLLIN, 0 }, { w->io->fd, POLLIN | POLLRDHUP, 0 } };
    int n = poll(fds, 2, !until ? -1 : left < 0 ? 0 : left > 3600000 ? 3600000 : (int)left);
    if (fds[1].revents)
        _exit(0); /* nothing may follow a request to watch */
    if (n == 0)
        w->seen_count = 0; /* the queue is empty */
    now = nt_now_ms();     /* also when something comes all the time: not all of it is told */
    if (w->end_ms && now >= w->end_ms)
        finish(w);
    if (w->beat_ms && now >= w->said_ms + w->beat_ms) {
        io_raw(w->io, NT_G_BEAT, NULL, 0);
        w->said_ms = now;
    }
    return fds[0].revents & POLLIN;
}

void watch_serve(struct helper_io *io, const struct request *r)
{
    static struct watch w = { .last_wd = -1 };
    w.io = io;
    io_path(io, r, NT_GT_PATH, w.root);
    w.is_recursive = request_number(r, NT_GT_FLAGS, 0) & NT_GF_RECURSIVE;
    uint64_t timeout = request_number(r, NT_GT_TIMEOUT_MS, 0);
    uint64_t beat = request_number(r, NT_GT_BEAT_MS, 0);
    w.inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (w.inotify < 0)
        refuse_limit(&w, errno);
    int fd = open(w.root, O_PATH | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        io_fail(io, errno, "cannot watch it");
    w.root_dev = st.st_dev;
    w.root_ino = st.st_ino;
    if (S_ISDIR(st.st_mode)) {
        close(fd);
        fd = root_open(&w, O_RDONLY | O_DIRECTORY);
        if (fd < 0)
            io_fail(io, errno, "cannot open the folder");
    } else if (!S_ISREG(st.st_mode)) {
        io_refuse(io, NT_GE_INVALID, EINVAL, "that is neither a folder nor a regular file");
    } else {
        w.is_recursive = false;
    }
    w.root_wd = watch_tree(&w, fd, w.root, false, 1);
    struct nt_g_writer ok = nt_g_begin(memory, sizeof(memory), NT_G_OK);
    io_send(io, &ok);
    w.said_ms = nt_now_ms();
    w.beat_ms = beat < 3600000 ? (int64_t)beat : 3600000;
    w.end_ms = timeout ? w.said_ms + (int64_t)(timeout < INT32_MAX ? timeout : INT32_MAX) : 0;
    for (;;)
        if (wait_events(&w))
            read_events(&w);
}
