/* SPDX-License-Identifier: Apache-2.0 */
/* supervisor.c - the process between the guest and one program; see supervisor.h.
 *
 * It is the child subreaper of the program, so everything that the program starts stays below it,
 * whatever sessions it makes, and it stays until all of that is gone. It holds only its control
 * socket. After fork: no allocation. */
#include "plugins/guest/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plugins/guest/tree.h"

#define CONTROL_FD 3

static void tell(uint32_t kind, int value)
{
    struct supervisor_message m = { kind, value };
    while (send(CONTROL_FD, &m, sizeof(m), MSG_NOSIGNAL) < 0 && errno == EINTR) {
    }
}

static const char *path_of(char *const *env)
{
    for (; *env; env++)
        if (strncmp(*env, "PATH=", 5) == 0)
            return *env + 5;
    return "/usr/local/bin:/usr/bin:/bin";
}

/* As execvpe, but a text file is not handed to a shell, and nothing is allocated. Returns the errno
 * value. */
static int exec_in_path(char *const *argv, char *const *env)
{
    const char *name = argv[0];
    size_t size = strlen(name);
    if (!size)
        return ENOENT;
    if (strchr(name, '/')) {
        execve(name, argv, env);
        return errno;
    }
    static char file[PATH_MAX + 1];
    bool denied = false;
    for (const char *at = path_of(env);; at++) {
        size_t dir = strcspn(at, ":");
        if (dir + size + 2 < sizeof(file)) {
            memcpy(file, at, dir);
            if (dir)
                file[dir] = '/';
            memcpy(file + dir + (dir ? 1 : 0), name, size + 1);
            execve(file, argv, env);
            if (errno == EACCES)
                denied = true;
            else if (errno != ENOENT && errno != ENOTDIR && errno != ENAMETOOLONG && errno != ELOOP)
                return errno;
        }
        at += dir;
        if (!*at)
            return denied ? EACCES : ENOENT;
    }
}

/* Written by the child in the supervisor's memory; volatile, because it leaves right after. */
static volatile uint32_t failed_kind;
static volatile int failed_sys;

/* Runs between vfork and exec: shares the supervisor's memory, but not its signals, descriptors or
 * directory. */
static void __attribute__((noreturn)) become_program(const struct supervisor_plan *plan)
{
    sigset_t none;
    sigemptyset(&none);
    signal(SIGPIPE, SIG_DFL); /* all others are at their default since the guest started */
    setsid();
    if (plan->is_terminal)
        ioctl(0, TIOCSCTTY, 0);
    /* the program may stop or kill us before we tell that it has started */
    tell(SUPERVISOR_BORN, getpid());
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (chdir(plan->cwd) < 0) {
        failed_sys = errno;
        failed_kind = SUPERVISOR_NO_CWD;
    } else {
        failed_sys = exec_in_path(plan->argv, plan->env);
        if (failed_sys == ENOENT && plan->argv_else)
            failed_sys = exec_in_path(plan->argv_else, plan->env);
        failed_kind = SUPERVISOR_NO_EXEC;
    }
    _exit(127);
}

static void arrange_descriptors(const struct supervisor_plan *plan)
{
    for (int i = 0; i < 3; i++) /* all of them are above 3: the guest keeps 0 to 6 */
        dup2(plan->fds[i], i);
    dup3(plan->control, CONTROL_FD, O_CLOEXEC);
    close_range(CONTROL_FD + 1, ~0u, 0);
}

static bool has_ended; /* the program was reaped: its pid may be another's */

/* Reaps what has ended. false: no child is left. */
static bool reap(pid_t program)
{
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid == program && !has_ended) {
            has_ended = true;
            tell(SUPERVISOR_EXITED, status);
        } else if (pid == 0) {
            return true;
        } else if (pid < 0 && errno == ECHILD) {
            return false;
        }
    }
}

static void __attribute__((noreturn)) watch_over(pid_t program, int signals)
{
    bool is_killing = false;
    struct pollfd fds[2] = { { .fd = signals, .events = POLLIN },
                             { .fd = CONTROL_FD, .events = POLLIN } };
    for (;;) {
        poll(fds, 2, -1);
        struct signalfd_siginfo info;
        if (fds[0].revents) {
            while (read(signals, &info, sizeof(info)) > 0) {
            }
            if (!reap(program))
                _exit(0);
        }
        struct supervisor_message m = { 0 };
        ssize_t n = fds[1].revents ? recv(CONTROL_FD, &m, sizeof(m), MSG_DONTWAIT) : -1;
        if (n == 0)
            fds[1].fd = -1; /* the guest wants it no more */
        if (n == 0 || m.kind == SUPERVISOR_KILL)
            is_killing = true;
        if (m.kind == SUPERVISOR_SIGNAL && !has_ended)
            kill(-program, m.value);
        if (m.kind == SUPERVISOR_ALL)
            tree_signal(getpid(), m.value, NULL);
        if (is_killing)
            tree_kill(getpid(), NULL);
    }
}

static void __attribute__((noreturn)) supervise(const struct supervisor_plan *plan)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    arrange_descriptors(plan);
    setrlimit(RLIMIT_NOFILE, plan->files);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_NAME, "nanoterm-run");
    pid_t program = vfork();
    if (program == 0)
        become_program(plan);
    if (program < 0)
        tell(SUPERVISOR_NO_FORK, errno);
    else if (failed_kind)
        tell(failed_kind, failed_sys);
    if (program < 0 || failed_kind)
        _exit(0);
    tell(SUPERVISOR_STARTED, program);
    for (int i = 0; i < 3; i++) /* the pipes are the program's alone: their end must be seen */
        close(i);
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    int signals = signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC);
    if (signals < 0 || !reap(program)) /* it may have ended before signals were watched */
        _exit(0);
    watch_over(program, signals);
}

pid_t supervisor_start(const struct supervisor_plan *plan)
{
    pid_t pid = fork();
    if (pid == 0)
        supervise(plan);
    return pid;
}
