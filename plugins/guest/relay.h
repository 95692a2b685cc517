/* SPDX-License-Identifier: Apache-2.0 */
/* relay.h - connections from outside to a port inside, and the bytes between them. */
#ifndef GUEST_RELAY_H
#define GUEST_RELAY_H

#include "plugins/guest/state.h"

/* Connections at a time: of one published port (or of all CONNECT), and in all. Each takes two
 * descriptors, and four more while bytes wait. */
#define RELAYS_OF_ONE 1024u
#define RELAYS_MAX 2048u

extern unsigned relay_count;

/* Connects an accepted TCP socket (taken) to a port inside. owner names the published port: it may
 * be ended by that. No room, or nothing listens inside: the peer sees a reset. */
void relay_accepted(int fd, uint16_t port, const void *owner);
/* NT_G_CONNECT: answers OK, from where on the stream carries bytes; or the error. */
void relay_connect(struct conn *c, const struct request *r, size_t more_size);
/* Resets all connections of that owner. */
void relay_end_of(const void *owner);

#endif
