/* SPDX-License-Identifier: Apache-2.0 */
/* net_peer.h - a server of core/net on a loop, and a raw peer that speaks bytes to it. */
#ifndef NT_TESTS_NET_PEER_H
#define NT_TESTS_NET_PEER_H

#include "core/net/net.h"
#include "sdk/buf.h"

struct net_peer_test {
    uv_loop_t uv;
    struct net_server *server;
    int fd; /* the raw peer's end */
};

/* A server without a listener that serves one end of a socket pair; the other is t->fd,
 * non-blocking. */
void net_peer_start(struct net_peer_test *t, const struct net_server_options *options);
/* Sends raw bytes while the loop runs. */
void net_peer_send(struct net_peer_test *t, const char *bytes, size_t size);
/* Runs the loop and reads until the text is there (or the server has closed). Fails the test after
 * 10 s. */
void net_peer_read_until(struct net_peer_test *t, struct nt_buf *b, const char *text);
void net_peer_read_to_end(struct net_peer_test *t, struct nt_buf *b);
/* Ends the server; the loop must close without a handle left. */
void net_peer_stop(struct net_peer_test *t);
/* Runs the loop until the condition; fails the test after 10 s. */
void net_run_until(uv_loop_t *uv, const bool *condition);

#endif
