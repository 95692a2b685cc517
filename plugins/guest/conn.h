/* SPDX-License-Identifier: Apache-2.0 */
/* conn.h - one connection: frames in, frames out, and the one operation that it carries. */
#ifndef GUEST_CONN_H
#define GUEST_CONN_H

#include <stdarg.h>
#include <stddef.h>

#include "nanoterm/guest.h"
#include "plugins/guest/loop.h"

#define CONN_FDS_MAX 3
#define CONN_MAX 1024

struct conn;

/* What an operation does with its connection. Members may be NULL. */
struct conn_ops {
    /* A frame that follows the request: 1 taken, 0 not now (conn_resume gives it again), -1 out of
     * order. */
    int (*frame)(struct conn *c, const struct nt_g_frame *frame);
    /* All that was sent has left. */
    void (*writable)(struct conn *c);
    /* The peer has gone, or the connection was ended; the connection is freed after it. */
    void (*lost)(struct conn *c);
};

struct conn {
    struct source source;
    struct conn *next, *prev;
    const struct conn_ops *ops; /* NULL: the request has not come yet */
    void *op;
    uint8_t *rx;
    size_t rx_size, rx_cap;
    uint8_t *tx;
    size_t tx_at, tx_size;
    int fds[CONN_FDS_MAX];
    unsigned fd_count;
    struct timer beat; /* BEAT_MS of its request */
    int64_t beat_ms;   /* 0: none */
    int64_t sent_ms;   /* when something was sent; only with beat_ms */
    bool is_adopted;   /* may do what local.h says, and nothing else */
    bool is_ending;    /* closes when all is sent */
    bool is_blocked;   /* the operation does not take frames now */
    bool is_eof;       /* the peer writes no more */
    bool wants_turn;   /* `writable` is called though nothing waits */
    bool is_dead;      /* closed; freed at the end of the turn */
    bool bad_fds;      /* descriptors came that nothing asked for, or too many */
};

extern unsigned conn_count;

/* Takes the descriptor: a connected socket. Sends HELLO. NULL: too many, or no memory (closed
 * then). */
struct conn *conn_new(int fd, bool is_adopted);
/* Sends one frame: at once, as far as it goes; the rest is kept. */
void conn_send(struct conn *c, const void *head, size_t head_size, const void *bytes, size_t size);
void conn_send_raw(struct conn *c, uint16_t type, const void *bytes, size_t size);
/* BEAT frames from here to its end, whenever nothing else was sent for that long; 0: none, and no
 * timer runs. */
void conn_beat(struct conn *c, uint64_t every_ms);
/* Whether nothing waits: more should be sent only then. */
bool conn_can_send(const struct conn *c);
void conn_send_writer(struct conn *c, struct nt_g_writer *w);
/* OK without fields, and the end. */
void conn_ok(struct conn *c);
/* NT_G_ERROR, and the end. */
void conn_error(struct conn *c, uint64_t code, int sys, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Closes it when all is sent. The operation hears no more of it. */
void conn_end(struct conn *c);
/* Closes it now. */
void conn_close(struct conn *c);
/* Ends it without closing its socket, which is the caller's from then on. */
int conn_detach(struct conn *c);
/* Gives the frames that wait to the operation again. */
void conn_resume(struct conn *c);
/* Takes the i-th descriptor that came with the request; -1: there is none. */
int conn_take_fd(struct conn *c, unsigned i);
/* Hands over the socket for a helper process: it is not watched for reading any more. */
void conn_update(struct conn *c);
/* Frees what was closed in this turn. */
void conn_sweep(void);

#endif
