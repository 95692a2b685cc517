/* SPDX-License-Identifier: Apache-2.0 */
/* client.c - one connection to a server: requests one after the other, answers by credit,
 * upgrades. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/net/client_private.h"
#include "core/net/http_parse.h"
#include "core/net/http_text.h"
#include "core/net/pool.h"
#include "core/net/ws.h"
#include "core/net/ws_parse.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

enum { CONNECT_MS = 10 * 1000 };

struct net_client {
    struct conn *c;
    struct connect_job *job; /* while it connects */
    struct http_parse *parse;
    struct net_limits limits;
    struct net_client_events events;
    void *data;
    char *host; /* of the Host header */

    bool is_connected, wants_close, is_over; /* over: the connection ends after its last answer */
    bool has_request;
    uint64_t sent_mark; /* the stream's position of the current request */
    int64_t out_left;   /* of its body; -1: chunked */
    bool out_ended, wants_writable;
    uint64_t credit;
    struct net_ws *ws; /* asked for */
    char accept[32];
    bool is_upgrade, is_taking, is_taken;
    struct nt_bytes early;
};

static void destroy(struct net_client *client)
{
    http_parse_free(client->parse);
    free(client->host);
    free(client);
}

static void finish(struct net_client *client, const struct nt_error *reason)
{
    struct conn *c = client->c;
    struct nt_error told = *reason;
    told.request_sent = net_client_was_sent(client);
    connect_cancel(client->job);
    conn_drop_queue(c);
    if (client->events.closed)
        client->events.closed(client->data, client, &told);
    ws_discard(client->ws);
    destroy(client);
    conn_close(c);
}

static void finish_with(struct net_client *client, uint32_t code, const char *message,
                        const char *upstream)
{
    struct nt_error reason = NT_ERROR_INIT;
    nt_fail(&reason, code, "%s", message);
    nt_copy_text(reason.upstream, sizeof(reason.upstream), upstream);
    finish(client, &reason);
}

/* True: the client is gone (or the connection another's). */
static bool take_switch(struct net_client *client)
{
    struct conn *c = client->c;
    if (client->ws) {
        const char *accept = http_parse_header(client->parse, "sec-websocket-accept");
        if (!accept || strcmp(accept, client->accept) != 0
            || !http_list_has(http_parse_header(client->parse, "upgrade"), "websocket")
            || http_parse_header(client->parse, "sec-websocket-extensions")) {
            finish_with(client, NT_E_RESPONSE, "the server did not accept the WebSocket properly",
                        "");
            return true;
        }
        if (client->events.head)
            client->events.head(client->data, client, 101);
        struct net_ws *ws = client->ws;
        bool close = client->wants_close;
        destroy(client);
        ws_begin(ws);
        if (close)
            net_ws_close(ws, 1000, "");
        return true;
    }
    if (!client->is_upgrade) {
        finish_with(client, NT_E_RESPONSE, "the server switched to another protocol unasked", "");
        return true;
    }
    client->is_taking = true;
    client->early = (struct nt_bytes){ c->in + c->begin, conn_waiting(c) };
    if (client->events.head)
        client->events.head(client->data, client, 101);
    client->is_taking = false;
    if (client->is_taken) {
        destroy(client);
        conn_close(c);
    } else {
        finish_with(client, NT_E_CANCELLED, "the upgraded connection was not taken", "");
    }
    return true;
}

/* The answer is complete. */
static void take_end(struct net_client *client)
{
    /* What came behind it was not asked for, and must not become the next answer. */
    bool reusable = http_parse_keeps_alive(client->parse) && client->out_ended && !client->c->eof
                    && conn_waiting(client->c) == 0;
    client->has_request = false;
    client->is_over = !reusable;
    if (client->events.answered)
        client->events.answered(client->data, client, reusable);
}

