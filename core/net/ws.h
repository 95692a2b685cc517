/* SPDX-License-Identifier: Apache-2.0 */
/* ws.h - how server and client hand a connection to a WebSocket. Private to core/net. */
#ifndef NT_NET_WS_H
#define NT_NET_WS_H

#include "core/net/conn.h"

/* Sends go to c at once; it gets c's events from ws_begin on. Server side when !is_client. NULL:
 * out of memory. */
struct net_ws *ws_new(struct conn *c, bool is_client, const struct net_limits *limits,
                      const struct net_ws_events *events, void *data);
/* The handshake is done: the connection belongs to ws now. */
void ws_begin(struct net_ws *ws);
/* The handshake failed: frees it without a callback. */
void ws_discard(struct net_ws *ws);

#endif
