/* SPDX-License-Identifier: Apache-2.0 */
/* generate.c - what the build has the program write about itself; see generate.h. */
#include "generate.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/cli/complete.h"
#include "core/cli/known.h"
#include "core/cli/man.h"
#include "core/plugin/files.h"
#include "core/plugin/stock.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define PAGE_MAX (1024u * 1024)
#define CORE "nanoterm" /* the program, and its package */

/* What is written: the tables as they are under one name of the program. */
struct work {
    const struct plugins *plugins;
    const struct tree *tree;
    const char *folder, *packages;
    const char *program;
    char package[64]; /* of the program and its scripts under that name */
    bool is_own;      /* the name is nanoterm: a plugin's pages are in the plugin's package */
};

/* Opens folder/below, which is made with those above it. */
static int open_below(const char *folder, const char *below, int *ret_fd, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(PATH_MAX);
    nt_buf_addf(&path, "%s/%s", folder, below);
    for (char *at = nt_buf_ok(&path) ? path.data + 1 : NULL; at && (at = strchr(at, '/')); at++) {
        *at = '\0';
        if (mkdir(path.data, 0755) < 0 && errno != EEXIST)
            return nt_fail_sys(reterr, errno, "cannot make %s", path.data);
        *at = '/';
    }
    if (!nt_buf_ok(&path) || (mkdir(path.data, 0755) < 0 && errno != EEXIST)
        || (*ret_fd = open(path.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        return nt_fail_sys(reterr, errno, "cannot make %s/%s", folder, below);
    return 0;
}

static int write_page(int folder, const char *name, const struct nt_buf *page,
                      struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf file = NT_BUF(NAME_MAX);
    nt_buf_addf(&file, "%s.1", name);
    if (!nt_buf_ok(page) || !nt_buf_ok(&file))
        return nt_fail(reterr, NT_E_LIMIT, "the page %s is too long", name);
    return files_write(folder, nt_buf_text(&file), nt_buf_text(page), page->size, reterr);
}

/* The package that documents a command: that of its plugin, or that of another name of the program.
 * False: a plugin of this machine that is none of ours. */
static bool package_of(const struct work *work, const struct nt_command *command, struct stock *ret)
{
    struct plugin_info info = { .name = NULL };
    plugins_info_of(work->plugins, plugins_owner(work->plugins, command), &info);
    nt_copy_text(ret->package, sizeof(ret->package), work->package);
    nt_copy_text(ret->plugin, sizeof(ret->plugin), info.name);
    struct stock found;
    if (!info.file)
        return true;
    if (!stock_find(work->packages, info.name, &found))
        return false;
    if (work->is_own)
        *ret = found;
    return true;
}

static int write_command(const struct work *work, const struct nt_command *command,
                         const struct stock *stock, struct nt_error *reterr)
{
    nt_autoclose int fd = -1;
    nt_auto(nt_buf_done) struct nt_buf page = NT_BUF(PAGE_MAX);
    nt_auto(nt_buf_done) struct nt_buf name = NT_BUF(256);
    nt_auto(nt_buf_done) struct nt_buf below = NT_BUF(256);
    struct catalog_source source = known_source(work->plugins);
    nt_buf_addf(&below, "%s/man/man1", stock->package);
    man_add_name(&name, work->program, command);
    man_add_command(&page, command, &source.errors, NT_VERSION);
    return open_below(work->folder, nt_buf_text(&below), &fd, reterr) < 0
               ? -1
               : write_page(fd, nt_buf_text(&name), &page, reterr);
}

static int write_pages(const struct work *work, struct nt_error *reterr)
{
    nt_autoclose int fd = -1;
    nt_auto(nt_buf_done) struct nt_buf page = NT_BUF(PAGE_MAX);
    nt_auto(nt_buf_done) struct nt_buf below = NT_BUF(256);
    const struct tree *tree = work->tree;
    struct stock stock;
    nt_buf_addf(&below, "%s/man/man1", work->package);
    if (open_below(work->folder, nt_buf_text(&below), &fd, reterr) < 0)
        return -1;
    man_add_program(&page, tree, NT_VERSION);
    int result = write_page(fd, work->program, &page, reterr);
    for (uint32_t i = 0; result == 0 && i < tree->count; i++)
        if (!(tree->commands[i]->flags & NT_HIDDEN) && package_of(work, tree->commands[i], &stock))
            result = write_command(work, tree->commands[i], &stock, reterr);
    return result;
}

static void add_word(struct nt_buf *b, const char *path, const struct stock *stock)
{
    char word[64] = "";
    struct stock known;
    size_t length = strcspn(path, " ");
    if (length < sizeof(word))
        memcpy(word, path, length);
    if (*word && !stock_find(nt_buf_text(b), word, &known))
        nt_buf_addf(b, "%s %s %s\n", word, stock->plugin, stock->package);
}

/* Adds a line for each word that commands and aliases of our plugins begin with. */
static int write_stock(const struct work *work, struct nt_error *reterr)
{
    nt_autoclose int fd = -1;
    nt_auto(nt_buf_done) struct nt_buf lines = NT_BUF(PAGE_MAX);
    nt_buf_add(&lines, work->packages);
    for (uint32_t i = 0; i < work->tree->count; i++) {
        const struct nt_command *command = work->tree->commands[i];
        struct stock stock;
        if (!package_of(work, command, &stock) || strcmp(stock.package, CORE) == 0)
            continue;
        add_word(&lines, command->path, &stock);
        const struct nt_alias *alias;
        for (uint32_t j = 0; (alias = tree_row(&command->aliases, j)); j++)
            add_word(&lines, alias->path, &stock);
    }
    if (!nt_buf_ok(&lines))
        return nt_fail(reterr, NT_E_LIMIT, "the list of packages is too long");
    return open_below(work->folder, CORE "/nanoterm", &fd, reterr) < 0
               ? -1
               : files_write(fd, "stock", nt_buf_text(&lines), lines.size, reterr);
}

/* The scripts of the shells, each where its shell looks for it. */
static int write_scripts(const struct work *work, struct nt_error *reterr)
{
    static const struct {
        const char *shell, *below, *before, *after;
    } scripts[] = {
        { "bash", "bash-completion/completions", "", "" },
        { "zsh", "zsh/site-functions", "_", "" },
        { "fish", "fish/vendor_completions.d", "", ".fish" },
    };
    for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
        nt_autoclose int fd = -1;
        nt_auto(nt_buf_done) struct nt_buf below = NT_BUF(256);
        nt_auto(nt_buf_done) struct nt_buf name = NT_BUF(NAME_MAX);
        nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(PAGE_MAX);
        nt_buf_addf(&below, "%s/%s", work->package, scripts[i].below);
        nt_buf_addf(&name, "%s%s%s", scripts[i].before, work->program, scripts[i].after);
        complete_add_script(&text, scripts[i].shell, work->program);
        if (open_below(work->folder, nt_buf_text(&below), &fd, reterr) < 0
            || files_write(fd, nt_buf_text(&name), nt_buf_text(&text), text.size, reterr) < 0)
            return -1;
    }
    return 0;
}

int generate(const struct plugins *plugins, const char *folder, const char *packages_file,
             struct nt_error *reterr)
{
    nt_auto(known_tree_done) struct tree tree = { .commands = NULL };
    nt_auto(nt_buf_done) struct nt_buf packages = NT_BUF(PAGE_MAX);
    stock_read(packages_file, &packages);
    if (packages.size == 0)
        return nt_fail(reterr, NT_E_CONFIG, "cannot read %s", packages_file);
    if (known_tree(plugins, &tree, reterr) < 0)
        return -1;
    struct work work = {
        .plugins = plugins,
        .tree = &tree,
        .folder = folder,
        .packages = nt_buf_text(&packages),
        .program = tree_program(&tree),
    };
    work.is_own = strcmp(work.program, CORE) == 0;
    snprintf(work.package, sizeof(work.package), CORE "%s%s", work.is_own ? "" : "-as-",
             work.is_own ? "" : work.program);
    if (write_pages(&work, reterr) < 0 || write_scripts(&work, reterr) < 0)
        return -1;
    return work.is_own ? write_stock(&work, reterr) : 0;
}
