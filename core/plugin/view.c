/* SPDX-License-Identifier: Apache-2.0 */
/* view.c - copies of the rows of one group, with shorter names: texts and tables stay those of the
 * plugin. */
#include "view.h"

#include <stdlib.h>
#include <string.h>

/* What stands behind "PREFIX "; NULL: PATH is not below it. */
static const char *below(const struct view *view, const char *path)
{
    size_t length = strlen(view->prefix);
    return strncmp(path, view->prefix, length) == 0 && path[length] == ' ' ? path + length + 1
                                                                           : NULL;
}

static bool is_kept(const struct view *view, const char *path)
{
    for (const char *const *name = view->kept; name && *name; name++)
        if (strcmp(*name, path) == 0)
            return true;
    return false;
}

static const void *row_at(const struct nt_table *table, uint32_t index)
{
    return (const char *)table->rows + (size_t)index * table->stride;
}

/* Other spellings below the prefix; those elsewhere have no place here. */
static bool take_aliases(const struct view *view, struct view_row *row)
{
    const struct nt_table *table = &row->origin->aliases;
    uint32_t used = 0;
    row->aliases = calloc(table->count + 1, sizeof(*row->aliases));
    if (!row->aliases)
        return false;
    for (uint32_t i = 0; i < table->count; i++) {
        struct nt_alias alias;
        memcpy(&alias, row_at(table, i), sizeof(alias));
        alias.path = below(view, alias.path);
        if (alias.path)
            row->aliases[used++] = alias;
    }
    row->command.aliases = (struct nt_table){ row->aliases, used, sizeof(*row->aliases) };
    return true;
}

static bool take_examples(const struct view *view, struct view_row *row)
{
    const struct nt_table *table = &row->origin->examples;
    row->examples = calloc(table->count + 1, sizeof(*row->examples));
    if (!row->examples)
        return false;
    for (uint32_t i = 0; i < table->count; i++) {
        memcpy(&row->examples[i], row_at(table, i), sizeof(row->examples[i]));
        const char *shorter = below(view, row->examples[i].command);
        if (shorter)
            row->examples[i].command = shorter;
    }
    row->command.examples =
        (struct nt_table){ row->examples, table->count, sizeof(*row->examples) };
    return true;
}

static bool take_command(const struct view *view, const struct nt_command *command,
                         struct view_row *row)
{
    const char *path = below(view, command->path);
    *row = (struct view_row){ .command = *command, .origin = command };
    if (!path)
        return true; /* one that is kept */
    row->command.path = path;
    return take_aliases(view, row) && take_examples(view, row);
}

int view_renew(const struct view *view, struct view_row *row)
{
    free(row->aliases);
    free(row->examples);
    return take_command(view, row->origin, row) ? 0 : -1;
}

void view_free(struct view_row *rows, uint32_t count, struct nt_group *groups)
{
    for (uint32_t i = 0; rows && i < count; i++) {
        free(rows[i].aliases);
        free(rows[i].examples);
    }
    free(rows);
    free(groups);
}

int view_apply(const struct view *view, const struct nt_command **commands, uint32_t *count,
               const struct nt_group **groups, uint32_t *group_count, struct view_row **ret_rows,
               struct nt_group **ret_groups)
{
    struct view_row *rows = calloc((size_t)*count + 1, sizeof(*rows));
    struct nt_group *shown = calloc((size_t)*group_count + 1, sizeof(*shown));
    uint32_t used = 0, used_groups = 0;
    bool is_good = rows && shown;
    for (uint32_t i = 0; i < *count && is_good; i++)
        if (below(view, commands[i]->path) || is_kept(view, commands[i]->path))
            is_good = take_command(view, commands[i], &rows[used++]);
    if (!is_good) {
        view_free(rows, used, shown);
        return -1;
    }
    for (uint32_t i = 0; i < *group_count; i++)
        if (below(view, groups[i]->name)) {
            shown[used_groups] = *groups[i];
            shown[used_groups++].name = below(view, groups[i]->name);
        }
    for (uint32_t i = 0; i < used; i++)
        commands[i] = &rows[i].command;
    for (uint32_t i = 0; i < used_groups; i++)
        groups[i] = &shown[i];
    *count = used;
    *group_count = used_groups;
    *ret_rows = rows;
    *ret_groups = shown;
    return 0;
}
