/* SPDX-License-Identifier: Apache-2.0 */
/* width.c - how many columns of a terminal a text takes.
 *
 * wcwidth() of the C library needs setlocale(), which costs more than the rest of a start; the
 * ranges below are those of Unicode 15 that matter for a table (EastAsianWidth W and F; general
 * categories Mn, Me, Cf), joined where only unassigned characters lie between. */
#include "width.h"

#include <string.h>

struct range {
    uint32_t first, last;
};

static const struct range none[] = {
    { 0x0300, 0x036f }, { 0x0483, 0x0489 },   { 0x0591, 0x05bd },   { 0x0610, 0x061a },
    { 0x064b, 0x065f }, { 0x06d6, 0x06dc },   { 0x0900, 0x0902 },   { 0x093c, 0x093c },
    { 0x0941, 0x0948 }, { 0x094d, 0x094d },   { 0x0e31, 0x0e31 },   { 0x0e34, 0x0e3a },
    { 0x0e47, 0x0e4e }, { 0x1ab0, 0x1aff },   { 0x1dc0, 0x1dff },   { 0x200b, 0x200f },
    { 0x202a, 0x202e }, { 0x2060, 0x2064 },   { 0x2066, 0x206f },   { 0x20d0, 0x20f0 },
    { 0x302a, 0x302d }, { 0x3099, 0x309a },   { 0xfe00, 0xfe0f },   { 0xfe20, 0xfe2f },
    { 0xfeff, 0xfeff }, { 0xe0001, 0xe007f }, { 0xe0100, 0xe01ef },
};

static const struct range two[] = {
    { 0x1100, 0x115f },   { 0x231a, 0x231b },   { 0x2329, 0x232a },   { 0x23e9, 0x23ec },
    { 0x25fd, 0x25fe },   { 0x2614, 0x2615 },   { 0x2648, 0x2653 },   { 0x26a1, 0x26a1 },
    { 0x2705, 0x2705 },   { 0x270a, 0x270b },   { 0x2728, 0x2728 },   { 0x274c, 0x274c },
    { 0x2753, 0x2755 },   { 0x2795, 0x2797 },   { 0x2b1b, 0x2b1c },   { 0x2b50, 0x2b50 },
    { 0x2b55, 0x2b55 },   { 0x2e80, 0x3029 },   { 0x302e, 0x303e },   { 0x3041, 0x3098 },
    { 0x309b, 0x4dbf },   { 0x4e00, 0xa4cf },   { 0xa960, 0xa97c },   { 0xac00, 0xd7a3 },
    { 0xf900, 0xfaff },   { 0xfe10, 0xfe19 },   { 0xfe30, 0xfe6f },   { 0xff01, 0xff60 },
    { 0xffe0, 0xffe6 },   { 0x16fe0, 0x18d08 }, { 0x1aff0, 0x1b2fb }, { 0x1f004, 0x1f004 },
    { 0x1f0cf, 0x1f0cf }, { 0x1f18e, 0x1f18e }, { 0x1f191, 0x1f19a }, { 0x1f200, 0x1f320 },
    { 0x1f32d, 0x1f335 }, { 0x1f337, 0x1f37c }, { 0x1f37e, 0x1f393 }, { 0x1f3a0, 0x1f3ca },
    { 0x1f3cf, 0x1f3d3 }, { 0x1f3e0, 0x1f3f0 }, { 0x1f3f4, 0x1f3f4 }, { 0x1f3f8, 0x1f43e },
    { 0x1f440, 0x1f440 }, { 0x1f442, 0x1f4fc }, { 0x1f4ff, 0x1f53d }, { 0x1f54b, 0x1f567 },
    { 0x1f5fb, 0x1f64f }, { 0x1f680, 0x1f6c5 }, { 0x1f6cc, 0x1f6d2 }, { 0x1f6d5, 0x1f6d7 },
    { 0x1f6dc, 0x1f6df }, { 0x1f6eb, 0x1f6fc }, { 0x1f7e0, 0x1f7f0 }, { 0x1f90c, 0x1f9ff },
    { 0x1fa70, 0x1faff }, { 0x20000, 0x3fffd },
};

static int is_in(const struct range *ranges, size_t count, uint32_t c)
{
    size_t low = 0;
    while (low < count) {
        size_t middle = low + (count - low) / 2;
        if (c > ranges[middle].last)
            low = middle + 1;
        else if (c < ranges[middle].first)
            count = middle;
        else
            return 1;
    }
    return 0;
}

unsigned width_of_char(uint32_t c)
{
    if (c < 0x300)
        return 1;
    if (is_in(none, sizeof(none) / sizeof(none[0]), c))
        return 0;
    return is_in(two, sizeof(two) / sizeof(two[0]), c) ? 2 : 1;
}

size_t width_of_bytes(const char *text, size_t size)
{
    size_t width = 0;
    const unsigned char *end = (const unsigned char *)text + size;
    for (const unsigned char *p = (const unsigned char *)text; p < end;) {
        /* The text is well-formed, or made so by escapes; a stray byte counts as one column. */
        unsigned length = *p < 0xc0 ? 1 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4;
        uint32_t c = length == 1 ? *p : *p & (0x7fu >> length);
        unsigned i = 1;
        for (; i < length && i < (size_t)(end - p) && (p[i] & 0xc0) == 0x80; i++)
            c = c << 6 | (p[i] & 0x3fu);
        width += i == length ? width_of_char(c) : 1;
        p += i;
    }
    return width;
}

size_t width_of(const char *text)
{
    return width_of_bytes(text, strlen(text));
}
