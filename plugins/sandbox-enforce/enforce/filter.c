/* SPDX-License-Identifier: Apache-2.0 */
/* filter.c - writes the seccomp filter: which system calls are refused, and with what.
 *
 * The architecture comes first: the calls of another one have other numbers. Of a number that is
 * not refused, the kernel remembers so and does not run the filter again (since 5.11), so a list is
 * as fast as a tree. Arguments that the kernel reads as 32 bits are compared as 32 bits: a filter
 * that compares 64 is passed by setting a high bit. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>

#include "layers.h"

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#define OTHER_ARCH AUDIT_ARCH_I386
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#define OTHER_ARCH AUDIT_ARCH_ARM
#else
#error "the filter does not know this architecture"
#endif

#ifndef TIOCLINUX
#define TIOCLINUX 0x541C
#endif
#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
#define OLD_IPV6_OPTIONS 6 /* IPV6_2292PKTOPTIONS, of linux/in6.h */
#define X32_BIT 0x40000000u
#define CLONE_NEWTIME_BIT 0x80u
#define NEW_NAMESPACES                                                                             \
    ((uint32_t)CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER         \
     | CLONE_NEWPID | CLONE_NEWNET)
#define TRUNCATE_VERSION 3 /* of Landlock's interface */
#define SOCKET_TYPE 0xfu   /* the rest are flags: SOCK_CLOEXEC, SOCK_NONBLOCK */

/* --- writing ------------------------------------------------------------------------------- */

static void emit(struct enforce *e, uint16_t code, uint8_t jt, uint8_t jf, uint32_t k)
{
    if (e->filter_size < ENFORCE_FILTER_MAX)
        e->filter[e->filter_size] = (struct sock_filter){ code, jt, jf, k };
    e->filter_size++; /* too many are noticed at the end */
}

static void load(struct enforce *e, size_t offset)
{
    emit(e, BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)offset);
}

/* The low half of an argument. */
static void load_argument(struct enforce *e, unsigned index)
{
    load(e, offsetof(struct seccomp_data, args) + 8u * index);
}

static void answer(struct enforce *e, int sys)
{
    emit(e, BPF_RET | BPF_K, 0, 0, sys ? SECCOMP_RET_ERRNO | (uint32_t)sys : SECCOMP_RET_ALLOW);
}

/* What follows, up to close_block, is for this call only; it must end with an answer. */
static size_t open_block(struct enforce *e, long number)
{
    emit(e, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, (uint32_t)number);
    return e->filter_size;
}

static void close_block(struct enforce *e, size_t start)
{
    size_t length = e->filter_size - start;
    if (length > UINT8_MAX) /* farther than a jump goes */
        e->filter_size = ENFORCE_FILTER_MAX + 1;
    else if (start <= ENFORCE_FILTER_MAX)
        e->filter[start - 1].jf = (uint8_t)length;
}

/* Answers when the loaded value is K, or (any_bit) has a bit of it; else goes on. */
static void answer_if(struct enforce *e, bool any_bit, uint32_t k, int sys)
{
    emit(e, BPF_JMP | (any_bit ? BPF_JSET : BPF_JEQ) | BPF_K, 0, 1, k);
    answer(e, sys);
}

static void refuse(struct enforce *e, const long *numbers, size_t count, int sys)
{
    for (size_t i = 0; i < count; i++) {
        size_t start = open_block(e, numbers[i]);
        answer(e, sys);
        close_block(e, start);
    }
}
#define REFUSE(e, list, sys) refuse((e), (list), sizeof(list) / sizeof((list)[0]), (sys))

/* --- groups -------------------------------------------------------------------------------- */

/* Numbers that all architectures share and that the headers we build on may lack. */
#define CALL_QUOTACTL_FD 443
#define CALL_OPEN_TREE_ATTR 467

