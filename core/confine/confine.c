/* SPDX-License-Identifier: Apache-2.0 */
/* confine.c - starts the process of a third party's command, moves frames between it and serve.c,
 * and says how it ended. */
#include "confine.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/confine/inside.h"
#include "core/confine/serve.h"
#include "core/confine/streams.h"
#include "core/confine/wait.h"
#include "core/plugin/registry.h"
#include "sdk/cleanup.h"
#include "sdk/clock.h"
#include "sdk/error.h"
#include "sdk/fds.h"

#define GRACE_MS 2000  /* beyond the command's deadline, which the plugin can see itself */
#define STALL_MS 30000 /* a plugin that takes no answer */

static int fail_woken(const struct confined *c, enum woken woken, struct nt_error *reterr)
{
    const char *name = c->options.plugin->name;
    if (woken == WOKEN_INTERRUPTED)
        return nt_fail(reterr, NT_E_CANCELLED, "interrupted");
    if (woken == WOKEN_LATE && !c->has_started)
        return nt_fail(reterr, NT_E_PLUGIN_FAILED, "the plugin '%s' did not finish loading in time",
                       name);
    if (woken == WOKEN_LATE)
        return nt_fail(reterr, NT_E_TIMEOUT, "the plugin '%s' did not end in time", name);
    return nt_fail(reterr, NT_E_SYSTEM, "cannot wait for the plugin '%s'", name);
}

/* --- frames --------------------------------------------------------------------------------- */

/* The descriptor goes with the first byte. */
static int send_all(struct confined *c, struct nt_bytes bytes, int fd, struct nt_error *reterr)
{
    const char *at = bytes.data;
    size_t left = bytes.size;
    int64_t until = nt_now_ms() + STALL_MS;
    while (left) {
        unsigned with_it = fd >= 0 && left == bytes.size ? 1 : 0;
        ssize_t n = nt_send_fds(c->channel, at, left, &fd, with_it, MSG_DONTWAIT);
        if (n > 0) {
            at += n;
            left -= (size_t)n;
            until = nt_now_ms() + STALL_MS;
        } else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            int signo;
            enum woken woken = wait_for(c->channel, POLLOUT, c->process, until, &signo);
            if (woken == WOKEN_ENDED)
                return 0; /* the end is told by whoever reads */
            if (woken != WOKEN_READY)
                return fail_woken(c, woken, reterr);
        } else {
            return 0; /* it is gone: the same */
        }
    }
    return 0;
}

/* Sends what is in c->out. */
static int send_out(struct confined *c, int fd, struct nt_error *reterr)
{
    wire_end(&c->out);
    if (!nt_buf_ok(&c->out)) {
        /* An answer with more around it than is passed on. */
        struct nt_error error = NT_ERROR_INIT;
        nt_fail(&error, NT_E_LIMIT, "the answer is too long");
        wire_begin(&c->out, WIRE_FAILED);
        wire_error(&c->out, &error);
        wire_end(&c->out);
    }
    /* What was to be told before comes first; a part of it may be on its way. */
    while (streams_has_news(c)) {
        struct nt_bytes news = streams_news(c);
        if (send_all(c, news, -1, reterr) < 0)
            return -1;
        streams_told(c, news.size);
    }
    return send_all(c, (struct nt_bytes){ c->out.data, c->out.size }, fd, reterr);
}

/* Serves the frames that have arrived whole. */
static int serve_all(struct confined *c, struct nt_error *reterr)
{
    struct wire_head head;
    size_t at = 0;
    int result = 0;
    while (result == 0 && !c->has_result && c->in.size - at >= sizeof(head)) {
        memcpy(&head, c->in.data + at, sizeof(head));
        if (head.size > WIRE_UP_MAX)
            return nt_fail(reterr, NT_E_PLUGIN_FAILED, "the plugin '%s' sent %u bytes at once",
                           c->options.plugin->name, head.size);
        if (c->in.size - at - sizeof(head) < head.size)
            break;
        struct wire_reader r = { c->in.data + at + sizeof(head), head.size, false };
        int fd = -1;
        result = serve_frame(c, head.type, &r, &fd, reterr);
        if (result == 0 && c->out.size)
            result = send_out(c, fd, reterr);
        if (result == 0 && streams_is_flooded(c))
            result =
                nt_fail(reterr, NT_E_PLUGIN_FAILED,
                        "the plugin '%s' does not take what it asked for", c->options.plugin->name);
        nt_closep(&fd);
        at += sizeof(head) + head.size;
    }
    nt_buf_drop(&c->in, at);
    return result;
}

