/* SPDX-License-Identifier: Apache-2.0 */
/* options.h - the options that commands of this plugin share, as rows for their tables, and what
 * comes of them: flags, and in nono's personality its variables, as one request to the policy.
 *
 * A command takes the rows that it needs; options_read leaves alone what its table does not have.
 */
#ifndef NT_ENFORCE_OPTIONS_H
#define NT_ENFORCE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "nanoterm/host.h"
#include "plugins/sandbox-enforce/policy/policy.h"

/* clang-format off */
#define OPTIONS_TEXTS(name_, letter_, type_, arg_, complete_, help_)                               \
    { .name = name_, .letter = letter_, .type = type_, .flags = NT_MANY, .arg = arg_,              \
      .complete = complete_, .help = help_ }
#define OPTIONS_OLD(name_, type_)                                                                  \
    { .name = name_, .type = type_, .flags = NT_MANY | NT_HIDDEN, .help = "An older spelling" }

/* What completion offers; a test holds these to the tables. */
#define COMPLETE_THEMES ":mocha|latte|frappe|macchiato|tokyo-night|minimal"
#define COMPLETE_PROFILES                                                                          \
    "profiles:default|linux-host-compat|developer|python-dev|node-dev|go-dev|java-dev|rust-dev|"   \
    "claude-code|codex|opencode|openclaw|swival"
#define COMPLETE_NETWORKS ":minimal|developer|claude-code|codex|opencode|enterprise"
#define COMPLETE_SERVICES ":openai|anthropic|gemini|google-ai|github|gitlab"
#define COMPLETE_LAYERS                                                                            \
    ":files|tcp|scopes|calls|descriptors|namespaces|notification|patterns"

/* Of every command: what stands before the command in nono. */
#define OPTIONS_COMMON                                                                             \
    { .name = "silent", .letter = 's', .type = NT_FLAG,                                            \
      .help = "Only the program's own output; asks nothing" },                                     \
    { .name = "theme", .type = NT_TEXT, .arg = "name", .complete = COMPLETE_THEMES,                \
      .help = "Colours: mocha (unless config.toml says otherwise), latte, frappe, macchiato, "      \
              "tokyo-night or minimal" }

#define OPTIONS_VERBOSE                                                                            \
    { .name = "verbose", .letter = 'v', .type = NT_FLAG, .flags = NT_MANY,                         \
      .help = "Say more, and more each time that it is given" }

#define OPTIONS_FILES                                                                              \
    OPTIONS_TEXTS("allow", 'a', NT_PATH, "dir", "dirs", "Folder to read and write, with all in it"), \
    OPTIONS_TEXTS("read", 'r', NT_PATH, "dir", "dirs", "Folder to read"),                          \
    OPTIONS_TEXTS("write", 'w', NT_PATH, "dir", "dirs", "Folder to write"),                        \
    OPTIONS_TEXTS("allow-file", 0, NT_PATH, "file", "files", "One file to read and write"),        \
    OPTIONS_TEXTS("read-file", 0, NT_PATH, "file", "files", "One file to read"),                   \
    OPTIONS_TEXTS("write-file", 0, NT_PATH, "file", "files", "One file to write")

#define OPTIONS_SOCKETS                                                                            \
    OPTIONS_TEXTS("allow-unix-socket", 0, NT_PATH, "path", "files",                                \
                  "Local socket to connect to"),                                                   \
    OPTIONS_TEXTS("allow-unix-socket-bind", 0, NT_PATH, "path", "files",                           \
                  "Local socket to connect to, or to make"),                                       \
    OPTIONS_TEXTS("allow-unix-socket-dir", 0, NT_PATH, "dir", "dirs",                              \
                  "Folder whose local sockets may be connected to; not those of folders in it"),   \
    OPTIONS_TEXTS("allow-unix-socket-dir-bind", 0, NT_PATH, "dir", "dirs",                         \
                  "The same, and to make them there"),                                             \
    OPTIONS_TEXTS("allow-unix-socket-subtree", 0, NT_PATH, "dir", "dirs",                          \
                  "Folder whose local sockets may be connected to, with all folders in it"),       \
    OPTIONS_TEXTS("allow-unix-socket-subtree-bind", 0, NT_PATH, "dir", "dirs",                     \
                  "The same, and to make them there")

/* The two switches alone, for commands without the rest of the network. */
#define OPTIONS_NETWORK_SWITCHES(block_conflicts, allow_conflicts)                                 \
    { .name = "block-net", .type = NT_FLAG, .conflicts = block_conflicts, .help = "No network" },  \
    { .name = "allow-net", .type = NT_FLAG, .conflicts = allow_conflicts,                          \
      .help = "The whole network, whatever the profile says" }

