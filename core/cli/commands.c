/* SPDX-License-Identifier: Apache-2.0 */
/* commands.c - the core's own commands about itself: `commands`, `completion`, `help` and `schema`.
 */
#include "commands.h"

#include <string.h>

#include "core/cli/call_state.h"
#include "core/cli/complete.h"
#include "core/cli/known.h"
#include "core/cli/schema.h"
#include "core/output/output.h"
#include "core/plugin/stock.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

/* Longest help. */
#define TEXT_MAX (64u * 1024 * 1024)

static struct output *output_of(struct nt_call *call)
{
    return call_of(call)->options.output;
}

static bool is_below(const char *path, const char *asked)
{
    size_t size = strlen(asked);
    return size == 0 || (strncmp(path, asked, size) == 0 && path[size] == ' ');
}

/* The words of a call as a path. */
static void add_path(struct nt_call *call, struct nt_buf *path)
{
    const char *word;
    for (uint32_t i = 0; (word = call->host->text_at(call, "command", i)); i++)
        nt_buf_addf(path, "%s%s", i ? " " : "", word);
}

static int fail_unknown(const struct tree *tree, const char *asked, uint32_t code,
                        struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf meant = NT_BUF(200);
    nt_auto(nt_buf_done) struct nt_buf first = NT_BUF(TREE_PATH_MAX);
    nt_buf_add_bytes(&first, asked, strcspn(asked, " "));
    if (!tree_leads_on(tree, nt_buf_text(&first)) && stock_check(tree->stock, asked, reterr) < 0)
        return -1;
    tree_suggest_commands(tree, asked, &meant);
    nt_fail(reterr, code, "unknown command '%.100s'%s", asked, nt_buf_text(&meant));
    return nt_hint(reterr, "see %s --help", tree_program(tree));
}

static int emit(struct nt_call *call, json_t *row, struct nt_error *reterr)
{
    int status = row ? output_emit_value(output_of(call), row, reterr)
                     : nt_fail(reterr, NT_E_MEMORY, "out of memory");
    json_decref(row);
    return status;
}

static int run_commands(struct nt_call *call, struct nt_error *reterr)
{
    nt_auto(known_tree_done) struct tree tree = { .commands = NULL };
    struct catalog_source source = known_source(call_plugins(call));
    if (known_tree(call_plugins(call), &tree, reterr) < 0)
        return -1;
    output_always_json(output_of(call));
    for (uint32_t i = 0; i < tree.count; i++)
        if (emit(call, catalog_of(tree.commands[i], &source), reterr) < 0)
            return -1;
    return 0;
}

static json_t *schemas_of(const struct nt_command *command, const struct catalog_source *source)
{
    return json_pack("{s:s, s:s, s:o, s:o}", "command", command->path, "kind", schema_kind(command),
                     "result", schema_of_result(command), "error",
                     schema_of_error(command, &source->errors));
}

static int run_schema(struct nt_call *call, struct nt_error *reterr)
{
    nt_auto(known_tree_done) struct tree tree = { .commands = NULL };
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(TREE_PATH_MAX - 1);
    struct catalog_source source = known_source(call_plugins(call));
    if (known_tree(call_plugins(call), &tree, reterr) < 0)
        return -1;
    add_path(call, &path);
    const char *asked = nt_buf_text(&path);
    const struct nt_command *command = nt_buf_ok(&path) ? tree_command(&tree, asked) : NULL;
    if (!nt_buf_ok(&path) || (*asked && !command && !tree_is_group(&tree, asked)))
        return fail_unknown(&tree, asked, NT_E_NOT_FOUND, reterr);
    output_always_json(output_of(call));
    for (uint32_t i = 0; i < tree.count; i++)
        if ((tree.commands[i] == command || is_below(tree.commands[i]->path, asked))
            && emit(call, schemas_of(tree.commands[i], &source), reterr) < 0)
            return -1;
    return 0;
}

static int run_help(struct nt_call *call, struct nt_error *reterr)
{
    struct plugins *plugins = call_plugins(call);
    nt_auto(known_tree_done) struct tree tree = { .commands = NULL };
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(TREE_PATH_MAX - 1);
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(TEXT_MAX);
    if (known_tree(plugins, &tree, reterr) < 0)
        return -1;
    add_path(call, &path);
    const char *asked = nt_buf_text(&path);
    const struct nt_command *command = nt_buf_ok(&path) ? tree_command(&tree, asked) : NULL;
    if (!nt_buf_ok(&path) || (*asked && !command && !tree_is_group(&tree, asked)))
        return fail_unknown(&tree, asked, NT_E_USAGE, reterr);
    known_add_help(&text, plugins, &tree, asked, command);
    if (!nt_buf_ok(&text))
        return nt_fail(reterr, NT_E_LIMIT, "the text is too long");
    if (call->flags & NT_CALL_JSON)
        return emit(call, json_pack("{s:s, s:s}", "command", asked, "text", nt_buf_text(&text)),
                    reterr);
    return output_write(output_of(call), nt_buf_text(&text), text.size, reterr);
}

static int run_completion(struct nt_call *call, struct nt_error *reterr)
{
    const char *shell = call->host->text(call, "shell");
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(64 * 1024);
    if (!complete_add_script(&text, shell, plugins_called(call_plugins(call)))) {
        nt_fail(reterr, NT_E_USAGE, "there is no completion for '%.40s'", shell);
        return nt_hint(reterr, "bash, zsh and fish have one");
    }
    if (!nt_buf_ok(&text))
        return nt_fail(reterr, NT_E_LIMIT, "the script is too long");
    if (call->flags & NT_CALL_JSON)
        return emit(call, json_pack("{s:s, s:s}", "shell", shell, "script", nt_buf_text(&text)),
                    reterr);
    return output_write(output_of(call), nt_buf_text(&text), text.size, reterr);
}

