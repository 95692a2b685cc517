/* SPDX-License-Identifier: Apache-2.0 */
/* rows.h - the commands of `profile`, as rows for the table of this plugin. For sandbox_enforce.c
 * alone. */
#ifndef NT_ENFORCE_POLICY_ROWS_H
#define NT_ENFORCE_POLICY_ROWS_H

#include "nanoterm/plugin.h"
#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/options.h"
#include "plugins/sandbox-enforce/policy/commands.h"

/* clang-format off */
/* What completion offers; a test holds these to the tables. */
#define COMPLETE_GROUPS                                                                            \
    ":deny_credentials|deny_keychains_linux|deny_browser_data_linux|deny_shell_history|"           \
    "deny_shell_configs|system_read_linux_core|system_write_linux|user_tools|"                     \
    "homebrew_linux|dangerous_commands|dangerous_commands_linux|linux_runtime_state|"              \
    "linux_sysfs_read|linux_temp_read|user_caches_linux|claude_cache_linux|node_runtime|"          \
    "python_runtime|c_development|rust_runtime|go_runtime|go_runtime_linux|java_runtime|"          \
    "nix_runtime|git_config|claude_code_linux|opencode_linux|vscode_linux|unlink_protection"
#define COMPLETE_ALL_GROUPS                                                                        \
    COMPLETE_GROUPS "|llm_apis|package_registries|github|gitlab|"                                  \
    "sigstore|documentation|google_cloud|azure|aws_bedrock"

static const struct nt_opt profile_opts[] = { OPTIONS_COMMON };
static const struct nt_opt profile_validate_opts[] = {
    OPTIONS_COMMON,
    { .name = "strict", .type = NT_FLAG, .help = "Keys of earlier versions are not fine (exit 2)" },
};
static const struct nt_opt profile_init_opts[] = {
    OPTIONS_COMMON,
    { .name = "extends", .type = NT_TEXT, .arg = "name", .complete = COMPLETE_PROFILES,
      .help = "Profile that it builds upon" },
    { .name = "groups", .type = NT_TEXT, .flags = NT_MANY, .arg = "name",
      .complete = COMPLETE_GROUPS, .help = "Group to include" },
    { .name = "description", .type = NT_TEXT, .arg = "text", .help = "What it is for" },
    { .name = "full", .type = NT_FLAG, .help = "With all sections" },
    { .name = "output", .letter = 'o', .type = NT_PATH, .arg = "file", .complete = "files",
      .help = "Where (default: the folder of your profiles); -: to the standard output" },
    { .name = "force", .type = NT_FLAG, .help = "Replace a file that is there" },
};
static const struct nt_arg profile_init_args[] = {
    { .name = "name", .type = NT_TEXT, .flags = NT_OPTIONAL, .help = "Its name (default: my-profile)" },
};
static const struct nt_arg profile_show_args[] = {
    { .name = "name", .type = NT_TEXT, .complete = COMPLETE_PROFILES,
      .help = "Name, or path of a file" },
};
static const struct nt_arg profile_diff_args[] = {
    { .name = "a", .type = NT_TEXT, .complete = COMPLETE_PROFILES,
      .help = "Name, or path of a file" },
    { .name = "b", .type = NT_TEXT, .complete = COMPLETE_PROFILES, .help = "The other one" },
};
static const struct nt_arg profile_validate_args[] = {
    { .name = "file", .type = NT_PATH, .complete = "files", .help = "File, or name of a profile" },
};
static const struct nt_arg profile_groups_args[] = {
    { .name = "name", .type = NT_TEXT, .flags = NT_OPTIONAL, .complete = COMPLETE_ALL_GROUPS,
      .help = "Only this group, with all in it" },
};

#define PROFILE_TEXTS_SCHEMA "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}"
#define PROFILE_OBJECT_SCHEMA "{\"type\":\"object\"}"
#define PROFILE_OBJECT(name_, help_)                                                               \
    { .name = name_, .help = help_, .type = NT_JSON, .schema = PROFILE_OBJECT_SCHEMA }

