/* SPDX-License-Identifier: Apache-2.0 */
/* table.c - rows of texts in aligned columns. */
#include "table.h"

#include <stdlib.h>
#include <string.h>

#include "width.h"

#define GAP 2u

bool table_init(struct table *table, uint32_t columns)
{
    *table = (struct table){ .columns = columns, .cells = NT_BUF(TABLE_BYTES_MAX) };
    table->widths = calloc(columns ? columns : 1, sizeof(*table->widths));
    return table->widths != NULL;
}

void table_done(struct table *table)
{
    free(table->widths);
    nt_buf_done(&table->cells);
    *table = (struct table){ .cells = NT_BUF(TABLE_BYTES_MAX) };
}

void table_add(struct table *table, uint32_t column, const char *text)
{
    size_t width = width_of(text);
    if (width > table->widths[column])
        table->widths[column] = width;
    nt_buf_add_bytes(&table->cells, text, strlen(text) + 1);
}

bool table_ok(const struct table *table)
{
    return nt_buf_ok(&table->cells);
}

static void add_spaces(struct nt_buf *b, size_t count)
{
    static const char spaces[] = "                                ";
    for (; count; count -= count < sizeof(spaces) - 1 ? count : sizeof(spaces) - 1)
        nt_buf_add_bytes(b, spaces, count < sizeof(spaces) - 1 ? count : sizeof(spaces) - 1);
}

void table_render(struct table *table, uint32_t bold_rows, struct nt_buf *b)
{
    const char *at = table->cells.data, *end = at + table->cells.size;
    for (uint32_t row = 0; at && at < end; row++) {
        if (row < bold_rows)
            nt_buf_add(b, "\033[1m");
        for (uint32_t i = 0; i < table->columns && at < end; i++) {
            nt_buf_add(b, at);
            /* No spaces behind the last one: a narrow terminal would wrap them. */
            if (i + 1 < table->columns)
                add_spaces(b, table->widths[i] - width_of(at) + GAP);
            at += strlen(at) + 1;
        }
        nt_buf_add(b, row < bold_rows ? "\033[0m\n" : "\n");
    }
    nt_buf_reset(&table->cells);
}