#define OBJECTS "{\"type\":\"array\",\"items\":{\"type\":\"object\"}}"
#define WORDS "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}"
#define OBJECT "{\"type\":\"object\"}"

static const uint32_t help_errors[] = { NT_E_USAGE, NT_E_PLUGIN_MISSING };
static const uint32_t schema_errors[] = { NT_E_NOT_FOUND, NT_E_PLUGIN_MISSING };
static const struct nt_column completion_columns[] = {
    { .name = "shell", .help = "The shell", .type = NT_TEXT },
    { .name = "script", .help = "What it needs", .type = NT_TEXT },
};
static const struct nt_column help_columns[] = {
    { .name = "command", .help = "What was asked for; empty: everything", .type = NT_TEXT },
    { .name = "text", .help = "The help", .type = NT_TEXT },
};
static const struct nt_column commands_columns[] = {
    { .name = "path", .help = "Its words", .type = NT_TEXT },
    { .name = "summary", .help = "What it does", .type = NT_TEXT },
    { .name = "description", .help = "More of it", .type = NT_TEXT },
    { .name = "aliases", .help = "Other spellings", .type = NT_JSON, .schema = OBJECTS },
    { .name = "arguments", .help = "In their order", .type = NT_JSON, .schema = OBJECTS },
    { .name = "options", .help = "Its own options", .type = NT_JSON, .schema = OBJECTS },
    { .name = "examples", .help = "Lines that work", .type = NT_JSON, .schema = OBJECTS },
    { .name = "result",
      .help = "Kind and JSON Schema of what --json writes",
      .type = NT_JSON,
      .schema = OBJECT },
    { .name = "errors", .help = "Errors it is known for", .type = NT_JSON, .schema = OBJECTS },
    { .name = "error_schema",
      .help = "JSON Schema of the line on stderr",
      .type = NT_JSON,
      .schema = OBJECT },
    { .name = "effects", .help = "What it does to the world", .type = NT_JSON, .schema = WORDS },
    { .name = "timeout_ms", .help = "Its own deadline", .type = NT_DURATION_MS },
    { .name = "plugin", .help = "Whose it is", .type = NT_TEXT },
    { .name = "hidden", .help = "Not shown in help", .type = NT_BOOL },
};
static const struct nt_column schema_columns[] = {
    { .name = "command", .help = "Its words", .type = NT_TEXT },
    { .name = "kind",
      .help = "none; one: an object; list: an array; stream: such an object on each line",
      .type = NT_TEXT },
    { .name = "result", .help = "JSON Schema of stdout", .type = NT_JSON, .schema = OBJECT },
    { .name = "error", .help = "JSON Schema of stderr", .type = NT_JSON, .schema = OBJECT },
};
static const struct nt_arg schema_args[] = {
    { .name = "command",
      .help = "Words of a command or a group; none: all",
      .type = NT_TEXT,
      .flags = NT_MANY | NT_OPTIONAL },
};
static const struct nt_example schema_examples[] = {
    { "schema ws create", "One command" },
    { "schema ws", "A group" },
};
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
      .description = "Commands, options, values, and ids of workspaces and jobs where a server "
                     "runs. Distributions install it where the shell finds it by itself.",
      .run = run_completion,
      .args = NT_TABLE(completion_args),
      .examples = NT_TABLE(completion_examples),
      .columns = NT_TABLE(completion_columns),
      .errors = NT_TABLE(help_errors),
      .effects = NT_IDEMPOTENT,
      .result = NT_RESULT_ONE,
      .timeout_ms = -1 },
    { .path = "commands",
      .summary = "Print every command as JSON",
      .description =
          "One array, always JSON: for agents, and for documents and completion made from it.",
      .run = run_commands,
      .examples = NT_TABLE(commands_examples),
      .columns = NT_TABLE(commands_columns),
      .effects = NT_IDEMPOTENT,
      .result = NT_RESULT_LIST,
      .timeout_ms = -1 },
    { .path = "help",
      .summary = "Print the help of a command, a group or everything",
      .run = run_help,
      .args = NT_TABLE(help_args),
      .examples = NT_TABLE(help_examples),
      .columns = NT_TABLE(help_columns),
      .errors = NT_TABLE(help_errors),
      .effects = NT_IDEMPOTENT,
      .result = NT_RESULT_ONE,
      .timeout_ms = -1 },
    { .path = "schema",
      .summary = "Print the JSON Schema of what commands write",
      .description = "One array, always JSON: for each command the schema of its result and of its "
                     "error with --json. Made from the same tables as the commands themselves.",
      .run = run_schema,
      .args = NT_TABLE(schema_args),
      .examples = NT_TABLE(schema_examples),
      .columns = NT_TABLE(schema_columns),
      .errors = NT_TABLE(schema_errors),
      .effects = NT_IDEMPOTENT,
      .result = NT_RESULT_LIST,
      .timeout_ms = -1 },
};

const struct nt_plugin cli_plugin = {
    NT_PLUGIN_HEAD,        .name = "cli",
    .version = NT_VERSION, .summary = "Help and the catalog",
    .vendor = "nanoterm",  .commands = NT_TABLE(commands),
};
