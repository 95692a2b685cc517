/* SPDX-License-Identifier: Apache-2.0 */
/* filter.c - the seccomp filter of a workspace: calls that no program inside needs and that reach
 * the kernel's darker corners, or the terminal and the keys of whoever started it.
 *
 * clone, unshare and mount stay allowed: workspaces can be nested into, and the user namespace
 * holds them. The comparison of an ioctl request looks at the low 32 bits only, as the kernel does;
 * a filter that compares all 64 is passed by setting a high bit. */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/seccomp.h>

#ifndef TIOCLINUX
#define TIOCLINUX 0x541C
#endif

/* By name: a name that this libseccomp does not know is one that it cannot filter; the count is
 * checked. */
static const char *const refused[] = {
    "keyctl",          "add_key",       "request_key",     "bpf",
    "perf_event_open", "kexec_load",    "kexec_file_load", "init_module",
    "finit_module",    "delete_module", "create_module",   "open_by_handle_at",
    "reboot",          "swapon",        "swapoff",         "acct",
    "quotactl",        "quotactl_fd",   "settimeofday",    "clock_settime",
    "clock_settime64", "clock_adjtime", "clock_adjtime64", "adjtimex",
    "stime",           "iopl",          "ioperm",          "lookup_dcookie",
    "nfsservctl",      "vm86",          "vm86old",         "syslog",
    "vhangup",         "move_pages",    "migrate_pages",   "fanotify_init",
};
/* Programs ask for these, and have another way when the kernel does not know them. */
static const char *const unknown[] = { "io_uring_setup", "io_uring_enter", "io_uring_register",
                                       "userfaultfd" };

static int add_names(scmp_filter_ctx ctx, const char *const *names, size_t count, int sys)
{
    for (size_t i = 0; i < count; i++) {
        int number = seccomp_syscall_resolve_name(names[i]);
        if (number == __NR_SCMP_ERROR)
            continue;
        int r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO((uint16_t)sys), number, 0);
        if (r < 0 && r != -EDOM)
            return -r;
    }
    return 0;
}

static int add_all(scmp_filter_ctx ctx)
{
    int sys = add_names(ctx, refused, sizeof(refused) / sizeof(refused[0]), EPERM);
    if (!sys)
        sys = add_names(ctx, unknown, sizeof(unknown) / sizeof(unknown[0]), ENOSYS);
    static const uint64_t requests[] = { TIOCSTI, TIOCLINUX };
    for (size_t i = 0; i < 2 && !sys; i++)
        sys = -seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
                                SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, requests[i]));
    return sys;
}

/* Reads the program back from a descriptor: seccomp_export_bpf_mem is newer than Debian 12. */
static int export_filter(scmp_filter_ctx ctx, struct sock_fprog *ret)
{
    int fd = memfd_create("filter", MFD_CLOEXEC);
    if (fd < 0)
        return errno;
    int sys = -seccomp_export_bpf(ctx, fd);
    struct stat st;
    if (!sys && fstat(fd, &st) < 0)
        sys = errno;
    if (!sys) {
        size_t size = (size_t)st.st_size;
        struct sock_filter *code = malloc(size ? size : 1);
        if (!code || pread(fd, code, size, 0) != (ssize_t)size)
            sys = code ? EIO : ENOMEM;
        ret->filter = code;
        ret->len = (unsigned short)(size / sizeof(*code));
    }
    close(fd);
    return sys;
}

int filter_build(struct launch *l)
{
    /* Another architecture's calls (32-bit, x32) have other numbers: killed, unless added below. */
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
    if (!ctx)
        return ENOMEM;
    int sys = 0;
    seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
#if defined(__x86_64__)
    sys = -seccomp_arch_add(ctx, SCMP_ARCH_X86);
#elif defined(__aarch64__)
    sys = -seccomp_arch_add(ctx, SCMP_ARCH_ARM);
#endif
    if (!sys)
        sys = add_all(ctx);
    if (!sys)
        sys = export_filter(ctx, &l->filter);
    seccomp_release(ctx);
    return sys;
}

int filter_apply(struct launch *l)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return errno;
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &l->filter) < 0 ? errno : 0;
}

int filter_verify(struct launch *l)
{
    (void)l;
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_SECCOMP) != 2)
        return ENOTRECOVERABLE;
    if (syscall(SYS_keyctl, 0, 0, 0, 0, 0) >= 0 || errno != EPERM)
        return ENOTRECOVERABLE;
    /* A request with a high bit set is the same request to the kernel. */
    if (syscall(SYS_ioctl, -1, 0x100000000ul | TIOCSTI, 0) >= 0 || errno != EPERM)
        return ENOTRECOVERABLE;
    return 0;
}
