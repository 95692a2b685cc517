/* SPDX-License-Identifier: Apache-2.0 */
/* error_line.h - an error as it is told: two lines for a person, one JSON line for a program.
 *
 * Makes text only; main.c writes it. */
#ifndef NT_CORE_ERROR_LINE_H
#define NT_CORE_ERROR_LINE_H

#include <stdbool.h>

#include "nanoterm/plugin.h"
#include "sdk/buf.h"

/* The row of any code: `plugin` is that of a plugin's own number, or NULL. An unknown number is an
 * internal error. */
struct nt_error_row error_line_row(uint32_t code, const struct nt_error_row *plugin);
/* "PROGRAM: message", then "hint: ..." when there is one. */
void error_line_add_text(struct nt_buf *b, const struct nt_error *error,
                         const struct nt_error_row *row, const char *program, bool color);
/* A member of that line: its name, the JSON type that it has, and what it says. */
struct error_line_member {
    const char *name, *type, *help;
    bool can_be_null;
};

/* The index-th member; false: no more. */
bool error_line_member(uint32_t index, struct error_line_member *ret);
/* Members, in this order: level kind code message retryable request_sent attempt status upstream
 * request_id hint. */
void error_line_add_json(struct nt_buf *b, const struct nt_error *error,
                         const struct nt_error_row *row);
/* What --status-fd gets: {"by":"tool|runtime|program","status":N,"code":"..."|null,"limits_hit":
 * ["memory"|"pids"|"disk"…]}; members may be added. `code` may be NULL; limits: NT_LIMIT_*. */
void error_line_add_status(struct nt_buf *b, uint32_t by, uint32_t status, const char *code,
                           uint32_t limits);

#endif
