/* SPDX-License-Identifier: Apache-2.0 */
/* serve.c - answers what a confined plugin asks for, as far as it is declared.
 *
 * Each frame may come from an attacker: it is read whole before anything is done, texts are
 * bounded, and a request goes out only when its route is declared, with headers that do not change
 * whose request it is. */
#include "serve.h"

#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "core/api/api.h"
#include "core/cli/call.h"
#include "core/confine/dial.h"
#include "core/confine/routes.h"
#include "core/confine/streams.h"
#include "core/output/output.h"
#include "core/plugin/registry.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define PATH_MAX_BYTES (16u * 1024)
#define TEXT_MAX (64u * 1024)
#define TIMEOUT_MAX_MS ((int64_t)24 * 3600 * 1000)
#define VALUES_MAX 256u
#define HEADERS_MAX 32u

static const struct nt_table *needs_of(const struct confined *c)
{
    return &c->options.plugin->tables->needs;
}

/* --- answers -------------------------------------------------------------------------------- */

static int give_ok(struct confined *c)
{
    wire_begin(&c->out, WIRE_OK);
    return 0;
}

/* An error for the plugin; the one that ends the command is passed on, too. */
static int give_failure(struct confined *c, const struct nt_error *error, struct nt_error *reterr)
{
    c->given = *error;
    wire_begin(&c->out, WIRE_FAILED);
    wire_error(&c->out, error);
    if (error->code != NT_E_CANCELLED)
        return 0;
    *reterr = *error; /* Ctrl-C ends the command, whatever the plugin makes of it */
    return -1;
}

static int deny(struct confined *c, const char *kind, const char *what, struct nt_error *reterr)
{
    struct nt_error error = NT_ERROR_INIT;
    nt_fail(&error, NT_E_UNDECLARED, "the plugin '%s' does not declare the %s %s",
            c->options.plugin->name, kind, what);
    nt_hint(&error, "nanoterm plugin info %s shows what it declares; its author can add this",
            c->options.plugin->name);
    if (!c->denied.code)
        c->denied = error;
    return give_failure(c, &error, reterr);
}

static int broken(struct confined *c, struct nt_error *reterr)
{
    return nt_fail(reterr, NT_E_PLUGIN_FAILED, "the plugin '%s' sent what is no frame",
                   c->options.plugin->name);
}

/* --- the API -------------------------------------------------------------------------------- */

static int deny_route(struct confined *c, const char *method, const char *path,
                      struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf what = NT_BUF(PATH_MAX_BYTES * 4);
    nt_buf_addf(&what, "%.16s ", method);
    nt_buf_add_printable(&what, path, false);
    return deny(c, "route", nt_buf_text(&what), reterr);
}

void serve_write_head(struct confined *c, struct nt_buf *out, const struct nt_response *response)
{
    struct nt_error unused = NT_ERROR_INIT;
    struct api *api = call_api(c->call, &unused);
    const char *name, *value;
    uint32_t count = 0;
    wire_u32(out, response->status);
    wire_text(out, response->request_id ? response->request_id : "");
    for (uint32_t i = 0; api && api_header_at(api, response, i, &name, &value); i++)
        count += strcasecmp(name, "set-cookie") != 0;
    wire_u32(out, count);
    for (uint32_t i = 0; api && api_header_at(api, response, i, &name, &value); i++) {
        if (strcasecmp(name, "set-cookie") == 0)
            continue;
        wire_text(out, name);
        wire_text(out, value);
    }
    wire_bytes(out, response->body);
}

/* false: the frame is none that a plugin sends. */
static bool read_headers(struct wire_reader *r, struct nt_header rows[HEADERS_MAX],
                         struct nt_table *ret)
{
    uint32_t count = wire_get_u32(r);
    if (count > HEADERS_MAX)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        rows[i].name = wire_need_text(r, 256);
        rows[i].value = wire_need_text(r, 4096);
    }
    *ret = (struct nt_table){ rows, count, sizeof(rows[0]) };
    return true;
}

