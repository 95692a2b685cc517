/* SPDX-License-Identifier: Apache-2.0 */
/* streams.c - streams and signals of a confined plugin, on the core's side: events become news for
 * the plugin, its frames become calls. */
#include "streams.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/confine/wait.h"
#include "sdk/clock.h"
#include "sdk/error.h"

#define STREAMS_MAX 32u
#define WINDOW (256u * 1024)         /* granted to one stream at once */
#define NEWS_FULL (1024u * 1024)     /* from here on nothing more is granted */
#define NEWS_MAX (32u * 1024 * 1024) /* a plugin that lets so much lie is ended */
#define SIGNALS 3

static const int signos[SIGNALS] = { SIGINT, SIGTERM, SIGHUP };

struct relayed {
    struct relayed *next;
    struct confined *c; /* NULL: the command has ended */
    uint32_t id;
    struct nt_stream *stream; /* NULL: closed */
    struct nt_response head;  /* status 0: not there yet */
    bool has_told_head;
    uint64_t wanted;   /* granted by the plugin and not passed on yet */
    uint64_t granted;  /* passed on and not come yet */
    uint64_t received; /* written by the plugin */
    uint64_t limit;    /* what it may write, in all */
};

struct streams {
    struct confined *c;
    struct nt_loop *loop;
    struct nt_watch *channel, *process;
    struct nt_watch *signals[SIGNALS];
    struct nt_timer *alarm;
    struct relayed *first;
    uint32_t count, next_id;
    const struct relayed *awaited; /* of streams_open */
    uint32_t has_heard;            /* of the awaited one */
    struct nt_buf news, frame;
    size_t told;    /* of the news */
    uint32_t armed; /* what the channel is watched for */
    uint32_t woken;
    bool is_waiting, is_late;
};

/* --- the queue ------------------------------------------------------------------------------ */

/* Readable only while the core waits here: elsewhere it would be woken again and again. */
static void arm(struct streams *s)
{
    uint32_t wanted =
        (s->is_waiting ? NT_READABLE : 0) | (streams_has_news(s->c) ? NT_WRITABLE : 0);
    if (wanted != s->armed)
        s->loop->ops->watch_set(s->channel, wanted);
    s->armed = wanted;
}

static void begin_news(struct streams *s, enum wire_type type, uint32_t id)
{
    wire_begin(&s->frame, type);
    wire_u32(&s->frame, id);
}

static void end_news(struct streams *s)
{
    wire_end(&s->frame);
    if (nt_buf_ok(&s->frame))
        nt_buf_add_bytes(&s->news, s->frame.data, s->frame.size);
    else
        s->news.failed = true;
    streams_flush(s->c);
    arm(s);
}

bool streams_has_news(const struct confined *c)
{
    return c->streams && c->streams->news.size > c->streams->told;
}

bool streams_is_flooded(const struct confined *c)
{
    return c->streams && !nt_buf_ok(&c->streams->news);
}

struct nt_bytes streams_news(const struct confined *c)
{
    const struct streams *s = c->streams;
    return (struct nt_bytes){ s->news.data + s->told, s->news.size - s->told };
}

/* While the queue is short, what the plugin has granted goes on to the streams. */
static void pass_grants(struct streams *s)
{
    for (struct relayed *r = s->first; r; r = r->next) {
        if (s->news.size - s->told >= NEWS_FULL)
            return;
        uint64_t room = r->granted < WINDOW ? WINDOW - r->granted : 0;
        uint64_t bytes = r->wanted < room ? r->wanted : room;
        if (!r->stream || bytes == 0)
            continue;
        r->wanted -= bytes;
        r->granted += bytes;
        r->stream->ops->grant(r->stream, bytes);
    }
}

void streams_told(struct confined *c, size_t bytes)
{
    struct streams *s = c->streams;
    s->told += bytes;
    if (s->told >= s->news.size) {
        if (nt_buf_ok(&s->news))
            nt_buf_reset(&s->news);
        s->told = 0;
    } else if (s->told >= NEWS_FULL) {
        nt_buf_drop(&s->news, s->told);
        s->told = 0;
    }
    pass_grants(s);
}

