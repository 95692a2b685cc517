/* SPDX-License-Identifier: Apache-2.0 */
/* pool.h - what forward.c asks of connections that stay open. Private to core/net. */
#ifndef NT_NET_POOL_H
#define NT_NET_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/net/net.h"

/* Keeps a client that has answered and may be used again; false: it stays the caller's. */
bool pool_put(struct net_pool *pool, struct net_client *client, uint64_t peer, const char *key);
/* One to the same server for the same peer, whose events are to be set next; NULL: none. */
struct net_client *pool_take(struct net_pool *pool, uint64_t peer, const char *key);

/* The rest of the key of one whose key begins with PREFIX; NULL: none. */
const char *pool_find(const struct net_pool *pool, uint64_t peer, const char *prefix);

/* client.c: others hear of it from now on. */
void client_events(struct net_client *client, const struct net_client_events *events, void *data);

#endif
