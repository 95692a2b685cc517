/* SPDX-License-Identifier: Apache-2.0 */
/* load_test.c - good, old, new, wrong and hostile plugins against the loader: each harms only
 * itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/plugin/plugins.h"
#include "core/plugin/registry.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"

/* A folder of its own with a home, plugins of others and plugins of the installation. */
struct world {
    char dir[64];
    char others[80];
    char installed[80];
    char home[80];
    struct plugins *plugins;
    unsigned lines; /* that told of skipped ones */
    const char *program;
    bool names_only;
};

static void text_at(char *ret, size_t size, const char *a, const char *b)
{
    int n = snprintf(ret, size, "%s/%s", a, b);
    assert_true(n > 0 && (size_t)n < size);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static int remove_tree(const char *dir)
{
    return nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    memcpy(w->dir, "/tmp/nt-abi-XXXXXX", 19);
    assert_non_null(mkdtemp(w->dir));
    text_at(w->others, sizeof(w->others), w->dir, "others");
    text_at(w->installed, sizeof(w->installed), w->dir, "installed");
    text_at(w->home, sizeof(w->home), w->dir, "home");
    assert_int_equal(mkdir(w->others, 0755) | mkdir(w->installed, 0755) | mkdir(w->home, 0755), 0);
    setenv("HOME", w->home, 1);
    setenv("NANOTERM_PLUGIN_PATH", w->others, 1);
    unsetenv("XDG_DATA_HOME");
    unsetenv("XDG_CACHE_HOME");
    w->program = NANOTERM;
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    plugins_free(w->plugins);
    int failed = remove_tree(w->dir);
    free(w);
    return failed;
}

static void write_file(const char *path, const void *data, size_t size)
{
    unlink(path);
    nt_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), size);
    assert_int_equal(fchmod(fd, 0755), 0);
}

static void read_file(const char *path, struct nt_buf *ret)
{
    nt_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t n;
    do {
        char *room = nt_buf_room(ret, 65536);
        assert_non_null(room);
        n = read(fd, room, 65536);
        assert_true(n >= 0);
        nt_buf_added(ret, (size_t)n);
    } while (n > 0);
}

/* Copies the variant into a folder under another (or its own) name, cut to `size` bytes unless
 * 0. */
static void put_cut(const char *folder, const char *variant, const char *as, size_t size)
{
    char from[PATH_MAX], to[PATH_MAX];
    nt_auto(nt_buf_done) struct nt_buf data = NT_BUF(64u << 20);
    snprintf(from, sizeof(from), ABI_PLUGINS "/%s.so", variant);
    snprintf(to, sizeof(to), "%s/%s.so", folder, as);
    read_file(from, &data);
    write_file(to, data.data, size && size < data.size ? size : data.size);
}

static void put(const char *folder, const char *variant)
{
    put_cut(folder, variant, variant, 0);
}

/* Writes the manifest of a file beside it, as nt_add_plugin does. */
static void put_manifest(const char *folder, const char *name)
{
    char so[PATH_MAX], manifest[PATH_MAX];
    struct nt_error e = NT_ERROR_INIT;
    snprintf(so, sizeof(so), "%s/%s.so", folder, name);
    snprintf(manifest, sizeof(manifest), "%s/%s.manifest", folder, name);
    if (plugins_write_manifest(so, manifest, &e) < 0)
        fail_msg("%s", e.message);
}

static void count_line(void *data, const char *line)
{
    struct world *w = data;
    w->lines++;
    assert_null(strchr(line, '\n'));
}

static void open_all(struct world *w)
{
    plugins_free(w->plugins);
    w->plugins = NULL;
    w->lines = 0;
    struct plugins_options options = { .skipped = count_line,
                                       .data = w,
                                       .installation = w->installed,
                                       .program = w->program,
                                       .names_only = w->names_only,
                                       .load_ms = 20000 };
    struct nt_error e = NT_ERROR_INIT;
    if (plugins_open(&options, &w->plugins, &e) < 0)
        fail_msg("%s", e.message);
}

static struct plugin_info info_in(const struct world *w, const char *folder, const char *name)
{
    struct plugin_info info = { .name = NULL };
    for (uint32_t i = 0; plugins_info_at(w->plugins, i, &info); i++)
        if (strcmp(info.name, name) == 0 && strncmp(info.file, folder, strlen(folder)) == 0)
            return info;
    fail_msg("no plugin %s in %s", name, folder);
    return info;
}

