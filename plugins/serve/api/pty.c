/* SPDX-License-Identifier: Apache-2.0 */
/* pty.c - terminals over REST: list, get, delete, resize. They are made on a WebSocket (pty_ws.c).
 */
#include "plugins/serve/server.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/serve/api/answer.h"
#include "plugins/serve/api/pty.h"
#include "plugins/serve/api/routes.h"

#define PTYS_MAX 1000

int pty_row_read(const struct nt_g_frame *frame, struct pty_row *ret)
{
    struct pty_row row = { .id = "" };
    struct nt_g_field f;
    size_t at = 0;
    int more, ok = 1;
    while ((more = nt_g_each(frame->payload, frame->size, &at, &f)) > 0) {
        if (f.tag == NT_GT_PID)
            row.pid = nt_g_number(&f, &ok) & INT32_MAX;
        else if (f.tag == NT_GT_FLAGS)
            row.flags = nt_g_number(&f, &ok);
        else if (f.tag == NT_GT_COLS)
            row.cols = nt_g_number(&f, &ok) & UINT16_MAX;
        else if (f.tag == NT_GT_ROWS)
            row.rows = nt_g_number(&f, &ok) & UINT16_MAX;
        else if (f.tag == NT_GT_OFFSET)
            row.offset = nt_g_number(&f, &ok) & INT64_MAX;
        else if (f.tag == NT_GT_RUNNING)
            row.running = nt_g_number(&f, &ok);
        else if (f.tag == NT_GT_ID && f.size < sizeof(row.id))
            memcpy(row.id, f.data, f.size);
    }
    if (more < 0 || !ok || (row.id[0] && !pty_id_is_fine(row.id)))
        return -1;
    *ret = row;
    return 0;
}

bool pty_id_is_fine(const char *id)
{
    size_t size = strlen(id);
    return size && size < PTY_ID_SIZE
           && strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789_") == size;
}

int pty_size_read(const json_t *body, const char *key, uint64_t fallback, uint64_t *ret)
{
    const json_t *value = json_object_get(body, key);
    json_int_t n = json_integer_value(value);
    if (!value || json_is_null(value)) {
        *ret = fallback;
        return 0;
    }
    if (!json_is_integer(value) || n < 1 || n > UINT16_MAX)
        return -1;
    *ret = (uint64_t)n;
    return 0;
}

/* --- one request to the guest -------------------------------------------------------------- */

enum verb { LIST, GET, KILL, RESIZE };

struct query {
    struct exchange *x;
    struct guest_op *op;
    json_t *list;
    enum verb verb;
    char id[PTY_ID_SIZE];
    bool is_malformed, was_seen;
};

static json_t *row_json(const struct pty_row *row)
{
    return json_pack("{s:s,s:I,s:I,s:I,s:s}", "session_id", row->id, "pid", (json_int_t)row->pid,
                     "cols", (json_int_t)row->cols, "rows", (json_int_t)row->rows, "exec_id",
                     row->id);
}

static void on_frame(void *data, const struct nt_g_frame *frame)
{
    struct query *q = data;
    struct pty_row row;
    if (frame->type != NT_G_ENTRY && frame->type != NT_G_STARTED)
        return;
    if (pty_row_read(frame, &row) < 0) {
        q->is_malformed = true;
        guest_op_cancel(q->op);
        return;
    }
    if (!(row.flags & NT_GX_TTY))
        row.running = 0;
    if (q->verb == RESIZE) {
        q->was_seen = row.flags & NT_GX_TTY;
        guest_op_cancel(q->op);
    } else if (row.running && (q->verb == LIST || !strcmp(row.id, q->id))
               && json_array_size(q->list) < PTYS_MAX) {
        json_array_append_new(q->list, row_json(&row));
    }
}

static void on_bytes(void *data, uint16_t type, struct nt_bytes bytes)
{
    struct query *q = data;
    guest_op_consumed(q->op);
}

static void not_found(struct query *q)
{
    exchange_fail(q->x, 404, "pty_not_found", "there is no terminal %s", q->id);
}

