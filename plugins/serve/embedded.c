/* SPDX-License-Identifier: Apache-2.0 */
/* embedded.c - the runtime folder of this user's server: lock, token, socket
 * (include/nanoterm/local.h).
 *
 * The lock is held for life. The socket gets its name only when the server is ready, and loses it
 * before the server leaves: whoever holds the lock may put another one there. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nanoterm/local.h"
#include "plugins/serve/listen.h"
#include "plugins/serve/server.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

bool embedded_is_in_workspace(void)
{
    static const char guest[] = "nanoterm-guest";
    char text[64] = "";
    nt_autoclose int fd = open("/proc/1/cmdline", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t size = read(fd, text, sizeof(text) - 1);
    return size > 0 && strcmp(text, guest) == 0;
}

int folder_make(const char *path, struct nt_error *reterr)
{
    char part[4096];
    if (path[0] != '/' || strlen(path) >= sizeof(part))
        return nt_fail(reterr, NT_E_INVALID, "%s is not an absolute path, or too long", path);
    memcpy(part, path, strlen(path) + 1);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, 0700) < 0 && errno != EEXIST && errno != EROFS && errno != EACCES)
            return nt_fail_sys(reterr, errno, "cannot make %s", part);
        *slash = '/';
    }
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return nt_fail_sys(reterr, errno, "cannot make %s", path);
    nt_autoclose int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return nt_fail_sys(reterr, errno, "cannot open %s", path);
    if (st.st_uid != geteuid())
        return nt_fail(reterr, NT_E_FORBIDDEN, "%s belongs to another user", path);
    if ((st.st_mode & 077) && fchmod(fd, 0700) < 0)
        return nt_fail_sys(reterr, errno, "cannot close %s to others", path);
    return 0;
}

int folder_lock(const char *data_dir, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(4200);
    nt_buf_addf(&path, "%s/lock", data_dir);
    nt_autoclose int fd = open(nt_buf_text(&path), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return nt_fail_sys(reterr, errno, "cannot open %s", nt_buf_text(&path));
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return nt_fail(reterr, NT_E_CONFLICT, "another server uses %s", data_dir);
    return nt_take_fd(fd);
}

/* --- the lock ------------------------------------------------------------------------------ */

static int take_lock(struct embedded *e, struct nt_error *reterr)
{
    nt_autoclose int fd =
        openat(e->dir_fd, NT_LOCAL_LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return nt_fail_sys(reterr, errno, "cannot open the lock %s", NT_LOCAL_LOCK);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        char holder[24] = "";
        ssize_t size = pread(fd, holder, sizeof(holder) - 1, 0);
        holder[size > 0 ? (size_t)strspn(holder, "0123456789") : 0] = '\0';
        nt_fail(reterr, NT_E_CONFLICT, "a server of yours runs already%s%s%s",
                *holder ? " (process " : "", holder, *holder ? ")" : "");
        return nt_hint(reterr, "use it, stop it, or give this one its own --data and --listen");
    }
    e->lock_fd = nt_take_fd(fd);
    return 0;
}

/* The descriptor that a client gave must be the lock itself, and locked. */
static int inherit_lock(struct embedded *e, struct nt_error *reterr)
{
    struct stat given, named;
    if (fstat(NT_LOCAL_FD_LOCK, &given) < 0)
        return nt_fail(reterr, NT_E_USAGE,
                       "--embedded is for nanoterm itself: descriptor 3 is not there");
    if (fstatat(e->dir_fd, NT_LOCAL_LOCK, &named, AT_SYMLINK_NOFOLLOW) < 0
        || given.st_dev != named.st_dev || given.st_ino != named.st_ino)
        return nt_fail(reterr, NT_E_CONFLICT, "descriptor 3 is not the lock of the runtime folder");
    /* The lock belongs to the open file: taking it again does nothing when it is ours, and fails
     * when it is not. */
    if (flock(NT_LOCAL_FD_LOCK, LOCK_EX | LOCK_NB) < 0)
        return nt_fail_sys(reterr, errno, "the lock was not handed over");
    if (fcntl(NT_LOCAL_FD_LOCK, F_SETFD, FD_CLOEXEC) < 0)
        return nt_fail_sys(reterr, errno, "cannot keep the lock");
    e->lock_fd = NT_LOCAL_FD_LOCK;
    return 0;
}

static void write_holder(struct embedded *e)
{
    char text[24];
    int size = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    if (ftruncate(e->lock_fd, 0) == 0 && pwrite(e->lock_fd, text, (size_t)size, 0) < 0)
        return; /* it only helps to name the holder */
}

/* --- the token ----------------------------------------------------------------------------- */

static int write_token(struct embedded *e, char ret_token[68], struct nt_error *reterr)
{
    static const char fresh[] = NT_LOCAL_TOKEN ".new";
    unsigned char random[32];
    char token[2 * sizeof(random) + 1];
    randombytes_buf(random, sizeof(random));
    sodium_bin2hex(token, sizeof(token), random, sizeof(random));
    unlinkat(e->dir_fd, fresh, 0);
    nt_autoclose int fd =
        openat(e->dir_fd, fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || write(fd, token, sizeof(token) - 1) != (ssize_t)sizeof(token) - 1
        || renameat(e->dir_fd, fresh, e->dir_fd, NT_LOCAL_TOKEN) < 0)
        return nt_fail_sys(reterr, errno, "cannot write the local token");
    memcpy(ret_token, token, sizeof(token));
    return 0;
}

