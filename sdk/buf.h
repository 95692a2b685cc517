/* SPDX-License-Identifier: Apache-2.0 */
/* buf.h - builds text and bytes with a hard maximum.
 *
 * A buffer is born with its maximum; a failure (too long, out of memory) sticks, so one check at
 * the end is enough. The content is always NUL-terminated. */
#ifndef NT_SDK_BUF_H
#define NT_SDK_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct nt_buf {
    char *data;  /* NULL while empty */
    size_t size; /* bytes, without the NUL */
    size_t cap;
    size_t max;
    bool failed;
};

#define NT_BUF(maximum)                                                                            \
    {                                                                                              \
        .max = (maximum)                                                                           \
    }

void nt_buf_done(struct nt_buf *b);  /* frees; the buffer is empty and usable again */
void nt_buf_reset(struct nt_buf *b); /* empties, keeps the memory, clears the failure */
void nt_buf_add(struct nt_buf *b, const char *text);
void nt_buf_add_bytes(struct nt_buf *b, const void *data, size_t size);
void nt_buf_add_char(struct nt_buf *b, char c);
void nt_buf_addf(struct nt_buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* In decimal digits; for hot paths, where printf is a tenth of the work. */
void nt_buf_add_number(struct nt_buf *b, uint64_t number);
/* Percent-encodes all but A-Z a-z 0-9 - . _ ~ (RFC 3986 section 2.3). */
void nt_buf_add_url_part(struct nt_buf *b, const char *text);
void nt_buf_add_url_bytes(struct nt_buf *b, const void *data, size_t size);
/* Text of a server or a program made safe for a terminal: control characters, C1, DEL and invalid
 * UTF-8 become visible escapes; newline and tab stay only when keep_lines. */
void nt_buf_add_printable(struct nt_buf *b, const char *text, bool keep_lines);
/* Makes room and returns where `size` bytes may be written; NULL: failed. Follow with
 * nt_buf_added. */
char *nt_buf_room(struct nt_buf *b, size_t size);
void nt_buf_added(struct nt_buf *b, size_t size);
/* Removes bytes at the front. */
void nt_buf_drop(struct nt_buf *b, size_t size);
static inline bool nt_buf_ok(const struct nt_buf *b)
{
    return !b->failed;
}
/* The text; "" while empty. */
const char *nt_buf_text(const struct nt_buf *b);
/* Hands the memory over (free it); NULL when failed. Empty gives "". */
char *nt_buf_take(struct nt_buf *b);

#ifdef __cplusplus
}
#endif

#endif
