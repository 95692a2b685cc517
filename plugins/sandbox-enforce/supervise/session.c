/* SPDX-License-Identifier: Apache-2.0 */
/* session.c - starts the program inside and waits for its end: the supervisor's one loop. */
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/explain/footer.h"
#include "plugins/sandbox-enforce/mediate/protocol.h"
#include "plugins/sandbox-enforce/supervise/tree.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/fds.h"

/* --- messages from inside ------------------------------------------------------------------ */

/* One message; *ret_fd what came along, or -1; *ret_pid who sent it, as a number of ours. 1: there
 * is none now, -1: nobody is there. */
static int take(int socket, int flags, struct inside_message *ret, int *ret_fd, pid_t *ret_pid)
{
    int count;
    *ret_fd = -1;
    ssize_t n = nt_recv_fds_from(socket, ret, sizeof(*ret), ret_fd, 1, &count, ret_pid, flags);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 1 : -1;
    return n == (ssize_t)sizeof(*ret) && count >= 0 ? 0 : -1;
}

/* The same, when there must be one. */
static int await(int socket, struct inside_message *ret, int *ret_fd)
{
    pid_t pid;
    int r;
    do
        r = take(socket, 0, ret, ret_fd, &pid);
    while (r == 1);
    return r;
}

/* To who asked for the command, when it reads. */
static void tell_channel(const struct session *session, enum mediate_kind kind, int value)
{
    const struct mediate_message message = { kind, (uint32_t)value };
    (void)!send(session->s->options.channel, &message, sizeof(message),
                MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* --- the start ----------------------------------------------------------------------------- */

static int fail_start(const struct inside_message *m, struct nt_error *reterr)
{
    static const char *const steps[] = {
        [STEP_SPACE] = "setting up the sandbox",
        [STEP_READONLY] = "making the rest read-only",
        [STEP_PROC] = "/proc",
        [STEP_HIDE] = "hiding a denied path",
        [STEP_COMMANDS] = "what stands in for commands",
        [STEP_NETWORK] = "the network inside",
        [STEP_FORK] = "starting a process",
        [STEP_FOLDER] = "the folder to start in",
        [STEP_TERMINAL] = "the terminal",
        [STEP_LAYER] = "layer",
        [STEP_EXEC] = "starting",
    };
    enum enforce_layer layer = (enum enforce_layer)m->value;
    const char *what = m->step <= STEP_EXEC ? steps[m->step] : "inside";
    if (m->step != STEP_LAYER)
        return nt_fail_sys(reterr, m->sys, "%s", what);
    if (m->sys == ENOTRECOVERABLE)
        nt_fail(reterr, ENFORCE_E_UNAVAILABLE, "layer %s was set, and what it forbids still works",
                enforce_layer_name(layer));
    else
        nt_fail(reterr, ENFORCE_E_UNAVAILABLE, "layer %s: %s", enforce_layer_name(layer),
                strerror(m->sys));
    return nt_hint(reterr, "%.150s%s--accept-weaker %s", enforce_layer_remedy(layer),
                   *enforce_layer_remedy(layer) ? "; or " : "", enforce_layer_name(layer));
}

static _Noreturn void become_keeper(struct session *session, int socket, int go)
{
    struct inside in = { .s = session->s,
                         .e = &session->layers,
                         .socket = socket,
                         .go = go,
                         .terminal = session->terminal,
                         .signals = session->old_signals };
    in.has_terminal = session->terminal >= 0 && tcgetpgrp(session->terminal) == getpgrp();
    keeper_run(&in);
}

/* The proxy listens in our network, where a port may be taken: what was made with the port is made
 * again. */
static int listen_here(struct supervise *s, struct nt_error *reterr)
{
    s->proxy_port = s->options.policy->proxy_port;
    int sys = enforce_spaces_listen(&s->proxy_port, &s->proxy_listener);
    if (sys)
        return nt_fail_sys(reterr, sys, "a port for the proxy");
    environment_free(s);
    return environment_make(s, reterr);
}

/* Without namespaces: more calls are refused, and the ports are those of this network. */
static int go_without(struct session *session, struct nt_error *reterr)
{
    struct supervise *s = session->s;
    if (fence_check_spaces(s, reterr) < 0 || (s->proxy_port && listen_here(s, reterr) < 0))
        return -1;
    enforce_done(&session->layers);
    return fence_prepare(s, &session->layers, reterr);
}

/* Makes the first process inside, with the namespaces that there are. */
static int start_keeper(struct session *session, struct nt_error *reterr)
{
    struct supervise *s = session->s;
    int sockets[2] = { -1, -1 }, go[2] = { -1, -1 };
    const int on = 1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
        return nt_fail_sys(reterr, errno, "a pair of sockets");
    nt_autoclose int inside = sockets[1];
    session->socket = sockets[0];
    /* So that each message carries the pid of its sender, as we number it. */
    if (setsockopt(session->socket, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0
        || pipe2(go, O_CLOEXEC) < 0)
        return nt_fail_sys(reterr, errno, "a pipe");
    nt_autoclose int go_inside = go[0];
    session->go = go[1];
    s->spaces = s->wanted;
    int sys = enforce_spaces_fork(s->spaces, &session->keeper, &session->pidfd, &s->why);
    if (sys && s->wanted) {
        /* All or nothing: what is left without them is told, or refused. */
        s->spaces = 0;
        s->has_spaces = true;
        if (go_without(session, reterr) < 0)
            return -1;
        sys = enforce_spaces_fork(0, &session->keeper, &session->pidfd, &s->why);
    }
    if (sys)
        return nt_fail_sys(reterr, sys, "a process for the sandbox");
    s->has_spaces = true;
    if (session->keeper == 0) {
        close(session->socket);
        close(session->go);
        close(session->signals);
        become_keeper(session, inside, go_inside);
    }
    enforce_done(&session->layers);
    return 0;
}

static void on_proxy_warning(void *data, const char *text)
{
    const struct supervise *s = data;
    s->options.call->host->message(s->options.call, NT_SAY_WARN, text);
}

/* The keeper has set up; the proxy gets the listener that was made inside, or ours. */
static int start_proxy(struct session *session, int listener, struct nt_error *reterr)
{
    struct supervise *s = session->s;
    if (listener < 0) {
        listener = s->proxy_listener;
        s->proxy_listener = -1;
    }
    if (!s->proxy_port) {
        if (listener >= 0)
            close(listener);
        return 0;
    }
    const struct proxy_options options = { .policy = s->options.policy,
                                           .denials = session->denials,
                                           .listener = listener,
                                           .token = s->proxy_token,
                                           .captures = s->captures,
                                           .session = s->session_name,
                                           .bundle = bundle_file(s),
                                           .warn = s->options.is_silent ? NULL : on_proxy_warning,
                                           .data = s };
    return s->proxy_ops->start(&options, &session->proxy, reterr);
}

/* Puts the keeper, and so the program, into the group of who asked for it: then a terminal treats
 * both as one job. Only where neither can signal the other: what a program sends to its group goes
 * to all in it, of whatever namespace. The kernel refuses a group of another session. */
static bool join_group(const struct session *session)
{
    const struct supervise *s = session->s;
    return s->options.group > 0 && s->spaces & ENFORCE_SPACE_PID
           && enforce_layer_is_set(&session->layers, ENFORCE_SCOPES) && session->layers.signals
           && setpgid(session->keeper, s->options.group) == 0;
}

/* Who asked is told; what it had open is the command's alone from now on. */
static void tell_start(const struct session *session)
{
    if (!session->s->options.channel)
        return;
    tell_channel(session, MEDIATE_STARTED, session->is_joined);
    mediate_let_go();
}

static int await_keeper(struct session *session, struct nt_error *reterr)
{
    struct inside_message message;
    int listener;
    /* It sets up meanwhile. */
    if (cap_file_fill(session->s, reterr) < 0 || bundle_fill(session->s, reterr) < 0)
        return -1;
    if (await(session->socket, &message, &listener) < 0)
        return nt_fail(reterr, NT_E_SYSTEM, "the sandbox's first process ended at once");
    if (message.kind != INSIDE_READY)
        return fail_start(&message, reterr);
    session->s->has_own_proc = message.value & READY_PROC;
    session->s->is_readonly = message.value & READY_READONLY;
    session->s->has_own_terminals = message.value & READY_TERMINALS;
    if (start_proxy(session, listener, reterr) < 0)
        return -1;
    session->is_joined = join_group(session);
    session_tell(session, INSIDE_GO, session->is_joined);
    cap_file_sweep(session->s);
    return 0;
}

/* Takes the listener out of the program, which waits for that. */
static int take_listener(struct session *session, int number, struct nt_error *reterr)
{
    struct supervise *s = session->s;
    if (number < 0)
        return 0;
    nt_autoclose int program = (int)syscall(SYS_pidfd_open, session->program, 0);
    int fd = program < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, program, number, 0);
    if (fd < 0) {
        nt_fail(reterr, ENFORCE_E_UNAVAILABLE, "layer " SUPERVISE_WEAKER_NOTIFICATION ": %s",
                strerror(errno));
        return nt_hint(reterr, "needs the right to look into one's own children "
                               "(kernel.yama.ptrace_scope below 2); or "
                               "--accept-weaker " SUPERVISE_WEAKER_NOTIFICATION);
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    bool has_rules = enforce_layer_is_set(&session->layers, ENFORCE_FILES);
    const struct notify_options options = { .policy = s->options.policy,
                                            .denials = session->denials,
                                            .proxy_port = s->proxy_port,
                                            .is_readonly = s->is_readonly,
                                            .has_mounts = s->is_readonly || s->is_all_writable,
                                            .has_no_rules = !has_rules,
                                            .has_device_rules =
                                                has_rules && session->layers.landlock >= 5,
                                            .own_network = s->spaces & ENFORCE_SPACE_NETWORK,
                                            .broker = s->mediate ? s->mediate->socket : 0 };
    return notify_new(fd, &options, &session->notify, reterr);
}

/* --- while it runs ------------------------------------------------------------------------- */

static int on_message(struct session *session, struct nt_error *reterr)
{
    struct inside_message message;
    int fd;
    pid_t pid;
    int r = take(session->socket, MSG_DONTWAIT, &message, &fd, &pid);
    if (fd >= 0)
        close(fd);
    if (r == 1)
        return 0;
    if (r < 0 && session->has_failed) {
        session->is_ended = true;
        return 0;
    }
    if (r < 0)
        return nt_fail(reterr, NT_E_SYSTEM,
                       "the sandbox's first process was killed, and all in it with it");
    switch (message.kind) {
    case INSIDE_LISTENER:
        session->program = pid;
        if (session->audit)
            kernel_audit_of(session->audit, pid);
        if (take_listener(session, message.value, reterr) < 0)
            return -1;
        while (write(session->go, "", 1) < 0 && errno == EINTR) {
        }
        session->is_let_go = true;
        tell_start(session);
        break;
    case INSIDE_FAILED:
        session->has_failed = true;
        session->failure = message;
        break;
    case INSIDE_STOPPED:
        if (session->s->options.channel)
            tell_channel(session, MEDIATE_STOPPED, message.value);
        else
            session_on_stop(session, message.value);
        break;
    case INSIDE_ENDED:
        session->is_ended = true;
        session->status = message.value;
        break;
    default:
        break;
    }
    return 0;
}

/* Who asked for a command passes its signals on; when it goes, or its session ends, so does the
 * command. */
static int on_channel(struct session *session, struct nt_error *reterr)
{
    static const int known[] = { SIGINT,  SIGTERM, SIGHUP,   SIGQUIT, SIGUSR1,
                                 SIGUSR2, SIGALRM, SIGWINCH, SIGTSTP, SIGCONT };
    unsigned char bytes[64];
    ssize_t n =
        recv(session->s->options.channel, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        return nt_fail(reterr, NT_E_CANCELLED, "who asked for it is gone");
    for (ssize_t i = 0; i < n; i++)
        for (size_t j = 0; j < sizeof(known) / sizeof(known[0]); j++)
            if (bytes[i] == known[j])
                session_tell(session, INSIDE_SIGNAL, known[j]);
    return 0;
}

static int wait_for_end(struct session *session, struct nt_error *reterr)
{
    struct nt_call *call = session->s->options.call;
    const struct supervise_options *options = &session->s->options;
    struct pollfd fds[] = { { .fd = session->socket, .events = POLLIN },
                            { .fd = session->signals, .events = POLLIN },
                            { .fd = session->audit ? kernel_audit_fd(session->audit) : -1,
                              .events = POLLIN },
                            { .fd = options->channel ? options->channel : -1, .events = POLLIN },
                            { .fd = options->leash ? options->leash : -1, .events = POLLIN },
                            { .events = POLLIN } };
    struct mediate *mediate = session->s->mediate;
    while (!session->is_ended) {
        fds[5].fd = mediate && mediate->reports ? mediate->reports : -1;
        int64_t left = call->host->left_ms(call);
        if (left == 0) {
            session->is_late = true;
            nt_fail(reterr, NT_E_TIMEOUT, "the program did not end in time, and was ended");
            return nt_hint(reterr, "--timeout says how long it may take");
        }
        int ready = poll(fds, 6, left < 0 || left > 3600000 ? -1 : (int)left);
        if (ready < 0 && errno != EINTR)
            return nt_fail_sys(reterr, errno, "waiting for the program");
        if (ready > 0 && fds[1].revents)
            session_on_signals(session);
        if (ready > 0 && fds[2].revents)
            kernel_audit_read(session->audit, session->denials);
        if (ready > 0 && fds[5].revents)
            mediate_take_reports(mediate, session->denials);
        if (ready > 0 && fds[0].revents && on_message(session, reterr) < 0)
            return -1;
        if (ready > 0 && fds[3].revents && !session->is_ended && on_channel(session, reterr) < 0)
            return -1;
        if (ready > 0 && fds[4].revents && !session->is_ended)
            return nt_fail(reterr, NT_E_CANCELLED, "the session has ended");
    }
    return 0;
}

/* Ends all that is inside, and waits until it has: nothing is left when we return. */
static void end_keeper(struct session *session)
{
    if (session->keeper <= 0)
        return;
    /* In a PID namespace the rest goes with it; elsewhere the keeper ends the rest when its socket
     * is closed. */
    if (session->s->spaces & ENFORCE_SPACE_PID)
        syscall(SYS_pidfd_send_signal, session->pidfd, SIGKILL, NULL, 0);
    if (session->socket >= 0)
        close(session->socket);
    session->socket = -1;
    while (waitpid(session->keeper, NULL, 0) < 0 && errno == EINTR) {
    }
    session->keeper = 0;
    /* A keeper that was killed from outside has left its children to us. */
    if (!(session->s->spaces & ENFORCE_SPACE_PID))
        tree_kill();
}

/* What is known only now: who has ended can say nothing more. */
static void explain(struct session *session)
{
    const char *text;
    size_t size = last_words_end(session->words, &text);
    bool is_well =
        session->is_ended && WIFEXITED(session->status) && WEXITSTATUS(session->status) == 0;
    if (session->audit && !is_well)
        kernel_audit_finish(session->audit, session->denials);
    if (!is_well)
        footer_infer(session->s->options.policy, session->s->is_readonly, text, size,
                     session->denials);
    last_words_free(session->words);
    kernel_audit_close(session->audit);
}

static void done(struct session *session)
{
    struct supervise *s = session->s;
    bool was_killed = session->is_ended && WIFSIGNALED(session->status);
    end_keeper(session);
    session_take_terminal(session, was_killed || session->is_late);
    notify_free(session->notify);
    mediate_end(s); /* its thread has sent there */
    mediate_take_reports(s->mediate, session->denials);
    explain(session);
    if (session->proxy)
        s->proxy_ops->stop(session->proxy);
    enforce_done(&session->layers);
    if (session->pidfd >= 0)
        close(session->pidfd);
    if (session->socket >= 0)
        close(session->socket);
    if (session->go >= 0)
        close(session->go);
    if (session->signals >= 0)
        close(session->signals);
    session_unblock_signals(session);
}

/* --- the whole ----------------------------------------------------------------------------- */

/* How the program ended: also one that we have killed, whose end nobody told. */
static int status_of(const struct session *session)
{
    if (!session->is_ended)
        return 128 + SIGKILL;
    return WIFSIGNALED(session->status) ? 128 + WTERMSIG(session->status)
                                        : WEXITSTATUS(session->status);
}

/* A message, and the status of a program that could not be executed. */
static void say_exec(const struct session *session, int *ret_status)
{
    const struct supervise *s = session->s;
    struct nt_call *call = s->options.call;
    nt_auto(nt_buf_done) struct nt_buf line = NT_BUF(8192);
    struct nt_error error = NT_ERROR_INIT;
    int sys = session->failure.sys;
    command_fail(s, sys, &error);
    nt_buf_add_printable(&line, error.message, false);
    if (error.hint[0]) {
        nt_buf_add(&line, " (");
        nt_buf_add_printable(&line, error.hint, false);
        nt_buf_add_char(&line, ')');
    }
    call->host->message(call, NT_SAY_WARN, nt_buf_text(&line));
    *ret_status = sys == ENOENT || call->personality == NT_AS_NONO ? 127 : 126;
}

int session_run(struct supervise *s, struct denials *denials, int *ret_status, bool *ret_busy,
                struct nt_error *reterr)
{
    struct session session = { .s = s,
                               .denials = denials,
                               .pidfd = -1,
                               .socket = -1,
                               .signals = -1,
                               .go = -1,
                               .terminal = -1 };
    *ret_busy = false;
    session.layers.ruleset = session.layers.stranger = session.layers.listener = -1;
    session_find_terminal(&session);
    int result = fence_prepare(s, &session.layers, reterr);
    if (result == 0)
        result = session_block_signals(&session, reterr);
    if (result == 0 && s->options.is_explained) {
        session.words = last_words_begin();
        session.audit = kernel_audit_open();
    }
    if (result == 0)
        result = start_keeper(&session, reterr);
    if (result == 0)
        last_words_listen(session.words);
    if (result == 0)
        result = await_keeper(&session, reterr);
    if (result == 0)
        result = wait_for_end(&session, reterr);
    done(&session);
    s->has_run = session.is_let_go && !session.has_failed;
    s->run_status = status_of(&session);
    s->run_signal = session.is_ended && WIFSIGNALED(session.status) ? WTERMSIG(session.status) : 0;
    if (result < 0)
        return -1;
    if (session.has_failed && session.failure.step == STEP_EXEC && s->options.channel)
        return command_fail(s, session.failure.sys, reterr);
    if (session.has_failed && session.failure.step == STEP_EXEC) {
        say_exec(&session, ret_status);
        return 0;
    }
    *ret_busy = session.has_failed && session.failure.step == STEP_LAYER
                && session.failure.value == ENFORCE_CALLS && session.failure.sys == EBUSY;
    if (session.has_failed)
        return fail_start(&session.failure, reterr);
    *ret_status = s->run_status;
    return 0;
}