static void is_ok(const struct world *w, const char *folder, const char *name)
{
    struct plugin_info info = info_in(w, folder, name);
    if (strcmp(info.state, "ok") != 0)
        fail_msg("%s is %s: %s", name, info.state, info.reason);
}

static void is_skipped(const struct world *w, const char *folder, const char *name,
                       const char *reason)
{
    struct plugin_info info = info_in(w, folder, name);
    if (strcmp(info.state, "skipped") != 0 || !info.reason || !strstr(info.reason, reason))
        fail_msg("%s is %s: %s (wanted: %s)", name, info.state,
                 info.reason ? info.reason : "no reason", reason);
}

static const struct nt_command *command(const struct world *w, const char *path)
{
    const struct nt_command *c;
    for (uint32_t i = 0; (c = plugins_command_at(w->plugins, i)); i++)
        if (strcmp(c->path, path) == 0)
            return c;
    return NULL;
}

static int load(struct world *w, const char *path, struct nt_error *ret)
{
    *ret = (struct nt_error)NT_ERROR_INIT;
    const struct nt_command *known = command(w, path), *loaded = NULL;
    assert_non_null(known);
    assert_null(known->run);
    if (plugins_load(w->plugins, known, &loaded, ret) < 0)
        return -1;
    assert_non_null(loaded->run);
    return loaded->run(NULL, ret);
}

/* Every case of a file that is skipped, next to a good one that works. */
static void wrong_files_harm_only_themselves(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *variant, *reason;
    } cases[] = {
        { "shorter", "its descriptor has 104 bytes" },
        { "cutrows", "row stride of 144 bytes" },
        { "oddrows", "row stride of 153 bytes" },
        { "nullrows", "3 rows at NULL" },
        { "manyrows", "4000000000 rows, more than" },
        { "nullpath", "path is missing" },
        { "wildpath", "crashed with signal 11 while loading" },
        { "badtext", "summary is not clean UTF-8" },
        { "escape", "summary is not clean UTF-8" },
        { "nulldesc", "no descriptor" },
        { "abi2", "made for ABI 2" },
        { "nosymbol", "no symbol nt_plugin_v1" },
        { "crash", "crashed with signal 11 while loading" },
        { "calledx", "it calls itself 'x'" },
        { "thief", "'ws' is reserved" },
        { "alias", "'exec' is reserved" },
        { "guest", "'guest' is reserved" },
        { "group", "'ws' is reserved" },
        { "fakes", "'native' of nanoterm.engine/1 is reserved" },
    };
    size_t count = sizeof(cases) / sizeof(cases[0]);
    for (size_t i = 0; i < count; i++)
        put(w->others, cases[i].variant);
    put(w->others, "old");
    open_all(w);
    for (size_t i = 0; i < count; i++)
        is_skipped(w, w->others, cases[i].variant, cases[i].reason);
    assert_int_equal(w->lines, count);
    is_ok(w, w->others, "old");
    struct nt_error e;
    assert_int_equal(load(w, "old hello", &e), 0);

    /* Failures are remembered, too: without a program that could ask again, the answers are the
     * same. */
    w->program = "/nonexistent";
    open_all(w);
    for (size_t i = 0; i < count; i++)
        is_skipped(w, w->others, cases[i].variant, cases[i].reason);
    is_ok(w, w->others, "old");
}

