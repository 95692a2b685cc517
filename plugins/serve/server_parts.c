/* SPDX-License-Identifier: Apache-2.0 */
/* server_parts.c - what a server is made of: loop, store, way out and engine are opened here in
 * order, compared with what there is, and closed in the opposite order, each waited for. */
#include <stdio.h>
#include <stdlib.h>

#include "plugins/serve/api/cli_auth.h"
#include "plugins/serve/api/file_urls.h"
#include "plugins/serve/health.h"
#include "plugins/serve/life.h"
#include "plugins/serve/ports.h"
#include "plugins/serve/store/store.h"
#include "plugins/serve/uploads/uploads.h"
#include "plugins/serve/way-out/way_out.h"
#include "sdk/error.h"

#define CLOSE_MS 5000

static void on_wake(uv_async_t *handle)
{
    (void)handle;
}

static void on_prepare(uv_prepare_t *handle)
{
    struct life *life = handle->data;
    exchange_bury(&life->server.dead_exchanges);
}

static void on_engine_event(void *data, const struct nt_engine_event *event)
{
    workspaces_event(data, event);
}

static void on_accept_stream(void *data, const char *id, struct nt_stream *stream,
                             const struct nt_stream_events **ret_events, void **ret_data)
{
    struct server *server = data;
    struct nt_error error = NT_ERROR_INIT;
    (void)ret_events;
    (void)ret_data;
    int fd = server->way_out && !server->stopping ? stream->ops->take_fd(stream, &error) : -1;
    if (fd >= 0)
        way_out_accept(server->way_out, id, fd);
}

static bool has_internet(void *data, const char *workspace_id)
{
    return workspaces_has_internet(data, workspace_id);
}

static int open_engine(struct life *life, struct nt_error *reterr)
{
    struct server *server = &life->server;
    if (snprintf(life->engine_dir, sizeof(life->engine_dir), "%s/engine-%s", life->options.data_dir,
                 server->engine_name)
        >= (int)sizeof(life->engine_dir))
        return nt_fail(reterr, NT_E_LIMIT, "the path of the data folder is too long");
    if (!life->options.given
        && (folder_make(life->engine_dir, reterr) < 0
            || folder_make(life->options.runtime_dir, reterr) < 0))
        return -1;
    struct nt_engine_host host = {
        .size = sizeof(host),
        .loop = server->loop,
        .data_dir = life->engine_dir,
        .runtime_dir = life->options.runtime_dir,
        .libexec_dir = life->options.libexec_dir,
        .event = on_engine_event,
        .accept_stream = on_accept_stream,
        .debug = life_debug,
        .data = life, /* the server is its first member */
    };
    return server->engine_ops->open(&host, &server->engine, reterr);
}

static void tell_store(const struct life *life, const struct store_opened *opened)
{
    if (opened->origin == STORE_REBUILT)
        life_say(life,
                 "The database was damaged: it is now %s%s, and a new one is made from the "
                 "workspaces on the disk.",
                 life->options.given ? "store/" : "", opened->moved_to);
    if (!life->options.embedded)
        life_say(life, "The owner's API key is in %s/owner.key%s", life->options.data_dir,
                 opened->made_owner_key ? " (new)" : "");
}

int parts_open(struct life *life, struct nt_error *reterr)
{
    struct server *server = &life->server;
    struct store_opened opened;
    const struct server_given *given = life->options.given;
    if (!given && folder_make(life->options.data_dir, reterr) < 0)
        return nt_wrap(reterr, "the data folder");
    if (!given) {
        life->data_lock = folder_lock(life->options.data_dir, reterr);
        if (life->data_lock < 0)
            return -1;
    }
    struct store_place place = { .dir = given ? STORE_HERE : life->options.data_dir,
                                 .owner_key = given ? given->owner_key : NULL };
    if (store_open(&life->uv, &place, &server->store, &opened, reterr) < 0)
        return -1;
    snprintf(server->owner_org, sizeof(server->owner_org), "%s", opened.owner_org);
    tell_store(life, &opened);
    if (file_url_key_load(place.dir, server->url_key, reterr) < 0
        || uploads_open(server, place.dir, reterr) < 0)
        return -1;
    struct way_out_options way_out = { .has_internet = has_internet,
                                       .debug = NULL,
                                       .data = server };
    if (way_out_new(&life->uv, &way_out, &server->way_out, reterr) < 0)
        return -1;
    return open_engine(life, reterr);
}

