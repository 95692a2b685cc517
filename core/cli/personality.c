/* SPDX-License-Identifier: Apache-2.0 */
/* personality.c - the names of the program, as a table. */
#include "personality.h"

#include <signal.h>
#include <string.h>

#include "core/cli/globals.h"
#include "nanoterm/host.h"

static const char *const kept[] = { "commands", "completion", "help", "schema", NULL };
static const char *const hidden[] = { "org", "api", NULL };
static const struct nt_opt nono_opts[] = {
    { .name = "silent",
      .letter = 's',
      .type = NT_FLAG,
      .help = "Only the program's own output; asks nothing" },
    { .name = "theme",
      .type = NT_TEXT,
      .arg = "name",
      .complete = ":mocha|latte|frappe|macchiato|tokyo-night|minimal",
      .help = "Colours: mocha (unless config.toml says otherwise), latte, frappe, macchiato, "
              "tokyo-night or minimal" },
};
static const struct view nono_view = {
    .prefix = "enforce",
    .kept = kept,
    .opts = nono_opts,
    .opt_count = sizeof(nono_opts) / sizeof(nono_opts[0]),
    .hidden = hidden,
};

static const struct personality all[] = {
    { NT_AS_NANOTERM, "nanoterm", "a safe place to run things",
      "nanoterm gives a person or a coding agent a safe place to run things.", NULL, false },
    { NT_AS_NULLSPACE, "nullspace", "workspaces and agents, by nanoterm",
      "nullspace, by nanoterm: workspaces and agents.", NULL, false },
    { NT_AS_NONO, "nono", "a sandbox of the kernel around one program, by nanoterm",
      "nono, by nanoterm: a sandbox of the kernel around one program.", &nono_view, true },
};
#define COUNT (sizeof(all) / sizeof(all[0]))

const struct personality *personality_at(size_t index)
{
    return index < COUNT ? &all[index] : NULL;
}

const struct personality *personality_called(const char *program)
{
    for (size_t i = 0; i < COUNT; i++)
        if (strcmp(program, all[i].program) == 0)
            return &all[i];
    return &all[0];
}

const struct personality *personality_of(const char *argv0)
{
    const char *slash = argv0 ? strrchr(argv0, '/') : NULL;
    return personality_called(slash ? slash + 1 : argv0 ? argv0 : "");
}

static bool is_hidden(const struct view *view, const char *name)
{
    for (const char *const *at = view ? view->hidden : NULL; at && *at; at++)
        if (strcmp(*at, name) == 0)
            return true;
    return false;
}

const struct nt_opt *personality_global(const struct personality *p, bool is_early, uint32_t index)
{
    uint32_t early = is_early && p->view ? p->view->opt_count : 0;
    if (index < early)
        return &p->view->opts[index];
    index -= early;
    const struct nt_opt *opt;
    for (uint32_t i = 0; (opt = globals_opt(i)); i++)
        if (!is_hidden(p->view, opt->name) && index-- == 0)
            return opt;
    return NULL;
}

uint32_t personality_status(const struct personality *p, uint32_t status)
{
    return p->plain_statuses && status != 128 + SIGINT ? 1 : status;
}