static void older_and_newer_ones_load(void **state)
{
    struct world *w = *state;
    static const char *const good[] = { "old", "longer", "rows", "print", "second", "secondrows" };
    const size_t count = sizeof(good) / sizeof(good[0]);
    for (size_t i = 0; i < count; i++)
        put(w->others, good[i]);
    open_all(w);
    assert_int_equal(w->lines, 0);
    struct nt_error e;
    for (size_t i = 0; i < count; i++) {
        char path[64];
        is_ok(w, w->others, good[i]);
        snprintf(path, sizeof(path), "%s hello", good[i]);
        if (load(w, path, &e) < 0)
            fail_msg("%s: %s", good[i], e.message);
    }
    /* the second row was found through the longer stride */
    assert_non_null(command(w, "rows more"));
    const struct nt_command *c = command(w, "old hello");
    const struct nt_opt *opts = c->opts.rows;
    assert_int_equal(c->opts.count, 1);
    assert_string_equal(opts[0].name, "times");
    assert_true(opts[0].max == 9 && opts[0].letter == 't' && c->timeout_ms == 1000);
    /* What came with 1.1 is read of those that were made with it, and absent in the older ones. */
    const struct plugin *second = plugins_owner(w->plugins, command(w, "second hello"));
    assert_int_equal(second->tables->needs.count, 2);
    assert_int_equal(plugins_owner(w->plugins, c)->tables->needs.count, 0);
    struct nt_error_row row;
    assert_true(
        plugins_error_row(w->plugins, plugins_owner(w->plugins, c), NT_E_PLUGIN_FIRST + 1, &row));
    assert_string_equal(row.text, "test.lost");
    assert_true(plugins_error_row(w->plugins, NULL, NT_E_NOT_FOUND, &row) && row.exit_status == 3);
    assert_false(plugins_error_row(w->plugins, NULL, NT_E_PLUGIN_FIRST + 1, &row));
}

static void a_plugin_that_hangs_ends_at_its_time(void **state)
{
    struct world *w = *state;
    put(w->others, "hang");
    struct plugins_options options = { .installation = w->installed,
                                       .program = NANOTERM,
                                       .load_ms = 300 };
    struct nt_error e = NT_ERROR_INIT;
    assert_int_equal(plugins_open(&options, &w->plugins, &e), 0);
    is_skipped(w, w->others, "hang", "did not finish loading in 300 ms");
}

static void files_of_others_are_not_opened(void **state)
{
    struct world *w = *state;
    char path[PATH_MAX], target[PATH_MAX];
    put(w->others, "old");
    text_at(path, sizeof(path), w->others, "old.so");
    chmod(path, 0775);
    text_at(target, sizeof(target), w->others, "old.so");
    text_at(path, sizeof(path), w->others, "link.so");
    assert_int_equal(symlink(target, path), 0);
    text_at(path, sizeof(path), w->others, "fifo.so");
    assert_int_equal(mkfifo(path, 0644), 0);
    text_at(path, sizeof(path), w->others, "folder.so");
    assert_int_equal(mkdir(path, 0755), 0);
    text_at(path, sizeof(path), w->others, "text.so");
    write_file(path, "not an object", 13);
    put_cut(w->others, "longer", "longer", 4000);
    put_cut(w->others, "rows", "rows", 100);
    put_cut(w->others, "other", "Odd_Name", 0);
    open_all(w);
    is_skipped(w, w->others, "old", "others can write");
    is_skipped(w, w->others, "link", "symbolic link");
    is_skipped(w, w->others, "fifo", "not a regular file");
    is_skipped(w, w->others, "folder", "not a regular file");
    is_skipped(w, w->others, "text", "not an ELF file");
    is_skipped(w, w->others, "longer", "cut off");
    is_skipped(w, w->others, "rows", "cut off");
    is_skipped(w, w->others, "Odd_Name", "its name is not");
    assert_null(plugins_command_at(w->plugins, 0));
}

static void folders_of_others_are_not_looked_into(void **state)
{
    struct world *w = *state;
    char open_one[PATH_MAX], below[PATH_MAX], link[PATH_MAX], list[PATH_MAX * 3];
    text_at(open_one, sizeof(open_one), w->dir, "open");
    text_at(below, sizeof(below), open_one, "below");
    text_at(link, sizeof(link), w->dir, "link");
    assert_int_equal(mkdir(open_one, 0755) | mkdir(below, 0755) | symlink(w->others, link), 0);
    put(below, "old");
    put(w->others, "other");
    snprintf(list, sizeof(list), "%s:relative:%s:/nonexistent/folder:/tmp", below, link);
    setenv("NANOTERM_PLUGIN_PATH", list, 1);
    assert_int_equal(chmod(open_one, 0775), 0);
    open_all(w);
    is_skipped(w, below, "", "others can write to");
    is_skipped(w, "relative", "", "not an absolute path");
    is_skipped(w, "/tmp", "", "others can write to /tmp");
    is_ok(w, link, "other"); /* its own link to its own folder */
    assert_int_equal(w->lines, 3);
    assert_null(command(w, "old hello"));

    assert_int_equal(chmod(open_one, 0755), 0);
    open_all(w);
    is_ok(w, below, "old");
}