static void on_end(void *data, const struct nt_error *error)
{
    struct query *q = data;
    if (q->is_malformed)
        exchange_fail(q->x, 502, "internal_error", "the workspace sent a malformed answer");
    else if (q->verb == RESIZE && q->was_seen)
        exchange_send_empty(q->x, 204);
    else if (error && error->attempt == NT_GE_NOT_FOUND)
        not_found(q);
    else if (error && error->code != NT_E_CANCELLED)
        answer_guest_error(q->x, error, GUEST_PROCESS);
    else if (q->verb == LIST)
        exchange_send_json(q->x, 200, json_incref(q->list));
    else if (q->verb == GET && json_array_size(q->list))
        exchange_send_json(q->x, 200, json_incref(json_array_get(q->list, 0)));
    else if (q->verb == KILL)
        exchange_send_empty(q->x, 204);
    else
        not_found(q);
    json_decref(q->list);
    free(q);
}

static const struct guest_events events = { .frame = on_frame, .bytes = on_bytes, .end = on_end };

static void on_lost(void *data)
{
    struct query *q = data;
    guest_op_cancel(q->op);
}

static bool write_request(const struct query *q, struct nt_g_writer *w)
{
    uint64_t cols = 0, rows = 0;
    switch (q->verb) {
    case KILL:
        w->data[4] = NT_G_KILL;
        nt_g_add_text(w, NT_GT_ID, q->id);
        nt_g_add_number(w, NT_GT_SIGNAL, SIGKILL);
        nt_g_add_number(w, NT_GT_FLAGS, NT_GX_TREE);
        return true;
    case RESIZE:
        if (pty_size_read(exchange_json(q->x), "cols", 0, &cols) < 0
            || pty_size_read(exchange_json(q->x), "rows", 0, &rows) < 0 || !cols || !rows)
            return false;
        w->data[4] = NT_G_ATTACH;
        nt_g_add_text(w, NT_GT_ID, q->id);
        nt_g_add_number(w, NT_GT_OFFSET, UINT64_MAX); /* nothing of what was */
        nt_g_add_number(w, NT_GT_COLS, cols);
        nt_g_add_number(w, NT_GT_ROWS, rows);
        return true;
    default:
        return true;
    }
}

static void found(struct exchange *x, const struct workspace *ws, void *data)
{
    struct nt_error error = NT_ERROR_INIT;
    uint8_t memory[256];
    enum verb verb = (enum verb)(intptr_t)data;
    const char *id = verb == LIST ? "pty_" : exchange_param(x, 1);
    if (!pty_id_is_fine(id)) {
        exchange_fail(x, 404, "pty_not_found", "there is no such terminal");
        return;
    }
    struct query *q = calloc(1, sizeof(*q));
    if (!q) {
        exchange_fail(x, 500, "internal_error", "out of memory");
        return;
    }
    *q = (struct query){ .x = x, .verb = verb, .list = json_array() };
    memcpy(q->id, id, strlen(id));
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_PROCS);
    if (!write_request(q, &w)) {
        exchange_fail(x, 400, "invalid_request", "cols and rows must be numbers from 1 to 65535");
    } else if (workspace_guest(exchange_server(x), ws, (struct nt_bytes){ memory, nt_g_done(&w) },
                               &events, q, &q->op, &error)
               < 0) {
        answer_guest_error(x, &error, GUEST_PROCESS);
    } else {
        if (verb != KILL)
            exchange_on_lost(x, on_lost, q);
        return;
    }
    json_decref(q->list);
    free(q);
}

static void list_get(struct server *server, struct exchange *x)
{
    workspace_find(x, exchange_param(x, 0), found, (void *)(intptr_t)LIST);
}

static void one_get(struct server *server, struct exchange *x)
{
    workspace_find(x, exchange_param(x, 0), found, (void *)(intptr_t)GET);
}

static void one_delete(struct server *server, struct exchange *x)
{
    workspace_find(x, exchange_param(x, 0), found, (void *)(intptr_t)KILL);
}

static void resize_post(struct server *server, struct exchange *x)
{
    workspace_find(x, exchange_param(x, 0), found, (void *)(intptr_t)RESIZE);
}

static const struct route rows[] = {
    { "GET", "/v1/sandboxes/{}/pty", list_get, 0, 0 },
    { "GET", "/v1/sandboxes/{}/pty/{}", one_get, 0, 0 },
    { "DELETE", "/v1/sandboxes/{}/pty/{}", one_delete, 0, 0 },
    { "POST", "/v1/sandboxes/{}/pty/{}/resize", resize_post, ROUTE_JSON, 0 },
};
const struct routes pty_routes = { rows, sizeof(rows) / sizeof(rows[0]) };
