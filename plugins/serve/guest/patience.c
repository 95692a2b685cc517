/* SPDX-License-Identifier: Apache-2.0 */
/* patience.c - how long an operation waits: a guest that hangs must not hold its caller for ever.
 *
 * It greets at once, or is stuck: hello_ms. Where the next word is its own, it may be at work for
 * silence_ms. Programs may be silent as long as they like, unless who asked for heartbeats
 * (BEAT_MS) says how long to wait for one. */
#include "plugins/serve/guest/op.h"

/* Whether the next word is the guest's, after its HELLO. */
static bool is_guests_turn(const struct guest_op *op)
{
    switch (op->order.request) {
    case NT_G_EXEC:
    case NT_G_ATTACH:
    case NT_G_WATCH:
        return false;
    case NT_G_WRITE:
    case NT_G_TREE_WRITE:
    case NT_G_FEED:
        return op->has_said_end;
    default:
        return !op->is_held;
    }
}

static void on_patience(uv_timer_t *timer)
{
    struct guest_op *op = timer->data;
    if (op->order.stage == 0)
        guest_op_fail(op, NT_E_TIMEOUT, "the workspace is unreachable: its guest does not answer");
    else
        guest_op_fail(op, NT_E_TIMEOUT, "the workspace's guest has said nothing for too long");
}

void guest_patience_again(struct guest_op *op)
{
    uint64_t ms = 0;
    if (op->is_closing || op->is_endless)
        return;
    if (!op->has_ended)
        ms = op->order.stage == 0 ? op->hello_ms
             : is_guests_turn(op) ? op->silence_ms
             : op->is_held        ? 0
                                  : op->beats_ms;
    if (op->order.stage == 0 && uv_is_active((uv_handle_t *)&op->patience))
        return; /* its HELLO in drops is no better than none */
    if (ms)
        uv_timer_start(&op->patience, on_patience, ms, 0);
    else
        uv_timer_stop(&op->patience);
}

void guest_op_no_deadline(struct guest_op *op)
{
    op->is_endless = true;
    if (!op->is_closing)
        uv_timer_stop(&op->patience);
}

void guest_op_expect_beats(struct guest_op *op, uint32_t ms)
{
    op->beats_ms = ms;
    guest_patience_again(op);
}

void guest_op_deadlines(struct guest_op *op, uint32_t hello_ms, uint32_t silence_ms)
{
    op->hello_ms = hello_ms;
    op->silence_ms = silence_ms;
    if (!op->is_closing)
        uv_timer_stop(&op->patience);
    guest_patience_again(op);
}
