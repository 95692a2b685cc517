/* SPDX-License-Identifier: Apache-2.0 */
/* client.c - the life of one operation with a guest: how it begins, what its caller sends, and its
 * one outcome, told from a round of the loop of its own.
 *
 * frames.c reads what the guest says, stream.c moves the bytes, patience.c counts the time. */
#include "plugins/serve/guest/client.h"

#include <stdlib.h>
#include <unistd.h>

#include "plugins/serve/guest/op.h"
#include "sdk/error.h"

#define TX_HIGH (256u * 1024u)       /* above it the caller should wait */
#define TX_MAX (16u * 1024u * 1024u) /* above it the caller has a mistake */
#define HELLO_MS 10000
#define SILENCE_MS 300000

static uint32_t in_flight; /* loop's thread, as all of this room */

/* --- the end ------------------------------------------------------------------------------- */

void guest_op_close_fds(struct guest_op *op)
{
    for (unsigned i = 0; i < op->fd_count; i++)
        close(op->fds[i]);
    op->fd_count = 0;
}

void guest_op_free_when_unused(struct guest_op *op)
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

void guest_op_on_closed(uv_handle_t *handle)
{
    struct guest_op *op = handle->data;
    op->open_handles--;
    guest_op_free_when_unused(op);
}

/* The descriptor closes at once: that is what ends a foreground program. */
static void drop_connection(struct guest_op *op)
{
    guest_op_close_fds(op);
    if (op->has_poll) {
        op->has_poll = false;
        uv_poll_stop(&op->poll);
        uv_close((uv_handle_t *)&op->poll, guest_op_on_closed);
    }
    if (op->fd >= 0)
        close(op->fd);
    op->fd = -1;
    if (op->stream)
        op->stream->ops->cancel(op->stream);
    op->stream = NULL;
}

void guest_op_end(struct guest_op *op)
{
    if (op->has_ended)
        return;
    op->has_ended = true;
    drop_connection(op);
    guest_op_wake(op);
}

void guest_op_fail(struct guest_op *op, uint32_t code, const char *text)
{
    if (op->has_ended)
        return;
    nt_fail(&op->error, code, "%s", text);
    op->error.request_sent = op->was_sent;
    guest_op_end(op);
}

void guest_op_tell_sent(struct guest_op *op)
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
            guest_op_tell_sent(op);
        guest_stream_pump(op);
        if (!op->has_ended)
            return;
        uv_idle_stop(handle);
    }
    op->is_closing = true;
    uv_close((uv_handle_t *)&op->later, guest_op_on_closed);
    uv_close((uv_handle_t *)&op->patience, guest_op_on_closed);
    if (op->events.end)
        op->events.end(op->data, op->error.code ? &op->error : NULL);
}

void guest_op_wake(struct guest_op *op)
{
    if (!op->is_closing)
        uv_idle_start(&op->later, on_later);
}

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
    if (ops->open_stream(engine, id, &guest_stream_events, op, reterr) < 0) {
        nt_buf_done(&op->tx);
        free(op);
        return -1;
    }
    uv_idle_init(uv, &op->later); /* never fails, nor does the timer */
    uv_timer_init(uv, &op->patience);
    op->later.data = op->patience.data = op;
    op->open_handles = 2;
    guest_patience_again(op);
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
        guest_op_wake(op);
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
        guest_patience_again(op);
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
        guest_op_fail(op, NT_E_LIMIT, "too much is queued for the guest");
        return true;
    }
    bool wanted = op->wants_sent;
    op->wants_sent = false; /* `sent` never comes within this call */
    guest_stream_flush(op);
    size_t queued = op->tx.size - op->tx_at;
    if (op->has_poll)
        guest_stream_watch(op);
    op->wants_sent = queued > 0 || wanted;
    if (wanted && !queued)
        guest_op_wake(op);
    return queued <= TX_HIGH;
}

void guest_op_finish(struct guest_op *op)
{
    op->wants_finish = true;
    guest_stream_flush(op);
}

void guest_op_attach_fd(struct guest_op *op, int fd)
{
    if (op->has_ended || op->was_sent || op->fd_count == GUEST_FDS_MAX) {
        close(fd);
        if (!op->has_ended)
            guest_op_fail(op, NT_E_INTERNAL, "the descriptor came too late");
        return;
    }
    op->fds[op->fd_count++] = fd;
}

uint32_t guest_ops_in_flight(void)
{
    return in_flight;
}

void guest_op_cancel(struct guest_op *op)
{
    guest_op_fail(op, NT_E_CANCELLED, "cancelled");
}
