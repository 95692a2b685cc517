/* SPDX-License-Identifier: Apache-2.0 */
/* later.h - the commands of a later version, as rows for the table of this plugin: they are named,
 * explained and completed, and refuse to run. For sandbox_enforce.c alone. */
#ifndef NT_ENFORCE_LATER_H
#define NT_ENFORCE_LATER_H

#include "nanoterm/plugin.h"
#include "plugins/sandbox-enforce/commands.h"
#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/options.h"

/* clang-format off */
static const struct nt_opt later_opts[] = { OPTIONS_COMMON };
static const struct nt_opt later_logs_opts[] = {
    OPTIONS_COMMON,
    { .name = "follow", .letter = 'f', .type = NT_FLAG, .help = "Go on as it comes" },
    { .name = "tail", .type = NT_INT, .arg = "n", .min = 0, .max = 1000000,
      .help = "Only the last lines" },
};
static const struct nt_opt later_ps_opts[] = {
    OPTIONS_COMMON,
    { .name = "all", .type = NT_FLAG, .help = "Also sessions that have ended" },
};
static const struct nt_opt later_stop_opts[] = {
    OPTIONS_COMMON,
    { .name = "force", .type = NT_FLAG, .help = "At once" },
};
static const struct nt_opt later_prune_opts[] = {
    OPTIONS_COMMON,
    { .name = "older-than", .type = NT_INT, .arg = "days", .min = 0, .max = 100000,
      .help = "Only what is older" },
    { .name = "keep", .type = NT_INT, .arg = "n", .min = 0, .max = 1000000,
      .help = "Keep that many of the newest" },
    { .name = "dry-run", .type = NT_FLAG, .help = "Only say what would be removed" },
    { .name = "all", .type = NT_FLAG, .help = "Everything" },
};
static const struct nt_opt later_audit_list_opts[] = {
    OPTIONS_COMMON,
    { .name = "today", .type = NT_FLAG, .help = "Of today" },
    { .name = "since", .type = NT_TEXT, .arg = "date", .help = "Not older" },
    { .name = "until", .type = NT_TEXT, .arg = "date", .help = "Not newer" },
    { .name = "command", .type = NT_TEXT, .arg = "text", .help = "With this in the command" },
    { .name = "path", .type = NT_PATH, .arg = "path", .help = "That could write there" },
    { .name = "recent", .type = NT_INT, .arg = "n", .min = 1, .max = 1000000,
      .help = "The newest n" },
};
static const struct nt_opt later_audit_verify_opts[] = {
    OPTIONS_COMMON,
    { .name = "public-key-file", .type = NT_PATH, .arg = "file", .complete = "files",
      .help = "Key that must have signed it" },
};
static const struct nt_opt later_show_opts[] = {
    OPTIONS_COMMON,
    { .name = "diff", .type = NT_FLAG, .help = "With the changed lines" },
    { .name = "side-by-side", .type = NT_FLAG, .help = "These beside each other" },
    { .name = "full", .type = NT_FLAG, .help = "Whole files" },
};
static const struct nt_opt later_restore_opts[] = {
    OPTIONS_COMMON,
    { .name = "snapshot", .type = NT_INT, .arg = "n", .min = 0, .max = 1000000,
      .help = "Which (default: the last)" },
    { .name = "dry-run", .type = NT_FLAG, .help = "Only say what would change" },
};
#define LATER_KEYREF                                                                               \
    { .name = "keyref", .type = NT_TEXT, .arg = "uri", .help = "Key: keystore://NAME or file:///PATH" }
