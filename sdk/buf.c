/* SPDX-License-Identifier: Apache-2.0 */
/* buf.c - builds text and bytes with a hard maximum. */
#include "buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void nt_buf_done(struct nt_buf *b)
{
    if (!b)
        return;
    free(b->data);
    *b = (struct nt_buf)NT_BUF(b->max);
}

void nt_buf_reset(struct nt_buf *b)
{
    b->size = 0;
    b->failed = false;
    if (b->data)
        b->data[0] = '\0';
}

char *nt_buf_room(struct nt_buf *b, size_t size)
{
    size_t need;
    if (b->failed || __builtin_add_overflow(b->size, size, &need) || need > b->max) {
        b->failed = true;
        return NULL;
    }
    if (need + 1 > b->cap) {
        size_t cap = b->cap ? b->cap : 256;
        while (cap < need + 1)
            cap = cap * 2;
        char *data = realloc(b->data, cap);
        if (!data) {
            b->failed = true;
            return NULL;
        }
        b->data = data;
        b->cap = cap;
    }
    return b->data + b->size;
}

void nt_buf_added(struct nt_buf *b, size_t size)
{
    b->size += size;
    b->data[b->size] = '\0';
}

void nt_buf_add_bytes(struct nt_buf *b, const void *data, size_t size)
{
    char *at = nt_buf_room(b, size);
    if (!at)
        return;
    if (size)
        memcpy(at, data, size);
    nt_buf_added(b, size);
}

void nt_buf_add(struct nt_buf *b, const char *text)
{
    nt_buf_add_bytes(b, text, strlen(text));
}

void nt_buf_add_char(struct nt_buf *b, char c)
{
    nt_buf_add_bytes(b, &c, 1);
}

void nt_buf_addf(struct nt_buf *b, const char *format, ...)
{
    va_list args, again;
    size_t room = b->cap - b->size;
    va_start(args, format);
    va_copy(again, args);
    /* mostly there is room */
    int size = vsnprintf(room ? b->data + b->size : NULL, room, format, args);
    va_end(args);
    char *at = size < 0 ? NULL : nt_buf_room(b, (size_t)size);
    if (at) {
        if ((size_t)size >= room)
            vsnprintf(at, (size_t)size + 1, format, again);
        nt_buf_added(b, (size_t)size);
    } else {
        b->failed = true;
        if (room)
            b->data[b->size] = '\0';
    }
    va_end(again);
}

void nt_buf_add_number(struct nt_buf *b, uint64_t number)
{
    char digits[20], *at = digits + sizeof(digits);
    do
        *--at = (char)('0' + number % 10);
    while (number /= 10);
    nt_buf_add_bytes(b, at, (size_t)(digits + sizeof(digits) - at));
}

static bool is_unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-'
           || c == '.' || c == '_' || c == '~';
}

void nt_buf_add_url_bytes(struct nt_buf *b, const void *data, size_t size)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < size; i++) {
        if (is_unreserved(p[i]))
            nt_buf_add_char(b, (char)p[i]);
        else
            nt_buf_addf(b, "%%%02X", p[i]);
    }
}

void nt_buf_add_url_part(struct nt_buf *b, const char *text)
{
    nt_buf_add_url_bytes(b, text, strlen(text));
}

/* Length of the UTF-8 character at p (RFC 3629: no overlong form, no surrogate, at most U+10FFFF);
 * 0: none. */
static size_t utf8_length(const unsigned char *p)
{
    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf)
        return (p[1] & 0xc0) == 0x80 ? 2 : 0;
    if (p[0] >= 0xe0 && p[0] <= 0xef) {
        unsigned char low = p[0] == 0xe0 ? 0xa0 : 0x80, high = p[0] == 0xed ? 0x9f : 0xbf;
        return p[1] >= low && p[1] <= high && (p[2] & 0xc0) == 0x80 ? 3 : 0;
    }
    if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        unsigned char low = p[0] == 0xf0 ? 0x90 : 0x80, high = p[0] == 0xf4 ? 0x8f : 0xbf;
        return p[1] >= low && p[1] <= high && (p[2] & 0xc0) == 0x80 && (p[3] & 0xc0) == 0x80 ? 4
                                                                                             : 0;
    }
    return 0;
}

void nt_buf_add_printable(struct nt_buf *b, const char *text, bool keep_lines)
{
    const unsigned char *p = (const unsigned char *)text;
    while (*p) {
        size_t length = utf8_length(p);
        bool is_c1 = length == 2 && p[0] == 0xc2 && p[1] < 0xa0;
        if (length > 1 && !is_c1) {
            nt_buf_add_bytes(b, p, length);
        } else if (length == 1
                   && ((p[0] >= 0x20 && p[0] != 0x7f)
                       || (keep_lines && (*p == '\n' || *p == '\t')))) {
            nt_buf_add_char(b, (char)*p);
        } else {
            length = length ? length : 1;
            for (size_t i = 0; i < length; i++)
                nt_buf_addf(b, "\\x%02x", p[i]);
        }
        p += length;
    }
}

void nt_buf_drop(struct nt_buf *b, size_t size)
{
    if (size == 0)
        return;
    memmove(b->data, b->data + size, b->size - size);
    b->size -= size;
    b->data[b->size] = '\0';
}

const char *nt_buf_text(const struct nt_buf *b)
{
    return b->data ? b->data : "";
}

char *nt_buf_take(struct nt_buf *b)
{
    if (!b->failed && !b->data)
        nt_buf_add(b, "");
    if (b->failed) {
        nt_buf_done(b);
        return NULL;
    }
    char *data = b->data;
    *b = (struct nt_buf)NT_BUF(b->max);
    return data;
}
