/* SPDX-License-Identifier: Apache-2.0 */
/* inside.c - the confined process: waits for its start, confines itself, loads the plugin, runs the
 * command; and the host that it lends to the plugin, whose services ask the core outside.
 *
 * Arguments and options are answered from the memory that was forked. Nothing here is trusted by
 * the other side. */
#include "inside.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "core/cli/parse.h"
#include "core/config/config.h"
#include "core/confine/inside_own.h"
#include "core/confine/rules.h"
#include "core/plugin/registry.h"
#include "sdk/cleanup.h"
#include "sdk/clock.h"
#include "sdk/error.h"

#define TEXT_MAX (64u * 1024)
#define SPARES_MAX 256u

struct inside inside;

/* --- the host: arguments --------------------------------------------------------------------- */

static const struct slot *slot_of(const char *name)
{
    return parsed_slot(inside.options->parsed, name);
}

static const char *host_text_at(struct nt_call *call, const char *name, uint32_t index)
{
    (void)call;
    const struct slot *slot = slot_of(name);
    return slot && index < slot->count ? slot->texts[index] : NULL;
}

static const char *host_text(struct nt_call *call, const char *name)
{
    return host_text_at(call, name, 0);
}

static int64_t host_number(struct nt_call *call, const char *name)
{
    (void)call;
    const struct slot *slot = slot_of(name);
    return slot && slot->count ? slot->number : 0;
}

static uint32_t host_count(struct nt_call *call, const char *name)
{
    (void)call;
    const struct slot *slot = slot_of(name);
    return slot ? slot->count : 0;
}

static int host_is_given(struct nt_call *call, const char *name)
{
    (void)call;
    const struct slot *slot = slot_of(name);
    return slot && slot->is_given;
}

/* --- the host: the API ----------------------------------------------------------------------- */

static int host_request(struct nt_call *call, const struct nt_request *req, struct nt_response *ret,
                        struct nt_error *reterr)
{
    (void)call;
    wire_begin(&inside.out, WIRE_REQUEST);
    wire_u32(&inside.out, req->flags);
    wire_text(&inside.out, req->method);
    wire_text(&inside.out, req->path);
    wire_text(&inside.out, req->content_type);
    wire_u64(&inside.out, req->max_body_bytes);
    wire_u64(&inside.out, (uint64_t)req->timeout_ms);
    wire_u32(&inside.out, req->headers.count);
    for (uint32_t i = 0; i < req->headers.count; i++) {
        const struct nt_header *row =
            (const void *)((const char *)req->headers.rows + (size_t)i * req->headers.stride);
        wire_text(&inside.out, row->name);
        wire_text(&inside.out, row->value);
    }
    wire_bytes(&inside.out, req->body);
    const struct frame *frame = inside_ask_api(WIRE_ANSWER, NULL, reterr);
    if (!frame)
        return -1;
    struct wire_reader r = inside_reader(frame);
    return inside_read_head(&r, ret, reterr);
}

static const char *host_header(struct nt_call *call, const struct nt_response *response,
                               const char *name)
{
    (void)call;
    const struct headers *headers = response->headers;
    for (uint32_t i = 0; headers && i < headers->count; i++)
        if (strcasecmp(headers->rows[i].name, name) == 0)
            return headers->rows[i].value;
    return NULL;
}

static int host_open(struct nt_call *call, const struct nt_open *open, struct nt_stream **ret,
                     struct nt_response *ret_head, struct nt_error *reterr)
{
    (void)call;
    return inside_open(open, ret, ret_head, reterr);
}

static int take_descriptor(int *ret_fd, struct nt_bytes *ret_early, struct nt_error *reterr)
{
    int fd = -1;
    const struct frame *frame = inside_ask_api(WIRE_DESCRIPTOR, &fd, reterr);
    if (!frame)
        return -1;
    if (fd < 0)
        return nt_fail(reterr, NT_E_SYSTEM, "no descriptor came");
    struct wire_reader r = inside_reader(frame);
    *ret_fd = fd;
    if (ret_early)
        *ret_early = wire_get_bytes(&r);
    return 0;
}

