/* SPDX-License-Identifier: Apache-2.0 */
/* known.h - the tree of all plugins that were found, and what help asks of them. */
#ifndef NT_CORE_KNOWN_H
#define NT_CORE_KNOWN_H

#include "core/cli/catalog.h"
#include "core/plugin/plugins.h"

/* Points at the tables of the plugins, which must outlive it. */
int known_tree(const struct plugins *plugins, struct tree *ret, struct nt_error *reterr);
void known_tree_done(struct tree *tree);
/* `plugins` must outlive it. */
struct catalog_source known_source(const struct plugins *plugins);
/* Adds the help of a command, a group or, with path "", the whole tree. */
void known_add_help(struct nt_buf *b, const struct plugins *plugins, const struct tree *tree,
                    const char *path, const struct nt_command *command);

#endif
