/* SPDX-License-Identifier: Apache-2.0 */
/* streamer.c - a third party's plugin that lives on streams: a program of a workspace with its
 * input and output, bodies up and down, the loop; and attacks on the channel by their names. Needs
 * no library. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nanoterm/host.h"
#include "nanoterm/plugin.h"

#define WINDOW 65536u

/* One conversation: standard input goes up as far as the stream grants, standard output is what
 * comes down. */
struct talk {
    struct nt_call *call;
    struct nt_loop *loop;
    struct nt_stream *stream;
    struct nt_watch *input;
    struct nt_error failure;
    uint64_t credit;
    uint64_t granted, came, went;
    uint32_t done, status;
    int is_exec, input_ended, is_started, opened, ended, tail;
    char order[256];   /* what was told, a letter each */
    const char *first; /* to be sent once it may be */
};

static int fail(struct nt_error *reterr, uint32_t code, const char *text)
{
    reterr->code = code;
    snprintf(reterr->message, sizeof(reterr->message), "%s", text);
    return -1;
}

static void note(struct talk *t, char what)
{
    size_t length = strlen(t->order);
    if (length + 1 < sizeof(t->order) && (length == 0 || t->order[length - 1] != what))
        t->order[length] = what;
}

static void write_out(int fd, const char *data, size_t size)
{
    while (size) {
        ssize_t n = write(fd, data, size);
        struct pollfd ready = { .fd = fd, .events = POLLOUT };
        if (n < 0 && errno == EAGAIN)
            poll(&ready, 1, -1);
        else if (n < 0 && errno != EINTR)
            return;
        data += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
}

static void on_open(void *data, struct nt_stream *stream)
{
    (void)stream;
    note(data, 'o');
}

static void on_data(void *data, struct nt_stream *stream, struct nt_bytes bytes, uint32_t flags)
{
    struct talk *t = data;
    const char *at = bytes.data;
    size_t size = bytes.size;
    note(t, 'd');
    t->came += size;
    if (t->came > t->granted)
        fail(&t->failure, NT_E_INTERNAL, "more came than was granted");
    if (!t->is_exec) {
        write_out(1, at, size);
    } else if (flags & NT_DATA_TEXT) {
        char text[4096];
        snprintf(text, sizeof(text), "%.*s", (int)size, at);
        const char *status = strstr(text, "\"type\":\"exit\"") ? strstr(text, "\"status\":") : NULL;
        if (status) {
            t->status = (uint32_t)strtoul(status + 9, NULL, 10);
            t->ended = 1;
            stream->ops->finish(stream);
        }
    } else if (size) {
        if (!t->tail)
            t->opened = at[0]; /* the channel */
        write_out(t->opened, at + !t->tail, size - !t->tail);
        t->tail = (flags & NT_DATA_PARTIAL) != 0;
    }
    t->granted += size;
    stream->ops->grant(stream, size);
}

static void on_end(void *data, struct nt_stream *stream)
{
    (void)stream;
    note(data, 'e');
}

static void feed(struct talk *t)
{
    if (!t->input)
        return;
    t->loop->ops->watch_set(t->input, t->credit >= 8192 && t->is_started ? NT_READABLE : 0);
}

static void send_text(struct talk *t, const char *text);

static void on_writable(void *data, struct nt_stream *stream, uint64_t credit)
{
    struct talk *t = data;
    (void)stream;
    note(t, 'w');
    t->credit = credit;
    if (t->first) {
        send_text(t, t->first);
        t->credit -= strlen(t->first);
        t->first = NULL;
    }
    feed(t);
}

static void on_close(void *data, struct nt_stream *stream, const struct nt_error *reason)
{
    struct talk *t = data;
    (void)stream;
    note(t, 'c');
    if (reason && !t->failure.code && !t->ended)
        t->failure = *reason;
    t->stream = NULL;
    t->done = 1;
}

static const struct nt_stream_events events = {
    .size = sizeof(events),
    .open = on_open,
    .data = on_data,
    .end = on_end,
    .writable = on_writable,
    .close = on_close,
};

static void send_text(struct talk *t, const char *text)
{
    struct nt_error unused = NT_ERROR_INIT;
    if (t->stream)
        t->stream->ops->write(t->stream, (struct nt_bytes){ text, strlen(text) }, NT_DATA_TEXT,
                              &unused);
}

static void on_input(void *data, int fd, uint32_t told)
{
    struct talk *t = data;
    static char piece[WINDOW];
    size_t most = t->credit - 1 < sizeof(piece) - 1 ? t->credit - 1 : sizeof(piece) - 1;
    (void)told;
    if (!t->stream)
        return;
    ssize_t n = read(fd, piece + 1, most);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        t->loop->ops->watch_end(t->input);
        t->input = NULL;
        if (t->is_exec)
            send_text(t, "{\"type\":\"stdin_end\"}");
        else
            t->stream->ops->finish(t->stream);
        return;
    }
    piece[0] = 0; /* the channel of standard input */
    struct nt_bytes bytes = { piece + !t->is_exec, (size_t)n + (size_t)t->is_exec };
    if (t->stream->ops->write(t->stream, bytes, 0, &t->failure) < 0) {
        t->done = 1;
        return;
    }
    t->went += (uint64_t)n;
    t->credit -= bytes.size;
    feed(t);
}

