/* SPDX-License-Identifier: Apache-2.0 */
/* close.h - which of the names that there are somebody meant who mistyped one. */
#ifndef NT_CLOSE_H
#define NT_CLOSE_H

#include <stdbool.h>

/* How many single edits (insert, delete, replace, swap of neighbours) lead from a to b; at most
 * limit + 1. */
unsigned nt_distance(const char *a, const char *b, unsigned limit);
/* True when someone who typed `typed` may have meant `meant`. */
bool nt_is_close(const char *typed, const char *meant);

/* The nearest of several: begin with { .typed = … }, try each, then look at name. */
struct nt_nearest {
    const char *typed;
    const char *name; /* borrowed from nt_nearest_try; NULL: none is near */
    unsigned distance;
};
void nt_nearest_try(struct nt_nearest *n, const char *name);

#endif
