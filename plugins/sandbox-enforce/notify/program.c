/* SPDX-License-Identifier: Apache-2.0 */
/* program.c - looks into a program that waits for an answer: its memory, descriptors,
 * folders. All by its pid; the caller asks afterwards whether the question was still valid, since
 * then the pid was its own all the time. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/openat2.h>

#include "plugins/sandbox-enforce/notify/inner.h"
#include "sdk/cleanup.h"

#define OF_THREAD O_EXCL /* PIDFD_THREAD, since Linux 6.9 */
#define STATUS_MAX 8192

/* /proc/PID/status as text. false: it is gone. */
static bool read_status(pid_t pid, char ret[STATUS_MAX])
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    nt_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t size = read(fd, ret, STATUS_MAX - 1);
    if (size <= 0)
        return false;
    ret[size] = '\0';
    return true;
}

/* The number after "\nNAME:\t"; false: there is none. */
static bool status_number(const char *status, const char *name, int base, uint64_t *ret)
{
    const char *at = strstr(status, name);
    if (!at)
        return false;
    at += strlen(name);
    char *end;
    *ret = strtoull(at, &end, base);
    return end != at;
}

int program_open(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, OF_THREAD);
    if (fd >= 0 || errno != EINVAL)
        return fd;
    char status[STATUS_MAX];
    uint64_t process;
    if (!read_status(pid, status) || !status_number(status, "\nTgid:", 10, &process)) {
        errno = ESRCH;
        return -1;
    }
    return (int)syscall(SYS_pidfd_open, (pid_t)process, 0);
}

int program_read(pid_t pid, uint64_t at, void *ret, size_t size)
{
    if (size == 0)
        return 0;
    struct iovec here = { .iov_base = ret, .iov_len = size };
    struct iovec there = { .iov_base = (void *)(uintptr_t)at, .iov_len = size };
    ssize_t n = process_vm_readv(pid, &here, 1, &there, 1, 0);
    if (n < 0)
        return errno;
    return (size_t)n == size ? 0 : EFAULT;
}

int program_write(pid_t pid, uint64_t at, const void *bytes, size_t size)
{
    if (size == 0)
        return 0;
    struct iovec here = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = size };
    struct iovec there = { .iov_base = (void *)(uintptr_t)at, .iov_len = size };
    ssize_t n = process_vm_writev(pid, &here, 1, &there, 1, 0);
    if (n < 0)
        return errno;
    return (size_t)n == size ? 0 : EFAULT;
}

int program_address(pid_t pid, uint64_t at, uint64_t size, struct notify_address *ret)
{
    int32_t length = (int32_t)(uint32_t)size; /* the kernel reads an int */
    *ret = (struct notify_address){ 0 };
    if (length < (int32_t)sizeof(sa_family_t) || (size_t)length > sizeof(ret->any))
        return EINVAL;
    ret->size = (socklen_t)length;
    return program_read(pid, at, ret->bytes, (size_t)length);
}

int program_umask(pid_t pid, mode_t *ret)
{
    char status[STATUS_MAX];
    uint64_t mask;
    if (!read_status(pid, status) || !status_number(status, "\nUmask:", 8, &mask))
        return ESRCH;
    *ret = (mode_t)(mask & 0777u);
    return 0;
}

bool program_has_signal(pid_t pid)
{
    char status[STATUS_MAX];
    uint64_t own, shared, blocked, caught;
    if (!read_status(pid, status) || !status_number(status, "\nSigPnd:", 16, &own)
        || !status_number(status, "\nShdPnd:", 16, &shared)
        || !status_number(status, "\nSigBlk:", 16, &blocked)
        || !status_number(status, "\nSigCgt:", 16, &caught))
        return false;
    return (own | shared) & ~blocked & caught;
}

/* The flags that descriptor NUMBER was opened with; false: it is not there. */
static bool descriptor_flags(pid_t pid, int number, uint64_t *ret)
{
    char path[64], text[256];
    snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", (int)pid, number);
    nt_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (size <= 0)
        return false;
    text[size] = '\0';
    return status_number(text, "\nflags:", 8, ret);
}

bool program_closes_on_exec(pid_t pid, int number)
{
    uint64_t flags;
    return !descriptor_flags(pid, number, &flags) || (flags & O_CLOEXEC);
}