static const long kernel_calls[] = {
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_kexec_load,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_reboot,
    SYS_swapon,
    SYS_swapoff,
    SYS_acct,
    SYS_quotactl,
    CALL_QUOTACTL_FD,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_clock_adjtime,
    SYS_adjtimex,
    SYS_lookup_dcookie,
    SYS_nfsservctl,
    SYS_syslog,
    SYS_vhangup,
    SYS_move_pages,
    SYS_migrate_pages,
    SYS_fanotify_init,
    SYS_open_by_handle_at,
#ifdef SYS_kexec_file_load
    SYS_kexec_file_load,
#endif
#if defined(__x86_64__)
    SYS_iopl,
    SYS_ioperm,
    SYS_create_module,
#endif
};
static const long namespace_calls[] = {
    SYS_setns,           SYS_mount,      SYS_umount2, SYS_move_mount, SYS_open_tree,
    SYS_fsopen,          SYS_fsconfig,   SYS_fsmount, SYS_fspick,     SYS_mount_setattr,
    CALL_OPEN_TREE_ATTR, SYS_pivot_root, SYS_chroot,
};
static const long program_calls[] = {
    SYS_execve,
    SYS_execveat,
#if defined(__x86_64__)
    SYS_fork,
    SYS_vfork,
#endif
};
static const long peek_calls[] = { SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev,
                                   SYS_pidfd_getfd, SYS_kcmp };
/* Programs ask for these, and have another way when the kernel does not know them. */
static const long unknown_calls[] = { SYS_userfaultfd };
static const long uring_calls[] = { SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register };
#define SETOWN_EX 15 /* F_SETOWN_EX, of _GNU_SOURCE */
static const long listen_calls[] = { SYS_listen };
static const long connect_calls[] = { SYS_connect, SYS_bind };
/* Numbers that the headers may lack: fchmodat2, setxattrat, removexattrat, file_setattr. */
static const long owner_calls[] = {
    SYS_fchmod,       SYS_fchmodat,     452,           SYS_fchown, SYS_fchownat,
    SYS_setxattr,     SYS_lsetxattr,    SYS_fsetxattr, 463,        SYS_removexattr,
    SYS_lremovexattr, SYS_fremovexattr, 466,           469,
#if defined(__x86_64__)
    SYS_chmod,        SYS_chown,        SYS_lchown,
#endif
};
static const long truncate_calls[] = { SYS_truncate };
static const long ipc_calls[] = {
    SYS_shmget, SYS_shmat,  SYS_shmctl, SYS_semget, SYS_semop,   SYS_semtimedop, SYS_semctl,
    SYS_msgget, SYS_msgsnd, SYS_msgrcv, SYS_msgctl, SYS_mq_open, SYS_mq_unlink,
};
/* kernel_calls in the numbers of 32-bit programs, by the kernel's tables of system calls. */
static const long other_kernel_calls[] = {
#if defined(__x86_64__)
    25 /* stime */,
    51 /* acct */,
    79 /* settimeofday */,
    87 /* swapon */,
    88 /* reboot */,
    101 /* ioperm */,
    103 /* syslog */,
    110 /* iopl */,
    111 /* vhangup */,
    113 /* vm86old */,
    115 /* swapoff */,
    124 /* adjtimex */,
    127 /* create_module */,
    128 /* init_module */,
    129 /* delete_module */,
    131 /* quotactl */,
    166 /* vm86 */,
    169 /* nfsservctl */,
    253 /* lookup_dcookie */,
    264 /* clock_settime */,
    283 /* kexec_load */,
    286 /* add_key */,
    287 /* request_key */,
    288 /* keyctl */,
    294 /* migrate_pages */,
    317 /* move_pages */,
    336 /* perf_event_open */,
    338 /* fanotify_init */,
    342 /* open_by_handle_at */,
    343 /* clock_adjtime */,
    350 /* finit_module */,
    357 /* bpf */,
    404 /* clock_settime64 */,
    405 /* clock_adjtime64 */,
    CALL_QUOTACTL_FD,
#else
    51 /* acct */,
    79 /* settimeofday */,
    87 /* swapon */,
    88 /* reboot */,
    103 /* syslog */,
    111 /* vhangup */,
    115 /* swapoff */,
    124 /* adjtimex */,
    128 /* init_module */,
    129 /* delete_module */,
    131 /* quotactl */,
    169 /* nfsservctl */,
    249 /* lookup_dcookie */,
    262 /* clock_settime */,
    309 /* add_key */,
    310 /* request_key */,
    311 /* keyctl */,
    344 /* move_pages */,
    347 /* kexec_load */,
    364 /* perf_event_open */,
    367 /* fanotify_init */,
    371 /* open_by_handle_at */,
    372 /* clock_adjtime */,
    379 /* finit_module */,
    386 /* bpf */,
    400 /* migrate_pages */,
    401 /* kexec_file_load */,
    404 /* clock_settime64 */,
    405 /* clock_adjtime64 */,
    CALL_QUOTACTL_FD,
#endif
};
#if defined(__x86_64__)
static const long other_unknown_calls[] = { 374 /* userfaultfd */ };
#else
static const long other_unknown_calls[] = { 388 /* userfaultfd */ };
#endif
#define OTHER_IOCTL 54
/* Of a process by number in the first argument: itself stays allowed, also as 0 where that means
 * so. */
