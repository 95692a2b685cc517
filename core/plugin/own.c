/* SPDX-License-Identifier: Apache-2.0 */
/* own.c - who owns which name: the first plugin keeps it, reserved words stay with the
 * installation, and a group takes commands of others only when its row says so. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "core/plugin/claims.h"
#include "core/plugin/needs.h"
#include "core/plugin/registry.h"
#include "core/plugin/reserved.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

static const char *file_of(const struct plugins *plugins, uint32_t index)
{
    const struct plugin *owner = plugins->items[index];
    return owner->file ? owner->file : "nanoterm itself";
}

#define REFUSE(...) nt_fail(ret_why, NT_E_PLUGIN_FAILED, __VA_ARGS__)

/* The row of a group: of an owner so far, or of any plugin of the installation, whose folder comes
 * last. */
static const struct nt_group *group_row(const struct plugins *plugins, const struct claims *claims,
                                        const char *word, size_t length, uint32_t *ret_owner)
{
    const struct claim *claim = claims_find(claims, CLAIM_GROUP, word, length);
    for (uint32_t i = 0; i < plugins->count; i++) {
        const struct plugin *plugin = plugins->items[i];
        bool is_asked =
            claim ? claim->owner == i : plugin->rank != RANK_OTHER && !plugin->is_skipped;
        const struct nt_group *rows =
            is_asked && plugin->tables ? plugin->tables->groups.rows : NULL;
        for (uint32_t j = 0; rows && j < plugin->tables->groups.count; j++)
            if (strlen(rows[j].name) == length && memcmp(rows[j].name, word, length) == 0) {
                *ret_owner = i;
                return &rows[j];
            }
    }
    return NULL;
}

/* May the plugin at `index` call a command so? */
static int check_path(const struct plugins *plugins, const struct claims *claims, uint32_t index,
                      const char *path, struct nt_error *ret_why)
{
    const struct claim *taken = claims_find(claims, CLAIM_PATH, path, strlen(path));
    if (taken)
        return REFUSE("the command '%s' belongs to %s", path, file_of(plugins, taken->owner));
    if (plugins->items[index]->rank != RANK_OTHER)
        return 0;
    size_t length = strcspn(path, " ");
    bool is_alone = path[length] == '\0';
    uint32_t owner = 0;
    const struct nt_group *group = group_row(plugins, claims, path, length, &owner);
    if (group && owner != index) {
        if (is_alone)
            return REFUSE("'%s' is a group of %s", path, file_of(plugins, owner));
        if (!(group->flags & NT_GROUP_OPEN))
            return REFUSE("the group '%.*s' of %s takes no commands of others", (int)length, path,
                          file_of(plugins, owner));
        return 0;
    }
    if (reserved_is_word(path, length))
        return REFUSE("the name '%.*s' is reserved", (int)length, path);
    const struct claim *word = claims_find(claims, CLAIM_WORD, path, length);
    if (word && word->owner != index)
        return REFUSE("the name '%.*s' belongs to %s", (int)length, path,
                      file_of(plugins, word->owner));
    return 0;
}

static int check_groups(const struct plugins *plugins, const struct claims *claims, uint32_t index,
                        struct nt_error *ret_why)
{
    const struct plugin *plugin = plugins->items[index];
    const struct nt_group *groups = plugin->tables->groups.rows;
    for (uint32_t i = 0; i < plugin->tables->groups.count; i++) {
        const char *name = groups[i].name;
        size_t length = strcspn(name, " ");
        if (plugin->rank == RANK_OTHER && reserved_is_word(name, length))
            return REFUSE("the name '%.*s' is reserved", (int)length, name);
        const struct claim *claim = claims_find(claims, CLAIM_GROUP, name, strlen(name));
        if (claim)
            return REFUSE("the group '%s' belongs to %s", name, file_of(plugins, claim->owner));
        claim = claims_find(claims, CLAIM_WORD, name, length);
        if (claim && plugin->rank == RANK_OTHER)
            return REFUSE("the name '%.*s' belongs to %s", (int)length, name,
                          file_of(plugins, claim->owner));
    }
    return 0;
}

/* A variable that an option names is read before the plugin is confined. */
static int check_variables(const struct nt_command *command, struct nt_error *ret_why)
{
    const struct nt_opt *opts = command->opts.rows;
    for (uint32_t i = 0; i < command->opts.count; i++)
        if (opts[i].env && needs_is_core_variable(opts[i].env))
            return REFUSE("--%s of '%s' reads %s, a credential of nanoterm itself", opts[i].name,
                          command->path, opts[i].env);
    return 0;
}

