/* SPDX-License-Identifier: Apache-2.0 */
/* hook_run.c - runs one script outside of the sandbox and waits for its end.
 *
 * It gets a session of its own: no terminal, so that it cannot stop for one, and a group that can
 * be ended as a whole. Its input is empty, its output goes where our messages go. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/close_range.h>

#include "hook.h"
#include "sdk/cleanup.h"
#include "sdk/clock.h"
#include "sdk/error.h"

#define GRACE_MS 5000 /* between SIGTERM and SIGKILL */

/* --- signals ------------------------------------------------------------------------------- */

static const int watched[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };

int hook_signals_block(struct hook_signals *ret, struct nt_error *reterr)
{
    sigset_t set;
    struct sigaction now;
    sigemptyset(&set);
    /* What we were started to ignore (by nohup) we ignore here, too. */
    for (size_t i = 0; i < sizeof(watched) / sizeof(watched[0]); i++)
        if (sigaction(watched[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN)
            sigaddset(&set, watched[i]);
    ret->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (ret->fd < 0)
        return nt_fail_sys(reterr, errno, "signals");
    if (sigprocmask(SIG_BLOCK, &set, &ret->old) < 0) {
        close(ret->fd);
        return nt_fail_sys(reterr, errno, "signals");
    }
    return 0;
}

void hook_signals_unblock(struct hook_signals *signals)
{
    close(signals->fd);
    sigprocmask(SIG_SETMASK, &signals->old, NULL);
}

/* --- the start ----------------------------------------------------------------------------- */

static _Noreturn void become(const struct hook_start *start, int empty, int report)
{
    char name[32];
    char *words[] = { NULL, NULL };
    memcpy(&words[0], &start->path, sizeof(words[0])); /* execve takes them without const */
    snprintf(name, sizeof(name), "/proc/self/fd/%d", start->script);
    int keep = fcntl(start->script, F_GETFD);
    setsid();
    if (fchdir(start->folder) == 0 && dup2(empty, 0) == 0 && dup2(2, 1) == 1 && keep >= 0) {
        /* What the caller has open is not for whoever the script leaves behind. Without this call
         * (before Linux 5.11) that is all that happens: ours are closed by exec in any case. */
        syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC);
        /* An interpreter opens it by this name. */
        fcntl(start->script, F_SETFD, keep & ~FD_CLOEXEC);
        signal(SIGPIPE, SIG_DFL); /* the core ignores it */
        sigprocmask(SIG_SETMASK, &start->signals->old, NULL);
        execve(name, words, start->environment);
    }
    int sys = errno;
    (void)!write(report, &sys, sizeof(sys));
    _exit(127);
}

/* 0 when it has executed: it is then the leader of its group. */
static int launch(const struct hook_start *start, pid_t *ret_pid)
{
    int report[2], sys = 0;
    nt_autoclose int empty = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (empty < 0 || pipe2(report, O_CLOEXEC) < 0)
        return errno;
    nt_autoclose int reading = report[0];
    pid_t pid = fork();
    if (pid == 0)
        become(start, empty, report[1]);
    sys = pid < 0 ? errno : 0;
    close(report[1]);
    if (sys)
        return sys;
    ssize_t n;
    do
        n = read(reading, &sys, sizeof(sys));
    while (n < 0 && errno == EINTR);
    if (n == 0) {
        *ret_pid = pid;
        return 0;
    }
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
    return n == (ssize_t)sizeof(sys) ? sys : EIO;
}

/* --- the end ------------------------------------------------------------------------------- */

/* -1: never. */
static int64_t due_in(int64_t ms)
{
    return ms < 0 ? -1 : nt_now_ms() + ms;
}

static bool was_signalled(int signals)
{
    struct signalfd_siginfo info;
    bool was = false;
    while (read(signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
        was = true;
    return was;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* Until the process has ended; it is not waited for, so that its number stays its own. */
static enum hook_outcome await_end(const struct hook_start *start, pid_t pid, int pidfd)
{
    enum hook_outcome outcome = HOOK_ENDED;
    int64_t due = due_in(start->timeout_ms);
    int64_t call_due = due_in(start->call ? start->call->host->left_ms(start->call) : -1);
    struct pollfd fds[] = { { .fd = pidfd, .events = POLLIN },
                            { .fd = start->signals->fd, .events = POLLIN } };
    for (;;) {
        int64_t next = earlier(due, call_due), now = nt_now_ms();
        int64_t wait = next < 0 || next - now > 3600000 ? 3600000 : next > now ? next - now : 0;
        int ready = poll(fds, 2, (int)wait);
        if (ready > 0 && fds[0].revents) {
            /* Who wants an end gets one, also in the last moment. */
            if (outcome == HOOK_ENDED && was_signalled(start->signals->fd))
                outcome = HOOK_INTERRUPTED;
            break;
        }
        bool is_asked = ready > 0 && fds[1].revents && was_signalled(start->signals->fd);
        bool is_due = due >= 0 && nt_now_ms() >= due;
        bool is_over = call_due >= 0 && nt_now_ms() >= call_due;
        if (outcome == HOOK_ENDED && (is_asked || is_due || is_over)) {
            outcome = is_asked ? HOOK_INTERRUPTED : is_due ? HOOK_LATE : HOOK_CALL_LATE;
            due = due_in(GRACE_MS);
            call_due = -1;
            kill(-pid, SIGTERM);
        } else if (outcome != HOOK_ENDED && (is_asked || is_due)) {
            due = -1;
            kill(-pid, SIGKILL);
        }
    }
    if (outcome != HOOK_ENDED)
        kill(-pid, SIGKILL); /* what of its group did not obey */
    return outcome;
}

enum hook_outcome hook_run(const struct hook_start *start, int *ret_status)
{
    pid_t pid = 0;
    int sys = launch(start, &pid), status = 0;
    if (sys) {
        *ret_status = sys;
        return HOOK_NOT_STARTED;
    }
    nt_autoclose int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    enum hook_outcome outcome = HOOK_NOT_STARTED;
    if (pidfd < 0) {
        *ret_status = errno;
        kill(-pid, SIGKILL); /* it could not be waited for in time */
    } else {
        outcome = await_end(start, pid, pidfd);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (outcome != HOOK_NOT_STARTED)
        *ret_status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    return outcome;
}
