/* SPDX-License-Identifier: Apache-2.0 */
/* port_json.h - what the handlers of ports share. */
#ifndef NT_SERVE_API_PORT_JSON_H
#define NT_SERVE_API_PORT_JSON_H

#include "plugins/serve/server.h"

/* The path segment of that index as a port; 0: the exchange was answered 400. */
uint16_t port_of_path(struct exchange *x, unsigned index);
/* False: the exchange was answered 409. */
bool port_is_running(struct exchange *x, const struct workspace *ws);
/* Begins a conversation with a port inside (NT_G_CONNECT). */
int port_dial(struct server *server, const struct workspace *ws, uint16_t port,
              const struct guest_events *events, void *data, struct guest_op **ret,
              struct nt_error *reterr);

#endif
