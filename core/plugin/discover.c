/* SPDX-License-Identifier: Apache-2.0 */
/* discover.c - looks into the folders of plugins and reads what each one says of itself, without
 * loading any. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "core/plugin/check.h"
#include "core/plugin/child.h"
#include "core/plugin/external.h"
#include "core/plugin/registry.h"
#include "core/plugin/reserved.h"
#include "core/plugin/shape.h"
#include "sdk/buf.h"
#include "sdk/error.h"
#include "sdk/json.h"
#include "sdk/trust.h"

#define LOAD_MS 5000
#define FILES_MAX 256u
#define FOLDERS_MAX 16u

static const char machines_folder[] = "/usr/local/lib/nanoterm/plugins";

/* A folder that was looked into, so that none is looked into twice. */
struct seen {
    dev_t dev;
    ino_t ino;
};

struct discovery {
    struct plugins *plugins;
    struct seen seen[FOLDERS_MAX + 4];
    unsigned seen_count;
    char *installation; /* path; NULL: unknown */
    struct seen installation_id;
    bool has_installation;
};

static int no_memory(struct nt_error *reterr)
{
    return nt_fail(reterr, NT_E_MEMORY, "out of memory");
}

/* The manifest beside the file, when it is there, passes and is of a file of that size. */
static bool read_shipped(const struct plugins *plugins, struct plugin *plugin, int folder)
{
    nt_auto(nt_buf_done) struct nt_buf name = NT_BUF(64);
    nt_buf_addf(&name, "%s.manifest", plugin->name);
    nt_autoclose int fd = -1;
    struct stat *st = &plugin->manifest_st;
    struct nt_error e = NT_ERROR_INIT;
    if (!nt_buf_ok(&name) || nt_trust_open_file(folder, nt_buf_text(&name), &fd, st, &e) < 0)
        return false;
    /* What others claim is looked at whole: own.c asks for more than names. */
    bool names_only = plugins->options.names_only && plugin->rank == RANK_INSTALLED;
    int (*read)(int, uint64_t, struct arena *, struct manifest *, struct nt_error *) =
        names_only ? manifest_read_names : manifest_read;
    if (read(fd, (uint64_t)st->st_size, &plugin->arena, &plugin->manifest, &e) == 0
        && plugin->manifest.file_size == (uint64_t)plugin->st.st_size
        && strcmp(plugin->manifest.tables.name, plugin->name) == 0)
        return true;
    arena_done(&plugin->arena);
    plugin->arena = (struct arena)ARENA(MANIFEST_ARENA_MAX);
    return false;
}

int64_t registry_load_ms(const struct plugins *plugins)
{
    return plugins->options.load_ms > 0 ? plugins->options.load_ms : LOAD_MS;
}

/* The cache's entry; when there is none, a child makes one. NULL: reterr. */
static const json_t *cached(struct plugins *plugins, const struct plugin *plugin, int fd,
                            struct nt_error *reterr)
{
    const json_t *entry = cache_find(&plugins->cache, plugin->file, &plugin->st);
    if (entry)
        return entry;
    const struct plugins_options *options = &plugins->options;
    nt_autofree char *made = child_manifest(options->program ? options->program : "/proc/self/exe",
                                            fd, registry_load_ms(plugins), reterr);
    if (!made && reterr->code != NT_E_PLUGIN_FAILED)
        return NULL; /* ours, not the plugin's: not to be remembered */
    entry = cache_put(&plugins->cache, plugin->file, &plugin->st, made, reterr->message);
    if (!entry)
        no_memory(reterr);
    return entry;
}

static int read_cached(struct plugins *plugins, struct plugin *plugin, int fd,
                       struct nt_error *reterr)
{
    char id[ELF_ID_SIZE];
    if (elf_id_read(fd, id, reterr) < 0)
        return -1; /* known at once: no need for a child */
    const json_t *entry = cached(plugins, plugin, fd, reterr);
    if (!entry)
        return -1;
    const char *failure = nt_json_text(entry, "failure");
    if (failure)
        return nt_fail(reterr, NT_E_PLUGIN_FAILED, "%s", failure);
    const char *text = nt_json_text(entry, "manifest");
    if (manifest_parse(text, strlen(text), &plugin->arena, &plugin->manifest, reterr) < 0)
        return -1;
    if (strcmp(plugin->manifest.tables.name, plugin->name) != 0)
        return nt_fail(reterr, NT_E_PLUGIN_FAILED, "it calls itself '%s', but its file is '%s.so'",
                       plugin->manifest.tables.name, plugin->name);
    return 0;
}