static int serve_request(struct confined *c, struct wire_reader *r, struct nt_error *reterr)
{
    struct nt_header headers[HEADERS_MAX];
    struct nt_request req = { .size = sizeof(req) };
    req.flags = wire_get_u32(r) & (NT_REQ_NO_AUTH | NT_REQ_NO_RETRY | NT_REQ_KEY);
    /* Each answer goes out at once: the core keeps none. */
    req.flags |= NT_REQ_BRIEF;
    req.method = wire_need_text(r, 16);
    req.path = wire_need_text(r, PATH_MAX_BYTES);
    req.content_type = wire_get_text(r, 256);
    req.max_body_bytes = wire_get_u64(r);
    req.timeout_ms = (int64_t)wire_get_u64(r);
    if (!read_headers(r, headers, &req.headers))
        return broken(c, reterr);
    req.body = wire_get_bytes(r);
    if (!wire_is_whole(r))
        return broken(c, reterr);
    if (req.timeout_ms < 0 || req.timeout_ms > TIMEOUT_MAX_MS)
        req.timeout_ms = 0;
    if (req.max_body_bytes > WIRE_BODY_MAX)
        req.max_body_bytes = WIRE_BODY_MAX;
    if (!routes_allow(needs_of(c), req.method, req.path))
        return deny_route(c, req.method, req.path, reterr);
    for (uint32_t i = 0; i < req.headers.count; i++)
        if (!routes_allow_header(headers[i].name, headers[i].value))
            return deny(c, "header", headers[i].name, reterr);
    if (req.content_type && !routes_allow_header("Accept", req.content_type))
        return deny(c, "content type", req.content_type, reterr);

    struct nt_response response = { .size = sizeof(response) };
    struct nt_error error = NT_ERROR_INIT;
    if (c->call->host->request(c->call, &req, &response, &error) < 0)
        return give_failure(c, &error, reterr);
    wire_begin(&c->out, WIRE_ANSWER);
    serve_write_head(c, &c->out, &response);
    return 0;
}

/* A WebSocket gives more than the answer to a GET: a program in a workspace is run by one. It is
 * declared as what it is, an upgrade. */
static int serve_open(struct confined *c, struct wire_reader *r, struct nt_error *reterr)
{
    struct nt_header headers[HEADERS_MAX];
    struct nt_open open = { .size = sizeof(open) };
    open.kind = wire_get_u32(r);
    open.flags = wire_get_u32(r) & (NT_REQ_NO_AUTH | NT_REQ_NO_RETRY | NT_REQ_KEY | NT_REQ_BEGIN);
    open.method = wire_need_text(r, 16);
    open.path = wire_need_text(r, PATH_MAX_BYTES);
    if (!read_headers(r, headers, &open.headers))
        return broken(c, reterr);
    open.body_bytes = (int64_t)wire_get_u64(r);
    open.body = wire_get_bytes(r);
    if (!wire_is_whole(r) || open.body_bytes < -1)
        return broken(c, reterr);
    const char *method = open.kind == NT_OPEN_WS ? "UPGRADE" : open.method;
    if (!routes_allow(needs_of(c), method, open.path))
        return deny_route(c, method, open.path, reterr);
    for (uint32_t i = 0; i < open.headers.count; i++) {
        bool is_type =
            open.kind == NT_OPEN_BODY && strcasecmp(headers[i].name, "Content-Type") == 0;
        if (!routes_allow_header(is_type ? "Accept" : headers[i].name, headers[i].value))
            return deny(c, "header", headers[i].name, reterr);
    }
    struct nt_error error = NT_ERROR_INIT;
    return streams_open(c, &open, &error) < 0 ? give_failure(c, &error, reterr) : 0;
}

static int serve_loop(struct confined *c, const struct wire_reader *r, struct nt_error *reterr)
{
    return wire_is_whole(r) ? streams_begin(c, reterr) : broken(c, reterr);
}

static int give_descriptor(struct confined *c, struct nt_bytes early)
{
    wire_begin(&c->out, WIRE_DESCRIPTOR);
    wire_bytes(&c->out, early);
    return 0;
}

static int serve_upgrade(struct confined *c, struct wire_reader *r, int *ret_fd,
                         struct nt_error *reterr)
{
    const char *path = wire_need_text(r, PATH_MAX_BYTES), *protocol = wire_need_text(r, 64);
    if (!wire_is_whole(r) || !routes_allow_header("Accept", protocol))
        return broken(c, reterr);
    if (!routes_allow(needs_of(c), "UPGRADE", path))
        return deny_route(c, "UPGRADE", path, reterr);
    struct nt_error error = NT_ERROR_INIT;
    struct nt_bytes early = { "", 0 };
    if (c->call->host->upgrade_local(c->call, path, protocol, ret_fd, &early, &error) < 0)
        return give_failure(c, &error, reterr);
    return give_descriptor(c, early);
}

