/* SPDX-License-Identifier: Apache-2.0 */
/* ws.c - one WebSocket connection after its handshake: messages by credit, control frames, closing
 * (RFC 6455). */
#include "core/net/ws.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/net/ws_parse.h"
#include "sdk/error.h"

enum { CONTROL_MAX = 125, CLOSE_MS = 5000, PONGS_MAX = 64 * 1024 };

struct net_ws {
    struct conn *c;
    bool is_client;
    bool has_begun;
    struct net_limits limits;
    struct net_ws_events events;
    void *data;
    struct ws_parse *parse;

    uint64_t credit;
    bool in_frame;
    struct ws_frame frame;
    uint64_t frame_left;
    bool in_message, is_text;
    uint64_t message_bytes;
    struct utf8_check utf8;
    uint8_t control[CONTROL_MAX];
    size_t control_size;

    bool wants_writable;
    bool close_sent, close_received;
    uint16_t code; /* of the peer's close frame */
    bool has_failed, has_shut;
    struct nt_error reason;
    int64_t ping_ms;
    uint64_t received_before;
    uint32_t silent;
};

static const struct conn_events ws_conn_events;

struct net_ws *ws_new(struct conn *c, bool is_client, const struct net_limits *limits,
                      const struct net_ws_events *events, void *data)
{
    struct net_ws *ws = calloc(1, sizeof(*ws));
    if (ws)
        ws->parse = ws_parse_new();
    if (!ws || !ws->parse) {
        free(ws);
        return NULL;
    }
    ws->c = c;
    ws->is_client = is_client;
    ws->limits = *limits;
    ws->events = *events;
    ws->data = data;
    ws->code = 1006;
    return ws;
}

void ws_discard(struct net_ws *ws)
{
    if (!ws)
        return;
    ws_parse_free(ws->parse);
    free(ws);
}

void ws_begin(struct net_ws *ws)
{
    ws->has_begun = true;
    conn_owner(ws->c, &ws_conn_events, ws);
    net_ws_keepalive(ws, ws->ping_ms);
    if (ws->close_sent)
        conn_due(ws->c, DUE_CLOSE, CLOSE_MS);
    conn_kick(ws->c);
}

/* The last callback; ws is gone after it. */
static void finish(struct net_ws *ws)
{
    struct conn *c = ws->c;
    conn_drop_queue(c);
    if (ws->events.closed)
        ws->events.closed(ws->data, ws, ws->code, ws->has_failed ? &ws->reason : NULL);
    ws_discard(ws);
    conn_close(c);
}

static void send_part(struct net_ws *ws, uint8_t opcode, bool fin, struct nt_bytes part)
{
    size_t total;
    uint8_t *frame = ws_make_frame(opcode, fin, ws->is_client, NULL, part, &total);
    if (!frame) {
        ws->c->error = ENOMEM;
        conn_kick(ws->c);
        return;
    }
    conn_send_owned(ws->c, frame, total);
}

static void send_frame(struct net_ws *ws, uint8_t opcode, const void *data, size_t size)
{
    send_part(ws, opcode, true, (struct nt_bytes){ data, size });
}

static void send_close(struct net_ws *ws, uint16_t code, const char *text)
{
    if (ws->close_sent)
        return;
    ws->close_sent = true;
    uint8_t payload[CONTROL_MAX];
    size_t size = 0;
    if (code != 1005) {
        payload[0] = (uint8_t)(code >> 8);
        payload[1] = (uint8_t)code;
        char cut[CONTROL_MAX - 2];
        nt_copy_text(cut, sizeof(cut), text ? text : "");
        size_t n = strlen(cut);
        memcpy(payload + 2, cut, n);
        size = n + 2;
    }
    send_frame(ws, WS_CLOSE, payload, size);
    if (ws->has_begun)
        conn_due(ws->c, DUE_CLOSE, CLOSE_MS);
}

