/* SPDX-License-Identifier: Apache-2.0 */
/* namespaces.c - makes a process with namespaces of its own, and maps its user. What is done inside
 * of them stands in inside.c. */
#include "namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/capability.h>
#include <linux/sched.h>

#define ALL_SPACES 4

static const struct {
    uint32_t space;
    uint64_t flag;
} space_flags[ALL_SPACES] = {
    { ENFORCE_SPACE_MOUNT, CLONE_NEWNS },
    { ENFORCE_SPACE_PID, CLONE_NEWPID },
    { ENFORCE_SPACE_NETWORK, CLONE_NEWNET },
    { ENFORCE_SPACE_IPC, CLONE_NEWIPC },
};

/* Whether our root is surely not that of the mount namespace, as it is no mount's: then the kernel
 * makes no user namespace (current_chrooted). A folder that was mounted on itself first is not told
 * from the root of a container, unless one may enter namespaces. */
static bool is_chroot(void)
{
    struct statx root;
    return statx(AT_FDCWD, "/", 0, STATX_TYPE, &root) == 0
           && root.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT
           && !(root.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

const char *enforce_spaces_remedy(int sys)
{
    switch (sys) {
    case EPERM:
        if (is_chroot())
            return "this process runs in a chroot, where the kernel makes no user namespaces: "
                   "start it outside of the chroot, or as root";
        return "user namespaces are refused here (in a chroot, by a container's or another "
               "sandbox's profile, or by kernel.unprivileged_userns_clone): start it outside of it";
    case EACCES:
        return "user namespaces have no rights here: "
               "kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile with userns";
    case ENOSPC:
    case EUSERS:
        return "no more namespaces are allowed: raise user.max_user_namespaces and the other "
               "user.max_*_namespaces";
    case EINVAL:
        return "needs a kernel with CONFIG_USER_NS, CONFIG_PID_NS and CONFIG_NET_NS";
    default:
        return "new namespaces cannot be made here";
    }
}

long enforce_spaces_clone(uint64_t flags, int group, int *ret_pidfd)
{
    struct clone_args args = { .flags = flags | (ret_pidfd ? CLONE_PIDFD : 0u),
                               .exit_signal = SIGCHLD };
    if (group >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (unsigned)group;
    }
    if (ret_pidfd)
        args.pidfd = (uint64_t)(uintptr_t)ret_pidfd;
    long pid = syscall(SYS_clone3, &args, sizeof(args));
    if (pid >= 0 || errno != ENOSYS || group >= 0)
        return pid;
    /* Filters that look at the flags of clone say that clone3 is not there. The pidfd is where the
     * thread's id would be; the order of what follows differs, and all of it is 0. */
    return syscall(SYS_clone, (unsigned long)args.flags | SIGCHLD, NULL, ret_pidfd, NULL, NULL);
}

static int write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    size_t size = strlen(text);
    int sys = write(fd, text, size) == (ssize_t)size ? 0 : errno;
    close(fd);
    return sys;
}

/* WHO is a pid, or "self". setgroups is off first, or an unprivileged user may not write the group
 * map. */
static int write_maps(const char *who, uid_t inside, uid_t outside, gid_t inside_group,
                      gid_t outside_group)
{
    char path[64], text[64];
    snprintf(path, sizeof(path), "/proc/%s/uid_map", who);
    snprintf(text, sizeof(text), "%u %u 1", inside, outside);
    int sys = write_text(path, text);
    snprintf(path, sizeof(path), "/proc/%s/setgroups", who);
    if (!sys)
        sys = write_text(path, "deny");
    snprintf(path, sizeof(path), "/proc/%s/gid_map", who);
    snprintf(text, sizeof(text), "%u %u 1", inside_group, outside_group);
    return sys ? sys : write_text(path, text);
}

int enforce_spaces_map(pid_t pid, uid_t inside, uid_t outside, gid_t inside_group,
                       gid_t outside_group)
{
    char who[16];
    snprintf(who, sizeof(who), "%d", (int)pid);
    return write_maps(who, inside, outside, inside_group, outside_group);
}

static int is_admin(void)
{
    struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2];
    return syscall(SYS_capget, &head, data) == 0 && data[0].effective & (1u << CAP_SYS_ADMIN);
}

