/* SPDX-License-Identifier: Apache-2.0 */
/* columns.c - which columns of a command are shown, and in which order. */
#include "columns.h"

#include <string.h>

#include "core/cli/tree.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

static int fail_unknown(const struct nt_command *command, const char *name, size_t length,
                        struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf known = NT_BUF(200);
    const struct nt_column *row;
    for (uint32_t i = 0; (row = tree_row(&command->columns, i)); i++)
        if (!(row->flags & NT_HIDDEN))
            nt_buf_addf(&known, "%s%s", i ? ", " : "", row->name);
    nt_fail(reterr, NT_E_USAGE, "--fields: no column '%.*s'; known: %s",
            (int)(length < 60 ? length : 60), name, nt_buf_text(&known));
    return nt_hint(reterr, "see nanoterm %s --help", command->path);
}

static int pick_named(const struct nt_command *command, const char *fields, struct columns *ret,
                      struct nt_error *reterr)
{
    for (const char *at = fields;;) {
        size_t length = strcspn(at, ",");
        const struct nt_column *row;
        uint32_t i = 0;
        for (; (row = tree_row(&command->columns, i)); i++)
            if (strlen(row->name) == length && memcmp(row->name, at, length) == 0)
                break;
        if (!row)
            return fail_unknown(command, at, length, reterr);
        if (ret->count == COLUMNS_MAX)
            return nt_fail(reterr, NT_E_USAGE, "--fields: too many columns");
        for (uint32_t j = 0; j < ret->count; j++)
            if (ret->shown[j].index == i)
                return nt_fail(reterr, NT_E_USAGE, "--fields: '%s' is named twice", row->name);
        ret->shown[ret->count++] = (struct column){ row, i };
        if (!at[length])
            return 0;
        at += length + 1;
    }
}

int columns_pick(const struct nt_command *command, const char *fields, bool is_json,
                 struct columns *ret, struct nt_error *reterr)
{
    ret->count = 0;
    if (fields && (command->columns.count == 0 || command->result == NT_RESULT_NONE)) {
        nt_fail(reterr, NT_E_USAGE, "--fields: '%s' has no columns", command->path);
        return nt_hint(reterr, "see nanoterm %s --help", command->path);
    }
    if (fields)
        return pick_named(command, fields, ret, reterr);
    const struct nt_column *row;
    for (uint32_t i = 0; (row = tree_row(&command->columns, i)) && ret->count < COLUMNS_MAX; i++)
        if (is_json || !(row->flags & (NT_WIDE | NT_HIDDEN)))
            ret->shown[ret->count++] = (struct column){ row, i };
    return 0;
}

void columns_add_title(const struct nt_column *row, bool is_table, struct nt_buf *b)
{
    const char *title = row->title ? row->title : row->name;
    for (const char *at = title; *at; at++)
        nt_buf_add_char(b, is_table && *at >= 'a' && *at <= 'z' ? (char)(*at - 'a' + 'A') : *at);
}
