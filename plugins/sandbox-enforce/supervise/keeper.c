/* SPDX-License-Identifier: Apache-2.0 */
/* keeper.c - the first process inside: sets up the namespaces, starts the program, and sees to it
 * that nothing inside outlives the program or the supervisor.
 *
 * In a PID namespace it is PID 1: when it ends, the kernel ends the rest. Elsewhere it is a
 * subreaper: what the program leaves behind becomes its child, and it kills until there is none. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "inner.h"
#include "plugins/sandbox-enforce/supervise/tree.h"

enum { TERMINALS_MAX = 8 }; /* that keep their names; who runs a program gives it one, or none */

struct keeper {
    struct inside *in;
    int signals;  /* signalfd: SIGCHLD, and SIGTERM for the end of the supervisor */
    int watch;    /* readable: something that was hidden may be bare again; -1: nothing is hidden */
    int commands; /* the same for what stands in for commands; -1: nothing does */
    int terminals[TERMINALS_MAX]; /* held, so that their names stay */
    size_t terminal_count;
    pid_t program;
};

static bool is_first(const struct keeper *k)
{
    return k->in->s->spaces & ENFORCE_SPACE_PID;
}

/* --- the end ------------------------------------------------------------------------------- */

static _Noreturn void end(const struct keeper *k)
{
    if (!is_first(k))
        tree_kill();
    _exit(0);
}

static _Noreturn void fail(const struct keeper *k, enum inside_step step, int value, int sys)
{
    const struct inside_message message = { INSIDE_FAILED, step, value, sys };
    inside_send(k->in->socket, &message, -1);
    end(k);
}

/* --- the beginning ------------------------------------------------------------------------- */

/* Before /proc is mounted, which is not to be read-only, and before anything is hidden in what is
 * put over it here. */
static void make_readonly(struct keeper *k)
{
    struct supervise *s = k->in->s;
    if (!(s->spaces & ENFORCE_SPACE_MOUNT) || s->is_all_writable)
        return;
    int sys = enforce_spaces_readonly(s->writable, s->writable_count);
    if (sys && sys != EOPNOTSUPP)
        fail(k, STEP_READONLY, 0, sys);
    s->is_readonly = !sys;
}

static void make_terminals(struct keeper *k)
{
    struct supervise *s = k->in->s;
    const struct policy *policy = s->options.policy;
    struct enforce_place kept[TERMINALS_MAX];
    size_t count = 0;
    if (!fence_owns_terminals(s))
        return;
    for (size_t i = 0; i < policy->grant_count; i++) {
        const struct policy_grant *grant = &policy->grants[i];
        if (strncmp(grant->path, "/dev/pts/", 9) == 0 && count < TERMINALS_MAX)
            kept[count++] = (struct enforce_place){ .path = grant->path, .fd = grant->fd };
    }
    s->has_own_terminals = enforce_spaces_terminals(kept, count, k->terminals) == 0;
    k->terminal_count = count;
}

static void hide(struct keeper *k)
{
    const struct supervise *s = k->in->s;
    const char *const *hidden = (const char *const *)s->hidden;
    const char *const *pinned = (const char *const *)s->pinned;
    size_t failed = 0;
    int sys = 0;
    if (!(s->spaces & ENFORCE_SPACE_MOUNT))
        return;
    if (s->hidden_count)
        sys = enforce_spaces_watch(hidden, s->hidden_count, &k->watch);
    if (!sys && s->hidden_count)
        sys = enforce_spaces_watch_too(k->watch, pinned, s->pinned_count);
    if (!sys)
        sys = enforce_spaces_pin(pinned, s->pinned_count);
    if (!sys)
        sys = enforce_spaces_hide(hidden, s->hidden_count, &failed);
    if (sys)
        fail(k, STEP_HIDE, (int)failed, sys);
}

/* What cannot be covered must not be started as it is. */
static void cover_commands(struct keeper *k, bool is_again)
{
    const struct mediate *m = k->in->s->mediate;
    size_t failed = 0;
    if (!m || !m->covered_count)
        return;
    int sys = is_again ? 0 : enforce_spaces_watch(m->covered, m->covered_count, &k->commands);
    if (!sys)
        sys = enforce_spaces_cover(is_again ? k->commands : -1, m->stand_in, m->covered,
                                   m->covered_count, &failed);
    if (sys && is_again)
        end(k);
    if (sys)
        fail(k, STEP_COMMANDS, (int)failed, sys);
}

/* Somebody outside has made a name anew where we hide one. What cannot be hidden again ends it. */
static void hide_again(const struct keeper *k)
{
    const struct supervise *s = k->in->s;
    const char *const *hidden = (const char *const *)s->hidden;
    const char *const *pinned = (const char *const *)s->pinned;
    size_t again;
    if (enforce_spaces_hide_again(k->watch, pinned, s->pinned_count, hidden, s->hidden_count,
                                  &again)
        != 0)
        end(k);
}

