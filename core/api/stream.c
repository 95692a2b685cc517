/* SPDX-License-Identifier: Apache-2.0 */
/* stream.c - a conversation that the plugin holds as a struct nt_stream.
 *
 * What the plugin hears comes from the loop, never from inside a call of its own, and in this
 * order: open, then data and writable, then end, then close, once. It frees itself after close. */
#include <stdlib.h>
#include <string.h>

#include "core/api/conv.h"
#include "core/api/link.h"
#include "sdk/error.h"

#define MESSAGE_MAX (1024u * 1024)
#define CLOSE_NORMAL 1000
#define CLOSE_LEAVING 1001
#define CLOSE_NO_CODE 1005

static struct conv *of(struct nt_stream *stream)
{
    return (struct conv *)(void *)stream; /* stream is the first member */
}

/* --- end of life --------------------------------------------------------------------------- */

static void on_kick_closed(uv_handle_t *handle)
{
    conv_free(handle->data);
}

static void release(struct conv *conv)
{
    if (conv->ws || !conv->has_kick)
        return; /* the WebSocket still says goodbye; its closed comes here again */
    conv->has_kick = false;
    uv_close((uv_handle_t *)&conv->kick, on_kick_closed);
}

static void leave_list(struct conv *conv)
{
    for (struct conv **at = &conv->api->convs; *at; at = &(*at)->next)
        if (*at == conv) {
            *at = conv->next;
            break;
        }
}

/* Until 101 the WebSocket is the connection's, which frees it. */
static void leave_early_ws(struct conv *conv)
{
    if (!conv->is_switched)
        conv->ws = NULL;
}

static void tell_close(struct conv *conv)
{
    leave_early_ws(conv);
    struct link *link = conv->link;
    conv->told_close = true;
    conv->link = NULL;
    if (link)
        link_put(link, false);
    leave_list(conv);
    if (conv->events.close)
        conv->events.close(conv->data, &conv->stream, conv->error.code ? &conv->error : NULL);
    release(conv);
}

/* --- telling ------------------------------------------------------------------------------- */

static void give_head(struct conv *conv)
{
    if (!conv->ret_head || !conv->answer)
        return;
    struct nt_response *ret = conv->ret_head;
    conv->ret_head = NULL;
    answer_give(conv->answer, ret);
    /* The headers live as long as the command, like those of a request. */
    struct answer *answer = conv->answer;
    conv->answer = NULL;
    answer->next = conv->api->answers;
    conv->api->answers = answer;
}

static void open_begun(struct conv *conv)
{
    if (conv->ws)
        net_ws_keepalive(conv->ws, CONV_KEEPALIVE_MS);
    conv->credit = CONV_QUEUE + CONV_SURPLUS;
    conv->wants_writable = true;
}

void stream_tell(struct conv *conv)
{
    if (!conv->is_lent || conv->told_close)
        return;
    bool is_over = conv->answered || conv->closed || conv->cancelled;
    if (conv->is_begun && !conv->is_switched && !is_over)
        return; /* there is no answer yet */
    if (!conv->told_open && !conv->error.code) {
        conv->told_open = true;
        if (conv->is_begun)
            open_begun(conv);
        if (conv->events.open)
            conv->events.open(conv->data, &conv->stream);
    }
    if (conv->answer && conv->answer->status < 300)
        give_head(conv);
    if (conv->wants_writable && !is_over && !conv->cancelled && !conv->finished) {
        conv->wants_writable = false;
        if (conv->events.writable)
            conv->events.writable(conv->data, &conv->stream, conv->credit);
    }
    is_over = conv->answered || conv->closed || conv->cancelled;
    if (!is_over)
        return;
    if (conv->answered && !conv->error.code && !conv->told_end) {
        conv->told_end = true;
        if (conv->events.end)
            conv->events.end(conv->data, &conv->stream);
    }
    tell_close(conv);
}

static void on_kick(uv_timer_t *timer)
{
    stream_tell(timer->data);
}

static void kick(struct conv *conv)
{
    if (conv->has_kick)
        uv_timer_start(&conv->kick, on_kick, 0, 0);
}

void stream_tell_later(struct conv *conv)
{
    if (conv->is_lent)
        kick(conv);
}

/* --- what the plugin can do ---------------------------------------------------------------- */

static void stream_grant(struct nt_stream *stream, uint64_t bytes)
{
    struct conv *conv = of(stream);
    if (conv->cancelled || conv->told_close)
        return;
    if (conv->ws)
        net_ws_grant(conv->ws, bytes);
    else if (conv->link)
        net_client_grant(conv->link->client, bytes);
}

/* After a write: `left` is what the connection still takes without waiting. */
static void after_write(struct conv *conv, size_t size, uint64_t left)
{
    conv->credit -= size;
    if (left == 0 || conv->credit >= CONV_SURPLUS / 2)
        return; /* 0: the connection will say when there is room */
    conv->credit = left + CONV_SURPLUS;
    conv->wants_writable = true;
    kick(conv);
}

static int write_message(struct conv *conv, struct nt_bytes bytes, uint32_t flags,
                         struct nt_error *reterr)
{
    bool is_text = flags & NT_DATA_TEXT;
    if (conv->partial.size + bytes.size > MESSAGE_MAX)
        return nt_fail(reterr, NT_E_LIMIT, "a message is at most %u bytes", MESSAGE_MAX);
    if ((flags & NT_DATA_PARTIAL) || conv->partial.size > 0) {
        nt_buf_add_bytes(&conv->partial, bytes.data, bytes.size);
        if (!nt_buf_ok(&conv->partial))
            return nt_fail(reterr, NT_E_MEMORY, "out of memory");
        if (flags & NT_DATA_PARTIAL) {
            conv->credit -= bytes.size;
            return 0;
        }
        struct nt_bytes whole = { conv->partial.data, conv->partial.size };
        after_write(conv, bytes.size, net_ws_send(conv->ws, whole, is_text));
        nt_buf_reset(&conv->partial);
        return 0;
    }
    after_write(conv, bytes.size, net_ws_send(conv->ws, bytes, is_text));
    return 0;
}

