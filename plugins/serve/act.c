/* SPDX-License-Identifier: Apache-2.0 */
/* act.c - one thing that is done to one workspace, step by step: intent, engine, guest, outcome. */
#include "act.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/serve/health.h"
#include "plugins/serve/ports.h"
#include "plugins/serve/record.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define UNREACHABLE_MS 1000
#define ENGINE_MS 180000 /* the first workspace of a user makes the skeleton of the host image */

struct act {
    struct server *server;
    struct act *next;
    struct workspace ws; /* as it will be written */
    struct act_options options;
    struct nt_error error; /* of the engine, kept while it is undone */
    bool is_health_known;
    char key[80];
    char hostname[44];
};

static const char *const what_of[] = { "create", "start", "stop", "remove", "undo" };

bool act_is_busy(const struct server *server, const char *ws_id)
{
    for (const struct act *act = server->acts; act; act = act->next)
        if (strcmp(act->ws.id, ws_id) == 0)
            return true;
    return false;
}

static void act_end(struct act *act, const struct nt_error *error)
{
    struct server *server = act->server;
    for (struct act **at = &server->acts; *at; at = &(*at)->next)
        if (*at == act) {
            *at = act->next;
            break;
        }
    if (!error)
        workspaces_note(server, &act->ws);
    act->options.done(act->options.data, &act->ws, error);
    workspace_done(&act->ws);
    free(act);
    server_wake(server);
}

static void on_written(void *data, const struct nt_error *error)
{
    struct act *act = data;
    if (error)
        act_end(act, error);
    else
        act_end(act, act->error.code ? &act->error : NULL);
}

static const char *event_of(const struct act *act)
{
    if (act->error.code)
        return act->options.kind == ACT_START ? "sandbox.start_failed" : "sandbox.stop_failed";
    switch (act->options.kind) {
    case ACT_CREATE:
        return "sandbox.created";
    case ACT_START:
        return "sandbox.resumed";
    case ACT_STOP:
        return act->options.hibernate ? "sandbox.hibernated" : "sandbox.stopped";
    default:
        return "sandbox.destroyed";
    }
}

/* The outcome goes to the disk. */
static void write_outcome(struct act *act)
{
    struct nt_error error = NT_ERROR_INIT;
    int status;
    if (act->options.kind == ACT_UNDO_CREATE
        || (act->options.kind == ACT_CREATE && act->error.code)) {
        status = store_workspace_undo(act->server->store, &act->ws, on_written, act, &error);
    } else {
        struct store_answer answer = { 0 };
        bool is_kept = act->options.answer && !act->error.code
                       && act->options.answer(act->options.data, &act->ws, &answer) == 0;
        status = store_workspace_put(act->server->store, &act->ws, event_of(act),
                                     is_kept ? &answer : NULL, on_written, act, &error);
    }
    if (status < 0)
        act_end(act, &error);
}

static void note_state(struct act *act, const struct nt_engine_state *state)
{
    struct workspace *ws = &act->ws;
    ws->limit_cpu = state->limit_cpu;
    ws->limit_memory = state->limit_memory;
    ws->limit_pids = state->limit_pids;
    ws->limit_disk = state->limit_disk;
    nt_copy_text(ws->base, sizeof(ws->base), state->base);
    nt_copy_text(ws->notice, sizeof(ws->notice), state->notice);
    ws->unreachable = false;
}

static struct nt_engine_call call_of(struct act *act, const char *step, nt_engine_done *done)
{
    struct server *server = act->server;
    snprintf(act->key, sizeof(act->key), "%s-%s-%" PRId64, step, act->ws.id, server_unix_ms());
    return (struct nt_engine_call){
        .size = sizeof(struct nt_engine_call),
        .key = act->key,
        .deadline_ms = server->loop->ops->now_ms(server->loop) + ENGINE_MS,
        .done = done,
        .data = act,
    };
}

/* An engine may refuse to begin (no memory). */
static void fail_to_begin(struct act *act)
{
    nt_fail(&act->error, NT_E_MEMORY, "the engine could not begin");
}

/* --- create and start ---------------------------------------------------------------------- */

/* What was made is no good: gone with it, then the outcome is written. */
static void on_undone(void *data, const struct nt_engine_result *result)
{
    struct act *act = data;
    if (result->outcome != NT_OP_DONE) {
        /* It is still there, perhaps: the intent stays, the next start of the server tries
         * again. */
        act_end(act, &act->error);
        return;
    }
    act->ws.status = WORKSPACE_DESTROYED;
    write_outcome(act);
}

