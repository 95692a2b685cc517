/* SPDX-License-Identifier: Apache-2.0 */
/* call.c - one running command: its state, made before run and freed after it. */
#include "call.h"

#include <stdlib.h>
#include <string.h>

#include "core/api/api.h"
#include "core/cli/call_state.h"
#include "core/cli/parse.h"
#include "sdk/clock.h"
#include "sdk/error.h"

/* How long a command that talks to the API may take when neither it nor the user says. */
#define REMOTE_TIMEOUT_MS 120000

struct call *call_of(struct nt_call *call)
{
    return (struct call *)call; /* the public part is the first member */
}

int64_t call_timeout_ms(const struct nt_command *command, const struct parsed *parsed)
{
    if (parsed->globals.timeout_ms)
        return parsed->globals.timeout_ms;
    if (command->timeout_ms)
        return command->timeout_ms;
    bool is_short = (command->effects & NT_REMOTE) && !(command->effects & NT_RUNS);
    return is_short ? REMOTE_TIMEOUT_MS : -1;
}

int64_t call_left_ms(const struct call *call)
{
    int64_t all = call_timeout_ms(call->options.command, call->options.parsed);
    if (all < 0)
        return -1;
    int64_t left = call->begun_ms + all - nt_now_ms();
    return left > 0 ? left : 0;
}

struct nt_call *call_new(const struct call_options *options, struct nt_error *reterr)
{
    struct call *call = calloc(1, sizeof(*call));
    if (!call) {
        nt_fail(reterr, NT_E_MEMORY, "out of memory");
        return NULL;
    }
    call->head = (struct nt_call){
        .size = sizeof(call->head),
        .personality = options->personality,
        .host = &call_host,
        .command = options->command,
        .flags = options->flags,
    };
    call->options = *options;
    call->begun_ms = nt_now_ms();
    call->is_debug = getenv("NANOTERM_DEBUG") && strcmp(getenv("NANOTERM_DEBUG"), "1") == 0;
    return &call->head;
}

void call_free(struct nt_call *head)
{
    if (!head)
        return;
    struct call *call = call_of(head);
    api_free(call->api);
    while (call->answers) {
        struct answer *next = call->answers->next;
        /* May be a secret that was typed. */
        explicit_bzero(call->answers->text, strlen(call->answers->text));
        free(call->answers);
        call->answers = next;
    }
    free(call);
}

bool call_status(const struct nt_call *head, uint32_t *ret_status, uint32_t *ret_by)
{
    const struct call *call = (const struct call *)head;
    if (call->has_status) {
        *ret_status = call->status;
        *ret_by = call->by;
    }
    return call->has_status;
}

uint32_t call_limits(const struct nt_call *head)
{
    const struct call *call = (const struct call *)head;
    return call ? call->limits : 0;
}

struct config *call_config(struct nt_call *call)
{
    return call_of(call)->options.config;
}

struct plugins *call_plugins(struct nt_call *call)
{
    return call_of(call)->options.plugins;
}

static void api_debug(void *data, const char *event, const char *fields)
{
    struct call *call = data;
    call_host.debug(&call->head, event, fields);
}

struct api *call_api(struct nt_call *head, struct nt_error *reterr)
{
    struct call *call = call_of(head);
    if (call->api)
        return call->api;
    struct api_options options = {
        .config = call->options.config,
        .timeout_ms = call_left_ms(call), /* one clock, from the start of the command */
        .retries = true,
        .debug = call->is_debug ? api_debug : NULL,
        .data = call,
    };
    if (!options.config) {
        nt_fail(reterr, NT_E_INTERNAL, "'%s' has no effects by its table, and asked for the API",
                call->options.command->path);
        return NULL;
    }
    return api_new(&options, &call->api, reterr) < 0 ? NULL : call->api;
}
