/* SPDX-License-Identifier: Apache-2.0 */
/* catalog.h - every command as JSON: what `nanoterm commands` prints, for agents and for generated
 * documents. */
#ifndef NT_CORE_CATALOG_H
#define NT_CORE_CATALOG_H

#include <jansson.h>

#include "core/cli/help.h"

struct catalog_source {
    struct help_source errors;
    /* Name of the plugin that owns the command; NULL: not known. */
    const char *(*plugin)(void *data, const struct nt_command *command);
    void *data;
};

/* One command as an object; NULL: out of memory. */
json_t *catalog_of(const struct nt_command *command, const struct catalog_source *source);

#endif