static int converse(struct talk *t, const struct nt_open *open, const char *first,
                    struct nt_error *reterr)
{
    struct nt_response head = { .size = sizeof(head) };
    t->loop = t->call->host->loop(t->call);
    t->failure = (struct nt_error)NT_ERROR_INIT;
    if (!t->loop)
        return fail(reterr, NT_E_INTERNAL, "no loop");
    if (t->call->host->open(t->call, open, &t->stream, &head, reterr) < 0)
        return -1;
    if (first && open->flags & NT_REQ_BEGIN)
        t->first = first; /* there is no answer yet */
    else if (first)
        send_text(t, first);
    if (open->kind == NT_OPEN_WS || (open->body_bytes != 0 && !open->body.size)) {
        t->is_started = 1;
        t->input =
            t->loop->ops->watch(t->loop, t->call->host->descriptor(t->call, 0), 0, on_input, t);
        if (!t->input)
            return fail(reterr, NT_E_INTERNAL, "no watch");
    }
    t->granted = WINDOW;
    t->stream->ops->grant(t->stream, WINDOW);
    int result = t->call->host->wait(t->call, &t->done, reterr);
    if (t->input)
        t->loop->ops->watch_end(t->input);
    if (result == 0 && t->failure.code) {
        *reterr = t->failure;
        result = -1;
    }
    /* How it ended, for the test: a plugin that is told to end still comes here. */
    char text[512];
    const char *type = head.status ? t->call->host->header(t->call, &head, "content-type") : NULL;
    snprintf(text, sizeof(text), "order=%s status=%u type=%s left=%s", t->order, head.status,
             type ? type : "-", t->stream ? "open" : "closed");
    t->call->host->message(t->call, NT_SAY_WARN, text);
    return result;
}

static int run_exec(struct nt_call *call, struct nt_error *reterr)
{
    struct talk t = { .call = call, .is_exec = 1 };
    char path[512], first[4096] = "{\"type\":\"exec\",\"stdin\":true,\"argv\":[";
    snprintf(path, sizeof(path), "/v1/sandboxes/%s/ws?channel=exec", call->host->text(call, "id"));
    for (uint32_t i = 0; i < call->host->count(call, "words"); i++) {
        size_t at = strlen(first);
        snprintf(first + at, sizeof(first) - at, "%s\"%s\"", i ? "," : "",
                 call->host->text_at(call, "words", i));
    }
    strcat(first, "]}");
    struct nt_open open = {
        .size = sizeof(open), .kind = NT_OPEN_WS, .path = path, .events = &events, .data = &t
    };
    if (converse(&t, &open, first, reterr) < 0)
        return -1;
    call->host->set_status(call, t.status, NT_BY_PROGRAM);
    return 0;
}

static int run_body(struct nt_call *call, struct nt_error *reterr)
{
    struct talk t = { .call = call };
    const char *method = call->host->text(call, "method");
    const char *whole = call->host->text(call, "body");
    int is_down = strcmp(method, "GET") == 0 || whole != NULL;
    struct nt_header type = { "Content-Type", "application/octet-stream" };
    struct nt_open open = { .size = sizeof(open),
                            .kind = NT_OPEN_BODY,
                            .method = method,
                            .path = call->host->text(call, "path"),
                            .body_bytes = is_down ? 0 : -1,
                            .events = &events,
                            .data = &t };
    if (!is_down)
        open.headers = (struct nt_table){ &type, 1, sizeof(type) };
    if (whole) {
        open.body = (struct nt_bytes){ whole, strlen(whole) };
        open.body_bytes = (int64_t)strlen(whole);
    }
    return converse(&t, &open, NULL, reterr);
}

/* --- the loop ------------------------------------------------------------------------------- */

struct steps {
    struct nt_call *call;
    struct nt_loop *loop;
    struct nt_timer *timer;
    struct nt_watch *watch, *signals[2];
    int ends[2];
    char order[64];
    uint32_t done, ticks;
    pthread_t worker;
    int is_other_thread;
};

static void step(struct steps *s, const char *what)
{
    size_t at = strlen(s->order);
    snprintf(s->order + at, sizeof(s->order) - at, "%s ", what);
}