static const struct {
    long number;
    bool zero_is_self;
} process_calls[] = {
    { SYS_kill, false },
    { SYS_tgkill, false },
    { SYS_rt_sigqueueinfo, false },
    { SYS_rt_tgsigqueueinfo, false },
    { SYS_prlimit64, true },
    { SYS_sched_setaffinity, true },
    { SYS_sched_setparam, true },
    { SYS_sched_setscheduler, true },
    { SYS_sched_setattr, true },
};
static const long signal_calls[] = { SYS_tkill, SYS_pidfd_send_signal, SYS_setpriority,
                                     SYS_ioprio_set };

/* The same without a number of their own: who runs other programs cannot know theirs. */
static const struct {
    long number;
    unsigned process; /* argument */
} limit_calls[] = {
    { SYS_prlimit64, 0 },          { SYS_setpriority, 1 },    { SYS_ioprio_set, 1 },
    { SYS_sched_setscheduler, 0 }, { SYS_sched_setparam, 0 }, { SYS_sched_setattr, 0 },
};

/* Requests of ioctl that are refused: typing into a terminal; and a signal by the arrival of
 * bytes, for whoever is called the owner of a descriptor. */
static void write_ioctl(struct enforce *e, long number)
{
    size_t start = open_block(e, number);
    load_argument(e, 1);
    if (e->calls & ENFORCE_CALLS_TERMINAL) {
        answer_if(e, false, TIOCSTI, EPERM);
        answer_if(e, false, TIOCLINUX, EPERM);
    }
    if (e->calls & ENFORCE_CALLS_SIGNALS) {
        answer_if(e, false, FIOSETOWN, EPERM);
        answer_if(e, false, SIOCSPGRP, EPERM);
    }
    answer(e, 0);
    close_block(e, start);
}

static void write_limits(struct enforce *e)
{
    for (size_t i = 0; i < sizeof(limit_calls) / sizeof(limit_calls[0]); i++) {
        size_t start = open_block(e, limit_calls[i].number);
        load_argument(e, limit_calls[i].process);
        answer_if(e, false, 0, 0);
        answer(e, EPERM);
        close_block(e, start);
    }
}

static void write_signals(struct enforce *e)
{
    uint32_t self = (uint32_t)getpid();
    for (size_t i = 0; i < sizeof(process_calls) / sizeof(process_calls[0]); i++) {
        size_t start = open_block(e, process_calls[i].number);
        load_argument(e, 0);
        answer_if(e, false, self, 0);
        if (process_calls[i].zero_is_self)
            answer_if(e, false, 0, 0);
        answer(e, EPERM);
        close_block(e, start);
    }
    size_t start = open_block(e, SYS_fcntl);
    load_argument(e, 1);
    answer_if(e, false, F_SETOWN, EPERM);
    answer_if(e, false, SETOWN_EX, EPERM);
    answer(e, 0);
    close_block(e, start);
}

/* Flags of clone are seen here, those of clone3 are behind a pointer: the C library goes back to
 * clone when the kernel does not know clone3. */
static void write_clone(struct enforce *e, bool no_namespaces, bool no_programs)
{
    static const long clone3[] = { SYS_clone3 };
    REFUSE(e, clone3, ENOSYS);
    size_t start = open_block(e, SYS_clone);
    load_argument(e, 0);
    if (no_namespaces)
        answer_if(e, true, NEW_NAMESPACES, EPERM);
    if (no_programs) {
        answer_if(e, true, CLONE_THREAD, 0);
        answer(e, EPERM);
    } else {
        answer(e, 0);
    }
    close_block(e, start);
    if (!no_namespaces)
        return;
    start = open_block(e, SYS_unshare);
    load_argument(e, 0);
    answer_if(e, true, NEW_NAMESPACES | CLONE_NEWTIME_BIT, EPERM);
    answer(e, 0);
    close_block(e, start);
}

/* Goes on when the loaded value is K; refuses otherwise. */
static void answer_unless(struct enforce *e, uint32_t k, int sys)
{
    emit(e, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, k);
    answer(e, sys);
}

