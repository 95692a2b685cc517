/* SPDX-License-Identifier: Apache-2.0 */
/* close.c - how far two words are from each other; see close.h. */
#include "close.h"

#include <string.h>

unsigned nt_distance(const char *a, const char *b, unsigned limit)
{
    enum { MAX = 64 };
    size_t n = strlen(a), m = strlen(b);
    if (n > MAX || m > MAX || n > m + limit || m > n + limit)
        return limit + 1;
    unsigned rows[3][MAX + 1];
    unsigned *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= m; j++)
        last[j] = (unsigned)j;
    for (size_t i = 1; i <= n; i++) {
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= m; j++) {
            unsigned best = last[j - 1] + (a[i - 1] != b[j - 1]);
            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]
                && before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
        unsigned *oldest = before;
        before = last;
        last = now;
        now = oldest;
    }
    return last[m] <= limit ? last[m] : limit + 1;
}

bool nt_is_close(const char *typed, const char *meant)
{
    size_t length = strlen(typed);
    if (length >= 2 && strncmp(typed, meant, length) == 0)
        return true;
    unsigned limit = length < 3 ? 1 : length < 8 ? 2 : 3;
    /* A word all of whose letters would change is not a slip of the finger. */
    return length > limit && nt_distance(typed, meant, limit) <= limit;
}

void nt_nearest_try(struct nt_nearest *n, const char *name)
{
    enum { FAR = 4 };
    unsigned distance = nt_is_close(n->typed, name) ? nt_distance(n->typed, name, FAR) : FAR + 2;
    if (distance > FAR + 1 || (n->name && distance >= n->distance))
        return;
    n->name = name;
    n->distance = distance;
}
