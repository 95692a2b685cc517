/* SPDX-License-Identifier: Apache-2.0 */
/* workspaces.c - finding a workspace and its guest, who may use the internet, and what the engine
 * says by itself. */
#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/serve/act.h"
#include "plugins/serve/api/sandbox_watch.h"
#include "plugins/serve/health.h"
#include "plugins/serve/record.h"
#include "plugins/serve/store/store.h"
#include "plugins/serve/uploads/uploads.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define TTL_SLACK_MS 500
#define LIST_MS 20000      /* for the engine's list */
#define LIST_SLACK_MS 1000 /* an engine that keeps its deadline says more than we could */

/* --- a struct workspace that owns its texts ------------------------------------------------ */

static void free_text(const char **text)
{
    char *memory;
    memcpy(&memory, text, sizeof(memory)); /* ours: workspace_copy and row_read made it */
    free(memory);
    *text = NULL;
}

void workspace_done(struct workspace *ws)
{
    free_text(&ws->envs);
    free_text(&ws->metadata);
}

int workspace_copy(const struct workspace *ws, struct workspace *ret, struct nt_error *reterr)
{
    struct workspace copy = *ws;
    copy.envs = strdup(ws->envs ? ws->envs : "{}");
    copy.metadata = strdup(ws->metadata ? ws->metadata : "{}");
    if (!copy.envs || !copy.metadata) {
        workspace_done(&copy);
        return nt_fail(reterr, NT_E_MEMORY, "no memory for a workspace");
    }
    *ret = copy;
    return 0;
}

/* --- finding one --------------------------------------------------------------------------- */

struct finding {
    struct exchange *x;
    void (*found)(struct exchange *x, const struct workspace *ws, void *data);
    void *data;
    char wanted[44];
};

static void answer_not_found(struct exchange *x, const char *wanted)
{
    struct nt_error error = NT_ERROR_INIT;
    nt_fail(&error, NT_E_NOT_FOUND, "there is no workspace %s", wanted);
    nt_hint(&error, "see which there are: nanoterm ws list");
    nt_copy_text(error.server_code, sizeof(error.server_code), "sandbox_not_found");
    exchange_fail_error(x, &error);
}

static void on_found(void *data, const struct workspace *ws, const struct nt_error *error)
{
    struct finding *f = data;
    if (error)
        exchange_fail_error(f->x, error);
    else if (!ws)
        answer_not_found(f->x, f->wanted);
    else
        f->found(f->x, ws, f->data);
    free(f);
}

void workspace_find(struct exchange *x, const char *id_or_name,
                    void (*found)(struct exchange *x, const struct workspace *ws, void *data),
                    void *data)
{
    struct finding *f = malloc(sizeof(*f));
    struct nt_error error = NT_ERROR_INIT;
    if (!f) {
        nt_fail(&error, NT_E_MEMORY, "no memory for the request");
        exchange_fail_error(x, &error);
        return;
    }
    *f = (struct finding){ .x = x, .found = found, .data = data };
    nt_copy_text(f->wanted, sizeof(f->wanted), id_or_name);
    if (store_workspace_find(exchange_server(x)->store, exchange_principal(x)->org_id, id_or_name,
                             on_found, f, &error)
        < 0)
        on_found(f, NULL, &error);
}

int workspace_guest(struct server *server, const struct workspace *ws, struct nt_bytes request,
                    const struct guest_events *events, void *data, struct guest_op **ret,
                    struct nt_error *reterr)
{
    if (ws->status != WORKSPACE_RUNNING) {
        nt_fail(reterr, NT_E_CONFLICT, "%s is not running", ws->name);
        nt_hint(reterr, "start it with: nanoterm ws start %s", ws->name);
        nt_copy_text(reterr->server_code, sizeof(reterr->server_code), "sandbox_not_ready");
        return -1;
    }
    return guest_op_new(server->uv, server->engine_ops, server->engine, ws->id, request, events,
                        data, ret, reterr);
}

/* --- who may use the internet -------------------------------------------------------------- */

struct internet_row {
    struct internet_row *next;
    char id[44];
};

bool workspaces_has_internet(const struct server *server, const char *id)
{
    for (const struct internet_row *row = server->internet; row; row = row->next)
        if (strcmp(row->id, id) == 0)
            return true;
    return false;
}

