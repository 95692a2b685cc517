/* SPDX-License-Identifier: Apache-2.0 */
/* ports_ready.c - POST /v1/sandboxes/{}/ports/{}/readiness: asks a port inside again and again
 * until it answers. The answer is 200 in any case, and comes before clients give up (30 s). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/serve/api/port_json.h"
#include "plugins/serve/api/routes.h"
#include "plugins/serve/api/sandbox.h"
#include "sdk/buf.h"
#include "sdk/error.h"
#include "sdk/json.h"

#define LONGEST_MS 24000
#define TRY_MS 3000 /* for one answer */

struct ready {
    struct exchange *x;
    struct server *server;
    struct workspace ws; /* its texts are not used */
    struct guest_op *op;
    struct nt_timer *timer; /* the limit of a try, or the pause before the next one */
    char path[1024];
    char answer[16]; /* the first bytes of "HTTP/1.1 200" */
    size_t answer_size;
    char why[128];
    int64_t begun_ms, limit_ms, interval_ms;
    uint32_t attempts;
    uint16_t port;
    bool is_http, is_ready, is_lost, is_connected;
};

static int64_t now_of(const struct ready *r)
{
    return r->server->loop->ops->now_ms(r->server->loop);
}

static void ready_end(struct ready *r)
{
    json_t *body = json_pack(
        "{s:b, s:b, s:b, s:s, s:i, s:s, s:o, s:I, s:I}", "ready", r->is_ready, "route_ready", 1,
        "service_ready", r->is_ready, "sandbox_id", r->ws.id, "port", (int)r->port, "kind",
        r->is_http ? "http" : "tcp", "checked_at", sandbox_time_json(server_unix_ms()),
        "elapsed_ms", (json_int_t)(now_of(r) - r->begun_ms), "attempts", (json_int_t)r->attempts);
    if (r->is_http)
        json_object_set_new(body, "path", json_string(r->path));
    if (!r->is_ready) {
        json_object_set_new(body, "code", json_string("service_not_ready"));
        json_object_set_new(body, "error", json_string(r->why));
        json_object_set_new(body, "suggested_action",
                            json_string("start the service in the workspace, or wait longer"));
    }
    r->server->loop->ops->timer_end(r->timer);
    exchange_send_json(r->x, 200, body);
    free(r);
}

static void try_once(void *data);

static void try_again(struct ready *r)
{
    r->server->loop->ops->timer_end(r->timer);
    r->timer = NULL;
    int64_t left = r->limit_ms - (now_of(r) - r->begun_ms);
    if (!r->is_ready && !r->is_lost && left > 0)
        r->timer = r->server->loop->ops->timer(
            r->server->loop, left < r->interval_ms ? left : r->interval_ms, 0, try_once, r);
    if (!r->timer)
        ready_end(r);
}

/* Any answer but the server's own failure counts: a page that needs a login is served, too. */
static void judge(struct ready *r)
{
    if (r->answer_size >= 12 && strncmp(r->answer, "HTTP/1.", 7) == 0 && r->answer[9] >= '1'
        && r->answer[9] <= '4')
        r->is_ready = true;
    else
        snprintf(r->why, sizeof(r->why), "port %u answered, but not with a page",
                 (unsigned)r->port);
}

static void on_frame(void *data, const struct nt_g_frame *frame)
{
    struct ready *r = data;
    if (frame->type != NT_G_OK)
        return;
    r->is_connected = true;
    if (!r->is_http) {
        r->is_ready = true;
        guest_op_cancel(r->op);
        return;
    }
    nt_auto(nt_buf_done) struct nt_buf request = NT_BUF(2048);
    nt_buf_addf(&request, "GET %s HTTP/1.1\r\nHost: localhost:%u\r\nConnection: close\r\n\r\n",
                r->path, (unsigned)r->port);
    guest_op_send(r->op, 0, (struct nt_bytes){ nt_buf_text(&request), request.size });
}

