/* SPDX-License-Identifier: Apache-2.0 */
/* arena.h - memory for the tables of one plugin: many small pieces, freed together, with a hard
 * maximum. */
#ifndef NT_CORE_ARENA_H
#define NT_CORE_ARENA_H

#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *blocks;
    size_t left; /* bytes that may still be handed out */
};

#define ARENA(maximum)                                                                             \
    {                                                                                              \
        .left = (maximum)                                                                          \
    }

/* Zeroed, aligned for any row; NULL: the maximum is reached or out of memory. Valid until
 * arena_done. */
void *arena_room(struct arena *arena, size_t size);
/* A copy of `size` bytes with a NUL behind them. */
char *arena_text(struct arena *arena, const char *text, size_t size);
void arena_done(struct arena *arena);

#endif
