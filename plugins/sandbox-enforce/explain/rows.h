/* SPDX-License-Identifier: Apache-2.0 */
/* rows.h - why and learn as rows for the table of this plugin. For sandbox_enforce.c alone. */
#ifndef NT_ENFORCE_EXPLAIN_ROWS_H
#define NT_ENFORCE_EXPLAIN_ROWS_H

#include "nanoterm/plugin.h"
#include "plugins/sandbox-enforce/commands.h"
#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/options.h"

/* clang-format off */
static const struct nt_opt why_opts[] = {
    OPTIONS_COMMON,
    { .name = "path", .type = NT_PATH, .arg = "path", .complete = "files",
      .conflicts = "host port unix-socket",
      .help = "File or folder" },
    { .name = "op", .type = NT_CHOICE, .choices = "read|write|readwrite", .fallback = "read",
      .help = "What is to be done with it" },
    { .name = "host", .type = NT_TEXT, .arg = "host", .conflicts = "path unix-socket",
      .help = "Host to connect to" },
    { .name = "port", .type = NT_INT, .arg = "port", .min = 1, .max = 65535, .fallback = "443",
      .conflicts = "path unix-socket", .help = "Its port" },
    { .name = "unix-socket", .type = NT_PATH, .arg = "path", .complete = "files",
      .conflicts = "path host port", .help = "Local socket" },
    { .name = "socket-op", .type = NT_CHOICE, .choices = "connect|bind", .fallback = "connect",
      .help = "What is to be done with that" },
    { .name = "self", .type = NT_FLAG, .help = "In the sandbox that this very command runs in" },
    OPTIONS_FILES,
    OPTIONS_SOCKETS,
    OPTIONS_NETWORK,
    OPTIONS_PROFILE,
    { .name = "allow-cwd", .type = NT_FLAG, .help = "With the folder it starts in" },
    { .name = "bypass-protection", .type = NT_PATH, .flags = NT_MANY, .arg = "path",
      .complete = "files", .help = "Path that a group denies and that is open all the same" },
    { .name = "config", .letter = 'c', .type = NT_PATH, .arg = "file", .complete = "files",
      .help = "Manifest of capabilities (JSON)" },
};
#define WHY_CAPABILITY                                                                             \
    "{\"type\":\"object\",\"required\":[\"path\",\"access\",\"source\"],\"properties\":{"          \
    "\"path\":{\"type\":\"string\"},\"access\":{\"type\":\"string\"},"                             \
    "\"source\":{\"type\":\"string\"}}}"
#define WHY_ENDPOINTS                                                                              \
    "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"method\",\"path\"],"             \
    "\"properties\":{\"method\":{\"type\":\"string\"},\"path\":{\"type\":\"string\"}}}}"
static const struct nt_column why_columns[] = {
    { .name = "status", .help = "allowed, denied or not_sandboxed" },
    { .name = "reason", .help = "By which kind of rule" },
    { .name = "target", .help = "What was asked for" },
    { .name = "message", .help = "The same for a person" },
    { .name = "suggested_flag", .help = "The smallest option that would allow it" },
    { .name = "policy_source", .help = "The group or list that decides", .flags = NT_WIDE },
    { .name = "category", .help = "What lies at a denied path", .flags = NT_WIDE },
    { .name = "details", .help = "The denied path", .flags = NT_WIDE },
    { .name = "granted_path", .help = "The grant that covers it", .flags = NT_WIDE },
    { .name = "access", .help = "read, write or read+write", .flags = NT_WIDE },
    { .name = "source", .help = "Where that grant comes from", .flags = NT_WIDE },
    { .name = "matching_capability", .help = "The same as one object", .type = NT_JSON,
      .flags = NT_WIDE, .schema = WHY_CAPABILITY },
    { .name = "session_hook", .help = "before or after: it is that script of the profile's",
      .flags = NT_WIDE },
    { .name = "intercepted", .help = "true: its TLS ends at the proxy, which looks at each request",
      .type = NT_BOOL, .flags = NT_WIDE },
    { .name = "endpoints", .help = "Which requests to that host pass", .type = NT_JSON,
      .flags = NT_WIDE, .schema = WHY_ENDPOINTS },
    { .name = "service", .help = "Whose credential goes to that host", .flags = NT_WIDE },
};
static const struct nt_example why_examples[] = {
    { "enforce why --path ~/.ssh/id_rsa --op read", "Why can it not read that?" },
    { "enforce why --path src --op write --allow .", "Would this option be enough?" },
    { "enforce why --host api.example.com --port 443 --block-net --json", "For a program that asks" },
};
static const uint32_t why_errors[] = { NT_E_USAGE, ENFORCE_E_PROFILE, ENFORCE_E_CAP_FILE };

