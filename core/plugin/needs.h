/* SPDX-License-Identifier: Apache-2.0 */
/* needs.h - what a plugin declares that it uses: are the rows good, and how they are told. */
#ifndef NT_CORE_NEEDS_H
#define NT_CORE_NEEDS_H

#include <jansson.h>
#include <stdbool.h>

#include "nanoterm/plugin.h"
#include "sdk/buf.h"

/* NT_E_PLUGIN_FAILED names the row that is wrong. */
int needs_check(const struct nt_plugin *plugin, struct nt_error *reterr);
/* "route", "host", "read", "write", "program"; "unknown" for a kind of a newer nanoterm. */
const char *needs_kind(uint32_t kind);
/* The same backwards; 0: no such kind. */
uint32_t needs_kind_of(const char *name);
/* The index-th row. */
const struct nt_need *needs_at(const struct nt_table *needs, uint32_t index);
bool needs_has_kind(const struct nt_table *needs, uint32_t kind);
/* A list of {"kind", "value", "why"}: the rows, and a "variable" for each environment variable that
 * an option of its commands reads. NULL: out of memory. */
json_t *needs_to_json(const struct nt_plugin *plugin);
/* The same as lines for a person. */
void needs_add_lines(const struct nt_plugin *plugin, struct nt_buf *b);
/* true when the two declare the same rows and variables. */
bool needs_are_equal(const struct nt_plugin *a, const struct nt_plugin *b);

/* A variable that carries a credential of the core itself: no plugin of others may read it. ENTRY
 * is "NAME" or "NAME=value". */
bool needs_is_core_variable(const char *entry);
/* "host:port" taken apart; `ret_host` without brackets. false: it is not one. */
bool needs_split_host(const char *value, char *ret_host, size_t size, uint32_t *ret_port);

#endif
