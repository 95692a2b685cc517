/* SPDX-License-Identifier: Apache-2.0 */
/* globals.h - the options that every command takes, as a table like any other.
 *
 * A command's own option of the same name or letter wins behind the words of that command. */
#ifndef NT_CORE_GLOBALS_H
#define NT_CORE_GLOBALS_H

#include <stdbool.h>

#include "nanoterm/plugin.h"

struct globals {
    const char *org;
    const char *api;
    const char *fields;
    int64_t timeout_ms; /* 0: not given */
    int status_fd;      /* -1: not given */
    bool json;
    bool quiet;
    bool no_color;
    bool help;
    bool version;
};

#define GLOBALS_INIT                                                                               \
    {                                                                                              \
        .status_fd = -1                                                                            \
    }

/* The index-th global option; NULL: no more. */
const struct nt_opt *globals_opt(uint32_t index);
/* By name (letter 0) or by letter (name NULL); NULL: none. */
const struct nt_opt *globals_find(const char *name, char letter);
/* Sets one. `value` is NULL for a flag; `on` is false for --no-NAME. */
int globals_set(struct globals *globals, const struct nt_opt *opt, const char *value, bool on,
                struct nt_error *reterr);
/* True when --json stands before `--`: how an error is told before the words are understood. */
bool globals_wants_json(int argc, char *const *argv);
/* The descriptor of --status-fd in the same way; -1: none that is open. */
int globals_early_status_fd(int argc, char *const *argv);

#endif