static void a_foreign_owner_is_refused(void **state)
{
    struct world *w = *state;
    if (geteuid() != 0)
        skip(); /* only root can give a file away */
    char path[PATH_MAX];
    put(w->others, "old");
    text_at(path, sizeof(path), w->others, "old.so");
    assert_int_equal(chown(path, 12345, 12345), 0);
    open_all(w);
    is_skipped(w, w->others, "old", "belongs to user 12345");
    assert_int_equal(chown(path, 0, 0), 0);
    assert_int_equal(chown(w->others, 12345, 0), 0);
    open_all(w);
    is_skipped(w, w->others, "", "belongs to user 12345");
}

static void the_first_owner_of_a_name_keeps_it(void **state)
{
    struct world *w = *state;
    char second[PATH_MAX], list[PATH_MAX * 2];
    text_at(second, sizeof(second), w->dir, "second");
    assert_int_equal(mkdir(second, 0755), 0);
    snprintf(list, sizeof(list), "%s:%s", w->others, second);
    setenv("NANOTERM_PLUGIN_PATH", list, 1);
    put(w->others, "old");
    put(w->others, "open");
    put(second, "old");
    put(second, "same");
    put(second, "intrudes");
    put(second, "joins");
    open_all(w);
    is_ok(w, w->others, "old");
    is_ok(w, w->others, "open");
    is_skipped(w, second, "old", "the plugin name 'old' belongs to");
    /* both files are named: the line begins with the other */
    is_skipped(w, second, "old", w->others);
    is_skipped(w, second, "same", "the command 'old hello' belongs to");
    is_skipped(w, second, "intrudes", "takes no commands of others");
    is_ok(w, second, "joins");
    assert_non_null(command(w, "open join"));
}

static void the_installation_may_own_reserved_names(void **state)
{
    struct world *w = *state;
    put(w->installed, "group");
    put(w->installed, "guest");
    put(w->others, "thief");
    open_all(w);
    is_ok(w, w->installed, "group");
    is_ok(w, w->installed, "guest");
    is_skipped(w, w->others, "thief", "takes no commands of others");
    const struct nt_command *c = command(w, "ws steal");
    assert_non_null(c);
    struct plugin_info info;
    plugins_info_of(w->plugins, plugins_owner(w->plugins, c), &info);
    assert_string_equal(info.name, "group");
    /* The same folder named by the user gives no rights and no second look. */
    setenv("NANOTERM_PLUGIN_PATH", w->installed, 1);
    open_all(w);
    assert_int_equal(w->lines, 0);
}

static void a_manifest_is_read_and_nothing_loaded(void **state)
{
    struct world *w = *state;
    put(w->others, "old");
    put_manifest(w->others, "old");
    w->program = "/nonexistent"; /* nobody could ask the file */
    open_all(w);
    is_ok(w, w->others, "old");
    struct nt_error e;
    assert_int_equal(load(w, "old hello", &e), 0);
    char cache[PATH_MAX];
    text_at(cache, sizeof(cache), w->home, ".nanoterm");
    assert_int_equal(access(cache, F_OK), -1); /* no need of one */
}

/* Makes the manifest of `from` that of `to`, with the right size: only loading can find out. */
static void put_lie(const struct world *w, const char *from, const char *to)
{
    char path[PATH_MAX];
    put(w->installed, to);
    put_manifest(w->installed, to);
    snprintf(path, sizeof(path), "%s/%s.manifest", w->installed, to);
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(1u << 20);
    read_file(path, &text);
    unsigned count = 0; /* among the names, and in the row of the command */
    for (char *at = text.data; (at = strstr(at, from)); at++, count++)
        *at = *at == 'S' ? 'T' : *at == 'a' ? 'b' : 'a';
    assert_int_equal(count, 2);
    write_file(path, text.data, text.size);
    assert_int_equal(chmod(path, 0644), 0);
}

static void a_manifest_that_lies_is_found_out(void **state)
{
    struct world *w = *state;
    put_lie(w, "Say hello", "old");
    put_lie(w, "Say something", "other");
    open_all(w);
    is_ok(w, w->installed, "old");
    struct nt_error e;
    assert_int_equal(load(w, "old hello", &e), -1);
    assert_int_equal(e.code, NT_E_PLUGIN_FAILED);
    assert_non_null(strstr(e.message, "its manifest is not of this file"));
    assert_non_null(strstr(e.message, w->installed));
    assert_int_equal(load(w, "old hello", &e), -1); /* and stays so */
    assert_int_equal(e.code, NT_E_PLUGIN_FAILED);
}