/* Reads what is there. 1: something came, or may still come; 0: nothing does any more. */
static int read_some(struct confined *c, struct nt_error *reterr)
{
    char *room = nt_buf_room(&c->in, 64u * 1024);
    if (!room)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    /* Descriptors that it sends are closed by the kernel: there is no room for any. */
    ssize_t n = recv(c->channel, room, 64u * 1024, MSG_DONTWAIT);
    if (n > 0)
        nt_buf_added(&c->in, (size_t)n);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return !c->has_ended;
    return n > 0;
}

/* --- the end -------------------------------------------------------------------------------- */

static int reap(struct confined *c)
{
    int status = 0;
    if (!c->pid)
        return 0;
    kill(c->pid, SIGKILL); /* not waited for yet, so that the number is still its own */
    while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    c->pid = 0;
    return status;
}

/* It ended without a result. */
static int fail_ended(struct confined *c, struct nt_error *reterr)
{
    const struct plugin *plugin = c->options.plugin;
    int status = 0;
    while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    c->pid = 0;
    if (WIFSIGNALED(status)) {
        int signo = WTERMSIG(status);
        if (signo == SIGINT || signo == SIGTERM || signo == SIGHUP)
            return nt_fail(reterr, NT_E_CANCELLED, "interrupted");
        const char *name = sigabbrev_np(signo);
        nt_fail(reterr, NT_E_PLUGIN_FAILED, "the plugin '%s' (%s) crashed: SIG%s", plugin->name,
                plugin->file, name ? name : "?");
    } else {
        nt_fail(reterr, NT_E_PLUGIN_FAILED, "the plugin '%s' (%s) ended by itself with status %d",
                plugin->name, plugin->file, WEXITSTATUS(status));
    }
    reterr->request_sent = 1; /* not proven to be unsent */
    return -1;
}

/* The plugin's own error, told as its own: neither may it look like one of the core, nor hide what
 * was denied to it. */
static int fail_told(struct confined *c, struct nt_error *reterr)
{
    const struct plugin *plugin = c->options.plugin;
    struct nt_error_row row;
    *reterr = c->failure;
    if (!c->has_started)
        return -1; /* of our own code, before the plugin was there; or why it did not load */
    if (c->denied.code) {
        *reterr = c->denied;
        return -1;
    }
    if (c->given.code && c->given.code == reterr->code
        && strcmp(c->given.message, reterr->message) == 0) {
        *reterr = c->given;
        return -1;
    }
    if (!plugins_error_row(c->options.plugins, plugin, reterr->code, &row))
        reterr->code = NT_E_PLUGIN_FAILED;
    reterr->server_code[0] = reterr->upstream[0] = reterr->request_id[0] = '\0';
    if (reterr->sys == EACCES || reterr->sys == EPERM)
        nt_hint(reterr, "the plugin is confined to what it declares: nanoterm plugin info %s",
                plugin->name);
    return nt_wrap(reterr, "%s", plugin->name);
}

static int64_t limit_of(const struct confined *c, int64_t load_until_ms, int64_t until_ms)
{
    return !c->has_started && load_until_ms < until_ms ? load_until_ms : until_ms;
}

/* It is told to end, and given a moment for that: what it began outside it may want to undo. */
static void stop(struct confined *c, const struct nt_error *reason)
{
    streams_stop(c, reason);
    c->until_ms = nt_now_ms() + GRACE_MS;
}

