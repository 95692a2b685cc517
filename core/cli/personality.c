/* SPDX-License-Identifier: Apache-2.0 */
/* personality.c - the names of the program, as a table. */
#include "personality.h"

#include <string.h>

#include "nanoterm/error.h"
#include "nanoterm/host.h"

static const char *const kept[] = { "commands", "completion", "help", "schema", NULL };
static const struct view_opt nono_opts[] = { { "silent", 's', false }, { "theme", 0, true } };
static const struct view nono_view = {
    .prefix = "enforce",
    .kept = kept,
    .opts = nono_opts,
    .opt_count = sizeof(nono_opts) / sizeof(nono_opts[0]),
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

uint32_t personality_status(const struct personality *p, uint32_t code, uint32_t status)
{
    return !p->plain_statuses ? status : code == NT_E_USAGE || code == NT_E_INVALID ? 2 : 1;
}