static void on_reconciled(struct server *server, const struct nt_error *error)
{
    if (error)
        life_of(server)->reconcile_error = *error;
    else
        ports_reconcile(server);
    server_wake(server);
}

int parts_reconcile(struct life *life, struct nt_error *reterr)
{
    life->reconcile_error = (struct nt_error)NT_ERROR_INIT;
    workspaces_reconcile(&life->server, on_reconciled);
    while (!life->server.reconciled)
        uv_run(&life->uv, UV_RUN_ONCE);
    if (!life->reconcile_error.code)
        return 0;
    *reterr = life->reconcile_error;
    return nt_wrap(reterr, "looking for the workspaces there are");
}

static void on_part_closed(void *data)
{
    struct life *life = data;
    life->closing--;
}

static void run_until_closed(struct life *life)
{
    while (life->closing > 0)
        uv_run(&life->uv, UV_RUN_ONCE);
}

void parts_close(struct life *life)
{
    struct server *server = &life->server;
    if (life->idle) /* it would count connections of listeners that are gone */
        server->loop->ops->timer_end(life->idle);
    life->idle = NULL;
    for (struct listener *l = server->listeners; l; l = l->next) {
        life->closing++;
        net_server_free(l->net, on_part_closed, life);
    }
    run_until_closed(life);
    if (server->way_out) {
        life->closing++;
        way_out_free(server->way_out, on_part_closed, life);
        run_until_closed(life);
    }
    health_close(server);
    uploads_close(server);
    if (server->engine)
        server->engine_ops->close(server->engine);
    if (server->store) {
        life->closing++;
        store_close(server->store, on_part_closed, life);
        run_until_closed(life);
    }
    if (life->options.given)
        life->options.given->end();
    exchange_bury(&server->dead_exchanges);
    while (server->listeners) {
        struct listener *next = server->listeners->next;
        free(server->listeners);
        server->listeners = next;
    }
    net_tls_free(server->tls);
    server->tls = NULL;
    workspaces_forget(server);
    cli_auth_end(server);
}

static void on_close_limit(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

void parts_close_loop(struct life *life)
{
    struct server *server = &life->server;
    if (server->loop) {
        for (size_t i = 0; i < 3; i++)
            server->loop->ops->watch_end(life->signals[i]);
        server->loop->ops->timer_end(life->idle);
        server->loop->ops->timer_end(life->drain);
        life->closing++;
        net_loop_free(server->loop, on_part_closed, life);
        run_until_closed(life);
    }
    uv_close((uv_handle_t *)&life->prepare, NULL);
    uv_close((uv_handle_t *)&life->wake, NULL);
    /* What others still have to close must not keep the process for ever. */
    uv_timer_t limit;
    uv_timer_init(&life->uv, &limit);
    uv_timer_start(&limit, on_close_limit, CLOSE_MS, 0);
    uv_unref((uv_handle_t *)&limit);
    uv_run(&life->uv, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&limit, NULL);
    uv_run(&life->uv, UV_RUN_NOWAIT);
    if (uv_loop_close(&life->uv) < 0)
        life_debug(life, "serve.loop_not_empty", "");
}

int parts_open_loop(struct life *life, struct nt_error *reterr)
{
    int status = uv_loop_init(&life->uv);
    if (status < 0)
        return nt_fail_sys(reterr, -status, "cannot make the event loop");
    life->prepare.data = life;
    life->wake.data = life;
    uv_prepare_init(&life->uv, &life->prepare);
    uv_prepare_start(&life->prepare, on_prepare);
    status = uv_async_init(&life->uv, &life->wake, on_wake);
    if (status < 0) {
        uv_close((uv_handle_t *)&life->prepare, NULL);
        uv_run(&life->uv, UV_RUN_DEFAULT);
        uv_loop_close(&life->uv);
        return nt_fail_sys(reterr, -status, "cannot make the event loop");
    }
    life->server.uv = &life->uv;
    life->server.loop = net_loop_new(&life->uv, reterr);
    if (life->server.loop)
        return 0;
    parts_close_loop(life);
    return -1;
}

void parts_finish_asked(struct life *life)
{
    while (life->server.store && store_in_flight(life->server.store) > 0)
        uv_run(&life->uv, UV_RUN_ONCE);
}
