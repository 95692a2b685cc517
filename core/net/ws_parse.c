/* SPDX-License-Identifier: Apache-2.0 */
/* ws_parse.c - the only file that knows wslay.
 *
 * wslay's receiver copies through 4 KiB of its own. So it gets a frame's head byte by byte, and of
 * the payload only what it has to unmask, which is written back where it came from; unmasked
 * payload never passes it. */
#include "core/net/ws_parse.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <wslay/wslay.h>

struct ws_parse {
    wslay_frame_context_ptr wslay;
    struct ws_frame frame;
    uint64_t left;  /* of the payload */
    bool has_ahead; /* wslay has taken the payload's first byte already */
    bool is_stale;  /* wslay did not see the payload: a fresh one is needed */
    const uint8_t *in;
    size_t in_size;
};

static ssize_t on_recv(uint8_t *buffer, size_t size, int flags, void *data)
{
    struct ws_parse *p = data;
    size_t n = size < p->in_size ? size : p->in_size;
    if (n == 0)
        return -1;
    memcpy(buffer, p->in, n);
    p->in += n;
    p->in_size -= n;
    return (ssize_t)n;
}

static const struct wslay_frame_callbacks receiver = { .recv_callback = on_recv };

struct ws_parse *ws_parse_new(void)
{
    struct ws_parse *p = calloc(1, sizeof(*p));
    if (p && wslay_frame_context_init(&p->wslay, &receiver, p) != 0) {
        free(p);
        return NULL;
    }
    return p;
}

void ws_parse_free(struct ws_parse *p)
{
    if (!p)
        return;
    if (p->wslay)
        wslay_frame_context_free(p->wslay);
    free(p);
}

/* wslay reports a callback without bytes as an error or as "want read", by version; both mean: more
 * bytes. */
static bool is_fatal(ssize_t rc)
{
    return rc == WSLAY_ERR_PROTO || rc == WSLAY_ERR_INVALID_ARGUMENT || rc == WSLAY_ERR_NOMEM;
}

int ws_parse_head(struct ws_parse *p, uint8_t *data, size_t size, size_t *ret_used,
                  struct ws_frame *ret)
{
    *ret_used = 0;
    if (p->is_stale) {
        wslay_frame_context_free(p->wslay);
        p->wslay = NULL;
        p->is_stale = false;
        if (wslay_frame_context_init(&p->wslay, &receiver, p) != 0)
            return -1;
    }
    for (size_t i = 0; i < size; i++) {
        struct wslay_frame_iocb iocb = { 0 };
        p->in = data + i;
        p->in_size = 1;
        ssize_t rc = wslay_frame_recv(p->wslay, &iocb);
        if (rc < 0) {
            if (is_fatal(rc) || p->in_size != 0)
                return -1;
            *ret_used = i + 1;
            continue;
        }
        p->frame = (struct ws_frame){ .length = iocb.payload_length,
                                      .opcode = iocb.opcode,
                                      .fin = iocb.fin != 0,
                                      .is_masked = iocb.mask != 0,
                                      .rsv = iocb.rsv };
        p->left = p->frame.length;
        p->has_ahead = rc > 0;
        /* The payload's first byte was needed to make wslay speak: it stays in the buffer,
         * unmasked. */
        if (rc > 0)
            data[i] = iocb.data[0];
        *ret_used = i + (rc > 0 ? 0 : 1);
        *ret = p->frame;
        return 1;
    }
    return 0;
}

bool ws_parse_payload(struct ws_parse *p, uint8_t *data, size_t size)
{
    if (size == 0)
        return true;
    p->left -= size;
    if (!p->frame.is_masked) {
        p->is_stale = p->frame.length > 1;
        return true;
    }
    size_t done = p->has_ahead ? 1 : 0;
    p->has_ahead = false;
    while (done < size) {
        struct wslay_frame_iocb iocb = { 0 };
        p->in = data + done;
        p->in_size = size - done;
        ssize_t n = wslay_frame_recv(p->wslay, &iocb);
        if (n <= 0 || (size_t)n > size - done)
            return false;
        memcpy(data + done, iocb.data, (size_t)n);
        done += (size_t)n;
    }
    return true;
}

/* --- out ----------------------------------------------------------------------------------- */

struct sink {
    uint8_t *data;
    size_t size, cap;
};

static ssize_t on_send(const uint8_t *data, size_t size, int flags, void *sink_data)
{
    struct sink *sink = sink_data;
    if (size > sink->cap - sink->size)
        return -1;
    memcpy(sink->data + sink->size, data, size);
    sink->size += size;
    return (ssize_t)size;
}

static int on_mask(uint8_t *buffer, size_t size, void *data)
{
    return getrandom(buffer, size, 0) == (ssize_t)size ? 0 : -1;
}

static const struct wslay_frame_callbacks sender = { .send_callback = on_send,
                                                     .genmask_callback = on_mask };

/* Sends part of a frame into the sink: all of `data` (may be empty: the head only). */
static bool put(wslay_frame_context_ptr wslay, struct wslay_frame_iocb *iocb, const uint8_t *data,
                size_t size)
{
    do {
        iocb->data = data;
        iocb->data_length = size;
        ssize_t n = wslay_frame_send(wslay, iocb);
        if (n == WSLAY_ERR_WANT_WRITE && size == 0)
            return true;
        if (n < 0 || (size_t)n > size)
            return false;
        data += n;
        size -= (size_t)n;
    } while (size > 0);
    return true;
}

static bool make(struct sink *sink, uint8_t opcode, bool fin, bool masked, uint64_t length,
                 const uint8_t *first, struct nt_bytes payload)
{
    wslay_frame_context_ptr wslay = NULL;
    if (wslay_frame_context_init(&wslay, &sender, sink) != 0)
        return false;
    struct wslay_frame_iocb iocb = {
        .fin = fin, .opcode = opcode, .payload_length = length, .mask = masked ? 1 : 0
    };
    bool ok = true;
    if (first)
        ok = put(wslay, &iocb, first, 1);
    if (ok && (payload.size > 0 || !first))
        ok = put(wslay, &iocb, payload.data, payload.size);
    wslay_frame_context_free(wslay);
    return ok;
}

size_t ws_make_head(uint8_t opcode, uint64_t length, const uint8_t *first,
                    uint8_t ret[WS_HEAD_MAX + 2])
{
    struct sink sink = { .data = ret, .cap = WS_HEAD_MAX + 2 };
    return make(&sink, opcode, true, false, length, first, (struct nt_bytes){ 0 }) ? sink.size : 0;
}

uint8_t *ws_make_frame(uint8_t opcode, bool fin, bool masked, const uint8_t *first,
                       struct nt_bytes payload, size_t *ret_size)
{
    size_t length = payload.size + (first ? 1 : 0);
    struct sink sink = { .cap = length + WS_HEAD_MAX };
    sink.data = malloc(sink.cap);
    if (!sink.data || !make(&sink, opcode, fin, masked, length, first, payload)) {
        free(sink.data);
        return NULL;
    }
    *ret_size = sink.size;
    return sink.data;
}