static void on_bytes(void *data, uint16_t type, struct nt_bytes bytes)
{
    (void)type;
    struct ready *r = data;
    size_t n = sizeof(r->answer) - r->answer_size;
    n = bytes.size < n ? bytes.size : n;
    memcpy(r->answer + r->answer_size, bytes.data, n);
    r->answer_size += n;
    guest_op_consumed(r->op);
    if (r->answer_size >= 12)
        guest_op_cancel(r->op);
}

static void on_half(void *data)
{
    struct ready *r = data;
    guest_op_cancel(r->op);
}

static void on_end(void *data, const struct nt_error *error)
{
    struct ready *r = data;
    r->op = NULL;
    if (r->is_http && r->is_connected)
        judge(r);
    else if (error && !r->is_ready)
        nt_copy_text(r->why, sizeof(r->why), error->message);
    try_again(r);
}

static const struct guest_events events = {
    .frame = on_frame, .bytes = on_bytes, .half = on_half, .end = on_end
};

static void on_slow(void *data)
{
    struct ready *r = data;
    if (r->op)
        guest_op_cancel(r->op);
}

static void try_once(void *data)
{
    struct ready *r = data;
    struct nt_error error = NT_ERROR_INIT;
    r->server->loop->ops->timer_end(r->timer);
    r->attempts++;
    r->answer_size = 0;
    r->is_connected = false;
    r->timer = r->server->loop->ops->timer(r->server->loop, TRY_MS, 0, on_slow, r);
    if (port_dial(r->server, &r->ws, r->port, &events, r, &r->op, &error) < 0) {
        nt_copy_text(r->why, sizeof(r->why), error.message);
        try_again(r);
    }
}

static void on_lost(void *data)
{
    struct ready *r = data;
    r->is_lost = true;
    if (r->op)
        guest_op_cancel(r->op);
}

static int64_t number_of(const json_t *body, const char *name, int64_t fallback, int64_t factor,
                         int64_t max)
{
    const json_t *value = json_object_get(body, name);
    double number = json_is_number(value) ? json_number_value(value) : -1;
    if (number < 0)
        return fallback;
    return number * (double)factor > (double)max ? max : (int64_t)(number * (double)factor);
}

static bool is_path(const char *path)
{
    for (const char *c = path; *c; c++)
        if (*c <= ' ' || *c == 0x7f) /* it becomes part of a request line */
            return false;
    return path[0] == '/' && strlen(path) < sizeof(((struct ready *)NULL)->path);
}

static void found(struct exchange *x, const struct workspace *ws, void *data)
{
    (void)data;
    const json_t *body = exchange_json(x);
    const char *kind = nt_json_text(body, "kind"), *path = nt_json_text(body, "path");
    uint16_t port = port_of_path(x, 1);
    if (!port || !port_is_running(x, ws))
        return;
    if ((kind && strcmp(kind, "tcp") && strcmp(kind, "http")) || (path && !is_path(path))) {
        exchange_fail(x, 400, "invalid_request",
                      "kind must be tcp or http, and path begin with / and have no spaces");
        return;
    }
    struct ready *r = calloc(1, sizeof(*r));
    if (!r) {
        exchange_fail(x, 500, "internal_error", "out of memory");
        return;
    }
    *r = (struct ready){
        .x = x, .server = exchange_server(x), .ws = workspace_without_texts(ws), .port = port
    };
    r->is_http = kind && strcmp(kind, "http") == 0;
    snprintf(r->path, sizeof(r->path), "%s", path ? path : "/");
    r->limit_ms = number_of(body, "timeout_secs", LONGEST_MS, 1000, LONGEST_MS);
    r->interval_ms = number_of(body, "interval_ms", 500, 1, LONGEST_MS);
    r->interval_ms = r->interval_ms < 20 ? 20 : r->interval_ms;
    r->begun_ms = now_of(r);
    exchange_on_lost(x, on_lost, r);
    try_once(r);
}

static void post_ready(struct server *server, struct exchange *x)
{
    (void)server;
    workspace_find(x, exchange_param(x, 0), found, NULL);
}

static const struct route rows[] = {
    { "POST", "/v1/sandboxes/{}/ports/{}/readiness", post_ready, ROUTE_JSON, 0 },
};
const struct routes port_ready_routes = { rows, sizeof(rows) / sizeof(rows[0]) };
