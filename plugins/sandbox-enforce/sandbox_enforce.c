/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox_enforce.c - the tables of this plugin: groups, errors, commands. */
#include "nanoterm/plugin.h"
#include "plugins/sandbox-enforce/commands.h"
#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/explain/rows.h"
#include "plugins/sandbox-enforce/later.h"
#include "plugins/sandbox-enforce/options.h"
#include "plugins/sandbox-enforce/policy/rows.h"
#include "plugins/sandbox-enforce/setup.h"

static const struct nt_error_row errors[] = {
    { .number = ENFORCE_E_UNAVAILABLE,
      .text = "enforce.sandbox_unavailable",
      .kind = "runtime",
      .exit_status = 1,
      .help = "This machine cannot enforce what was asked for; the message names the part, "
              "--accept-weaker goes on without it" },
    { .number = ENFORCE_E_PROTECTED,
      .text = "enforce.protected",
      .kind = "auth",
      .exit_status = 1,
      .help = "A group denies that path; --bypass-protection opens it" },
    { .number = ENFORCE_E_PROFILE,
      .text = "enforce.profile",
      .kind = "config",
      .exit_status = 1,
      .help = "`profile validate` checks it" },
    { .number = ENFORCE_E_CREDENTIAL,
      .text = "enforce.credential",
      .kind = "auth",
      .exit_status = 1,
      .help = "The secret cannot be read, or may not go where it shall" },
    { .number = ENFORCE_E_COMMAND,
      .text = "enforce.command",
      .kind = "runtime",
      .exit_status = 127,
      .help = "The program is not in the PATH, or not where its path says" },
    { .number = ENFORCE_E_CAP_FILE,
      .text = "enforce.cap_file",
      .kind = "auth",
      .exit_status = 1,
      .help = "NONO_CAP_FILE does not name what was written at the start" },
    { .number = ENFORCE_E_NOT_BUILT,
      .text = "enforce.not_built",
      .kind = "usage",
      .exit_status = 1,
      .help = "Part of a later version" },
    { .number = ENFORCE_E_TRACE,
      .text = "enforce.trace",
      .kind = "runtime",
      .exit_status = 1,
      .help = "Install strace, or run where processes may be traced" },
    { .number = ENFORCE_E_REFUSED,
      .text = "enforce.refused",
      .kind = "runtime",
      .exit_status = 126,
      .help = "The program is not executable, or --allow-command must name it" },
};

static const struct nt_group groups[] = {
    { .name = "enforce", .summary = "A sandbox of the kernel around one program" },
    { .name = "enforce audit", .summary = "Records of sessions" },
    { .name = "enforce rollback", .summary = "Bring back what a session changed" },
    { .name = "enforce trust", .summary = "Signed files" },
    { .name = "enforce profile", .summary = "What programs may do, by name" },
};

#define OPTIONS_OF_ALL                                                                             \
    OPTIONS_COMMON, OPTIONS_FILES, OPTIONS_SOCKETS, OPTIONS_NETWORK, OPTIONS_COMMANDS,             \
        OPTIONS_CREDENTIALS, OPTIONS_PROFILE, OPTIONS_START, OPTIONS_VERBOSE, OPTIONS_DEPRECATED

static const struct nt_opt run_opts[] = {
    OPTIONS_OF_ALL,
    OPTIONS_SESSION,
    { .name = "detached", .type = NT_FLAG, .help = "Go on without this terminal" },
};
static const struct nt_opt shell_opts[] = {
    OPTIONS_OF_ALL,
    OPTIONS_SESSION,
    { .name = "shell",
      .type = NT_PATH,
      .arg = "file",
      .complete = "files",
      .help = "Which (default: $SHELL, else /bin/sh)" },
};
static const struct nt_opt wrap_opts[] = { OPTIONS_OF_ALL };

static const struct nt_arg program_args[] = {
    { .name = "command",
      .type = NT_TEXT,
      .flags = NT_REST | NT_OPTIONAL,
      .help = "Program and its arguments, behind -- (default: the profile's)" },
};

#define TEXTS "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}"
#define CAPABILITIES                                                                               \
    "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"path\",\"access\","        \
    "\"source\"],\"properties\":{\"path\":{\"type\":\"string\"},\"original\":{\"type\":"           \
    "\"string\"},\"access\":{\"type\":\"string\"},\"is_file\":{\"type\":\"boolean\"},"             \
    "\"source\":{\"type\":\"string\"}}}}"
#define ENFORCEMENT                                                                                \
    "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"act\",\"layer\","          \
    "\"rule\"],\"properties\":{\"act\":{\"type\":\"string\"},\"layer\":{\"type\":\"string\"},"     \
    "\"rule\":{\"type\":\"string\"}}}}"
#define HOOKS                                                                                      \
    "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"when\",\"script\"],"       \
    "\"properties\":{\"when\":{\"type\":\"string\"},\"script\":{\"type\":\"string\"},"             \
    "\"timeout_secs\":{\"type\":\"integer\"}}}}"