static void set_up(struct keeper *k)
{
    struct supervise *s = k->in->s;
    struct inside_message ready = { .kind = INSIDE_READY };
    int listener = -1, sys;
    const uint32_t both = ENFORCE_SPACE_PID | ENFORCE_SPACE_MOUNT;
    if (prctl(PR_SET_DUMPABLE, 0) < 0)
        fail(k, STEP_SPACE, 0, errno);
    /* As PID 1 the rest dies with us. Elsewhere we must live to kill it. */
    if (prctl(PR_SET_PDEATHSIG, is_first(k) ? SIGKILL : SIGTERM) < 0
        || (!is_first(k) && prctl(PR_SET_CHILD_SUBREAPER, 1) < 0))
        fail(k, STEP_SPACE, 0, errno);
    make_readonly(k);
    /* Masked in containers: then the old one stays, and only a part of it is granted. */
    if ((s->spaces & both) == both) {
        /* Where no rules for files hold, the machine's settings lie in it. */
        bool has_rules = enforce_layer_is_set(k->in->e, ENFORCE_FILES);
        sys = enforce_spaces_proc(s->is_readonly && !has_rules);
        s->has_own_proc = sys == 0;
        if (sys && sys != EPERM)
            fail(k, STEP_PROC, 0, sys);
    }
    make_terminals(k);
    hide(k);
    cover_commands(k, false);
    if (s->spaces & ENFORCE_SPACE_NETWORK) {
        sys = enforce_spaces_loopback();
        if (!sys && s->proxy_port)
            sys = enforce_spaces_listen(&s->proxy_port, &listener);
        if (sys)
            fail(k, STEP_NETWORK, 0, sys);
    }
    ready.value = (s->has_own_proc ? READY_PROC : 0) | (s->is_readonly ? READY_READONLY : 0)
                  | (s->has_own_terminals ? READY_TERMINALS : 0);
    if (inside_send(k->in->socket, &ready, listener) != 0)
        end(k);
    if (listener >= 0)
        close(listener);
}

static void await_go(struct keeper *k)
{
    struct inside_message message;
    ssize_t n;
    do
        n = recv(k->in->socket, &message, sizeof(message), 0);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof(message) || message.kind != INSIDE_GO)
        end(k);
    k->in->is_joined = message.value == 1;
}

/* Of what came by the fork - folders that are granted, the rules - nothing is needed any more. */
static void close_rest(const struct keeper *k)
{
    int kept[4 + TERMINALS_MAX] = { k->in->socket, k->signals, k->watch, k->commands };
    size_t count = 4;
    unsigned first = 3;
    for (size_t i = 0; i < k->terminal_count; i++)
        kept[count++] = k->terminals[i];
    for (;;) {
        int next = -1;
        for (size_t i = 0; i < count; i++)
            if (kept[i] >= (int)first && (next < 0 || kept[i] < next))
                next = kept[i];
        if (next < 0)
            break;
        if ((unsigned)next > first)
            syscall(SYS_close_range, first, (unsigned)next - 1, 0u);
        first = (unsigned)next + 1;
    }
    syscall(SYS_close_range, first, ~0u, 0u);
}

static void start(struct keeper *k)
{
    k->program = fork();
    if (k->program < 0)
        fail(k, STEP_FORK, 0, errno);
    if (k->program == 0) {
        close(k->signals);
        program_run(k->in);
    }
    /* Also here: signals for the group must find it. EACCES: it has executed already. A group that
     * was joined is left to the program. */
    if (k->in->is_joined)
        setpgid(0, 0);
    else
        setpgid(k->program, k->program);
    enforce_done(k->in->e);
    if (k->in->s->options.channel) /* who reads or writes there sees the command go */
        syscall(SYS_close_range, 0u, 2u, 0u);
    close_rest(k);
    /* Nothing secret stays in a process that is inside. */
    environment_free(k->in->s);
    environment_wipe_own();
    explicit_bzero(k->in->s->proxy_token, sizeof(k->in->s->proxy_token));
}

/* --- while it runs ------------------------------------------------------------------------- */

static void tell(struct keeper *k, enum inside_kind kind, int value)
{
    const struct inside_message message = { kind, 0, value, 0 };
    if (inside_send(k->in->socket, &message, -1) != 0)
        end(k);
}

static void reap(struct keeper *k)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED | __WALL)) > 0) {
        if (pid != k->program)
            continue;
        if (WIFSTOPPED(status)) {
            tell(k, INSIDE_STOPPED, WSTOPSIG(status));
            continue;
        }
        tell(k, INSIDE_ENDED, status);
        end(k);
    }
}

static void obey(struct keeper *k)
{
    struct inside_message message;
    ssize_t n = recv(k->in->socket, &message, sizeof(message), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n != (ssize_t)sizeof(message))
        end(k); /* the supervisor is gone */
    /* In a group that was joined there are others: then it is all that are here. */
    if (message.kind == INSIDE_SIGNAL)
        kill(k->in->is_joined ? -1 : -k->program, message.value);
    if (message.kind == INSIDE_TERMINAL) {
        if (message.value && k->in->terminal >= 0)
            tcsetpgrp(k->in->terminal, k->program);
        kill(-k->program, SIGCONT);
    }
}

static void note_signals(struct keeper *k)
{
    struct signalfd_siginfo info;
    while (read(k->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
        if (info.ssi_signo == SIGTERM)
            end(k);
}

void keeper_run(struct inside *in)
{
    struct keeper k = { .in = in, .watch = -1, .commands = -1 };
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGCHLD);
    sigaddset(&wanted, SIGTERM);
    k.signals = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
    /* A group of its own: what is sent to that of the supervisor - by timeout(1), say - is for the
     * program, and the supervisor passes it on. */
    if (k.signals < 0 || setpgid(0, 0) < 0)
        fail(&k, STEP_SPACE, 0, errno);
    set_up(&k);
    await_go(&k);
    start(&k);
    struct pollfd fds[] = { { .fd = in->socket, .events = POLLIN },
                            { .fd = k.signals, .events = POLLIN },
                            { .fd = k.watch, .events = POLLIN },
                            { .fd = k.commands, .events = POLLIN } };
    for (;;) {
        if (poll(fds, 4, -1) < 0 && errno != EINTR)
            end(&k);
        if (fds[2].revents)
            hide_again(&k);
        if (fds[3].revents)
            cover_commands(&k, true);
        if (fds[1].revents)
            note_signals(&k);
        reap(&k);
        if (fds[0].revents)
            obey(&k);
    }
}
