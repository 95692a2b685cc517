/* SPDX-License-Identifier: Apache-2.0 */
/* show.h - a profile as JSON, the differences of two, and the schema of all: made of the table of
 * keys. */
#ifndef NT_ENFORCE_POLICY_SHOW_H
#define NT_ENFORCE_POLICY_SHOW_H

#include <jansson.h>

#include "plugins/sandbox-enforce/policy/profile.h"

/* Every section with every key; what is not said is null or empty. NULL: out of memory. */
json_t *profile_to_json(const struct profile *profile);
/* The same as a profile that can be read again: without what is empty. */
json_t *profile_to_text(const struct profile *profile);
/* For each section the keys that differ: {added, removed} for lists, {from, to} for others. */
json_t *profile_compare(const json_t *a, const json_t *b);
/* JSON Schema (draft 2020-12). */
json_t *profile_schema(void);

/* commands_schema.c */
json_t *command_policies_schema(void);

#endif