#define LATER_KEY { .name = "key", .type = NT_TEXT, .arg = "id", .conflicts = "keyref", .help = "Key of the keyring" }
static const struct nt_opt later_trust_init_opts[] = {
    OPTIONS_COMMON, LATER_KEY, LATER_KEYREF,
    { .name = "recursive", .letter = 'r', .type = NT_FLAG, .help = "Also folders below" },
    { .name = "exclude-dirs", .type = NT_TEXT, .flags = NT_MANY, .arg = "dir",
      .help = "Folders that are left out" },
    { .name = "force", .type = NT_FLAG, .help = "Replace the file" },
};
static const struct nt_opt later_trust_sign_opts[] = {
    OPTIONS_COMMON, LATER_KEY, LATER_KEYREF,
    { .name = "all", .type = NT_FLAG, .help = "All files that the policy names" },
    { .name = "keyless", .type = NT_FLAG, .conflicts = "key keyref",
      .help = "By an identity of the build service" },
    { .name = "policy", .type = NT_PATH, .arg = "file", .complete = "files", .help = "Policy" },
};
static const struct nt_opt later_sign_policy_opts[] = {
    OPTIONS_COMMON, LATER_KEY, LATER_KEYREF,
    { .name = "user", .type = NT_FLAG, .help = "The user's own policy" },
};
static const struct nt_opt later_trust_verify_opts[] = {
    OPTIONS_COMMON,
    { .name = "all", .type = NT_FLAG, .help = "All files that the policy names" },
    { .name = "policy", .type = NT_PATH, .arg = "file", .complete = "files", .help = "Policy" },
};
#define LATER_ID                                                                                   \
    { .name = "id", .type = NT_TEXT, .arg = "name", .conflicts = "keyref", .help = "Name in the keyring" }
static const struct nt_opt later_keygen_opts[] = {
    OPTIONS_COMMON, LATER_ID, LATER_KEYREF,
    { .name = "force", .type = NT_FLAG, .help = "Replace a key" },
};
static const struct nt_opt later_export_opts[] = {
    OPTIONS_COMMON, LATER_ID, LATER_KEYREF,
    { .name = "pem", .type = NT_FLAG, .help = "As PEM" },
};
static const struct nt_arg later_session_args[] = {
    { .name = "session", .type = NT_TEXT, .help = "Id, the beginning of one, or name" },
};
static const struct nt_arg later_dirs_args[] = {
    { .name = "dirs", .type = NT_TEXT, .flags = NT_MANY | NT_OPTIONAL,
      .help = "More folders of --exclude-dirs" },
};
static const struct nt_arg later_files_args[] = {
    { .name = "files", .type = NT_PATH, .flags = NT_MANY | NT_OPTIONAL, .complete = "files",
      .help = "Files" },
};
static const struct nt_arg later_file_args[] = {
    { .name = "file", .type = NT_PATH, .flags = NT_OPTIONAL, .complete = "files",
      .help = "Policy file" },
};
static const uint32_t later_errors[] = { ENFORCE_E_NOT_BUILT };

#define LATER_EXAMPLE(name_, line_, note_)                                                         \
    static const struct nt_example later_example_##name_[] = { { line_, note_ } };                 \
    static const struct nt_alias later_alias_##name_[] = { { "sandbox-" line_, NT_HIDDEN, 0 } }
LATER_EXAMPLE(ps, "enforce ps", "What runs");
LATER_EXAMPLE(attach, "enforce attach", "Take over the terminal of a session");
LATER_EXAMPLE(detach, "enforce detach", "Leave it running");
LATER_EXAMPLE(stop, "enforce stop", "End a session");
LATER_EXAMPLE(logs, "enforce logs", "What it did");
LATER_EXAMPLE(inspect, "enforce inspect", "What is known of a session");
LATER_EXAMPLE(prune, "enforce prune", "Remove records of sessions that have ended");
LATER_EXAMPLE(audit_list, "enforce audit list", "Records of sessions");
LATER_EXAMPLE(audit_show, "enforce audit show", "One record");
LATER_EXAMPLE(audit_verify, "enforce audit verify", "Whether a record is as it was written");
LATER_EXAMPLE(audit_cleanup, "enforce audit cleanup", "Remove old records");
LATER_EXAMPLE(rollback_list, "enforce rollback list", "What can be brought back");
LATER_EXAMPLE(rollback_show, "enforce rollback show", "What a session changed");
LATER_EXAMPLE(rollback_restore, "enforce rollback restore", "Bring back what was there before");
LATER_EXAMPLE(rollback_verify, "enforce rollback verify", "Whether it is whole");
LATER_EXAMPLE(rollback_cleanup, "enforce rollback cleanup", "Remove old ones");
LATER_EXAMPLE(trust_init, "enforce trust init", "Begin a policy in this folder");
LATER_EXAMPLE(trust_sign, "enforce trust sign", "Sign files");
LATER_EXAMPLE(trust_sign_policy, "enforce trust sign-policy", "Sign the policy");
LATER_EXAMPLE(trust_verify, "enforce trust verify", "Check files");
LATER_EXAMPLE(trust_list, "enforce trust list", "Files and whether they are signed");
LATER_EXAMPLE(trust_keygen, "enforce trust keygen", "Make a key");
LATER_EXAMPLE(trust_export_key, "enforce trust export-key", "The public key");