/* True: look again; false also when the client is gone. */
static bool take_answer(struct net_client *client)
{
    static const uint8_t none[1];
    struct conn *c = client->c;
    struct http_step s;
    http_parse_step(client->parse, c->in ? c->in + c->begin : none, conn_waiting(c), client->credit,
                    &s);
    if (s.event == GOT_BODY) {
        client->credit -= s.body.size;
        if (client->events.body)
            client->events.body(client->data, client, s.body);
        conn_consume(c, s.used);
        return true;
    }
    conn_consume(c, s.used);
    switch (s.event) {
    case GOT_HEAD: {
        uint32_t status = http_parse_status(client->parse);
        if (status == 101)
            return !take_switch(client);
        if (status < 200) {
            http_parse_reset(client->parse, false);
            return true;
        }
        if (client->events.head)
            client->events.head(client->data, client, status);
        return true;
    }
    case GOT_END:
        take_end(client);
        return true;
    case GOT_BAD: {
        struct nt_error reason = NT_ERROR_INIT;
        nt_fail(&reason, NT_E_RESPONSE, "the server's answer is not proper HTTP: %s", s.why);
        finish(client, &reason);
        return false;
    }
    default:
        break;
    }
    if (!c->eof || conn_waiting(c) > 0)
        return false;
    if (http_parse_eof(client->parse)) {
        take_end(client);
        return true;
    }
    finish_with(client, NT_E_CLOSED,
                http_parse_has_begun(client->parse)
                    ? "the server closed the connection in the middle of its answer"
                    : "the server closed the connection before it answered",
                "EOF");
    return false;
}

static void on_input(void *owner)
{
    struct net_client *client = owner;
    struct conn *c = client->c;
    bool again = true;
    while (again) {
        if (client->wants_close) {
            finish_with(client, NT_E_CANCELLED, "the connection was closed by this side", "");
            return;
        }
        if (!client->is_connected)
            return;
        if (client->has_request) {
            again = take_answer(client);
        } else if (client->is_over || c->eof || conn_waiting(c) > 0) {
            finish_with(client, NT_E_CLOSED, "the server closed the connection", "EOF");
            return;
        } else {
            return;
        }
    }
}

static void on_flushed(void *owner)
{
    struct net_client *client = owner;
    uint64_t credit = conn_credit(client->c, client->limits.write_queue_bytes);
    if (client->wants_writable && credit >= client->limits.write_queue_bytes / 2) {
        client->wants_writable = false;
        if (client->events.writable)
            client->events.writable(client->data, client, credit);
    }
}

static void on_broken(void *owner, int sys)
{
    struct net_client *client = owner;
    struct nt_error reason = NT_ERROR_INIT;
    char name[32];
    nt_fail_sys(&reason, sys, "the connection to the server was lost");
    reason.code = sys == ETIMEDOUT ? NT_E_TIMEOUT : sys == ENOMEM ? NT_E_MEMORY : NT_E_CLOSED;
    reason.retryable = reason.code != NT_E_MEMORY;
    nt_copy_text(reason.upstream, sizeof(reason.upstream), nt_errno_name(sys, name, sizeof(name)));
    finish(client, &reason);
}

static void on_due(void *owner, enum conn_due which)
{
}

static const struct conn_events client_conn_events = {
    .input = on_input,
    .flushed = on_flushed,
    .broken = on_broken,
    .due = on_due,
};

static void on_connected(void *owner, int fd, const struct transport_ops *transport,
                         void *transport_data)
{
    struct net_client *client = owner;
    struct nt_error reason = NT_ERROR_INIT;
    client->job = NULL;
    if (conn_attach(client->c, fd, transport, transport_data, &reason) < 0) {
        transport->close(transport_data, fd);
        reason.code = NT_E_CONNECT;
        finish(client, &reason);
        return;
    }
    client->is_connected = true;
    if (client->events.connected && !client->wants_close)
        client->events.connected(client->data, client);
}

static void on_connect_failed(void *owner, const struct nt_error *reason)
{
    struct net_client *client = owner;
    client->job = NULL;
    finish(client, reason);
}

static const struct connect_events connect_events = { .done = on_connected,
                                                      .failed = on_connect_failed };

static char *make_host(const struct net_address *address)
{
    struct nt_buf b = NT_BUF(1024);
    bool is_default = address->port == (address->kind == NET_HTTPS ? 443 : 80);
    bool is_six = strchr(address->host, ':') != NULL;
    if (address->kind == NET_UNIX)
        nt_buf_add(&b, "localhost");
    else if (is_default)
        nt_buf_addf(&b, is_six ? "[%s]" : "%s", address->host);
    else
        nt_buf_addf(&b, is_six ? "[%s]:%u" : "%s:%u", address->host, (unsigned)address->port);
    return nt_buf_take(&b);
}

