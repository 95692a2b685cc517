/* SPDX-License-Identifier: Apache-2.0 */
/* host.c - `nt-host [--landlock enosys|eopnotsupp] [--no-namespaces] [--no-readonly] PROGRAM…`:
 * runs a program as on a machine that has less. Never changes the machine: what is set is set for
 * the program. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#define CANNOT 77

static int write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = write(fd, text, strlen(text));
    close(fd);
    return n == (ssize_t)strlen(text) ? 0 : -1;
}

/* A normal user's are refused as the sysctl would: in a namespace of our own the files of root
 * would be nobody's, and no program trusts those. clone3 hides its flags from a filter. */
static int refuse_namespaces(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_unshare, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_NEWUSER, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSPC),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { sizeof(filter) / sizeof(filter[0]), filter };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* In a user namespace of our own the number of those beneath it is ours to set. Then nothing of its
 * rights is left, also not for root by exec. */
static int forbid_namespaces(void)
{
    char map[64];
    uid_t uid = geteuid();
    gid_t gid = getegid();
    if (uid != 0)
        return refuse_namespaces();
    if (unshare(CLONE_NEWUSER) < 0)
        return -1;
    snprintf(map, sizeof(map), "%u %u 1", uid, uid);
    if (write_text("/proc/self/uid_map", map) < 0 || write_text("/proc/self/setgroups", "deny") < 0)
        return -1;
    snprintf(map, sizeof(map), "%u %u 1", gid, gid);
    if (write_text("/proc/self/gid_map", map) < 0
        || write_text("/proc/sys/user/max_user_namespaces", "0") < 0)
        return -1;
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return -1;
    struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
    const struct __user_cap_data_struct data[2] = { { 0, 0, 0 }, { 0, 0, 0 } };
    return (int)syscall(SYS_capset, &head, data);
}

/* These have numbers that all architectures share. */
#define LANDLOCK_FIRST 444
#define LANDLOCK_LAST 446
#define MOUNT_SETATTR 442

static int forbid_calls(unsigned first, unsigned last, int sys)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, first, 0, 2),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, last, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)sys),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { sizeof(filter) / sizeof(filter[0]), filter };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

int main(int argc, char **argv)
{
    int at = 1, sys = 0;
    bool no_namespaces = false, no_readonly = false;
    for (; at < argc && strncmp(argv[at], "--", 2) == 0; at++) {
        if (strcmp(argv[at], "--no-namespaces") == 0)
            no_namespaces = true;
        else if (strcmp(argv[at], "--no-readonly") == 0)
            no_readonly = true;
        else if (strcmp(argv[at], "--landlock") == 0 && at + 1 < argc)
            sys = strcmp(argv[++at], "enosys") == 0 ? ENOSYS : EOPNOTSUPP;
        else
            return 2;
    }
    if (at >= argc)
        return 2;
    if ((no_namespaces && forbid_namespaces() < 0)
        || (no_readonly && forbid_calls(MOUNT_SETATTR, MOUNT_SETATTR, ENOSYS) < 0)
        || (sys && forbid_calls(LANDLOCK_FIRST, LANDLOCK_LAST, sys) < 0)) {
        perror("nt-host");
        return CANNOT;
    }
    execvp(argv[at], argv + at);
    perror(argv[at]);
    return 127;
}
