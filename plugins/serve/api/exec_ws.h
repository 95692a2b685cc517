/* SPDX-License-Identifier: Apache-2.0 */
/* exec_ws.h - what the two forms of exec over a WebSocket share (exec_ws.c narrow, exec_wire.c
 * wide). */
#ifndef NT_SERVE_API_EXEC_WS_H
#define NT_SERVE_API_EXEC_WS_H

#include "plugins/serve/server.h"

/* Takes the exchange's request for the wide form (README.md describes it). */
void exec_wire_accept(struct exchange *x, const struct workspace *ws);

/* One message of JSON text (taken). Returns the credit left. */
uint64_t exec_ws_send(struct net_ws *sock, json_t *message);

#endif