static int serve_connect(struct confined *c, struct wire_reader *r, int *ret_fd,
                         struct nt_error *reterr)
{
    const char *host = wire_need_text(r, 255);
    uint32_t port = wire_get_u32(r);
    if (!wire_is_whole(r))
        return broken(c, reterr);
    if (!routes_allow_host(needs_of(c), host, port)) {
        nt_auto(nt_buf_done) struct nt_buf what = NT_BUF(2048);
        nt_buf_add_printable(&what, host, false);
        nt_buf_addf(&what, ":%u", port);
        return deny(c, "host", nt_buf_text(&what), reterr);
    }
    struct nt_error error = NT_ERROR_INIT;
    if (dial(host, port, c->call->host->left_ms(c->call), ret_fd, &error) < 0)
        return give_failure(c, &error, reterr);
    return give_descriptor(c, (struct nt_bytes){ "", 0 });
}

/* --- results -------------------------------------------------------------------------------- */

static int give_result(struct confined *c, int result, const struct nt_error *error,
                       struct nt_error *reterr)
{
    return result < 0 ? give_failure(c, error, reterr) : give_ok(c);
}

static int serve_emit(struct confined *c, struct wire_reader *r, struct nt_error *reterr)
{
    struct nt_value values[VALUES_MAX];
    uint32_t count = wire_get_u32(r);
    if (count > VALUES_MAX)
        return broken(c, reterr);
    for (uint32_t i = 0; i < count; i++) {
        values[i] = (struct nt_value){ .type = wire_get_u32(r) };
        values[i].is_null = wire_get_u32(r);
        values[i].text = wire_get_text(r, WIRE_UP_MAX);
        values[i].number = (int64_t)wire_get_u64(r);
        uint64_t real = wire_get_u64(r);
        memcpy(&values[i].real, &real, sizeof(real));
    }
    if (!wire_is_whole(r))
        return broken(c, reterr);
    struct nt_error error = NT_ERROR_INIT;
    return give_result(c, c->call->host->emit(c->call, values, count, &error), &error, reterr);
}

static int serve_emit_json(struct confined *c, struct wire_reader *r, struct nt_error *reterr)
{
    struct nt_bytes json = wire_get_bytes(r);
    if (!wire_is_whole(r))
        return broken(c, reterr);
    struct nt_error error = NT_ERROR_INIT;
    return give_result(c, c->call->host->emit_json(c->call, json, &error), &error, reterr);
}

/* Whoever is asked sees who asks: the core never asks in this form. */
static int serve_prompt(struct confined *c, struct wire_reader *r, struct nt_error *reterr)
{
    const char *question = wire_need_text(r, 4096), *instead = wire_need_text(r, 1024);
    uint32_t secret = wire_get_u32(r);
    if (!wire_is_whole(r))
        return broken(c, reterr);
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(32u * 1024);
    nt_buf_addf(&text, "[plugin %s] ", c->options.plugin->name);
    nt_buf_add_printable(&text, question, false);
    struct nt_error error = NT_ERROR_INIT;
    const char *answer = "";
    if (c->call->host->prompt(c->call, nt_buf_text(&text), instead, secret, &answer, &error) < 0)
        return give_failure(c, &error, reterr);
    wire_begin(&c->out, WIRE_TEXT);
    wire_text(&c->out, answer);
    return 0;
}

static int serve_config(struct confined *c, struct wire_reader *r, struct nt_error *reterr)
{
    const char *key = wire_need_text(r, 256);
    if (!wire_is_whole(r))
        return broken(c, reterr);
    const struct config *config = call_config(c->call);
    const struct config_value *value = config ? config_get(config, key) : NULL;
    wire_begin(&c->out, WIRE_TEXT);
    wire_text(&c->out, value && !value->secret ? value->value : NULL);
    return 0;
}

/* --- what wants no answer ------------------------------------------------------------------- */

