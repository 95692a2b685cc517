/* SPDX-License-Identifier: Apache-2.0 */
/* clone.c - POST /v1/sandboxes/{}/clone (wide form only): git clones a repository inside the
 * workspace, which may reach that one host and port while it does. Git of the host never sees a
 * foreign repository. The answer is JSON lines,
 * {"type":"output","stream","data"} as it comes and {"type":"exit","exit_code"} last. */
#include <stdlib.h>
#include <string.h>

#include "plugins/serve/api/answer.h"
#include "plugins/serve/api/clone_url.h"
#include "plugins/serve/api/routes.h"
#include "plugins/serve/api/utf8_text.h"
#include "plugins/serve/server.h"
#include "plugins/serve/way-out/way_out.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define LIMIT_MS (INT64_C(3600) * 1000)
#define FRAME_MEMORY 16384

/* One clone; lives until both sides have ended. */
struct clone {
    struct net_request *req;
    struct guest_op *op;
    struct way_out_rule *rule;
    char request_id[72];
    struct utf8_text text[2];
    bool has_head, is_answered;
    bool owes_consumed;
};

static void clone_check(struct clone *c)
{
    if (c->req || c->op)
        return;
    free(c);
}

static uint64_t send_line(struct clone *c, json_t *line /* taken */)
{
    nt_autofree char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
    json_decref(line);
    if (!text) {
        c->is_answered = true;
        net_respond_abort(c->req);
        return 1;
    }
    struct nt_buf out = NT_BUF(4 * 1024 * 1024);
    nt_buf_add(&out, text);
    nt_buf_add_char(&out, '\n');
    uint64_t credit = net_respond_write(c->req, (struct nt_bytes){ nt_buf_text(&out), out.size });
    nt_buf_done(&out);
    return credit;
}

static void send_head(struct clone *c)
{
    struct net_header headers[EXCHANGE_HEADERS + 1];
    uint32_t count = exchange_headers_for(c->request_id, headers);
    headers[count++] = (struct net_header){ "Content-Type", "application/x-ndjson" };
    if (!c->has_head)
        net_respond_head(c->req, 200, headers, count, -1);
    c->has_head = true;
}

static uint64_t send_output(struct clone *c, int i, const struct nt_buf *text)
{
    if (!text->size)
        return 1;
    json_t *line = json_pack("{s:s,s:s}", "type", "output", "stream", i ? "stderr" : "stdout");
    json_object_set_new(line, "data", json_stringn_nocheck(nt_buf_text(text), text->size));
    return send_line(c, line);
}

static void finish(struct clone *c, int exit_code)
{
    if (!c->req || c->is_answered)
        return;
    send_head(c);
    for (int i = 0; i < 2; i++) {
        struct nt_buf text = NT_BUF(16);
        utf8_text_end(&c->text[i], &text);
        send_output(c, i, &text);
        nt_buf_done(&text);
    }
    send_line(c, json_pack("{s:s,s:i}", "type", "exit", "exit_code", exit_code));
    if (!c->is_answered)
        net_respond_end(c->req);
    c->is_answered = true;
}

/* --- the guest ----------------------------------------------------------------------------- */

static void on_frame(void *data, const struct nt_g_frame *frame)
{
    struct clone *c = data;
    struct nt_error error = NT_ERROR_INIT;
    struct guest_fields f;
    if (!c->req || c->is_answered)
        return;
    if (guest_fields_read(frame, &f, &error) < 0)
        guest_op_cancel(c->op);
    else if (frame->type == NT_G_STARTED)
        send_head(c);
    else if (frame->type == NT_G_EXIT)
        finish(c, guest_exit_code(&f));
}

static void on_bytes(void *data, uint16_t type, struct nt_bytes bytes)
{
    struct clone *c = data;
    int i = type == NT_G_STDERR;
    uint64_t credit = 1;
    if (c->req && c->has_head && !c->is_answered) {
        struct nt_buf text = NT_BUF(UTF8_TEXT_MAX(NT_G_FRAME_MAX));
        utf8_text_add(&c->text[i], bytes.data, bytes.size, &text);
        credit = send_output(c, i, &text);
        nt_buf_done(&text);
    }
    if (credit)
        guest_op_consumed(c->op);
    else
        c->owes_consumed = true;
}

static void fail(struct clone *c, const struct nt_error *error)
{
    int status = error ? guest_not_started_status(error) : 0;
    if (!c->req || c->is_answered)
        return;
    if (status) {
        struct nt_buf text = NT_BUF(512);
        nt_buf_addf(&text, "nanoterm: %s\n", error->message);
        send_head(c);
        send_output(c, 1, &text);
        nt_buf_done(&text);
        finish(c, status);
    } else if (c->has_head) {
        c->is_answered = true;
        net_respond_abort(c->req); /* no exit line: the peer sees that the end is missing */
    } else {
        struct guest_failure f = error ? guest_failure_of(error, GUEST_EXEC)
                                       : (struct guest_failure){ 502, 0, "exec_failed" };
        c->is_answered = true;
        answer_raw_error(c->req, c->request_id, f.status, f.code,
                         error ? error->message : "git did not start");
    }
}

static void on_end(void *data, const struct nt_error *error)
{
    struct clone *c = data;
    c->op = NULL;
    c->owes_consumed = false;
    /* from here the workspace reaches nothing that it did not reach before */
    way_out_forget(c->rule);
    c->rule = NULL;
    fail(c, error);
    clone_check(c);
}

static const struct guest_events guest_events = { .frame = on_frame,
                                                  .bytes = on_bytes,
                                                  .end = on_end };

/* --- the client ---------------------------------------------------------------------------- */

