/* SPDX-License-Identifier: Apache-2.0 */
/* utf8_check.c - checks UTF-8 that comes in pieces (RFC 3629: no overlong forms, no surrogates, up
 * to U+10FFFF). */
#include "core/net/ws_parse.h"

#include <string.h>

static bool begin(struct utf8_check *u, uint8_t ch)
{
    u->low = 0x80;
    u->high = 0xbf;
    if (ch >= 0xc2 && ch <= 0xdf) {
        u->left = 1;
    } else if (ch >= 0xe0 && ch <= 0xef) {
        u->left = 2;
        u->low = ch == 0xe0 ? 0xa0 : 0x80;
        u->high = ch == 0xed ? 0x9f : 0xbf;
    } else if (ch >= 0xf0 && ch <= 0xf4) {
        u->left = 3;
        u->low = ch == 0xf0 ? 0x90 : 0x80;
        u->high = ch == 0xf4 ? 0x8f : 0xbf;
    } else {
        return false;
    }
    return true;
}

bool utf8_check_add(struct utf8_check *u, const uint8_t *data, size_t size)
{
    size_t i = 0;
    while (i < size) {
        if (u->left == 0) {
            uint64_t eight;
            while (size - i >= sizeof(eight)) {
                memcpy(&eight, data + i, sizeof(eight));
                if (eight & 0x8080808080808080u)
                    break;
                i += sizeof(eight);
            }
            if (i == size)
                break;
            if (data[i] >= 0x80 && !begin(u, data[i]))
                return false;
        } else {
            if (data[i] < u->low || data[i] > u->high)
                return false;
            u->left--;
            u->low = 0x80;
            u->high = 0xbf;
        }
        i++;
    }
    return true;
}