int net_client_new(uv_loop_t *uv, const struct net_address *address,
                   const struct net_limits *limits, int64_t connect_ms,
                   const struct net_client_events *events, void *data, struct net_client **ret,
                   struct nt_error *reterr)
{
    if (address->kind < NET_UNIX || address->kind > NET_HTTPS || !address->host
        || !address->host[0])
        return nt_fail(reterr, NT_E_USAGE, "not an address to connect to");
    struct net_client *client = calloc(1, sizeof(*client));
    if (!client)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory for a connection");
    if (limits)
        client->limits = *limits;
    net_limits_fill(&client->limits);
    client->events = *events;
    client->data = data;
    client->host = make_host(address);
    client->parse = http_parse_new(true, &client->limits);
    if (!client->host || !client->parse) {
        destroy(client);
        return nt_fail(reterr, NT_E_MEMORY, "out of memory for a connection");
    }
    client->c = conn_new(uv, &client_conn_events, client, reterr);
    if (!client->c) {
        destroy(client);
        return -1;
    }
    client->c->stall_ms = client->limits.stall_ms;
    client->job = connect_start(uv, address, connect_ms > 0 ? connect_ms : CONNECT_MS,
                                &connect_events, client, reterr);
    if (!client->job) {
        conn_close(client->c);
        destroy(client);
        return -1;
    }
    *ret = client;
    return 0;
}

void client_events(struct net_client *client, const struct net_client_events *events, void *data)
{
    client->events = *events;
    client->data = data;
}

static bool is_line_part(const char *text)
{
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c <= 0x20 || (unsigned char)*c >= 0x7f)
            return false;
    return text[0] != '\0';
}

static int send_request(struct net_client *client, const struct net_client_request *request,
                        const char *upgrade, const char *key, struct nt_error *reterr)
{
    static const char *const ours[] = { "host", "content-length", "transfer-encoding", "connection",
                                        NULL };
    static const char *const ours_upgrade[] = {
        "host",    "content-length",    "transfer-encoding",     "connection",
        "upgrade", "sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions",
        NULL
    };
    if (client->has_request || client->is_over || client->wants_close)
        return nt_fail(reterr, NT_E_INTERNAL, "the connection is not ready for another request");
    if (!is_line_part(request->method) || !is_line_part(request->target))
        return nt_fail(reterr, NT_E_USAGE,
                       "the request's method or target has a character that is not allowed");
    if (request->body.size > 0
        && (request->length < 0 || (uint64_t)request->length != request->body.size))
        return nt_fail(reterr, NT_E_INTERNAL, "the request's body and length differ");

    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(HTTP_TEXT_MAX);
    const char *host = client->host;
    for (uint32_t i = 0; i < request->count; i++)
        if (strcasecmp(request->headers[i].name, "host") == 0)
            host = request->headers[i].value; /* a proxy speaks for another */
    nt_buf_add(&b, request->method);
    nt_buf_add_char(&b, ' ');
    nt_buf_add(&b, request->target);
    nt_buf_add(&b, " HTTP/1.1\r\n");
    http_add_header(&b, "Host", host);
    if (upgrade) {
        nt_buf_add(&b, "Connection: Upgrade\r\n");
        http_add_header(&b, "Upgrade", upgrade);
    }
    if (key) {
        nt_buf_add(&b, "Sec-WebSocket-Version: 13\r\n");
        http_add_header(&b, "Sec-WebSocket-Key", key);
    }
    bool wants_length = strcmp(request->method, "POST") == 0 || strcmp(request->method, "PUT") == 0
                        || strcmp(request->method, "PATCH") == 0;
    if (request->length < 0)
        nt_buf_add(&b, "Transfer-Encoding: chunked\r\n");
    else if (request->length > 0 || wants_length)
        http_add_length(&b, request->length);
    http_add_headers(&b, request->headers, request->count, upgrade ? ours_upgrade : ours);
    nt_buf_add(&b, "\r\n");
    if (!nt_buf_ok(&b))
        return nt_fail(reterr, NT_E_LIMIT, "the request's head is too large");

    client->sent_mark = client->c->sent_total + client->c->out_bytes;
    if (!conn_send_copy(client->c, b.data, b.size))
        return nt_fail(reterr, NT_E_MEMORY, "out of memory for a request");
    client->has_request = true;
    client->credit = 0;
    client->out_left = request->length < 0 ? -1 : request->length;
    client->out_ended = request->length == 0;
    http_parse_reset(client->parse, strcmp(request->method, "HEAD") == 0);
    if (request->body.size > 0)
        net_client_write(client, request->body);
    return 0;
}

