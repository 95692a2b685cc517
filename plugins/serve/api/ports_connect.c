/* SPDX-License-Identifier: Apache-2.0 */
/* ports_connect.c - WS /v1/sandboxes/{}/ports/{}/connect: one connection to a port inside. Binary
 * messages are its bytes, the text message {"type":"end"} is the end of one direction (README.md).
 *
 * The port is dialled before the upgrade is answered: whatever is wrong is an ordinary error. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/serve/api/answer.h"
#include "plugins/serve/api/port_json.h"
#include "plugins/serve/api/routes.h"
#include "plugins/serve/server.h"
#include "sdk/error.h"

#define CREDIT (256u * 1024u)
#define PIECE (64u * 1024u)
#define KEEPALIVE_MS 20000
#define END "{\"type\":\"end\"}"

/* Lives until the socket is closed and the guest's operation has ended. */
struct bridge {
    struct exchange *x; /* NULL: answered */
    struct net_ws *sock;
    struct guest_op *op;
    uint64_t owed;      /* bytes of the client that wait for the guest */
    bool owes_consumed; /* bytes of the guest wait for the client */
    bool has_ended;     /* the client's direction */
};

static void bridge_check(struct bridge *b)
{
    if (!b->sock && !b->op)
        free(b);
}

int port_dial(struct server *server, const struct workspace *ws, uint16_t port,
              const struct guest_events *events, void *data, struct guest_op **ret,
              struct nt_error *reterr)
{
    uint8_t memory[64];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_CONNECT);
    nt_g_add_number(&w, NT_GT_PORT, port);
    return workspace_guest(server, ws, (struct nt_bytes){ memory, nt_g_done(&w) }, events, data,
                           ret, reterr);
}

/* --- the client ---------------------------------------------------------------------------- */

static void on_message(void *data, struct net_ws *sock, struct nt_bytes bytes, bool is_text,
                       bool last)
{
    struct bridge *b = data;
    if (!b->op)
        return;
    if (is_text) { /* END is the only one; it is short and comes whole */
        net_ws_grant(sock, bytes.size);
        if (last && bytes.size == strlen(END) && memcmp(bytes.data, END, bytes.size) == 0) {
            b->has_ended = true;
            guest_op_finish(b->op);
        }
        return;
    }
    if (b->has_ended) {
        net_ws_close(sock, 1008, "bytes after the end");
        guest_op_cancel(b->op);
        return;
    }
    b->owed += bytes.size;
    if (guest_op_send(b->op, 0, bytes)) {
        net_ws_grant(sock, b->owed);
        b->owed = 0;
    }
}

static void on_writable(void *data, struct net_ws *sock, uint64_t credit)
{
    (void)sock;
    (void)credit;
    struct bridge *b = data;
    if (b->owes_consumed && b->op) {
        b->owes_consumed = false;
        guest_op_consumed(b->op);
    }
}

static void on_closed(void *data, struct net_ws *sock, uint16_t code, const struct nt_error *reason)
{
    (void)sock;
    (void)code;
    (void)reason;
    struct bridge *b = data;
    b->sock = NULL;
    if (b->op)
        guest_op_cancel(b->op);
    bridge_check(b);
}

static const struct net_ws_events ws_events = { .message = on_message,
                                                .writable = on_writable,
                                                .closed = on_closed };

/* --- the guest ----------------------------------------------------------------------------- */

static void on_frame(void *data, const struct nt_g_frame *frame)
{
    struct bridge *b = data;
    struct net_request *req = b->x ? exchange_request(b->x) : NULL;
    if (frame->type != NT_G_OK || !req) {
        guest_op_cancel(b->op);
        return;
    }
    exchange_detach(b->x);
    b->x = NULL;
    b->sock = net_ws_accept(req, &ws_events, b);
    if (!b->sock) {
        guest_op_cancel(b->op);
        return;
    }
    net_ws_keepalive(b->sock, KEEPALIVE_MS);
    net_ws_grant(b->sock, CREDIT);
}

static void on_bytes(void *data, uint16_t type, struct nt_bytes bytes)
{
    (void)type;
    struct bridge *b = data;
    const char *at = bytes.data;
    uint64_t credit = 1;
    for (size_t left = bytes.size, n; left && b->sock; left -= n, at += n) {
        n = left < PIECE ? left : PIECE;
        credit = net_ws_send(b->sock, (struct nt_bytes){ at, n }, false);
    }
    b->owes_consumed = credit == 0;
    if (credit)
        guest_op_consumed(b->op);
}

static void on_half(void *data)
{
    struct bridge *b = data;
    if (b->sock)
        net_ws_send(b->sock, (struct nt_bytes){ END, strlen(END) }, true);
}

static void on_sent(void *data)
{
    struct bridge *b = data;
    if (b->sock && b->owed)
        net_ws_grant(b->sock, b->owed);
    b->owed = 0;
}

/* Before the upgrade: an ordinary answer. */
static void answer_failure(struct exchange *x, const struct nt_error *error)
{
    if (error && error->attempt && error->sys)
        exchange_fail(x, 409, "port_unreachable", "%s", error->message);
    else if (error)
        answer_guest_error(x, error, GUEST_FILE);
    else
        exchange_fail(x, 503, "sandbox_unavailable", "the workspace ended");
}

static void on_end(void *data, const struct nt_error *error)
{
    struct bridge *b = data;
    b->op = NULL;
    if (b->x)
        answer_failure(b->x, error);
    if (b->sock)
        net_ws_close(b->sock, error ? 1011 : 1000, error ? "the connection inside was lost" : "");
    bridge_check(b);
}

static const struct guest_events guest_events = {
    .frame = on_frame, .bytes = on_bytes, .half = on_half, .sent = on_sent, .end = on_end
};

static void on_lost(void *data)
{
    struct bridge *b = data;
    guest_op_cancel(b->op); /* on_end answers, to nobody */
}

static void found(struct exchange *x, const struct workspace *ws, void *data)
{
    (void)data;
    struct nt_error error = NT_ERROR_INIT;
    uint16_t port = port_of_path(x, 1);
    if (!port || !port_is_running(x, ws))
        return;
    struct bridge *b = calloc(1, sizeof(*b));
    if (!b) {
        exchange_fail(x, 500, "internal_error", "out of memory");
        return;
    }
    b->x = x;
    if (port_dial(exchange_server(x), ws, port, &guest_events, b, &b->op, &error) < 0) {
        answer_guest_error(x, &error, GUEST_FILE);
        free(b);
        return;
    }
    exchange_on_lost(x, on_lost, b);
}

static void get_connect(struct server *server, struct exchange *x)
{
    (void)server;
    workspace_find(x, exchange_param(x, 0), found, NULL);
}

static const struct route rows[] = {
    { "GET", "/v1/sandboxes/{}/ports/{}/connect", get_connect, ROUTE_WEBSOCKET, 0 },
};
const struct routes port_connect_routes = { rows, sizeof(rows) / sizeof(rows[0]) };
