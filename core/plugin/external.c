/* SPDX-License-Identifier: Apache-2.0 */
/* external.c - commands that are programs; see external.h.
 *
 * The manifest is written by hand and says what a plugin's tables say:
 *
 *   { "external": 1, "name": "deploy", "version": "1.0", "summary": "Bring it out",
 *     "commands": [ { "path": "deploy now", "summary": "Bring it out at once" } ],
 *     "needs": [ { "kind": "read", "value": "$PWD", "why": "to read what is brought out" } ] }
 *
 * It is turned into the form of a plugin's manifest, so that the same bounds and checks hold. The
 * folders come from the environment and not from a setting: the file of the settings holds
 * credentials, and no command needs it before it runs. */
#include "external.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "core/cli/tree.h"
#include "core/plugin/check.h"
#include "core/plugin/manifest.h"
#include "core/plugin/needs.h"
#include "core/plugin/shape.h"
#include "sdk/buf.h"
#include "sdk/error.h"
#include "sdk/json.h"
#include "sdk/trust.h"

#define PREFIX "nanoterm-"
#define SUFFIX ".json"
#define FORMAT 1
#define FILES_MAX 64u
#define FOLDERS_MAX 16u

#define BAD(...) nt_fail(reterr, NT_E_PLUGIN_FAILED, __VA_ARGS__)

/* --- the manifest --------------------------------------------------------------------------- */

/* A command as a row of a plugin's manifest (shape.c): its members in the order of the struct. */
static json_t *row_of(const char *path, const json_t *command)
{
    const char *summary = nt_json_text(command, "summary");
    const char *description = nt_json_text(command, "description");
    nt_auto_json json_t *examples = json_array();
    const json_t *given = json_object_get(command, "examples");
    size_t i;
    json_t *example;
    json_array_foreach(given, i, example)
    {
        json_array_append_new(examples, json_pack("[s?, s?]", nt_json_text(example, "command"),
                                                  nt_json_text(example, "note")));
    }
    if (json_array_size(examples) == 0)
        json_array_append_new(examples, json_pack("[s, s]", path, "Run it"));
    return json_pack("[s, s?, s?, n, [[s, s, n, i, I]], n, O, n, n, n, i]", path, summary,
                     description, "words", "Words for the program, options among them", NT_TEXT,
                     (json_int_t)(NT_MANY | NT_OPTIONAL | TREE_ARG_WORDS), examples,
                     (int)(NT_LOCAL | NT_RUNS));
}

/* Its commands are the name itself or begin with it. */
static int add_commands(const json_t *json, const char *name, json_t *rows, struct nt_error *reterr)
{
    const json_t *commands = json_object_get(json, "commands");
    size_t i, length = strlen(name);
    json_t *command;
    json_array_foreach(commands, i, command)
    {
        const char *path = nt_json_text(command, "path");
        if (!path || strncmp(path, name, length) != 0 || (path[length] && path[length] != ' '))
            return BAD("its command %zu has no path that begins with '%s'", i, name);
        json_array_append_new(rows, row_of(path, command));
    }
    if (i == 0)
        json_array_append_new(rows, row_of(name, json));
    return 0;
}

static int add_needs(const json_t *json, json_t *rows, struct nt_error *reterr)
{
    const json_t *needs = json_object_get(json, "needs");
    size_t i;
    json_t *need;
    json_array_foreach(needs, i, need)
    {
        const char *kind = nt_json_text(need, "kind");
        uint32_t number = kind ? needs_kind_of(kind) : 0;
        if (number == NT_NEED_ROUTE || number == NT_NEED_HOST)
            return BAD("its need %zu is a %s: a program has neither API nor network", i, kind);
        if (!number)
            return BAD("its need %zu is not of kind read, write or program", i);
        json_array_append_new(rows, json_pack("[s?, s?, i]", nt_json_text(need, "value"),
                                              nt_json_text(need, "why"), (int)number));
    }
    return 0;
}

static int understand(const json_t *json, struct plugin *plugin, struct nt_error *reterr)
{
    const char *name = nt_json_text(json, "name"), *summary = nt_json_text(json, "summary");
    nt_auto_json json_t *commands = json_array();
    nt_auto_json json_t *needs = json_array();
    if (json_integer_value(json_object_get(json, "external")) != FORMAT)
        return BAD("its manifest is not of format \"external\": %d", FORMAT);
    if (!name || strcmp(name, plugin->name) != 0)
        return BAD("its manifest names '%s'", name ? name : "nobody");
    if (add_commands(json, name, commands, reterr) < 0 || add_needs(json, needs, reterr) < 0)
        return -1;
    /* A group where there are words behind the name. */
    bool is_alone =
        json_array_size(commands) == 1
        && strcmp(json_string_value(json_array_get(json_array_get(commands, 0), 0)), name) == 0;
    nt_auto_json json_t *groups = is_alone ? json_array() : json_pack("[[s, s?]]", name, summary);
    nt_auto_json json_t *row =
        json_pack("[s, s?, s?, s?, O, O, n, n, n, O]", name, nt_json_text(json, "version"), summary,
                  nt_json_text(json, "vendor"), groups, commands, needs);
    if (!row)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    if (shape_from_json(row, &plugin->arena, &plugin->manifest.tables, reterr) < 0)
        return -1;
    return check_tables(&plugin->manifest.tables, false, reterr);
}