static int host_upgrade_local(struct nt_call *call, const char *path, const char *protocol,
                              int *ret_fd, struct nt_bytes *ret_early, struct nt_error *reterr)
{
    (void)call;
    wire_begin(&inside.out, WIRE_UPGRADE);
    wire_text(&inside.out, path);
    wire_text(&inside.out, protocol);
    return take_descriptor(ret_fd, ret_early, reterr);
}

static int host_connect(struct nt_call *call, const char *host, uint32_t port, int *ret_fd,
                        struct nt_error *reterr)
{
    (void)call;
    wire_begin(&inside.out, WIRE_CONNECT);
    wire_text(&inside.out, host);
    wire_u32(&inside.out, port);
    return take_descriptor(ret_fd, NULL, reterr);
}

static struct nt_loop *host_loop(struct nt_call *call)
{
    (void)call;
    return inside_loop();
}

static int host_wait(struct nt_call *call, const uint32_t *done, struct nt_error *reterr)
{
    (void)call;
    return inside_wait(done, reterr);
}

static int64_t host_left_ms(struct nt_call *call)
{
    (void)call;
    if (inside.deadline_ms < 0)
        return -1;
    int64_t left = inside.deadline_ms - nt_now_ms();
    return left > 0 ? left : 0;
}

/* --- the host: output ------------------------------------------------------------------------ */

static int host_emit(struct nt_call *call, const struct nt_value *values, uint32_t count,
                     struct nt_error *reterr)
{
    (void)call;
    wire_begin(&inside.out, WIRE_EMIT);
    wire_u32(&inside.out, count);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t real;
        memcpy(&real, &values[i].real, sizeof(real));
        bool has_text = values[i].type != NT_INT && values[i].type != NT_BOOL
                        && values[i].type != NT_REAL && !values[i].is_null;
        wire_u32(&inside.out, values[i].type);
        wire_u32(&inside.out, values[i].is_null != 0);
        wire_text(&inside.out, has_text ? values[i].text : NULL);
        wire_u64(&inside.out, (uint64_t)values[i].number);
        wire_u64(&inside.out, real);
    }
    return inside_ask(WIRE_OK, NULL, reterr) ? 0 : -1;
}

static int host_emit_json(struct nt_call *call, struct nt_bytes json, struct nt_error *reterr)
{
    (void)call;
    wire_begin(&inside.out, WIRE_EMIT_JSON);
    wire_bytes(&inside.out, json);
    return inside_ask(WIRE_OK, NULL, reterr) ? 0 : -1;
}

static void host_message(struct nt_call *call, uint32_t level, const char *text)
{
    (void)call;
    wire_begin(&inside.out, WIRE_MESSAGE);
    wire_u32(&inside.out, level);
    wire_text(&inside.out, text);
    inside_send();
}

static void host_progress(struct nt_call *call, const char *label, uint64_t done, uint64_t total)
{
    (void)call;
    wire_begin(&inside.out, WIRE_PROGRESS);
    wire_text(&inside.out, label);
    wire_u64(&inside.out, done);
    wire_u64(&inside.out, total);
    inside_send();
}

static int host_prompt(struct nt_call *call, const char *question, const char *instead,
                       uint32_t secret, const char **ret, struct nt_error *reterr)
{
    (void)call;
    wire_begin(&inside.out, WIRE_PROMPT);
    wire_text(&inside.out, question);
    wire_text(&inside.out, instead);
    wire_u32(&inside.out, secret);
    const struct frame *frame = inside_ask(WIRE_TEXT, NULL, reterr);
    if (!frame)
        return -1;
    struct wire_reader r = inside_reader(frame);
    *ret = wire_need_text(&r, TEXT_MAX);
    return 0;
}

static void host_set_status(struct nt_call *call, uint32_t status, uint32_t by)
{
    (void)call;
    inside.status = status;
    inside.by = by;
    inside.has_status = true;
}

static int host_descriptor(struct nt_call *call, uint32_t which)
{
    (void)call;
    struct nt_error unused = NT_ERROR_INIT;
    if (which == 1 || which == 2) {
        wire_begin(&inside.out, WIRE_CLEAR);
        inside_ask(WIRE_OK, NULL, &unused);
    }
    return which <= 2 ? (int)which : -1;
}

/* --- the host: the rest ---------------------------------------------------------------------- */

