/* SPDX-License-Identifier: Apache-2.0 */
/* spawn.c - runs the embedded server as a process of its own.
 *
 * Everything is built before the fork; between it and exec there are system calls only. Two forks:
 * the server must not be our child, or it would stay a zombie of a long command and could become
 * ours to wait for. */
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/config/config.h"
#include "nanoterm/host.h"
#include "nanoterm/local.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define ENVIRONMENT_MAX 256
#define FIRST_FREE 10 /* descriptors are moved above those that the server is given */

extern char **environ;

struct plan {
    const char *program;
    char *argv[4];
    char *environment[ENVIRONMENT_MAX + 1];
    uint32_t count;
    char home[4200];
    int null_fd, log_fd, lock_fd, ready_fd;
};

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* What a server may know of the shell it was started from. Another API's URL and credential are
 * none of its business. */
static bool is_passed(const char *entry)
{
    static const char *const exact[] = { "PATH=", "USER=", "LOGNAME=", "LANG=", "TZ=" };
    static const char *const never[] = { "NANOTERM_API_URL=", "NANOTERM_API_KEY=",
                                         "NANOTERM_ORG_ID=", "NANOTERM_WORKSPACE=" };
    for (size_t i = 0; i < sizeof(exact) / sizeof(exact[0]); i++)
        if (starts_with(entry, exact[i]))
            return true;
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
        if (starts_with(entry, never[i]))
            return false;
    return starts_with(entry, "XDG_") || starts_with(entry, "NANOTERM_");
}

static int make_environment(struct plan *plan, struct nt_error *reterr)
{
    const char *home = config_path(NT_PATH_HOME);
    if (!home
        || (size_t)snprintf(plan->home, sizeof(plan->home), "HOME=%s", home) >= sizeof(plan->home))
        return nt_fail(reterr, NT_E_CONFIG, "there is no home folder");
    plan->environment[plan->count++] = plan->home;
    for (char **entry = environ; *entry && plan->count < ENVIRONMENT_MAX; entry++)
        if (is_passed(*entry))
            plan->environment[plan->count++] = *entry;
    plan->environment[plan->count] = NULL;
    return 0;
}

static _Noreturn void say_and_leave(int fd, const char *text)
{
    size_t size = strlen(text);
    while (size > 0) {
        ssize_t put = write(fd, text, size);
        if (put <= 0)
            break;
        text += put;
        size -= (size_t)put;
    }
    _exit(127);
}

/* In the child: system calls only. */
static _Noreturn void become_server(const struct plan *plan)
{
    sigset_t none;
    for (int signo = 1; signo < NSIG; signo++)
        /* fails for those that cannot be changed, and for those of the C library */
        signal(signo, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    umask(077);
    if (chdir("/") < 0)
        say_and_leave(plan->ready_fd, "cannot go to /\n");
    if (dup2(plan->null_fd, 0) < 0 || dup2(plan->null_fd, 1) < 0 || dup2(plan->log_fd, 2) < 0
        || dup2(plan->lock_fd, NT_LOCAL_FD_LOCK) < 0 || dup2(plan->ready_fd, NT_LOCAL_FD_READY) < 0)
        say_and_leave(plan->ready_fd, "cannot arrange descriptors\n");
    close_range(NT_LOCAL_FD_READY + 1, ~0u, 0);
    execve(plan->program, plan->argv, plan->environment);
    say_and_leave(NT_LOCAL_FD_READY, "the program cannot be run\n");
}

static int run(const struct plan *plan, struct nt_error *reterr)
{
    sigset_t all, before;
    int status;
    /* No handler of ours may run in the child. */
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid == 0) {
        setsid();
        pid_t server = fork();
        if (server == 0)
            become_server(plan);
        _exit(server < 0 ? 1 : 0);
    }
    int sys = errno;
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (pid < 0)
        return nt_fail_sys(reterr, sys, "cannot start the embedded server");
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return 0; /* SIGCHLD is ignored by whoever started us: nothing to wait for */
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return nt_fail(reterr, NT_E_SYSTEM, "cannot start the embedded server: no more processes");
    return 0;
}

static int above(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FREE);
}

int spawn_server(const char *program, int lock_fd, int log_fd, int *ret_ready,
                 struct nt_error *reterr)
{
    int ends[2];
    struct plan plan = { .program = program };
    char *const words[] = { (char[]){ "nanoterm" }, (char[]){ "serve" }, (char[]){ "--embedded" },
                            NULL };
    memcpy(plan.argv, words, sizeof(words));
    if (make_environment(&plan, reterr) < 0)
        return -1;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return nt_fail_sys(reterr, errno, "cannot make a pipe");
    nt_autoclose int ready_in = ends[0], ready_out = ends[1];
    nt_autoclose int null_low = open("/dev/null", O_RDWR | O_CLOEXEC);
    nt_autoclose int null_fd = above(null_low), log = above(log_fd), lock = above(lock_fd),
                     ready = above(ready_out);
    if (null_fd < 0 || log < 0 || lock < 0 || ready < 0 || fcntl(ready_in, F_SETFL, O_NONBLOCK) < 0)
        return nt_fail_sys(reterr, errno, "cannot arrange descriptors");
    plan.null_fd = null_fd;
    plan.log_fd = log;
    plan.lock_fd = lock;
    plan.ready_fd = ready;
    if (run(&plan, reterr) < 0)
        return -1;
    *ret_ready = nt_take_fd(ready_in);
    return 0;
}
