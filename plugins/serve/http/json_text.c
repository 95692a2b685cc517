/* SPDX-License-Identifier: Apache-2.0 */
/* json_text.c - JSON from clients, with lone surrogate escapes made harmless. */
#include "json_text.h"

#include <stdint.h>
#include <string.h>

/* The code unit of the escape "\uXXXX" at text, or -1. */
static int32_t unit_at(const char *text, size_t size)
{
    if (size < 6 || text[0] != '\\' || text[1] != 'u')
        return -1;
    int32_t unit = 0;
    for (size_t i = 2; i < 6; i++) {
        char c = text[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

void json_text_join_surrogates(char *text, size_t size)
{
    /* A backslash can stand only inside a string; whatever else has one is refused by the
     * parser. */
    for (size_t i = 0; i < size;) {
        if (text[i] != '\\') {
            i++;
            continue;
        }
        int32_t unit = unit_at(text + i, size - i);
        if (unit < 0xd800 || unit > 0xdfff) {
            i += unit < 0 ? 2 : 6;
            continue;
        }
        int32_t next = unit <= 0xdbff && size - i > 6 ? unit_at(text + i + 6, size - i - 6) : -1;
        if (next >= 0xdc00 && next <= 0xdfff) {
            i += 12;
            continue;
        }
        memcpy(text + i + 2, "fffd", 4);
        i += 6;
    }
}

json_t *json_text_parse(char *text, size_t size)
{
    json_text_join_surrogates(text, size);
    return json_loadb(text, size, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
}
