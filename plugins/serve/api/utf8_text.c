/* SPDX-License-Identifier: Apache-2.0 */
/* utf8_text.c - bytes of programs as text for JSON. Replacement follows "maximal subpart" (Unicode
 * 15, section 3.9, table 3-8), as other decoders do, so that lengths agree with what a client would
 * have made of the bytes. */
#include "plugins/serve/api/utf8_text.h"

#include <string.h>

#define REPLACEMENT "\xEF\xBF\xBD"

/* Looks at the character at p: > 0: its bytes; 0: it is cut off by the end; < 0: minus the bytes
 * that one U+FFFD stands for. */
static int look(const uint8_t *p, size_t size)
{
    uint8_t c = p[0];
    if (c < 0x80)
        return 1;
    int need = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : 2;
    if (c < 0xC2 || c > 0xF4)
        return -1;
    /* bounds of the second byte: no overlong form, no surrogate, no more than U+10FFFF */
    uint8_t low = 0x80, high = 0xBF;
    if (c == 0xE0)
        low = 0xA0;
    else if (c == 0xED)
        high = 0x9F;
    else if (c == 0xF0)
        low = 0x90;
    else if (c == 0xF4)
        high = 0x8F;
    for (int i = 1; i < need; i++) {
        if ((size_t)i >= size)
            return 0;
        if (p[i] < low || p[i] > high)
            return -i;
        low = 0x80;
        high = 0xBF;
    }
    return need;
}

/* Adds all whole characters of p; returns the bytes at its end that were not used. */
static size_t add_whole(const uint8_t *p, size_t size, struct nt_buf *ret)
{
    size_t start = 0, at = 0;
    while (at < size) {
        if (p[at] < 0x80) {
            at++;
            continue;
        }
        int n = look(p + at, size - at);
        if (n > 0) {
            at += (size_t)n;
            continue;
        }
        nt_buf_add_bytes(ret, p + start, at - start);
        start = at;
        if (n == 0)
            break;
        nt_buf_add(ret, REPLACEMENT);
        at += (size_t)-n;
        start = at;
    }
    nt_buf_add_bytes(ret, p + start, at - start);
    return size - at;
}

void utf8_text_add(struct utf8_text *t, const void *bytes, size_t size, struct nt_buf *ret)
{
    const uint8_t *p = bytes;
    while (t->tail_size && size) {
        t->tail[t->tail_size++] = *p++;
        size--;
        size_t left = add_whole(t->tail, t->tail_size, ret);
        memmove(t->tail, t->tail + (t->tail_size - left), left);
        t->tail_size = (uint32_t)left;
    }
    if (!size)
        return;
    size_t left = add_whole(p, size, ret);
    memcpy(t->tail, p + (size - left), left);
    t->tail_size = (uint32_t)left;
}

void utf8_text_end(struct utf8_text *t, struct nt_buf *ret)
{
    if (t->tail_size)
        nt_buf_add(ret, REPLACEMENT);
    t->tail_size = 0;
}

bool utf8_is_valid(const void *bytes, size_t size)
{
    const uint8_t *p = bytes;
    for (size_t at = 0; at < size;) {
        int n = look(p + at, size - at);
        if (n <= 0)
            return false;
        at += (size_t)n;
    }
    return true;
}

json_t *utf8_json(const void *bytes, size_t size)
{
    if (utf8_is_valid(bytes, size))
        return json_stringn_nocheck(size ? bytes : "", size);
    struct utf8_text t = { 0 };
    struct nt_buf text = NT_BUF(UTF8_TEXT_MAX(size));
    utf8_text_add(&t, bytes, size, &text);
    utf8_text_end(&t, &text);
    json_t *json = nt_buf_ok(&text) ? json_stringn_nocheck(nt_buf_text(&text), text.size) : NULL;
    nt_buf_done(&text);
    return json;
}
