/* SPDX-License-Identifier: Apache-2.0 */
/* confine.c - two fences around the API process of root's server: Landlock (writes in the store's
 * folder only, reads where resolvers and the C library look) and seccomp (no other program, no
 * namespaces, nothing of the kernel that a server of HTTP does not need).
 *
 * The uid is the wall; these make what is behind it smaller. A kernel without Landlock is served
 * without it, any other failure ends the process. */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "plugins/serve/monitor/drop.h"
#include "sdk/cleanup.h"

/* --- files --------------------------------------------------------------------------------- */

/* Of linux/landlock.h, which is older than the kernel on the systems that we build on. */
struct ruleset_attr {
    uint64_t handled_access_fs, handled_access_net, scoped;
};
struct path_rule {
    uint64_t allowed;
    int32_t parent_fd;
} __attribute__((packed));

#define READ_FILE 0x4u
#define READ_DIR 0x8u
#define WRITE_ETC 0x122u  /* write to files, remove and make them */
#define MOVE_FOLDER 0x90u /* a folder in the database's place is moved aside */
#define TRUNCATE 0x4000u

/* 0 or less: there is none. */
static long landlock_version(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, 1u /* LANDLOCK_CREATE_RULESET_VERSION */);
}

static int allow(int ruleset, int fd, uint64_t rights)
{
    struct path_rule rule = { rights, fd };
    return syscall(SYS_landlock_add_rule, ruleset, 1 /* LANDLOCK_RULE_PATH_BENEATH */, &rule, 0u)
                   < 0
               ? errno
               : 0;
}

int confine_files(const struct drop *drop)
{
    long version = landlock_version();
    if (version < 1)
        return 0;
    /* Rights by version: 13 of files in 1, REFER in 2, TRUNCATE in 3, IOCTL_DEV in 5; scopes in
     * 6. */
    unsigned bits = version >= 5 ? 16 : version >= 3 ? 15 : version >= 2 ? 14 : 13;
    struct ruleset_attr attr = { .handled_access_fs = (UINT64_C(1) << bits) - 1,
                                 .scoped = version >= 6 ? 3 : 0 };
    size_t size = version >= 6 ? 24 : version >= 4 ? 16 : 8;
    nt_autoclose int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0u);
    if (ruleset < 0)
        return errno;
    int sys = allow(ruleset, drop->store_fd,
                    (WRITE_ETC | MOVE_FOLDER | READ_FILE | READ_DIR | (version >= 3 ? TRUNCATE : 0))
                        & attr.handled_access_fs);
    /* Names are resolved in this process: libraries and settings of the resolver, and the sockets
     * of local ones. */
    static const char *const readable[] = { "/usr", "/lib", "/lib64",      "/etc",
                                            "/run", "/nix", "/var/lib/sss" };
    for (size_t i = 0; i < sizeof(readable) / sizeof(readable[0]) && !sys; i++) {
        nt_autoclose int fd = open(readable[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0)
            sys = allow(ruleset, fd, READ_FILE | READ_DIR);
    }
    static const char *const files[] = { "/dev/urandom", "/dev/null", "/proc/meminfo", "/proc/stat",
                                         "/proc/cpuinfo" };
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && !sys; i++) {
        nt_autoclose int fd = open(files[i], O_PATH | O_CLOEXEC);
        if (fd >= 0)
            sys = allow(ruleset, fd, READ_FILE);
    }
    if (!sys && syscall(SYS_landlock_restrict_self, ruleset, 0u) < 0)
        sys = errno;
    return sys;
}