/* The peer broke the protocol: say why and take nothing more. */
static void fail(struct net_ws *ws, uint16_t code, const char *why)
{
    if (!ws->has_failed) {
        ws->has_failed = true;
        nt_fail(&ws->reason, code == 1009 ? NT_E_LIMIT : NT_E_RESPONSE, "WebSocket: %s", why);
    }
    send_close(ws, code, why);
    ws->close_received = true; /* nothing of what it sends is read any more */
}

static bool is_close_code(uint16_t code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014)
           || (code >= 3000 && code <= 4999);
}

static void take_close(struct net_ws *ws)
{
    uint16_t code = 1005;
    if (ws->control_size == 1) {
        fail(ws, 1002, "a close frame of one byte");
        return;
    }
    if (ws->control_size >= 2) {
        code = (uint16_t)(ws->control[0] << 8 | ws->control[1]);
        struct utf8_check utf8 = { 0 };
        if (!is_close_code(code)) {
            fail(ws, 1002, "a close code that must not be sent");
            return;
        }
        if (!utf8_check_add(&utf8, ws->control + 2, ws->control_size - 2)
            || !utf8_check_is_whole(&utf8)) {
            fail(ws, 1007, "a close reason that is not UTF-8");
            return;
        }
    }
    ws->code = code;
    ws->close_received = true;
    send_close(ws, code, "");
}

static void take_control(struct net_ws *ws)
{
    if (ws->frame.opcode == WS_CLOSE)
        take_close(ws);
    else if (ws->frame.opcode == WS_PING && !ws->close_sent
             && ws->c->out_bytes < ws->limits.write_queue_bytes + PONGS_MAX)
        send_frame(ws, WS_PONG, ws->control, ws->control_size);
}

static bool is_control(uint8_t opcode)
{
    return opcode >= 8;
}

static void take_head(struct net_ws *ws)
{
    const struct ws_frame *f = &ws->frame;
    ws->frame_left = f->length;
    ws->in_frame = true;
    ws->control_size = 0;
    if (f->rsv != 0) {
        fail(ws, 1002, "reserved bits are set");
    } else if (f->is_masked == ws->is_client) {
        fail(ws, 1002, ws->is_client ? "a masked frame" : "an unmasked frame");
    } else if (is_control(f->opcode)) {
        if (f->opcode > WS_PONG || !f->fin || f->length > CONTROL_MAX)
            fail(ws, 1002, "a broken control frame");
    } else if (f->opcode > WS_BINARY) {
        fail(ws, 1002, "an unknown opcode");
    } else if ((f->opcode == WS_CONTINUATION) != ws->in_message) {
        fail(ws, 1002, ws->in_message ? "a message inside a message" : "a continuation of nothing");
    } else {
        if (!ws->in_message) {
            ws->in_message = true;
            ws->is_text = f->opcode == WS_TEXT;
            ws->message_bytes = 0;
            ws->utf8 = (struct utf8_check){ 0 };
        }
        if (f->length > ws->limits.message_bytes - ws->message_bytes)
            fail(ws, 1009, "a message is too large");
        else
            ws->message_bytes += f->length;
    }
}

/* One piece of a frame; false: nothing moves without more bytes or credit. */
static bool take_piece(struct net_ws *ws)
{
    struct conn *c = ws->c;
    uint64_t n = conn_waiting(c);
    if (n > ws->frame_left)
        n = ws->frame_left;
    bool control = is_control(ws->frame.opcode);
    if (!control && n > ws->credit)
        n = ws->credit;
    if (n == 0 && ws->frame_left > 0)
        return false;
    uint8_t *data = n ? c->in + c->begin : NULL;
    if (!ws_parse_payload(ws->parse, data, (size_t)n)) {
        fail(ws, 1002, "a broken frame");
        return false;
    }
    ws->frame_left -= n;
    ws->in_frame = ws->frame_left > 0;
    if (control) {
        if (n)
            memcpy(ws->control + ws->control_size, data, (size_t)n);
        ws->control_size += (size_t)n;
        conn_consume(c, (size_t)n);
        if (!ws->in_frame)
            take_control(ws);
        return true;
    }
    bool last = !ws->in_frame && ws->frame.fin;
    if (ws->is_text
        && ((n && !utf8_check_add(&ws->utf8, data, (size_t)n))
            || (last && !utf8_check_is_whole(&ws->utf8)))) {
        fail(ws, 1007, "text that is not UTF-8");
        return false;
    }
    ws->credit -= n;
    ws->in_message = !last;
    /* Consumed only after the callback: until then the bytes must stay where they are. */
    if ((n || last) && ws->events.message)
        ws->events.message(ws->data, ws, (struct nt_bytes){ data, (size_t)n }, ws->is_text, last);
    conn_consume(c, (size_t)n);
    return true;
}

