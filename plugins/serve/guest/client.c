/* SPDX-License-Identifier: Apache-2.0 */
/* client.c - one operation with a guest over one stream of an engine.
 *
 * Two ways to the bytes: a local descriptor (NT_STREAM_FD; read here, by uv_poll) or the callbacks
 * of the stream. Both fill the same two buffers, from which frames are taken: while the consumer
 * holds bytes of one, the other is filled. Raw bytes are handed on where they lie, in pieces that
 * need not be whole frames.
 *
 * A guest that hangs must not hold its caller for ever. It greets at once, or is stuck: HELLO_MS.
 * Where the next word is its own, it may be at work for SILENCE_MS. Programs may be silent as long
 * as they like, unless who asked for heartbeats (BEAT_MS) says how long to wait for one. */
#include "plugins/serve/guest/client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "plugins/serve/guest/order.h"
#include "sdk/buf.h"
#include "sdk/error.h"
#include "sdk/fds.h"

#define RX_SIZE (256u * 1024u)
#define TX_HIGH (256u * 1024u)       /* above it the caller should wait */
#define TX_MAX (16u * 1024u * 1024u) /* above it the caller has a mistake */
#define FDS_MAX 3
#define HELLO_MS 10000
#define SILENCE_MS 300000

struct rx {
    uint8_t *data;
    size_t at, size;
};

struct guest_op {
    uv_poll_t poll;
    uv_idle_t later;
    uv_timer_t patience;
    uv_loop_t *uv;
    struct guest_events events;
    void *data;
    struct nt_stream *stream; /* NULL when it was taken, or has closed */
    struct nt_buf tx;
    size_t tx_at;    /* of tx, already sent */
    uint64_t credit; /* of the stream, for writing */
    struct rx rx[2];
    unsigned cur; /* rx that is parsed */
    struct guest_order order;
    uint8_t head[NT_G_HEAD]; /* of a frame that came in pieces */
    size_t head_size;
    uint32_t left;        /* payload bytes of a raw frame still to come */
    uint16_t raw;         /* its type */
    struct nt_buf fields; /* payload of another frame that came in pieces */
    int fd;
    int fds[FDS_MAX];
    unsigned fd_count;
    unsigned open_handles;
    bool in_frame, has_poll, is_open, is_stream_open, is_generic;
    bool is_held; /* the consumer holds bytes */
    bool is_endless;
    bool has_said_end; /* END was sent: all that the caller had to say */
    bool is_eof, is_pumping, wants_sent, was_sent;
    bool has_ended; /* the outcome is known; `end` follows by `later` */
    bool is_closing;
    /* NT_G_CONNECT: bytes without frames; our half (asked to be closed, closed), and theirs */
    bool is_raw, wants_finish, is_finished, is_half;
    uint32_t hello_ms, silence_ms, beats_ms; /* beats: 0: none are due */
    struct nt_error error;
};

static uint32_t in_flight; /* loop's thread, as all of this file */

static void pump(struct guest_op *op);
static void flush(struct guest_op *op);

/* --- the end ------------------------------------------------------------------------------- */

static void close_fds(struct guest_op *op)
{
    for (unsigned i = 0; i < op->fd_count; i++)
        close(op->fds[i]);
    op->fd_count = 0;
}

static void op_free_when_unused(struct guest_op *op)
{
    if (op->open_handles || op->is_stream_open)
        return;
    free(op->rx[0].data);
    free(op->rx[1].data);
    nt_buf_done(&op->tx);
    nt_buf_done(&op->fields);
    in_flight--;
    free(op);
}

static void on_closed(uv_handle_t *handle)
{
    struct guest_op *op = handle->data;
    op->open_handles--;
    op_free_when_unused(op);
}

/* The descriptor closes at once: that is what ends a foreground program. */
static void drop_connection(struct guest_op *op)
{
    close_fds(op);
    if (op->has_poll) {
        op->has_poll = false;
        uv_poll_stop(&op->poll);
        uv_close((uv_handle_t *)&op->poll, on_closed);
    }
    if (op->fd >= 0)
        close(op->fd);
    op->fd = -1;
    if (op->stream)
        op->stream->ops->cancel(op->stream);
    op->stream = NULL;
}

