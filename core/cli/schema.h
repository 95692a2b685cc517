/* SPDX-License-Identifier: Apache-2.0 */
/* schema.h - what a command writes, as JSON Schema, from its table. */
#ifndef NT_CORE_SCHEMA_H
#define NT_CORE_SCHEMA_H

#include <jansson.h>

#include "core/cli/help.h"

/* "none", "one", "list" or "stream". */
const char *schema_kind(const struct nt_command *command);
/* What stdout carries with --json: an object, an array, or (stream) one line of many; JSON null for
 * a command without a result. NULL: out of memory. */
json_t *schema_of_result(const struct nt_command *command);
/* The line that stderr carries with --json when the command fails. */
json_t *schema_of_error(const struct nt_command *command, const struct help_source *source);

#endif
