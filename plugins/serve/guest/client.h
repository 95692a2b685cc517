/* SPDX-License-Identifier: Apache-2.0 */
/* client.h - the server's side of the guest protocol (guest.h): one object per operation, over one
 * stream.
 *
 * Bytes from a guest are hostile: frames are bounded and must come in the order of the operation,
 * else it ends with NT_E_RESPONSE. Loop's thread; callbacks come later and `end` exactly once. */
#ifndef NT_SERVE_GUEST_CLIENT_H
#define NT_SERVE_GUEST_CLIENT_H

#include <stdbool.h>
#include <uv.h>

#include "nanoterm/engine.h"
#include "nanoterm/guest.h"

struct guest_op;

/* What the guest says in the course of one operation. Members may be NULL. */
struct guest_events {
    /* First frame of every stream. */
    void (*hello)(void *data, uint64_t version, uint64_t caps, const uint8_t nonce[16]);
    /* OK, STARTED, ENTRY, EXIT, END: its payload is well-formed fields (walk with nt_g_each). Valid
     * in the call. */
    void (*frame)(void *data, const struct nt_g_frame *frame);
    /* STDOUT, STDERR, DATA. `done` must be called with op when these bytes are no longer needed:
     * until then no more are read from the guest (flow control). The bytes stay valid until
     * then. */
    void (*bytes)(void *data, uint16_t type, struct nt_bytes bytes);
    /* What was queued with guest_op_send has left; more may be sent. */
    void (*sent)(void *data);
    /* After NT_G_CONNECT: the guest sends no more bytes (half-close). */
    void (*half)(void *data);
    /* Last: error NULL after EXIT, END or the final OK of the operation; else what went wrong
     * (NT_G_ERROR translated with its ERRNO in error->sys and its CODE in error->attempt). */
    void (*end)(void *data, const struct nt_error *error);
};

/* Opens a stream to the guest of `id` and sends the request frame (copied). -1: no event will
 * come. */
int guest_op_new(uv_loop_t *uv, const struct nt_engine_ops *ops, struct nt_engine *engine,
                 const char *id, struct nt_bytes request, const struct guest_events *events,
                 void *data, struct guest_op **ret, struct nt_error *reterr);
/* The bytes of the last `bytes` event are done with. */
void guest_op_consumed(struct guest_op *op);
/* In `frame`: no more is read until guest_op_consumed, as after `bytes`. */
void guest_op_hold(struct guest_op *op);
/* Sends a frame of raw bytes (STDIN, DATA), or any other whole frame with type 0. Copied. Returns
 * false when the caller should wait for `sent` before the next one (this one was taken). */
bool guest_op_send(struct guest_op *op, uint16_t type, struct nt_bytes bytes);
/* With NT_ENGINE_PASS_FDS, before the first frame was sent: the descriptor goes with the request
 * frame. Taken. */
void guest_op_attach_fd(struct guest_op *op, int fd);
/* It may take for ever: a question that is left standing. Otherwise a guest that does not greet, or
 * leaves us waiting for its word too long, ends the operation with NT_E_TIMEOUT. */
void guest_op_no_deadline(struct guest_op *op);
/* The guest was asked for heartbeats and said that it gives them (NT_GC_BEAT): when nothing comes
 * for that long, and nothing of it is held, the operation ends with NT_E_TIMEOUT. */
void guest_op_expect_beats(struct guest_op *op, uint32_t ms);
/* Instead of 10 s for its greeting and 5 minutes for a word that is its own. */
void guest_op_deadlines(struct guest_op *op, uint32_t hello_ms, uint32_t silence_ms);
/* Operations that have not ended, of all engines. */
uint32_t guest_ops_in_flight(void);
/* After the OK of NT_G_CONNECT: no more bytes will be sent (half-close). When the guest has sent
 * all as well, `end` comes. Before it, bytes go with guest_op_send and type 0, and come as `bytes`
 * with type NT_G_DATA. */
void guest_op_finish(struct guest_op *op);
/* Ends it now; `end` comes with NT_E_CANCELLED. May be called twice. A foreground exec's tree is
 * killed by that. */
void guest_op_cancel(struct guest_op *op);

#endif