static const struct nt_column profile_init_columns[] = {
    { .name = "name", .help = "Name", .type = NT_TEXT },
    { .name = "file", .help = "Where it was written", .type = NT_TEXT },
};
static const struct nt_column profile_list_columns[] = {
    { .name = "name", .help = "Name", .type = NT_TEXT },
    { .name = "source", .help = "built-in or user", .type = NT_TEXT },
    { .name = "description", .help = "What it is for", .type = NT_TEXT },
    { .name = "extends", .help = "What it builds upon", .type = NT_JSON, .schema = PROFILE_TEXTS_SCHEMA,
      .flags = NT_WIDE },
    { .name = "file", .help = "Its file", .type = NT_TEXT, .flags = NT_WIDE },
    { .name = "problem", .help = "Why it cannot be used", .type = NT_TEXT },
};
static const struct nt_column profile_show_columns[] = {
    { .name = "name", .help = "Name", .type = NT_TEXT },
    { .name = "description", .help = "What it is for", .type = NT_TEXT },
    { .name = "source", .help = "built-in, user or file", .type = NT_TEXT },
    { .name = "extends", .help = "What it builds upon", .type = NT_JSON, .schema = PROFILE_TEXTS_SCHEMA },
    PROFILE_OBJECT("meta", "Name, version, author"),
    PROFILE_OBJECT("security", "Signals, IPC"),
    PROFILE_OBJECT("groups", "Groups that count"),
    PROFILE_OBJECT("filesystem", "Paths"),
    PROFILE_OBJECT("commands", "Programs that may or may not be started"),
    PROFILE_OBJECT("network", "Hosts, services, ports"),
    PROFILE_OBJECT("env_credentials", "Secrets for variables"),
    PROFILE_OBJECT("environment", "Variables"),
    PROFILE_OBJECT("workdir", "What sharing the current folder means"),
    PROFILE_OBJECT("linux", "Settings of Linux"),
    PROFILE_OBJECT("command_policies", "Commands with sandboxes of their own"),
    PROFILE_OBJECT("session_hooks", "Scripts of yours before and after the program"),
    PROFILE_OBJECT("credential_capture", "Commands of yours that print a credential"),
    { .name = "binary", .help = "What is started when no program is named", .type = NT_TEXT },
    { .name = "command_args", .help = "Words that are added to the program's", .type = NT_JSON,
      .schema = PROFILE_TEXTS_SCHEMA },
    { .name = "allow_gpu", .help = "Whether --allow-gpu may be used", .type = NT_BOOL },
    { .name = "allow_parent_of_protected", .help = "Without effect", .type = NT_BOOL },
};
static const struct nt_column profile_diff_columns[] = {
    { .name = "profile1", .help = "The first", .type = NT_TEXT },
    { .name = "profile2", .help = "The second", .type = NT_TEXT },
    PROFILE_OBJECT("security", "Keys that differ"),
    PROFILE_OBJECT("groups", "Keys that differ: added, removed"),
    PROFILE_OBJECT("filesystem", "Keys that differ: added, removed"),
    PROFILE_OBJECT("commands", "Keys that differ: added, removed"),
    PROFILE_OBJECT("network", "Keys that differ"),
    PROFILE_OBJECT("env_credentials", "from, to"),
    PROFILE_OBJECT("environment", "Keys that differ"),
    PROFILE_OBJECT("workdir", "Keys that differ: from, to"),
    PROFILE_OBJECT("linux", "Keys that differ: from, to"),
    PROFILE_OBJECT("command_policies", "Keys that differ: from, to"),
    PROFILE_OBJECT("session_hooks", "Keys that differ: from, to"),
    PROFILE_OBJECT("credential_capture", "Keys that differ: from, to"),
    PROFILE_OBJECT("binary", "from, to"),
    PROFILE_OBJECT("command_args", "added, removed"),
    PROFILE_OBJECT("allow_gpu", "from, to"),
    PROFILE_OBJECT("allow_parent_of_protected", "from, to"),
};
static const struct nt_column profile_validate_columns[] = {
    { .name = "file", .help = "What was checked", .type = NT_TEXT },
    { .name = "valid", .help = "Whether it can be used", .type = NT_BOOL },
    { .name = "errors", .help = "What is wrong", .type = NT_JSON, .schema = PROFILE_TEXTS_SCHEMA },
    { .name = "warnings", .help = "What has no effect, or is old", .type = NT_JSON, .schema = PROFILE_TEXTS_SCHEMA },
    { .name = "deprecated_keys", .help = "Keys of earlier versions", .type = NT_JSON, .schema = PROFILE_TEXTS_SCHEMA },
};
static const struct nt_column profile_groups_columns[] = {
    { .name = "name", .help = "Name", .type = NT_TEXT },
    { .name = "kind", .help = "paths or hosts", .type = NT_TEXT },
    { .name = "description", .help = "What is in it", .type = NT_TEXT },
    { .name = "platform", .help = "linux or cross-platform", .type = NT_TEXT, .flags = NT_WIDE },
    { .name = "required", .help = "No profile can leave it out", .type = NT_BOOL },
    { .name = "allow", .help = "Paths it opens", .type = NT_INT },
    { .name = "deny", .help = "Paths it closes", .type = NT_INT },
    { .name = "commands", .help = "Programs it blocks", .type = NT_INT },
    { .name = "hosts", .help = "Hosts it opens; null: found when it is used", .type = NT_INT },
    { .name = "entries", .help = "With a name: each path as written and as it is here, each host with its origin",
      .type = NT_JSON, .flags = NT_WIDE,
      .schema = "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"access\",\"path\"]}}" },
};