static void on_interrupt(void *data, int signo, uint32_t zero)
{
    struct steps *s = data;
    (void)zero;
    step(s, signo == SIGINT ? "interrupt" : "user");
    if (signo == SIGINT)
        s->done = 1;
    else /* two that wait have no order */
        s->call->host->message(s->call, NT_SAY_WARN, "ready for a signal");
}

static void work(void *data)
{
    struct steps *s = data;
    s->is_other_thread = !pthread_equal(pthread_self(), s->worker);
}

static void worked(void *data)
{
    struct steps *s = data;
    step(s, s->is_other_thread ? "worked" : "not-worked");
    raise(SIGUSR1);
}

static void posted(void *data)
{
    struct steps *s = data;
    step(s, "posted");
    s->loop->ops->work(s->loop, work, worked, s);
}

static void on_pipe(void *data, int fd, uint32_t told)
{
    struct steps *s = data;
    char byte;
    if (read(fd, &byte, 1) == 1) {
        step(s, "read");
        close(s->ends[1]);
    } else if (told & NT_HANGUP) {
        step(s, "hangup");
        s->loop->ops->watch_end(s->watch);
        s->loop->ops->post(s->loop, posted, s);
    }
}

static void on_tick(void *data)
{
    struct steps *s = data;
    struct nt_error refused = NT_ERROR_INIT;
    struct nt_request req = { .size = sizeof(req), .method = "GET", .path = "/v1/stats" };
    struct nt_response answer = { .size = sizeof(answer) };
    if (++s->ticks < 3)
        return;
    s->loop->ops->timer_end(s->timer);
    step(s, "ticked");
    if (s->call->host->request(s->call, &req, &answer, &refused) < 0
        && refused.code == NT_E_INTERNAL)
        step(s, "no-waiting-here");
    (void)!write(s->ends[1], "x", 1);
}

