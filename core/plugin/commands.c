/* SPDX-License-Identifier: Apache-2.0 */
/* commands.c - the built-in group `plugin`: its tables, and `plugin list`. */
#include "commands.h"

#include "core/cli/call.h"
#include "core/plugin/plugins.h"
#include "core/plugin/verbs.h"

static struct nt_value text_or_null(const char *text)
{
    return (struct nt_value){ .type = NT_TEXT, .is_null = !text || !*text, .text = text };
}

static int run_list(struct nt_call *call, struct nt_error *reterr)
{
    struct plugin_info info;
    plugins_compare(call_plugins(call));
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

#define TEXTS "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}"

#define NEEDS                                                                                      \
    "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"kind\",\"value\",\"why\"]" \
    ","                                                                                            \
    "\"properties\":{\"kind\":{\"type\":\"string\"},\"value\":{\"type\":\"string\"},"              \
    "\"why\":{\"type\":\"string\"}}}}"

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

static const struct nt_arg name_args[] = {
    { .name = "name", .help = "Name of the plugin", .type = NT_TEXT, .complete = "plugins" },
};
static const struct nt_arg file_args[] = {
    { .name = "file",
      .help = "NAME.so, or a folder that holds just one",
      .type = NT_PATH,
      .complete = "files" },
};
static const struct nt_arg install_args[] = {
    { .name = "path",
      .help = "NAME.so, or a folder that holds just one",
      .type = NT_PATH,
      .complete = "files" },
};
static const uint32_t file_errors[] = { NT_E_NOT_FOUND, NT_E_PLUGIN_ABI, NT_E_PLUGIN_FAILED,
                                        NT_E_FORBIDDEN, NT_E_INVALID };

static const struct nt_column info_columns[] = {
    { .name = "name", .help = "Its name", .type = NT_TEXT },
    { .name = "version", .help = "Its version", .type = NT_TEXT },
    { .name = "state", .help = "ok, built in or skipped", .type = NT_TEXT },
    { .name = "reason", .help = "Why it is skipped", .type = NT_TEXT },
    { .name = "file", .help = "Where it is", .type = NT_TEXT },
    { .name = "summary", .help = "What it adds", .type = NT_TEXT },
    { .name = "vendor", .help = "Who made it, as it says itself", .type = NT_TEXT },
    { .name = "signer", .help = "Who signed it", .type = NT_TEXT },
    { .name = "key", .help = "The signer's key (Ed25519, base64)", .type = NT_TEXT },
    { .name = "commands", .help = "Its commands", .type = NT_JSON, .schema = TEXTS },
    { .name = "groups", .help = "Its groups", .type = NT_JSON, .schema = TEXTS },
    { .name = "errors", .help = "Its own errors", .type = NT_JSON, .schema = TEXTS },
    { .name = "services", .help = "What it lends to others", .type = NT_JSON, .schema = TEXTS },
    { .name = "build_id", .help = "The build id of its file", .type = NT_TEXT },
    { .name = "confined",
      .help = "Its commands run with nothing but what it declares, enforced by the kernel",
      .type = NT_BOOL },
    { .name = "needs", .help = "What it declares that it uses", .type = NT_JSON, .schema = NEEDS },
};
static const struct nt_example info_examples[] = {
    { "plugin info plugin", "All that is known of one plugin" },
};
static const uint32_t info_errors[] = { NT_E_NOT_FOUND };

static const struct nt_column check_columns[] = {
    { .name = "check", .help = "What was looked at", .type = NT_TEXT },
    { .name = "result", .help = "ok, failed or none", .type = NT_TEXT },
    { .name = "detail", .help = "What was found", .type = NT_TEXT },
};
static const struct nt_example check_examples[] = {
    { "plugin check ./build/lib/nanoterm/plugins/hello.so", "Would it be used here" },
};

static const struct nt_opt new_opts[] = {
    { .name = "lang",
      .type = NT_CHOICE,
      .choices = "c|c++",
      .fallback = "c",
      .help = "Language of the project" },
    { .name = "into", .type = NT_PATH, .arg = "folder", .help = "Folder to make (default: NAME)" },
};
static const struct nt_column new_columns[] = {
    { .name = "name", .help = "Name of the plugin", .type = NT_TEXT },
    { .name = "lang", .help = "Its language", .type = NT_TEXT },
    { .name = "folder", .help = "The folder that was made", .type = NT_TEXT },
};
static const struct nt_example new_examples[] = {
    { "plugin new hello", "A project in ./hello that builds, with a test" },
    { "plugin new hello-cpp --lang c++", "The same in C++" },
};
static const uint32_t new_errors[] = { NT_E_USAGE, NT_E_CONFLICT, NT_E_SYSTEM };

static const struct nt_opt sign_opts[] = {
    { .name = "key",
      .type = NT_PATH,
      .arg = "file",
      .flags = NT_REQUIRED,
      .help = "File with your key, readable by you alone" },
    { .name = "new-key", .type = NT_FLAG, .help = "Make the key when it is not there" },
    { .name = "signer",
      .type = NT_TEXT,
      .arg = "name",
      .flags = NT_REQUIRED,
      .help = "Who you are: \"Jane <jane@example.org>\"" },
};
static const struct nt_column sign_columns[] = {
    { .name = "name", .help = "Name of the plugin", .type = NT_TEXT },
    { .name = "signer", .help = "Who signed it", .type = NT_TEXT },
    { .name = "key", .help = "The key to publish (Ed25519, base64)", .type = NT_TEXT },
};
static const struct nt_example sign_examples[] = {
    { "plugin sign hello.so --key ~/.nanoterm-signing-key --new-key --signer Jane",
      "Write hello.so.sig beside it" },
};

static const struct nt_opt install_opts[] = {
    { .name = "yes", .letter = 'y', .type = NT_FLAG, .help = "Allow what it declares, unasked" },
    { .name = "new-signer",
      .type = NT_FLAG,
      .help = "Take it although another key, or nobody, signed it" },
};
static const struct nt_column install_columns[] = {
    { .name = "name", .help = "Name of the plugin", .type = NT_TEXT },
    { .name = "version", .help = "Its version", .type = NT_TEXT },
    { .name = "commands", .help = "How many commands it adds", .type = NT_INT },
    { .name = "signer", .help = "Who signed it", .type = NT_TEXT },
    { .name = "key", .help = "The signer's key", .type = NT_TEXT, .flags = NT_WIDE },
    { .name = "file", .help = "Where it is now", .type = NT_TEXT },
};
static const struct nt_example install_examples[] = {
    { "plugin install ./build/lib/nanoterm/plugins", "Install the plugin that was just built" },
    { "plugin install ./hello.so --yes", "Allow what it declares without being asked" },
};
static const struct nt_column remove_columns[] = {
    { .name = "name", .help = "Name of the plugin", .type = NT_TEXT },
};
static const struct nt_example remove_examples[] = {
    { "plugin remove hello", "Remove it from your own folder" },
};

static const struct nt_command commands[] = {
    { .path = "plugin list",
      .summary = "List all plugins, also those that are skipped",
      .description = "Plugins are looked for in NANOTERM_PLUGIN_PATH, the user's folder, external "
                     "commands beside it or in NANOTERM_EXTERNAL_PATH, "
                     "/usr/local/lib/nanoterm/plugins "
                     "and the folder of the installation. One is skipped when somebody else could "
                     "have written it, when "
                     "it does not fit this nanoterm, or when a name it wants has an owner.",
      .run = run_list,
      .columns = NT_TABLE(list_columns),
      .examples = NT_TABLE(list_examples),
      .effects = NT_LOCAL | NT_IDEMPOTENT,
      .result = NT_RESULT_LIST },
    { .path = "plugin info",
      .summary = "Show all that is known of one plugin",
      .run = verb_info,
      .args = NT_TABLE(name_args),
      .columns = NT_TABLE(info_columns),
      .examples = NT_TABLE(info_examples),
      .errors = NT_TABLE(info_errors),
      .effects = NT_LOCAL | NT_IDEMPOTENT,
      .result = NT_RESULT_ONE },
    { .path = "plugin check",
      .summary = "See whether a plugin file would be used here",
      .description = "Loads it in a process of its own with a time limit, walks every row and "
                     "service of its tables, and looks whether its names are free and its "
                     "signature is good. Ends with status 1 when it would not be used.",
      .run = verb_check,
      .args = NT_TABLE(file_args),
      .columns = NT_TABLE(check_columns),
      .examples = NT_TABLE(check_examples),
      .errors = NT_TABLE(file_errors),
      .effects = NT_LOCAL | NT_IDEMPOTENT,
      .result = NT_RESULT_LIST },
    { .path = "plugin new",
      .summary = "Begin a plugin: a project that builds, with a test",
      .description = "Makes a folder with CMake and pkg-config builds, one command with a results "
                     "table and one test with the fake host of the SDK. Needs no network.",
      .run = verb_new,
      .args = NT_TABLE(name_args),
      .opts = NT_TABLE(new_opts),
      .columns = NT_TABLE(new_columns),
      .examples = NT_TABLE(new_examples),
      .errors = NT_TABLE(new_errors),
      .effects = NT_LOCAL | NT_WRITES,
      .result = NT_RESULT_ONE },
    { .path = "plugin sign",
      .summary = "Sign a plugin file, so that others know it is yours",
      .description = "Writes NAME.so.sig beside the file: an Ed25519 signature over its name, your "
                     "name and its content. Publish both files, and your key where people find it.",
      .run = verb_sign,
      .args = NT_TABLE(file_args),
      .opts = NT_TABLE(sign_opts),
      .columns = NT_TABLE(sign_columns),
      .examples = NT_TABLE(sign_examples),
      .errors = NT_TABLE(file_errors),
      .effects = NT_LOCAL | NT_WRITES,
      .result = NT_RESULT_ONE },
    { .path = "plugin install",
      .summary = "Check a plugin and install it for you",
      .description = "Copies it into your own folder of plugins once it has passed all that plugin "
                     "check looks at. What it declares that it needs is shown, and asked for once; "
                     "anything else is denied to it. With a signature beside it (NAME.so.sig) it "
                     "says who signed; "
                     "a plugin that was signed is only replaced by one of the same signer.",
      .run = verb_install,
      .args = NT_TABLE(install_args),
      .opts = NT_TABLE(install_opts),
      .columns = NT_TABLE(install_columns),
      .examples = NT_TABLE(install_examples),
      .errors = NT_TABLE(file_errors),
      .effects = NT_LOCAL | NT_WRITES | NT_IDEMPOTENT,
      .result = NT_RESULT_ONE },
    { .path = "plugin remove",
      .summary = "Remove a plugin from your own folder",
      .run = verb_remove,
      .args = NT_TABLE(name_args),
      .columns = NT_TABLE(remove_columns),
      .examples = NT_TABLE(remove_examples),
      .errors = NT_TABLE(info_errors),
      .effects = NT_LOCAL | NT_WRITES | NT_DESTROYS,
      .result = NT_RESULT_ONE },
};

static const struct nt_group groups[] = { { .name = "plugin",
                                            .summary = "See, make, check and install plugins" } };

const struct nt_plugin plugin_plugin = {
    NT_PLUGIN_HEAD,
    .name = "plugin",
    .version = NT_VERSION,
    .summary = "Plugins: what is there, new ones, checks",
    .vendor = "nanoterm",
    .groups = NT_TABLE(groups),
    .commands = NT_TABLE(commands),
};
