/* SPDX-License-Identifier: Apache-2.0 */
/* broker.c - the process that takes the requests of stand-ins, one process for each; it knows
 * nothing of what they say. Its end is that of all of them. When as many run as may, the next ones
 * wait: in the socket, and when that is full by asking again. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "mediate.h"
#include "plugins/sandbox-enforce/supervise/inner.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/fds.h"

#define COMMANDS_AT_ONCE 64u
#define GRACE_S 20

struct broker {
    struct supervise *s;
    int socket;
    int leash[2]; /* a pipe that nobody writes to: it hangs up with us */
    int signals;  /* signalfd: SIGCHLD */
    pid_t running[COMMANDS_AT_ONCE];
    size_t count;
};

static void reap(struct broker *b)
{
    pid_t pid;
    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
        for (size_t i = 0; i < b->count; i++)
            if (b->running[i] == pid) {
                b->running[i] = b->running[--b->count];
                break;
            }
}

static void start_one(struct broker *b, const int fds[4], pid_t group)
{
    pid_t pid = fork();
    if (pid == 0) {
        close(b->socket);
        close(b->signals);
        close(b->leash[1]);
        mediate_serve(b->s, fds[0], fds + 1, group, b->leash[0]);
    }
    if (pid > 0)
        b->running[b->count++] = pid;
}

/* They see that the leash is gone, and end what they run. */
static _Noreturn void end(struct broker *b)
{
    struct timespec now, left = { .tv_sec = GRACE_S };
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGCHLD);
    clock_gettime(CLOCK_MONOTONIC, &now);
    const time_t due = now.tv_sec + GRACE_S;
    close(b->leash[1]);
    for (reap(b); b->count && left.tv_sec > 0; reap(b)) {
        sigtimedwait(&wanted, NULL, &left);
        clock_gettime(CLOCK_MONOTONIC, &now);
        left.tv_sec = due - now.tv_sec;
    }
    for (size_t i = 0; i < b->count; i++)
        kill(b->running[i], SIGKILL); /* what is inside goes with it: it is its parent */
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) {
    }
    _exit(0);
}

void mediate_let_go(void)
{
    nt_autoclose int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int i = 0; i < 3 && null >= 0; i++)
        dup2(null, i);
}

/* Signals of a terminal are for the program and its commands. The session of processes stays the
 * same: else no command could be in a group of the program's. */
static int be_alone(void)
{
    static const int plain[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGCHLD };
    sigset_t blocked;
    setpgid(0, 0);
    mediate_let_go();
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
        signal(plain[i], SIG_DFL);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGCHLD);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    return signalfd(-1, &blocked, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void take_one(struct broker *b)
{
    pid_t group;
    int fds[4], count;
    ssize_t n = nt_recv_fds(b->socket, &group, sizeof(group), fds, 4, &count, MSG_DONTWAIT);
    if (n == (ssize_t)sizeof(group) && count == 4)
        start_one(b, fds, group);
    for (int i = 0; i < count; i++)
        close(fds[i]);
    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
        end(b);
}

static _Noreturn void broker_main(struct supervise *s, int socket)
{
    struct broker b = { .s = s, .socket = socket };
    b.signals = be_alone();
    /* What the program alone was given is for nobody else. */
    environment_free(s);
    explicit_bzero(s->proxy_token, sizeof(s->proxy_token));
    if (b.signals < 0 || pipe2(b.leash, O_CLOEXEC) < 0)
        _exit(1);
    for (;;) {
        struct signalfd_siginfo info;
        bool is_full = b.count == COMMANDS_AT_ONCE;
        struct pollfd fds[] = { { .fd = socket, .events = is_full ? 0 : POLLIN },
                                { .fd = b.signals, .events = POLLIN } };
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            end(&b);
        while (read(b.signals, &info, sizeof(info)) > 0) {
        }
        reap(&b);
        if (fds[0].revents & POLLIN)
            take_one(&b);
        else if (fds[0].revents)
            end(&b);
    }
}

/* Above 2: what is below is put in place for each command. 0 or errno. */
static int make_pair(int *ret_ours, int *ret_theirs)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return errno;
    *ret_ours = fcntl(pair[0], F_DUPFD_CLOEXEC, 3);
    *ret_theirs = fcntl(pair[1], F_DUPFD_CLOEXEC, 3);
    int sys = *ret_ours < 0 || *ret_theirs < 0 ? errno : 0;
    close(pair[0]);
    close(pair[1]);
    return sys;
}

int mediate_start(struct supervise *s, struct nt_error *reterr)
{
    nt_autoclose int requests = -1, reports = -1;
    struct mediate *m = s->mediate;
    if (!m || m->broker)
        return 0;
    int sys = make_pair(&m->socket, &requests);
    if (!sys)
        sys = make_pair(&m->reports, &reports);
    pid_t pid = sys ? -1 : fork();
    if (pid == 0) {
        close(m->socket);
        close(m->reports);
        m->socket = m->reports = 0;
        m->report = reports;
        broker_main(s, requests);
    }
    sys = sys ? sys : pid < 0 ? errno : 0;
    if (sys)
        return nt_fail_sys(reterr, sys, "a process for the commands");
    m->broker = pid;
    return 0;
}

void mediate_end(struct supervise *s)
{
    struct mediate *m = s->mediate;
    if (!m)
        return;
    if (m->socket > 0)
        close(m->socket);
    m->socket = 0;
    if (m->broker)
        kill(m->broker, SIGCONT); /* whoever has stopped it, it shall end */
    while (m->broker && waitpid(m->broker, NULL, 0) < 0 && errno == EINTR) {
    }
    m->broker = 0;
}