void workspaces_note(struct server *server, const struct workspace *ws)
{
    if (ws->status != WORKSPACE_RUNNING)
        health_drop(server, ws->id);
    if (ws->status == WORKSPACE_DESTROYED)
        uploads_forget_workspace(server, ws->id);
    sandbox_watch_note(server, ws);
    bool may = ws->internet && ws->status == WORKSPACE_RUNNING;
    for (struct internet_row **at = &server->internet; *at; at = &(*at)->next)
        if (strcmp((*at)->id, ws->id) == 0) {
            struct internet_row *row = *at;
            if (!may) {
                *at = row->next;
                free(row);
            }
            return;
        }
    struct internet_row *row = may ? calloc(1, sizeof(*row)) : NULL;
    if (!row) /* out of memory: it has no internet, which is the safe side */
        return;
    snprintf(row->id, sizeof(row->id), "%s", ws->id);
    row->next = server->internet;
    server->internet = row;
}

void workspaces_forget(struct server *server)
{
    while (server->internet) {
        struct internet_row *next = server->internet->next;
        free(server->internet);
        server->internet = next;
    }
}

/* --- a guest has ended by itself ----------------------------------------------------------- */

struct ended {
    struct server *server;
    struct workspace ws;
    char reason[128];
};

static void on_act_done(void *data, const struct workspace *ws, const struct nt_error *error)
{
    struct server *server = data;
    if (error && server->options->debug)
        server->options->debug(server->options->data, "workspace.act_failed", error->message);
}

static void on_written(void *data, const struct nt_error *error)
{
    struct ended *ended = data;
    if (!error)
        workspaces_note(ended->server, &ended->ws);
    workspace_done(&ended->ws);
    free(ended);
}

/* Writes a row with an event; nobody waits for it. Copies ws. */
static void write_row(struct server *server, const struct workspace *ws, const char *event)
{
    struct nt_error error = NT_ERROR_INIT;
    struct ended *ended = calloc(1, sizeof(*ended));
    if (!ended || workspace_copy(ws, &ended->ws, &error) < 0) {
        free(ended);
        return;
    }
    ended->server = server;
    if (store_workspace_put(server->store, &ended->ws, event, NULL, on_written, ended, &error) < 0)
        on_written(ended, &error);
}

/* Whether a limit in time ended it. The reason is the guest's word: it counts only where a limit
 * was set. Not every engine can tell; the clock can. The guest's clock was set a little earlier. */
static bool is_timed_out(const struct workspace *ws, const char *reason)
{
    if (ws->timeout_at_ms <= 0)
        return false;
    return strcmp(reason, "ttl") == 0 || strcmp(reason, "idle") == 0
           || server_unix_ms() >= ws->timeout_at_ms - TTL_SLACK_MS;
}

/* Its time has passed, or it fell: what its owner asked for such a case. */
static void after_end(struct server *server, const struct workspace *ws, const char *reason)
{
    bool timed_out = is_timed_out(ws, reason);
    if (timed_out && !ws->on_timeout_hibernate) {
        struct act_options options = { .kind = ACT_REMOVE, .done = on_act_done, .data = server };
        struct nt_error error = NT_ERROR_INIT;
        act_begin(server, ws, &options, &error);
        return;
    }
    struct workspace stopped = *ws;
    stopped.status = WORKSPACE_STOPPED;
    stopped.timeout_at_ms = 0;
    if (timed_out)
        snprintf(stopped.notice, sizeof(stopped.notice), "stopped when its time had passed");
    else
        snprintf(stopped.notice, sizeof(stopped.notice), "stopped by itself: %.200s", reason);
    write_row(server, &stopped, timed_out ? "sandbox.timeout_expired" : "sandbox.failed");
}

static void on_ended_found(void *data, const struct workspace *ws, const struct nt_error *error)
{
    struct ended *ended = data;
    if (ws && ws->status == WORKSPACE_RUNNING && !act_is_busy(ended->server, ws->id)) {
        after_end(ended->server, ws, ended->reason);
    }
    free(ended);
}

static void on_gap_closed(struct server *server, const struct nt_error *error)
{
    (void)server;
    (void)error;
}

void workspaces_event(struct server *server, const struct nt_engine_event *event)
{
    if (event->kind == NT_ENGINE_EVENT_GAP) {
        if (server->reconciled)
            workspaces_reconcile(server, on_gap_closed);
        return;
    }
    if (event->kind != NT_ENGINE_EVENT_STOPPED || !event->id)
        return;
    struct ended *ended = calloc(1, sizeof(*ended));
    struct nt_error error = NT_ERROR_INIT;
    if (!ended)
        return; /* the next start of the server sees it */
    ended->server = server;
    nt_copy_text(ended->reason, sizeof(ended->reason), event->reason ? event->reason : "unknown");
    if (store_workspace_find(server->store, NULL, event->id, on_ended_found, ended, &error) < 0)
        free(ended);
}

