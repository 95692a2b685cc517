/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox_state.c - stop and start, and what the narrow wire calls hibernate and resume: the layer
 * of a stopped workspace is its snapshot, "sn_" with the letters of "ws_". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/serve/act.h"
#include "plugins/serve/api/routes.h"
#include "plugins/serve/api/sandbox.h"
#include "plugins/serve/health.h"
#include "plugins/serve/store/store.h"
#include "sdk/error.h"

#define GRACE_MS 10000
#define GRACE_MAX_MS 3600000
#define DOUBT_MS 1000 /* for a row to say that its guest has ended */
#define DOUBT_STEP_MS 10
#define DOUBT_INSPECT_MS 300

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

static void on_start_found(struct exchange *x, const struct workspace *ws, void *data);

/* A row that says "running" is believed when the guest says so, too. The row of one that was killed
 * a moment ago is about to change: that is waited for, and then it is started. */
struct doubt {
    struct exchange *x;
    struct nt_timer *timer;
    int64_t until_ms;
    int64_t inspect_ms; /* from then on the engine is asked: its event may have been lost */
    char id[44];
};

static int64_t now_of(const struct doubt *d)
{
    struct nt_loop *loop = exchange_server(d->x)->loop;
    return loop->ops->now_ms(loop);
}

static void on_doubt_time(void *data);

static void on_doubt_found(void *data, const struct workspace *ws, const struct nt_error *error)
{
    struct doubt *d = data;
    struct exchange *x = d->x;
    struct server *server = exchange_server(x);
    bool is_fresh = health_is_fresh(server, d->id);
    if (ws && ws->status == WORKSPACE_RUNNING && !is_fresh && now_of(d) < d->until_ms) {
        d->timer = server->loop->ops->timer(server->loop, DOUBT_STEP_MS, 0, on_doubt_time, d);
        if (d->timer)
            return;
    }
    if (error) {
        exchange_fail_error(x, error);
    } else if (ws && ws->status == WORKSPACE_RUNNING) {
        struct workspace shown = *ws;
        shown.unreachable |= !is_fresh;
        exchange_send_json(x, 200, sandbox_json(&shown, exchange_is_wide(x), NULL));
    } else {
        workspace_find(x, d->id, on_start_found, NULL); /* stopped by now, or gone */
    }
    free(d);
}

static void doubt_look(void *data)
{
    struct doubt *d = data;
    struct nt_error error = NT_ERROR_INIT;
    if (store_workspace_find(exchange_server(d->x)->store, exchange_principal(d->x)->org_id, d->id,
                             on_doubt_found, d, &error)
        < 0)
        on_doubt_found(d, NULL, &error);
}

static void on_doubt_inspected(void *data, const struct nt_engine_result *result)
{
    struct doubt *d = data;
    if (result->outcome == NT_OP_DONE && result->state.state == NT_WS_STOPPED) {
        struct nt_engine_event event = {
            .size = sizeof(event), .kind = NT_ENGINE_EVENT_STOPPED, .id = d->id, .reason = "ended"
        };
        workspaces_event(exchange_server(d->x), &event);
    }
    doubt_look(d);
}

static void on_doubt_time(void *data)
{
    struct doubt *d = data;
    struct server *server = exchange_server(d->x);
    server->loop->ops->timer_end(d->timer);
    d->timer = NULL;
    if (now_of(d) >= d->inspect_ms) {
        struct nt_engine_call call = {
            .size = sizeof(call), .key = "doubt", .done = on_doubt_inspected, .data = d
        };
        d->inspect_ms = INT64_MAX;
        if (server->engine_ops->inspect(server->engine, &call, d->id))
            return;
    }
    doubt_look(d);
}

static void ask_guest(struct exchange *x, const struct workspace *ws)
{
    struct server *server = exchange_server(x);
    struct nt_error error = NT_ERROR_INIT;
    struct doubt *d = calloc(1, sizeof(*d));
    if (d) {
        d->x = x;
        nt_copy_text(d->id, sizeof(d->id), ws->id);
        d->inspect_ms = now_of(d) + HEALTH_MS + DOUBT_INSPECT_MS;
        d->until_ms = now_of(d) + HEALTH_MS + DOUBT_MS;
        health_doubt(server, ws->id);
        if (health_ask(server, &(const char *){ d->id }, 1, doubt_look, d))
            return;
    }
    free(d);
    nt_fail(&error, NT_E_MEMORY, "no memory to ask the workspace");
    exchange_fail_error(x, &error);
}

static void on_start_found(struct exchange *x, const struct workspace *ws, void *data)
{
    struct act_options options = { .kind = ACT_START, .done = on_stopped, .data = x };
    struct nt_error error = NT_ERROR_INIT;
    if (ws->status == WORKSPACE_RUNNING) {
        ask_guest(x, ws);
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
