/* SPDX-License-Identifier: Apache-2.0 */
/* server_answer.c - what a handler may ask of its request, and how answers are written. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/net/http_text.h"
#include "core/net/server_private.h"
#include "core/net/ws.h"
#include "core/net/ws_parse.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

enum { DRAIN_MAX = 256 * 1024 }; /* a rest of a body that is worth reading to keep the connection */

static const char *const our_headers[] = { "content-length", "transfer-encoding", "connection",
                                           "date", NULL };

const char *net_request_method(const struct net_request *req)
{
    return http_parse_method(req->conn->parse);
}

const char *net_request_target(const struct net_request *req)
{
    return http_parse_target(req->conn->parse);
}

const char *net_request_header(const struct net_request *req, const char *name)
{
    return http_parse_header(req->conn->parse, name);
}

bool net_request_header_at(const struct net_request *req, uint32_t index, struct net_header *ret)
{
    return http_parse_header_at(req->conn->parse, index, ret);
}

int64_t net_request_length(const struct net_request *req)
{
    return http_parse_length(req->conn->parse);
}

uint64_t net_request_connection(const struct net_request *req)
{
    return req->conn->c->id;
}

void *net_request_link(const struct net_request *req)
{
    return req->conn->c->link;
}

const char *net_request_server_name(const struct net_request *req)
{
    const struct conn *c = req->conn->c;
    return c->transport == &transport_tls ? tls_link_name(c->transport_data) : NULL;
}

void net_request_hold(struct net_request *req, const char *holder)
{
    snprintf(req->conn->c->holder, NET_HOLDER, "%s", holder);
}

bool net_request_is_websocket(const struct net_request *req)
{
    return req->is_websocket;
}

bool net_request_stays(const struct net_request *req)
{
    return req->keeps_alive;
}

const struct net_peer *net_request_peer(const struct net_request *req)
{
    return &req->conn->peer;
}

void net_request_handle(struct net_request *req, const struct net_request_events *events,
                        void *data)
{
    req->is_handled = true;
    req->events = *events;
    req->data = data;
    req->owes_end = req->body_done && events->body_end && net_request_length(req) != 0;
    if (req->owes_end)
        conn_kick(req->conn->c);
}

void net_request_grant(struct net_request *req, uint64_t bytes)
{
    if (__builtin_add_overflow(req->credit, bytes, &req->credit))
        req->credit = UINT64_MAX;
    if (req->expects_continue && req->answer == ANSWER_NONE && bytes > 0) {
        static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
        req->expects_continue = false;
        conn_send_copy(req->conn->c, text, sizeof(text) - 1);
    }
    conn_kick(req->conn->c);
}

static bool send_buf(struct conn *c, struct nt_buf *b)
{
    if (!nt_buf_ok(b)) {
        c->error = ENOMEM;
        conn_kick(c);
        return false;
    }
    return conn_send_copy(c, b->data, b->size);
}

static void add_status(struct nt_buf *b, uint32_t status)
{
    nt_buf_add(b, "HTTP/1.1 ");
    nt_buf_add_number(b, status);
    nt_buf_add_char(b, ' ');
    nt_buf_add(b, http_reason(status));
    nt_buf_add(b, "\r\n");
    http_add_date(b);
}

static bool can_keep_alive(const struct net_request *req)
{
    const struct peer_conn *p = req->conn;
    if (!http_parse_keeps_alive(p->parse) || p->server->is_stopped)
        return false;
    if (req->body_done)
        return true;
    return !req->expects_continue && req->body_left > 0 && req->body_left <= DRAIN_MAX;
}

/* The head of an answer; length -1: unknown. */
static bool send_head(struct net_request *req, uint32_t status, const struct net_header *headers,
                      uint32_t count, int64_t length, bool has_type)
{
    struct peer_conn *p = req->conn;
    if (req->answer != ANSWER_NONE)
        return false;
    bool is_head = strcmp(http_parse_method(p->parse), "HEAD") == 0;
    bool is_empty = status < 200 || status == 204 || status == 304;
    uint32_t minor = http_parse_minor(p->parse);
    req->no_body = is_head || is_empty;
    req->is_chunked = length < 0 && minor == 1 && !req->no_body;
    req->left = req->no_body ? 0 : length;
    req->keeps_alive = can_keep_alive(req) && (length >= 0 || req->is_chunked || req->no_body);

    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(HTTP_TEXT_MAX);
    add_status(&b, status);
    if (length >= 0 && !is_empty)
        http_add_length(&b, length);
    else if (length < 0 && !is_empty && minor == 1)
        nt_buf_add(&b, "Transfer-Encoding: chunked\r\n");
    if (!req->keeps_alive)
        nt_buf_add(&b, "Connection: close\r\n");
    else if (minor == 0)
        nt_buf_add(&b, "Connection: keep-alive\r\n");
    http_add_headers(&b, headers, count, our_headers);
    if (has_type && !http_headers_have(headers, count, "content-type"))
        nt_buf_add(&b, "Content-Type: application/octet-stream\r\n");
    nt_buf_add(&b, "\r\n");
    req->answer = ANSWER_BODY;
    return send_buf(p->c, &b);
}

static void end_answer(struct net_request *req)
{
    req->answer = ANSWER_ENDED;
    conn_kick(req->conn->c); /* to finish also when nothing waits to be sent any more */
}

void net_respond(struct net_request *req, uint32_t status, const struct net_header *headers,
                 uint32_t count, struct nt_bytes body)
{
    if (!send_head(req, status, headers, count, (int64_t)body.size, body.size > 0))
        return;
    if (!req->no_body)
        conn_send_copy(req->conn->c, body.data, body.size);
    end_answer(req);
}