static void wake(struct guest_op *op);

/* code 0: it ended well. The first outcome stays. */
static void finish(struct guest_op *op)
{
    if (op->has_ended)
        return;
    op->has_ended = true;
    drop_connection(op);
    wake(op);
}

static void fail(struct guest_op *op, uint32_t code, const char *text)
{
    if (op->has_ended)
        return;
    nt_fail(&op->error, code, "%s", text);
    op->error.request_sent = op->was_sent;
    finish(op);
}

static void broken(struct guest_op *op)
{
    fail(op, NT_E_RESPONSE, "the guest broke the protocol");
}

static void tell_sent(struct guest_op *op)
{
    op->wants_sent = false;
    if (op->events.sent)
        op->events.sent(op->data);
}

static void on_later(uv_idle_t *handle)
{
    struct guest_op *op = handle->data;
    uv_idle_stop(handle);
    if (op->is_closing)
        return;
    if (!op->has_ended) {
        if (op->wants_sent && op->tx.size == op->tx_at)
            tell_sent(op);
        pump(op);
        if (!op->has_ended)
            return;
        uv_idle_stop(handle);
    }
    op->is_closing = true;
    uv_close((uv_handle_t *)&op->later, on_closed);
    uv_close((uv_handle_t *)&op->patience, on_closed);
    if (op->events.end)
        op->events.end(op->data, op->error.code ? &op->error : NULL);
}

static void wake(struct guest_op *op)
{
    if (!op->is_closing)
        uv_idle_start(&op->later, on_later);
}

/* --- patience ------------------------------------------------------------------------------ */

/* Whether the next word is the guest's, after its HELLO. */
static bool is_guests_turn(const struct guest_op *op)
{
    switch (op->order.request) {
    case NT_G_EXEC:
    case NT_G_ATTACH:
    case NT_G_WATCH:
        return false;
    case NT_G_WRITE:
    case NT_G_TREE_WRITE:
    case NT_G_FEED:
        return op->has_said_end;
    default:
        return !op->is_held;
    }
}

static void on_patience(uv_timer_t *timer)
{
    struct guest_op *op = timer->data;
    if (op->order.stage == 0)
        fail(op, NT_E_TIMEOUT, "the workspace is unreachable: its guest does not answer");
    else
        fail(op, NT_E_TIMEOUT, "the workspace's guest has said nothing for too long");
}

/* Something has happened: how long may it take until something else does? */
static void be_patient(struct guest_op *op)
{
    uint64_t ms = 0;
    if (op->is_closing || op->is_endless)
        return;
    if (!op->has_ended)
        ms = op->order.stage == 0 ? op->hello_ms
             : is_guests_turn(op) ? op->silence_ms
             : op->is_held        ? 0
                                  : op->beats_ms;
    if (op->order.stage == 0 && uv_is_active((uv_handle_t *)&op->patience))
        return; /* its HELLO in drops is no better than none */
    if (ms)
        uv_timer_start(&op->patience, on_patience, ms, 0);
    else
        uv_timer_stop(&op->patience);
}

/* --- frames -------------------------------------------------------------------------------- */

static int take_frame(struct guest_op *op, const struct nt_g_frame *f)
{
    bool last = false;
    if (!guest_fields_ok(f->payload, f->size) || guest_order_next(&op->order, f->type, &last) < 0)
        return -1;
    if (f->type == NT_G_HELLO) {
        uint64_t version = 0, caps = 0;
        const uint8_t *nonce = NULL;
        struct nt_g_field field;
        for (size_t at = 0; nt_g_each(f->payload, f->size, &at, &field) > 0;) {
            if (field.tag == NT_GT_VERSION)
                version = nt_g_load(field.data, 8);
            if (field.tag == NT_GT_CAPS)
                caps = nt_g_load(field.data, 8);
            if (field.tag == NT_GT_NONCE)
                nonce = field.data;
        }
        if (version != NT_G_VERSION || !nonce)
            return -1;
        if (op->events.hello)
            op->events.hello(op->data, version, caps, nonce);
        return 0;
    }
    if (f->type == NT_G_ERROR) {
        guest_error_read(f, &op->error);
        finish(op);
        return 0;
    }
    op->is_raw = op->order.request == NT_G_CONNECT && f->type == NT_G_OK;
    if (op->events.frame)
        op->events.frame(op->data, f);
    if (last)
        finish(op);
    return 0;
}