static const struct nt_opt learn_opts[] = {
    OPTIONS_COMMON,
    { .name = "profile", .letter = 'p', .type = NT_TEXT, .arg = "name",
      .complete = COMPLETE_PROFILES,
      .help = "Leave out what this profile allows already" },
    { .name = "timeout", .type = NT_INT, .arg = "seconds", .min = 1, .max = 604800,
      .help = "End the program after so long" },
    { .name = "all", .type = NT_FLAG, .help = "Also what every program may do" },
    { .name = "trace", .type = NT_FLAG, .help = "Trace without a sandbox: the only way here" },
    OPTIONS_VERBOSE,
};
static const struct nt_arg learn_args[] = {
    { .name = "command", .type = NT_TEXT, .flags = NT_REST,
      .help = "Program and its arguments, behind --" },
};
#define LEARN_TEXTS "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}"
#define LEARN_ADDRESSES                                                                            \
    "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"addr\",\"port\","          \
    "\"count\"],\"properties\":{\"addr\":{\"type\":\"string\"},\"port\":{\"type\":\"integer\"},"   \
    "\"count\":{\"type\":\"integer\"},\"hostname\":{\"type\":\"string\"}}}}"
static const struct nt_column learn_columns[] = {
    { .name = "meta", .help = "Name of the profile", .type = NT_JSON,
      .schema = "{\"type\":\"object\",\"required\":[\"name\"]}" },
    { .name = "filesystem", .help = "Paths by access, as in a profile", .type = NT_JSON,
      .schema = "{\"type\":\"object\",\"properties\":{\"allow\":" LEARN_TEXTS ",\"read\":"
                LEARN_TEXTS ",\"write\":" LEARN_TEXTS ",\"allow_file\":" LEARN_TEXTS
                ",\"read_file\":" LEARN_TEXTS ",\"write_file\":" LEARN_TEXTS "}}" },
    { .name = "network", .help = "Hosts and ports that were used", .type = NT_JSON,
      .schema = "{\"type\":\"object\",\"properties\":{\"outbound\":" LEARN_ADDRESSES
                ",\"listening\":" LEARN_ADDRESSES "}}" },
};
static const struct nt_example learn_examples[] = {
    { "enforce learn -s -- ls", "The options that it needs" },
    { "enforce learn -s --json -- make > make.json", "A profile, to be read before it is used" },
};
static const uint32_t learn_errors[] = { ENFORCE_E_TRACE, ENFORCE_E_PROFILE, ENFORCE_E_COMMAND,
                                          ENFORCE_E_REFUSED, NT_E_SYSTEM };

static const struct nt_alias why_aliases[] = { { "sandbox-enforce why", NT_HIDDEN, 0 } };
static const struct nt_alias learn_aliases[] = { { "sandbox-enforce learn", NT_HIDDEN, 0 } };

#define EXPLAIN_COMMANDS                                                                           \
    { .path = "enforce why",                                                                       \
      .summary = "Tell why a path, host or local socket would be allowed or denied",                           \
      .description = "Asks the policy that the same options would make for run; nothing is "      \
                     "started. The exit status is 0 for both answers.",                            \
      .run = why_run, .opts = NT_TABLE(why_opts), .columns = NT_TABLE(why_columns),                \
      .examples = NT_TABLE(why_examples), .errors = NT_TABLE(why_errors),                          \
      .aliases = NT_TABLE(why_aliases), .effects = NT_LOCAL, .result = NT_RESULT_ONE },            \
    { .path = "enforce learn",                                                                     \
      .summary = "Watch a program without a sandbox, and print what it needs",                     \
      .description = "The program is traced with strace, and runs UNCONFINED. What it read, "     \
                     "wrote and connected to becomes options of run, or (--json) a profile. Paths " \
                     "that a group denies are named, and never granted.",                          \
      .run = learn_run, .args = NT_TABLE(learn_args), .opts = NT_TABLE(learn_opts),                \
      .columns = NT_TABLE(learn_columns), .examples = NT_TABLE(learn_examples),                    \
      .errors = NT_TABLE(learn_errors), .aliases = NT_TABLE(learn_aliases),                        \
      .effects = NT_LOCAL | NT_WRITES | NT_RUNS, .result = NT_RESULT_ONE, .timeout_ms = -1 }
/* clang-format on */

#endif
