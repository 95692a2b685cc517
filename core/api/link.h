/* SPDX-License-Identifier: Apache-2.0 */
/* link.h - the connections of one command: made when needed, kept for the next request. */
#ifndef NT_CORE_LINK_H
#define NT_CORE_LINK_H

#include "core/api/conv.h"

struct link {
    struct link *next;
    struct api *api;
    struct net_client *client; /* NULL: gone */
    struct conv *conv;         /* who uses it; NULL: nobody */
    bool is_connected, is_taken, is_reused, is_idle, got_bytes;
    struct nt_error reason; /* why it was closed; code 0: it is not */
    uint32_t done;          /* connected or closed */
    char token[72];         /* local token that goes with it; "": none */
};

/* A connection that is ready for a request: a kept one (unless must_be_new), or a new one. Starts
 * the embedded server when that is the API and it does not run. */
int link_get(struct api *api, bool must_be_new, int64_t until_ms, struct link **ret,
             struct nt_error *reterr);
/* A new connection that is still being made, for a request at once; whoever uses it hears how it
 * ends. The embedded server is not started: it must run. */
int link_begin(struct api *api, struct link **ret, struct nt_error *reterr);
/* Nobody uses it any more: kept when the last answer was complete, else closed. */
void link_put(struct link *link, bool reusable);
/* The connection became another's (WebSocket, upgrade). */
void link_gone(struct link *link);
/* Closes the connections that are kept. */
void link_drop_idle(struct api *api);
/* Path in front of every target. */
const char *link_prefix(const struct api *api);

#endif
