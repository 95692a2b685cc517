/* SPDX-License-Identifier: Apache-2.0 */
/* cell.h - one value of a result: from a plugin, as JSON, as text for a person. */
#ifndef NT_CORE_CELL_H
#define NT_CORE_CELL_H

#include <jansson.h>

#include "nanoterm/host.h"
#include "sdk/buf.h"

/* A new reference; NULL only when out of memory. Text that is not UTF-8 gets its bytes escaped. */
json_t *cell_of_value(const struct nt_value *value);
/* A text as a JSON string; never fails for its content. */
json_t *cell_of_text(const char *text);
/* The value at a path of keys separated by dots; borrowed; NULL: not there. */
json_t *cell_at(json_t *object, const char *path);
/* Adds what a person reads; null is "-". Nothing in it moves a cursor. `type` is the column's. */
void cell_add_text(struct nt_buf *b, json_t *value, uint32_t type);

#endif