/* Both close frames are through. The server ends the connection; the client waits for that
 * (section 7.1.1). After a violation the peer's bytes are read and dropped until it ends: closing
 * at once would reset the connection, and the close frame could be lost. True: ws is gone. */
static bool finish_if_closed(struct net_ws *ws)
{
    if (!ws->close_received || !ws->close_sent || ws->c->out_bytes > 0)
        return false;
    if (ws->has_failed && !ws->has_shut) {
        ws->has_shut = true;
        shutdown(ws->c->fd, SHUT_WR);
    } else if (!ws->has_failed && !ws->is_client) {
        finish(ws);
        return true;
    }
    return false;
}

static void on_input(void *owner)
{
    struct net_ws *ws = owner;
    struct conn *c = ws->c;
    bool moves = true;
    while (moves && !ws->close_received && !c->error) {
        if (ws->in_frame) {
            moves = take_piece(ws);
            continue;
        }
        size_t used;
        int rc = conn_waiting(c) ? ws_parse_head(ws->parse, c->in + c->begin, conn_waiting(c),
                                                 &used, &ws->frame)
                                 : 0;
        if (rc == 0 && conn_waiting(c) == 0)
            break;
        conn_consume(c, used);
        if (rc < 0)
            fail(ws, 1002, "a broken frame");
        else if (rc == 0)
            moves = false;
        else
            take_head(ws);
    }
    if (ws->close_received)
        conn_consume(c, conn_waiting(c));
    if (finish_if_closed(ws) || !c->eof)
        return;
    /* Without credit the rest of a message may still wait here; it is given first. */
    if (ws->close_received || conn_waiting(c) == 0) {
        if (!ws->close_received && !ws->has_failed) {
            ws->has_failed = true;
            nt_fail(&ws->reason, NT_E_CLOSED, "the WebSocket connection was lost");
            ws->reason.request_sent = 1;
        }
        finish(ws);
    }
}

static void on_flushed(void *owner)
{
    struct net_ws *ws = owner;
    if (finish_if_closed(ws))
        return;
    uint64_t credit = conn_credit(ws->c, ws->limits.write_queue_bytes);
    if (ws->wants_writable && !ws->close_sent && credit >= ws->limits.write_queue_bytes / 2) {
        ws->wants_writable = false;
        if (ws->events.writable)
            ws->events.writable(ws->data, ws, credit);
    }
}

static void on_broken(void *owner, int sys)
{
    struct net_ws *ws = owner;
    bool is_done = ws->close_received && ws->close_sent;
    if (!ws->has_failed && !is_done) {
        ws->has_failed = true;
        char name[32];
        nt_fail_sys(&ws->reason, sys, "the WebSocket connection was lost");
        ws->reason.code = sys == ETIMEDOUT ? NT_E_TIMEOUT : NT_E_CLOSED;
        ws->reason.retryable = 1;
        ws->reason.request_sent = 1;
        nt_copy_text(ws->reason.upstream, sizeof(ws->reason.upstream),
                     nt_errno_name(sys, name, sizeof(name)));
    }
    finish(ws);
}

