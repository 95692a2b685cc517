/* SPDX-License-Identifier: Apache-2.0 */
/* utf8_text.h - turns bytes that come in pieces into UTF-8 text: a character cut by a border
 * between two pieces is kept for the next one, what is not UTF-8 becomes U+FFFD. */
#ifndef NT_SERVE_API_UTF8_TEXT_H
#define NT_SERVE_API_UTF8_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sdk/buf.h"

/* What is left of the last piece. Starts as zeros. */
struct utf8_text {
    uint8_t tail[4];
    uint32_t tail_size;
};

/* Bytes of text that `size` bytes can become at the most. */
#define UTF8_TEXT_MAX(size) (((size) + 4) * 3)

/* Appends the text of these bytes to ret; an incomplete character at the end is kept back. */
void utf8_text_add(struct utf8_text *t, const void *bytes, size_t size, struct nt_buf *ret);
/* No more bytes will come: what was kept back becomes one U+FFFD. */
void utf8_text_end(struct utf8_text *t, struct nt_buf *ret);
bool utf8_is_valid(const void *bytes, size_t size);
/* A JSON string of any bytes. NULL: out of memory. */
json_t *utf8_json(const void *bytes, size_t size);

#endif