static void undo_create(struct act *act)
{
    struct nt_engine_call call = call_of(act, "undo", on_undone);
    if (!act->server->engine_ops->remove(act->server->engine, &call, act->ws.id))
        act_end(act, &act->error);
}

static void fail_start(struct act *act)
{
    if (act->options.kind == ACT_CREATE) {
        undo_create(act);
    } else {
        act->ws.status = WORKSPACE_STOPPED;
        write_outcome(act);
    }
}

static void on_start_undone(void *data, const struct nt_engine_result *result)
{
    struct act *act = data;
    act->ws.status = result->outcome == NT_OP_DONE ? WORKSPACE_STOPPED : WORKSPACE_ERROR;
    write_outcome(act);
}

/* Without its settings (environment, time to live) it must not go on. */
static void fail_configure(struct act *act)
{
    nt_wrap(&act->error, "the guest did not take its settings");
    struct nt_engine_call call = call_of(act, "stop", on_start_undone);
    if (act->options.kind == ACT_CREATE
        || !act->server->engine_ops->stop(act->server->engine, &call, act->ws.id, 0))
        fail_start(act);
}

static void on_ports(void *data)
{
    struct act *act = data;
    int64_t now = server_unix_ms();
    act->ws.status = WORKSPACE_RUNNING;
    act->ws.started_at_ms = now;
    act->ws.timeout_at_ms = act->ws.timeout_ms > 0 ? now + act->ws.timeout_ms : 0;
    write_outcome(act);
}

static void on_published(void *data, const struct nt_error *error)
{
    struct act *act = data;
    if (!error) {
        on_ports(act);
        return;
    }
    act->error = *error;
    fail_configure(act);
}

static void on_configured(void *data, const struct nt_error *error)
{
    struct act *act = data;
    if (error)
        on_published(act, error);
    else if (act->options.port_count)
        ports_publish(act->server, act->ws.id, act->ws.org_id, act->options.ports,
                      act->options.port_count, on_published, act);
    else if (act->options.kind == ACT_START)
        ports_restore(act->server, act->ws.id, on_ports, act);
    else
        on_ports(act);
}

static void on_started(void *data, const struct nt_engine_result *result)
{
    struct act *act = data;
    if (result->outcome != NT_OP_DONE) {
        act->error = result->error;
        if (!act->error.code)
            nt_fail(&act->error, NT_E_UNAVAILABLE, "the engine does not know what became of %s",
                    act->ws.id);
        fail_start(act);
        return;
    }
    note_state(act, &result->state);
    if (guest_configure(act->server, &act->ws, act->ws.timeout_ms, on_configured, act, &act->error)
        < 0)
        fail_configure(act);
}

/* --- stop and remove ----------------------------------------------------------------------- */

static void on_inspected(void *data, const struct nt_engine_result *result)
{
    struct act *act = data;
    if (result->outcome == NT_OP_DONE && result->state.state == NT_WS_STOPPED) {
        act->error.code = 0;
        act->ws.status = WORKSPACE_STOPPED;
    }
    write_outcome(act);
}

static void on_stopped(void *data, const struct nt_engine_result *result)
{
    struct act *act = data;
    if (result->outcome == NT_OP_DONE) {
        act->ws.status = WORKSPACE_STOPPED;
        act->ws.timeout_at_ms = 0;
        act->ws.unreachable = false;
        write_outcome(act);
        return;
    }
    act->error = result->error;
    if (!act->error.code)
        nt_fail(&act->error, NT_E_UNAVAILABLE, "the engine does not know whether %s has stopped",
                act->ws.id);
    struct nt_engine_call call = call_of(act, "inspect", on_inspected);
    if (!act->server->engine_ops->inspect(act->server->engine, &call, act->ws.id))
        write_outcome(act);
}

static void on_removed(void *data, const struct nt_engine_result *result)
{
    struct act *act = data;
    if (result->outcome != NT_OP_DONE) {
        /* Removal is a stored intention: it stays, and the next start of the server goes on with
         * it. */
        act->error = result->error;
        if (!act->error.code)
            nt_fail(&act->error, NT_E_UNAVAILABLE, "the engine does not know whether %s is gone",
                    act->ws.id);
        act_end(act, &act->error);
        return;
    }
    act->ws.status = WORKSPACE_DESTROYED;
    act->ws.timeout_at_ms = 0;
    write_outcome(act);
}

/* --- the engine's turn --------------------------------------------------------------------- */

