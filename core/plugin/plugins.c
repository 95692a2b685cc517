/* SPDX-License-Identifier: Apache-2.0 */
/* plugins.c - the list of all plugins, what they have, and loading one when its command runs. */
#include "plugins.h"

#include <stdio.h>
#include <string.h>

#include "core/plugin/load.h"
#include "core/plugin/registry.h"
#include "core/plugin/shape.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/trust.h"

static void plugin_free(struct plugin *plugin)
{
    if (!plugin)
        return;
    arena_done(&plugin->arena);
    nt_closep(&plugin->opened);
    free(plugin->name);
    free(plugin->folder);
    free(plugin->file);
    free(plugin->reason);
    free(plugin);
}

struct plugin *registry_add(struct plugins *plugins, enum plugin_rank rank, const char *name,
                            const char *folder, const char *file)
{
    if (plugins->count >= PLUGINS_MAX)
        return NULL;
    struct plugin *plugin = calloc(1, sizeof(*plugin));
    if (!plugin)
        return NULL;
    plugin->arena = (struct arena)ARENA(MANIFEST_ARENA_MAX);
    plugin->rank = rank;
    plugin->opened = -1;
    plugin->name = strdup(name);
    plugin->folder = folder ? strdup(folder) : NULL;
    plugin->file = file ? strdup(file) : NULL;
    if (!plugin->name || (folder && !plugin->folder) || (file && !plugin->file)) {
        plugin_free(plugin);
        return NULL;
    }
    plugins->items[plugins->count++] = plugin;
    return plugin;
}

void registry_skip(struct plugins *plugins, struct plugin *plugin, const char *reason)
{
    plugin->is_skipped = true;
    free(plugin->reason);
    plugin->reason = strdup(reason);
    if (!plugins->options.skipped)
        return;
    /* Paths and reasons hold what others wrote: nothing of it may reach a terminal as it is. */
    nt_auto(nt_buf_done) struct nt_buf line = NT_BUF(8192);
    nt_buf_add(&line, plugin->name[0] ? "plugin " : "plugin folder ");
    nt_buf_add_printable(&line, plugin->file, false);
    nt_buf_add(&line, " is skipped: ");
    nt_buf_add_printable(&line, reason, false);
    plugins->options.skipped(plugins->options.data, nt_buf_text(&line));
}

static int add_built_in(struct plugins *plugins, struct nt_error *reterr)
{
    const struct nt_plugin *const *built_in = plugins->options.built_in;
    for (; built_in && *built_in; built_in++) {
        struct plugin *plugin = registry_add(plugins, RANK_BUILT_IN, (*built_in)->name, NULL, NULL);
        if (!plugin)
            return nt_fail(reterr, NT_E_MEMORY, "out of memory");
        plugin->tables = *built_in;
    }
    return 0;
}

static int by_path(const void *a, const void *b)
{
    const struct nt_command *const *x = a, *const *y = b;
    return strcmp((*x)->path, (*y)->path);
}

