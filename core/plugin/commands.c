/* SPDX-License-Identifier: Apache-2.0 */
/* commands.c - the built-in group `plugin`: what was found, and why something is not used. */
#include "commands.h"

#include "core/cli/call.h"
#include "core/plugin/plugins.h"

static struct nt_value text_or_null(const char *text)
{
    return (struct nt_value){ .type = NT_TEXT, .is_null = !text || !*text, .text = text };
}

static int run_list(struct nt_call *call, struct nt_error *reterr)
{
    struct plugin_info info;
    for (uint32_t i = 0; plugins_info_at(call_plugins(call), i, &info); i++) {
        const struct nt_value row[] = {
            text_or_null(info.name),   text_or_null(info.version), text_or_null(info.state),
            text_or_null(info.reason), text_or_null(info.file),    text_or_null(info.summary),
        };
        if (call->host->emit(call, row, sizeof(row) / sizeof(row[0]), reterr) < 0)
            return -1;
    }
    return 0;
}

static const struct nt_column list_columns[] = {
    { .name = "name", .help = "Its name; none for a folder that is not used", .type = NT_TEXT },
    { .name = "version", .help = "Its version", .type = NT_TEXT },
    { .name = "state", .help = "ok, built in or skipped", .type = NT_TEXT },
    { .name = "reason", .help = "Why it is skipped", .type = NT_TEXT },
    { .name = "file", .help = "Where it is", .type = NT_TEXT },
    { .name = "summary", .help = "What it adds", .type = NT_TEXT, .flags = NT_WIDE },
};
static const struct nt_example list_examples[] = {
    { "plugin list", "Which plugins are there, and why one is not used" },
    { "plugin list --json", "The same for a program" },
};

static const struct nt_command commands[] = {
    { .path = "plugin list",
      .summary = "List all plugins, also those that are skipped",
      .description = "Plugins are looked for in NANOTERM_PLUGIN_PATH, the user's folder, "
                     "/usr/local/lib/nanoterm/plugins "
                     "and the folder of the installation. One is skipped when somebody else could "
                     "have written it, when "
                     "it does not fit this nanoterm, or when a name it wants has an owner.",
      .run = run_list,
      .columns = NT_TABLE(list_columns),
      .examples = NT_TABLE(list_examples),
      .effects = NT_LOCAL | NT_IDEMPOTENT,
      .result = NT_RESULT_LIST },
};

static const struct nt_group groups[] = { { .name = "plugin",
                                            .summary = "See which plugins are there" } };

const struct nt_plugin plugin_plugin = {
    NT_PLUGIN_HEAD,
    .name = "plugin",
    .version = NT_VERSION,
    .summary = "What is known of plugins",
    .vendor = "nanoterm",
    .groups = NT_TABLE(groups),
    .commands = NT_TABLE(commands),
};
