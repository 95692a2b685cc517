/* SPDX-License-Identifier: Apache-2.0 */
/* files.c - STAT, LIST, READ, MKDIR, REMOVE, RENAME, CHMOD; runs in a helper process (helper.h), so
 * it may block. Programs may change the tree at any time: what is walked is opened by descriptor
 * and never followed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugins/guest/copy/copy.h"
#include "plugins/guest/helper.h"

#define ENTRIES_MAX 100000u
#define DEPTH_MAX 64u
#define REMOVE_DEPTH_MAX 64
#define READ_SIZE NT_G_CHUNK

static uint8_t memory[NT_G_HEAD + NT_G_FRAME_MAX];
static uint8_t content[READ_SIZE];

static void add_stat(struct nt_g_writer *w, const struct stat *st, const char *path)
{
    int64_t ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
    nt_g_add_text(w, NT_GT_PATH, path);
    nt_g_add_number(w, NT_GT_MODE, st->st_mode);
    nt_g_add_number(w, NT_GT_SIZE, (uint64_t)st->st_size);
    nt_g_add_number(w, NT_GT_MTIME_NS, ns < 0 ? 0 : (uint64_t)ns);
    nt_g_add_number(w, NT_GT_UID, st->st_uid);
    nt_g_add_number(w, NT_GT_GID, st->st_gid);
    nt_g_add_text(w, NT_GT_OWNER, owner_name(st->st_uid));
    nt_g_add_text(w, NT_GT_GROUP, group_name(st->st_gid));
}

int entry_add(struct nt_g_writer *w, int dir, const char *name, const char *path)
{
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -1;
    add_stat(w, &st, path);
    if (S_ISLNK(st.st_mode)) {
        char target[PATH_MAX];
        ssize_t n = readlinkat(dir, name, target, sizeof(target));
        if (n > 0)
            nt_g_add(w, NT_GT_TARGET, target, (size_t)n);
    }
    return 0;
}

void entry_send(struct helper_io *io, const char *path)
{
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_OK);
    if (entry_add(&w, AT_FDCWD, path, path) < 0)
        io_fail(io, errno, "cannot look at the file");
    io_send(io, &w);
}

static void send_ok(struct helper_io *io)
{
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_OK);
    io_send(io, &w);
}

/* --- listing ------------------------------------------------------------------------------- */

struct listing {
    struct helper_io *io;
    uint32_t count;
    char path[PATH_MAX];
};

/* Takes fd. What cannot be opened below the first folder is left out. */
static void list_dir(struct listing *l, int fd, size_t path_size, uint64_t depth)
{
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return;
    }
    for (struct dirent *d; (d = readdir(dir));) {
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
            continue;
        int n = snprintf(l->path + path_size, sizeof(l->path) - path_size, "%s%s",
                         path_size && l->path[path_size - 1] == '/' ? "" : "/", d->d_name);
        if (n < 0 || (size_t)n >= sizeof(l->path) - path_size)
            continue;
        struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_ENTRY);
        if (entry_add(&w, dirfd(dir), d->d_name, l->path) < 0)
            continue; /* gone meanwhile */
        if (++l->count > ENTRIES_MAX)
            io_refuse(l->io, NT_GE_LIMIT, 0,
                      "the folder has more than 100000 entries: list its parts");
        io_send(l->io, &w);
        int sub = depth > 1 ? openat(dirfd(dir), d->d_name,
                                     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                            : -1;
        if (sub >= 0)
            list_dir(l, sub, path_size + (size_t)n, depth - 1);
    }
    closedir(dir);
}

static void serve_list(struct helper_io *io, const struct request *r)
{
    static struct listing l;
    l.io = io;
    io_path(io, r, NT_GT_PATH, l.path);
    uint64_t depth = request_number(r, NT_GT_DEPTH, 1);
    int fd = open(l.path, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC);
    int sys = errno;
    struct stat st;
    /* When it is not there, a part before the last is a file. */
    if (fd < 0 && sys == ENOTDIR && stat(l.path, &st) == 0)
        io_refuse(io, NT_GE_INVALID, sys, "that is not a folder");
    if (fd < 0)
        io_fail(io, sys, "cannot open the folder");
    list_dir(&l, fd, strlen(l.path), depth < DEPTH_MAX ? depth : DEPTH_MAX);
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_END);
    io_send(io, &w);
}

/* --- reading ------------------------------------------------------------------------------- */

static void serve_read(struct helper_io *io, const struct request *r)
{
    char path[PATH_MAX];
    struct stat st;
    io_path(io, r, NT_GT_PATH, path);
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) < 0)
        io_fail(io, errno, "cannot open the file");
    if (S_ISDIR(st.st_mode))
        io_refuse(io, NT_GE_INVALID, EISDIR, "that is a folder");
    if (!S_ISREG(st.st_mode)) /* those of /proc are regular, too */
        io_refuse(io, NT_GE_INVALID, EINVAL, "that is not a regular file");
    uint64_t offset = request_number(r, NT_GT_OFFSET, 0),
             left = request_number(r, NT_GT_SIZE, UINT64_MAX), sent = 0;
    if (offset > INT64_MAX || lseek(fd, (off_t)offset, SEEK_SET) < 0)
        io_refuse(io, NT_GE_INVALID, EINVAL, "the offset is out of range");
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_OK);
    add_stat(&w, &st, path); /* of the file whose bytes follow, whatever the name means by now */
    char id[41];             /* another file under the same name has another one */
    snprintf(id, sizeof(id), "%llx_%llx", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino);
    nt_g_add_text(&w, NT_GT_ID, id);
    if (request_number(r, NT_GT_FLAGS, 0) & NT_GF_PASS_FD && st.st_size > 0 && copy_is_plain(fd)) {
        io_send_fd(io, &w, fd);
        return;
    }
    io_send(io, &w);
    while (left) {
        ssize_t n = read(fd, content, left < sizeof(content) ? (size_t)left : sizeof(content));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            io_fail(io, errno, "cannot read the file");
        if (n == 0)
            break;
        io_raw(io, NT_G_DATA, content, (size_t)n);
        left -= (uint64_t)n;
        sent += (uint64_t)n;
    }
    w = nt_g_begin(memory, sizeof(memory), NT_G_END);
    nt_g_add_number(&w, NT_GT_OUT_BYTES, sent);
    io_send(io, &w);
}