/* At a hand-over the token stays: clients that read it may be waiting in the backlog. */
static bool keep_token(struct embedded *e, char ret_token[68])
{
    char text[68] = "";
    struct stat st;
    nt_autoclose int fd =
        openat(e->dir_fd, NT_LOCAL_TOKEN, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid()
        || (st.st_mode & 077) || read(fd, text, sizeof(text) - 1) != 64
        || strspn(text, "0123456789abcdef") != 64)
        return false;
    memcpy(ret_token, text, 65);
    return true;
}

/* Whatever is named sock.<pid> was left by a server that fell: only the holder of the lock makes
 * them. */
static void remove_stale(struct embedded *e)
{
    int copy = openat(e->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (!dir) {
        if (copy >= 0)
            close(copy);
        return;
    }
    for (struct dirent *entry; (entry = readdir(dir));)
        if (strncmp(entry->d_name, NT_LOCAL_SOCKET ".", sizeof(NT_LOCAL_SOCKET)) == 0)
            unlinkat(e->dir_fd, entry->d_name, 0);
    closedir(dir);
}

void embedded_claim(struct embedded *e)
{
    struct stat st;
    /* After a hand-over there is none, and nobody waits. */
    if (fstat(NT_LOCAL_FD_READY, &st) == 0 && S_ISFIFO(st.st_mode)
        && fcntl(NT_LOCAL_FD_READY, F_SETFD, FD_CLOEXEC) == 0)
        e->ready_fd = NT_LOCAL_FD_READY;
}

int embedded_begin(struct embedded *e, const struct server_options *options, char ret_token[68],
                   struct nt_error *reterr)
{
    if (folder_make(options->runtime_dir, reterr) < 0)
        return nt_wrap(reterr, "the runtime folder");
    snprintf(e->path, sizeof(e->path), "%.290s/%s", options->runtime_dir, NT_LOCAL_SOCKET);
    e->dir_fd = open(options->runtime_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (e->dir_fd < 0)
        return nt_fail_sys(reterr, errno, "cannot open %s", options->runtime_dir);
    if ((options->embedded ? inherit_lock(e, reterr) : take_lock(e, reterr)) < 0)
        return -1;
    write_holder(e);
    remove_stale(e);
    if (options->listen_fd >= 0 && keep_token(e, ret_token))
        return 0;
    return write_token(e, ret_token, reterr);
}

static void tell(struct embedded *e, const char *line)
{
    if (e->ready_fd < 0)
        return;
    if (write(e->ready_fd, line, strlen(line)) < 0)
        errno = 0; /* it does not wait any more */
    close(e->ready_fd);
    e->ready_fd = -1;
}

void embedded_failed(struct embedded *e, const struct nt_error *error)
{
    nt_auto(nt_buf_done) struct nt_buf line = NT_BUF(4096);
    nt_buf_addf(&line, "%" PRIu32 "\t", error->code);
    nt_buf_add_printable(&line, error->message, false);
    nt_buf_add_char(&line, '\t');
    nt_buf_add_printable(&line, error->hint, false);
    nt_buf_add_char(&line, '\n');
    tell(e, nt_buf_ok(&line) ? nt_buf_text(&line) : "the server did not start\n");
}

int embedded_bind(struct embedded *e, const char *runtime_dir, int listen_fd,
                  struct listener *ret_like, struct nt_error *reterr)
{
    *ret_like = (struct listener){ .is_unix = true, .is_embedded = true };
    snprintf(ret_like->text, sizeof(ret_like->text), "unix:%.270s", e->path);
    if (listen_fd >= 0) {
        snprintf(e->name, sizeof(e->name), NT_LOCAL_SOCKET);
        return fcntl(listen_fd, F_SETFD, FD_CLOEXEC) < 0
                   ? nt_fail_sys(reterr, errno, "the listener was not handed over")
                   : listen_fd;
    }
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(4096);
    snprintf(e->name, sizeof(e->name), NT_LOCAL_SOCKET ".%d", (int)getpid());
    nt_buf_addf(&path, "%s/%s", runtime_dir, e->name);
    unlinkat(e->dir_fd, e->name, 0);
    return net_unix_listen(nt_buf_text(&path), reterr);
}

int embedded_name(struct embedded *e, struct nt_error *reterr)
{
    struct stat st;
    if ((strcmp(e->name, NT_LOCAL_SOCKET) != 0
         && renameat(e->dir_fd, e->name, e->dir_fd, NT_LOCAL_SOCKET) < 0)
        || fstatat(e->dir_fd, NT_LOCAL_SOCKET, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return nt_fail_sys(reterr, errno, "cannot name the socket");
    e->is_bound = true;
    e->socket_inode = st.st_ino;
    e->socket_device = st.st_dev;
    tell(e, "ready\n");
    return 0;
}

void embedded_unlink(struct embedded *e)
{
    struct stat st;
    if (!e->is_bound)
        return;
    e->is_bound = false;
    if (fstatat(e->dir_fd, NT_LOCAL_SOCKET, &st, AT_SYMLINK_NOFOLLOW) == 0
        && st.st_ino == e->socket_inode && st.st_dev == e->socket_device)
        unlinkat(e->dir_fd, NT_LOCAL_SOCKET, 0);
}

void embedded_done(struct embedded *e)
{
    nt_closep(&e->dir_fd);
    nt_closep(&e->lock_fd);
    nt_closep(&e->ready_fd);
    *e = (struct embedded)EMBEDDED_INIT;
}