/* --- what the engine knows against what the store knows ------------------------------------ */

struct known {
    struct workspace ws;
    char intent[20];
    bool seen;
};

struct reconcile {
    struct server *server;
    struct known *rows;
    size_t count;
    char after[80];
    uint32_t page;
    struct nt_error error;
    struct nt_timer *timer;
    struct nt_engine_op *listing;
    size_t adopting; /* in flight */
    bool is_listed;
    bool is_late; /* ended without the engine's answer, which may still come */
    void (*done)(struct server *server, const struct nt_error *error);
};

static void reconcile_free(struct reconcile *r)
{
    for (size_t i = 0; i < r->count; i++)
        workspace_done(&r->rows[i].ws);
    free(r->rows);
    free(r);
}

static void reconcile_tell(struct reconcile *r, const struct nt_error *error)
{
    r->server->loop->ops->timer_end(r->timer);
    r->timer = NULL;
    r->server->reconciled = true;
    r->done(r->server, error);
}

static void reconcile_end(struct reconcile *r, const struct nt_error *error)
{
    reconcile_tell(r, error);
    reconcile_free(r);
}

static struct known *known_of(struct reconcile *r, const char *id)
{
    for (size_t i = 0; i < r->count; i++)
        if (strcmp(r->rows[i].ws.id, id) == 0)
            return &r->rows[i];
    return NULL;
}

static void settle_intent(struct reconcile *r, struct known *k)
{
    struct act_options options = { .kind = ACT_UNDO_CREATE,
                                   .done = on_act_done,
                                   .data = r->server };
    if (strcmp(k->intent, "remove") == 0)
        options.kind = ACT_REMOVE;
    struct nt_error error = NT_ERROR_INIT;
    act_begin(r->server, &k->ws, &options, &error);
}

/* The row as it should be by what the engine says; state NULL: the engine has nothing of it. */
static void settle(struct reconcile *r, struct known *k, const struct nt_engine_state *state)
{
    struct server *server = r->server;
    struct workspace *ws = &k->ws;
    k->seen = true;
    if (act_is_busy(server, ws->id))
        return;
    if (strcmp(k->intent, "remove") == 0 || strcmp(k->intent, "create") == 0
        || strcmp(k->intent, "undo") == 0) {
        settle_intent(r, k);
        return;
    }
    uint32_t is = state ? state->state : NT_WS_ABSENT;
    bool was_asked = k->intent[0] != '\0'; /* stop or start: its outcome is what we see now */
    if (state) {
        ws->limit_cpu = state->limit_cpu;
        ws->limit_memory = state->limit_memory;
        ws->limit_pids = state->limit_pids;
        ws->limit_disk = state->limit_disk;
        if (state->notice[0])
            nt_copy_text(ws->notice, sizeof(ws->notice), state->notice);
    }
    bool is_changed = was_asked || ws->unreachable != (is == NT_WS_UNREACHABLE);
    ws->unreachable = is == NT_WS_UNREACHABLE;
    if (is == NT_WS_RUNNING && ws->status != WORKSPACE_RUNNING) {
        ws->status = WORKSPACE_RUNNING;
        is_changed = true;
    } else if (is == NT_WS_STOPPED && ws->status == WORKSPACE_RUNNING && !was_asked) {
        after_end(server, ws, "it ended while no server was running");
        return;
    } else if (is == NT_WS_STOPPED && ws->status != WORKSPACE_STOPPED) {
        ws->status = WORKSPACE_STOPPED;
        is_changed = true;
    } else if (is == NT_WS_ABSENT && ws->status != WORKSPACE_ERROR) {
        ws->status = WORKSPACE_ERROR;
        snprintf(ws->notice, sizeof(ws->notice), "the engine %.40s has nothing of it any more",
                 server->engine_name);
        is_changed = true;
    }
    if (is_changed)
        write_row(server, ws, "sandbox.reconciled");
    workspaces_note(server, ws);
}

/* The engine has listed all and every stray has its row. */
static void reconcile_step(struct reconcile *r)
{
    if (!r->is_listed || r->adopting)
        return;
    if (r->is_late)
        reconcile_free(r);
    else
        reconcile_end(r, NULL);
}

static void on_adopted(void *data)
{
    struct reconcile *r = data;
    r->adopting--;
    reconcile_step(r);
}

