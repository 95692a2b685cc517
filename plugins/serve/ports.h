/* SPDX-License-Identifier: Apache-2.0 */
/* ports.h - published ports: listening sockets of this machine that are made here and given to the
 * guest, which accepts and so keeps them when the server is gone. The store knows which there shall
 * be. */
#ifndef NT_SERVE_PORTS_H
#define NT_SERVE_PORTS_H

#include "plugins/serve/server.h"

#define PORTS_MAX 64u /* of one workspace */

/* A port that shall be published. */
struct port_wish {
    uint16_t port;
    uint16_t host_port; /* 0: any free one */
    char address[48];
    int fd; /* the listening socket; -1: none */
};

/* Reads {"port","host_port"?,"address"?}. Only somebody at this machine may name another address
 * than loopback, or a port below 1024. NT_E_INVALID, NT_E_FORBIDDEN, NT_E_UNSUPPORTED (the engine
 * passes no descriptors). */
int port_parse(const struct server *server, const json_t *body, bool is_local,
               struct port_wish *ret, struct nt_error *reterr);
/* Makes the socket of a wish and fills host_port. NT_E_CONFLICT (port_taken): it is in use. A
 * server of root has a port below 1024 made by its monitor, and waits for it. */
int port_listen(struct server *server, struct port_wish *wish, struct nt_error *reterr);
void ports_close(struct port_wish *wishes, uint32_t count);

/* Gives the sockets of the wishes (taken) to the guest and writes their rows; done once, later (or
 * in the call when there are none). What a failure leaves published ends with the workspace: for a
 * create, or for one wish. wishes is borrowed until then. */
void ports_publish(struct server *server, const char *ws_id, const char *org_id,
                   struct port_wish *wishes, uint32_t count,
                   void (*done)(void *data, const struct nt_error *error), void *data);
/* Takes one away, in the guest when it runs, and its row. */
int port_withdraw(struct server *server, const struct workspace *ws, uint16_t host_port,
                  void (*done)(void *data, const struct nt_error *error), void *data,
                  struct nt_error *reterr);
/* Publishes again what the store has and the guest has not. A port that is taken by now becomes the
 * notice of its row. done (may be NULL) once, later or in the call. */
void ports_restore(struct server *server, const char *ws_id, void (*done)(void *data), void *data);
/* The same for all that run, at the start of a server. */
void ports_reconcile(struct server *server);
/* Frees what that holds; the store is closed. */
void ports_forget(struct server *server);

#endif
