/* SPDX-License-Identifier: Apache-2.0 */
/* view.h - the commands of one group as the whole tree: its words without the group's, and a few of
 * the core beside them. */
#ifndef NT_CORE_VIEW_H
#define NT_CORE_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "nanoterm/plugin.h"

struct view {
    const char *prefix;      /* the group: "enforce" */
    const char *const *kept; /* commands of the core that stay; NULL at the end */
    /* Options that every command of the group has, and that may stand before the command, too. */
    const struct nt_opt *opts;
    uint32_t opt_count;
    const char *const *hidden; /* global options that mean nothing there; NULL at the end */
};

/* A command of the view and the one that it stands for. */
struct view_row {
    struct nt_command command;
    const struct nt_command *origin;
    struct nt_alias *aliases;
    struct nt_example *examples;
};

/* Replaces *commands and *groups (sorted, their counts) by those of the view; *ret_rows and
 * *ret_groups are what they point to then. -1: out of memory, nothing is changed. */
int view_apply(const struct view *view, const struct nt_command **commands, uint32_t *count,
               const struct nt_group **groups, uint32_t *group_count, struct view_row **ret_rows,
               struct nt_group **ret_groups);
/* Takes a command anew, of which there was only the name. -1: out of memory. */
int view_renew(const struct view *view, struct view_row *row);
void view_free(struct view_row *rows, uint32_t count, struct nt_group *groups);

#endif
