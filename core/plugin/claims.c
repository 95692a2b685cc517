/* SPDX-License-Identifier: Apache-2.0 */
/* claims.c - who owns a name: the first one who claims it. */
#include "claims.h"

#include <stdlib.h>
#include <string.h>

/* FNV-1a, 32 bits. The texts come from files that the user trusts: no need for a keyed hash. */
static uint32_t hash_of(enum claim_kind kind, const char *text, size_t length)
{
    uint32_t hash = 2166136261u ^ (uint32_t)kind;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)text[i]) * 16777619u;
    return hash;
}

/* The slot of that name, or the free one where it would go. */
static struct claim *slot_of(const struct claims *claims, uint32_t hash, enum claim_kind kind,
                             const char *text, size_t length)
{
    for (size_t i = hash & (claims->capacity - 1);; i = (i + 1) & (claims->capacity - 1)) {
        struct claim *slot = &claims->slots[i];
        if (!slot->text
            || (slot->hash == hash && slot->kind == kind && slot->length == length
                && memcmp(slot->text, text, length) == 0))
            return slot;
    }
}

const struct claim *claims_find(const struct claims *claims, enum claim_kind kind, const char *text,
                                size_t length)
{
    if (claims->count == 0)
        return NULL;
    const struct claim *slot = slot_of(claims, hash_of(kind, text, length), kind, text, length);
    return slot->text ? slot : NULL;
}

static int grow(struct claims *claims)
{
    struct claims larger = { .capacity = claims->capacity ? claims->capacity * 2 : 256,
                             .count = claims->count };
    larger.slots = calloc(larger.capacity, sizeof(*larger.slots));
    if (!larger.slots)
        return -1;
    for (size_t i = 0; i < claims->capacity; i++) {
        const struct claim *old = &claims->slots[i];
        if (old->text)
            *slot_of(&larger, old->hash, old->kind, old->text, old->length) = *old;
    }
    free(claims->slots);
    *claims = larger;
    return 0;
}

int claims_add(struct claims *claims, const struct claim *claim)
{
    if (claims->count * 2 >= claims->capacity && grow(claims) < 0)
        return -1;
    uint32_t hash = hash_of(claim->kind, claim->text, claim->length);
    struct claim *slot = slot_of(claims, hash, claim->kind, claim->text, claim->length);
    if (slot->text)
        return 0;
    *slot = *claim;
    slot->hash = hash;
    claims->count++;
    return 0;
}

void claims_done(struct claims *claims)
{
    free(claims->slots);
    *claims = (struct claims){ .slots = NULL };
}
