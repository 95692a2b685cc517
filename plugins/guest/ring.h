/* SPDX-License-Identifier: Apache-2.0 */
/* ring.h - the last RING_MAX bytes of a terminal's output, by offset, and the modes that were on
 * where they begin. Grows to its size only as output comes. */
#ifndef GUEST_RING_H
#define GUEST_RING_H

#include "sdk/term_modes.h"

#define RING_MAX (256u * 1024u)

struct ring {
    uint8_t *data;
    size_t cap;          /* a power of two, RING_MAX at the most */
    uint64_t first, end; /* offsets: of the oldest byte kept, and behind the newest */
    struct nt_term at_first;
};

void ring_init(struct ring *ring);
void ring_done(struct ring *ring);
/* Keeps bytes; the oldest make room. -1: no memory, and nothing was kept or counted. */
int ring_add(struct ring *ring, const void *bytes, size_t size);
/* Bytes from an offset on that lie in one piece: how many; 0 at the end. offset must be kept. */
size_t ring_at(const struct ring *ring, uint64_t offset, const uint8_t **ret);
/* The first offset kept at which no sequence or character is cut, and the modes there. */
uint64_t ring_start(const struct ring *ring, struct nt_term *ret_modes);

#endif
