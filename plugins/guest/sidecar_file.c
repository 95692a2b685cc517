/* SPDX-License-Identifier: Apache-2.0 */
/* sidecar_file.c - the process that writes a program's log file and FILE.exit; see sidecar.h.
 *
 * It sees what the workspace sees and holds no other descriptor than its socket, so that no link of
 * the workspace leads anywhere else, not even through /proc/self/fd. Nothing but a regular file is
 * written to. The blocks of FILE.exit are allocated before the program starts: a disk that the
 * program fills does not keep its status away. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "plugins/guest/sidecar.h"
#include "plugins/guest/state.h"

#define SOCKET_FD 3
#define STATUS_ROOM 8

static char folder[SIDECAR_PATH_MAX], exit_name[SIDECAR_PATH_MAX + 8], temp_name[64];
static int dir = -1, log_fd = -1, exit_fd = -1;

static void tell(char kind, int sys)
{
    char packet[1 + sizeof(int32_t)] = { kind };
    int32_t value = sys;
    memcpy(packet + 1, &value, sizeof(value));
    while (send(SOCKET_FD, packet, sizeof(packet), MSG_NOSIGNAL) < 0 && errno == EINTR) {
    }
}

static int open_safely(int at, const char *path, uint64_t flags, uint64_t mode)
{
    struct open_how how = { .flags = flags | O_CLOEXEC,
                            .mode = mode,
                            .resolve = RESOLVE_NO_MAGICLINKS };
    return (int)syscall(SYS_openat2, at, path, &how, sizeof(how));
}

static int split(const char *path, const char **ret_name)
{
    const char *slash = strrchr(path, '/');
    if (!slash || !slash[1] || strcmp(slash + 1, ".") == 0 || strcmp(slash + 1, "..") == 0) {
        errno = EISDIR;
        return -1;
    }
    *ret_name = slash + 1;
    size_t size = slash == path ? 1 : (size_t)(slash - path);
    memcpy(folder, path, size);
    folder[size] = '\0';
    return 0;
}

static int open_log(const char *name, bool is_again)
{
    /* a FIFO without a reader fails at once, and nothing else waits */
    log_fd = open_safely(dir, name, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_NOCTTY, 0644);
    struct stat st;
    if (log_fd < 0 || fstat(log_fd, &st) < 0)
        return -1;
    if (!S_ISREG(st.st_mode)) {
        errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
        return -1;
    }
    return is_again ? 0 : ftruncate(log_fd, 0);
}

/* The file that will be FILE.exit, empty but with room. */
static int make_exit(void)
{
    exit_fd = openat(dir, temp_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (exit_fd < 0)
        return -1;
    if (fallocate(exit_fd, FALLOC_FL_KEEP_SIZE, 0, STATUS_ROOM) == 0 || errno == EOPNOTSUPP
        || errno == ENOSYS)
        return 0;
    int sys = errno;
    unlinkat(dir, temp_name, 0);
    errno = sys;
    return -1;
}

static int open_all(const struct sidecar_plan *plan)
{
    const char *name;
    if (split(plan->path, &name) < 0)
        return -1;
    snprintf(exit_name, sizeof(exit_name), "%s.exit", name);
    snprintf(temp_name, sizeof(temp_name), ".nanoterm-%s.exit", plan->id);
    dir = open_safely(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY, 0);
    if (dir < 0 || open_log(name, plan->is_again) < 0)
        return -1;
    if (!plan->is_again)
        return unlinkat(dir, exit_name, 0) < 0 && errno != ENOENT ? -1 : make_exit();
    exit_fd = openat(dir, temp_name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (exit_fd >= 0)
        return 0;
    /* not there: the process before this one has put it in its place, or the workspace took it */
    return faccessat(dir, exit_name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : make_exit();
}

static void write_log(const char *bytes, size_t size)
{
    while (log_fd >= 0 && size) {
        ssize_t n = write(log_fd, bytes, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) { /* never a hole in the middle: what comes later is not written either */
            tell(SIDECAR_FAILED, errno);
            close(log_fd);
            log_fd = -1;
            return;
        }
        bytes += n;
        size -= (size_t)n;
    }
}

static void write_status(unsigned status)
{
    char text[STATUS_ROOM];
    int size = snprintf(text, sizeof(text), "%u\n", status & 255);
    if (exit_fd < 0) {
        tell(SIDECAR_WRITTEN, 0); /* by the process before this one */
        return;
    }
    bool ok = pwrite(exit_fd, text, (size_t)size, 0) == size && ftruncate(exit_fd, size) == 0
              && fsync(exit_fd) == 0 && renameat(dir, temp_name, dir, exit_name) == 0;
    int sys = ok ? 0 : errno;
    if (!ok)
        unlinkat(dir, temp_name, 0);
    else
        fsync(dir);
    tell(SIDECAR_WRITTEN, sys);
    close(exit_fd);
    exit_fd = -1;
}

static void prepare(int socket)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "nanoterm-log");
    for (int i = 0; i < 3; i++)
        dup2(guest.null_fd, i);
    if (dup2(socket, SOCKET_FD) < 0)
        _exit(1);
    close_range(SOCKET_FD + 1, ~0u, 0);
}

void sidecar_serve(const struct sidecar_plan *plan)
{
    static char packet[1 + NT_G_CHUNK];
    prepare(plan->socket);
    if (open_all(plan) < 0) {
        tell(SIDECAR_OPENED, errno ? errno : EIO);
        _exit(0);
    }
    tell(SIDECAR_OPENED, 0);
    for (;;) {
        ssize_t n = recv(SOCKET_FD, packet, sizeof(packet), 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        if (packet[0] == SIDECAR_BYTES)
            write_log(packet + 1, (size_t)n - 1);
        else if (packet[0] == SIDECAR_STATUS && n == 2)
            write_status((unsigned char)packet[1]);
    }
    if (exit_fd >= 0) /* it never started */
        unlinkat(dir, temp_name, 0);
    _exit(0);
}