static void on_writable(void *data, struct net_request *req, uint64_t credit)
{
    struct clone *c = data;
    if (!c->owes_consumed)
        return;
    c->owes_consumed = false;
    if (c->op)
        guest_op_consumed(c->op);
}

static void on_done(void *data, struct net_request *req, const struct nt_error *reason)
{
    struct clone *c = data;
    c->req = NULL;
    if (c->op)
        guest_op_cancel(c->op);
    clone_check(c);
}

static const struct net_request_events request_events = { .writable = on_writable,
                                                          .done = on_done };

/* What was asked for, checked. */
struct wanted {
    const char *url, *branch, *path;
    struct clone_url where;
};

static const char *text_at(json_t *json, const char *key)
{
    json_t *value = json_object_get(json, key);
    const char *text = json_string_value(value);
    return text && strlen(text) == json_string_length(value) ? text : NULL;
}

static int wanted_read(json_t *json, struct wanted *ret, struct nt_error *reterr)
{
    struct wanted w = {
        text_at(json, "url"), text_at(json, "branch"), text_at(json, "path"), { { 0 }, 0 }
    };
    if (!w.url)
        return nt_fail(reterr, NT_E_INVALID, "url must be a text");
    if (clone_url_check(w.url, &w.where, reterr) < 0)
        return -1;
    if (w.branch && clone_branch_check(w.branch, reterr) < 0)
        return -1;
    if (!w.path)
        w.path = "/workspace";
    if (!*w.path || strlen(w.path) >= 4096)
        return nt_fail(reterr, NT_E_INVALID, "path must have 1 to 4095 bytes");
    *ret = w;
    return 0;
}

/* git's command line and environment: no shell, no prompt, no transport but HTTP, no way but the
 * proxy. */
static size_t clone_frame(const struct wanted *wanted, const struct workspace *ws, void *memory,
                          size_t cap)
{
    static const char *const env[] = {
        "GIT_TERMINAL_PROMPT=0",
        "GIT_ASKPASS=/bin/false",
        "GIT_ALLOW_PROTOCOL=http:https",
        "http_proxy=http://127.0.0.1:3128",
        "https_proxy=http://127.0.0.1:3128",
        "all_proxy=http://127.0.0.1:3128",
        "HTTP_PROXY=http://127.0.0.1:3128",
        "HTTPS_PROXY=http://127.0.0.1:3128",
        "ALL_PROXY=http://127.0.0.1:3128",
        "no_proxy=",
        "NO_PROXY=",
    };
    _Static_assert(NT_WAY_OUT_PORT == 3128, "the proxy's address above");
    struct nt_g_writer w = nt_g_begin(memory, cap, NT_G_EXEC);
    nt_g_add_text(&w, NT_GT_ARG, "git");
    nt_g_add_text(&w, NT_GT_ARG, "clone");
    nt_g_add_text(&w, NT_GT_ARG, "--progress");
    if (wanted->branch) {
        nt_g_add_text(&w, NT_GT_ARG, "-b");
        nt_g_add_text(&w, NT_GT_ARG, wanted->branch);
    }
    nt_g_add_text(&w, NT_GT_ARG, "--");
    nt_g_add_text(&w, NT_GT_ARG, wanted->url);
    nt_g_add_text(&w, NT_GT_ARG, wanted->path);
    for (size_t i = 0; i < sizeof(env) / sizeof(env[0]); i++)
        nt_g_add_text(&w, NT_GT_ENV, env[i]);
    if (ws->cwd[0])
        nt_g_add_text(&w, NT_GT_CWD, ws->cwd);
    nt_g_add_number(&w, NT_GT_TIMEOUT_MS, LIMIT_MS);
    return nt_g_done(&w);
}

static int clone_new(struct exchange *x, const struct workspace *ws, const struct wanted *wanted,
                     struct nt_error *reterr)
{
    struct server *server = exchange_server(x);
    uint8_t memory[FRAME_MEMORY];
    size_t size = clone_frame(wanted, ws, memory, sizeof(memory));
    struct clone *c = calloc(1, sizeof(*c));
    if (!c || !size) {
        free(c);
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    }
    nt_copy_text(c->request_id, sizeof(c->request_id), exchange_request_id(x));
    c->rule = way_out_allow(server->way_out, ws->id, wanted->where.host, wanted->where.port,
                            exchange_principal(x)->is_local, reterr);
    if (!c->rule) {
        free(c);
        return -1;
    }
    if (workspace_guest(server, ws, (struct nt_bytes){ memory, size }, &guest_events, c, &c->op,
                        reterr)
        < 0) {
        way_out_forget(c->rule);
        free(c);
        return -1;
    }
    c->req = exchange_request(x);
    exchange_detach(x);
    net_request_handle(c->req, &request_events, c);
    return 0;
}

static void found(struct exchange *x, const struct workspace *ws, void *data)
{
    struct nt_error error = NT_ERROR_INIT;
    struct wanted wanted;
    if (!exchange_request(x))
        exchange_send_empty(x, 204); /* the peer has left meanwhile */
    else if (!exchange_is_wide(x))
        exchange_fail(x, 404, "not_found", "no such path");
    else if (wanted_read(exchange_json(x), &wanted, &error) < 0
             || clone_new(x, ws, &wanted, &error) < 0)
        answer_guest_error(x, &error, GUEST_EXEC);
}

static void handler(struct server *server, struct exchange *x)
{
    workspace_find(x, exchange_param(x, 0), found, NULL);
}

static const struct route rows[] = {
    { "POST", "/v1/sandboxes/{}/clone", handler, ROUTE_JSON, 0 },
};
const struct routes clone_routes = { rows, sizeof(rows) / sizeof(rows[0]) };
