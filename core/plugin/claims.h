/* SPDX-License-Identifier: Apache-2.0 */
/* claims.h - who owns a name: the first one who claims it. A hash table of borrowed texts. */
#ifndef NT_CORE_CLAIMS_H
#define NT_CORE_CLAIMS_H

#include <stddef.h>
#include <stdint.h>

enum claim_kind {
    CLAIM_PLUGIN = 1, /* the name of a plugin */
    CLAIM_PATH,       /* a whole command or alias */
    CLAIM_GROUP,      /* a row of a group */
    CLAIM_WORD,       /* the first word of a command or an alias */
};

struct claim {
    const char *text; /* NULL: free */
    size_t length;
    enum claim_kind kind;
    uint32_t owner;
    uint32_t flags;
    uint32_t hash;
};

struct claims {
    struct claim *slots;
    size_t capacity; /* a power of two */
    size_t count;
};

/* NULL: nobody's. Valid until the next claims_add. */
const struct claim *claims_find(const struct claims *claims, enum claim_kind kind, const char *text,
                                size_t length);
/* The first claim stays. -1: out of memory. */
int claims_add(struct claims *claims, const struct claim *claim);
void claims_done(struct claims *claims);

#endif