#define OPTIONS_NETWORK                                                                            \
    OPTIONS_NETWORK_SWITCHES("allow-net network-profile allow-domain credential",                  \
                             "network-profile allow-domain credential upstream-proxy "             \
                             "upstream-bypass deny-domain"),                                       \
    { .name = "network-profile", .type = NT_TEXT, .arg = "name", .complete = COMPLETE_NETWORKS,    \
      .help = "Only the hosts of this list, by way of a proxy: minimal, developer, claude-code, "  \
              "codex, opencode or enterprise" },                                                   \
    OPTIONS_TEXTS("allow-domain", 0, NT_TEXT, "domain", NULL,                                      \
                  "Host that may be reached by way of the proxy, *.suffix, or URL whose path "     \
                  "(\"/v1/\", or a pattern) limits its requests"),                                 \
    OPTIONS_TEXTS("deny-domain", 0, NT_TEXT, "domain", NULL,                                       \
                  "Host that the proxy refuses whatever else allows it, or *.suffix"),             \
    OPTIONS_TEXTS("credential", 0, NT_TEXT, "service", COMPLETE_SERVICES,                          \
                  "Service whose requests get a credential that the program never holds"),         \
    OPTIONS_TEXTS("allow-endpoint", 0, NT_TEXT, "service:method:path", NULL,                       \
                  "The only requests to a service of --credential"),                               \
    { .name = "upstream-proxy", .type = NT_TEXT, .arg = "host:port",                               \
      .help = "Proxy that the proxy itself goes through" },                                        \
    OPTIONS_TEXTS("upstream-bypass", 0, NT_TEXT, "domain", NULL,                                   \
                  "Host that does not go through --upstream-proxy, or *.suffix"),                  \
    { .name = "proxy-port", .type = NT_INT, .arg = "port", .min = 1, .max = 65535,                 \
      .help = "Port of the proxy (default: any)" },                                                \
    { .name = "listen-port", .type = NT_INT, .flags = NT_MANY, .arg = "port", .min = 1,            \
      .max = 65535, .help = "TCP port to listen on where the network is restricted" },             \
    { .name = "open-port", .type = NT_INT, .flags = NT_MANY, .arg = "port", .min = 1,              \
      .max = 65535, .help = "TCP port of this machine to connect to and to listen on" },           \
    { .name = "allow-connect-port", .type = NT_INT, .flags = NT_MANY, .arg = "port", .min = 1,     \
      .max = 65535,                                                                                \
      .help = "TCP port of any other machine to connect to, by its address: names are not "        \
              "looked up" }

#define OPTIONS_COMMANDS                                                                           \
    OPTIONS_TEXTS("allow-command", 0, NT_TEXT, "name", NULL,                                       \
                  "Program that may be started although its name is on the list (deprecated: "     \
                  "what it starts is not checked)"),                                               \
    OPTIONS_TEXTS("block-command", 0, NT_TEXT, "name", NULL,                                       \
                  "Program that may not be started (deprecated: what it starts is not checked)"),  \
    OPTIONS_TEXTS("bypass-protection", 0, NT_PATH, "path", "files",                                \
                  "Path that a group denies and that a grant may open all the same")

#define OPTIONS_CREDENTIALS                                                                        \
    { .name = "env-credential", .type = NT_TEXT, .arg = "list",                                    \
      .help = "Secrets of the keyring that the program gets as variables: a,b" },                  \
    { .name = "env-credential-map", .type = NT_TEXT, .flags = NT_MANY | NT_PAIR,                   \
      .arg = "ref> <var", .help = "Secret that the program gets as this variable" }

#define OPTIONS_PROFILE                                                                            \
    { .name = "profile", .letter = 'p', .type = NT_TEXT, .arg = "name",                            \
      .complete = COMPLETE_PROFILES,                                                               \
      .help = "Profile: a name or a file" },                                                       \
    { .name = "workdir", .type = NT_PATH, .arg = "dir", .complete = "dirs",                        \
      .help = "Folder to start in, and $WORKDIR of profiles (default: the current one)" }

#define OPTIONS_START                                                                              \
    { .name = "allow-cwd", .type = NT_FLAG, .help = "Share the folder it starts in; asks not" },   \
    { .name = "allow-launch-services", .type = NT_FLAG,                                            \
      .help = "Of another system; refused here" },                                                 \
    { .name = "allow-gpu", .type = NT_FLAG, .help = "Devices that compute" },                      \
    { .name = "dry-run", .type = NT_FLAG, .help = "Show what would be granted; start nothing" },   \
    { .name = "trust-override", .type = NT_FLAG, .help = "Do not check signatures" },              \
    { .name = "config", .letter = 'c', .type = NT_PATH, .arg = "file", .complete = "files",        \
      .help = "Manifest of capabilities (JSON)" },                                                 \
    OPTIONS_TEXTS("accept-weaker", 0, NT_TEXT, "layer", COMPLETE_LAYERS,                           \
                  "Go on where this machine cannot enforce that layer: files, tcp, scopes, "       \
                  "calls, descriptors, namespaces, notification or patterns")

