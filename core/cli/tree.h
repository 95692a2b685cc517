/* SPDX-License-Identifier: Apache-2.0 */
/* tree.h - the commands and groups that a user can name, and finding one by its words.
 *
 * A tree only points at tables: it knows no plugin, so that tests make one from an array. */
#ifndef NT_CORE_TREE_H
#define NT_CORE_TREE_H

#include <stdbool.h>

#include "core/plugin/view.h"
#include "nanoterm/error.h"
#include "nanoterm/plugin.h"
#include "sdk/buf.h"

struct tree {
    const struct nt_command **commands; /* sorted by path */
    uint32_t count;
    uint32_t group_count;
    const struct nt_group **groups; /* sorted by name */
    const char *stock;              /* file of the list of packages (core/plugin/stock.h); NULL: the
                                     * installation's */
    const char *program;            /* its name for a person; NULL: nanoterm */
    /* Reads the rest of a command of which only the names are known; NULL: all are whole. */
    int (*fill)(void *data, const struct nt_command *command, struct nt_error *reterr);
    void *data;
    const struct view *view; /* whose options may stand before a command; NULL: none */
};

/* Longest command path that is looked at, in bytes. */
/* nt_arg.flags of the core alone, for external commands: takes all words that follow, options, too.
 */
#define TREE_ARG_WORDS 0x80000000u
#define TREE_PATH_MAX 128u
/* Most suggestions for one mistyped word. */
#define TREE_SUGGESTIONS 3u

/* The index-th row of a table, read through its stride; NULL: no more. */
const void *tree_row(const struct nt_table *table, uint32_t index);

const char *tree_program(const struct tree *tree);
/* The command with this path or alias; NULL: none. */
const struct nt_command *tree_command(const struct tree *tree, const char *path);
/* True when a command or an alias begins with the words of path and has more. */
bool tree_is_group(const struct tree *tree, const char *path);
/* True when path is one word of a command, an alias or a group, or several that lead to one. */
bool tree_leads_on(const struct tree *tree, const char *path);
const struct nt_group *tree_group(const struct tree *tree, const char *name);

/* Adds " (did you mean 'x' or 'y'?)" for the commands close to path; nothing when there are
 * none. */
void tree_suggest_commands(const struct tree *tree, const char *path, struct nt_buf *b);
/* The same for the options of a command. `typed` is without dashes. */
void tree_suggest_options(const struct nt_command *command, const char *typed, struct nt_buf *b);

#endif
