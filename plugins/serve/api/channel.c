/* SPDX-License-Identifier: Apache-2.0 */
/* channel.c - from a request to a WebSocket conversation: who may, until when its first message
 * must have come, and that it is noticed when the peer vanishes. */
#include "channel.h"

#include "core/net/net.h"
#include "plugins/serve/http/exchange.h"

bool channel_can_begin(struct exchange *x, const struct workspace *ws)
{
    if (!exchange_request(x)) {
        exchange_send_empty(x, 204); /* it has left meanwhile */
        return false;
    }
    if (ws->status != WORKSPACE_RUNNING) {
        exchange_fail(x, 409, "sandbox_not_ready", "%s does not run", ws->id);
        return false;
    }
    return true;
}

bool channel_begin(struct exchange *x, const struct channel_start *start, struct net_ws **ret_sock,
                   struct nt_timer **ret_first)
{
    struct nt_loop *loop = exchange_server(x)->loop;
    struct net_request *req = exchange_request(x);
    exchange_detach(x);
    *ret_sock = net_ws_accept(req, start->events, start->data);
    if (!*ret_sock)
        return false;
    *ret_first = loop->ops->timer(loop, CHANNEL_FIRST_MS, 0, start->late, start->data);
    net_ws_keepalive(*ret_sock, CHANNEL_KEEPALIVE_MS);
    net_ws_grant(*ret_sock, start->window);
    return true;
}