static void on_engine_each(void *data, const struct nt_engine_state *state)
{
    struct reconcile *r = data;
    struct known *k = known_of(r, state->id);
    if (r->is_late)
        return;
    if (k)
        settle(r, k, state);
    else if (state->state != NT_WS_ABSENT && !act_is_busy(r->server, state->id)) {
        r->adopting++;
        adopt(r->server, state, on_adopted, r);
    }
}

static void on_engine_listed(void *data, const struct nt_engine_result *result)
{
    struct reconcile *r = data;
    r->is_listed = true;
    if (!r->is_late && result->outcome != NT_OP_DONE) {
        r->is_late = true;
        reconcile_tell(r, &result->error);
    }
    for (size_t i = 0; i < r->count && !r->is_late; i++)
        if (!r->rows[i].seen)
            settle(r, &r->rows[i], NULL);
    /* From here on each adoption has a deadline of its own. */
    r->server->loop->ops->timer_end(r->timer);
    r->timer = NULL;
    reconcile_step(r);
}

static void on_intent(void *data, const char *ws_id, const char *what)
{
    struct reconcile *r = data;
    struct known *k = known_of(r, ws_id);
    if (k)
        snprintf(k->intent, sizeof(k->intent), "%s", what);
}

/* The engine does not keep its own deadline. What it owns of this call stays until its answer
 * comes. */
static void on_list_late(void *data)
{
    struct reconcile *r = data;
    r->is_late = true;
    nt_fail(&r->error, NT_E_TIMEOUT, "the engine %.40s did not list its workspaces in time",
            r->server->engine_name);
    reconcile_tell(r, &r->error);
    r->server->engine_ops->cancel(r->listing);
}

static void on_intents(void *data, const struct nt_error *error)
{
    struct reconcile *r = data;
    if (error) {
        reconcile_end(r, error);
        return;
    }
    struct nt_loop *loop = r->server->loop;
    int64_t wait_ms = r->server->options->list_ms > 0 ? r->server->options->list_ms : LIST_MS;
    r->timer = loop->ops->timer(loop, wait_ms + LIST_SLACK_MS, 0, on_list_late, r);
    struct nt_engine_call call = { .size = sizeof(call),
                                   .key = "reconcile",
                                   .done = on_engine_listed,
                                   .data = r,
                                   .deadline_ms = loop->ops->now_ms(loop) + wait_ms };
    r->listing =
        r->timer ? r->server->engine_ops->list(r->server->engine, &call, on_engine_each) : NULL;
    if (!r->listing) {
        nt_fail(&r->error, NT_E_MEMORY, "the engine could not list its workspaces");
        reconcile_end(r, &r->error);
    }
}

static void next_page(struct reconcile *r);

static void on_row(void *data, const struct workspace *ws)
{
    struct reconcile *r = data;
    struct known *rows = reallocarray(r->rows, r->count + 1, sizeof(*rows));
    if (!rows) {
        nt_fail(&r->error, NT_E_MEMORY, "no memory for the list of workspaces");
        return;
    }
    r->rows = rows;
    rows[r->count] = (struct known){ 0 };
    if (workspace_copy(ws, &rows[r->count].ws, &r->error) < 0)
        return;
    r->count++;
    r->page++;
    snprintf(r->after, sizeof(r->after), "%lld:%s", (long long)ws->created_at_ms, ws->id);
}

static void on_page(void *data, const struct nt_error *error)
{
    struct reconcile *r = data;
    if (error || r->error.code)
        reconcile_end(r, error ? error : &r->error);
    else if (r->page == STORE_LIST_MAX)
        next_page(r);
    else if (store_intent_list(r->server->store, on_intent, on_intents, r, &r->error) < 0)
        reconcile_end(r, &r->error);
}

static void next_page(struct reconcile *r)
{
    struct store_list list = { .after = r->after[0] ? r->after : NULL, .limit = STORE_LIST_MAX };
    r->page = 0;
    if (store_workspace_list(r->server->store, &list, on_row, on_page, r, &r->error) < 0)
        reconcile_end(r, &r->error);
}

void workspaces_reconcile(struct server *server,
                          void (*done)(struct server *server, const struct nt_error *error))
{
    struct nt_error error = NT_ERROR_INIT;
    struct reconcile *r = calloc(1, sizeof(*r));
    if (!r) {
        nt_fail(&error, NT_E_MEMORY, "no memory for the list of workspaces");
        done(server, &error);
        return;
    }
    *r = (struct reconcile){ .server = server, .done = done, .error = NT_ERROR_INIT };
    next_page(r);
}
