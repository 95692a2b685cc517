/* SPDX-License-Identifier: Apache-2.0 */
/* commands.c - the core's own commands about itself: `commands`, `completion` and `help`. */
#include "commands.h"

#include <string.h>

#include "core/cli/call_state.h"
#include "core/cli/complete.h"
#include "core/cli/known.h"
#include "core/output/output.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

/* Longest help or catalog. */
#define TEXT_MAX (64u * 1024 * 1024)

static int write_text(struct nt_call *call, struct nt_buf *text, struct nt_error *reterr)
{
    if (!nt_buf_ok(text))
        return nt_fail(reterr, NT_E_LIMIT, "the text is too long");
    return output_write(call_of(call)->options.output, nt_buf_text(text), text->size, reterr);
}

static int run_commands(struct nt_call *call, struct nt_error *reterr)
{
    struct plugins *plugins = call_plugins(call);
    nt_auto(known_tree_done) struct tree tree = { .commands = NULL };
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(TEXT_MAX);
    struct catalog_source source = known_source(plugins);
    if (known_tree(plugins, &tree, reterr) < 0 || catalog_add(&text, &tree, &source, reterr) < 0)
        return -1;
    return write_text(call, &text, reterr);
}

static int run_help(struct nt_call *call, struct nt_error *reterr)
{
    struct plugins *plugins = call_plugins(call);
    nt_auto(known_tree_done) struct tree tree = { .commands = NULL };
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(TREE_PATH_MAX - 1);
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(TEXT_MAX);
    if (known_tree(plugins, &tree, reterr) < 0)
        return -1;
    const char *word;
    for (uint32_t i = 0; (word = call->host->text_at(call, "command", i)); i++)
        nt_buf_addf(&path, "%s%s", i ? " " : "", word);
    const char *asked = nt_buf_text(&path);
    const struct nt_command *command = nt_buf_ok(&path) ? tree_command(&tree, asked) : NULL;
    if (!nt_buf_ok(&path) || (*asked && !command && !tree_is_group(&tree, asked))) {
        nt_auto(nt_buf_done) struct nt_buf meant = NT_BUF(200);
        tree_suggest_commands(&tree, asked, &meant);
        nt_fail(reterr, NT_E_USAGE, "unknown command '%.100s'%s", asked, nt_buf_text(&meant));
        return nt_hint(reterr, "see nanoterm --help");
    }
    known_add_help(&text, plugins, &tree, asked, command);
    return write_text(call, &text, reterr);
}

static int run_completion(struct nt_call *call, struct nt_error *reterr)
{
    const char *script = complete_script(call->host->text(call, "shell"));
    if (!script) {
        nt_fail(reterr, NT_E_USAGE, "there is no completion for '%.40s'",
                call->host->text(call, "shell"));
        return nt_hint(reterr, "bash, zsh and fish have one");
    }
    return output_write(call_of(call)->options.output, script, strlen(script), reterr);
}

static const uint32_t help_errors[] = { NT_E_USAGE };
static const struct nt_arg completion_args[] = {
    { .name = "shell", .help = "bash, zsh or fish", .type = NT_TEXT },
};
static const struct nt_example completion_examples[] = {
    { "completion bash", "What bash needs: source <(nanoterm completion bash)" },
    { "completion fish", "What fish needs: nanoterm completion fish | source" },
};
static const struct nt_example commands_examples[] = {
    { "commands", "Every command with its options, results, errors and effects" },
};
static const struct nt_arg help_args[] = {
    { .name = "command",
      .help = "Words of a command or a group",
      .type = NT_TEXT,
      .flags = NT_MANY | NT_OPTIONAL },
};
static const struct nt_example help_examples[] = {
    { "help", "The whole tree" },
    { "help commands", "One command" },
};

static const struct nt_command commands[] = {
    { .path = "completion",
      .summary = "Print the completion of a shell",
      .description = "Commands, options, values, and ids of workspaces where a server runs. "
                     "Distributions install it where the shell finds it by itself.",
      .run = run_completion,
      .args = NT_TABLE(completion_args),
      .examples = NT_TABLE(completion_examples),
      .errors = NT_TABLE(help_errors),
      .effects = NT_IDEMPOTENT,
      .result = NT_RESULT_NONE,
      .timeout_ms = -1 },
    { .path = "commands",
      .summary = "Print every command as JSON",
      .description =
          "One array, always JSON: for agents, and for documents and completion made from it.",
      .run = run_commands,
      .examples = NT_TABLE(commands_examples),
      .effects = NT_IDEMPOTENT,
      .result = NT_RESULT_NONE,
      .timeout_ms = -1 },
    { .path = "help",
      .summary = "Print the help of a command, a group or everything",
      .run = run_help,
      .args = NT_TABLE(help_args),
      .examples = NT_TABLE(help_examples),
      .errors = NT_TABLE(help_errors),
      .effects = NT_IDEMPOTENT,
      .result = NT_RESULT_NONE,
      .timeout_ms = -1 },
};

const struct nt_plugin cli_plugin = {
    NT_PLUGIN_HEAD,        .name = "cli",
    .version = NT_VERSION, .summary = "Help and the catalog",
    .vendor = "nanoterm",  .commands = NT_TABLE(commands),
};
