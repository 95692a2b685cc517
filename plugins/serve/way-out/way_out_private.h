/* SPDX-License-Identifier: Apache-2.0 */
/* way_out_private.h - what the files of the way out share: workspaces, rules and journeys. */
#ifndef NT_SERVE_WAY_OUT_PRIVATE_H
#define NT_SERVE_WAY_OUT_PRIVATE_H

#include "core/net/net.h"
#include "plugins/serve/way-out/way_out.h"

struct trip;

/* A workspace that has connections. */
struct space {
    struct way_out *out;
    struct space *next;
    char *id;
    struct net_server *server;
    struct trip *trips;
    uint32_t tunnels;
    bool is_closing;
};

struct way_out_rule {
    struct way_out *out;
    struct way_out_rule *next;
    char *workspace_id;
    char *host;
    uint16_t port;
    bool private_too;
};

struct way_out {
    uv_loop_t *uv;
    struct way_out_options options;
    struct space *spaces;
    struct way_out_rule *rules;
    bool is_freed;
    void (*freed)(void *data);
    void *data;
};

/* trip.c: one request of a workspace, answered or carried. */
void trip_begin(struct space *space, struct net_request *req);
void trip_cancel(struct trip *trip);
struct trip *trip_next(struct trip *trip);

/* way_out.c */
enum verdict { DENIED, PUBLIC_ONLY, ANYWHERE };
enum verdict way_out_ask(struct space *space, const char *host, uint16_t port);
void space_settle(struct space *space); /* a trip ended: the space may go */

#endif
