/* SPDX-License-Identifier: Apache-2.0 */
/* client_private.h - what the files of the client side share. */
#ifndef NT_NET_CLIENT_PRIVATE_H
#define NT_NET_CLIENT_PRIVATE_H

#include <stdatomic.h>

#include "core/net/conn.h"

struct connect_events {
    /* The connection is there: attach it. transport_data belongs to the transport. */
    void (*done)(void *owner, int fd, const struct transport_ops *transport, void *transport_data);
    void (*failed)(void *owner, const struct nt_error *reason);
};

/* One attempt to connect (client_connect.c); every outcome comes once, later. */
struct connect_job;
struct connect_job *connect_start(uv_loop_t *uv, const struct net_address *address,
                                  int64_t timeout_ms, const struct connect_events *events,
                                  void *owner, struct nt_error *reterr);
/* Nobody is told any more. */
void connect_cancel(struct connect_job *job);

/* transport_curl.c: connects with TLS on a worker thread; the call may block for timeout_ms. */
struct curl_link;
/* Texts are borrowed until it is connected. */
struct curl_link *curl_link_new(const struct net_address *address, struct nt_error *reterr);
/* The descriptor or -1. Another thread may give it up. */
int curl_link_connect(struct curl_link *link, int64_t timeout_ms, const atomic_bool *given_up,
                      struct nt_error *reterr);
void curl_link_free(struct curl_link *link);
extern const struct transport_ops transport_curl; /* its data is the curl_link */

#endif
