/* SPDX-License-Identifier: Apache-2.0 */
/* generate.c - what the build has the program write about itself; see generate.h. */
#include "generate.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "core/cli/complete.h"
#include "core/cli/known.h"
#include "core/cli/man.h"
#include "core/plugin/files.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define PAGE_MAX (1024u * 1024)

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

static int write_pages(const struct tree *tree, const struct help_source *source,
                       const char *folder, struct nt_error *reterr)
{
    nt_autoclose int fd = -1;
    nt_auto(nt_buf_done) struct nt_buf page = NT_BUF(PAGE_MAX);
    if (open_below(folder, "man/man1", &fd, reterr) < 0)
        return -1;
    man_add_program(&page, tree, NT_VERSION);
    int result = write_page(fd, "nanoterm", &page, reterr);
    for (uint32_t i = 0; result == 0 && i < tree->count; i++) {
        if (tree->commands[i]->flags & NT_HIDDEN)
            continue;
        nt_auto(nt_buf_done) struct nt_buf name = NT_BUF(256);
        man_add_name(&name, tree->commands[i]);
        nt_buf_reset(&page);
        man_add_command(&page, tree->commands[i], source, NT_VERSION);
        result = write_page(fd, nt_buf_text(&name), &page, reterr);
    }
    return result;
}

static int write_script(const char *folder, const char *below, const char *name, const char *shell,
                        struct nt_error *reterr)
{
    nt_autoclose int fd = -1;
    const char *text = complete_script(shell);
    return open_below(folder, below, &fd, reterr) < 0
               ? -1
               : files_write(fd, name, text, strlen(text), reterr);
}

int generate(const struct plugins *plugins, const char *folder, struct nt_error *reterr)
{
    nt_auto(known_tree_done) struct tree tree = { .commands = NULL };
    struct catalog_source source = known_source(plugins);
    if (known_tree(plugins, &tree, reterr) < 0
        || write_pages(&tree, &source.errors, folder, reterr) < 0
        || write_script(folder, "bash-completion/completions", "nanoterm", "bash", reterr) < 0
        || write_script(folder, "zsh/site-functions", "_nanoterm", "zsh", reterr) < 0)
        return -1;
    return write_script(folder, "fish/vendor_completions.d", "nanoterm.fish", "fish", reterr);
}
