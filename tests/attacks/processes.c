/* SPDX-License-Identifier: Apache-2.0 */
/* processes.c - attacks on processes outside: the supervisor and any other of the same user. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attack.h"

static int of_process(pid_t pid, const char *name, int flags)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    return try_open(path, flags);
}

static int kill_outsider(const struct target *t)
{
    return through_if(kill(t->pid, SIGTERM));
}

static int signal_by_pidfd(const struct target *t)
{
    int fd = (int)syscall(SYS_pidfd_open, t->pid, 0);
    return fd < 0 ? REFUSED : through_if(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0));
}

static int signal_by_owner(const struct target *t)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return 2;
    struct f_owner_ex owner = { F_OWNER_PID, t->pid };
    if (fcntl(fds[0], F_SETOWN_EX, &owner) < 0 || fcntl(fds[0], F_SETSIG, SIGTERM) < 0)
        return REFUSED;
    /* Whether it may be sent is asked when it is sent: look whether it arrived. */
    int outsider = (int)syscall(SYS_pidfd_open, t->pid, 0);
    struct pollfd p = { .fd = outsider, .events = POLLIN };
    if (outsider < 0 || fcntl(fds[0], F_SETFL, O_ASYNC) < 0 || write(fds[1], "x", 1) != 1)
        return REFUSED;
    return poll(&p, 1, 500) == 1 ? THROUGH : REFUSED;
}

static int trace_outsider(const struct target *t)
{
    return through_if(ptrace(PTRACE_SEIZE, t->pid, 0, 0));
}

static int trace_parent(const struct target *t)
{
    (void)t;
    return through_if(ptrace(PTRACE_SEIZE, getppid(), 0, 0));
}

static int memory_of(pid_t pid)
{
    char here;
    struct iovec local = { &here, 1 }, remote = { (void *)0x400000, 1 };
    if (syscall(SYS_process_vm_readv, pid, &local, 1, &remote, 1, 0) >= 0 || errno == EFAULT)
        return THROUGH; /* EFAULT: one may, but nothing is there */
    return of_process(pid, "mem", O_RDONLY);
}

static int memory_of_outsider(const struct target *t)
{
    return memory_of(t->pid);
}

static int memory_of_parent(const struct target *t)
{
    (void)t;
    return memory_of(getppid());
}

static int environ_of_outsider(const struct target *t)
{
    return of_process(t->pid, "environ", O_RDONLY);
}

/* The parent's environment may be seen only when nothing is left in it. */
static int environ_of_parent(const struct target *t)
{
    char path[64], text[65536];
    (void)t;
    snprintf(path, sizeof(path), "/proc/%d/environ", (int)getppid());
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text));
    if (size < 0)
        return REFUSED;
    return memmem(text, (size_t)size, "ATTACK_SECRET", 13) ? THROUGH : REFUSED;
}

static int descriptors_of_outsider(const struct target *t)
{
    int fd = (int)syscall(SYS_pidfd_open, t->pid, 0);
    if (fd < 0)
        return REFUSED;
    return through_if(syscall(SYS_pidfd_getfd, fd, 0, 0));
}

static int maps_of_outsider(const struct target *t)
{
    char path[64], byte;
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)t->pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 && read(fd, &byte, 1) == 1 ? THROUGH : REFUSED;
}

/* A limit of processor time ends it. */
static int limits_of_outsider(const struct target *t)
{
    const struct rlimit none = { 0, RLIM_INFINITY };
    return through_if(syscall(SYS_prlimit64, t->pid, RLIMIT_CPU, &none, NULL));
}

static int priority_of_outsider(const struct target *t)
{
    return through_if(setpriority(PRIO_PROCESS, (id_t)t->pid, 19));
}

static int write_about_outsider(const struct target *t)
{
    return of_process(t->pid, "coredump_filter", O_WRONLY) == THROUGH
                   || of_process(t->pid, "oom_score_adj", O_WRONLY) == THROUGH
                   || of_process(t->pid, "comm", O_WRONLY) == THROUGH
               ? THROUGH
               : REFUSED;
}

static int core_dump(const struct target *t)
{
    const struct rlimit any = { RLIM_INFINITY, RLIM_INFINITY };
    int status = 0;
    (void)t;
    setrlimit(RLIMIT_CORE, &any);
    pid_t pid = fork();
    if (pid == 0)
        abort();
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return 2;
    return WIFSIGNALED(status) && WCOREDUMP(status) ? THROUGH : REFUSED;
}

/* A copy of this program with the set-user-id bit of another user; or what the system has. */
static int set_user_id(const struct target *t)
{
    static const char *const programs[] = { "/usr/bin/su", "/usr/bin/passwd", "/usr/bin/mount" };
    (void)t;
    /* What cannot be granted for the trial is asked for directly. */
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
        return REFUSED;
    for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
        struct stat st;
        if (stat(programs[i], &st) == 0 && st.st_mode & S_ISUID)
            return THROUGH;
    }
    return NOTHING;
}

static int capabilities(const struct target *t)
{
    (void)t;
    if (chroot("/") == 0 || setuid(getuid() + 1) == 0)
        return THROUGH;
    FILE *f = fopen("/proc/self/status", "re");
    char line[256];
    int r = f ? REFUSED : 2;
    while (f && fgets(line, sizeof(line), f))
        if ((strncmp(line, "CapEff:", 7) == 0 || strncmp(line, "CapPrm:", 7) == 0
             || strncmp(line, "CapAmb:", 7) == 0)
            && strtoull(line + 8, NULL, 16))
            r = THROUGH;
    if (f)
        fclose(f);
    return r;
}

/* Memory that an outsider shares by number: the test made it, with the number of its port. */
static int shared_memory(const struct target *t)
{
    return through_if(shmget((key_t)(0x6e740000 | t->port), 0, 0));
}

static int group_of_outsider(const struct target *t)
{
    (void)t;
    return through_if(getpgid(t->pid) < 0 ? -1 : setpgid(0, getpgid(t->pid)));
}

const struct attack process_attacks[] = {
    { "kill-outsider", kill_outsider },
    { "signal-by-pidfd", signal_by_pidfd },
    { "signal-by-owner", signal_by_owner },
    { "trace-outsider", trace_outsider },
    { "trace-parent", trace_parent },
    { "memory-of-outsider", memory_of_outsider },
    { "memory-of-parent", memory_of_parent },
    { "environ-of-outsider", environ_of_outsider },
    { "environ-of-parent", environ_of_parent },
    { "descriptors-of-outsider", descriptors_of_outsider },
    { "maps-of-outsider", maps_of_outsider },
    { "limits-of-outsider", limits_of_outsider },
    { "priority-of-outsider", priority_of_outsider },
    { "write-about-outsider", write_about_outsider },
    { "core-dump", core_dump },
    { "set-user-id", set_user_id },
    { "capabilities", capabilities },
    { "shared-memory", shared_memory },
    { "group-of-outsider", group_of_outsider },
    { NULL, NULL },
};
