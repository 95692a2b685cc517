/* SPDX-License-Identifier: Apache-2.0 */
/* host.c - the table that the core lends to plugins: each row forwards to the room that does the
 * work. */
#include <stdlib.h>
#include <string.h>

#include "core/api/api.h"
#include "core/cli/call_state.h"
#include "core/cli/parse.h"
#include "core/config/config.h"
#include "core/confine/dial.h"
#include "core/output/output.h"
#include "core/output/prompt.h"
#include "core/plugin/plugins.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

/* --- arguments ----------------------------------------------------------------------------- */

static const struct slot *slot_of(struct nt_call *call, const char *name)
{
    return parsed_slot(call_of(call)->options.parsed, name);
}

static const char *host_text_at(struct nt_call *call, const char *name, uint32_t index)
{
    const struct slot *slot = slot_of(call, name);
    return slot && index < slot->count ? slot->texts[index] : NULL;
}

static const char *host_text(struct nt_call *call, const char *name)
{
    return host_text_at(call, name, 0);
}

static int64_t host_number(struct nt_call *call, const char *name)
{
    const struct slot *slot = slot_of(call, name);
    return slot && slot->count ? slot->number : 0;
}

static uint32_t host_count(struct nt_call *call, const char *name)
{
    const struct slot *slot = slot_of(call, name);
    return slot ? slot->count : 0;
}

static int host_is_given(struct nt_call *call, const char *name)
{
    const struct slot *slot = slot_of(call, name);
    return slot && slot->is_given;
}

/* --- the API ------------------------------------------------------------------------------- */

static int host_request(struct nt_call *call, const struct nt_request *req, struct nt_response *ret,
                        struct nt_error *reterr)
{
    struct api *api = call_api(call, reterr);
    return api ? api_request(api, req, ret, reterr) : -1;
}

static const char *host_header(struct nt_call *call, const struct nt_response *response,
                               const char *name)
{
    struct api *api = call_of(call)->api; /* without one there was no answer */
    return api ? api_header(api, response, name) : NULL;
}

static int host_open(struct nt_call *call, const struct nt_open *open, struct nt_stream **ret,
                     struct nt_response *ret_head, struct nt_error *reterr)
{
    struct api *api = call_api(call, reterr);
    return api ? api_open(api, open, ret, ret_head, reterr) : -1;
}

static int host_upgrade_local(struct nt_call *call, const char *path, const char *protocol,
                              int *ret_fd, struct nt_bytes *ret_early, struct nt_error *reterr)
{
    struct api *api = call_api(call, reterr);
    return api ? api_upgrade_local(api, path, protocol, ret_fd, ret_early, reterr) : -1;
}

static struct nt_loop *host_loop(struct nt_call *call)
{
    struct nt_error unused = NT_ERROR_INIT;
    struct api *api = call_api(call, &unused);
    return api ? api_loop(api) : NULL;
}

static int host_wait(struct nt_call *call, const uint32_t *done, struct nt_error *reterr)
{
    struct api *api = call_api(call, reterr);
    return api ? api_wait(api, done, reterr) : -1;
}

static int64_t host_left_ms(struct nt_call *call)
{
    return call_left_ms(call_of(call));
}

/* For a plugin of the installation; that of a third party has its own (core/confine). */
static int host_connect(struct nt_call *call, const char *host, uint32_t port, int *ret_fd,
                        struct nt_error *reterr)
{
    return dial(host, port, host_left_ms(call), ret_fd, reterr);
}

/* --- output -------------------------------------------------------------------------------- */

static int host_emit(struct nt_call *call, const struct nt_value *values, uint32_t count,
                     struct nt_error *reterr)
{
    return output_emit(call_of(call)->options.output, values, count, reterr);
}

static int host_emit_json(struct nt_call *call, struct nt_bytes json, struct nt_error *reterr)
{
    return output_emit_json(call_of(call)->options.output, json, reterr);
}

