/* SPDX-License-Identifier: Apache-2.0 */
/* known.c - the tree of all plugins that were found, and what help asks of them. */
#include "known.h"

#include <stdlib.h>
#include <string.h>

#include "core/cli/personality.h"
#include "sdk/error.h"

/* Most commands and groups of all plugins together. */
#define KNOWN_MAX 65536u

int known_tree(const struct plugins *plugins, struct tree *ret, struct nt_error *reterr)
{
    struct tree tree = { .commands = NULL };
    while (tree.count < KNOWN_MAX && plugins_command_at(plugins, tree.count))
        tree.count++;
    while (tree.group_count < KNOWN_MAX && plugins_group_at(plugins, tree.group_count))
        tree.group_count++;
    tree.commands = calloc(tree.count + 1, sizeof(*tree.commands));
    tree.groups = calloc(tree.group_count + 1, sizeof(*tree.groups));
    if (!tree.commands || !tree.groups) {
        known_tree_done(&tree);
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    }
    for (uint32_t i = 0; i < tree.count; i++)
        tree.commands[i] = plugins_command_at(plugins, i);
    for (uint32_t i = 0; i < tree.group_count; i++)
        tree.groups[i] = plugins_group_at(plugins, i);
    tree.program = plugins_called(plugins);
    tree.view = plugins_view(plugins);
    *ret = tree;
    return 0;
}

void known_tree_done(struct tree *tree)
{
    if (!tree)
        return;
    free(tree->commands);
    free(tree->groups);
    *tree = (struct tree){ .commands = NULL };
}

static bool error_row(void *data, const struct nt_command *command, uint32_t code,
                      struct nt_error_row *ret)
{
    const struct plugins *plugins = data;
    if (!plugins_error_row(plugins, plugins_owner(plugins, command), code, ret))
        return false;
    ret->exit_status =
        personality_status(personality_called(plugins_called(plugins)), ret->exit_status);
    return true;
}

static const char *plugin_name(void *data, const struct nt_command *command)
{
    const struct plugins *plugins = data;
    struct plugin_info info = { .name = NULL };
    plugins_info_of(plugins, plugins_owner(plugins, command), &info);
    return info.name;
}

struct catalog_source known_source(const struct plugins *plugins)
{
    /* The callbacks only read; data has no const because other sources may write theirs. */
    void *data;
    memcpy(&data, &plugins, sizeof(data));
    return (
        struct catalog_source){ { error_row, data, plugins_called(plugins) }, plugin_name, data };
}

void known_add_help(struct nt_buf *b, const struct plugins *plugins, const struct tree *tree,
                    const char *path, const struct nt_command *command)
{
    struct catalog_source source = known_source(plugins);
    if (command)
        help_add_command(b, command, &source.errors);
    else if (*path)
        help_add_group(b, tree, path);
    else
        help_add_tree(b, tree);
}
