/* SPDX-License-Identifier: Apache-2.0 */
/* width.h - how many columns of a terminal a text takes. */
#ifndef NT_CORE_WIDTH_H
#define NT_CORE_WIDTH_H

#include <stddef.h>
#include <stdint.h>

/* Columns of UTF-8 text without control characters (nt_buf_add_printable): wide East Asian
 * characters and emoji take two, combining marks and joiners none. Needs no locale. */
size_t width_of(const char *text);
/* The same for `size` bytes. */
size_t width_of_bytes(const char *text, size_t size);
/* The same for one character. */
unsigned width_of_char(uint32_t c);

#endif