/* The family is loaded: goes on with it when it is another. One of datagrams (SOCK_RAW is the same)
 * sends to any socket that has a path. */
static void write_local(struct enforce *e)
{
    if (!(e->calls & (ENFORCE_CALLS_UNIX | ENFORCE_CALLS_DATAGRAMS))) {
        answer_if(e, false, AF_UNIX, 0);
        return;
    }
    size_t start = open_block(e, AF_UNIX);
    load_argument(e, 1);
    emit(e, BPF_ALU | BPF_AND | BPF_K, 0, 0, SOCKET_TYPE);
    answer_if(e, false, SOCK_STREAM, 0);
    answer_if(e, false, SOCK_SEQPACKET, 0);
    answer(e, EPERM);
    close_block(e, start);
}

static void write_sockets(struct enforce *e)
{
    size_t start = open_block(e, SYS_socket);
    load_argument(e, 0);
    if (e->calls & ENFORCE_CALLS_UNIX)
        answer_if(e, false, AF_UNIX, EPERM);
    else
        write_local(e);
    if (e->network == ENFORCE_NET_NONE) {
        answer(e, EPERM);
    } else if (e->network == ENFORCE_NET_OPEN && !(e->calls & ENFORCE_CALLS_FAMILIES)) {
        answer(e, 0);
    } else if (e->network == ENFORCE_NET_OPEN) {
        answer_if(e, false, AF_INET, 0);
        answer_if(e, false, AF_INET6, 0);
        answer_if(e, false, AF_NETLINK, 0); /* the resolver asks which addresses there are */
        answer(e, EPERM);
    } else {
        /* Landlock's rules know TCP only: what rides on its name (MPTCP) is refused with the
         * rest. */
        emit(e, BPF_JMP | BPF_JEQ | BPF_K, 2, 0, AF_INET);
        emit(e, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, AF_INET6);
        answer(e, EPERM);
        load_argument(e, 1);
        emit(e, BPF_ALU | BPF_AND | BPF_K, 0, 0, SOCKET_TYPE);
        answer_unless(e, SOCK_STREAM, EPERM);
        load_argument(e, 2);
        answer_if(e, false, 0, 0);
        answer_if(e, false, IPPROTO_TCP, 0);
        answer(e, EPERM);
    }
    close_block(e, start);
    start = open_block(e, SYS_socketpair);
    load_argument(e, 0);
    write_local(e);
    answer(e, EPERM);
    close_block(e, start);
}

/* TCP fast open connects while it sends, where Landlock does not look. */
static void write_fast_open(struct enforce *e)
{
    static const struct {
        long number;
        unsigned flags;
    } calls[] = { { SYS_sendto, 3 }, { SYS_sendmsg, 2 }, { SYS_sendmmsg, 3 } };
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        size_t start = open_block(e, calls[i].number);
        load_argument(e, calls[i].flags);
        answer_if(e, true, MSG_FASTOPEN, EOPNOTSUPP);
        answer(e, 0);
        close_block(e, start);
    }
}

/* A source route makes a connection to a port of this machine go to another one: its first hop
 * becomes the address on the packet. */
static void write_source_routes(struct enforce *e)
{
    static const struct {
        uint32_t level, option;
    } options[] = { { IPPROTO_IP, IP_OPTIONS },
                    { IPPROTO_IPV6, IPV6_RTHDR },
                    { IPPROTO_IPV6, OLD_IPV6_OPTIONS } };
    size_t start = open_block(e, SYS_setsockopt);
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        load_argument(e, 1);
        emit(e, BPF_JMP | BPF_JEQ | BPF_K, 0, 3, options[i].level);
        load_argument(e, 2);
        answer_if(e, false, options[i].option, EPERM);
    }
    answer(e, 0);
    close_block(e, start);
}

/* All of it, for what comes in as a 32-bit program's call. */
static void write_other(struct enforce *e)
{
    size_t start = open_block(e, OTHER_ARCH);
    load(e, offsetof(struct seccomp_data, nr));
    if (e->calls & ENFORCE_CALLS_TERMINAL)
        write_ioctl(e, OTHER_IOCTL);
    if (e->calls & ENFORCE_CALLS_KERNEL) {
        REFUSE(e, other_kernel_calls, EPERM);
        REFUSE(e, other_unknown_calls, ENOSYS);
    }
    if (e->calls & ENFORCE_CALLS_URING)
        REFUSE(e, uring_calls, ENOSYS); /* all architectures share these numbers */
    answer(e, 0);
    close_block(e, start);
}