static int stream_write(struct nt_stream *stream, struct nt_bytes bytes, uint32_t flags,
                        struct nt_error *reterr)
{
    struct conv *conv = of(stream);
    if (conv->cancelled || conv->finished || conv->answered || conv->closed
        || (conv->is_begun && !conv->is_switched) || (!conv->ws && !conv->link)
        || (conv->kind != CONV_WS && conv->kind != CONV_UP)) {
        nt_fail(reterr, NT_E_CLOSED, "nothing more can be written to this stream");
        reterr->request_sent = 1;
        return -1;
    }
    if (bytes.size > conv->credit)
        return nt_fail(reterr, NT_E_LIMIT, "more was written than the stream allows now");
    if (conv->ws)
        return write_message(conv, bytes, flags, reterr);
    if (conv->left >= 0 && bytes.size > (uint64_t)conv->left)
        return nt_fail(reterr, NT_E_LIMIT, "more was written than was announced");
    conv->left -= conv->left >= 0 ? (int64_t)bytes.size : 0;
    after_write(conv, bytes.size, net_client_write(conv->link->client, bytes));
    return 0;
}

static void stream_finish(struct nt_stream *stream)
{
    struct conv *conv = of(stream);
    if (conv->finished || conv->cancelled)
        return;
    conv->finished = true;
    if (conv->ws)
        net_ws_close(conv->ws, CLOSE_NORMAL, "");
    else if (conv->link && conv->kind == CONV_UP)
        net_client_write_end(conv->link->client);
}

void stream_end(struct conv *conv, const struct nt_error *reason)
{
    if (conv->cancelled || conv->told_close)
        return;
    conv->cancelled = true;
    leave_early_ws(conv);
    conv->ret_head = NULL; /* the caller's memory may be gone */
    if (!conv->answered && !conv->closed && !conv->error.code)
        conv->error = *reason;
    conv->error.size = sizeof(conv->error); /* the reason can be of a longer kind */
    struct link *link = conv->link;
    conv->link = NULL;
    if (link)
        link_put(link, false);
    if (conv->ws)
        net_ws_close(conv->ws, CLOSE_LEAVING, "");
    kick(conv);
}

static void stream_cancel(struct nt_stream *stream)
{
    struct nt_error reason = NT_ERROR_INIT;
    nt_fail(&reason, NT_E_CANCELLED, "cancelled");
    reason.request_sent = 1;
    stream_end(of(stream), &reason);
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

int stream_lend(struct conv *conv, struct nt_error *reterr)
{
    int rc = uv_timer_init(&conv->api->uv, &conv->kick);
    if (rc < 0)
        return nt_fail_sys(reterr, -rc, "cannot make a stream");
    conv->kick.data = conv;
    conv->has_kick = true;
    conv->stream = (struct nt_stream){ .size = sizeof(conv->stream),
                                       .ops = &stream_ops,
                                       .flags = conv->kind == CONV_WS ? NT_STREAM_MESSAGES : 0 };
    conv->is_lent = true;
    conv->partial = (struct nt_buf)NT_BUF(MESSAGE_MAX);
    if ((conv->kind == CONV_WS && !conv->is_begun) || conv->kind == CONV_UP) {
        conv->credit = CONV_QUEUE + CONV_SURPLUS;
        conv->wants_writable = true;
    }
    struct conv **at = &conv->api->convs;
    while (*at)
        at = &(*at)->next;
    *at = conv;
    if (conv->kind != CONV_UP)
        give_head(conv);
    if (!conv->is_begun)
        kick(conv);
    return 0;
}

/* --- WebSocket ----------------------------------------------------------------------------- */

static void on_message(void *data, struct net_ws *ws, struct nt_bytes bytes, bool is_text,
                       bool last)
{
    (void)ws;
    struct conv *conv = data;
    stream_tell(conv);
    uint32_t flags = (is_text ? NT_DATA_TEXT : 0) | (last ? 0 : NT_DATA_PARTIAL);
    if (conv->is_lent && !conv->told_close && !conv->cancelled && conv->events.data)
        conv->events.data(conv->data, &conv->stream, bytes, flags);
}

static void on_writable(void *data, struct net_ws *ws, uint64_t credit)
{
    (void)ws;
    conv_writable(data, credit);
}

static void on_closed(void *data, struct net_ws *ws, uint16_t code, const struct nt_error *reason)
{
    (void)ws;
    struct conv *conv = data;
    struct nt_error error = NT_ERROR_INIT;
    conv->ws = NULL;
    bool is_clean =
        !reason && (code == CLOSE_NORMAL || code == CLOSE_LEAVING || code == CLOSE_NO_CODE);
    if (reason)
        error = *reason;
    else if (!is_clean)
        nt_fail(&error, NT_E_CLOSED, "the server closed the connection with code %u", code);
    error.request_sent = 1;
    if (!is_clean && !conv->error.code)
        conv->error = error;
    conv->answered = is_clean;
    conv->closed = true;
    conv->done = 1;
    if (conv->told_close)
        release(conv);
    else
        stream_tell(conv);
}

const struct net_ws_events stream_ws_events = {
    .message = on_message,
    .writable = on_writable,
    .closed = on_closed,
};
