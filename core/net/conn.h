/* SPDX-License-Identifier: Apache-2.0 */
/* conn.h - the bytes of one connection: a bounded read buffer, a queue of writes, deadlines, one
 * descriptor.
 *
 * Knows nothing of HTTP. Its owner (server, client or WebSocket) is told by events, always from the
 * loop and never inside a call: calls only note what is wanted and ask for a turn. Private to
 * core/net. */
#ifndef NT_NET_CONN_H
#define NT_NET_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>
#include <uv.h>

#include "core/net/net.h"

/* What carries the bytes: a socket, or TLS (libcurl's or OpenSSL's). Results are bytes, 0 for the
 * end, or -errno. */
struct transport_ops {
    ssize_t (*recv)(void *transport, int fd, void *buffer, size_t size);
    ssize_t (*send)(void *transport, int fd, const struct iovec *pieces, int count);
    void (*close)(void *transport, int fd);
    /* Nothing more is sent; before the socket's own end. NULL: there is nothing to say. */
    void (*end)(void *transport, int fd);
    /* recv cannot go on before something could be sent. NULL: never. */
    bool (*wants_write)(const void *transport);
    bool keeps_bytes; /* may hold received bytes that poll does not see */
};
extern const struct transport_ops transport_socket;

enum conn_due { DUE_HEAD, DUE_IDLE, DUE_STALL, DUE_CLOSE, DUE_PING, DUE_CONNECT, DUE_COUNT };

struct conn_events {
    void (*input)(void *owner);   /* bytes, eof or a wanted turn: look again */
    void (*flushed)(void *owner); /* the queue of writes became shorter */
    /* sending or receiving failed with this errno value; once */
    void (*broken)(void *owner, int sys);
    void (*due)(void *owner, enum conn_due which);
};

struct out_piece;

struct conn {
    uv_loop_t *uv;
    uv_poll_t poll;
    uv_timer_t timer;
    uv_idle_t kick; /* runs one turn, later */
    uint32_t open_handles;
    int fd; /* -1: not connected yet */
    const struct transport_ops *transport;
    void *transport_data;
    const struct conn_events *events;
    void *owner;

    uint8_t *in; /* bytes begin..end wait to be consumed */
    size_t begin, end, cap;

    struct out_piece *out_first, *out_last;
    struct out_piece *done_first, *done_last; /* sent, its owner was not told yet */
    size_t out_bytes;
    uint64_t sent_total;
    uint64_t received_total;

    int64_t stall_ms;
    int64_t due[DUE_COUNT]; /* times of uv_now; 0: off */
    int64_t timer_at;
    int poll_events;
    int error;
    bool unread; /* the transport may have bytes for which there was no room */
    bool has_poll, poll_dead, blocked, eof, closing, told_broken, grow, hold;
    uint8_t stage; /* 0: outside a turn, 1: before the flush of a turn, 2: after it */

    void (*gone)(void *data, struct conn *c); /* the last handle has closed; c is freed after it */
    void *gone_data;
    struct conn *next, *prev; /* the server's list */
    uint64_t id;              /* counted from 1 */
    char holder[NET_HOLDER];  /* "": nobody has said */
    void *link;               /* of net_take */
    void (*link_gone)(void *link);
};

struct conn *conn_new(uv_loop_t *uv, const struct conn_events *events, void *owner,
                      struct nt_error *reterr);
/* Takes the descriptor; on failure it stays the caller's. */
int conn_attach(struct conn *c, int fd, const struct transport_ops *transport, void *transport_data,
                struct nt_error *reterr);
/* Gives the descriptor back; the conn must be closed after it. */
int conn_detach(struct conn *c);
void conn_owner(struct conn *c, const struct conn_events *events, void *owner);

/* Asks for a turn: input and flushed will be called soon. */
void conn_kick(struct conn *c);
void conn_due(struct conn *c, enum conn_due which, int64_t ms); /* negative: off */

static inline size_t conn_waiting(const struct conn *c)
{
    return c->end - c->begin;
}
void conn_consume(struct conn *c, size_t size);

/* Queues bytes; false: out of memory (the connection breaks with ENOMEM). `sent` is called exactly
 * once, later, also when the connection breaks. */
bool conn_send_copy(struct conn *c, const void *data, size_t size);
bool conn_send_owned(struct conn *c, void *memory, size_t size); /* takes malloc'ed memory */
void conn_send_borrowed(struct conn *c, const void *data, size_t size, void (*sent)(void *data),
                        void *sent_data);
/* Copies nothing; only has `sent` called, in order. */
void conn_send_nothing(struct conn *c, void (*sent)(void *data), void *sent_data);
uint64_t conn_credit(const struct conn *c, uint32_t limit);

/* Drops what waits to be sent and tells the lenders. Only from a turn. */
void conn_drop_queue(struct conn *c);
/* Ends it. Only from a turn, a due or a gone callback; the queue is dropped. */
void conn_close(struct conn *c);

#endif
