/* SPDX-License-Identifier: Apache-2.0 */
/* call.h - one running command: what a plugin sees (struct nt_call) with the core's own state
 * behind it.
 *
 * Built-in commands (core/auth, core/config, core/plugin) include this header to reach what the
 * host table does not lend. main.c makes a call, runs the command with it and frees it. */
#ifndef NT_CORE_CALL_H
#define NT_CORE_CALL_H

#include <stdbool.h>

#include "nanoterm/host.h"

struct api;
struct config;
struct output;
struct parsed;
struct plugins;

/* The settings of this command; never NULL while a command with effects runs (main.c loads them
 * first). */
struct config *call_config(struct nt_call *call);
/* All plugins. */
struct plugins *call_plugins(struct nt_call *call);
/* The conversation with the API, made when first asked for; NULL: reterr says why. */
struct api *call_api(struct nt_call *call, struct nt_error *reterr);

/* What main.c gives; all is borrowed and outlives the call. */
struct call_options {
    const struct nt_command *command;
    const struct parsed *parsed;
    struct output *output;
    struct plugins *plugins;
    struct config *config; /* NULL: the command has no effects and asks for no setting */
    uint32_t personality;  /* NT_AS_* */
    uint32_t flags;        /* NT_CALL_* */
};

struct nt_call *call_new(const struct call_options *options, struct nt_error *reterr);
/* Ends the streams of the command and frees all that was handed out. NULL is nothing. */
void call_free(struct nt_call *call);
/* What nt_host.set_status said; false: nothing. */
bool call_status(const struct nt_call *call, uint32_t *ret_status, uint32_t *ret_by);
/* What nt_host.set_limits said, NT_LIMIT_*; NULL has none. */
uint32_t call_limits(const struct nt_call *call);
/* Milliseconds that the command may take: --timeout, else its table, else the core's default; -1:
 * no end. */
int64_t call_timeout_ms(const struct nt_command *command, const struct parsed *parsed);

/* The table lent to plugins. */
extern const struct nt_host call_host;

#endif
