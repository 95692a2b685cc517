/* SPDX-License-Identifier: Apache-2.0 */
/* columns.h - which columns of a command are shown, and in which order. */
#ifndef NT_CORE_COLUMNS_H
#define NT_CORE_COLUMNS_H

#include <stdbool.h>

#include "nanoterm/plugin.h"
#include "sdk/buf.h"

/* Most columns of one command. */
#define COLUMNS_MAX 64u

struct column {
    const struct nt_column *row;
    uint32_t index; /* in the table of the command */
};

struct columns {
    struct column shown[COLUMNS_MAX];
    uint32_t count;
};

/* `fields` is "a,b", or NULL for the default: all in JSON, all but NT_WIDE for a person. NT_E_USAGE
 * names the known ones when one is not known. */
int columns_pick(const struct nt_command *command, const char *fields, bool is_json,
                 struct columns *ret, struct nt_error *reterr);
/* Adds the heading: the title, else the name; in capitals for a table. */
void columns_add_title(const struct nt_column *row, bool is_table, struct nt_buf *b);

#endif
