/* SPDX-License-Identifier: Apache-2.0 */
/* bridge.c - a WebSocket of the program and one of the upstream: each message of one side goes to
 * the other, whole when it is short, else in parts: what is held is little, however long messages
 * are. A side is read only as fast as the other takes. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "plugins/sandbox-enforce/proxy/visit.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

enum {
    MESSAGE_MAX = VISIT_BODY_MAX,
    PART = 64 * 1024,
    CREDIT = PART,
    QUEUE_BYTES = PART,
    PROTOCOL_MAX = 256
};

/* Messages on their way from one side to the other. */
struct side {
    struct bridge *bridge;
    struct net_ws *ws;  /* NULL: closed or not there yet */
    struct nt_buf part; /* of a message */
    bool is_within;     /* others of the same message went before it */
    bool is_blocked;    /* the other side's queue is full: credit waits */
    uint64_t owed;
};

struct bridge {
    struct bridge_options options;
    struct net_request *req;   /* NULL when it is done */
    struct net_client *client; /* until it became the upstream's WebSocket */
    struct side inner, outer;
    bool is_accepted, is_failed, is_cancelled;
    uint32_t status; /* of an answer that is no WebSocket */
};

static void try_free(struct bridge *b)
{
    if (b->req || b->client || b->inner.ws || b->outer.ws)
        return;
    struct bridge_options o = b->options;
    nt_buf_done(&b->inner.part);
    nt_buf_done(&b->outer.part);
    free(b);
    o.done(o.data);
}

static struct side *other(struct side *s)
{
    return s == &s->bridge->inner ? &s->bridge->outer : &s->bridge->inner;
}

static void give_credit(struct side *from)
{
    if (from->ws && !from->is_blocked && from->owed)
        net_ws_grant(from->ws, from->owed);
    if (!from->is_blocked)
        from->owed = 0;
}

static void on_message(void *data, struct net_ws *ws, struct nt_bytes bytes, bool is_text,
                       bool last)
{
    struct side *from = data, *to = other(from);
    nt_buf_add_bytes(&from->part, bytes.data, bytes.size);
    from->owed += bytes.size;
    if (!nt_buf_ok(&from->part)) {
        net_ws_close(ws, 1011, "");
        return;
    }
    if (last || from->part.size >= PART) {
        struct nt_bytes part = { nt_buf_text(&from->part), from->part.size };
        from->is_blocked =
            to->ws && net_ws_send_part(to->ws, part, is_text, !from->is_within, last) == 0;
        from->is_within = !last;
        nt_buf_done(&from->part);
    }
    give_credit(from);
}

static void on_writable(void *data, struct net_ws *ws, uint64_t credit)
{
    struct side *from = other(data);
    from->is_blocked = false;
    give_credit(from);
}

static void on_closed(void *data, struct net_ws *ws, uint16_t code, const struct nt_error *reason)
{
    struct side *s = data, *o = other(s);
    s->ws = NULL;
    /* 1005 and 1006 say that there was none: they cannot be sent. */
    if (o->ws)
        net_ws_close(o->ws, code == 1005 ? 1000 : code == 1006 || code == 1015 ? 1001 : code, "");
    try_free(s->bridge);
}

static const struct net_ws_events ws_events = { .message = on_message,
                                                .writable = on_writable,
                                                .closed = on_closed };

/* --- the upstream -------------------------------------------------------------------------- */

static void fail(struct bridge *b, const struct nt_error *reason)
{
    if (!b->req || b->is_accepted || b->is_failed)
        return;
    b->is_failed = true;
    b->options.failed(b->options.data, b->req, b->status, reason);
}

static void on_head(void *data, struct net_client *client, uint32_t status)
{
    struct bridge *b = data;
    if (status != 101) {
        b->status = status;
        net_client_close(client);
        return;
    }
    /* From now on the connection is the WebSocket's. */
    b->client = NULL;
    char *protocol = NULL;
    const char *chosen = net_client_header(client, "sec-websocket-protocol");
    if (chosen && strlen(chosen) < PROTOCOL_MAX)
        protocol = strdup(chosen);
    if (b->req && !b->is_cancelled)
        b->inner.ws = net_ws_accept_as(b->req, protocol, &ws_events, &b->inner);
    free(protocol);
    b->is_accepted = b->inner.ws != NULL;
    if (!b->is_accepted) {
        net_ws_close(b->outer.ws, 1001, "");
        return;
    }
    net_ws_grant(b->inner.ws, CREDIT);
    net_ws_grant(b->outer.ws, CREDIT);
}

static void on_client_closed(void *data, struct net_client *client, const struct nt_error *reason)
{
    struct bridge *b = data;
    b->client = NULL;
    b->outer.ws = NULL; /* it never began */
    fail(b, reason);
    try_free(b);
}

static void on_done(void *data, struct net_request *req, const struct nt_error *reason)
{
    struct bridge *b = data;
    b->req = NULL;
    if (b->client)
        net_client_close(b->client);
    try_free(b);
}

static void nobody(void *data)
{
}

int bridge_new(uv_loop_t *uv, struct net_request *req, const struct bridge_options *options,
               struct bridge **ret, struct nt_error *reterr)
{
    static const struct net_client_events client_events = { .head = on_head,
                                                            .closed = on_client_closed };
    static const struct net_request_events request_events = { .done = on_done };
    static const struct net_limits limits = { .message_bytes = MESSAGE_MAX,
                                              .write_queue_bytes = QUEUE_BYTES };
    struct net_client_request request = { .method = "GET",
                                          .target = options->target,
                                          .headers = options->headers,
                                          .count = options->count };
    struct bridge *b = calloc(1, sizeof(*b));
    if (!b)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory for a WebSocket");
    b->options = *options;
    b->inner.bridge = b->outer.bridge = b;
    b->inner.part = b->outer.part = (struct nt_buf)NT_BUF(2 * PART);
    if (net_client_new(uv, &options->to, &limits, VISIT_CONNECT_MS, &client_events, b, &b->client,
                       reterr)
        < 0) {
        free(b);
        return -1;
    }
    if (net_client_ws(b->client, &request, &ws_events, &b->outer, &b->outer.ws, reterr) < 0) {
        b->options.done = nobody;
        net_client_close(b->client);
        return -1;
    }
    b->req = req;
    net_request_handle(req, &request_events, b);
    *ret = b;
    return 0;
}

void bridge_cancel(struct bridge *b)
{
    if (!b || b->is_cancelled)
        return;
    b->is_cancelled = true;
    if (b->client)
        net_client_close(b->client);
    else if (b->outer.ws)
        net_ws_close(b->outer.ws, 1001, "");
    if (b->inner.ws)
        net_ws_close(b->inner.ws, 1001, "");
    else if (b->req)
        net_respond_abort(b->req);
}
