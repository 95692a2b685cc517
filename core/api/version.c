/* SPDX-License-Identifier: Apache-2.0 */
/* version.c - compares the versions of two builds. */
#include "version.h"

#include <stdint.h>

static bool read(const char *text, uint32_t ret[3])
{
    for (int i = 0; i < 3; i++) {
        uint32_t number = 0;
        int digits = 0;
        for (; *text >= '0' && *text <= '9'; text++, digits++)
            number = number * 10 + (uint32_t)(*text - '0');
        if (digits == 0 || digits > 8 || (i < 2 && *text++ != '.'))
            return false;
        ret[i] = number;
    }
    return true;
}

bool version_is_older(const char *a, const char *b)
{
    uint32_t x[3], y[3];
    if (!read(a, x) || !read(b, y))
        return false;
    for (int i = 0; i < 3; i++)
        if (x[i] != y[i])
            return x[i] < y[i];
    return false;
}