/* -1: it is to be skipped. */
static int read_external(struct plugin *plugin, int folder, const char *manifest,
                         struct nt_error *reterr)
{
    const char *base = plugin->file + strlen(plugin->folder) + 1;
    nt_autoclose int program = -1;
    nt_autoclose int fd = -1;
    struct stat st;
    if (!check_is_plugin_name(plugin->name))
        return BAD("its name is not [a-z][a-z0-9-]* of at most 32 bytes");
    if (nt_trust_open_file(folder, base, &program, &plugin->st, reterr) < 0
        || nt_trust_open_file(folder, manifest, &fd, &st, reterr) < 0)
        return -1;
    if (!(plugin->st.st_mode & S_IXUSR))
        return BAD("%s is not executable", base);
    nt_auto_json json_t *json = manifest_read(fd, reterr);
    if (!json || understand(json, plugin, reterr) < 0)
        return -1;
    plugin->tables = &plugin->manifest.tables;
    return 0;
}

/* --- the folders ---------------------------------------------------------------------------- */

static int add(struct plugins *plugins, const char *path, int folder, const char *manifest,
               struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf file = NT_BUF(PATH_MAX + NAME_MAX);
    nt_auto(nt_buf_done) struct nt_buf base = NT_BUF(NAME_MAX);
    nt_buf_add_bytes(&base, manifest, strlen(manifest) - strlen(SUFFIX));
    nt_buf_addf(&file, "%s/%s", path, nt_buf_text(&base));
    if (!nt_buf_ok(&file) || plugins->count >= PLUGINS_MAX)
        return 0;
    struct plugin *plugin = registry_add(plugins, RANK_OTHER, nt_buf_text(&base) + strlen(PREFIX),
                                         path, nt_buf_text(&file));
    if (!plugin)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    plugin->is_confined = plugin->is_external = true;
    struct nt_error why = NT_ERROR_INIT;
    if (read_external(plugin, folder, manifest, &why) < 0)
        registry_skip(plugins, plugin, why.message);
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static unsigned list(int folder, char *ret[FILES_MAX])
{
    nt_autoclose int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
    const struct dirent *entry;
    unsigned count = 0;
    if (!dir)
        return 0;
    copy = -1;
    while (count < FILES_MAX && (entry = readdir(dir))) {
        size_t length = strlen(entry->d_name);
        if (length > strlen(PREFIX SUFFIX) && strncmp(entry->d_name, PREFIX, strlen(PREFIX)) == 0
            && strcmp(entry->d_name + length - strlen(SUFFIX), SUFFIX) == 0
            && (ret[count] = strdup(entry->d_name)))
            count++;
    }
    closedir(dir);
    qsort(ret, count, sizeof(ret[0]), by_name);
    return count;
}

static int look_into(struct plugins *plugins, const char *path, struct nt_error *reterr)
{
    nt_autoclose int folder = -1;
    char *names[FILES_MAX];
    struct nt_error why = NT_ERROR_INIT;
    if (nt_trust_open_folder(path, &folder, &why) < 0) {
        struct plugin *plugin =
            why.code == NT_E_NOT_FOUND ? NULL : registry_add(plugins, RANK_OTHER, "", path, path);
        if (plugin)
            registry_skip(plugins, plugin, why.message);
        return 0;
    }
    unsigned count = list(folder, names);
    int result = 0;
    for (unsigned i = 0; i < count; i++) {
        if (result == 0)
            result = add(plugins, path, folder, names[i], reterr);
        free(names[i]);
    }
    return result;
}

int external_discover(struct plugins *plugins, struct nt_error *reterr)
{
    const char *paths = secure_getenv("NANOTERM_EXTERNAL_PATH");
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(PATH_MAX);
    if (!paths) {
        static const char last[] = "plugins";
        if (!registry_users_folder(&path))
            return 0;
        path.size -= strlen(last); /* a folder beside that of the plugins */
        path.data[path.size] = '\0';
        nt_buf_add(&path, "external");
        return nt_buf_ok(&path) ? look_into(plugins, nt_buf_text(&path), reterr) : 0;
    }
    for (unsigned i = 0; *paths && i < FOLDERS_MAX; i++) {
        size_t length = strcspn(paths, ":");
        nt_buf_reset(&path);
        nt_buf_add_bytes(&path, paths, length);
        if (length && nt_buf_ok(&path) && look_into(plugins, nt_buf_text(&path), reterr) < 0)
            return -1;
        paths += length;
        paths += *paths == ':';
    }
    return 0;
}
