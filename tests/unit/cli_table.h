/* SPDX-License-Identifier: Apache-2.0 */
/* cli_table.h - a small tree of commands for the tests of the command line. */
#ifndef NT_TEST_CLI_TABLE_H
#define NT_TEST_CLI_TABLE_H

#include "core/cli/tree.h"

static const struct nt_arg exec_args[] = {
    { .name = "workspace-id", .type = NT_ID, .help = "Workspace to run it in" },
    { .name = "command", .flags = NT_REST, .help = "Program and its arguments" },
};
static const struct nt_opt exec_opts[] = {
    { .name = "cwd",
      .type = NT_PATH,
      .fallback = "/workspace",
      .help = "Working directory inside" },
    { .name = "detach", .letter = 'd', .type = NT_FLAG, .help = "Do not wait" },
    { .name = "verbose",
      .letter = 'v',
      .type = NT_FLAG,
      .help = "Say more",
      .env = "NT_TEST_VERBOSE" },
    { .name = "old", .type = NT_FLAG, .flags = NT_HIDDEN, .help = "Kept for scripts" },
};
static const struct nt_opt create_opts[] = {
    { .name = "size",
      .letter = 's',
      .type = NT_CHOICE,
      .choices = "small|medium|large",
      .fallback = "small",
      .arg = "size",
      .env = "NT_TEST_SIZE",
      .help = "How large" },
    { .name = "port",
      .letter = 'p',
      .type = NT_TEXT,
      .flags = NT_MANY,
      .arg = "mapping",
      .help = "Port to pin" },
    { .name = "cpus", .type = NT_INT, .min = 1, .max = 64, .help = "Processors" },
    { .name = "memory", .type = NT_SIZE_BYTES, .min = 1024, .max = 1 << 30, .help = "Memory" },
    { .name = "grace", .type = NT_DURATION_MS, .fallback = "10s", .help = "Time to stop" },
    { .name = "meta", .type = NT_JSON, .help = "Anything" },
    { .name = "internet", .type = NT_FLAG, .conflicts = "offline", .help = "May go out" },
    { .name = "offline", .type = NT_FLAG, .help = "May not" },
    { .name = "timeout", .type = NT_DURATION_MS, .help = "Its own, not the global one" },
    { .name = "token", .type = NT_ID, .flags = NT_SECRET, .help = "Key" },
    { .name = "loud", .letter = 'l', .type = NT_FLAG, .flags = NT_MANY, .help = "Say more" },
    { .name = "map",
      .letter = 'm',
      .type = NT_TEXT,
      .flags = NT_MANY | NT_PAIR,
      .arg = "from> <to",
      .help = "Two words" },
    { .name = "pair", .type = NT_TEXT, .flags = NT_PAIR, .arg = "a> <b", .help = "Two words" },
    { .name = "no-keep", .type = NT_FLAG, .conflicts = "keep", .help = "Not the opposite" },
    { .name = "keep", .type = NT_FLAG, .help = "Keep it" },
};
static const struct nt_arg rm_args[] = {
    { .name = "id", .type = NT_ID, .flags = NT_MANY, .help = "Workspaces to remove" },
};
static const struct nt_opt rm_opts[] = {
    { .name = "why",
      .type = NT_TEXT,
      .flags = NT_REQUIRED,
      .env = "NT_TEST_WHY",
      .help = "Reason" },
};
static const struct nt_column list_columns[] = {
    { .name = "id" },
    { .name = "name", .help = "Its name" },
    { .name = "status", .path = "state.word" },
    { .name = "size", .type = NT_SIZE_BYTES },
    { .name = "tags", .type = NT_JSON, .flags = NT_WIDE },
};
static const struct nt_example one_example[] = { { "ws list", "See what is there" } };
static const struct nt_alias list_aliases[] = { { "ws ls", 0, 0 }, { "workspaces", NT_HIDDEN, 0 } };
static const uint32_t some_errors[] = { NT_E_NOT_FOUND, NT_E_PLUGIN_FIRST };

static const struct nt_command exec_command = {
    .path = "exec",
    .summary = "Run a command",
    .args = NT_TABLE(exec_args),
    .opts = NT_TABLE(exec_opts),
    .examples = NT_TABLE(one_example),
    .errors = NT_TABLE(some_errors),
    .effects = NT_REMOTE | NT_RUNS,
};
static const struct nt_command create_command = {
    .path = "ws create",
    .summary = "Create a workspace",
    .opts = NT_TABLE(create_opts),
    .effects = NT_REMOTE,
    .examples = NT_TABLE(one_example),
    .result = NT_RESULT_ONE,
    .columns = NT_TABLE(list_columns),
};
static const struct nt_command list_command = {
    .path = "ws list",
    .summary = "List workspaces",
    .aliases = NT_TABLE(list_aliases),
    .effects = NT_REMOTE,
    .examples = NT_TABLE(one_example),
    .result = NT_RESULT_LIST,
    .columns = NT_TABLE(list_columns),
};
static const struct nt_command rm_command = {
    .path = "ws rm",
    .summary = "Remove a workspace for good",
    .args = NT_TABLE(rm_args),
    .opts = NT_TABLE(rm_opts),
    .examples = NT_TABLE(one_example),
    .effects = NT_REMOTE | NT_DESTROYS,
};
static const struct nt_command hidden_command = {
    .path = "ws rmall",
    .summary = "Not for show",
    .flags = NT_HIDDEN,
    .examples = NT_TABLE(one_example),
};
static const struct nt_group ws_group = { "ws", "Workspaces", 0, 0 };

static const struct nt_command *table_commands[] = { &exec_command, &create_command, &list_command,
                                                     &rm_command, &hidden_command };
static const struct nt_group *table_groups[] = { &ws_group };
static const struct tree table_tree = {
    .commands = table_commands, .count = 5, .group_count = 1, .groups = table_groups
};

#endif
