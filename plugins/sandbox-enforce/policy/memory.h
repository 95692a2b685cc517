/* SPDX-License-Identifier: Apache-2.0 */
/* memory.h - memory of one policy or profile: many small pieces that are freed together. A failure
 * (out of memory, or more than MEMORY_MAX) sticks, so one check at the end is enough where the
 * pieces are not looked into. */
#ifndef NT_ENFORCE_POLICY_MEMORY_H
#define NT_ENFORCE_POLICY_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

#include "plugins/sandbox-enforce/policy/policy.h"

#define MEMORY_MAX (16u * 1024 * 1024)

struct memory_block;

struct memory {
    struct memory_block *blocks;
    size_t used;
    bool failed;
};

void memory_done(struct memory *m);
/* Zeroed, aligned for anything. NULL: failed. */
void *memory_room(struct memory *m, size_t size);
/* A copy of SIZE bytes with a NUL behind them. */
char *memory_bytes(struct memory *m, const char *text, size_t size);
char *memory_text(struct memory *m, const char *text);
char *memory_format(struct memory *m, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Room for one more row behind COUNT rows of SIZE bytes at ARRAY, which only this function has
 * grown: the array (perhaps a new one), or NULL. */
void *memory_grow(struct memory *m, void *array, size_t count, size_t size);

/* Appends TEXT, which must live as long. false: failed. */
bool texts_add(struct memory *m, struct policy_texts *texts, const char *text);
/* The same unless it is there already. */
bool texts_add_new(struct memory *m, struct policy_texts *texts, const char *text);
bool texts_have(const struct policy_texts *texts, const char *text);

/* NT_E_MEMORY or NT_E_LIMIT. Returns -1. */
int memory_fail(const struct memory *m, struct nt_error *reterr);

#endif