static void on_due(void *owner, enum conn_due which)
{
    struct net_ws *ws = owner;
    if (which == DUE_CLOSE) {
        if (!ws->has_failed && !ws->close_received) {
            ws->has_failed = true;
            nt_fail(&ws->reason, NT_E_TIMEOUT,
                    "the peer did not answer the close of the WebSocket");
            ws->reason.request_sent = 1;
        }
        finish(ws);
        return;
    }
    if (which != DUE_PING)
        return;
    ws->silent = ws->c->received_total == ws->received_before ? ws->silent + 1 : 0;
    ws->received_before = ws->c->received_total;
    /* A peer whose bytes wait for our credit is not silent. */
    if (ws->silent >= 2 && conn_waiting(ws->c) == 0) {
        on_broken(ws, ETIMEDOUT);
        return;
    }
    if (!ws->close_sent && ws->c->out_bytes < ws->limits.write_queue_bytes + PONGS_MAX)
        send_frame(ws, WS_PING, NULL, 0);
    conn_due(ws->c, DUE_PING, ws->ping_ms);
}

static const struct conn_events ws_conn_events = {
    .input = on_input,
    .flushed = on_flushed,
    .broken = on_broken,
    .due = on_due,
};

void net_ws_grant(struct net_ws *ws, uint64_t bytes)
{
    if (__builtin_add_overflow(ws->credit, bytes, &ws->credit))
        ws->credit = UINT64_MAX;
    if (ws->has_begun && ws->c->stage != 1) /* inside a turn's input the loop there sees it */
        conn_kick(ws->c);
}

static uint64_t credit_left(struct net_ws *ws)
{
    uint64_t credit = conn_credit(ws->c, ws->limits.write_queue_bytes);
    ws->wants_writable = ws->wants_writable || credit == 0;
    return credit;
}

uint64_t net_ws_send(struct net_ws *ws, struct nt_bytes message, bool is_text)
{
    if (!ws->close_sent)
        send_frame(ws, is_text ? WS_TEXT : WS_BINARY, message.data, message.size);
    return credit_left(ws);
}

uint64_t net_ws_send_part(struct net_ws *ws, struct nt_bytes part, bool is_text, bool is_first,
                          bool is_last)
{
    uint8_t opcode = !is_first ? WS_CONTINUATION : is_text ? WS_TEXT : WS_BINARY;
    if (!ws->close_sent)
        send_part(ws, opcode, is_last, part);
    return credit_left(ws);
}

uint64_t net_ws_send_borrowed(struct net_ws *ws, uint8_t first, struct nt_bytes bytes,
                              void (*sent)(void *data), void *data)
{
    struct conn *c = ws->c;
    if (ws->close_sent) {
        conn_send_nothing(c, sent, data);
        return credit_left(ws);
    }
    if (ws->is_client) {
        size_t total;
        uint8_t *frame = ws_make_frame(WS_BINARY, true, true, &first, bytes, &total);
        if (frame) {
            conn_send_owned(c, frame, total);
        } else {
            c->error = ENOMEM;
            conn_kick(c);
        }
        conn_send_nothing(c, sent, data);
        return credit_left(ws);
    }
    uint8_t head[WS_HEAD_MAX + 2];
    size_t size = ws_make_head(WS_BINARY, bytes.size + 1, &first, head);
    if (size) {
        conn_send_copy(c, head, size);
    } else {
        c->error = ENOMEM;
        conn_kick(c);
    }
    conn_send_borrowed(c, bytes.data, bytes.size, sent, data);
    return credit_left(ws);
}

void net_ws_close(struct net_ws *ws, uint16_t code, const char *reason)
{
    send_close(ws, code, reason);
}

void net_ws_keepalive(struct net_ws *ws, int64_t interval_ms)
{
    ws->ping_ms = interval_ms;
    if (ws->has_begun)
        conn_due(ws->c, DUE_PING, interval_ms > 0 ? interval_ms : -1);
}