int net_client_request(struct net_client *client, const struct net_client_request *request,
                       struct nt_error *reterr)
{
    return send_request(client, request, NULL, NULL, reterr);
}

uint64_t net_client_write(struct net_client *client, struct nt_bytes bytes)
{
    struct conn *c = client->c;
    if (client->has_request && !client->out_ended && bytes.size > 0) {
        size_t n = bytes.size;
        if (client->out_left >= 0) {
            n = (uint64_t)client->out_left < n ? (size_t)client->out_left : n;
            client->out_left -= (int64_t)n;
            client->out_ended = client->out_left == 0;
            conn_send_copy(c, bytes.data, n);
        } else {
            nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(32);
            http_add_chunk_head(&b, n);
            conn_send_copy(c, b.data, b.size);
            conn_send_copy(c, bytes.data, n);
            conn_send_copy(c, "\r\n", 2);
        }
    }
    uint64_t credit = conn_credit(c, client->limits.write_queue_bytes);
    client->wants_writable = client->wants_writable || credit == 0;
    return credit;
}

void net_client_write_end(struct net_client *client)
{
    if (!client->has_request || client->out_ended)
        return;
    if (client->out_left >= 0) {
        /* less than what was announced: the request cannot be completed */
        net_client_close(client);
        return;
    }
    conn_send_copy(client->c, "0\r\n\r\n", 5);
    client->out_ended = true;
}

void net_client_grant(struct net_client *client, uint64_t bytes)
{
    if (__builtin_add_overflow(client->credit, bytes, &client->credit))
        client->credit = UINT64_MAX;
    if (client->c->stage != 1)
        conn_kick(client->c);
}

const char *net_client_header(const struct net_client *client, const char *name)
{
    return http_parse_header(client->parse, name);
}

bool net_client_header_at(const struct net_client *client, uint32_t index, struct net_header *ret)
{
    return http_parse_header_at(client->parse, index, ret);
}

bool net_client_was_sent(const struct net_client *client)
{
    return client->has_request && client->c->sent_total > client->sent_mark;
}

int net_client_ws(struct net_client *client, const struct net_client_request *request,
                  const struct net_ws_events *events, void *data, struct net_ws **ret,
                  struct nt_error *reterr)
{
    char key[32];
    if (client->ws)
        return nt_fail(reterr, NT_E_INTERNAL, "the connection was asked for a WebSocket before");
    if (!ws_key_new(key) || !ws_key_accept(key, client->accept))
        return nt_fail(reterr, NT_E_SYSTEM, "cannot make a WebSocket key: is libnettle installed?");
    struct net_ws *ws = ws_new(client->c, true, &client->limits, events, data);
    if (!ws)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory for a WebSocket");
    if (send_request(client, request, "websocket", key, reterr) < 0) {
        ws_discard(ws);
        return -1;
    }
    client->ws = ws;
    *ret = ws;
    return 0;
}

int net_client_upgrade(struct net_client *client, const struct net_client_request *request,
                       const char *protocol, struct nt_error *reterr)
{
    if (send_request(client, request, protocol, NULL, reterr) < 0)
        return -1;
    client->is_upgrade = true;
    return 0;
}

int net_client_take(struct net_client *client, struct nt_bytes *ret_early)
{
    if (!client->is_taking || client->is_taken || client->c->transport != &transport_socket)
        return -1;
    client->is_taken = true;
    *ret_early = client->early;
    return conn_detach(client->c);
}

void net_client_close(struct net_client *client)
{
    client->wants_close = true;
    if (!client->is_taking)
        conn_kick(client->c);
}