static void a_build_id_that_differs_is_found_out(void **state)
{
    struct world *w = *state;
    put(w->others, "old");
    put_manifest(w->others, "old");
    char path[PATH_MAX];
    text_at(path, sizeof(path), w->others, "old.manifest");
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(1u << 20);
    read_file(path, &text);
    char *id = strstr(text.data, "\nbuild ");
    assert_non_null(id);
    id[7] = id[7] == '0' ? '1' : '0';
    write_file(path, text.data, text.size);
    open_all(w);
    struct nt_error e;
    assert_int_equal(load(w, "old hello", &e), -1);
    assert_non_null(strstr(e.message, "its manifest is not of this file"));
}

#define HEAD "nanoterm-manifest 3\nabi 1\nsize 1\nbuild \nnames 99\n"
#define TABLES "=old\n=1\n=s\n.\n"

static void broken_manifests_do_not_count(void **state)
{
    struct world *w = *state;
    static const char *const broken[] = {
        "",
        "\n",
        "{}",
        "nanoterm-manifest 3",
        "nanoterm-manifest 3\nabi 1\n",
        "nanoterm-manifest 3\nabi 1\nsize x\nbuild \nnames 13\n" TABLES,
        "nanoterm-manifest 2\nabi 1\nsize 1\nbuild \n" TABLES,
        "nanoterm-manifest 3\nabi 1\nsize 1\nbuild \n" TABLES,
        "nanoterm-manifest 3\nabi 1\nsize 1\nbuild \nnames 0\n" TABLES,
        "nanoterm-manifest 3\nabi 1\nsize 1\nbuild \nnames x\n" TABLES,
        "nanoterm-manifest 3\nabi 2\nsize 1\nbuild \nnames 13\n" TABLES,
        HEAD "",
        HEAD "=old\n=1\n",
        HEAD "=old\n=1\n=s\n",
        HEAD "#5\n.\n",
        HEAD "=old\n=1\n=s\n=",
        HEAD "=old\n=1\n=s\n-\n-\n=x\n.\n",
        HEAD "=old\n=1\n=s\n-\n-\n*99999999999999999999\n",
        HEAD "=old\n=1\n=s\n-\n-\n*1\n=x\n=y\n-\n-\n-\n-\n-\n-\n-\n-\n-\n#-1\n.\n.\n",
        HEAD TABLES TABLES, /* something follows */
        HEAD TABLES,        /* good, but of a file of another size */
    };
    put(w->others, "old");
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        char path[PATH_MAX];
        text_at(path, sizeof(path), w->others, "old.manifest");
        write_file(path, broken[i], strlen(broken[i]));
        open_all(w);
        is_ok(w, w->others, "old");
    }
    /* One that others could write does not count either, although it is right. */
    char path[PATH_MAX];
    put_manifest(w->others, "old");
    text_at(path, sizeof(path), w->others, "old.manifest");
    assert_int_equal(chmod(path, 0666), 0);
    open_all(w);
    is_ok(w, w->others, "old");
}

/* The manifest of a plugin of the installation, for a test that changes it. */
static void take_manifest(const struct world *w, char path[PATH_MAX], struct nt_buf *ret)
{
    put(w->installed, "old");
    put_manifest(w->installed, "old");
    text_at(path, PATH_MAX, w->installed, "old.manifest");
    read_file(path, ret);
}

static int fill(struct world *w, const char *path, struct nt_error *ret)
{
    *ret = (struct nt_error)NT_ERROR_INIT;
    const struct nt_command *known = command(w, path);
    assert_non_null(known);
    return plugins_fill(w->plugins, known, ret);
}

