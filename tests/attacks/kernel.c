/* SPDX-License-Identifier: Apache-2.0 */
/* kernel.c - attacks by system calls: other gates, other numbers, what goes round a filter. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attack.h"

#ifndef TIOCLINUX
#define TIOCLINUX 0x541C
#endif

/* Typing on a descriptor that is none is EBADF, unless the kernel was never asked. */
static int type(unsigned long request)
{
    long r = syscall(SYS_ioctl, -1, request, "x");
    return r < 0 && errno == EPERM ? REFUSED : THROUGH;
}

static int typing(const struct target *t)
{
    (void)t;
    return type(TIOCSTI);
}

static int typing_high(const struct target *t) /* the kernel reads the low 32 bits */
{
    (void)t;
    return type(0xdead00000000ul | TIOCSTI) == THROUGH || type(0x100000000ul | TIOCSTI) == THROUGH
               ? THROUGH
               : REFUSED;
}

static int selecting(const struct target *t)
{
    (void)t;
    return type(TIOCLINUX);
}

static int selecting_high(const struct target *t)
{
    (void)t;
    return type(0xffffffff00000000ul | TIOCLINUX);
}

#if defined(__x86_64__)
static int old_gate(int number, int a, int b, int c)
{
    int r;
    __asm__ volatile("int $0x80"
                     : "=a"(r)
                     : "a"(number), "b"(a), "c"(b), "d"(c)
                     : "memory", "r8", "r9", "r10", "r11");
    return r;
}

static int old_calls(const struct target *t)
{
    (void)t;
    return old_gate(20 /* getpid */, 0, 0, 0) == (int)getpid() ? THROUGH : REFUSED;
}

/* A socket of datagrams, by the one call that all of them were. */
static int old_socket(const struct target *t)
{
    (void)t;
    int *arguments =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    if (arguments == MAP_FAILED)
        return 2;
    arguments[0] = 2 /* AF_INET */, arguments[1] = 2 /* SOCK_DGRAM */, arguments[2] = 0;
    return old_gate(102 /* socketcall */, 1, (int)(intptr_t)arguments, 0) < 0 ? REFUSED : THROUGH;
}

static int old_typing(const struct target *t)
{
    (void)t;
    return old_gate(54 /* ioctl */, -1, TIOCSTI, 0) == -EBADF ? THROUGH : REFUSED;
}

static int x32_calls(const struct target *t)
{
    (void)t;
    return syscall(0x40000000 | SYS_getpid) == getpid() ? THROUGH : REFUSED;
}
#endif

static int io_uring(const struct target *t)
{
    (void)t;
    char parameters[256] = { 0 };
    return through_if(syscall(SYS_io_uring_setup, 1, parameters));
}

static int user_namespace(const struct target *t)
{
    (void)t;
    return through_if(unshare(CLONE_NEWUSER));
}

static int user_namespace_by_clone(const struct target *t)
{
    (void)t;
    long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0)
        _exit(0);
    if (pid > 0)
        waitpid((pid_t)pid, NULL, 0);
    return through_if(pid);
}

static int enter_namespace(const struct target *t)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)t->pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? REFUSED : through_if(setns(fd, CLONE_NEWNS));
}

static int enter_by_pidfd(const struct target *t)
{
    int fd = (int)syscall(SYS_pidfd_open, t->pid, 0);
    return fd < 0 ? REFUSED : through_if(setns(fd, CLONE_NEWNS | CLONE_NEWNET));
}

static int mount_something(const struct target *t)
{
    int r = through_if(mount("tmpfs", t->inside, "tmpfs", 0, NULL));
    if (r == THROUGH)
        umount2(t->inside, MNT_DETACH);
    return r;
}

static int mount_anew(const struct target *t)
{
    (void)t;
    return through_if(syscall(SYS_fsopen, "tmpfs", 0u));
}

static int clone_tree(const struct target *t)
{
    return through_if(syscall(SYS_open_tree, AT_FDCWD, t->outside, 1u /* OPEN_TREE_CLONE */));
}

static int keyring(const struct target *t)
{
    (void)t;
    return through_if(syscall(SYS_keyctl, 0 /* KEYCTL_GET_KEYRING_ID */, -3, 1));
}

static int bpf(const struct target *t)
{
    (void)t;
    char attributes[128] = { 5 };
    long r = syscall(SYS_bpf, 5 /* BPF_PROG_LOAD */, attributes, sizeof(attributes));
    return r >= 0 || errno == EINVAL || errno == EFAULT ? THROUGH : REFUSED;
}

static int page_faults(const struct target *t)
{
    (void)t;
    return through_if(syscall(SYS_userfaultfd, O_CLOEXEC | 1u /* UFFD_USER_MODE_ONLY */));
}

const struct attack kernel_attacks[] = {
    { "typing", typing },
    { "typing-high", typing_high },
    { "selecting", selecting },
    { "selecting-high", selecting_high },
#if defined(__x86_64__)
    { "old-calls", old_calls },
    { "old-socket", old_socket },
    { "old-typing", old_typing },
    { "x32-calls", x32_calls },
#endif
    { "io-uring", io_uring },
    { "user-namespace", user_namespace },
    { "user-namespace-by-clone", user_namespace_by_clone },
    { "enter-namespace", enter_namespace },
    { "enter-by-pidfd", enter_by_pidfd },
    { "mount", mount_something },
    { "mount-anew", mount_anew },
    { "clone-tree", clone_tree },
    { "keyring", keyring },
    { "bpf", bpf },
    { "page-faults", page_faults },
    { NULL, NULL },
};
