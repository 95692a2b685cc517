/* SPDX-License-Identifier: Apache-2.0 */
/* arena.c - memory for the tables of one plugin. */
#include "arena.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE ((size_t)4 * 1024)
#define ALIGN ((size_t)16)

struct arena_block {
    struct arena_block *next;
    size_t used;
    size_t size;
    size_t reserved; /* keeps the pieces aligned */
    char bytes[];
};
_Static_assert(sizeof(struct arena_block) % ALIGN == 0, "the pieces of a block must be aligned");

void *arena_room(struct arena *arena, size_t size)
{
    if (size > arena->left)
        return NULL;
    size_t rounded = (size + ALIGN - 1) & ~(ALIGN - 1);
    struct arena_block *block = arena->blocks;
    if (!block || block->size - block->used < rounded) {
        size_t capacity = rounded > BLOCK_SIZE ? rounded : BLOCK_SIZE;
        block = calloc(1, sizeof(*block) + capacity);
        if (!block)
            return NULL;
        block->size = capacity;
        block->next = arena->blocks;
        arena->blocks = block;
    }
    void *room = block->bytes + block->used;
    block->used += rounded;
    arena->left -= size;
    return room;
}

char *arena_text(struct arena *arena, const char *text, size_t size)
{
    char *copy = arena_room(arena, size + 1);
    if (copy)
        memcpy(copy, text, size);
    return copy;
}

void arena_done(struct arena *arena)
{
    while (arena->blocks) {
        struct arena_block *next = arena->blocks->next;
        free(arena->blocks);
        arena->blocks = next;
    }
}