static const struct nt_example profile_init_examples[] = {
    { "enforce profile init my-agent --extends node-dev --output -", "See what it would write" },
};
static const struct nt_example profile_list_examples[] = {
    { "enforce profile list", "What there is" },
};
static const struct nt_example profile_show_examples[] = {
    { "enforce profile show claude-code", "With all that it extends" },
};
static const struct nt_example profile_diff_examples[] = {
    { "enforce profile diff default python-dev", "What python-dev adds" },
};
static const struct nt_example profile_validate_examples[] = {
    { "enforce profile validate claude-code", "Check one by its name, or a file" },
};
static const struct nt_example profile_groups_examples[] = {
    { "enforce profile groups", "All groups" },
    { "enforce profile groups deny_credentials", "One, with the paths on this machine" },
};
static const struct nt_column profile_schema_columns[] = {
    { .name = "title", .help = "What it describes", .type = NT_TEXT },
    { .name = "type", .help = "Always object", .type = NT_TEXT },
    PROFILE_OBJECT("properties", "The keys of a profile"),
};
static const struct nt_column profile_guide_columns[] = {
    { .name = "text", .help = "The guide", .type = NT_TEXT },
};
static const struct nt_example profile_schema_examples[] = {
    { "enforce profile schema", "For an editor" },
};
static const struct nt_example profile_guide_examples[] = {
    { "enforce profile guide", "How to write one" },
};
static const uint32_t profile_errors[] = { ENFORCE_E_PROFILE, NT_E_CONFLICT, NT_E_SYSTEM };
/* For the man page; the command itself prints all of it. */
#define PROFILE_GUIDE                                                                              \
    "A profile is a file NAME.json in ~/.config/nanoterm/profiles or ~/.config/nono/profiles, or " \
    "any file that is named by its path: JSON, with comments where they help. It is laid over "    \
    "what it extends, and over the profile `default`, which every program gets: programs and "     \
    "libraries to read, temporary files to write, keys and passwords closed.\n\n"                  \
    "meta.name is needed. groups.include names groups of paths (`enforce profile groups`). "       \
    "filesystem has lists of paths: allow, read and write for folders, allow_file, read_file and " \
    "write_file for files, deny for what stays closed, bypass_protection for what a group denies " \
    "and is granted all the same; unix_socket, unix_socket_bind, unix_socket_dir, "                \
    "unix_socket_dir_bind, unix_socket_subtree and unix_socket_subtree_bind for local sockets. "   \
    "~, $HOME, $WORKDIR, $TMPDIR, $UID and $XDG_... are put in. workdir.access says what sharing the current folder means.\n\n"                       \
    "network.block closes the network; network.network_profile, allow_domain, credentials and "    \
    "upstream_proxy filter it; open_port and listen_port open ports of this machine, "             \
    "connect_port those of other machines. "                                                       \
    "env_credentials puts secrets into variables, environment.allow_vars, deny_vars and set_vars " \
    "choose what the program sees.\n\n"                                                            \
    "session_hooks.before and after are scripts of yours, {\"script\": PATH, \"timeout_secs\": N}, "  \
    "which run outside of the sandbox; `profile guide` says how.\n\n"                              \
    "credential_capture names commands of yours that print the credential of a service (cmd://NAME) " \
    "when a request needs it; they run outside of the sandbox, too.\n\n"                            \
    "A key that is not known is an error; `profile validate FILE` lists all of them."