/* The files of /proc belong to root while a process is not dumpable, so it is dumpable while it
 * writes its maps: before anybody else is inside. */
static int map_self(uid_t uid, gid_t gid)
{
    int dumpable = prctl(PR_GET_DUMPABLE);
    if (dumpable != 1 && prctl(PR_SET_DUMPABLE, 1) < 0)
        return errno;
    int sys = write_maps("self", uid, uid, gid, gid);
    if (dumpable != 1 && prctl(PR_SET_DUMPABLE, 0) < 0)
        return errno;
    /* Rights that a new namespace has not are taken by a security module. */
    return sys == EPERM ? EACCES : sys;
}

static int set_up(uint64_t flags, uid_t uid, gid_t gid)
{
    int sys = flags & CLONE_NEWUSER ? map_self(uid, gid) : 0;
    if (!sys && flags & CLONE_NEWNS && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        sys = errno == EPERM ? EACCES : errno;
    return sys;
}

/* The child of a clone says how its set-up went, on a pipe. */
static _Noreturn void give_up(int fd, int sys)
{
    if (write(fd, &sys, sizeof(sys)) < 0)
        _exit(98);
    _exit(97);
}

static int await_set_up(int fd, pid_t pid)
{
    int sys = 0;
    ssize_t n;
    do
        n = read(fd, &sys, sizeof(sys));
    while (n < 0 && errno == EINTR);
    if (n == 0)
        return 0; /* closed: it goes on, or was killed, which the pidfd tells */
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
    return sys ? sys : EIO;
}

static int fork_with(uint64_t flags, pid_t *ret_pid, int *ret_pidfd)
{
    int state[2], pidfd = -1;
    uid_t uid = geteuid(); /* unmapped, and so another, in the child */
    gid_t gid = getegid();
    if (pipe2(state, O_CLOEXEC) < 0)
        return errno;
    long pid = enforce_spaces_clone(flags, -1, &pidfd);
    int sys = pid < 0 ? errno : 0;
    if (pid == 0) {
        close(state[0]);
        if ((sys = set_up(flags, uid, gid)) != 0)
            give_up(state[1], sys);
        close(state[1]);
        *ret_pid = 0;
        *ret_pidfd = -1;
        return 0;
    }
    close(state[1]);
    if (!sys)
        sys = await_set_up(state[0], (pid_t)pid);
    close(state[0]);
    if (sys) {
        if (pidfd >= 0)
            close(pidfd);
        return sys;
    }
    *ret_pid = (pid_t)pid;
    *ret_pidfd = pidfd;
    return 0;
}

int enforce_spaces_fork(uint32_t spaces, pid_t *ret_pid, int *ret_pidfd, const char **ret_why)
{
    uint64_t flags = 0;
    for (size_t i = 0; i < ALL_SPACES; i++)
        if (spaces & space_flags[i].space)
            flags |= space_flags[i].flag;
    int sys = EPERM;
    if (!flags || is_admin())
        sys = fork_with(flags, ret_pid, ret_pidfd);
    /* CAP_SYS_ADMIN that a container's filter has made worth nothing may still do this. */
    if (flags && (sys == EPERM || sys == EACCES))
        sys = fork_with(flags | CLONE_NEWUSER, ret_pid, ret_pidfd);
    if (sys)
        *ret_why = enforce_spaces_remedy(sys);
    return sys;
}

static int try_spaces(uint32_t spaces, const char **ret_why)
{
    pid_t pid;
    int pidfd, sys = enforce_spaces_fork(spaces, &pid, &pidfd, ret_why);
    if (sys)
        return sys;
    if (pid == 0)
        _exit(0);
    close(pidfd);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
    return 0;
}

uint32_t enforce_spaces_probe(uint32_t spaces, const char **ret_why)
{
    uint32_t found = 0;
    if (!try_spaces(spaces, ret_why))
        return spaces;
    for (size_t i = 0; i < ALL_SPACES; i++)
        if (spaces & space_flags[i].space && !try_spaces(space_flags[i].space, ret_why))
            found |= space_flags[i].space;
    return found;
}
