/* SPDX-License-Identifier: Apache-2.0 */
/* memory.c - blocks that pieces are cut from, in order. */
#include "plugins/sandbox-enforce/policy/memory.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sdk/error.h"

#define BLOCK_SIZE ((size_t)16 * 1024) /* the default policy fits in two */

struct memory_block {
    struct memory_block *next;
    size_t size, used;
    max_align_t bytes[];
};

void memory_done(struct memory *m)
{
    while (m->blocks) {
        struct memory_block *next = m->blocks->next;
        free(m->blocks);
        m->blocks = next;
    }
    *m = (struct memory){ 0 };
}

/* What is left of the block that the next piece is cut from. */
static char *rest(const struct memory *m, size_t *ret_size)
{
    *ret_size = m->blocks ? m->blocks->size - m->blocks->used : 0;
    return m->blocks ? (char *)m->blocks->bytes + m->blocks->used : NULL;
}

/* A piece that holds what was there before. */
static void *cut(struct memory *m, size_t size)
{
    const size_t unit = sizeof(max_align_t);
    if (m->failed || size > MEMORY_MAX || m->used + size > MEMORY_MAX) {
        m->failed = true;
        return NULL;
    }
    size = (size + unit - 1) / unit * unit;
    if (!m->blocks || m->blocks->size - m->blocks->used < size) {
        size_t room = size > BLOCK_SIZE ? size : BLOCK_SIZE;
        struct memory_block *block = malloc(sizeof(*block) + room);
        if (!block) {
            m->failed = true;
            return NULL;
        }
        *block = (struct memory_block){ .next = m->blocks, .size = room };
        m->blocks = block;
    }
    char *piece = (char *)m->blocks->bytes + m->blocks->used;
    m->blocks->used += size;
    m->used += size;
    return piece;
}

void *memory_room(struct memory *m, size_t size)
{
    void *piece = cut(m, size);
    if (piece)
        memset(piece, 0, size);
    return piece;
}

char *memory_bytes(struct memory *m, const char *text, size_t size)
{
    char *copy = cut(m, size + 1);
    if (!copy)
        return NULL;
    if (size)
        memcpy(copy, text, size);
    copy[size] = '\0';
    return copy;
}

char *memory_text(struct memory *m, const char *text)
{
    return memory_bytes(m, text, strlen(text));
}

char *memory_format(struct memory *m, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    /* Formatted once where it fits into the block, which it nearly always does. */
    size_t left;
    char *place = rest(m, &left);
    int size = vsnprintf(place, left, format, args);
    char *text = size < 0 ? NULL : cut(m, (size_t)size + 1);
    if (text && text != place)
        vsnprintf(text, (size_t)size + 1, format, again);
    va_end(again);
    va_end(args);
    return text;
}

void *memory_grow(struct memory *m, void *array, size_t count, size_t size)
{
    if (count & (count - 1) || (count && count < 4))
        return array; /* rooms are 4, 8, 16 … */
    if (count == 0)
        return memory_room(m, 4 * size);
    void *wider = memory_room(m, 2 * count * size);
    if (wider)
        memcpy(wider, array, count * size);
    return wider;
}

bool texts_add(struct memory *m, struct policy_texts *texts, const char *text)
{
    const char **at = memory_grow(m, texts->at, texts->count, sizeof(*at));
    if (!at || !text) {
        m->failed = true;
        return false;
    }
    texts->at = at;
    texts->at[texts->count++] = text;
    return true;
}

bool texts_have(const struct policy_texts *texts, const char *text)
{
    for (size_t i = 0; i < texts->count; i++)
        if (strcmp(texts->at[i], text) == 0)
            return true;
    return false;
}

bool texts_add_new(struct memory *m, struct policy_texts *texts, const char *text)
{
    return (text && texts_have(texts, text)) || texts_add(m, texts, text);
}

int memory_fail(const struct memory *m, struct nt_error *reterr)
{
    if (m->used >= MEMORY_MAX / 2)
        return nt_fail(reterr, NT_E_LIMIT, "the policy is too large");
    return nt_fail(reterr, NT_E_MEMORY, "out of memory");
}
