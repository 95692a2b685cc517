/* SPDX-License-Identifier: Apache-2.0 */
/* external.c - commands that are programs; see external.h.
 *
 * The manifest is written by hand and says what a plugin's tables say:
 *
 *   { "external": 1, "name": "deploy", "version": "1.0", "summary": "Bring it out",
 *     "commands": [ { "path": "deploy now", "summary": "Bring it out at once" } ],
 *     "needs": [ { "kind": "read", "value": "$PWD", "why": "to read what is brought out" } ] }
 *
 * It is turned into the tables of a plugin and copied as those are, so that the same bounds and
 * checks hold. The folders come from the environment and not from a setting: the file of the
 * settings holds credentials, and no command needs it before it runs. */
#include "external.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "core/cli/tree.h"
#include "core/plugin/check.h"
#include "core/plugin/json_file.h"
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
/* Of one manifest. */
#define COMMANDS_MAX 512u
#define EXAMPLES_MAX 1024u
#define NEEDS_MAX 64u

#define BAD(...) nt_fail(reterr, NT_E_PLUGIN_FAILED, __VA_ARGS__)

/* --- the manifest --------------------------------------------------------------------------- */

/* The tables that the manifest describes: its texts are borrowed from the JSON, until shape_adopt
 * has checked and copied them. */
struct described {
    struct nt_group group;
    struct nt_command commands[COMMANDS_MAX];
    struct nt_example examples[EXAMPLES_MAX]; /* of all commands */
    struct nt_need needs[NEEDS_MAX];
    uint32_t command_count, example_count, need_count;
};

static const struct nt_arg words_arg[] = {
    { .name = "words",
      .help = "Words for the program, options among them",
      .type = NT_TEXT,
      .flags = NT_MANY | NT_OPTIONAL | TREE_ARG_WORDS },
};

static int add_example(struct described *d, const char *command, const char *note,
                       struct nt_error *reterr)
{
    if (d->example_count == EXAMPLES_MAX)
        return BAD("it has more than %u examples", EXAMPLES_MAX);
    d->examples[d->example_count++] = (struct nt_example){ command, note };
    return 0;
}

static int add_command(struct described *d, const char *path, const json_t *json,
                       struct nt_error *reterr)
{
    uint32_t first = d->example_count;
    size_t i;
    json_t *example;
    if (d->command_count == COMMANDS_MAX)
        return BAD("it has more than %u commands", COMMANDS_MAX);
    json_array_foreach(json_object_get(json, "examples"), i, example)
    {
        if (add_example(d, nt_json_text(example, "command"), nt_json_text(example, "note"), reterr)
            < 0)
            return -1;
    }
    if (d->example_count == first && add_example(d, path, "Run it", reterr) < 0)
        return -1;
    d->commands[d->command_count++] = (struct nt_command){
        .path = path,
        .summary = nt_json_text(json, "summary"),
        .description = nt_json_text(json, "description"),
        .args = NT_TABLE(words_arg),
        .examples = { &d->examples[first], d->example_count - first, sizeof(d->examples[0]) },
        .effects = NT_LOCAL | NT_RUNS,
    };
    return 0;
}

/* Its commands are the name itself or begin with it. */
static int add_commands(struct described *d, const json_t *json, const char *name,
                        struct nt_error *reterr)
{
    size_t i, length = strlen(name);
    json_t *command;
    json_array_foreach(json_object_get(json, "commands"), i, command)
    {
        const char *path = nt_json_text(command, "path");
        if (!path || strncmp(path, name, length) != 0 || (path[length] && path[length] != ' '))
            return BAD("its command %zu has no path that begins with '%s'", i, name);
        if (add_command(d, path, command, reterr) < 0)
            return -1;
    }
    return i == 0 ? add_command(d, name, json, reterr) : 0;
}

static int add_needs(struct described *d, const json_t *json, struct nt_error *reterr)
{
    size_t i;
    json_t *need;
    json_array_foreach(json_object_get(json, "needs"), i, need)
    {
        const char *kind = nt_json_text(need, "kind");
        uint32_t number = kind ? needs_kind_of(kind) : 0;
        if (number == NT_NEED_ROUTE || number == NT_NEED_HOST)
            return BAD("its need %zu is a %s: a program has neither API nor network", i, kind);
        if (!number)
            return BAD("its need %zu is not of kind read, write or program", i);
        if (d->need_count == NEEDS_MAX)
            return BAD("it has more than %u needs", NEEDS_MAX);
        d->needs[d->need_count++] = (struct nt_need){ .value = nt_json_text(need, "value"),
                                                      .why = nt_json_text(need, "why"),
                                                      .kind = number };
    }
    return 0;
}

#define ROWS(array, n)                                                                             \
    {                                                                                              \
        (array), (n), sizeof((array)[0])                                                           \
    }

static int understand(const json_t *json, struct plugin *plugin, struct nt_error *reterr)
{
    const char *name = nt_json_text(json, "name"), *summary = nt_json_text(json, "summary");
    if (json_integer_value(json_object_get(json, "external")) != FORMAT)
        return BAD("its manifest is not of format \"external\": %d", FORMAT);
    if (!name || strcmp(name, plugin->name) != 0)
        return BAD("its manifest names '%s'", name ? name : "nobody");
    nt_autofree struct described *d = calloc(1, sizeof(*d));
    if (!d)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    if (add_commands(d, json, name, reterr) < 0 || add_needs(d, json, reterr) < 0)
        return -1;
    /* A group where there are words behind the name. */
    bool is_alone = d->command_count == 1 && strcmp(d->commands[0].path, name) == 0;
    d->group = (struct nt_group){ .name = name, .summary = summary };
    const struct nt_plugin whole = {
        NT_PLUGIN_HEAD,
        .name = name,
        .version = nt_json_text(json, "version"),
        .summary = summary,
        .vendor = nt_json_text(json, "vendor"),
        .groups = ROWS(&d->group, is_alone ? 0 : 1),
        .commands = ROWS(d->commands, d->command_count),
        .needs = ROWS(d->needs, d->need_count),
    };
    if (shape_adopt(&whole, &plugin->arena, &plugin->manifest.tables, reterr) < 0)
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
    nt_auto_json json_t *json = json_file_read(fd, reterr);
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
