/* SPDX-License-Identifier: Apache-2.0 */
/* man.h - man pages from the tables: one for the program, one for each command (roff, man(7)),
 * under the program's name in a tree. Written at build time; makes text, writes nothing. */
#ifndef NT_CORE_MAN_H
#define NT_CORE_MAN_H

#include "core/cli/help.h"

/* nanoterm(1), or nono(1): what it is for, the commands, files and environment. */
void man_add_program(struct nt_buf *b, const struct tree *tree, const char *version);
/* nanoterm-ws-create(1), by the program's name in `source`. */
void man_add_command(struct nt_buf *b, const struct nt_command *command,
                     const struct help_source *source, const char *version);
/* Name of the page without ".1": words joined by '-'. */
void man_add_name(struct nt_buf *b, const char *program, const struct nt_command *command);

#endif
