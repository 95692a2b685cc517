/* SPDX-License-Identifier: Apache-2.0 */
/* glob.c - a pattern against a path, part by part; no file is looked at. */
#include "plugins/sandbox-enforce/policy/glob.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* One part against one part: "*" and ONE. Only the last star is gone back to: what it matches need
 * never be given to an earlier one. */
static bool part_matches(const char *pattern, size_t pattern_size, const char *text, size_t size,
                         char one)
{
    size_t p = 0, t = 0, star = SIZE_MAX, mark = 0;
    while (t < size) {
        if (p < pattern_size && pattern[p] == '*') {
            star = p++;
            mark = t;
        } else if (p < pattern_size && (pattern[p] == text[t] || (one && pattern[p] == one))) {
            p++, t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++mark;
        } else {
            return false;
        }
    }
    while (p < pattern_size && pattern[p] == '*')
        p++;
    return p == pattern_size;
}

/* The same over whole parts, where "**" is the star. */
bool path_glob(const char *pattern, const char *path, char one)
{
    const char *star = NULL, *mark = NULL;
    for (;;) {
        pattern += strspn(pattern, "/");
        path += strspn(path, "/");
        size_t p = strcspn(pattern, "/"), t = strcspn(path, "/");
        if (p == 2 && memcmp(pattern, "**", 2) == 0) {
            pattern += 2;
            star = pattern, mark = path;
            if (!*pattern)
                return true;
            continue;
        }
        if (!t)
            return !p;
        if (p && part_matches(pattern, p, path, t, one)) {
            pattern += p, path += t;
            if (*(pattern + strspn(pattern, "/")) || *(path + strspn(path, "/")))
                continue;
            return true;
        }
        if (!star)
            return false;
        mark += strspn(mark, "/");
        mark += strcspn(mark, "/");
        pattern = star, path = mark;
    }
}
