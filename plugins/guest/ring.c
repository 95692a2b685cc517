/* SPDX-License-Identifier: Apache-2.0 */
/* ring.c - output that is kept; see ring.h. Byte n lies at n modulo the size, so growing moves
 * bytes, and being full moves none. What is overwritten is read once more, for the modes. */
#include "plugins/guest/ring.h"

#include <stdlib.h>
#include <string.h>

#define RING_FIRST 4096u

void ring_init(struct ring *ring)
{
    *ring = (struct ring){ 0 };
    nt_term_init(&ring->at_first);
}

void ring_done(struct ring *ring)
{
    free(ring->data);
    ring->data = NULL;
    ring->cap = 0;
    ring->first = ring->end;
}

size_t ring_at(const struct ring *ring, uint64_t offset, const uint8_t **ret)
{
    *ret = ring->data;
    if (offset >= ring->end)
        return 0;
    size_t at = (size_t)(offset & (ring->cap - 1)), have = (size_t)(ring->end - offset);
    *ret += at;
    return have < ring->cap - at ? have : ring->cap - at;
}

static int grow(struct ring *ring, size_t want)
{
    size_t cap = ring->cap ? ring->cap : RING_FIRST;
    while (cap < want && cap < RING_MAX)
        cap *= 2;
    if (cap == ring->cap)
        return 0;
    struct ring grown = *ring;
    grown.cap = cap;
    grown.data = malloc(cap);
    if (!grown.data)
        return -1;
    const uint8_t *p;
    for (uint64_t at = ring->first; at < ring->end;) {
        size_t n = ring_at(ring, at, &p), to = (size_t)(at & (cap - 1));
        n = n < cap - to ? n : cap - to;
        memcpy(grown.data + to, p, n);
        at += n;
    }
    free(ring->data);
    *ring = grown;
    return 0;
}

/* The oldest bytes go. */
static void forget(struct ring *ring, size_t count)
{
    const uint8_t *p;
    while (count) {
        size_t n = ring_at(ring, ring->first, &p);
        n = n < count ? n : count;
        nt_term_feed(&ring->at_first, p, n);
        ring->first += n;
        count -= n;
    }
}

int ring_add(struct ring *ring, const void *bytes, size_t size)
{
    const uint8_t *p = bytes;
    size_t used = (size_t)(ring->end - ring->first);
    if (grow(ring, used + size) < 0 && !ring->data)
        return -1;
    while (size) {
        size_t n = size < ring->cap ? size : ring->cap;
        used = (size_t)(ring->end - ring->first);
        if (used + n > ring->cap)
            forget(ring, used + n - ring->cap);
        size_t at = (size_t)(ring->end & (ring->cap - 1));
        size_t head = n < ring->cap - at ? n : ring->cap - at;
        memcpy(ring->data + at, p, head);
        memcpy(ring->data, p + head, n - head);
        ring->end += n;
        p += n;
        size -= n;
    }
    return 0;
}

uint64_t ring_start(const struct ring *ring, struct nt_term *ret_modes)
{
    uint64_t at = ring->first;
    const uint8_t *p;
    *ret_modes = ring->at_first;
    while (at < ring->end && !nt_term_is_clear(ret_modes)) {
        size_t n = ring_at(ring, at, &p);
        at += nt_term_feed_to_clear(ret_modes, p, n);
    }
    return at;
}