static void names_are_enough_until_a_command_runs(void **state)
{
    struct world *w = *state;
    struct nt_error e;
    put(w->installed, "old");
    put_manifest(w->installed, "old");
    put(w->others, "other");
    put_manifest(w->others, "other");
    w->names_only = true;
    w->program = "/nonexistent"; /* nobody could ask the files */
    open_all(w);
    is_ok(w, w->installed, "old");
    is_ok(w, w->others, "other");
    const struct nt_command *old = command(w, "old hello"), *other = command(w, "other hello");
    assert_non_null(old);
    assert_non_null(other);
    assert_string_equal(old->summary, "Say hello");
    assert_int_equal(old->examples.count, 0);
    assert_true(other->examples.count > 0); /* what others say is read whole, as it is judged */
    if (fill(w, "old hello", &e) < 0)
        fail_msg("%s", e.message);
    assert_ptr_equal(command(w, "old hello"), old);
    assert_true(old->examples.count > 0);
    assert_int_equal(fill(w, "old hello", &e), 0); /* once more changes nothing */
    assert_int_equal(load(w, "old hello", &e), 0);
    assert_non_null(plugins_owner(w->plugins, old));
}

/* In the names and in the row alike, so that only the plugin itself can tell. */
static void lies_are_found_out_with_names_alone(void **state)
{
    struct world *w = *state;
    struct nt_error e;
    w->names_only = true;
    put_lie(w, "Say hello", "old");
    open_all(w);
    is_ok(w, w->installed, "old");
    assert_int_equal(fill(w, "old hello", &e), 0);
    assert_int_equal(load(w, "old hello", &e), -1);
    assert_int_equal(e.code, NT_E_PLUGIN_FAILED);
    assert_non_null(strstr(e.message, "its manifest is not of this file"));
    assert_int_equal(load(w, "old hello", &e), -1); /* and stays so */
}

/* Changes the first text WHAT behind BEGIN in the manifest of "old" and reads the names again. */
static void change_manifest(struct world *w, const char *begin, const char *what)
{
    char path[PATH_MAX];
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(1u << 20);
    take_manifest(w, path, &text);
    char *at = strstr(text.data, begin);
    at = at ? strstr(at + 1, what) : NULL;
    assert_non_null(at);
    *at = *at == 'T' ? 'U' : 'T';
    write_file(path, text.data, text.size);
    assert_int_equal(chmod(path, 0644), 0);
    open_all(w);
    is_ok(w, w->installed, "old");
}

static void a_row_that_differs_is_found_out(void **state)
{
    struct world *w = *state;
    struct nt_error e;
    w->names_only = true;
    /* In the row alone, beside its names: found when that command is to run. */
    change_manifest(w, "nanoterm-manifest", "How often");
    assert_int_equal(fill(w, "old hello", &e), 0);
    assert_int_equal(load(w, "old hello", &e), -1);
    assert_non_null(strstr(e.message, "its manifest is not of this file"));
    /* In the names alone: one manifest with two readings. */
    change_manifest(w, "nanoterm-manifest", "Say hello");
    assert_int_equal(fill(w, "old hello", &e), -1);
    assert_non_null(strstr(e.message, "has two names"));
    /* Read whole it does not count, and the file itself is asked. */
    w->names_only = false;
    open_all(w);
    is_ok(w, w->installed, "old");
    assert_int_equal(load(w, "old hello", &e), 0);
}

static void rows_that_are_gone_are_noticed(void **state)
{
    struct world *w = *state;
    struct nt_error e;
    char path[PATH_MAX];
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(1u << 20);
    w->names_only = true;
    take_manifest(w, path, &text);
    write_file(path, text.data, text.size - 4); /* the names are whole */
    assert_int_equal(chmod(path, 0644), 0);
    open_all(w);
    is_ok(w, w->installed, "old");
    const struct nt_command *last = NULL, *next;
    for (uint32_t i = 0; (next = plugins_command_at(w->plugins, i)); i++)
        last = next;
    assert_non_null(last);
    e = (struct nt_error)NT_ERROR_INIT;
    assert_int_equal(plugins_fill(w->plugins, last, &e), -1);
    assert_int_equal(last->examples.count, 0);
    /* Another file of that name, a moment later. */
    write_file(path, text.data, text.size);
    assert_int_equal(chmod(path, 0644), 0);
    open_all(w);
    write_file(path, text.data, text.size);
    assert_int_equal(fill(w, "old hello", &e), -1);
    assert_non_null(strstr(e.message, "it was replaced just now"));
    /* One that others could write is not looked at: the file itself is asked, as ever. */
    assert_int_equal(chmod(path, 0666), 0);
    open_all(w);
    is_ok(w, w->installed, "old");
    assert_true(command(w, "old hello")->examples.count > 0);
}

