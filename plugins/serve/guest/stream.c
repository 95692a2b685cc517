/* SPDX-License-Identifier: Apache-2.0 */
/* stream.c - moves the bytes of an operation, in two ways: by a local descriptor (NT_STREAM_FD;
 * read here, by uv_poll) or by the callbacks of the engine's stream. Both fill the same two
 * buffers, from which frames are taken: while the consumer holds bytes of one, the other is filled.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "plugins/serve/guest/op.h"
#include "sdk/error.h"
#include "sdk/fds.h"

#define RX_SIZE (256u * 1024u)

/* --- reading ------------------------------------------------------------------------------- */

static bool rx_ready(struct guest_rx *rx)
{
    if (!rx->data)
        rx->data = malloc(RX_SIZE);
    return rx->data != NULL;
}

/* The buffer that may be filled now; NULL: none. */
static struct guest_rx *rx_free(struct guest_op *op)
{
    struct guest_rx *cur = &op->rx[op->cur], *other = &op->rx[!op->cur];
    if (op->is_held)
        return other->size ? NULL : other;
    return cur->size ? NULL : cur;
}

static void on_poll(uv_poll_t *handle, int status, int events);

void guest_stream_watch(struct guest_op *op)
{
    if (op->has_ended)
        return;
    if (op->is_generic) {
        /* one buffer: it is granted whole, and again when it is empty */
        struct guest_rx *rx = &op->rx[0];
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
        guest_op_end(op);
}

void guest_stream_pump(struct guest_op *op)
{
    if (op->is_pumping)
        return;
    op->is_pumping = true;
    while (!op->has_ended && !op->is_held) {
        struct guest_rx *rx = &op->rx[op->cur];
        if (rx->data && guest_frames_parse(op, rx) < 0) {
            guest_op_fail(op, NT_E_RESPONSE, "the guest broke the protocol");
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
        guest_op_fail(op, NT_E_CLOSED,
                      op->order.stage ? "the guest closed the connection before the end"
                                      : "the guest closed the connection at once");
    guest_patience_again(op);
    guest_stream_watch(op);
}

static void read_some(struct guest_op *op)
{
    struct guest_rx *rx = rx_free(op);
    if (!rx || op->is_eof)
        return;
    if (!rx_ready(rx)) {
        guest_op_fail(op, NT_E_MEMORY, "out of memory");
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
        guest_stream_flush(op);
    guest_stream_pump(op);
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
        guest_op_close_fds(op);
        return (size_t)n;
    }
    /* A guest that has closed its end may have said why: what it sent is still read. */
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : size;
}

void guest_stream_flush(struct guest_op *op)
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
        guest_op_tell_sent(op);
    if (op->wants_finish && !op->is_finished && op->tx.size == 0) {
        op->is_finished = true;
        if (op->is_generic && op->stream)
            op->stream->ops->finish(op->stream);
        else if (op->fd >= 0)
            shutdown(op->fd, SHUT_WR);
        if (op->is_half)
            guest_op_end(op);
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
            guest_op_fail(op, NT_E_UNSUPPORTED, "this engine cannot pass descriptors");
            return;
        }
        op->stream = stream;
        op->is_generic = true;
        if (!rx_ready(&op->rx[0])) {
            guest_op_fail(op, NT_E_MEMORY, "out of memory");
            return;
        }
        stream->ops->grant(stream, RX_SIZE);
        guest_stream_flush(op);
        return;
    }
    op->is_stream_open = false; /* taken: no callback of it will come */
    op->fd = fd;
    if (uv_poll_init(op->uv, &op->poll, fd) < 0) {
        guest_op_fail(op, NT_E_SYSTEM, "cannot watch the stream to the guest");
        return;
    }
    op->poll.data = op;
    op->open_handles++;
    op->has_poll = true;
    guest_stream_flush(op);
    guest_stream_watch(op);
}

static void on_data(void *data, struct nt_stream *stream, struct nt_bytes bytes, uint32_t flags)
{
    (void)stream;
    (void)flags;
    struct guest_op *op = data;
    struct guest_rx *rx = &op->rx[0];
    if (op->has_ended || !rx->data)
        return;
    if (bytes.size > RX_SIZE - rx->size) {
        guest_op_fail(op, NT_E_INTERNAL, "the engine sent more than was granted");
        return;
    }
    memcpy(rx->data + rx->size, bytes.data, bytes.size);
    rx->size += bytes.size;
    guest_stream_pump(op);
}

static void on_writable(void *data, struct nt_stream *stream, uint64_t credit)
{
    (void)stream;
    struct guest_op *op = data;
    op->credit = credit;
    guest_stream_flush(op);
}

static void on_stream_end(void *data, struct nt_stream *stream)
{
    (void)stream;
    struct guest_op *op = data;
    op->is_eof = true;
    guest_stream_pump(op);
}

static void on_close(void *data, struct nt_stream *stream, const struct nt_error *reason)
{
    (void)stream;
    struct guest_op *op = data;
    op->is_stream_open = false;
    op->stream = NULL;
    if (op->is_closing) {
        guest_op_free_when_unused(op);
        return;
    }
    if (op->has_ended)
        return;
    if (reason && !op->is_open) {
        op->error = *reason;
        op->error.attempt = 0; /* NT_G_ERROR's alone */
        guest_op_end(op);
        return;
    }
    op->is_eof = true;
    guest_op_wake(op);
}

const struct nt_stream_events guest_stream_events = {
    .size = sizeof(guest_stream_events),
    .open = on_open,
    .data = on_data,
    .end = on_stream_end,
    .writable = on_writable,
    .close = on_close,
};