static int run_loop(struct nt_call *call, struct nt_error *reterr)
{
    struct steps s = { .call = call, .loop = call->host->loop(call), .worker = pthread_self() };
    if (!s.loop || pipe2(s.ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return fail(reterr, NT_E_SYSTEM, "no loop");
    s.watch = s.loop->ops->watch(s.loop, s.ends[0], NT_READABLE, on_pipe, &s);
    s.signals[0] = s.loop->ops->signal(s.loop, SIGINT, on_interrupt, &s);
    s.signals[1] = s.loop->ops->signal(s.loop, SIGUSR1, on_interrupt, &s);
    s.timer = s.loop->ops->timer(s.loop, 1, 1, on_tick, &s);
    int result = call->host->wait(call, &s.done, reterr);
    s.loop->ops->watch_end(s.signals[0]);
    s.loop->ops->watch_end(s.signals[1]);
    call->host->message(call, NT_SAY_WARN, s.order);
    return result;
}

/* --- attacks -------------------------------------------------------------------------------- */

static int channel(void)
{
    for (int fd = 3; fd < 64; fd++) {
        int type;
        socklen_t size = sizeof(type);
        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0)
            return fd;
    }
    return -1;
}

/* Numbers of core/confine/wire.h. */
enum { OPEN = 40, LOOP = 69, WATCH_SIGNAL = 70, GRANT = 71, WRITE = 72, FINISH = 73, CANCEL = 74 };

static void send_frame(uint32_t type, const void *data, uint32_t size)
{
    const uint32_t head[2] = { type, size };
    int fd = channel();
    if (write(fd, head, sizeof(head)) < 0 || (size && write(fd, data, size) < 0))
        _exit(3);
}

static int run_attack(struct nt_call *call, struct nt_error *reterr)
{
    const char *what = call->host->text(call, "what");
    struct talk t = { .call = call };
    struct nt_response head = { .size = sizeof(head) };
    struct nt_open open = { .size = sizeof(open),
                            .kind = NT_OPEN_BODY,
                            .method = "GET",
                            .path = "/v1/down",
                            .events = &events,
                            .data = &t };
    struct nt_header forged = { "Authorization", "Bearer of-others" };
    const uint32_t strange[4] = { 7777, 0, 0, 0 };
    const uint32_t own[4] = { 1, 0, 0, 0 };
    static char much[1 << 20];
    if (strcmp(what, "route") == 0)
        open.path = "/v1/secret";
    if (strcmp(what, "socket") == 0) /* what may be read is not what may be upgraded */
        open.kind = NT_OPEN_WS;
    if (strcmp(what, "header") == 0)
        open.headers = (struct nt_table){ &forged, 1, sizeof(forged) };
    if (strcmp(what, "early") == 0) /* before there is any stream */
        send_frame(WRITE, strange, sizeof(strange)), pause();
    if (strcmp(what, "beyond") == 0 || strcmp(what, "credit") == 0) {
        open.method = "PUT";
        open.path = "/v1/up";
        open.body_bytes = -1;
    }
    if (call->host->open(call, &open, &t.stream, &head, reterr) < 0)
        return -1;
    if (strcmp(what, "credit") == 0) { /* by the rules: it is told, and nothing is sent */
        for (uint32_t i = 0; i < 64; i++)
            if (t.stream->ops->write(t.stream, (struct nt_bytes){ much, sizeof(much) }, 0, reterr)
                < 0)
                return -1;
    } else if (strcmp(what, "beyond") == 0) { /* against them */
        uint32_t *at = (uint32_t *)(void *)much;
        at[0] = 1, at[1] = 0, at[2] = sizeof(much) - 12;
        for (uint32_t i = 0; i < 64; i++)
            send_frame(WRITE, much, sizeof(much));
    } else if (strcmp(what, "stranger") == 0) {
        send_frame(CANCEL, strange, 4);
    } else if (strcmp(what, "cut") == 0) {
        send_frame(GRANT, own, 8);
    } else if (strcmp(what, "signal") == 0) {
        const uint32_t kill_it[2] = { SIGKILL, 1 };
        send_frame(WATCH_SIGNAL, kill_it, sizeof(kill_it));
    } else if (strcmp(what, "glut") == 0) { /* everything at once, and none of it is read */
        const uint32_t all[3] = { 1, UINT32_MAX, UINT32_MAX };
        send_frame(GRANT, all, sizeof(all));
    } else if (strcmp(what, "many") == 0) {
        struct nt_stream *more;
        for (uint32_t i = 0; i < 1000; i++)
            if (call->host->open(call, &open, &more, &head, reterr) < 0)
                return -1;
    }
    for (;;)
        pause();
}

static const struct nt_arg exec_args[] = {
    { .name = "id", .help = "Workspace", .type = NT_TEXT },
    { .name = "words", .help = "Program and its arguments", .type = NT_TEXT, .flags = NT_MANY },
};
static const struct nt_opt exec_opts[] = {
    { .name = "begin", .help = "Do not wait for the answer to the opening", .type = NT_FLAG },
};
static const struct nt_arg body_args[] = {
    { .name = "method", .help = "Method", .type = NT_TEXT },
    { .name = "path", .help = "Path", .type = NT_TEXT },
};
static const struct nt_opt body_opts[] = {
    { .name = "body", .help = "The body as a whole", .type = NT_TEXT, .arg = "text" },
};
static const struct nt_arg attack_args[] = {
    { .name = "what", .help = "Which attack", .type = NT_TEXT },
};
static const struct nt_example exec_examples[] = { { "streamer exec ws_1 cat", "A program" } };
static const struct nt_example body_examples[] = { { "streamer body GET /v1/x", "A body" } };
static const struct nt_example loop_examples[] = { { "streamer loop", "The loop" } };
static const struct nt_example attack_examples[] = { { "streamer attack cut", "An attack" } };
static const struct nt_command commands[] = {
    { .path = "streamer exec",
      .summary = "Run a program",
      .run = run_exec,
      .args = NT_TABLE(exec_args),
      .opts = NT_TABLE(exec_opts),
      .examples = NT_TABLE(exec_examples),
      .effects = NT_REMOTE | NT_RUNS },
    { .path = "streamer body",
      .summary = "A body up or down",
      .run = run_body,
      .args = NT_TABLE(body_args),
      .opts = NT_TABLE(body_opts),
      .examples = NT_TABLE(body_examples),
      .effects = NT_REMOTE },
    { .path = "streamer loop",
      .summary = "Steps of the loop",
      .run = run_loop,
      .examples = NT_TABLE(loop_examples),
      .effects = NT_REMOTE },
    { .path = "streamer attack",
      .summary = "Lie on the channel",
      .run = run_attack,
      .args = NT_TABLE(attack_args),
      .examples = NT_TABLE(attack_examples),
      .effects = NT_REMOTE },
};
static const struct nt_group groups[] = { { .name = "streamer", .summary = "Streams" } };
static const struct nt_need needs[] = {
    { "UPGRADE /v1/sandboxes/{}/ws", "to run a program", NT_NEED_ROUTE, 0 },
    { "GET /v1/sandboxes/{}/file", "to read a file", NT_NEED_ROUTE, 0 },
    { "PUT /v1/sandboxes/{}/file", "to write a file", NT_NEED_ROUTE, 0 },
    { "GET /v1/stats", "to ask", NT_NEED_ROUTE, 0 },
    { "GET /v1/down", "to read", NT_NEED_ROUTE, 0 },
    { "ANY /v1/up", "to write", NT_NEED_ROUTE, 0 },
};
static const struct nt_plugin plugin = {
    NT_PLUGIN_HEAD,           .name = "streamer",         .version = "1.0.0",
    .summary = "Streams",     .groups = NT_TABLE(groups), .commands = NT_TABLE(commands),
    .needs = NT_TABLE(needs),
};
NT_PLUGIN(plugin);