static void the_cache_is_used_and_rebuilt(void **state)
{
    struct world *w = *state;
    char path[PATH_MAX];
    struct stat st;
    put(w->others, "old");
    open_all(w);
    is_ok(w, w->others, "old");
    text_at(path, sizeof(path), w->home, ".nanoterm/cache/plugins.json");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);

    w->program = "/nonexistent";
    open_all(w);
    is_ok(w, w->others, "old");
    put(w->others, "old"); /* another file of the same name: what is kept is not of it */
    open_all(w);
    is_skipped(w, w->others, "old", "cannot start");

    w->program = NANOTERM;
    static const char *const broken[] = { "", "{\"nanoterm\":", "[1]",
                                          "{\"nanoterm\":\"0\",\"plugins\":{}}" };
    for (size_t i = 0; i < 4; i++) {
        write_file(path, broken[i], strlen(broken[i]));
        open_all(w);
        is_ok(w, w->others, "old");
        struct nt_error e;
        assert_int_equal(load(w, "old hello", &e), 0);
    }
    w->program = "/nonexistent"; /* it was written anew */
    open_all(w);
    is_ok(w, w->others, "old");
    assert_int_equal(chmod(path, 0666), 0); /* others could have written it */
    open_all(w);
    is_skipped(w, w->others, "old", "cannot start");
}

static void a_file_that_is_exchanged_is_not_loaded(void **state)
{
    struct world *w = *state;
    put(w->others, "old");
    open_all(w);
    put_cut(w->others, "other", "old", 0);
    struct nt_error e;
    assert_int_equal(load(w, "old hello", &e), -1);
    assert_non_null(strstr(e.message, "it was replaced just now"));
}

static void services_come_from_those_that_load(void **state)
{
    struct world *w = *state;
    put(w->installed, "lends");
    put(w->others, "gives"); /* a service of a third party would run beside the credentials */
    put(w->others, "unwilling");
    put(w->installed, "fakes"); /* of the installation: fine there */
    open_all(w);
    const char *instance = NULL;
    assert_non_null(plugins_service(w->plugins, "test.thing/1", 0, &instance));
    assert_string_equal(instance, "one");
    assert_null(plugins_service(w->plugins, "test.thing/1", 1, &instance));
    assert_non_null(plugins_service(w->plugins, "nanoterm.engine/1", 0, &instance));
    assert_string_equal(instance, "native");
    assert_null(plugins_service(w->plugins, "test.thing/2", 0, NULL));
    struct nt_error e;
    assert_int_equal(load(w, "unwilling hello", &e), -1);
    assert_int_equal(e.code, NT_E_PLUGIN_FAILED);
    assert_non_null(strstr(e.message, "its start failed: no wish"));
}

static void two_plugins_are_two_objects(void **state)
{
    /* The linker knows an object by the path it was opened with, which is /proc/self/fd/N: the
     * second must not get the first one's. */
    struct world *w = *state;
    put(w->others, "old");
    put(w->others, "rows");
    open_all(w);
    struct nt_error e;
    assert_int_equal(load(w, "old hello", &e), 0);
    if (load(w, "rows hello", &e) < 0)
        fail_msg("%s", e.message);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(wrong_files_harm_only_themselves),      TEST(older_and_newer_ones_load),
        TEST(a_plugin_that_hangs_ends_at_its_time),  TEST(files_of_others_are_not_opened),
        TEST(folders_of_others_are_not_looked_into), TEST(a_foreign_owner_is_refused),
        TEST(the_first_owner_of_a_name_keeps_it),    TEST(the_installation_may_own_reserved_names),
        TEST(a_manifest_is_read_and_nothing_loaded), TEST(a_manifest_that_lies_is_found_out),
        TEST(names_are_enough_until_a_command_runs), TEST(lies_are_found_out_with_names_alone),
        TEST(a_row_that_differs_is_found_out),       TEST(rows_that_are_gone_are_noticed),
        TEST(a_build_id_that_differs_is_found_out),  TEST(broken_manifests_do_not_count),
        TEST(the_cache_is_used_and_rebuilt),         TEST(a_file_that_is_exchanged_is_not_loaded),
        TEST(services_come_from_those_that_load),    TEST(two_plugins_are_two_objects),
    };
    umask(022);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