static int serve_message(struct confined *c, struct wire_reader *r, struct nt_error *reterr)
{
    uint32_t level = wire_get_u32(r);
    const char *text = wire_need_text(r, TEXT_MAX);
    if (!wire_is_whole(r))
        return broken(c, reterr);
    /* Each line is told as the plugin's: one that begins with "nanoterm:" would be the core's. */
    nt_auto(nt_buf_done) struct nt_buf lines = NT_BUF(4 * (size_t)TEXT_MAX);
    nt_buf_addf(&lines, "%s: ", c->options.plugin->name);
    for (const char *p = text; *p; p++) {
        nt_buf_add_char(&lines, *p);
        if (*p == '\n')
            nt_buf_add(&lines, "  ");
    }
    if (nt_buf_ok(&lines))
        c->call->host->message(c->call, level, nt_buf_text(&lines));
    return 0;
}

static int serve_progress(struct confined *c, struct wire_reader *r, struct nt_error *reterr)
{
    const char *label = wire_need_text(r, 1024);
    uint64_t done = wire_get_u64(r), total = wire_get_u64(r);
    if (!wire_is_whole(r))
        return broken(c, reterr);
    c->call->host->progress(c->call, label, done, total);
    return 0;
}

static int serve_debug(struct confined *c, struct wire_reader *r, struct nt_error *reterr)
{
    const char *event = wire_need_text(r, 256), *fields = wire_need_text(r, TEXT_MAX);
    if (!wire_is_whole(r))
        return broken(c, reterr);
    c->call->host->debug(c->call, event, fields);
    return 0;
}

static int serve_result(struct confined *c, struct wire_reader *r, struct nt_error *reterr)
{
    c->has_failed = wire_get_u32(r) != 0;
    wire_get_error(r, &c->failure);
    bool has_status = wire_get_u32(r) != 0;
    uint32_t status = wire_get_u32(r), by = wire_get_u32(r);
    if (!wire_is_whole(r) || by > NT_BY_PROGRAM)
        return broken(c, reterr);
    if (has_status)
        c->call->host->set_status(c->call, status, by);
    c->has_result = true;
    return 0;
}

int serve_frame(struct confined *c, uint32_t type, struct wire_reader *r, int *ret_fd,
                struct nt_error *reterr)
{
    nt_buf_reset(&c->out);
    *ret_fd = -1;
    /* Until it is loaded there is nobody whose questions these could be; it may have failed. */
    if (type == WIRE_RESULT)
        return serve_result(c, r, reterr);
    switch (type) {
    case WIRE_STARTED:
        c->has_started = true;
        return wire_is_whole(r) ? 0 : broken(c, reterr);
    case WIRE_REQUEST:
        return serve_request(c, r, reterr);
    case WIRE_UPGRADE:
        return serve_upgrade(c, r, ret_fd, reterr);
    case WIRE_CONNECT:
        return serve_connect(c, r, ret_fd, reterr);
    case WIRE_EMIT:
        return serve_emit(c, r, reterr);
    case WIRE_EMIT_JSON:
        return serve_emit_json(c, r, reterr);
    case WIRE_PROMPT:
        return serve_prompt(c, r, reterr);
    case WIRE_CONFIG:
        return serve_config(c, r, reterr);
    case WIRE_CLEAR:
        c->call->host->descriptor(c->call, 1);
        return wire_is_whole(r) ? give_ok(c) : broken(c, reterr);
    case WIRE_OPEN:
        return serve_open(c, r, reterr);
    case WIRE_LOOP:
        return serve_loop(c, r, reterr);
    case WIRE_WATCH_SIGNAL:
        return streams_watch_signal(c, r) < 0 ? broken(c, reterr) : 0;
    case WIRE_STREAM_GRANT:
    case WIRE_STREAM_WRITE:
    case WIRE_STREAM_FINISH:
    case WIRE_STREAM_CANCEL:
        return streams_frame(c, type, r) < 0 ? broken(c, reterr) : 0;
    case WIRE_MESSAGE:
        return serve_message(c, r, reterr);
    case WIRE_PROGRESS:
        return serve_progress(c, r, reterr);
    case WIRE_DEBUG:
        return serve_debug(c, r, reterr);
    default:
        return broken(c, reterr);
    }
}
