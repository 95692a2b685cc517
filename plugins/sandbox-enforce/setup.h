/* SPDX-License-Identifier: Apache-2.0 */
/* setup.h - setup as a row for the table of this plugin. For sandbox_enforce.c alone. */
#ifndef NT_ENFORCE_SETUP_H
#define NT_ENFORCE_SETUP_H

#include "nanoterm/plugin.h"
#include "plugins/sandbox-enforce/commands.h"
#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/options.h"

/* clang-format off */
static const struct nt_opt setup_opts[] = {
    OPTIONS_COMMON,
    { .name = "check-only", .type = NT_FLAG, .help = "Write nothing" },
    { .name = "profiles", .type = NT_FLAG, .help = "Write profiles to begin with" },
    { .name = "shell-integration", .type = NT_FLAG, .help = "Show lines for the shell's start file" },
    OPTIONS_VERBOSE,
};
#define SETUP_CHECKS                                                                               \
    "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"name\","                     \
    "\"available\",\"required\"],\"properties\":{\"name\":{\"type\":\"string\"},"                      \
    "\"available\":{\"type\":\"boolean\"},\"required\":{\"type\":\"boolean\"},"                       \
    "\"remedy\":{\"type\":\"string\"}}}}"
static const struct nt_column setup_columns[] = {
    { .name = "version", .help = "Of nanoterm" },
    { .name = "landlock", .type = NT_INT, .help = "Version of the kernel's Landlock; 0: none" },
    { .name = "usable", .type = NT_BOOL, .help = "Whether programs can be confined here" },
    { .name = "checks", .type = NT_JSON, .help = "What the kernel offers", .schema = SETUP_CHECKS },
    { .name = "profiles", .type = NT_JSON, .help = "Profiles that were written or are there",
      .schema = "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}" },
};
static const struct nt_example setup_examples[] = {
    { "enforce setup --check-only", "What this machine can enforce" },
    { "enforce setup --profiles", "With three profiles to begin with" },
};
static const uint32_t setup_errors[] = { ENFORCE_E_UNAVAILABLE, NT_E_SYSTEM };
static const struct nt_alias setup_aliases[] = { { "sandbox-enforce setup", NT_HIDDEN, 0 } };

#define SETUP_COMMAND                                                                              \
    { .path = "enforce setup",                                                                     \
      .summary = "Check what this machine can enforce, and write first profiles",                  \
      .run = setup_run, .opts = NT_TABLE(setup_opts), .columns = NT_TABLE(setup_columns),          \
      .examples = NT_TABLE(setup_examples), .errors = NT_TABLE(setup_errors),                      \
      .aliases = NT_TABLE(setup_aliases), .effects = NT_LOCAL | NT_WRITES | NT_IDEMPOTENT,         \
      .result = NT_RESULT_ONE }
/* clang-format on */

#endif
