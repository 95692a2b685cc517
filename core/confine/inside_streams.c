/* SPDX-License-Identifier: Apache-2.0 */
/* inside_streams.c - streams of a confined plugin: what it does with one crosses the channel, what
 * the core tells of it becomes its callbacks, in order and from within the loop.
 *
 * The rules of a stream (credit, the announced length) are kept here, so that a plugin hears of its
 * mistake as it would without the channel; the core keeps them once more. */
#include <stdlib.h>
#include <string.h>

#include "core/confine/inside_own.h"
#include "sdk/error.h"

#define MESSAGE_MAX (1024u * 1024)

struct inner {
    struct nt_stream head; /* first: what the plugin holds */
    struct inner *next;
    uint32_t id;
    struct nt_stream_events events;
    void *data;
    struct nt_response *ret_head; /* filled later; NULL: has been, or nobody wants it */
    uint64_t sent, limit;         /* bytes written; and how many may be, in all */
    int64_t left;                 /* of the announced body; -1: not announced */
    size_t partial;               /* bytes of a message that is written in pieces */
    bool can_write, finished, cancelled;
};

static struct inner *streams;

static struct inner *of(struct nt_stream *stream)
{
    return (struct inner *)(void *)stream; /* head is the first member */
}

static void begin(enum wire_type type, const struct inner *s)
{
    wire_begin(&inside.out, type);
    wire_u32(&inside.out, s->id);
}

/* --- what the plugin can do ----------------------------------------------------------------- */

static void stream_grant(struct nt_stream *stream, uint64_t bytes)
{
    const struct inner *s = of(stream);
    if (s->cancelled)
        return;
    begin(WIRE_STREAM_GRANT, s);
    wire_u64(&inside.out, bytes);
    inside_send();
}

static int stream_write(struct nt_stream *stream, struct nt_bytes bytes, uint32_t flags,
                        struct nt_error *reterr)
{
    struct inner *s = of(stream);
    if (s->cancelled || s->finished || !s->can_write) {
        nt_fail(reterr, NT_E_CLOSED, "nothing more can be written to this stream");
        reterr->request_sent = 1;
        return -1;
    }
    if (bytes.size > s->limit - s->sent)
        return nt_fail(reterr, NT_E_LIMIT, "more was written than the stream allows now");
    if (s->head.flags & NT_STREAM_MESSAGES) {
        if (bytes.size > MESSAGE_MAX - s->partial)
            return nt_fail(reterr, NT_E_LIMIT, "a message is at most %u bytes", MESSAGE_MAX);
        s->partial = flags & NT_DATA_PARTIAL ? s->partial + bytes.size : 0;
    } else if (s->left >= 0 && bytes.size > (uint64_t)s->left) {
        return nt_fail(reterr, NT_E_LIMIT, "more was written than was announced");
    }
    s->left -= s->left >= 0 ? (int64_t)bytes.size : 0;
    s->sent += bytes.size;
    begin(WIRE_STREAM_WRITE, s);
    wire_u32(&inside.out, flags);
    wire_bytes(&inside.out, bytes);
    if (!nt_buf_ok(&inside.out))
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    inside_send();
    return 0;
}

static void stream_finish(struct nt_stream *stream)
{
    struct inner *s = of(stream);
    if (s->finished || s->cancelled)
        return;
    s->finished = true;
    begin(WIRE_STREAM_FINISH, s);
    inside_send();
}

static void stream_cancel(struct nt_stream *stream)
{
    struct inner *s = of(stream);
    if (s->cancelled)
        return;
    s->cancelled = true;
    s->ret_head = NULL; /* the caller's memory may be gone */
    begin(WIRE_STREAM_CANCEL, s);
    inside_send();
}

static int stream_take_fd(struct nt_stream *stream, struct nt_error *reterr)
{
    (void)stream;
    return nt_fail(reterr, NT_E_UNSUPPORTED, "there is no descriptor behind this stream");
}

static const struct nt_stream_ops stream_ops = {
    .size = sizeof(struct nt_stream_ops),
    .grant = stream_grant,
    .write = stream_write,
    .finish = stream_finish,
    .cancel = stream_cancel,
    .take_fd = stream_take_fd,
};

/* --- opening -------------------------------------------------------------------------------- */

static void write_open(const struct nt_open *open, struct nt_bytes body)
{
    bool is_ws = open->kind == NT_OPEN_WS;
    wire_begin(&inside.out, WIRE_OPEN);
    wire_u32(&inside.out, open->kind);
    wire_u32(&inside.out, open->flags);
    wire_text(&inside.out, is_ws || !open->method ? "GET" : open->method);
    wire_text(&inside.out, open->path);
    wire_u32(&inside.out, open->headers.count);
    for (uint32_t i = 0; i < open->headers.count; i++) {
        const struct nt_header *row =
            (const void *)((const char *)open->headers.rows + (size_t)i * open->headers.stride);
        wire_text(&inside.out, row->name);
        wire_text(&inside.out, row->value);
    }
    wire_u64(&inside.out, (uint64_t)open->body_bytes);
    wire_bytes(&inside.out, body);
}