/* Fills one plugin from its file. -1: it is to be skipped. */
static int read_plugin(struct plugins *plugins, struct plugin *plugin, int folder,
                       struct nt_error *reterr)
{
    const char *base = plugin->file + strlen(plugin->folder) + 1;
    nt_autoclose int fd = -1;
    if (nt_trust_open_file(folder, base, &fd, &plugin->st, reterr) < 0)
        return -1;
    if (!check_is_plugin_name(plugin->name))
        return nt_fail(reterr, NT_E_PLUGIN_FAILED,
                       "its name is not [a-z][a-z0-9-]* of at most 32 bytes");
    if (!read_shipped(plugins, plugin, folder) && read_cached(plugins, plugin, fd, reterr) < 0)
        return -1;
    plugin->tables = &plugin->manifest.tables;
    return 0;
}

static int add_file(struct discovery *d, enum plugin_rank rank, const char *path, int folder,
                    const char *base, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf file = NT_BUF(PATH_MAX + NAME_MAX);
    nt_auto(nt_buf_done) struct nt_buf name = NT_BUF(NAME_MAX);
    nt_buf_addf(&file, "%s/%s", path, base);
    nt_buf_add_bytes(&name, base, strlen(base) - 3);
    struct plugin *plugin =
        nt_buf_ok(&file) && nt_buf_ok(&name)
            ? registry_add(d->plugins, rank, nt_buf_text(&name), path, nt_buf_text(&file))
            : NULL;
    if (!plugin)
        return d->plugins->count >= PLUGINS_MAX ? 0 : no_memory(reterr);
    /* Until its owner is known; whoever can place a file of root is the machine's own. */
    plugin->is_confined = rank == RANK_OTHER;
    struct nt_error why = NT_ERROR_INIT;
    int read = read_plugin(d->plugins, plugin, folder, &why);
    if (path == machines_folder && plugin->st.st_uid == 0)
        plugin->is_confined = false;
    if (read < 0)
        registry_skip(d->plugins, plugin, why.message);
    return 0;
}