int confine_files_verify(const struct drop *drop)
{
    if (landlock_version() < 1)
        return 0;
    /* Everybody may write to it and read that, but for the fence. */
    nt_autoclose int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    nt_autoclose int proc_fd = open("/proc/version", O_RDONLY | O_CLOEXEC);
    if (null_fd >= 0 || proc_fd >= 0)
        return ENOTRECOVERABLE;
    nt_autoclose int store = openat(drop->store_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return store < 0 ? errno : 0;
}

/* --- system calls -------------------------------------------------------------------------- */

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#error "the filter does not know this architecture"
#endif

#define AT(member) ((uint32_t)offsetof(struct seccomp_data, member))
#define LOAD(offset) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (offset))
#define RETURN(value) BPF_STMT(BPF_RET | BPF_K, (value))
#define REFUSE(sys) RETURN(SECCOMP_RET_ERRNO | (uint32_t)(sys))
/* The number is loaded: this call is refused with that errno. */
#define NO(name, sys) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), REFUSE(sys)

static const struct sock_filter calls[] = {
    LOAD(AT(arch)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0),
    RETURN(SECCOMP_RET_KILL_PROCESS),
    LOAD(AT(nr)),
#if defined(__x86_64__)
    /* the numbers of x32 are another table */
    BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1),
    REFUSE(ENOSYS),
    NO(fork, EPERM),
    NO(vfork, EPERM),
    NO(mknod, EPERM),
#endif
    /* other programs */
    NO(execve, EPERM),
    NO(execveat, EPERM),
    NO(ptrace, EPERM),
    NO(process_vm_readv, EPERM),
    NO(process_vm_writev, EPERM),
    NO(pidfd_getfd, EPERM),
    NO(kcmp, EPERM),
    /* the C library falls back to clone, whose flags can be seen */
    NO(clone3, ENOSYS),
    /* namespaces and mounts */
    NO(unshare, EPERM),
    NO(setns, EPERM),
    NO(mount, EPERM),
    NO(umount2, EPERM),
    NO(move_mount, EPERM),
    NO(open_tree, EPERM),
    NO(fsopen, EPERM),
    NO(fsmount, EPERM),
    NO(mount_setattr, EPERM),
    NO(pivot_root, EPERM),
    NO(chroot, EPERM),
    NO(mknodat, EPERM),
    /* darker corners of the kernel */
    NO(bpf, EPERM),
    NO(perf_event_open, EPERM),
    NO(keyctl, EPERM),
    NO(add_key, EPERM),
    NO(request_key, EPERM),
    NO(open_by_handle_at, EPERM),
    NO(kexec_load, EPERM),
    NO(init_module, EPERM),
    NO(finit_module, EPERM),
    NO(delete_module, EPERM),
    NO(fanotify_init, EPERM),
    NO(personality, EPERM),
    NO(syslog, EPERM),
    NO(userfaultfd, ENOSYS),
    NO(io_uring_setup, ENOSYS),
    NO(io_uring_enter, ENOSYS),
    NO(io_uring_register, ENOSYS),
    /* threads are made, processes are not */
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 4),
    LOAD(AT(args[0])),
    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 1),
    RETURN(SECCOMP_RET_ALLOW),
    REFUSE(EPERM),
    /* what a terminal would take for typed; the kernel looks at the low half only */
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 5),
    LOAD(AT(args[1])),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TIOCSTI, 1, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x541C /* TIOCLINUX */, 0, 1),
    REFUSE(EPERM),
    RETURN(SECCOMP_RET_ALLOW),
    /* netlink: the resolver asks which addresses this machine has */
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 6),
    LOAD(AT(args[0])),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_UNIX, 4, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET, 3, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 2, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_NETLINK, 1, 0),
    REFUSE(EAFNOSUPPORT),
    RETURN(SECCOMP_RET_ALLOW),
};

int confine_calls(const struct drop *drop)
{
    (void)drop;
    struct sock_filter copy[sizeof(calls) / sizeof(calls[0])];
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        copy[i] = calls[i];
    struct sock_fprog program = { .len = (unsigned short)(sizeof(copy) / sizeof(copy[0])),
                                  .filter = copy };
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? errno : 0;
}

int confine_calls_verify(const struct drop *drop)
{
    (void)drop;
    if (prctl(PR_GET_SECCOMP) != 2)
        return ENOTRECOVERABLE;
    if (syscall(SYS_execve, NULL, NULL, NULL) >= 0 || errno != EPERM)
        return ENOTRECOVERABLE;
    if (syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0) >= 0 || errno != EPERM)
        return ENOTRECOVERABLE;
    if (syscall(SYS_unshare, CLONE_NEWUSER) >= 0 || errno != EPERM)
        return ENOTRECOVERABLE;
    if (syscall(SYS_ioctl, -1, 0x100000000ul | TIOCSTI, 0) >= 0 || errno != EPERM)
        return ENOTRECOVERABLE;
    nt_autoclose int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    return fd < 0 && errno == EAFNOSUPPORT ? 0 : ENOTRECOVERABLE;
}
