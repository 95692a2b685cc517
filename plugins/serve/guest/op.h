/* SPDX-License-Identifier: Apache-2.0 */
/* op.h - one operation with a guest (client.h), for the files that make it up: its state, and what
 * each of them does for the others. */
#ifndef NT_SERVE_GUEST_OP_H
#define NT_SERVE_GUEST_OP_H

#include "plugins/serve/guest/client.h"
#include "plugins/serve/guest/order.h"
#include "sdk/buf.h"

#define GUEST_FDS_MAX 3

/* What has been read and not yet parsed. */
struct guest_rx {
    uint8_t *data;
    size_t at, size;
};

struct guest_op {
    uv_poll_t poll;
    uv_idle_t later;
    uv_timer_t patience;
    uv_loop_t *uv;
    struct guest_events events;
    void *data;
    struct nt_stream *stream; /* NULL when it was taken, or has closed */
    struct nt_buf tx;
    size_t tx_at;    /* of tx, already sent */
    uint64_t credit; /* of the stream, for writing */
    struct guest_rx rx[2];
    unsigned cur; /* rx that is parsed */
    struct guest_order order;
    uint8_t head[NT_G_HEAD]; /* of a frame that came in pieces */
    size_t head_size;
    uint32_t left;        /* payload bytes of a raw frame still to come */
    uint16_t raw;         /* its type */
    struct nt_buf fields; /* payload of another frame that came in pieces */
    int fd;
    int fds[GUEST_FDS_MAX];
    unsigned fd_count;
    unsigned open_handles;
    bool in_frame, has_poll, is_open, is_stream_open, is_generic;
    bool is_held; /* the consumer holds bytes */
    bool is_endless;
    bool has_said_end; /* END was sent: all that the caller had to say */
    bool is_eof, is_pumping, wants_sent, was_sent;
    bool has_ended; /* the outcome is known; `end` follows by `later` */
    bool is_closing;
    /* NT_G_CONNECT: bytes without frames; our half (asked to be closed, closed), and theirs */
    bool is_raw, wants_finish, is_finished, is_half;
    uint32_t hello_ms, silence_ms, beats_ms; /* beats: 0: none are due */
    struct nt_error error;
};

/* --- client.c: its outcome; the first one stays ------------------------------------------------
 */

/* It ended well, or with the error that stands in op->error. */
void guest_op_end(struct guest_op *op);
void guest_op_fail(struct guest_op *op, uint32_t code, const char *text);
/* Goes on in the next round of the loop. */
void guest_op_wake(struct guest_op *op);
void guest_op_close_fds(struct guest_op *op);
/* Handles and stream count as users. */
void guest_op_on_closed(uv_handle_t *handle);
void guest_op_free_when_unused(struct guest_op *op);
void guest_op_tell_sent(struct guest_op *op);

/* --- patience.c --------------------------------------------------------------------------------
 */

/* Something has happened: how long may it take until something else does? */
void guest_patience_again(struct guest_op *op);

/* --- frames.c ----------------------------------------------------------------------------------
 */

/* Takes frames from rx until it is empty, the consumer holds bytes or the operation has ended. -1:
 * the guest broke the protocol. */
int guest_frames_parse(struct guest_op *op, struct guest_rx *rx);

/* --- stream.c ----------------------------------------------------------------------------------
 */

extern const struct nt_stream_events guest_stream_events; /* their data: the operation */
/* Parses what is there, as far as the consumer lets it. */
void guest_stream_pump(struct guest_op *op);
/* Sends what is queued, as far as it goes. */
void guest_stream_flush(struct guest_op *op);
/* Waits for what the operation can use now. */
void guest_stream_watch(struct guest_op *op);

#endif
