/* SPDX-License-Identifier: Apache-2.0 */
/* fd.c - GET /v1/sandboxes/{}/fd: hands a local client's connection to the guest
 * (nanoterm/local.h). The server leaves the path: after it the client speaks guest.h with the
 * guest, for one exec. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nanoterm/local.h"
#include "plugins/serve/api/answer.h"
#include "plugins/serve/api/routes.h"
#include "plugins/serve/server.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

struct hand_over {
    struct server *server;
    struct workspace ws;
    int fd; /* another number for the client's connection */
};

static void hand_over_free(struct hand_over *h)
{
    nt_closep(&h->fd);
    free(h);
}

/* When the guest did not take it, the client sees the end of its connection before the first frame.
 * Closing is not enough: it may lie in the queue of a guest that hangs. */
static void on_end(void *data, const struct nt_error *error)
{
    struct hand_over *h = data;
    if (error)
        shutdown(h->fd, SHUT_RDWR);
    hand_over_free(h);
}

static const struct guest_events events = { .end = on_end };

static void on_taken(void *data, int fd)
{
    struct hand_over *h = data;
    struct nt_error error = NT_ERROR_INIT;
    struct guest_op *op;
    uint8_t memory[64];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_ADOPT);
    size_t size = nt_g_done(&w);
    h->fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (h->fd >= 0
        && workspace_guest(h->server, &h->ws, (struct nt_bytes){ memory, size }, &events, h, &op,
                           &error)
               == 0) {
        guest_op_attach_fd(op, fd);
        return;
    }
    nt_closep(&fd);
    hand_over_free(h);
}

static void found(struct exchange *x, const struct workspace *ws, void *data)
{
    struct server *server = exchange_server(x);
    struct net_request *req = exchange_request(x);
    const char *upgrade = req ? net_request_header(req, "Upgrade") : NULL;
    if (!req) {
        exchange_send_empty(x, 204); /* the peer has left meanwhile */
        return;
    }
    if (!exchange_principal(x)->is_local || !net_request_peer(req)->is_unix) {
        exchange_fail(x, 403, "forbidden", "only for clients on this machine");
        return;
    }
    if (!upgrade || strcasecmp(upgrade, NT_LOCAL_PROTOCOL)) {
        exchange_fail(x, 426, "invalid_request", "needs Upgrade: " NT_LOCAL_PROTOCOL);
        return;
    }
    if (ws->status != WORKSPACE_RUNNING) {
        exchange_fail(x, 409, "sandbox_not_ready", "%s does not run", ws->id);
        return;
    }
    if (!(server->engine_ops->caps & NT_ENGINE_PASS_FDS)) {
        exchange_fail(x, 501, "not_implemented", "this engine's guests take no descriptors");
        return;
    }
    const struct net_header build = { NT_BUILD_HEADER, NT_VERSION };
    struct hand_over *h = malloc(sizeof(*h));
    if (!h) {
        exchange_fail(x, 500, "internal_error", "out of memory");
        return;
    }
    *h = (struct hand_over){ server, workspace_without_texts(ws), -1 };
    exchange_detach(x);
    net_upgrade(req, NT_LOCAL_PROTOCOL, &build, on_taken, h);
}

static void handler(struct server *server, struct exchange *x)
{
    workspace_find(x, exchange_param(x, 0), found, NULL);
}

static const struct route rows[] = {
    { "GET", "/v1/sandboxes/{}/fd", handler, ROUTE_RAW, 0 },
};
const struct routes fd_routes = { rows, sizeof(rows) / sizeof(rows[0]) };