/* Takes bytes for a frame of fields that does not lie whole in one buffer. */
static int take_piece(struct guest_op *op, struct rx *rx)
{
    size_t want = (size_t)nt_g_load(op->head, 4) - op->fields.size;
    size_t n = rx->size - rx->at < want ? rx->size - rx->at : want;
    nt_buf_add_bytes(&op->fields, rx->data + rx->at, n);
    if (!nt_buf_ok(&op->fields))
        return -1;
    rx->at += n;
    if (n < want)
        return 0;
    struct nt_g_frame f = { (const uint8_t *)nt_buf_text(&op->fields), (uint32_t)op->fields.size,
                            (uint16_t)nt_g_load(op->head + 4, 2), 0 };
    op->in_frame = false;
    op->head_size = 0;
    int rc = take_frame(op, &f);
    nt_buf_reset(&op->fields);
    return rc;
}

/* Head is complete: what follows is decided. */
static int begin_frame(struct guest_op *op)
{
    uint32_t size = (uint32_t)nt_g_load(op->head, 4);
    uint16_t type = (uint16_t)nt_g_load(op->head + 4, 2);
    if (size > NT_G_FRAME_MAX)
        return -1;
    if (!guest_frame_is_raw(type)) {
        op->in_frame = true;
        return 0;
    }
    bool last;
    if (guest_order_next(&op->order, type, &last) < 0)
        return -1;
    op->head_size = 0;
    op->left = size;
    op->raw = type;
    return 0;
}

static void hand_on(struct guest_op *op, struct rx *rx)
{
    size_t n = rx->size - rx->at < op->left ? rx->size - rx->at : op->left;
    struct nt_bytes bytes = { rx->data + rx->at, n };
    rx->at += n;
    op->left -= (uint32_t)n;
    if (!op->events.bytes)
        return;
    op->is_held = true;
    op->events.bytes(op->data, op->raw, bytes);
}

static int parse(struct guest_op *op, struct rx *rx)
{
    while (rx->at < rx->size && !op->is_held && !op->has_ended) {
        if (op->is_raw && !op->left) {
            op->left = (uint32_t)(rx->size - rx->at);
            op->raw = NT_G_DATA;
        }
        if (op->left) {
            hand_on(op, rx);
            continue;
        }
        if (!op->in_frame) {
            size_t n = NT_G_HEAD - op->head_size;
            n = rx->size - rx->at < n ? rx->size - rx->at : n;
            memcpy(op->head + op->head_size, rx->data + rx->at, n);
            op->head_size += n;
            rx->at += n;
            if (op->head_size < NT_G_HEAD)
                break;
            if (begin_frame(op) < 0)
                return -1;
            if (!op->in_frame)
                continue;
        }
        if (take_piece(op, rx) < 0)
            return -1;
    }
    return 0;
}

/* --- reading ------------------------------------------------------------------------------- */

static bool rx_ready(struct rx *rx)
{
    if (!rx->data)
        rx->data = malloc(RX_SIZE);
    return rx->data != NULL;
}

/* The buffer that may be filled now; NULL: none. */
static struct rx *rx_free(struct guest_op *op)
{
    struct rx *cur = &op->rx[op->cur], *other = &op->rx[!op->cur];
    if (op->is_held)
        return other->size ? NULL : other;
    return cur->size ? NULL : cur;
}

static void on_poll(uv_poll_t *handle, int status, int events);

