/* SPDX-License-Identifier: Apache-2.0 */
/* check.h - is a plugin's table a good one? Stops the build of a plugin with the name of the
 * row. */
#ifndef NT_CORE_CHECK_H
#define NT_CORE_CHECK_H

#include <stdbool.h>

#include "nanoterm/plugin.h"

/* [a-z][a-z0-9-]*, at most 32 bytes. */
bool check_is_plugin_name(const char *name);

/* Everything that help, parser and catalog rely on. needs_pointers: run and ops must be set, and
 * schemas be JSON (false: the tables are those of a manifest). `plugin` has rows of this build's
 * size. NT_E_PLUGIN_FAILED names command, row and reason. */
int check_tables(const struct nt_plugin *plugin, bool needs_pointers, struct nt_error *reterr);
/* Of tables of which only the names are read (manifest_read_names): what can be said of those. That
 * no name is there twice is left to the build and to check_tables. */
int check_names(const struct nt_plugin *plugin, struct nt_error *reterr);
/* The row of one command of them, once it is read. */
int check_row(const struct nt_plugin *plugin, uint32_t index, struct nt_error *reterr);

#endif