void net_respond_head(struct net_request *req, uint32_t status, const struct net_header *headers,
                      uint32_t count, int64_t length)
{
    send_head(req, status, headers, count, length, false);
}

static uint64_t credit_left(struct net_request *req)
{
    uint64_t credit =
        conn_credit(req->conn->c, req->conn->server->options.limits.write_queue_bytes);
    req->wants_writable = req->wants_writable || credit == 0;
    return credit;
}

/* How much of a piece belongs to the answer. */
static size_t admit(struct net_request *req, size_t size)
{
    if (req->answer != ANSWER_BODY || req->no_body || size == 0)
        return 0;
    if (req->left < 0)
        return size;
    /* Never more than what was announced: the rest would be read as the next answer. */
    size_t n = (uint64_t)req->left < size ? (size_t)req->left : size;
    req->left -= (int64_t)n;
    return n;
}

static void send_chunk_head(struct net_request *req, size_t size)
{
    if (!req->is_chunked)
        return;
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(32);
    http_add_chunk_head(&b, size);
    send_buf(req->conn->c, &b);
}

uint64_t net_respond_write(struct net_request *req, struct nt_bytes bytes)
{
    size_t n = admit(req, bytes.size);
    if (n > 0) {
        send_chunk_head(req, n);
        conn_send_copy(req->conn->c, bytes.data, n);
        if (req->is_chunked)
            conn_send_copy(req->conn->c, "\r\n", 2);
    }
    return credit_left(req);
}

uint64_t net_respond_write_borrowed(struct net_request *req, struct nt_bytes bytes,
                                    void (*sent)(void *data), void *data)
{
    struct conn *c = req->conn->c;
    size_t n = admit(req, bytes.size);
    if (n == 0) {
        conn_send_nothing(c, sent, data);
        return credit_left(req);
    }
    send_chunk_head(req, n);
    conn_send_borrowed(c, bytes.data, n, sent, data);
    if (req->is_chunked)
        conn_send_copy(c, "\r\n", 2);
    return credit_left(req);
}

void net_respond_end(struct net_request *req)
{
    if (req->answer != ANSWER_BODY)
        return;
    if (req->left > 0) {
        net_respond_abort(req); /* less than what was announced */
        return;
    }
    if (req->is_chunked)
        conn_send_copy(req->conn->c, "0\r\n\r\n", 5);
    end_answer(req);
}

void net_respond_abort(struct net_request *req)
{
    req->wants_abort = true;
    conn_kick(req->conn->c);
}

void net_upgrade(struct net_request *req, const char *protocol, const struct net_header *header,
                 void (*taken)(void *data, int fd), void *data)
{
    struct conn *c = req->conn->c;
    if (req->answer != ANSWER_NONE)
        return;
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(HTTP_TEXT_MAX);
    add_status(&b, protocol ? 101 : 200);
    if (protocol) {
        nt_buf_add(&b, "Connection: Upgrade\r\n");
        http_add_header(&b, "Upgrade", protocol);
    }
    if (header)
        http_add_header(&b, header->name, header->value);
    nt_buf_add(&b, "\r\n");
    req->is_upgrade = true;
    req->taken = taken;
    req->taken_data = data;
    c->hold = true; /* what comes from now on is for the new owner of the descriptor */
    send_buf(c, &b);
    end_answer(req);
}

struct net_ws *net_ws_accept(struct net_request *req, const struct net_ws_events *events,
                             void *data)
{
    return net_ws_accept_as(req, NULL, events, data);
}

struct net_ws *net_ws_accept_as(struct net_request *req, const char *protocol,
                                const struct net_ws_events *events, void *data)
{
    struct peer_conn *p = req->conn;
    char accept[32];
    if (req->answer != ANSWER_NONE || !req->is_websocket
        || !ws_key_accept(http_parse_header(p->parse, "sec-websocket-key"), accept))
        return NULL;
    struct net_ws *ws = ws_new(p->c, false, &p->server->options.limits, events, data);
    if (!ws)
        return NULL;
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(HTTP_TEXT_MAX);
    add_status(&b, 101);
    nt_buf_add(&b, "Upgrade: websocket\r\nConnection: Upgrade\r\n");
    http_add_header(&b, "Sec-WebSocket-Accept", accept);
    if (protocol)
        http_add_header(&b, "Sec-WebSocket-Protocol", protocol);
    nt_buf_add(&b, "\r\n");
    req->answer = ANSWER_ENDED;
    req->ws = ws;
    send_buf(p->c, &b);
    conn_kick(p->c);
    return ws;
}

void answer_bad(struct peer_conn *p, uint32_t status)
{
    const char *why = status == 408   ? "the request took too long"
                      : status == 431 ? "the request head is too large"
                      : status == 417 ? "the expectation is not supported"
                      : status == 505 ? "only HTTP/1.1 and HTTP/1.0"
                                      : "not a proper HTTP request";
    /* The envelope of every error of the API; there is no id, as the request could not be read. */
    nt_auto(nt_buf_done) struct nt_buf body = NT_BUF(512);
    nt_buf_addf(&body, "{\"error\":\"%s\",\"code\":\"%s\",\"request_id\":\"\",\"retryable\":%s}",
                why, status == 408 ? "timeout" : "invalid_request",
                status == 408 ? "true" : "false");
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(HTTP_TEXT_MAX);
    add_status(&b, status);
    nt_buf_addf(
        &b, "Content-Length: %zu\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n",
        body.size);
    nt_buf_add(&b, nt_buf_text(&body));
    conn_due(p->c, DUE_HEAD, -1);
    conn_due(p->c, DUE_IDLE, -1);
    p->is_closing = true;
    send_buf(p->c, &b);
    conn_kick(p->c);
}