static void host_message(struct nt_call *call, uint32_t level, const char *text)
{
    output_message(call_of(call)->options.output, level, text);
}

static void host_progress(struct nt_call *call, const char *label, uint64_t done, uint64_t total)
{
    output_progress(call_of(call)->options.output, label, done, total);
}

static int host_prompt(struct nt_call *call, const char *question, const char *instead,
                       uint32_t secret, const char **ret, struct nt_error *reterr)
{
    struct call *c = call_of(call);
    output_clear_progress(c->options.output);
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(PROMPT_MAX);
    /* All of it at once: a buffer that grows would leave pieces of a secret behind. */
    if (!nt_buf_room(&text, PROMPT_MAX))
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    bool is_terminal = call->flags & NT_CALL_STDIN_TTY;
    if (prompt_ask(question, instead, is_terminal, secret, host_left_ms(call), &text, reterr) < 0) {
        explicit_bzero(text.data, text.cap);
        return -1;
    }
    const char *typed = nt_buf_text(&text);
    struct answer *answer = malloc(sizeof(*answer) + text.size + 1);
    if (answer) {
        memcpy(answer->text, typed, text.size + 1);
        answer->next = c->answers;
        c->answers = answer;
    }
    explicit_bzero(text.data, text.cap);
    if (!answer)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    *ret = answer->text;
    return 0;
}

static void host_set_status(struct nt_call *call, uint32_t status, uint32_t by)
{
    struct call *c = call_of(call);
    c->status = status & 0xff; /* what a parent can see of an exit status */
    c->by = by;
    c->has_status = true;
}

static void host_set_limits(struct nt_call *call, uint32_t limits)
{
    call_of(call)->limits = limits;
}

static int host_descriptor(struct nt_call *call, uint32_t which)
{
    if (which == 1 || which == 2)
        output_clear_progress(call_of(call)->options.output);
    return which <= 2 ? (int)which : -1;
}

/* --- the rest ------------------------------------------------------------------------------ */

static const char *host_config(struct nt_call *call, const char *key)
{
    const struct config *config = call_config(call);
    const struct config_value *value = config ? config_get(config, key) : NULL;
    return value ? value->value : NULL;
}

static const char *host_path(struct nt_call *call, uint32_t which)
{
    (void)call;
    return config_path(which);
}

static const void *host_service(struct nt_call *call, const char *name, uint32_t index,
                                const char **ret_instance)
{
    return plugins_service(call_plugins(call), name, index, ret_instance);
}

static const void *host_service_named(struct nt_call *call, const char *name, const char *instance)
{
    const char *found = NULL;
    const void *ops;
    for (uint32_t i = 0; (ops = plugins_service(call_plugins(call), name, i, &found)); i++)
        if (found && strcmp(found, instance) == 0)
            return ops;
    return NULL;
}

static void host_debug(struct nt_call *call, const char *event, const char *fields)
{
    struct call *c = call_of(call);
    if (c->is_debug)
        output_debug(c->options.output, event, fields);
}

const struct nt_host call_host = {
    .size = sizeof(struct nt_host),
    .abi = NT_ABI,
    .text = host_text,
    .number = host_number,
    .count = host_count,
    .text_at = host_text_at,
    .is_given = host_is_given,
    .request = host_request,
    .header = host_header,
    .open = host_open,
    .upgrade_local = host_upgrade_local,
    .loop = host_loop,
    .wait = host_wait,
    .left_ms = host_left_ms,
    .emit = host_emit,
    .emit_json = host_emit_json,
    .message = host_message,
    .progress = host_progress,
    .prompt = host_prompt,
    .set_status = host_set_status,
    .descriptor = host_descriptor,
    .config = host_config,
    .path = host_path,
    .service = host_service,
    .service_named = host_service_named,
    .debug = host_debug,
    .connect = host_connect,
    .set_limits = host_set_limits,
};
