/* SPDX-License-Identifier: Apache-2.0 */
/* adopt.c - a workspace without a row: the database was lost, or a create was cut between the two.
 * Nothing is thrown away; what is known of it comes from its record. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/serve/record.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define RECALL_MS 10000

struct adoption {
    struct server *server;
    struct record record;
    struct nt_engine_state state;
    unsigned tries;
    void (*done)(void *data);
    void *data;
};

static void adoption_end(struct adoption *a)
{
    a->done(a->data);
    record_done(&a->record);
    free(a);
}

/* A name that nobody else can have. */
static void name_by_id(struct workspace *ws)
{
    nt_copy_text(ws->name, sizeof(ws->name), ws->id);
    for (char *c = ws->name; *c; c++)
        if (*c == '_')
            *c = '-';
}

static int make_up(struct workspace *ws)
{
    ws->vcpus = 2;
    ws->memory_mb = 2048;
    ws->pids = 512;
    ws->created_at_ms = server_unix_ms();
    name_by_id(ws);
    snprintf(ws->image, sizeof(ws->image), "host");
    snprintf(ws->template_name, sizeof(ws->template_name), "base");
    snprintf(ws->notice, sizeof(ws->notice),
             "found on the disk without a record: its name and settings are lost");
    ws->envs = strdup("{}");
    ws->metadata = strdup("{}");
    return ws->envs && ws->metadata ? 0 : -1;
}

/* What the engine knows of it. How firmly the limits of a stopped one hold is known when it starts;
 * until then it is what the engine can do here. */
static void note_state(struct server *server, struct workspace *ws,
                       const struct nt_engine_state *state)
{
    struct nt_engine_state able = { .size = sizeof(able) };
    bool is_stopped = state->state == NT_WS_STOPPED;
    if (is_stopped && NT_HAS(struct nt_engine_ops, server->engine_ops, abilities))
        server->engine_ops->abilities(server->engine, &able);
    else
        able = *state;
    ws->status = is_stopped ? WORKSPACE_STOPPED : WORKSPACE_RUNNING;
    ws->unreachable = state->state == NT_WS_UNREACHABLE;
    ws->limit_cpu = able.limit_cpu;
    ws->limit_memory = able.limit_memory;
    ws->limit_pids = able.limit_pids;
    ws->limit_disk = able.limit_disk;
    nt_copy_text(ws->base, sizeof(ws->base), state->base);
    if (state->notice[0])
        nt_copy_text(ws->notice, sizeof(ws->notice), state->notice);
    /* When it was started is lost; the guest holds the limit, this is when it ends at the latest.
     */
    if (!is_stopped && ws->timeout_ms > 0)
        ws->timeout_at_ms = server_unix_ms() + ws->timeout_ms;
}

static void on_port_written(void *data, const struct nt_error *error)
{
    struct server *server = data;
    if (error && server->options->debug)
        server->options->debug(server->options->data, "adopt.port_lost", error->message);
}

static void write_row(struct adoption *a);

static void on_written(void *data, const struct nt_error *error)
{
    struct adoption *a = data;
    struct workspace *ws = &a->record.ws;
    struct nt_error failure = NT_ERROR_INIT;
    if (error && error->code == NT_E_CONFLICT && a->tries++ == 0) {
        snprintf(ws->notice, sizeof(ws->notice), "it was called %s, as another one is now",
                 ws->name);
        name_by_id(ws);
        write_row(a);
        return;
    }
    if (!error)
        workspaces_note(a->server, ws);
    else
        on_port_written(a->server, error);
    /* The store keeps the order: the row is there before them. */
    for (uint32_t i = 0; i < a->record.port_count && !error; i++)
        if (store_port_put(a->server->store, &a->record.ports[i], on_port_written, a->server,
                           &failure)
            < 0)
            on_port_written(a->server, &failure);
    adoption_end(a);
}

static void write_row(struct adoption *a)
{
    struct nt_error error = NT_ERROR_INIT;
    if (store_workspace_put(a->server->store, &a->record.ws, "sandbox.adopted", NULL, on_written, a,
                            &error)
        < 0)
        on_written(a, &error);
}

/* No organisation but the owner's outlives the database: its members and keys went with it. */
static void take_over(struct adoption *a)
{
    struct workspace *ws = &a->record.ws;
    if (!a->record.is_owners && ws->org_id[0])
        snprintf(ws->notice, sizeof(ws->notice), "it was of the organisation %s, which is lost",
                 ws->org_id);
    nt_copy_text(ws->org_id, sizeof(ws->org_id), a->server->owner_org);
    for (uint32_t i = 0; i < a->record.port_count; i++)
        memcpy(a->record.ports[i].org_id, ws->org_id, sizeof(ws->org_id));
}

static void on_recalled(void *data, const struct nt_engine_result *result)
{
    struct adoption *a = data;
    struct nt_error error = NT_ERROR_INIT;
    struct workspace *ws = &a->record.ws;
    struct nt_bytes text = { NULL, 0 };
    if (result && result->error.code == NT_E_CANCELLED) { /* the next start of the server does it */
        adoption_end(a);
        return;
    }
    if (result && result->outcome == NT_OP_DONE && NT_HAS(struct nt_engine_result, result, record))
        text = result->record;
    bool is_known =
        text.size && record_read(text, &a->record, &error) == 0 && strcmp(ws->id, a->state.id) == 0;
    if (!is_known) {
        record_done(&a->record);
        a->record = (struct record){ .is_owners = true };
        nt_copy_text(ws->id, sizeof(ws->id), a->state.id);
        if (make_up(ws) < 0) {
            adoption_end(a);
            return;
        }
    } else if (a->record.is_cut) {
        snprintf(ws->notice, sizeof(ws->notice),
                 "its environment variables and metadata are lost: they were too long to be kept "
                 "twice");
    }
    take_over(a);
    note_state(a->server, ws, &a->state);
    write_row(a);
}

void adopt(struct server *server, const struct nt_engine_state *state, void (*done)(void *data),
           void *data)
{
    struct adoption *a = calloc(1, sizeof(*a));
    if (!a) { /* the next start of the server does it */
        done(data);
        return;
    }
    *a = (struct adoption){ .server = server, .state = *state, .done = done, .data = data };
    struct nt_engine_call call = { .size = sizeof(call),
                                   .key = "recall",
                                   .done = on_recalled,
                                   .data = a,
                                   .deadline_ms =
                                       server->loop->ops->now_ms(server->loop) + RECALL_MS };
    if (!(server->engine_ops->caps & NT_ENGINE_KEEP)
        || !server->engine_ops->recall(server->engine, &call, a->state.id))
        on_recalled(a, NULL);
}