static int by_group(const void *a, const void *b)
{
    const struct nt_group *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

/* The tables of a plugin that takes part; NULL: it does not. */
static const struct nt_plugin *active(const struct plugin *plugin)
{
    return plugin->is_skipped ? NULL : plugin->tables;
}

static int sort_all(struct plugins *plugins, struct nt_error *reterr)
{
    uint32_t commands = 0, groups = 0;
    for (uint32_t i = 0; i < plugins->count; i++) {
        const struct nt_plugin *tables = active(plugins->items[i]);
        commands += tables ? tables->commands.count : 0;
        groups += tables ? tables->groups.count : 0;
    }
    plugins->commands = calloc(commands + 1, sizeof(*plugins->commands));
    plugins->groups = calloc(groups + 1, sizeof(*plugins->groups));
    if (!plugins->commands || !plugins->groups)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    for (uint32_t i = 0; i < plugins->count; i++) {
        const struct nt_plugin *tables = active(plugins->items[i]);
        const struct nt_command *command = tables ? tables->commands.rows : NULL;
        for (uint32_t j = 0; tables && j < tables->commands.count; j++)
            plugins->commands[plugins->command_count++] = &command[j];
        const struct nt_group *group = tables ? tables->groups.rows : NULL;
        for (uint32_t j = 0; tables && j < tables->groups.count; j++)
            plugins->groups[plugins->group_count++] = &group[j];
    }
    qsort(plugins->commands, commands, sizeof(*plugins->commands), by_path);
    qsort(plugins->groups, groups, sizeof(*plugins->groups), by_group);
    if (!plugins->options.view)
        return 0;
    if (view_apply(plugins->options.view, plugins->commands, &plugins->command_count,
                   plugins->groups, &plugins->group_count, &plugins->view_rows,
                   &plugins->view_groups)
        < 0)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    qsort(plugins->commands, plugins->command_count, sizeof(*plugins->commands), by_path);
    return 0;
}

static void plugins_freep(struct plugins **plugins)
{
    plugins_free(*plugins);
}

int plugins_open(const struct plugins_options *options, struct plugins **ret,
                 struct nt_error *reterr)
{
    nt_auto(plugins_freep) struct plugins *plugins = calloc(1, sizeof(*plugins));
    if (!plugins)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    plugins->options = *options;
    plugins->items = calloc(PLUGINS_MAX, sizeof(struct plugin *));
    if (!plugins->items)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    if (add_built_in(plugins, reterr) < 0 || discover(plugins, reterr) < 0
        || own(plugins, reterr) < 0 || sort_all(plugins, reterr) < 0)
        return -1;
    cache_done(&plugins->cache);
    *ret = nt_take(plugins);
    return 0;
}

void plugins_free(struct plugins *plugins)
{
    if (!plugins)
        return;
    for (uint32_t i = 0; i < plugins->count; i++)
        plugin_free(plugins->items[i]);
    cache_done(&plugins->cache);
    view_free(plugins->view_rows, plugins->command_count, plugins->view_groups);
    free(plugins->items);
    free(plugins->commands);
    free(plugins->groups);
    free(plugins);
}

const char *plugins_called(const struct plugins *plugins)
{
    return plugins->options.called ? plugins->options.called : "nanoterm";
}

const struct view *plugins_view(const struct plugins *plugins)
{
    return plugins->options.view;
}

const struct nt_command *plugins_command_at(const struct plugins *plugins, uint32_t index)
{
    return index < plugins->command_count ? plugins->commands[index] : NULL;
}

const struct nt_group *plugins_group_at(const struct plugins *plugins, uint32_t index)
{
    return index < plugins->group_count ? plugins->groups[index] : NULL;
}

/* What a command of a view stands for; any other itself. */
static const struct nt_command *origin_of(const struct plugins *plugins,
                                          const struct nt_command *command)
{
    for (uint32_t i = 0; plugins->view_rows && i < plugins->command_count; i++)
        if (&plugins->view_rows[i].command == command)
            return plugins->view_rows[i].origin;
    return command;
}

struct plugin *plugins_owner(const struct plugins *plugins, const struct nt_command *shown)
{
    const struct nt_command *command = origin_of(plugins, shown);
    for (uint32_t i = 0; i < plugins->count; i++) {
        const struct nt_plugin *tables = active(plugins->items[i]);
        const struct nt_command *rows = tables ? tables->commands.rows : NULL;
        for (uint32_t j = 0; tables && j < tables->commands.count; j++)
            if (&rows[j] == command)
                return plugins->items[i];
    }
    return NULL;
}

/* Opens BASE of its folder again, as it was when its manifest was read. */
static int reopen_base(const struct plugin *plugin, const char *base, const struct stat *old,
                       int *ret_fd, struct nt_error *reterr)
{
    nt_autoclose int folder = -1;
    nt_autoclose int fd = -1;
    struct stat st;
    if (nt_trust_open_folder(plugin->folder, &folder, reterr) < 0
        || nt_trust_open_file(folder, base, &fd, &st, reterr) < 0)
        return -1;
    if (st.st_dev != old->st_dev || st.st_ino != old->st_ino || st.st_size != old->st_size
        || st.st_mtim.tv_sec != old->st_mtim.tv_sec || st.st_mtim.tv_nsec != old->st_mtim.tv_nsec)
        return nt_fail(reterr, NT_E_PLUGIN_FAILED, "it was replaced just now; try again");
    *ret_fd = nt_take_fd(fd);
    return 0;
}

static int reopen(const struct plugin *plugin, int *ret_fd, struct nt_error *reterr)
{
    const char *base = plugin->file + strlen(plugin->folder) + 1;
    return reopen_base(plugin, base, &plugin->st, ret_fd, reterr);
}

int registry_open(struct plugin *plugin, struct nt_error *reterr)
{
    return plugin->opened >= 0 ? 0 : reopen(plugin, &plugin->opened, reterr);
}

static int fail_manifest(struct nt_error *reterr)
{
    nt_fail(reterr, NT_E_PLUGIN_FAILED, "its manifest is not of this file");
    return nt_hint(reterr, "reinstall it, or remove the .manifest file beside it");
}

/* Where only names were read, their equality says nothing of the rest of a command. */
static int confirm(const struct plugin *plugin, const struct nt_command *command,
                   struct nt_error *reterr)
{
    nt_auto(arena_done) struct arena arena = ARENA(SHAPE_PLUGIN_MAX);
    const struct nt_command *rows = plugin->manifest.tables.commands.rows;
    struct nt_command real;
    if (!command || !plugin->manifest.places)
        return 0;
    if (shape_adopt_command(plugin->loaded, (uint32_t)(command - rows), &arena, &real, reterr) < 0)
        return nt_wrap(reterr, "command '%s'", command->path);
    return shape_is_equal_command(&real, command) ? 0 : fail_manifest(reterr);
}

/* command: the one that is to run; NULL: none. */
static int load_checked(struct plugin *plugin, const struct nt_command *command,
                        struct nt_error *reterr)
{
    nt_autoclose int fd = nt_take_fd(plugin->opened);
    nt_auto(arena_done) struct arena arena = ARENA(SHAPE_PLUGIN_MAX);
    struct manifest real = { .file_size = 0 };
    const bool names_only = plugin->manifest.places;
    if ((fd < 0 && reopen(plugin, &fd, reterr) < 0)
        || load_file(fd, &plugin->loaded, real.build_id, reterr) < 0
        || (names_only ? shape_adopt_names : shape_adopt)(plugin->loaded, &arena, &real.tables,
                                                          reterr)
               < 0)
        return -1;
    if (strcmp(real.build_id, plugin->manifest.build_id) != 0
        || !(names_only ? shape_has_equal_names : shape_is_equal)(&real.tables,
                                                                  &plugin->manifest.tables))
        return fail_manifest(reterr);
    if (confirm(plugin, command, reterr) < 0)
        return -1;
    const struct nt_command *commands = real.tables.commands.rows;
    for (uint32_t i = 0; i < real.tables.commands.count; i++)
        if (!commands[i].run)
            return nt_fail(reterr, NT_E_PLUGIN_FAILED, "command '%s': run is NULL",
                           commands[i].path);
    const struct nt_service *services = real.tables.services.rows;
    for (uint32_t i = 0; i < real.tables.services.count; i++)
        if (!services[i].ops)
            return nt_fail(reterr, NT_E_PLUGIN_FAILED, "service '%s': ops is NULL",
                           services[i].name);
    shape_take_pointers(&plugin->manifest.tables, &real.tables);
    return 0;
}

static int load(const struct plugins *plugins, struct plugin *plugin,
                const struct nt_command *command, struct nt_error *reterr)
{
    if (plugin->rank != RANK_BUILT_IN && load_checked(plugin, command, reterr) < 0)
        return -1;
    if (!plugin->tables->start || plugin->tables->start(plugins->options.host, reterr) == 0)
        return 0;
    /* its own rows are not those of the command that was asked for */
    reterr->code = NT_E_PLUGIN_FAILED;
    return nt_wrap(reterr, "its start failed");
}

/* Copies an error into one of the caller's size. */
static int give(const struct nt_error *error, struct nt_error *reterr)
{
    uint32_t size = reterr->size;
    memcpy(reterr, error, size < sizeof(*error) ? size : sizeof(*error));
    reterr->size = size;
    return -1;
}

/* Once: what failed stays failed, as the object cannot be unloaded. */
static int load_once(const struct plugins *plugins, struct plugin *plugin,
                     const struct nt_command *command, struct nt_error *reterr)
{
    if (plugin->is_loaded)
        return confirm(plugin, command, reterr);
    if (plugin->has_failed)
        return give(&plugin->failure, reterr);
    plugin->failure = (struct nt_error)NT_ERROR_INIT;
    if (load(plugins, plugin, command, &plugin->failure) == 0) {
        plugin->is_loaded = true;
        return 0;
    }
    plugin->has_failed = true;
    if (plugin->failure.code != NT_E_PLUGIN_ABI)
        plugin->failure.code = NT_E_PLUGIN_FAILED;
    nt_wrap(&plugin->failure, "plugin %s", plugin->file ? plugin->file : plugin->name);
    return give(&plugin->failure, reterr);
}

int plugins_load(struct plugins *plugins, const struct nt_command *command,
                 const struct nt_command **ret, struct nt_error *reterr)
{
    struct plugin *plugin = plugins_owner(plugins, command);
    if (!plugin)
        return nt_fail(reterr, NT_E_INTERNAL, "the command '%s' has no owner", command->path);
    if (plugin->is_external)
        return nt_fail(reterr, NT_E_INTERNAL, "'%s' is a program", command->path);
    /* Its row lies in the plugin's tables, where run is set then. */
    const struct nt_command *origin = origin_of(plugins, command);
    if (load_once(plugins, plugin, origin, reterr) < 0)
        return -1;
    *ret = origin;
    return 0;
}

static int fill(struct plugin *plugin, const struct nt_command *command, struct nt_error *reterr)
{
    const struct nt_command *rows = plugin->manifest.tables.commands.rows;
    uint32_t index = (uint32_t)(command - rows);
    nt_auto(nt_buf_done) struct nt_buf name = NT_BUF(64);
    nt_autoclose int fd = -1;
    nt_buf_addf(&name, "%s.manifest", plugin->name);
    if (plugin->manifest.places[index].is_read)
        return 0;
    if (reopen_base(plugin, nt_buf_text(&name), &plugin->manifest_st, &fd, reterr) < 0
        || manifest_read_command(fd, index, &plugin->arena, &plugin->manifest, reterr) < 0)
        return nt_wrap(reterr, "the manifest of %s", plugin->file);
    return 0;
}

int plugins_fill(struct plugins *plugins, const struct nt_command *command, struct nt_error *reterr)
{
    struct plugin *plugin = plugins_owner(plugins, command);
    if (!plugin || !plugin->manifest.places)
        return 0;
    if (fill(plugin, origin_of(plugins, command), reterr) < 0)
        return -1;
    for (uint32_t i = 0; plugins->view_rows && i < plugins->command_count; i++)
        if (&plugins->view_rows[i].command == command
            && view_renew(plugins->options.view, &plugins->view_rows[i]) < 0)
            return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    return 0;
}

bool plugins_error_row(const struct plugins *plugins, const struct plugin *plugin, uint32_t code,
                       struct nt_error_row *ret)
{
    const struct nt_error_info *info = code < NT_E_PLUGIN_FIRST ? nt_error_row_of(code) : NULL;
    if (info) {
        *ret = (struct nt_error_row){ .text = info->text,
                                      .kind = info->kind,
                                      .number = code,
                                      .exit_status = info->exit_status,
                                      .retry = info->retry };
        return true;
    }
    const struct nt_error_row *rows = plugin && plugin->tables ? plugin->tables->errors.rows : NULL;
    for (uint32_t i = 0; rows && i < plugin->tables->errors.count; i++)
        if (rows[i].number == code) {
            *ret = rows[i];
            return true;
        }
    return false;
}

bool plugins_is_confined(const struct plugin *plugin)
{
    return plugin->is_confined;
}

bool plugins_is_external(const struct plugin *plugin)
{
    return plugin->is_external;
}

static bool has_service(const struct plugin *plugin, const char *name)
{
    const struct nt_plugin *tables = active(plugin);
    const struct nt_service *rows = tables ? tables->services.rows : NULL;
    for (uint32_t i = 0; tables && i < tables->services.count; i++)
        if (strcmp(rows[i].name, name) == 0)
            return true;
    return false;
}

const void *plugins_service(struct plugins *plugins, const char *name, uint32_t index,
                            const char **ret_instance)
{
    for (uint32_t i = 0; i < plugins->count; i++) {
        struct plugin *plugin = plugins->items[i];
        /* Its functions would run here, beside the credentials. */
        if (!has_service(plugin, name) || plugin->is_confined)
            continue;
        bool is_known = plugin->is_loaded || plugin->has_failed;
        struct nt_error why = NT_ERROR_INIT;
        if (load_once(plugins, plugin, NULL, &why) < 0) {
            if (!is_known && plugins->options.skipped)
                plugins->options.skipped(plugins->options.data, why.message);
            continue;
        }
        const struct nt_service *rows = plugin->tables->services.rows;
        for (uint32_t j = 0; j < plugin->tables->services.count; j++) {
            if (strcmp(rows[j].name, name) != 0 || index-- > 0)
                continue;
            if (ret_instance)
                *ret_instance = rows[j].instance;
            return rows[j].ops;
        }
    }
    return NULL;
}

static int compare_file(struct plugin *plugin, struct nt_error *reterr)
{
    nt_autoclose int fd = -1;
    char id[ELF_ID_SIZE];
    if (reopen(plugin, &fd, reterr) < 0 || elf_id_read(fd, id, reterr) < 0)
        return -1;
    return strcmp(id, plugin->manifest.build_id) == 0 ? 0 : fail_manifest(reterr);
}

void plugins_compare(struct plugins *plugins)
{
    for (uint32_t i = 0; i < plugins->count; i++) {
        struct plugin *plugin = plugins->items[i];
        struct nt_error why = NT_ERROR_INIT;
        if (!plugin->is_skipped && plugin->rank != RANK_BUILT_IN && !plugin->is_external
            && plugin->tables && compare_file(plugin, &why) < 0) {
            nt_auto(nt_buf_done) struct nt_buf reason = NT_BUF(1024);
            nt_buf_addf(&reason, "%s%s%s", why.message, why.hint[0] ? "; " : "", why.hint);
            registry_skip(plugins, plugin, nt_buf_ok(&reason) ? nt_buf_text(&reason) : why.message);
        }
    }
}

void plugins_info_of(const struct plugins *plugins, const struct plugin *plugin,
                     struct plugin_info *ret)
{
    const struct nt_plugin *tables = plugin->tables;
    *ret = (struct plugin_info){
        .name = plugin->name,
        .version = tables ? tables->version : NULL,
        .summary = tables ? tables->summary : NULL,
        .file = plugin->file,
        .state = plugin->is_skipped              ? "skipped"
                 : plugin->rank == RANK_BUILT_IN ? "built in"
                                                 : "ok",
        .reason = plugin->reason,
    };
}

bool plugins_info_at(const struct plugins *plugins, uint32_t index, struct plugin_info *ret)
{
    if (index >= plugins->count)
        return false;
    plugins_info_of(plugins, plugins->items[index], ret);
    return true;
}