static const char *host_config(struct nt_call *call, const char *key)
{
    (void)call;
    struct nt_error unused = NT_ERROR_INIT;
    wire_begin(&inside.out, WIRE_CONFIG);
    wire_text(&inside.out, key);
    const struct frame *frame = inside_ask(WIRE_TEXT, NULL, &unused);
    if (!frame)
        return NULL;
    struct wire_reader r = inside_reader(frame);
    return wire_get_text(&r, TEXT_MAX);
}

static const char *host_path(struct nt_call *call, uint32_t which)
{
    (void)call;
    return config_path(which);
}

static const void *host_service(struct nt_call *call, const char *name, uint32_t index,
                                const char **ret_instance)
{
    (void)call, (void)name, (void)index, (void)ret_instance;
    return NULL; /* they are functions of a process that has more rights */
}

static const void *host_service_named(struct nt_call *call, const char *name, const char *instance)
{
    (void)call, (void)name, (void)instance;
    return NULL;
}

static void host_debug(struct nt_call *call, const char *event, const char *fields)
{
    (void)call;
    if (!inside.is_debug)
        return;
    wire_begin(&inside.out, WIRE_DEBUG);
    wire_text(&inside.out, event);
    wire_text(&inside.out, fields);
    inside_send();
}

static const struct nt_host inside_host = {
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
};

/* --- the life of the process ----------------------------------------------------------------- */

/* What options of this command were given by the environment lies there: it must stay. */
static void clean_environment(void)
{
    const char *spares[SPARES_MAX];
    size_t count = 0;
    const struct parsed *parsed = inside.options->parsed;
    for (uint32_t i = 0; i < parsed->slot_count && count < SPARES_MAX; i++)
        if (parsed->slots[i].opt && parsed->slots[i].count)
            spares[count++] = parsed->slots[i].texts[0];
    rules_clean_environment(spares, count);
}

/* The core says how the command was called, once it knows. */
static const char *wait_for_start(void)
{
    const struct frame *frame = inside_read(NULL);
    struct wire_reader r = inside_reader(frame);
    if (frame->type != WIRE_GO)
        inside_lost();
    inside.head = (struct nt_call){ .size = sizeof(inside.head),
                                    .host = &inside_host,
                                    .command = inside.options->command };
    inside.head.flags = wire_get_u32(&r);
    inside.head.personality = wire_get_u32(&r);
    inside.is_debug = wire_get_u32(&r) != 0;
    int64_t left = (int64_t)wire_get_u64(&r);
    inside.deadline_ms = left < 0 ? -1 : nt_now_ms() + left;
    const char *weaker = wire_get_text(&r, TEXT_MAX);
    if (!wire_is_whole(&r))
        inside_lost();
    return weaker;
}

static int run(const char *weaker, struct nt_error *reterr)
{
    struct plugin *plugin = inside.options->plugin;
    if (registry_open(plugin, reterr) < 0)
        return -1;
    /* Before any rule, which this would need: it looks where the program is. */
    (void)config_path(NT_PATH_SELF);
    const struct rules rules = {
        .needs = &plugin->tables->needs,
        .file = plugin->opened,
        .keep = { inside.channel, plugin->opened },
        .keep_count = 2,
        .weaker = weaker,
    };
    if (rules_enter(&rules, reterr) < 0)
        return -1;
    const struct nt_command *command = inside.options->command;
    inside.options->plugins->options.host = &inside_host;
    if (plugins_load(inside.options->plugins, command, &command, reterr) < 0)
        return -1;
    wire_begin(&inside.out, WIRE_STARTED);
    inside_send();
    int result = command->run(&inside.head, reterr);
    fflush(NULL); /* what it has printed goes out before the end is told */
    return result;
}

_Noreturn void inside_run(const struct confine_options *options, int channel, pid_t parent)
{
    struct nt_error error = NT_ERROR_INIT;
    inside = (struct inside){ .options = options, .channel = channel, .out = NT_BUF(WIRE_UP_MAX) };
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
        inside_lost();
    signal(SIGPIPE, SIG_IGN);
    clean_environment();
    int result = run(wait_for_start(), &error);
    wire_begin(&inside.out, WIRE_RESULT);
    wire_u32(&inside.out, result < 0);
    wire_error(&inside.out, &error);
    wire_u32(&inside.out, inside.has_status);
    wire_u32(&inside.out, inside.status);
    wire_u32(&inside.out, inside.by);
    inside_send();
    _exit(0);
}
