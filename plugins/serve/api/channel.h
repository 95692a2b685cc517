/* SPDX-License-Identifier: Apache-2.0 */
/* channel.h - how every WebSocket conversation with a workspace begins. Loop's thread. */
#ifndef NT_SERVE_API_CHANNEL_H
#define NT_SERVE_API_CHANNEL_H

#include <stdbool.h>

#include "plugins/serve/server.h"

#define CHANNEL_FIRST_MS 30000 /* for the client's first message */
#define CHANNEL_KEEPALIVE_MS 30000
#define CHANNEL_TEXT_MAX (1024u * 1024) /* one message of text */

/* Whether x (of workspace_find) can become a conversation. false: x has been answered, because its
 * peer has left or the workspace does not run. */
bool channel_can_begin(struct exchange *x, const struct workspace *ws);

/* What a conversation needs to begin. */
struct channel_start {
    const struct net_ws_events *events;
    void (*late)(void *data); /* the first message did not come in time */
    void *data;               /* of events and late */
    uint64_t window;          /* bytes that the peer may send at first */
};

/* Takes x from the exchange: the connection is a WebSocket from now on. false: it could not be, and
 * nothing will be called. The timer is the caller's to end. */
bool channel_begin(struct exchange *x, const struct channel_start *start, struct net_ws **ret_sock,
                   struct nt_timer **ret_first);

#endif
