/* SPDX-License-Identifier: Apache-2.0 */
/* table.h - rows of texts in aligned columns. */
#ifndef NT_CORE_TABLE_H
#define NT_CORE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sdk/buf.h"

/* Most bytes of all cells together. */
#define TABLE_BYTES_MAX (256u * 1024 * 1024)

struct table {
    uint32_t columns;
    size_t *widths;      /* of each column, so far */
    struct nt_buf cells; /* texts, each with its NUL, row by row */
};

/* False: out of memory. */
bool table_init(struct table *table, uint32_t columns);
void table_done(struct table *table);
/* Adds the next cell; the text is safe for a terminal already. */
void table_add(struct table *table, uint32_t column, const char *text);
/* True while nothing was lost (memory, limit). */
bool table_ok(const struct table *table);
/* Lays out all rows and forgets them, keeping the widths. The first `bold_rows` are bold. */
void table_render(struct table *table, uint32_t bold_rows, struct nt_buf *b);

#endif