/* Waits for the channel. -1: reterr. */
static int wait_for_frames(struct confined *c, int64_t load_until_ms, struct nt_error *reterr)
{
    int signo;
    enum woken woken = WOKEN_READY;
    if (c->streams && !c->stop.code) {
        struct nt_error error = NT_ERROR_INIT;
        enum streams_woken how = streams_wait(c, &error);
        if (how == STREAMS_STOPPED)
            stop(c, &error);
        woken = how == STREAMS_LATE ? WOKEN_LATE : WOKEN_READY;
    } else {
        short events = POLLIN | (streams_has_news(c) ? POLLOUT : 0);
        woken = wait_for(c->channel, events, c->process, limit_of(c, load_until_ms, c->until_ms),
                         &signo);
        streams_flush(c);
    }
    c->has_ended = c->has_ended || woken == WOKEN_ENDED;
    return woken == WOKEN_READY || woken == WOKEN_ENDED ? 0 : fail_woken(c, woken, reterr);
}

static int serve_until_end(struct confined *c, int64_t timeout_ms, struct nt_error *reterr)
{
    int64_t load_until = nt_now_ms() + registry_load_ms(c->options.plugins);
    c->until_ms = timeout_ms < 0 ? WAIT_NEVER : nt_now_ms() + timeout_ms + GRACE_MS;
    while (!c->has_result) {
        if (wait_for_frames(c, load_until, reterr) < 0)
            return -1;
        int came = read_some(c, reterr);
        if (came < 0 || serve_all(c, reterr) < 0)
            return -1;
        if (!came && !c->has_result)
            return fail_ended(c, reterr);
    }
    return c->has_failed ? fail_told(c, reterr) : 0;
}

int confine_serve(struct confined *c, struct nt_call *call, const char *weaker, int64_t timeout_ms,
                  struct nt_error *reterr)
{
    const char *debug = getenv("NANOTERM_DEBUG");
    c->call = call;
    wire_begin(&c->out, WIRE_GO);
    wire_u32(&c->out, call->flags);
    wire_u32(&c->out, call->personality);
    wire_u32(&c->out, debug && strcmp(debug, "1") == 0);
    wire_u64(&c->out, (uint64_t)timeout_ms);
    wire_text(&c->out, weaker);
    int result = send_out(c, -1, reterr);
    if (result == 0)
        result = serve_until_end(c, timeout_ms, reterr);
    if (c->stop.code) { /* however it ended then */
        *reterr = c->stop;
        result = -1;
    }
    reap(c);
    return result;
}

int confine_start(const struct confine_options *options, struct confined **ret,
                  struct nt_error *reterr)
{
    int pair[2];
    pid_t self = getpid();
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return nt_fail_sys(reterr, errno, "cannot make a channel to the plugin");
    nt_autoclose int ours = pair[0];
    nt_autoclose int theirs = pair[1];
    struct confined *c = calloc(1, sizeof(*c));
    if (!c)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    *c = (struct confined){ .options = *options,
                            .process = -1,
                            .channel = -1,
                            .in = NT_BUF(WIRE_UP_MAX + (size_t)256 * 1024),
                            .out = NT_BUF(WIRE_DOWN_MAX),
                            .given = NT_ERROR_INIT,
                            .denied = NT_ERROR_INIT,
                            .failure = NT_ERROR_INIT,
                            .stop = NT_ERROR_INIT };
    c->pid = fork();
    if (c->pid == 0) {
        close(ours);
        inside_run(options, theirs, self);
    }
    int sys = errno;
    if (c->pid > 0) {
        c->process = (int)syscall(SYS_pidfd_open, c->pid, 0); /* close-on-exec by itself */
        sys = errno;
    }
    if (c->pid < 0 || c->process < 0) {
        c->pid = c->pid > 0 ? c->pid : 0;
        confine_end(c);
        return nt_fail_sys(reterr, sys, "cannot start a process for the plugin");
    }
    c->channel = nt_take_fd(ours);
    *ret = c;
    return 0;
}

void confine_end(struct confined *c)
{
    if (!c)
        return;
    reap(c);
    streams_end(c);
    nt_closep(&c->process);
    nt_closep(&c->channel);
    nt_buf_done(&c->in);
    nt_buf_done(&c->out);
    free(c);
}
