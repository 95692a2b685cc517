/* SPDX-License-Identifier: Apache-2.0 */
/* help.h - --help of everything, from the tables; makes text, writes nothing. */
#ifndef NT_CORE_HELP_H
#define NT_CORE_HELP_H

#include "core/cli/tree.h"

/* What help asks of the plugins; NULL members: not known. */
struct help_source {
    /* The row of an error code of this command's plugin or of the core; false: none. */
    bool (*error_row)(void *data, const struct nt_command *command, uint32_t code,
                      struct nt_error_row *ret);
    void *data;
    const char *program; /* NULL: nanoterm */
};

/* The whole tree, by groups. */
void help_add_tree(struct nt_buf *b, const struct tree *tree);
/* One group: "ws", or deeper. */
void help_add_group(struct nt_buf *b, const struct tree *tree, const char *path);
void help_add_command(struct nt_buf *b, const struct nt_command *command,
                      const struct help_source *source);
/* Adds text with its lines broken at words before column 80; lines after the first begin with
 * `indent` spaces. `at` is the column where the text begins. */
void help_add_wrapped(struct nt_buf *b, const char *text, size_t at, size_t indent);

#endif
