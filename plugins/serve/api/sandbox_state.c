/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox_state.c - stop and start, and what the narrow wire calls hibernate and resume: the layer
 * of a stopped workspace is its snapshot, "sn_" with the letters of "ws_". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/serve/act.h"
#include "plugins/serve/api/routes.h"
#include "plugins/serve/api/sandbox.h"
#include "sdk/error.h"

#define GRACE_MS 10000
#define GRACE_MAX_MS 3600000

static int refuse(struct nt_error *reterr, const char *name, const char *why)
{
    nt_fail(reterr, NT_E_CONFLICT, "%s %s", name, why);
    nt_copy_text(reterr->server_code, sizeof(reterr->server_code), "sandbox_not_ready");
    return -1;
}

/* --- stop ---------------------------------------------------------------------------------- */

static void on_stopped(void *data, const struct workspace *ws, const struct nt_error *error)
{
    struct exchange *x = data;
    if (error)
        exchange_fail_error(x, error);
    else
        exchange_send_json(x, 200, sandbox_json(ws, exchange_is_wide(x), NULL));
}

/* The size of its layer is asked for last; not counted is 0. */
struct hibernated {
    struct exchange *x;
    struct server *server;
    struct workspace ws;
};

static void on_sized(void *data, const struct nt_engine_result *result)
{
    struct hibernated *h = data;
    uint64_t size = result && result->outcome == NT_OP_DONE ? result->state.disk_used_bytes : 0;
    exchange_send_json(h->x, 200, sandbox_snapshot_json(&h->ws, size > INT64_MAX ? 0 : size));
    workspace_done(&h->ws);
    free(h);
}

static void send_snapshot(struct exchange *x, const struct workspace *ws)
{
    struct server *server = exchange_server(x);
    struct nt_error error = NT_ERROR_INIT;
    struct hibernated *h = calloc(1, sizeof(*h));
    if (!h || workspace_copy(ws, &h->ws, &error) < 0) {
        free(h);
        exchange_send_json(x, 200, sandbox_snapshot_json(ws, 0));
        return;
    }
    h->x = x;
    h->server = server;
    struct nt_engine_call call = {
        .size = sizeof(call), .key = "size", .done = on_sized, .data = h
    };
    if (!server->engine_ops->inspect(server->engine, &call, h->ws.id))
        on_sized(h, NULL);
}

static void on_hibernated(void *data, const struct workspace *ws, const struct nt_error *error)
{
    struct exchange *x = data;
    if (error)
        exchange_fail_error(x, error);
    else
        send_snapshot(x, ws);
}

static int grace_of(const json_t *body, int64_t *ret, struct nt_error *reterr)
{
    const json_t *grace = json_object_get(body, "grace_ms");
    *ret = GRACE_MS;
    if (!grace || json_is_null(grace))
        return 0;
    if (!json_is_integer(grace) || json_integer_value(grace) < 0
        || json_integer_value(grace) > GRACE_MAX_MS)
        return nt_fail(reterr, NT_E_INVALID, "grace_ms must be from 0 to %d", GRACE_MAX_MS);
    *ret = json_integer_value(grace);
    return 0;
}

static void stop(struct exchange *x, const struct workspace *ws, bool hibernate)
{
    struct act_options options = { .kind = ACT_STOP,
                                   .hibernate = hibernate,
                                   .data = x,
                                   .done = hibernate ? on_hibernated : on_stopped };
    struct nt_error error = NT_ERROR_INIT;
    int status = grace_of(exchange_json(x), &options.grace_ms, &error);
    if (status == 0 && ws->status == WORKSPACE_STOPPED) { /* twice is the same as once */
        options.done(x, ws, NULL);
        return;
    }
    if (status == 0 && ws->status != WORKSPACE_RUNNING)
        status = refuse(&error, ws->name, "does not run");
    if (status == 0)
        status = act_begin(exchange_server(x), ws, &options, &error);
    if (status < 0)
        exchange_fail_error(x, &error);
}

static void on_stop_found(struct exchange *x, const struct workspace *ws, void *data)
{
    stop(x, ws, false);
}

static void on_hibernate_found(struct exchange *x, const struct workspace *ws, void *data)
{
    stop(x, ws, true);
}

static void post_stop(struct server *server, struct exchange *x)
{
    workspace_find(x, exchange_param(x, 0), on_stop_found, NULL);
}

static void post_hibernate(struct server *server, struct exchange *x)
{
    workspace_find(x, exchange_param(x, 0), on_hibernate_found, NULL);
}

/* --- start --------------------------------------------------------------------------------- */

static void on_start_found(struct exchange *x, const struct workspace *ws, void *data)
{
    struct act_options options = { .kind = ACT_START, .done = on_stopped, .data = x };
    struct nt_error error = NT_ERROR_INIT;
    if (ws->status == WORKSPACE_RUNNING) {
        exchange_send_json(x, 200, sandbox_json(ws, exchange_is_wide(x), NULL));
        return;
    }
    int status = ws->status == WORKSPACE_STOPPED ? 0 : refuse(&error, ws->name, "is not stopped");
    if (status == 0) {
        struct workspace fresh = *ws;
        fresh.notice[0] = '\0';
        status = act_begin(exchange_server(x), &fresh, &options, &error);
    }
    if (status < 0)
        exchange_fail_error(x, &error);
}

static void post_start(struct server *server, struct exchange *x)
{
    workspace_find(x, exchange_param(x, 0), on_start_found, NULL);
}

static void post_resume(struct server *server, struct exchange *x)
{
    char id[132];
    sandbox_id_of_snapshot(exchange_param(x, 0), id, sizeof(id));
    workspace_find(x, id, on_start_found, NULL);
}

static const struct route rows[] = {
    { .method = "POST",
      .pattern = "/v1/sandboxes/{}/stop",
      .handler = post_stop,
      .flags = ROUTE_JSON },
    { .method = "POST",
      .pattern = "/v1/sandboxes/{}/start",
      .handler = post_start,
      .flags = ROUTE_JSON },
    { .method = "POST",
      .pattern = "/v1/sandboxes/{}/hibernate",
      .handler = post_hibernate,
      .flags = ROUTE_JSON },
    { .method = "POST",
      .pattern = "/v1/sandboxes/{}/resume",
      .handler = post_resume,
      .flags = ROUTE_JSON },
};
const struct routes sandbox_state_routes = { rows, sizeof(rows) / sizeof(rows[0]) };