static int is_plugin_file(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    return length > 3 && entry->d_name[0] != '.' && strcmp(entry->d_name + length - 3, ".so") == 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names of the plugins of a folder, sorted: the order of a folder is not the same on every
 * machine. */
static int list_files(int folder, char *ret[FILES_MAX], unsigned *ret_count,
                      struct nt_error *reterr)
{
    nt_autoclose int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
    if (!dir)
        return nt_fail_sys(reterr, errno, "cannot list the folder");
    copy = -1;
    unsigned count = 0;
    const struct dirent *entry;
    while (count < FILES_MAX && (entry = readdir(dir)))
        if (is_plugin_file(entry) && (ret[count] = strdup(entry->d_name)))
            count++;
    closedir(dir);
    qsort(ret, count, sizeof(ret[0]), by_name);
    *ret_count = count;
    return 0;
}

static bool is_seen(const struct discovery *d, const struct stat *st)
{
    for (unsigned i = 0; i < d->seen_count; i++)
        if (d->seen[i].dev == st->st_dev && d->seen[i].ino == st->st_ino)
            return true;
    return false;
}

/* Another nanoterm may be installed where the whole machine's plugins are. Its own are not ours,
 * and that is nothing to warn of. */
static bool is_of_another_nanoterm(const char *path, enum plugin_rank rank, const char *base)
{
    return rank == RANK_OTHER && path == machines_folder
           && reserved_is_word(base, strlen(base) - 3);
}

/* Looks into one folder. What is wrong with the folder is a skipped plugin without a name. */
static int look_into(struct discovery *d, const char *path, enum plugin_rank rank,
                     struct nt_error *reterr)
{
    nt_autoclose int folder = -1;
    struct nt_error why = NT_ERROR_INIT;
    struct stat st;
    char *names[FILES_MAX];
    unsigned count = 0;
    if (nt_trust_open_folder(path, &folder, &why) < 0
        || (fstat(folder, &st) < 0 && nt_fail_sys(&why, errno, "fstat"))) {
        if (why.code == NT_E_NOT_FOUND)
            return 0;
        struct plugin *plugin = registry_add(d->plugins, rank, "", path, path);
        if (!plugin)
            return no_memory(reterr);
        registry_skip(d->plugins, plugin, why.message);
        return 0;
    }
    bool is_installation = d->has_installation && st.st_dev == d->installation_id.dev
                           && st.st_ino == d->installation_id.ino;
    if (is_seen(d, &st) || (is_installation && rank != RANK_INSTALLED))
        return 0;
    if (d->seen_count < sizeof(d->seen) / sizeof(d->seen[0]))
        d->seen[d->seen_count++] = (struct seen){ st.st_dev, st.st_ino };
    if (list_files(folder, names, &count, &why) < 0)
        return 0;
    int result = 0;
    for (unsigned i = 0; i < count; i++) {
        if (result == 0 && !is_of_another_nanoterm(path, rank, names[i]))
            result = add_file(d, rank, path, folder, names[i], reterr);
        free(names[i]);
    }
    return result;
}

/* NANOTERM_PLUGIN_PATH. */
static int look_into_path(struct discovery *d, const char *list, struct nt_error *reterr)
{
    for (unsigned i = 0; list && *list && i < FOLDERS_MAX; i++) {
        size_t length = strcspn(list, ":");
        nt_autofree char *path = strndup(list, length);
        if (!path)
            return no_memory(reterr);
        if (*path && look_into(d, path, RANK_OTHER, reterr) < 0)
            return -1;
        list += length;
        list += *list == ':';
    }
    return 0;
}

bool registry_users_folder(struct nt_buf *ret)
{
    const char *xdg = secure_getenv("XDG_DATA_HOME"), *home = secure_getenv("HOME");
    if (xdg && xdg[0] == '/')
        nt_buf_addf(ret, "%s/nanoterm/plugins", xdg);
    else if (home && home[0] == '/')
        nt_buf_addf(ret, "%s/.nanoterm/plugins", home);
    return ret->size && nt_buf_ok(ret);
}

static int look_into_users(struct discovery *d, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(PATH_MAX);
    return registry_users_folder(&path) ? look_into(d, nt_buf_text(&path), RANK_OTHER, reterr) : 0;
}

/* Where the plugins of this program are: found from its own place, so that a prefix can be
 * moved. */
static void find_installation(struct discovery *d)
{
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(PATH_MAX);
    char exe[PATH_MAX];
    struct stat st;
    if (d->plugins->options.installation) {
        nt_buf_add(&path, d->plugins->options.installation);
    } else if (NT_PLUGIN_DIR[0] == '/') {
        nt_buf_add(&path, NT_PLUGIN_DIR);
    } else {
        ssize_t length = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
        exe[length > 0 ? length : 0] = '\0';
        for (int i = 0; i < 2; i++) { /* the file, then its folder */
            char *slash = strrchr(exe, '/');
            if (!slash)
                return;
            *slash = '\0';
        }
        nt_buf_addf(&path, "%s/" NT_PLUGIN_DIR, exe);
        /* A build tree has the same layout with a plain lib. Not for /usr/local, whose lib is
         * everybody's. */
        if (stat(nt_buf_text(&path), &st) < 0 && strcmp(exe, "/usr/local") != 0) {
            nt_buf_reset(&path);
            nt_buf_addf(&path, "%s/lib/nanoterm/plugins", exe);
        }
    }
    d->installation = nt_buf_take(&path);
    if (d->installation && stat(d->installation, &st) == 0) {
        d->has_installation = true;
        d->installation_id = (struct seen){ st.st_dev, st.st_ino };
    }
}

int discover(struct plugins *plugins, struct nt_error *reterr)
{
    struct discovery d = { .plugins = plugins };
    find_installation(&d);
    int result = look_into_path(&d, secure_getenv("NANOTERM_PLUGIN_PATH"), reterr);
    if (result == 0)
        result = look_into_users(&d, reterr);
    if (result == 0)
        result = external_discover(plugins, reterr);
    if (result == 0)
        result = look_into(&d, machines_folder, RANK_OTHER, reterr);
    if (result == 0 && d.installation)
        result = look_into(&d, d.installation, RANK_INSTALLED, reterr);
    free(d.installation);
    cache_save(&plugins->cache);
    return result;
}