static void write_front(struct enforce *e)
{
    e->front_start = e->filter_size;
    for (size_t i = 0; i < e->front_count; i++)
        emit(e, e->front[i].code, e->front[i].jt, e->front[i].jf, e->front[i].k);
    if (e->front_count)
        load(e, offsetof(struct seccomp_data, nr));
    e->front_count = e->filter_size - e->front_start;
    e->front = NULL;
}

/* The kernel knows which numbers no rule is about, whatever their arguments are. The filter runs
 * for the others only, so what looks at arguments comes first. */
static void write_arguments(struct enforce *e)
{
    if (e->calls & (ENFORCE_CALLS_TERMINAL | ENFORCE_CALLS_SIGNALS))
        write_ioctl(e, SYS_ioctl);
    if (e->network != ENFORCE_NET_OPEN
        || e->calls & (ENFORCE_CALLS_UNIX | ENFORCE_CALLS_FAMILIES | ENFORCE_CALLS_DATAGRAMS))
        write_sockets(e);
    if (e->network == ENFORCE_NET_PORTS || e->calls & ENFORCE_CALLS_CONNECT || e->front_count)
        write_fast_open(e);
    if (e->network == ENFORCE_NET_PORTS)
        write_source_routes(e);
    if (e->calls & (ENFORCE_CALLS_NAMESPACES | ENFORCE_CALLS_PROGRAMS))
        write_clone(e, e->calls & ENFORCE_CALLS_NAMESPACES, e->calls & ENFORCE_CALLS_PROGRAMS);
    if (e->calls & ENFORCE_CALLS_SIGNALS)
        write_signals(e);
    else if (e->calls & ENFORCE_CALLS_LIMITS)
        write_limits(e);
}

static void write_refusals(struct enforce *e)
{
    if (e->calls & ENFORCE_CALLS_KERNEL) {
        REFUSE(e, kernel_calls, EPERM);
        REFUSE(e, unknown_calls, ENOSYS);
    }
    if (e->calls & ENFORCE_CALLS_URING)
        REFUSE(e, uring_calls, ENOSYS);
    if (e->calls & ENFORCE_CALLS_NAMESPACES)
        REFUSE(e, namespace_calls, EPERM);
    if (e->calls & ENFORCE_CALLS_PROGRAMS)
        REFUSE(e, program_calls, EPERM);
    if (e->calls & ENFORCE_CALLS_PEEK)
        REFUSE(e, peek_calls, EPERM);
    if (e->calls & ENFORCE_CALLS_LISTEN)
        REFUSE(e, listen_calls, EPERM);
    if (e->calls & ENFORCE_CALLS_CONNECT)
        REFUSE(e, connect_calls, EPERM);
    if (e->calls & ENFORCE_CALLS_OWNERS)
        REFUSE(e, owner_calls, EPERM);
    if (e->calls & ENFORCE_CALLS_OWNERS && e->landlock < TRUNCATE_VERSION)
        REFUSE(e, truncate_calls, EPERM);
    if (e->calls & ENFORCE_CALLS_IPC)
        REFUSE(e, ipc_calls, EPERM);
    if (e->calls & ENFORCE_CALLS_SIGNALS)
        REFUSE(e, signal_calls, EPERM);
}

int calls_prepare(struct enforce *e)
{
    const uint32_t of_both = ENFORCE_CALLS_KERNEL | ENFORCE_CALLS_TERMINAL | ENFORCE_CALLS_URING;
    if (e->other_architecture
        && (e->calls & ~of_both || e->network != ENFORCE_NET_OPEN || e->front_count))
        return EINVAL;
    e->filter_size = 0;
    load(e, offsetof(struct seccomp_data, arch));
    if (e->other_architecture)
        write_other(e);
    emit(e, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, ARCH);
    answer(e, ENOSYS);
    load(e, offsetof(struct seccomp_data, nr));
#if defined(__x86_64__)
    emit(e, BPF_JMP | BPF_JGE | BPF_K, 0, 1, X32_BIT);
    answer(e, ENOSYS);
#endif
    write_front(e);
    write_arguments(e);
    write_refusals(e);
    answer(e, 0);
    return e->filter_size <= ENFORCE_FILTER_MAX ? 0 : E2BIG;
}