static int check_plugin(const struct plugins *plugins, const struct claims *claims, uint32_t index,
                        struct nt_error *ret_why)
{
    const struct plugin *plugin = plugins->items[index];
    const struct nt_plugin *tables = plugin->tables;
    const struct claim *claim =
        claims_find(claims, CLAIM_PLUGIN, plugin->name, strlen(plugin->name));
    if (claim)
        return REFUSE("the plugin name '%s' belongs to %s", plugin->name,
                      file_of(plugins, claim->owner));
    if (plugin->rank == RANK_OTHER && reserved_is_word(plugin->name, strlen(plugin->name)))
        return REFUSE("the plugin name '%s' is reserved", plugin->name);
    const struct nt_service *services = tables->services.rows;
    for (uint32_t i = 0; plugin->rank == RANK_OTHER && i < tables->services.count; i++)
        if (reserved_is_instance(services[i].name, services[i].instance))
            return REFUSE("the instance '%s' of %s is reserved", services[i].instance,
                          services[i].name);
    if (check_groups(plugins, claims, index, ret_why) < 0)
        return -1;
    const struct nt_command *commands = tables->commands.rows;
    for (uint32_t i = 0; i < tables->commands.count; i++) {
        if (check_path(plugins, claims, index, commands[i].path, ret_why) < 0
            || (plugin->rank == RANK_OTHER && check_variables(&commands[i], ret_why) < 0))
            return -1;
        const struct nt_alias *aliases = commands[i].aliases.rows;
        for (uint32_t j = 0; j < commands[i].aliases.count; j++)
            if (check_path(plugins, claims, index, aliases[j].path, ret_why) < 0)
                return -1;
    }
    return 0;
}

static int claim_path(struct claims *claims, uint32_t owner, const char *path)
{
    struct claim whole = {
        .text = path, .length = strlen(path), .kind = CLAIM_PATH, .owner = owner
    };
    struct claim word = {
        .text = path, .length = strcspn(path, " "), .kind = CLAIM_WORD, .owner = owner
    };
    return claims_add(claims, &whole) < 0 || claims_add(claims, &word) < 0 ? -1 : 0;
}

static int claim_all(const struct plugins *plugins, struct claims *claims, uint32_t index)
{
    const struct plugin *plugin = plugins->items[index];
    struct claim name = {
        .text = plugin->name, .length = strlen(plugin->name), .kind = CLAIM_PLUGIN, .owner = index
    };
    int result = claims_add(claims, &name);
    const struct nt_group *groups = plugin->tables->groups.rows;
    for (uint32_t i = 0; result == 0 && i < plugin->tables->groups.count; i++) {
        struct claim group = { .text = groups[i].name,
                               .length = strlen(groups[i].name),
                               .kind = CLAIM_GROUP,
                               .owner = index };
        result = claims_add(claims, &group);
    }
    const struct nt_command *commands = plugin->tables->commands.rows;
    for (uint32_t i = 0; result == 0 && i < plugin->tables->commands.count; i++) {
        result = claim_path(claims, index, commands[i].path);
        const struct nt_alias *aliases = commands[i].aliases.rows;
        for (uint32_t j = 0; result == 0 && j < commands[i].aliases.count; j++)
            result = claim_path(claims, index, aliases[j].path);
    }
    return result;
}

int own(struct plugins *plugins, struct nt_error *reterr)
{
    struct claims claims = { .slots = NULL };
    int result = 0;
    for (uint32_t i = 0; result == 0 && i < plugins->count; i++) {
        struct plugin *plugin = plugins->items[i];
        struct nt_error why = NT_ERROR_INIT;
        if (plugin->is_skipped)
            continue;
        if (check_plugin(plugins, &claims, i, &why) < 0)
            registry_skip(plugins, plugin, why.message);
        else
            result = claim_all(plugins, &claims, i);
    }
    claims_done(&claims);
    return result < 0 ? nt_fail(reterr, NT_E_MEMORY, "out of memory") : 0;
}

/* The user replaces what lies in the user's folder. */
static bool is_replaced(const struct plugin *plugin, const char *name)
{
    nt_auto(nt_buf_done) struct nt_buf folder = NT_BUF(PATH_MAX);
    return strcmp(plugin->name, name) == 0 && plugin->folder && registry_users_folder(&folder)
           && strcmp(plugin->folder, nt_buf_text(&folder)) == 0;
}

int own_may_join(struct plugins *plugins, const char *name, const struct nt_plugin *tables,
                 struct nt_error *ret_why)
{
    if (plugins->count >= PLUGINS_MAX)
        return REFUSE("there are %u plugins already", PLUGINS_MAX);
    struct claims claims = { .slots = NULL };
    int result = 0;
    for (uint32_t i = 0; result == 0 && i < plugins->count; i++)
        if (!plugins->items[i]->is_skipped && !is_replaced(plugins->items[i], name))
            result = claim_all(plugins, &claims, i);
    struct plugin candidate = { .tables = tables, .rank = RANK_OTHER };
    candidate.name = strdup(name);
    if (result < 0 || !candidate.name) {
        result = nt_fail(ret_why, NT_E_MEMORY, "out of memory");
    } else {
        plugins->items[plugins->count] = &candidate; /* beyond the count: for check_plugin alone */
        result = check_plugin(plugins, &claims, plugins->count, ret_why);
        plugins->items[plugins->count] = NULL;
    }
    free(candidate.name);
    claims_done(&claims);
    return result;
}