void streams_flush(struct confined *c)
{
    while (streams_has_news(c)) {
        struct nt_bytes news = streams_news(c);
        ssize_t n = send(c->channel, news.data, news.size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n <= 0)
            return; /* later; or it is gone, which is seen by whoever reads */
        streams_told(c, (size_t)n);
    }
}

/* --- what the streams tell ------------------------------------------------------------------ */

static struct streams *heard(const struct relayed *r)
{
    struct streams *s = r->c ? r->c->streams : NULL;
    if (s && s->awaited == r)
        s->has_heard = 1;
    return s;
}

static void tell_head(struct streams *s, struct relayed *r)
{
    if (r->has_told_head || !r->head.status)
        return;
    r->has_told_head = true;
    begin_news(s, WIRE_STREAM_HEAD, r->id);
    serve_write_head(r->c, &s->frame, &r->head);
    end_news(s);
}

static void on_open(void *data, struct nt_stream *stream)
{
    (void)stream;
    struct relayed *r = data;
    struct streams *s = r->c ? r->c->streams : NULL;
    if (!s)
        return;
    begin_news(s, WIRE_STREAM_OPEN, r->id);
    end_news(s);
}

static void on_data(void *data, struct nt_stream *stream, struct nt_bytes bytes, uint32_t flags)
{
    (void)stream;
    struct relayed *r = data;
    struct streams *s = heard(r);
    if (!s)
        return;
    r->granted -= bytes.size < r->granted ? bytes.size : r->granted;
    tell_head(s, r);
    begin_news(s, WIRE_STREAM_DATA, r->id);
    wire_u32(&s->frame, flags);
    wire_bytes(&s->frame, bytes);
    end_news(s);
}

static void on_end(void *data, struct nt_stream *stream)
{
    (void)stream;
    struct relayed *r = data;
    struct streams *s = heard(r);
    if (!s)
        return;
    tell_head(s, r);
    begin_news(s, WIRE_STREAM_END, r->id);
    end_news(s);
}

static void on_writable(void *data, struct nt_stream *stream, uint64_t credit)
{
    (void)stream;
    struct relayed *r = data;
    struct streams *s = heard(r);
    if (!s)
        return;
    tell_head(s, r);
    /* In all, not from now on: what the plugin writes may be under way. */
    if (r->received + credit > r->limit)
        r->limit = r->received + credit;
    begin_news(s, WIRE_STREAM_WRITABLE, r->id);
    wire_u64(&s->frame, r->limit);
    end_news(s);
}

static void on_close(void *data, struct nt_stream *stream, const struct nt_error *reason)
{
    (void)stream;
    struct relayed *r = data;
    struct streams *s = heard(r);
    r->stream = NULL;
    if (!s) {
        free(r);
        return;
    }
    tell_head(s, r);
    begin_news(s, WIRE_STREAM_CLOSE, r->id);
    wire_u32(&s->frame, reason != NULL);
    if (reason) {
        wire_error(&s->frame, reason);
        r->c->given = *reason; /* a plugin that passes it on tells the core's error */
    }
    end_news(s);
}

static const struct nt_stream_events events = {
    .size = sizeof(struct nt_stream_events),
    .open = on_open,
    .data = on_data,
    .end = on_end,
    .writable = on_writable,
    .close = on_close,
};

/* --- what the plugin does ------------------------------------------------------------------- */

static void sweep(struct streams *s)
{
    for (struct relayed **at = &s->first; *at;) {
        struct relayed *r = *at;
        if (r->stream) {
            at = &r->next;
            continue;
        }
        *at = r->next;
        s->count--;
        free(r);
    }
}