/* --- removing ------------------------------------------------------------------------------ */

static int remove_entry(int top, int dir, const char *name, int depth, bool *moved);

/* Empties a folder; takes fd. */
static int empty_dir(int top, int fd, int depth, bool *moved)
{
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return -1;
    }
    int rc = 0;
    for (struct dirent *d; rc == 0 && (d = readdir(dir));)
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
            rc = remove_entry(top < 0 ? dirfd(dir) : top, dirfd(dir), d->d_name, depth, moved);
    int sys = errno;
    closedir(dir);
    errno = sys;
    return rc;
}

static int open_dir(int dir, const char *name)
{
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (fd < 0 && errno == EACCES && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0
        && S_ISDIR(st.st_mode) && fchmodat(dir, name, 0700, 0) == 0)
        fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd;
}

/* Each level costs a descriptor: what lies deeper is moved to the top, and met there in a later
 * round. */
static int remove_entry(int top, int dir, const char *name, int depth, bool *moved)
{
    static unsigned number;
    if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -1;
    if (depth > REMOVE_DEPTH_MAX) {
        char other[64];
        snprintf(other, sizeof(other), ".nanoterm-remove-%d-%u", (int)getpid(), number++);
        *moved = true;
        return renameat(dir, name, top, other);
    }
    int fd = open_dir(dir, name);
    if (fd < 0 || empty_dir(top, fd, depth + 1, moved) < 0)
        return -1;
    return unlinkat(dir, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -1 : 0;
}

static void serve_remove(struct helper_io *io, const struct request *r)
{
    char path[PATH_MAX];
    struct stat st, root;
    io_path(io, r, NT_GT_PATH, path);
    if (lstat(path, &st) < 0)
        io_fail(io, errno, "cannot find the file");
    const char *name = strrchr(path, '/') + 1;
    if (stat("/", &root) == 0 && root.st_dev == st.st_dev && root.st_ino == st.st_ino)
        io_refuse(io, NT_GE_INVALID, EBUSY, "the root cannot be removed");
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) /* it would be emptied and stay */
        io_refuse(io, NT_GE_INVALID, EINVAL, "the path ends with . or ..: name the folder");
    int rc = S_ISDIR(st.st_mode) ? 0 : unlink(path);
    for (bool again = S_ISDIR(st.st_mode); rc == 0 && again;) {
        again = false;
        int fd = open_dir(AT_FDCWD, path);
        rc = fd < 0 ? -1 : empty_dir(-1, fd, 0, &again);
    }
    if (rc == 0 && S_ISDIR(st.st_mode))
        rc = rmdir(path);
    if (rc < 0)
        io_fail(io, errno, "cannot remove it");
    send_ok(io);
}

/* --- the rest ------------------------------------------------------------------------------ */

static void serve_mkdir(struct helper_io *io, const struct request *r)
{
    char path[PATH_MAX];
    struct stat st;
    io_path(io, r, NT_GT_PATH, path);
    for (char *p = path + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        int rc = mkdir(path, 0755);
        if (rc < 0 && errno != EEXIST && stat(path, &st) < 0)
            io_fail(io, errno, "cannot make a folder above it");
        *p = '/';
    }
    mode_t mode = (mode_t)request_number(r, NT_GT_MODE, 0755) & 07777;
    if (mkdir(path, mode) == 0)
        chmod(path, mode);
    else if (errno != EEXIST || stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
        io_fail(io, errno, "cannot make the folder");
    send_ok(io);
}

static void serve_rename(struct helper_io *io, const struct request *r)
{
    char from[PATH_MAX], to[PATH_MAX];
    io_path(io, r, NT_GT_PATH, from);
    io_path(io, r, NT_GT_PATH2, to);
    if (rename(from, to) < 0)
        io_fail(io, errno, "cannot rename it");
    entry_send(io, to);
}

/* A link is followed, as by chmod(1); a mode above 7777 is a mistake, not a request. */
static void serve_chmod(struct helper_io *io, const struct request *r)
{
    char path[PATH_MAX];
    io_path(io, r, NT_GT_PATH, path);
    uint64_t mode = request_number(r, NT_GT_MODE, UINT64_MAX);
    if (mode > 07777)
        io_refuse(io, NT_GE_INVALID, EINVAL, "the mode is missing or out of range");
    if (chmod(path, (mode_t)mode) < 0)
        io_fail(io, errno, "cannot change the permissions");
    send_ok(io);
}

static void serve_stat(struct helper_io *io, const struct request *r)
{
    char path[PATH_MAX];
    io_path(io, r, NT_GT_PATH, path);
    entry_send(io, path);
}

void files_serve(struct helper_io *io, const struct request *r)
{
    static const struct {
        uint16_t type;
        void (*serve)(struct helper_io *io, const struct request *r);
    } rows[] = {
        { NT_G_STAT, serve_stat },   { NT_G_LIST, serve_list },     { NT_G_READ, serve_read },
        { NT_G_MKDIR, serve_mkdir }, { NT_G_REMOVE, serve_remove }, { NT_G_RENAME, serve_rename },
        { NT_G_CHMOD, serve_chmod },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].type == r->type)
            rows[i].serve(io, r);
}