static const struct nt_column run_columns[] = {
    { .name = "command", .help = "What would be started", .type = NT_JSON, .schema = TEXTS },
    { .name = "workdir", .help = "Where", .type = NT_TEXT },
    { .name = "capabilities",
      .help = "Paths that would be granted",
      .type = NT_JSON,
      .schema = CAPABILITIES },
    { .name = "network", .help = "allowed, blocked or filtered", .type = NT_TEXT },
    { .name = "enforcement",
      .help = "Each forbidden act, and what forbids it",
      .type = NT_JSON,
      .schema = ENFORCEMENT },
    { .name = "hooks",
      .help = "Scripts of the profile that would run outside of the sandbox",
      .type = NT_JSON,
      .schema = HOOKS },
    { .name = "warnings", .help = "What was skipped or opened", .type = NT_JSON, .schema = TEXTS },
    { .name = "intercepted",
      .help = "Hosts whose TLS would end at the proxy, which looks at each request",
      .type = NT_JSON,
      .schema = TEXTS },
};

static const struct nt_example run_examples[] = {
    { "enforce run --allow-cwd -- ls", "A program that may read this folder and nothing of yours" },
    { "enforce run --allow . --block-net -- make test", "Tests that get no network" },
    { "enforce run --allow-cwd --network-profile developer --dry-run -- bash",
      "What a shell with the developer's hosts would get" },
    { "enforce run --allow-domain https://api.example.com/v1/ --dry-run -- curl",
      "Only the requests below one path of a host" },
};
static const struct nt_example shell_examples[] = {
    { "enforce shell --allow-cwd --dry-run", "What a shell would get" },
};
static const struct nt_example wrap_examples[] = {
    { "enforce wrap --read . --block-net -- cat hello.c", "For scripts: no process stays beside" },
};

static const struct nt_alias run_aliases[] = { { "sandbox-enforce run", NT_HIDDEN, 0 } };
static const struct nt_alias shell_aliases[] = { { "sandbox-enforce shell", NT_HIDDEN, 0 } };
static const struct nt_alias wrap_aliases[] = { { "sandbox-enforce wrap", NT_HIDDEN, 0 } };

static const uint32_t run_errors[] = {
    ENFORCE_E_UNAVAILABLE, ENFORCE_E_PROTECTED, ENFORCE_E_PROFILE,
    ENFORCE_E_CREDENTIAL,  ENFORCE_E_COMMAND,   ENFORCE_E_REFUSED,
    ENFORCE_E_NOT_BUILT,   NT_E_SYSTEM,         NT_E_UNSUPPORTED,
};

static const struct nt_command commands[] = {
    { .path = "enforce run",
      .summary = "Run a program in a sandbox",
      .description =
          "The program gets the folders and files that options and profile name, what every "
          "program needs of the system, and nothing else; the kernel enforces it. It may only "
          "write where it was allowed to, and reach only hosts that it was allowed. A process "
          "outside the sandbox stays with it and tells at the end what was denied, and runs the "
          "session_hooks of a profile.\n\n"
          "-v lists every path that is granted, -vv hosts and denied paths as well, -vvv at the "
          "end "
          "what enforced it.\n\n"
          "The exit status is the program's.",
      .run = enforce_run,
      .args = NT_TABLE(program_args),
      .opts = NT_TABLE(run_opts),
      .columns = NT_TABLE(run_columns),
      .examples = NT_TABLE(run_examples),
      .errors = NT_TABLE(run_errors),
      .aliases = NT_TABLE(run_aliases),
      .effects = NT_LOCAL | NT_WRITES | NT_RUNS,
      .result = NT_RESULT_ONE,
      .timeout_ms = -1 },
    { .path = "enforce shell",
      .summary = "Open a shell in a sandbox",
      .run = enforce_shell,
      .opts = NT_TABLE(shell_opts),
      .columns = NT_TABLE(run_columns),
      .examples = NT_TABLE(shell_examples),
      .errors = NT_TABLE(run_errors),
      .aliases = NT_TABLE(shell_aliases),
      .effects = NT_LOCAL | NT_WRITES | NT_RUNS,
      .result = NT_RESULT_ONE,
      .timeout_ms = -1 },
    { .path = "enforce wrap",
      .summary = "Become a program in a sandbox",
      .description = "Like run, but no process stays outside: what needs one (a proxy, rules for "
                     "local sockets, a list of denials, session_hooks) is refused.",
      .run = enforce_wrap,
      .args = NT_TABLE(program_args),
      .opts = NT_TABLE(wrap_opts),
      .columns = NT_TABLE(run_columns),
      .examples = NT_TABLE(wrap_examples),
      .errors = NT_TABLE(run_errors),
      .aliases = NT_TABLE(wrap_aliases),
      .effects = NT_LOCAL | NT_WRITES | NT_RUNS,
      .result = NT_RESULT_ONE,
      .timeout_ms = -1 },
    PROFILE_COMMANDS,
    EXPLAIN_COMMANDS,
    SETUP_COMMAND,
    LATER_COMMANDS,
};

static const struct nt_plugin plugin = {
    NT_PLUGIN_HEAD,
    .name = "sandbox-enforce",
    .version = NT_VERSION,
    .summary = "A sandbox of the kernel around one local program",
    .vendor = "nanoterm",
    .groups = NT_TABLE(groups),
    .commands = NT_TABLE(commands),
    .errors = NT_TABLE(errors),
};
NT_PLUGIN(plugin);