#define LATER(name_, path_, summary_, opts_, effects_)                                             \
    .path = path_, .summary = summary_, .description = "Of a later version: not built yet.",       \
    .run = later_run, .opts = NT_TABLE(opts_), .examples = NT_TABLE(later_example_##name_),        \
    .aliases = NT_TABLE(later_alias_##name_), .errors = NT_TABLE(later_errors),                    \
    .effects = NT_LOCAL | (effects_)

#define LATER_COMMANDS                                                                             \
    { LATER(ps, "enforce ps", "List sessions", later_ps_opts, 0) },                                \
    { LATER(attach, "enforce attach", "Take over the terminal of a session", later_opts, 0),       \
      .args = NT_TABLE(later_session_args) },                                                      \
    { LATER(detach, "enforce detach", "Leave a session running", later_opts, NT_WRITES),           \
      .args = NT_TABLE(later_session_args) },                                                      \
    { LATER(stop, "enforce stop", "End a session", later_stop_opts, NT_WRITES),                    \
      .args = NT_TABLE(later_session_args) },                                                      \
    { LATER(logs, "enforce logs", "Show what a session did", later_logs_opts, 0),                  \
      .args = NT_TABLE(later_session_args) },                                                      \
    { LATER(inspect, "enforce inspect", "Show what is known of a session", later_opts, 0),         \
      .args = NT_TABLE(later_session_args) },                                                      \
    { LATER(prune, "enforce prune", "Remove records of sessions that have ended",                  \
            later_prune_opts, NT_WRITES | NT_DESTROYS) },                                          \
    { LATER(audit_list, "enforce audit list", "List records of sessions",                          \
            later_audit_list_opts, 0) },                                                           \
    { LATER(audit_show, "enforce audit show", "Show a record", later_opts, 0),                     \
      .args = NT_TABLE(later_session_args) },                                                      \
    { LATER(audit_verify, "enforce audit verify", "Check a record", later_audit_verify_opts, 0),   \
      .args = NT_TABLE(later_session_args) },                                                      \
    { LATER(audit_cleanup, "enforce audit cleanup", "Remove old records", later_prune_opts,        \
            NT_WRITES | NT_DESTROYS) },                                                            \
    { LATER(rollback_list, "enforce rollback list", "List what can be brought back",               \
            later_opts, 0) },                                                                      \
    { LATER(rollback_show, "enforce rollback show", "Show what a session changed",                 \
            later_show_opts, 0), .args = NT_TABLE(later_session_args) },                           \
    { LATER(rollback_restore, "enforce rollback restore", "Bring back what was there before",      \
            later_restore_opts, NT_WRITES | NT_DESTROYS), .args = NT_TABLE(later_session_args) },  \
    { LATER(rollback_verify, "enforce rollback verify", "Check what was kept", later_opts, 0),     \
      .args = NT_TABLE(later_session_args) },                                                      \
    { LATER(rollback_cleanup, "enforce rollback cleanup", "Remove what was kept",                  \
            later_prune_opts, NT_WRITES | NT_DESTROYS) },                                          \
    { LATER(trust_init, "enforce trust init", "Begin a policy in this folder",                     \
            later_trust_init_opts, NT_WRITES), .args = NT_TABLE(later_dirs_args) },                \
    { LATER(trust_sign, "enforce trust sign", "Sign files", later_trust_sign_opts, NT_WRITES),     \
      .args = NT_TABLE(later_files_args) },                                                        \
    { LATER(trust_sign_policy, "enforce trust sign-policy", "Sign a policy",                       \
            later_sign_policy_opts, NT_WRITES), .args = NT_TABLE(later_file_args) },               \
    { LATER(trust_verify, "enforce trust verify", "Check files against the policy",                \
            later_trust_verify_opts, 0), .args = NT_TABLE(later_files_args) },                     \
    { LATER(trust_list, "enforce trust list", "List files and whether they are signed",            \
            later_opts, 0) },                                                                      \
    { LATER(trust_keygen, "enforce trust keygen", "Make a key", later_keygen_opts, NT_WRITES) },   \
    { LATER(trust_export_key, "enforce trust export-key", "Print the public key",                  \
            later_export_opts, 0) }
/* clang-format on */

#endif
