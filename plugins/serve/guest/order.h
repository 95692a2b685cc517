/* SPDX-License-Identifier: Apache-2.0 */
/* order.h - which frames a guest may send in the course of one operation, and what its errors mean.
 * Pure: no memory, no descriptors. */
#ifndef NT_SERVE_GUEST_ORDER_H
#define NT_SERVE_GUEST_ORDER_H

#include <stdbool.h>

#include "nanoterm/error.h"
#include "nanoterm/guest.h"

/* Where an operation is. */
struct guest_order {
    uint16_t request; /* NT_G_* */
    bool background;  /* NT_G_EXEC that ends with STARTED */
    /* 0: HELLO is awaited, 1: nothing else has come, 2: OK or STARTED has come, 3: it has ended */
    uint8_t stage;
};

/* Reads type and flags of a request frame. -1: not one whole, well-formed frame. */
int guest_order_init(struct guest_order *o, const uint8_t *request, size_t size);

/* Raw frames carry bytes; all others fields. */
static inline bool guest_frame_is_raw(uint16_t type)
{
    return type == NT_G_DATA || type == NT_G_STDIN || type == NT_G_STDOUT || type == NT_G_STDERR;
}

/* Takes note of a frame of that type: 0 and *ret_last when it ends the operation; -1: out of order.
 * NT_G_ERROR is in order at any time after HELLO. */
int guest_order_next(struct guest_order *o, uint16_t type, bool *ret_last);

/* Whether the payload is a list of fields, none with a wrong size. */
bool guest_fields_ok(const uint8_t *payload, size_t size);

/* What an NT_G_ERROR says, as our error: sys is its ERRNO, attempt its CODE. */
void guest_error_read(const struct nt_g_frame *frame, struct nt_error *ret);

#endif