#define PROFILE_ALIAS(name_)                                                                       \
    static const struct nt_alias profile_alias_##name_[]                                           \
        = { { "sandbox-enforce profile " #name_, NT_HIDDEN, 0 } }
PROFILE_ALIAS(init);
PROFILE_ALIAS(list);
PROFILE_ALIAS(show);
PROFILE_ALIAS(diff);
PROFILE_ALIAS(validate);
PROFILE_ALIAS(groups);
PROFILE_ALIAS(schema);
PROFILE_ALIAS(guide);

#define PROFILE_ROW(name_, summary_, effects_)                                                     \
    .path = "enforce profile " #name_, .summary = summary_, .run = profile_run_##name_,            \
    .examples = NT_TABLE(profile_##name_##_examples), .errors = NT_TABLE(profile_errors),          \
    .aliases = NT_TABLE(profile_alias_##name_), .effects = NT_LOCAL | (effects_)

#define PROFILE_COMMANDS                                                                           \
    { PROFILE_ROW(init, "Write the beginning of a profile", NT_WRITES),                            \
      .args = NT_TABLE(profile_init_args), .opts = NT_TABLE(profile_init_opts),                    \
      .columns = NT_TABLE(profile_init_columns), .result = NT_RESULT_ONE },                        \
    { PROFILE_ROW(list, "List profiles", NT_IDEMPOTENT),                                           \
      .opts = NT_TABLE(profile_opts), .columns = NT_TABLE(profile_list_columns),                   \
      .result = NT_RESULT_LIST },                                                                  \
    { PROFILE_ROW(show, "Show a profile with all that it extends", NT_IDEMPOTENT),                 \
      .args = NT_TABLE(profile_show_args), .opts = NT_TABLE(profile_opts),                         \
      .columns = NT_TABLE(profile_show_columns), .result = NT_RESULT_ONE },                        \
    { PROFILE_ROW(diff, "Compare two profiles", NT_IDEMPOTENT),                                    \
      .args = NT_TABLE(profile_diff_args), .opts = NT_TABLE(profile_opts),                         \
      .columns = NT_TABLE(profile_diff_columns), .result = NT_RESULT_ONE },                        \
    { PROFILE_ROW(validate, "Check a profile", NT_IDEMPOTENT),                                     \
      .args = NT_TABLE(profile_validate_args), .opts = NT_TABLE(profile_validate_opts),            \
      .columns = NT_TABLE(profile_validate_columns), .result = NT_RESULT_ONE },                    \
    { PROFILE_ROW(groups, "List groups of paths and hosts, or show one", NT_IDEMPOTENT),           \
      .args = NT_TABLE(profile_groups_args), .opts = NT_TABLE(profile_opts),                       \
      .columns = NT_TABLE(profile_groups_columns), .result = NT_RESULT_LIST },                     \
    { PROFILE_ROW(schema, "Print the JSON Schema of profiles", NT_IDEMPOTENT),                     \
      .opts = NT_TABLE(profile_opts), .columns = NT_TABLE(profile_schema_columns),                 \
      .result = NT_RESULT_ONE },                                                                   \
    { PROFILE_ROW(guide, "Print how to write a profile", NT_IDEMPOTENT),                           \
      .description = PROFILE_GUIDE, .opts = NT_TABLE(profile_opts),                                \
      .columns = NT_TABLE(profile_guide_columns), .result = NT_RESULT_ONE }
/* clang-format on */

#endif
