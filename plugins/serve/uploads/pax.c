/* SPDX-License-Identifier: Apache-2.0 */
/* pax.c - the names of one PAX entry as the archive spells them. libarchive composes them (NFC),
 * and "e" with an accent after it would arrive as a file of another name. What is found here is
 * checked like any other name; what is not, is taken from libarchive.
 *
 * Source: POSIX pax, "pax Extended Header": a header block of type 'x', then "LENGTH KEY=VALUE\n".
 */
#include <stdlib.h>
#include <string.h>

#include "plugins/serve/uploads/uploads.h"
#include "sdk/cleanup.h"

#define BLOCK 512u
#define TYPE_AT 156u
#define SIZE_AT 124u
#define SIZE_DIGITS 11u
#define RECORDS_MAX (64u * 1024)

static bool read_all(struct staged *s, uint64_t at, char *ret, size_t size)
{
    while (size) {
        ssize_t n = staged_read(s, at, ret, size);
        if (n <= 0)
            return false;
        at += (uint64_t)n;
        ret += n;
        size -= (size_t)n;
    }
    return true;
}

/* Digits of that base at the front; ret_used: how many. */
static size_t number_at(const char *text, size_t size, unsigned base, size_t *ret_used)
{
    size_t value = 0, i = 0;
    for (; i < size && i < SIZE_DIGITS && text[i] >= '0' && text[i] < (char)('0' + base); i++)
        value = value * base + (size_t)(text[i] - '0');
    *ret_used = i;
    return value;
}

static void keep(char **ret, const char *value, size_t size)
{
    if (memchr(value, 0, size))
        return;
    free(*ret);
    *ret = strndup(value, size);
}

void pax_names(struct staged *s, uint64_t header_at, char **ret_path, char **ret_target)
{
    char block[BLOCK];
    size_t used;
    *ret_path = *ret_target = NULL;
    if (!read_all(s, header_at, block, sizeof(block)) || block[TYPE_AT] != 'x')
        return;
    size_t size = number_at(block + SIZE_AT, SIZE_DIGITS, 8, &used);
    nt_autofree char *records = size && size <= RECORDS_MAX ? malloc(size) : NULL;
    if (!records || !read_all(s, header_at + BLOCK, records, size))
        return;
    for (size_t at = 0; at < size;) {
        size_t length = number_at(records + at, size - at, 10, &used);
        if (!used || length > size - at || length < used + 3 || records[at + used] != ' '
            || records[at + length - 1] != '\n')
            return;
        const char *key = records + at + used + 1;
        size_t left = length - used - 2; /* KEY=VALUE */
        const char *equals = memchr(key, '=', left);
        if (!equals)
            return;
        size_t key_size = (size_t)(equals - key);
        if (key_size == 4 && !memcmp(key, "path", 4))
            keep(ret_path, equals + 1, left - key_size - 1);
        if (key_size == 8 && !memcmp(key, "linkpath", 8))
            keep(ret_target, equals + 1, left - key_size - 1);
        at += length;
    }
}
