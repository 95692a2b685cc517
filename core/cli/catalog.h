/* SPDX-License-Identifier: Apache-2.0 */
/* catalog.h - every command as JSON: what `nanoterm commands` prints, for agents and for generated
 * documents. */
#ifndef NT_CORE_CATALOG_H
#define NT_CORE_CATALOG_H

#include "core/cli/help.h"

struct catalog_source {
    struct help_source errors;
    /* Name of the plugin that owns the command; NULL: not known. */
    const char *(*plugin)(void *data, const struct nt_command *command);
    void *data;
};

/* Adds one JSON array, a command per line. -1: out of memory. */
int catalog_add(struct nt_buf *b, const struct tree *tree, const struct catalog_source *source,
                struct nt_error *reterr);

#endif