/* id, flags, what may be written at once, and the head when it is there. */
static int read_opened(const struct frame *frame, struct inner *s, struct nt_error *reterr)
{
    struct wire_reader r = inside_reader(frame);
    s->id = wire_get_u32(&r);
    s->head = (struct nt_stream){ .size = sizeof(s->head),
                                  .flags = wire_get_u32(&r),
                                  .ops = &stream_ops };
    s->limit = wire_get_u64(&r);
    struct nt_response *ret_head = s->ret_head;
    if (!wire_get_u32(&r) || !ret_head)
        return 0;
    s->ret_head = NULL;
    return inside_read_head(&r, ret_head, reterr);
}

int inside_open(const struct nt_open *open, struct nt_stream **ret, struct nt_response *ret_head,
                struct nt_error *reterr)
{
    /* Since 1.1. */
    struct nt_bytes body =
        NT_HAS(struct nt_open, open, body) ? open->body : (struct nt_bytes){ NULL, 0 };
    /* Since 1.1: it waits for the core only, which does not wait either. */
    bool begins = open->kind == NT_OPEN_WS && (open->flags & NT_REQ_BEGIN);
    if (inside.is_running && !begins)
        return nt_fail(reterr, NT_E_INTERNAL, "a command waited for the API inside a callback");
    if (!inside_loop())
        return nt_fail(reterr, NT_E_MEMORY, "cannot make a loop");
    struct inner *s = calloc(1, sizeof(*s));
    if (!s)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    s->data = open->data;
    s->ret_head = ret_head;
    s->can_write = open->kind == NT_OPEN_WS || (open->body_bytes != 0 && !body.size);
    s->left = open->kind == NT_OPEN_WS ? -1 : open->body_bytes;
    if (open->events)
        memcpy(&s->events, open->events,
               open->events->size < sizeof(s->events) ? open->events->size : sizeof(s->events));
    write_open(open, body);
    const struct frame *frame = inside_ask(WIRE_OPENED, NULL, reterr);
    if (!frame || read_opened(frame, s, reterr) < 0) {
        free(s);
        return -1;
    }
    struct inner **at = &streams;
    while (*at)
        at = &(*at)->next;
    *at = s;
    *ret = &s->head;
    return 0;
}

/* --- what it hears -------------------------------------------------------------------------- */

static void close_it(struct inner *s, const struct nt_error *reason)
{
    for (struct inner **at = &streams; *at; at = &(*at)->next)
        if (*at == s) {
            *at = s->next;
            break;
        }
    s->cancelled = true;
    if (s->events.close)
        s->events.close(s->data, &s->head, reason);
    free(s);
}

void inside_close_streams(const struct nt_error *reason)
{
    while (streams)
        close_it(streams, reason);
}

static void tell_close(struct inner *s, struct wire_reader *r)
{
    struct nt_error reason;
    bool has_reason = wire_get_u32(r) != 0;
    if (has_reason)
        wire_get_error(r, &reason);
    close_it(s, has_reason ? &reason : NULL);
}

/* The frame does not stay, and what the plugin is given does. */
static void tell_head(struct inner *s, const struct wire_reader *rest)
{
    struct nt_response *ret_head = s->ret_head;
    struct nt_error unused = NT_ERROR_INIT;
    char *copy = ret_head ? malloc(rest->left ? rest->left : 1) : NULL;
    if (!copy)
        return;
    memcpy(copy, rest->at, rest->left);
    struct wire_reader r = { copy, rest->left, false };
    s->ret_head = NULL;
    if (inside_read_head(&r, ret_head, &unused) < 0)
        free(copy); /* no memory: without a head, as if it had not come yet */
}

static void tell_data(struct inner *s, struct wire_reader *r)
{
    uint32_t flags = wire_get_u32(r);
    struct nt_bytes bytes = wire_get_bytes(r);
    if (s->events.data)
        s->events.data(s->data, &s->head, bytes, flags);
}

static void tell_writable(struct inner *s, struct wire_reader *r)
{
    s->limit = wire_get_u64(r);
    if (s->events.writable && !s->finished)
        s->events.writable(s->data, &s->head, s->limit - s->sent);
}

static void tell_stop(struct wire_reader *r)
{
    struct nt_error reason;
    wire_get_error(r, &reason);
    inside_stop(&reason);
}

void inside_deliver(const struct frame *frame)
{
    struct wire_reader r = inside_reader(frame);
    if (frame->type == WIRE_STOP) {
        tell_stop(&r);
        return;
    }
    uint32_t id = wire_get_u32(&r);
    if (frame->type == WIRE_SIGNAL) {
        inside_signalled((int)id);
        return;
    }
    struct inner *s = streams;
    while (s && s->id != id)
        s = s->next;
    if (!s)
        return; /* its opening has failed after all */
    if (frame->type == WIRE_STREAM_CLOSE)
        tell_close(s, &r);
    else if (s->cancelled)
        return; /* it hears of its end only */
    else if (frame->type == WIRE_STREAM_OPEN && s->events.open)
        s->events.open(s->data, &s->head);
    else if (frame->type == WIRE_STREAM_HEAD)
        tell_head(s, &r);
    else if (frame->type == WIRE_STREAM_DATA)
        tell_data(s, &r);
    else if (frame->type == WIRE_STREAM_WRITABLE)
        tell_writable(s, &r);
    else if (frame->type == WIRE_STREAM_END && s->events.end)
        s->events.end(s->data, &s->head);
}
