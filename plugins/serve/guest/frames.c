/* SPDX-License-Identifier: Apache-2.0 */
/* frames.c - takes the guest's frames out of the bytes that were read, in the order that the
 * operation allows (order.h). Raw bytes are handed on where they lie, in pieces that need not be
 * whole frames. */
#include <string.h>

#include "plugins/serve/guest/op.h"

static int take_frame(struct guest_op *op, const struct nt_g_frame *f)
{
    bool last = false;
    if (!guest_fields_ok(f->payload, f->size) || guest_order_next(&op->order, f->type, &last) < 0)
        return -1;
    if (f->type == NT_G_HELLO) {
        uint64_t version = 0, caps = 0;
        const uint8_t *nonce = NULL;
        struct nt_g_field field;
        for (size_t at = 0; nt_g_each(f->payload, f->size, &at, &field) > 0;) {
            if (field.tag == NT_GT_VERSION)
                version = nt_g_load(field.data, 8);
            if (field.tag == NT_GT_CAPS)
                caps = nt_g_load(field.data, 8);
            if (field.tag == NT_GT_NONCE)
                nonce = field.data;
        }
        if (version != NT_G_VERSION || !nonce)
            return -1;
        if (op->events.hello)
            op->events.hello(op->data, version, caps, nonce);
        return 0;
    }
    if (f->type == NT_G_ERROR) {
        guest_error_read(f, &op->error);
        guest_op_end(op);
        return 0;
    }
    op->is_raw = op->order.request == NT_G_CONNECT && f->type == NT_G_OK;
    if (op->events.frame)
        op->events.frame(op->data, f);
    if (last)
        guest_op_end(op);
    return 0;
}

/* Takes bytes for a frame of fields that does not lie whole in one buffer. */
static int take_piece(struct guest_op *op, struct guest_rx *rx)
{
    size_t want = (size_t)nt_g_load(op->head, 4) - op->fields.size;
    size_t n = rx->size - rx->at < want ? rx->size - rx->at : want;
    nt_buf_add_bytes(&op->fields, rx->data + rx->at, n);
    if (!nt_buf_ok(&op->fields))
        return -1;
    rx->at += n;
    if (n < want)
        return 0;
    struct nt_g_frame f = { (const uint8_t *)nt_buf_text(&op->fields), (uint32_t)op->fields.size,
                            (uint16_t)nt_g_load(op->head + 4, 2), 0 };
    op->in_frame = false;
    op->head_size = 0;
    int rc = take_frame(op, &f);
    nt_buf_reset(&op->fields);
    return rc;
}

/* Head is complete: what follows is decided. */
static int begin_frame(struct guest_op *op)
{
    uint32_t size = (uint32_t)nt_g_load(op->head, 4);
    uint16_t type = (uint16_t)nt_g_load(op->head + 4, 2);
    if (size > NT_G_FRAME_MAX)
        return -1;
    if (!guest_frame_is_raw(type)) {
        op->in_frame = true;
        return 0;
    }
    bool last;
    if (guest_order_next(&op->order, type, &last) < 0)
        return -1;
    op->head_size = 0;
    op->left = size;
    op->raw = type;
    return 0;
}

static void hand_on(struct guest_op *op, struct guest_rx *rx)
{
    size_t n = rx->size - rx->at < op->left ? rx->size - rx->at : op->left;
    struct nt_bytes bytes = { rx->data + rx->at, n };
    rx->at += n;
    op->left -= (uint32_t)n;
    if (!op->events.bytes)
        return;
    op->is_held = true;
    op->events.bytes(op->data, op->raw, bytes);
}

int guest_frames_parse(struct guest_op *op, struct guest_rx *rx)
{
    while (rx->at < rx->size && !op->is_held && !op->has_ended) {
        if (op->is_raw && !op->left) {
            op->left = (uint32_t)(rx->size - rx->at);
            op->raw = NT_G_DATA;
        }
        if (op->left) {
            hand_on(op, rx);
            continue;
        }
        if (!op->in_frame) {
            size_t n = NT_G_HEAD - op->head_size;
            n = rx->size - rx->at < n ? rx->size - rx->at : n;
            memcpy(op->head + op->head_size, rx->data + rx->at, n);
            op->head_size += n;
            rx->at += n;
            if (op->head_size < NT_G_HEAD)
                break;
            if (begin_frame(op) < 0)
                return -1;
            if (!op->in_frame)
                continue;
        }
        if (take_piece(op, rx) < 0)
            return -1;
    }
    return 0;
}