int streams_open(struct confined *c, const struct nt_open *wanted, struct nt_error *reterr)
{
    if (streams_begin(c, reterr) < 0)
        return -1;
    struct streams *s = c->streams;
    sweep(s);
    if (c->stop.code) {
        *reterr = c->stop;
        return -1;
    }
    if (s->count >= STREAMS_MAX)
        return nt_fail(reterr, NT_E_LIMIT, "a plugin has at most %u streams", STREAMS_MAX);
    struct relayed *r = calloc(1, sizeof(*r));
    if (!r)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    struct nt_open open = *wanted;
    open.events = &events;
    open.data = r;
    r->c = c;
    r->head.size = sizeof(r->head);
    if (c->call->host->open(c->call, &open, &r->stream, &r->head, reterr) < 0) {
        free(r);
        return -1;
    }
    struct relayed **at = &s->first;
    while (*at)
        at = &(*at)->next;
    *at = r;
    r->id = s->next_id++;
    s->count++;
    bool can_write = open.kind == NT_OPEN_WS || (open.body_bytes != 0 && !open.body.size);
    /* It may be written to at once: how much is told first. */
    s->has_heard = !can_write || (open.flags & NT_REQ_BEGIN);
    s->awaited = r;
    int result = c->call->host->wait(c->call, &s->has_heard, reterr);
    s->awaited = NULL;
    if (result < 0)
        return -1;
    wire_begin(&c->out, WIRE_OPENED);
    wire_u32(&c->out, r->id);
    wire_u32(&c->out, r->stream ? r->stream->flags & NT_STREAM_MESSAGES : 0);
    wire_u64(&c->out, r->limit);
    bool has_head = !r->has_told_head && r->head.status != 0;
    r->has_told_head = r->has_told_head || has_head;
    wire_u32(&c->out, has_head);
    if (has_head)
        serve_write_head(c, &c->out, &r->head);
    return 0;
}

static int serve_grant(struct streams *s, struct relayed *r, struct wire_reader *in)
{
    uint64_t bytes = wire_get_u64(in);
    if (!wire_is_whole(in))
        return -1;
    if (r && __builtin_add_overflow(r->wanted, bytes, &r->wanted))
        r->wanted = UINT64_MAX;
    pass_grants(s);
    return 0;
}

static int serve_write(struct relayed *r, struct wire_reader *in)
{
    uint32_t flags = wire_get_u32(in) & (NT_DATA_TEXT | NT_DATA_PARTIAL);
    struct nt_bytes bytes = wire_get_bytes(in);
    struct nt_error error = NT_ERROR_INIT;
    if (!wire_is_whole(in))
        return -1;
    if (!r)
        return 0;
    if (bytes.size > r->limit - r->received)
        return -1;
    r->received += bytes.size;
    if (!r->stream || r->stream->ops->write(r->stream, bytes, flags, &error) == 0
        || error.code == NT_E_CLOSED)
        return 0;
    if (error.code == NT_E_LIMIT)
        return -1; /* a message or a body that is longer than it may be: not from our code there */
    r->stream->ops->cancel(r->stream);
    return 0;
}

int streams_frame(struct confined *c, uint32_t type, struct wire_reader *in)
{
    struct streams *s = c->streams;
    uint32_t id = wire_get_u32(in);
    if (!s || id >= s->next_id)
        return -1;
    struct relayed *r = s->first;
    while (r && r->id != id)
        r = r->next; /* NULL: closed, which the plugin does not know yet */
    if (type == WIRE_STREAM_GRANT)
        return serve_grant(s, r, in);
    if (type == WIRE_STREAM_WRITE)
        return serve_write(r, in);
    if (!wire_is_whole(in))
        return -1;
    if (r && r->stream && type == WIRE_STREAM_FINISH)
        r->stream->ops->finish(r->stream);
    else if (r && r->stream)
        r->stream->ops->cancel(r->stream);
    return 0;
}

/* --- signals -------------------------------------------------------------------------------- */

static void on_signal(void *data, int signo, uint32_t zero)
{
    (void)zero;
    struct confined *c = data;
    begin_news(c->streams, WIRE_SIGNAL, (uint32_t)signo);
    end_news(c->streams);
}

