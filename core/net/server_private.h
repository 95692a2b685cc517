/* SPDX-License-Identifier: Apache-2.0 */
/* server_private.h - what the files of the server side share: one connection and its current
 * request. */
#ifndef NT_NET_SERVER_PRIVATE_H
#define NT_NET_SERVER_PRIVATE_H

#include "core/net/conn.h"
#include "core/net/http_parse.h"

enum answer_state { ANSWER_NONE, ANSWER_BODY, ANSWER_ENDED };

/* One request and its answer. It is a part of its connection's object. */
struct net_request {
    struct peer_conn *conn;
    bool is_active;
    struct net_request_events events;
    void *data;
    uint64_t credit;
    bool is_handled, body_done, expects_continue, is_websocket;
    bool owes_end; /* the body has ended before those who hear of it now were there */
    enum answer_state answer;
    bool no_body, is_chunked, keeps_alive;
    int64_t left;      /* of an answer with Content-Length; -1: unknown */
    int64_t body_left; /* of a request with Content-Length */
    bool wants_writable, wants_abort;
    bool is_upgrade;
    void (*taken)(void *data, int fd);
    void *taken_data;
    struct net_ws *ws;
};

/* A server's connection while it speaks HTTP. */
struct peer_conn {
    struct net_server *server;
    struct conn *c;
    struct http_parse *parse;
    struct net_request req;
    struct net_peer peer;
    bool has_shut; /* its sending side has ended */
    /* an answer went out whose rest of the request is dropped until the peer ends */
    bool is_closing;
    uint64_t dropped;
};

struct net_server {
    uv_loop_t *uv;
    struct net_server_options options;
    uv_poll_t listen;
    uv_timer_t pause; /* after an accept that failed for want of descriptors */
    int listen_fd;
    bool has_listen, is_stopped, is_freed, is_paused;
    uint32_t open_handles;
    uint32_t open;
    struct conn *first;
    void (*freed)(void *data);
    void *freed_data;
};

/* transport_tls.c: one connection of a server with a certificate. */
struct tls_link;
struct tls_link *tls_link_new(struct net_tls *tls, int fd, struct nt_error *reterr);
void tls_link_free(struct tls_link *link);        /* the descriptor stays */
const char *tls_link_name(const void *transport); /* that the peer asked for; NULL: none */
extern const struct transport_ops transport_tls;  /* its data is the tls_link */

/* server_conn.c: takes over a connected descriptor. On failure it stays the caller's, and nobody is
 * told. TAKE NULL: nothing of its own. */
int peer_conn_new(struct net_server *server, int fd, const struct net_take *take,
                  struct nt_error *reterr);
/* server.c: a connection came or went. */
void server_count(struct net_server *server, struct conn *c, bool came);
void server_conn_gone(void *data, struct conn *c);

/* server_answer.c: an answer of the library itself, to what is no proper request. */
void answer_bad(struct peer_conn *p, uint32_t status);

#endif
