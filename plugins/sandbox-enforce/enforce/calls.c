/* SPDX-License-Identifier: Apache-2.0 */
/* calls.c - sets the seccomp filter that filter.c wrote, and tries what it must refuse. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/seccomp.h>

#include "layers.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

static long set_filter(struct enforce *e, unsigned long flags)
{
    struct sock_fprog program = { .len = (unsigned short)e->filter_size, .filter = e->filter };
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

/* Rules that notify without anybody who is notified answer ENOSYS: they go. */
static void drop_front(struct enforce *e)
{
    struct sock_filter *front = e->filter + e->front_start;
    size_t behind = e->filter_size - e->front_start - e->front_count;
    memmove(front, front + e->front_count, behind * sizeof(*front));
    e->filter_size -= e->front_count;
    e->front_count = 0;
}

static int enter_with_listener(struct enforce *e)
{
    /* Who waits for an answer shall be stopped by death only once it was asked for (5.19). */
    long fd =
        set_filter(e, SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
    if (fd < 0 && errno == EINVAL)
        fd = set_filter(e, SECCOMP_FILTER_FLAG_NEW_LISTENER);
    if (fd < 0)
        return errno;
    e->listener = (int)fd;
    return 0;
}

int calls_enter(struct enforce *e)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return errno;
    if (e->notify) {
        int sys = enter_with_listener(e);
        if (!sys || !e->notify_weaker || (sys != EBUSY && sys != EINVAL))
            return sys == ENOSYS || sys == EINVAL ? EOPNOTSUPP : sys;
        drop_front(e);
    }
    if (set_filter(e, 0) < 0)
        return errno == ENOSYS || errno == EINVAL ? EOPNOTSUPP : errno;
    return 0;
}

static bool fails_with(long result, int sys)
{
    return result < 0 && errno == sys;
}

/* true when the kernel gives that socket. */
static bool has_socket(int family, int type, int protocol)
{
    int fd = socket(family, type | SOCK_CLOEXEC, protocol);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* Each call below fails in another way, or does nothing, without the filter. */
int calls_verify(struct enforce *e)
{
    uint32_t calls = e->calls;
    bool held = prctl(PR_GET_SECCOMP) == 2;
    if (calls & ENFORCE_CALLS_KERNEL)
        held &= fails_with(syscall(SYS_keyctl, -1, 0, 0, 0, 0), EPERM);
    if (calls & ENFORCE_CALLS_URING)
        held &= fails_with(syscall(SYS_io_uring_setup, 0, NULL), ENOSYS);
    if (calls & ENFORCE_CALLS_NAMESPACES)
        held &= fails_with(syscall(SYS_setns, -1, 0), EPERM)
                && fails_with(syscall(SYS_clone3, NULL, 0), ENOSYS);
    if (calls & ENFORCE_CALLS_PROGRAMS)
        held &= fails_with(syscall(SYS_execve, NULL, NULL, NULL), EPERM);
    if (calls & ENFORCE_CALLS_PEEK)
        held &= fails_with(syscall(SYS_process_vm_readv, -1, NULL, 0, NULL, 0, 1), EPERM);
    if (calls & ENFORCE_CALLS_TERMINAL) /* with a high bit, which the kernel does not read */
        held &= fails_with(syscall(SYS_ioctl, -1, 0x100000000ul | TIOCSTI, 0), EPERM);
    if (calls & ENFORCE_CALLS_UNIX)
        held &= !has_socket(AF_UNIX, SOCK_STREAM, 0);
    if (calls & ENFORCE_CALLS_CONNECT && !e->front_count) /* an answer could be awaited there */
        held &= fails_with(connect(-1, NULL, 0), EPERM);
    if (calls & ENFORCE_CALLS_DATAGRAMS)
        held &= !has_socket(AF_UNIX, SOCK_DGRAM, 0) && !has_socket(AF_UNIX, SOCK_RAW, 0);
    if (calls & ENFORCE_CALLS_OWNERS)
        held &= fails_with(fchmod(-1, 0), EPERM);
    if (calls & ENFORCE_CALLS_IPC)
        held &= fails_with(syscall(SYS_shmget, 0, 0, 0), EPERM);
    if (calls & ENFORCE_CALLS_SIGNALS)
        held &= fails_with(kill(0, 0), EPERM) && kill(getpid(), 0) == 0;
    if (calls & ENFORCE_CALLS_LIMITS)
        held &= fails_with(syscall(SYS_prlimit64, getpid(), RLIMIT_CORE, NULL, NULL), EPERM);
    if (calls & ENFORCE_CALLS_LISTEN)
        held &= fails_with(listen(-1, 1), EPERM);
    if (calls & ENFORCE_CALLS_FAMILIES)
        held &= fails_with(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), EPERM);
    if (e->network == ENFORCE_NET_NONE)
        held &= !has_socket(AF_INET, SOCK_STREAM, 0) && !has_socket(AF_NETLINK, SOCK_RAW, 0);
    if (e->network == ENFORCE_NET_PORTS)
        held &= !has_socket(AF_INET, SOCK_DGRAM, 0) && !has_socket(AF_INET6, SOCK_RAW, 0)
                && !has_socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
    return held ? 0 : ENOTRECOVERABLE;
}