static void watch(struct guest_op *op)
{
    if (op->has_ended)
        return;
    if (op->is_generic) {
        /* one buffer: it is granted whole, and again when it is empty */
        struct rx *rx = &op->rx[0];
        if (op->stream && !op->is_eof && rx->size == RX_SIZE && rx->at == RX_SIZE && !op->is_held) {
            rx->at = rx->size = 0;
            op->stream->ops->grant(op->stream, RX_SIZE);
        }
        return;
    }
    if (!op->has_poll)
        return;
    int events = 0;
    if (!op->is_eof && rx_free(op))
        events |= UV_READABLE;
    if (op->tx.size > op->tx_at)
        events |= UV_WRITABLE;
    if (!events && op->is_raw && op->is_eof)
        events = UV_PRIORITIZED; /* nothing of the kind comes: a hang-up is told with it */
    if (events)
        uv_poll_start(&op->poll, events, on_poll);
    else
        uv_poll_stop(&op->poll);
}

/* Whether the guest has closed all of its end, not only its half. */
static bool is_hung_up(const struct guest_op *op)
{
    struct pollfd p = { .fd = op->fd, .events = 0 };
    return op->fd >= 0 ? poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR))
                       : !op->is_stream_open;
}

static void raw_eof(struct guest_op *op)
{
    bool is_first = !op->is_half;
    op->is_half = true;
    if (is_first && op->events.half)
        op->events.half(op->data);
    if (op->is_finished || is_hung_up(op))
        finish(op);
}

/* Parses what is there, as far as the consumer lets it. */
static void pump(struct guest_op *op)
{
    if (op->is_pumping)
        return;
    op->is_pumping = true;
    while (!op->has_ended && !op->is_held) {
        struct rx *rx = &op->rx[op->cur];
        if (rx->data && parse(op, rx) < 0) {
            broken(op);
            break;
        }
        if (op->is_held || op->has_ended || rx->at < rx->size)
            break;
        if (op->is_generic)
            break;
        rx->at = rx->size = 0;
        if (!op->rx[!op->cur].size)
            break;
        op->cur = !op->cur;
    }
    op->is_pumping = false;
    if (op->is_raw && op->is_eof && !op->is_held && !op->has_ended)
        raw_eof(op);
    else if (op->is_eof && !op->is_held && !op->has_ended)
        fail(op, NT_E_CLOSED,
             op->order.stage ? "the guest closed the connection before the end"
                             : "the guest closed the connection at once");
    be_patient(op);
    watch(op);
}

static void read_some(struct guest_op *op)
{
    struct rx *rx = rx_free(op);
    if (!rx || op->is_eof)
        return;
    if (!rx_ready(rx)) {
        fail(op, NT_E_MEMORY, "out of memory");
        return;
    }
    ssize_t n = read(op->fd, rx->data, RX_SIZE);
    if (n > 0) {
        rx->at = 0;
        rx->size = (size_t)n;
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        op->is_eof = true;
    }
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct guest_op *op = handle->data;
    if (status < 0 || (events & UV_READABLE))
        read_some(op);
    if (events & UV_WRITABLE)
        flush(op);
    pump(op);
}

/* --- writing ------------------------------------------------------------------------------- */

static size_t write_some(struct guest_op *op, const char *data, size_t size)
{
    if (op->is_generic) {
        size_t n = size < op->credit ? size : (size_t)op->credit;
        struct nt_error error = NT_ERROR_INIT;
        if (!n || !op->stream
            || op->stream->ops->write(op->stream, (struct nt_bytes){ data, n }, 0, &error) < 0)
            return 0;
        op->credit -= n;
        return n;
    }
    ssize_t n = nt_send_fds(op->fd, data, size, op->fds, op->fd_count, MSG_DONTWAIT);
    if (n > 0) {
        close_fds(op);
        return (size_t)n;
    }
    /* A guest that has closed its end may have said why: what it sent is still read. */
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : size;
}