static struct nt_engine_op *engine_create(struct act *act)
{
    struct server *server = act->server;
    const struct workspace *ws = &act->ws;
    snprintf(act->hostname, sizeof(act->hostname), "%s", ws->id);
    for (char *c = act->hostname; *c; c++)
        if (*c == '_') /* not a letter of host names */
            *c = '-';
    nt_autofree char *record =
        record_first(server, ws, act->options.ports, act->options.port_count);
    struct nt_engine_spec spec = {
        .size = sizeof(spec),
        .flags = act->options.spec_flags
                 | ((server->engine_ops->caps & NT_ENGINE_WAY_OUT) ? NT_SPEC_WAY_OUT : 0),
        .id = ws->id,
        .hostname = act->hostname,
        .image = ws->image,
        .cpu_millis = ws->vcpus * 1000,
        .pids = ws->pids,
        .memory_bytes = (uint64_t)ws->memory_mb << 20,
        .disk_bytes = (uint64_t)ws->disk_mb << 20,
        .record = record,
    };
    struct nt_engine_call call = call_of(act, "create", on_started);
    return server->engine_ops->create(server->engine, &call, &spec);
}

/* A guest that does not answer cannot ask its programs to end. It gets a moment: perhaps it was
 * only slow. */
static int64_t grace_of(const struct act *act)
{
    int64_t ms = act->options.grace_ms;
    return ms > UNREACHABLE_MS && health_is_unreachable(act->server, act->ws.id) ? UNREACHABLE_MS
                                                                                 : ms;
}

static void on_intent(void *data, const struct nt_error *error);

/* Whether its guest answers is known now. */
static void on_health(void *data)
{
    struct act *act = data;
    act->is_health_known = true;
    on_intent(act, NULL);
}

static void on_intent(void *data, const struct nt_error *error)
{
    struct act *act = data;
    if (error) {
        act_end(act, error);
        return;
    }
    struct server *server = act->server;
    struct nt_engine_call call;
    struct nt_engine_op *op = NULL;
    switch (act->options.kind) {
    case ACT_CREATE:
        op = engine_create(act);
        break;
    case ACT_START:
        call = call_of(act, "start", on_started);
        op = server->engine_ops->start(server->engine, &call, act->ws.id);
        break;
    case ACT_STOP:
        if (act->options.grace_ms > UNREACHABLE_MS && !act->is_health_known
            && health_ask(server, &(const char *){ act->ws.id }, 1, on_health, act))
            return;
        call = call_of(act, "stop", on_stopped);
        op = server->engine_ops->stop(server->engine, &call, act->ws.id, grace_of(act));
        break;
    case ACT_REMOVE:
    case ACT_UNDO_CREATE:
        call = call_of(act, "remove", on_removed);
        op = server->engine_ops->remove(server->engine, &call, act->ws.id);
        break;
    }
    if (!op) {
        fail_to_begin(act);
        if (act->options.kind == ACT_CREATE) {
            act->ws.status = WORKSPACE_DESTROYED;
            write_outcome(act);
        } else {
            act_end(act, &act->error);
        }
    }
}

static void begin_later(void *data)
{
    on_intent(data, NULL);
}

int act_begin(struct server *server, const struct workspace *ws, const struct act_options *options,
              struct nt_error *reterr)
{
    if (act_is_busy(server, ws->id)) {
        nt_fail(reterr, NT_E_CONFLICT, "something else is being done to %s", ws->id);
        nt_copy_text(reterr->server_code, sizeof(reterr->server_code), "sandbox_not_ready");
        reterr->retryable = 1;
        return -1;
    }
    nt_autofree struct act *act = calloc(1, sizeof(*act));
    if (!act || workspace_copy(ws, &act->ws, reterr) < 0)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for the operation");
    act->server = server;
    act->options = *options;
    act->error = (struct nt_error)NT_ERROR_INIT;
    if (options->reason)
        nt_copy_text(act->ws.notice, sizeof(act->ws.notice), options->reason);
    int status =
        options->kind == ACT_CREATE
            ? server->loop->ops->post(server->loop, begin_later, act)
            : store_intent(server->store, ws->id, what_of[options->kind], on_intent, act, reterr);
    if (status < 0) {
        workspace_done(&act->ws);
        return options->kind == ACT_CREATE
                   ? nt_fail(reterr, NT_E_MEMORY, "no memory for the operation")
                   : -1;
    }
    act->next = server->acts;
    server->acts = act;
    (void)nt_take(act);
    return 0;
}