int streams_watch_signal(struct confined *c, struct wire_reader *in)
{
    uint32_t signo = wire_get_u32(in), on = wire_get_u32(in);
    struct streams *s = c->streams;
    if (!wire_is_whole(in) || !s)
        return -1;
    for (size_t i = 0; i < SIGNALS; i++) {
        if ((uint32_t)signos[i] != signo)
            continue;
        if (on && !s->signals[i])
            s->signals[i] = s->loop->ops->signal(s->loop, signos[i], on_signal, c);
        if (!on) {
            s->loop->ops->watch_end(s->signals[i]);
            s->signals[i] = NULL;
        }
        return 0;
    }
    return -1;
}

/* --- the loop ------------------------------------------------------------------------------- */

static void on_channel(void *data, int fd, uint32_t told)
{
    (void)fd;
    struct confined *c = data;
    streams_flush(c);
    arm(c->streams);
    if (told & (NT_READABLE | NT_HANGUP))
        c->streams->woken = 1;
}

static void on_process(void *data, int fd, uint32_t told)
{
    (void)fd, (void)told;
    struct confined *c = data;
    c->has_ended = true;
    c->streams->woken = 1;
}

static void on_alarm(void *data)
{
    struct streams *s = data;
    s->is_late = true;
    s->woken = 1;
}

int streams_begin(struct confined *c, struct nt_error *reterr)
{
    if (c->streams)
        return 0;
    struct nt_loop *loop = c->call->host->loop(c->call);
    if (!loop)
        return nt_fail(reterr, NT_E_SYSTEM, "cannot make a loop");
    struct streams *s = calloc(1, sizeof(*s));
    if (!s)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    *s = (struct streams){
        .c = c, .loop = loop, .next_id = 1, .news = NT_BUF(NEWS_MAX), .frame = NT_BUF(WIRE_UP_MAX)
    };
    c->streams = s;
    s->channel = loop->ops->watch(loop, c->channel, 0, on_channel, c);
    s->process = loop->ops->watch(loop, c->process, 0, on_process, c);
    if (c->until_ms != WAIT_NEVER)
        s->alarm = loop->ops->timer(loop, c->until_ms - nt_now_ms(), 0, on_alarm, s);
    if (s->channel && s->process && (s->alarm || c->until_ms == WAIT_NEVER))
        return 0;
    streams_end(c);
    return nt_fail(reterr, NT_E_MEMORY, "out of memory for a loop");
}

enum streams_woken streams_wait(struct confined *c, struct nt_error *reterr)
{
    struct streams *s = c->streams;
    const struct nt_loop_ops *ops = s->loop->ops;
    sweep(s);
    streams_flush(c);
    s->woken = s->is_late;
    s->is_waiting = true;
    arm(s);
    ops->watch_set(s->process, c->has_ended ? 0 : NT_READABLE);
    int result = c->call->host->wait(c->call, &s->woken, reterr);
    s->is_waiting = false;
    arm(s);
    ops->watch_set(s->process, 0);
    return result < 0 ? STREAMS_STOPPED : s->is_late ? STREAMS_LATE : STREAMS_CHANNEL;
}

void streams_stop(struct confined *c, const struct nt_error *reason)
{
    struct streams *s = c->streams;
    c->stop = *reason;
    wire_begin(&s->frame, WIRE_STOP);
    wire_error(&s->frame, reason);
    end_news(s);
}

void streams_end(struct confined *c)
{
    struct streams *s = c->streams;
    if (!s)
        return;
    const struct nt_loop_ops *ops = s->loop->ops;
    ops->timer_end(s->alarm);
    ops->watch_end(s->channel);
    ops->watch_end(s->process);
    for (size_t i = 0; i < SIGNALS; i++)
        ops->watch_end(s->signals[i]);
    while (s->first) {
        struct relayed *r = s->first;
        s->first = r->next;
        r->c = NULL;
        if (r->stream)
            r->stream->ops->cancel(r->stream); /* it is freed when that is told, by call_free */
        else
            free(r);
    }
    nt_buf_done(&s->news);
    nt_buf_done(&s->frame);
    free(s);
    c->streams = NULL;
}