/* Sends what is queued, as far as it goes. */
static void flush(struct guest_op *op)
{
    if (!op->is_open || op->has_ended)
        return;
    while (op->tx_at < op->tx.size) {
        size_t n = write_some(op, op->tx.data + op->tx_at, op->tx.size - op->tx_at);
        if (!n)
            break;
        op->was_sent = true;
        op->tx_at += n;
    }
    if (op->tx_at < op->tx.size) {
        if (op->tx_at > op->tx.size / 2) {
            nt_buf_drop(&op->tx, op->tx_at);
            op->tx_at = 0;
        }
        return;
    }
    nt_buf_reset(&op->tx);
    op->tx_at = 0;
    if (op->wants_sent)
        tell_sent(op);
    if (op->wants_finish && !op->is_finished && op->tx.size == 0) {
        op->is_finished = true;
        if (op->is_generic && op->stream)
            op->stream->ops->finish(op->stream);
        else if (op->fd >= 0)
            shutdown(op->fd, SHUT_WR);
        if (op->is_half)
            finish(op);
    }
}

/* --- what the engine says ------------------------------------------------------------------ */

static void on_open(void *data, struct nt_stream *stream)
{
    struct guest_op *op = data;
    if (op->has_ended) {
        stream->ops->cancel(stream);
        return;
    }
    op->is_open = true;
    struct nt_error error = NT_ERROR_INIT;
    int fd = stream->flags & NT_STREAM_FD ? stream->ops->take_fd(stream, &error) : -1;
    if (fd < 0) {
        if (op->fd_count) {
            op->stream = stream;
            fail(op, NT_E_UNSUPPORTED, "this engine cannot pass descriptors");
            return;
        }
        op->stream = stream;
        op->is_generic = true;
        if (!rx_ready(&op->rx[0])) {
            fail(op, NT_E_MEMORY, "out of memory");
            return;
        }
        stream->ops->grant(stream, RX_SIZE);
        flush(op);
        return;
    }
    op->is_stream_open = false; /* taken: no callback of it will come */
    op->fd = fd;
    if (uv_poll_init(op->uv, &op->poll, fd) < 0) {
        fail(op, NT_E_SYSTEM, "cannot watch the stream to the guest");
        return;
    }
    op->poll.data = op;
    op->open_handles++;
    op->has_poll = true;
    flush(op);
    watch(op);
}

static void on_data(void *data, struct nt_stream *stream, struct nt_bytes bytes, uint32_t flags)
{
    (void)stream;
    (void)flags;
    struct guest_op *op = data;
    struct rx *rx = &op->rx[0];
    if (op->has_ended || !rx->data)
        return;
    if (bytes.size > RX_SIZE - rx->size) {
        fail(op, NT_E_INTERNAL, "the engine sent more than was granted");
        return;
    }
    memcpy(rx->data + rx->size, bytes.data, bytes.size);
    rx->size += bytes.size;
    pump(op);
}

static void on_writable(void *data, struct nt_stream *stream, uint64_t credit)
{
    (void)stream;
    struct guest_op *op = data;
    op->credit = credit;
    flush(op);
}

static void on_stream_end(void *data, struct nt_stream *stream)
{
    (void)stream;
    struct guest_op *op = data;
    op->is_eof = true;
    pump(op);
}

static void on_close(void *data, struct nt_stream *stream, const struct nt_error *reason)
{
    (void)stream;
    struct guest_op *op = data;
    op->is_stream_open = false;
    op->stream = NULL;
    if (op->is_closing) {
        op_free_when_unused(op);
        return;
    }
    if (op->has_ended)
        return;
    if (reason && !op->is_open) {
        op->error = *reason;
        op->error.attempt = 0; /* NT_G_ERROR's alone */
        finish(op);
        return;
    }
    op->is_eof = true;
    wake(op);
}

static const struct nt_stream_events stream_events = {
    .size = sizeof(stream_events),
    .open = on_open,
    .data = on_data,
    .end = on_stream_end,
    .writable = on_writable,
    .close = on_close,
};

/* --- the contract -------------------------------------------------------------------------- */