/* What a supervisor gives: run and shell. */
#define OPTIONS_SESSION                                                                            \
    { .name = "name", .type = NT_TEXT, .arg = "name", .help = "Name of the session" },             \
    { .name = "rollback", .type = NT_FLAG, .conflicts = "no-rollback no-audit",                    \
      .help = "Keep what the folders held, to bring it back" },                                    \
    { .name = "no-rollback", .type = NT_FLAG, .conflicts = "rollback",                             \
      .help = "Keep nothing" },                                                                    \
    { .name = "no-rollback-prompt", .type = NT_FLAG, .help = "Do not ask what to bring back" },    \
    { .name = "rollback-all", .type = NT_FLAG, .conflicts = "rollback-include",                    \
      .help = "Also folders that can be made anew" },                                              \
    OPTIONS_TEXTS("rollback-exclude", 0, NT_TEXT, "pattern", NULL, "Not these files"),             \
    OPTIONS_TEXTS("rollback-include", 0, NT_TEXT, "name", NULL, "These folders all the same"),     \
    OPTIONS_TEXTS("skip-dir", 0, NT_TEXT, "name", NULL,                                            \
                  "Folders of this name are not searched for signed files"),                       \
    { .name = "no-audit", .type = NT_FLAG,                                                         \
      .conflicts = "audit-integrity no-audit-integrity rollback audit-sign-key",                   \
      .help = "Write no record" },                                                                 \
    { .name = "audit-integrity", .type = NT_FLAG, .conflicts = "no-audit no-audit-integrity",      \
      .help = "Also record what the folders held" },                                               \
    { .name = "no-audit-integrity", .type = NT_FLAG,                                               \
      .conflicts = "audit-integrity rollback audit-sign-key",                                      \
      .help = "A record without a chain of hashes" },                                              \
    { .name = "audit-sign-key", .type = NT_TEXT, .arg = "ref", .help = "Key that signs it" },      \
    { .name = "no-diagnostics", .type = NT_FLAG,                                                   \
      .help = "Say nothing of denials when the program fails" },                                   \
    { .name = "diagnose", .type = NT_FLAG,                                                         \
      .help = "Trace calls on files, so that denials of these are exact" },                        \
    { .name = "capability-elevation", .type = NT_FLAG, .help = "Ask for more while it runs" }

/* Spellings of earlier versions: one warning each. */
#define OPTIONS_DEPRECATED                                                                         \
    OPTIONS_OLD("net-block", NT_FLAG), OPTIONS_OLD("net-allow", NT_FLAG),                          \
    OPTIONS_OLD("allow-proxy", NT_TEXT), OPTIONS_OLD("proxy-allow", NT_TEXT),                      \
    OPTIONS_OLD("proxy-credential", NT_TEXT), OPTIONS_OLD("allow-bind", NT_INT),                   \
    OPTIONS_OLD("allow-port", NT_INT), OPTIONS_OLD("external-proxy", NT_TEXT),                     \
    OPTIONS_OLD("external-proxy-bypass", NT_TEXT), OPTIONS_OLD("override-deny", NT_PATH)
/* clang-format on */

#define OPTIONS_WEAKER_MAX 16u

/* What was asked for. All texts live until options_done. */
struct options {
    struct policy_request request;
    struct policy_texts program; /* words behind `--` */
    struct policy_texts weaker;
    const char *shell;  /* --shell; NULL: not given */
    const char *theme;  /* --theme or NONO_THEME; NULL: neither */
    uint32_t verbosity; /* 0 to 3 */
    bool is_dry_run, is_silent, is_diagnosed, no_diagnostics;
    void *memory; /* its own */
};

/* Reads the options of CALL. Conflicts hold for flags and variables alike; old spellings give a
 * message. Errors: NT_E_USAGE, NT_E_MEMORY, NT_E_UNSUPPORTED, ENFORCE_E_NOT_BUILT. */
int options_read(struct nt_call *call, struct options *ret, struct nt_error *reterr);
void options_done(struct options *o);

/* true, false; yes, no; on, off; y, n; t, f; 1, 0 - in any case. -1: something else. */
int options_bool(const char *text);

#endif
