/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox_watch.c - WS /v1/sandboxes/{}/state: the state of a workspace, now and at each change,
 * until it is removed. For those who would else ask again and again.
 *
 * A message says the whole state, so that a client loses nothing by connecting anew. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/serve/api/routes.h"
#include "plugins/serve/api/sandbox.h"
#include "plugins/serve/api/sandbox_watch.h"
#include "plugins/serve/server.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define KEEPALIVE_MS 20000
#define CREDIT 4096u /* a client has nothing to say; what it says is dropped */

struct state_watch {
    struct state_watch *next;
    struct server *server;
    struct net_ws *sock;
    char id[44];
    enum workspace_status status; /* told last */
    bool is_wide;
};

static void tell(struct state_watch *w, const struct workspace *ws)
{
    json_t *message = sandbox_json(ws, w->is_wide, "id,status");
    json_object_set_new(message, "type", json_string("state"));
    nt_autofree char *text = json_dumps(message, JSON_COMPACT);
    json_decref(message);
    w->status = ws->status;
    if (!text)
        net_ws_close(w->sock, 1011, "out of memory");
    else if (net_ws_send(w->sock, (struct nt_bytes){ text, strlen(text) }, true) == 0)
        net_ws_close(w->sock, 1008, "nothing of what was sent is read");
    else if (ws->status == WORKSPACE_DESTROYED)
        net_ws_close(w->sock, 1000, "");
}

void sandbox_watch_note(struct server *server, const struct workspace *ws)
{
    for (struct state_watch *w = server->state_watches; w; w = w->next)
        if (strcmp(w->id, ws->id) == 0 && w->status != ws->status)
            tell(w, ws);
}

void sandbox_watch_end(struct server *server)
{
    for (struct state_watch *w = server->state_watches; w; w = w->next)
        net_ws_close(w->sock, 1001, "the server ends");
}

/* --- the client ---------------------------------------------------------------------------- */

static void on_message(void *data, struct net_ws *sock, struct nt_bytes bytes, bool is_text,
                       bool last)
{
    (void)data;
    (void)is_text;
    (void)last;
    net_ws_grant(sock, bytes.size);
}

static void on_closed(void *data, struct net_ws *sock, uint16_t code, const struct nt_error *reason)
{
    (void)sock;
    (void)code;
    (void)reason;
    struct state_watch *w = data;
    for (struct state_watch **at = &w->server->state_watches; *at; at = &(*at)->next)
        if (*at == w) {
            *at = w->next;
            break;
        }
    free(w);
}

static const struct net_ws_events ws_events = { .message = on_message, .closed = on_closed };

static void found(struct exchange *x, const struct workspace *ws, void *data)
{
    (void)data;
    struct server *server = exchange_server(x);
    struct net_request *req = exchange_request(x);
    if (server->stopping) {
        exchange_fail(x, 503, "unavailable", "the server ends");
        return;
    }
    struct state_watch *w = calloc(1, sizeof(*w));
    if (!w) {
        exchange_fail(x, 500, "internal_error", "out of memory");
        return;
    }
    *w = (struct state_watch){ .server = server, .is_wide = exchange_is_wide(x) };
    nt_copy_text(w->id, sizeof(w->id), ws->id);
    exchange_detach(x);
    w->sock = net_ws_accept(req, &ws_events, w);
    if (!w->sock) {
        free(w);
        return;
    }
    w->next = server->state_watches;
    server->state_watches = w;
    net_ws_keepalive(w->sock, KEEPALIVE_MS);
    net_ws_grant(w->sock, CREDIT);
    tell(w, ws);
}

static void get_state(struct server *server, struct exchange *x)
{
    (void)server;
    workspace_find(x, exchange_param(x, 0), found, NULL);
}

static const struct route rows[] = {
    { "GET", "/v1/sandboxes/{}/state", get_state, ROUTE_WEBSOCKET, 0 },
};
const struct routes sandbox_watch_routes = { rows, sizeof(rows) / sizeof(rows[0]) };