int guest_op_new(uv_loop_t *uv, const struct nt_engine_ops *ops, struct nt_engine *engine,
                 const char *id, struct nt_bytes request, const struct guest_events *events,
                 void *data, struct guest_op **ret, struct nt_error *reterr)
{
    struct guest_order order;
    if (guest_order_init(&order, request.data, request.size) < 0)
        return nt_fail(reterr, NT_E_LIMIT, "the request is too long for the guest");
    struct guest_op *op = calloc(1, sizeof(*op));
    if (!op)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    *op = (struct guest_op){ .uv = uv,
                             .events = *events,
                             .data = data,
                             .order = order,
                             .fd = -1,
                             .tx = NT_BUF(TX_MAX + NT_G_FRAME_MAX),
                             .fields = NT_BUF(NT_G_FRAME_MAX),
                             .hello_ms = HELLO_MS,
                             .silence_ms = SILENCE_MS,
                             .error = NT_ERROR_INIT };
    nt_buf_add_bytes(&op->tx, request.data, request.size);
    if (!nt_buf_ok(&op->tx)) {
        free(op);
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    }
    op->is_stream_open = true;
    if (ops->open_stream(engine, id, &stream_events, op, reterr) < 0) {
        nt_buf_done(&op->tx);
        free(op);
        return -1;
    }
    uv_idle_init(uv, &op->later); /* never fails, nor does the timer */
    uv_timer_init(uv, &op->patience);
    op->later.data = op->patience.data = op;
    op->open_handles = 2;
    be_patient(op);
    in_flight++;
    *ret = op;
    return 0;
}

void guest_op_hold(struct guest_op *op)
{
    op->is_held = true;
}

void guest_op_consumed(struct guest_op *op)
{
    if (!op->is_held)
        return;
    op->is_held = false;
    if (!op->is_pumping)
        wake(op);
}

bool guest_op_send(struct guest_op *op, uint16_t type, struct nt_bytes bytes)
{
    if (op->has_ended)
        return true;
    const uint8_t *at = bytes.data;
    size_t left = bytes.size;
    if (type == 0) {
        op->has_said_end = left >= NT_G_HEAD && nt_g_load(at + 4, 2) == NT_G_END;
        nt_buf_add_bytes(&op->tx, at, left);
        left = 0;
        be_patient(op);
    }
    while (left) {
        uint8_t head[NT_G_HEAD];
        size_t n = left < NT_G_CHUNK ? left : NT_G_CHUNK;
        nt_g_head(head, type, (uint32_t)n);
        nt_buf_add_bytes(&op->tx, head, sizeof(head));
        nt_buf_add_bytes(&op->tx, at, n);
        at += n;
        left -= n;
    }
    if (!nt_buf_ok(&op->tx)) {
        fail(op, NT_E_LIMIT, "too much is queued for the guest");
        return true;
    }
    bool wanted = op->wants_sent;
    op->wants_sent = false; /* `sent` never comes within this call */
    flush(op);
    size_t queued = op->tx.size - op->tx_at;
    if (op->has_poll)
        watch(op);
    op->wants_sent = queued > 0 || wanted;
    if (wanted && !queued)
        wake(op);
    return queued <= TX_HIGH;
}

void guest_op_finish(struct guest_op *op)
{
    op->wants_finish = true;
    flush(op);
}

void guest_op_attach_fd(struct guest_op *op, int fd)
{
    if (op->has_ended || op->was_sent || op->fd_count == FDS_MAX) {
        close(fd);
        if (!op->has_ended)
            fail(op, NT_E_INTERNAL, "the descriptor came too late");
        return;
    }
    op->fds[op->fd_count++] = fd;
}

uint32_t guest_ops_in_flight(void)
{
    return in_flight;
}

void guest_op_no_deadline(struct guest_op *op)
{
    op->is_endless = true;
    if (!op->is_closing)
        uv_timer_stop(&op->patience);
}

void guest_op_expect_beats(struct guest_op *op, uint32_t ms)
{
    op->beats_ms = ms;
    be_patient(op);
}

void guest_op_deadlines(struct guest_op *op, uint32_t hello_ms, uint32_t silence_ms)
{
    op->hello_ms = hello_ms;
    op->silence_ms = silence_ms;
    if (!op->is_closing)
        uv_timer_stop(&op->patience);
    be_patient(op);
}

void guest_op_cancel(struct guest_op *op)
{
    fail(op, NT_E_CANCELLED, "cancelled");
}