/* ROOT and PATH joined, PATH being absolute or beneath the working folder; 0 or errno. */
static int absolute_path(pid_t pid, const char *path, char ret[NOTIFY_PATH_MAX])
{
    if (path[0] == '/') {
        size_t size = strlen(path) + 1;
        if (size > NOTIFY_PATH_MAX)
            return ENAMETOOLONG;
        memcpy(ret, path, size);
        return 0;
    }
    char link[64];
    snprintf(link, sizeof(link), "/proc/%d/cwd", (int)pid);
    ssize_t size = readlink(link, ret, NOTIFY_PATH_MAX);
    if (size < 0)
        return errno;
    if ((size_t)size + strlen(path) + 2 > NOTIFY_PATH_MAX)
        return ENAMETOOLONG;
    ret[size] = '/';
    memcpy(ret + size + 1, path, strlen(path) + 1);
    return 0;
}

/* The path of an O_PATH descriptor. 0 or -errno. */
static int canonical_of(int fd, char ret[NOTIFY_PATH_MAX])
{
    char name[64];
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    ssize_t size = readlink(name, ret, NOTIFY_PATH_MAX);
    if (size < 0)
        return -errno;
    if ((size_t)size >= NOTIFY_PATH_MAX)
        return -ENAMETOOLONG;
    ret[size] = '\0';
    return ret[0] == '/' ? 0 : -EACCES; /* not in any tree that has a path */
}

/* NAME is a link of /proc to a folder of the program. */
static int resolve_in(const char *name, const char *path, uint64_t flags, uint64_t how_to,
                      char ret_canonical[NOTIFY_PATH_MAX])
{
    nt_autoclose int root = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return -errno;
    struct open_how how = { .flags = O_PATH | O_CLOEXEC | flags, .resolve = how_to };
    nt_autoclose int fd = -1;
    /* EAGAIN: somebody renamed a folder on the way; the kernel could not tell whether ".." stayed
     * inside. */
    for (unsigned i = 0; i < 16 && fd < 0; i++) {
        fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
        if (fd < 0 && errno != EAGAIN)
            return -errno;
    }
    if (fd < 0)
        return -EAGAIN;
    int sys = canonical_of(fd, ret_canonical);
    return sys < 0 ? sys : nt_take_fd(fd);
}

/* The root of the program is another one than ours when it lives in a mount namespace; what it
 * names is looked up there, with links that lead to its root and not to ours. */
int program_resolve(pid_t pid, const char *path, uint64_t flags,
                    char ret_canonical[NOTIFY_PATH_MAX])
{
    char absolute[NOTIFY_PATH_MAX], name[64];
    int sys = absolute_path(pid, path, absolute);
    if (sys)
        return -sys;
    snprintf(name, sizeof(name), "/proc/%d/root", (int)pid);
    return resolve_in(name, absolute, flags, RESOLVE_IN_ROOT, ret_canonical);
}

int program_resolve_within(pid_t pid, int folder, const char *path, uint64_t flags, uint64_t how,
                           char ret_canonical[NOTIFY_PATH_MAX])
{
    char name[64];
    if (!(how & (RESOLVE_IN_ROOT | RESOLVE_BENEATH)))
        return -EINVAL; /* it could lead to our own root */
    if (folder == AT_FDCWD)
        snprintf(name, sizeof(name), "/proc/%d/cwd", (int)pid);
    else
        snprintf(name, sizeof(name), "/proc/%d/fd/%d", (int)pid, folder);
    return resolve_in(name, path, flags, how & ~(uint64_t)RESOLVE_CACHED, ret_canonical);
}

int program_descriptor(pid_t pid, int number, bool may_be_path, char ret_canonical[NOTIFY_PATH_MAX])
{
    char name[64], again[NOTIFY_PATH_MAX];
    uint64_t flags;
    struct stat st, there;
    if (!descriptor_flags(pid, number, &flags) || (flags & O_PATH && !may_be_path))
        return -EBADF;
    /* By /proc and not by pidfd_getfd: to close a copy of a file can ask its file system. */
    snprintf(name, sizeof(name), "/proc/%d/fd/%d", (int)pid, number);
    nt_autoclose int fd = open(name, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int sys = canonical_of(fd, ret_canonical);
    if (sys < 0)
        return sys;
    /* What was removed has a name that leads nowhere, or to something else. */
    nt_autoclose int named = program_resolve(pid, ret_canonical, O_NOFOLLOW, again);
    if (named < 0 || fstat(fd, &st) < 0 || fstat(named, &there) < 0 || st.st_dev != there.st_dev
        || st.st_ino != there.st_ino)
        return -ENOENT;
    return nt_take_fd(fd);
}
