/* SPDX-License-Identifier: Apache-2.0 */
/* processes.c - /v1/sandboxes/{}/processes: the programs that were started in a workspace, their
 * output so far, the end of one, and its standard input. Clients build strict objects from these
 * answers: no key may be added. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/serve/api/answer.h"
#include "plugins/serve/api/routes.h"
#include "plugins/serve/api/utf8_text.h"
#include "plugins/serve/server.h"
#include "sdk/error.h"

#define PROCESSES_MAX 10000
/* of each stream; the first bytes are kept, because clients slice by length */
#define LOG_MAX (16u * 1024 * 1024)

/* One request about processes. */
struct query {
    struct exchange *x;
    struct guest_op *op;
    json_t *list;    /* GET processes */
    bool wants_logs; /* GET logs */
    bool has_ended, has_status;
    bool is_malformed, is_full[2];
    uint64_t status;
    struct utf8_text text[2];
    struct nt_buf out[2], both;
};

static void query_free(struct query *q)
{
    json_decref(q->list);
    nt_buf_done(&q->out[0]);
    nt_buf_done(&q->out[1]);
    nt_buf_done(&q->both);
    free(q);
}

static int add_process(json_t *list, const struct guest_fields *f)
{
    if (json_array_size(list) >= PROCESSES_MAX)
        return 0;
    json_t *row = json_object();
    json_object_set_new(row, "pid", json_integer((json_int_t)(f->pid & INT32_MAX)));
    json_object_set_new(row, "command", utf8_json(f->command.data, f->command.size));
    json_object_set_new(row, "running", json_boolean(f->running));
    return json_array_append_new(list, row);
}

static void on_frame(void *data, const struct nt_g_frame *frame)
{
    struct query *q = data;
    struct nt_error error = NT_ERROR_INIT;
    struct guest_fields f;
    if (guest_fields_read(frame, &f, &error) < 0) {
        q->is_malformed = true;
        guest_op_cancel(q->op);
        return;
    }
    if (frame->type == NT_G_ENTRY && q->list)
        add_process(q->list, &f);
    if (frame->type == NT_G_END && q->wants_logs) {
        q->has_ended = !f.running;
        q->has_status = q->has_ended && guest_fields_has(&f, NT_GT_STATUS);
        q->status = f.status;
    }
}

/* Adds text to its own stream and to the interleaved one. */
static void add_text(struct query *q, int i, const struct nt_buf *text)
{
    if (q->is_full[i])
        return;
    nt_buf_add_bytes(&q->out[i], nt_buf_text(text), text->size);
    nt_buf_add_bytes(&q->both, nt_buf_text(text), text->size);
    q->is_full[i] = q->out[i].size > LOG_MAX || !nt_buf_ok(&q->out[i]);
}

static void on_bytes(void *data, uint16_t type, struct nt_bytes bytes)
{
    struct query *q = data;
    int i = type == NT_G_STDERR;
    if (q->wants_logs && !q->is_full[i]) {
        struct nt_buf text = NT_BUF(UTF8_TEXT_MAX(NT_G_FRAME_MAX));
        utf8_text_add(&q->text[i], bytes.data, bytes.size, &text);
        add_text(q, i, &text);
        nt_buf_done(&text);
    }
    guest_op_consumed(q->op);
}

static void answer_logs(struct query *q)
{
    /* while it runs, the rest of a cut character may still come */
    for (int i = 0; q->has_ended && i < 2; i++) {
        struct nt_buf text = NT_BUF(16);
        utf8_text_end(&q->text[i], &text);
        add_text(q, i, &text);
        nt_buf_done(&text);
    }
    json_t *body = json_object();
    int bad = json_object_set_new(body, "stdout",
                                  json_stringn_nocheck(nt_buf_text(&q->out[0]), q->out[0].size));
    bad |= json_object_set_new(body, "stderr",
                               json_stringn_nocheck(nt_buf_text(&q->out[1]), q->out[1].size));
    bad |= json_object_set_new(body, "output",
                               json_stringn_nocheck(nt_buf_text(&q->both), q->both.size));
    if (q->has_ended)
        json_object_set_new(body, "exit_code",
                            json_integer(q->has_status ? (json_int_t)(q->status & 0xFF) : 255));
    else
        json_object_set_new(body, "exit_code", json_null());
    if (!bad) {
        exchange_send_json(q->x, 200, body);
        return;
    }
    json_decref(body);
    exchange_fail(q->x, 500, "internal_error", "out of memory");
}

static void on_end(void *data, const struct nt_error *error)
{
    struct query *q = data;
    if (q->is_malformed)
        exchange_fail(q->x, 502, "internal_error", "the workspace sent a malformed answer");
    else if (error)
        answer_guest_error(q->x, error, GUEST_PROCESS);
    else if (q->list)
        exchange_send_json(q->x, 200, json_incref(q->list));
    else if (q->wants_logs)
        answer_logs(q);
    else
        exchange_send_empty(q->x, 204);
    query_free(q);
}

static const struct guest_events events = { .frame = on_frame, .bytes = on_bytes, .end = on_end };

static void on_lost(void *data)
{
    struct query *q = data;
    guest_op_cancel(q->op);
}

/* Sends the request; NULL: the exchange was answered. */
static struct query *query_new(struct exchange *x, const struct workspace *ws,
                               struct nt_g_writer *w)
{
    struct nt_error error = NT_ERROR_INIT;
    struct query *q = calloc(1, sizeof(*q));
    size_t size = nt_g_done(w);
    if (!q || !size) {
        free(q);
        exchange_fail(x, 500, "internal_error", "out of memory");
        return NULL;
    }
    q->x = x;
    q->out[0].max = q->out[1].max = LOG_MAX + UTF8_TEXT_MAX(NT_G_FRAME_MAX);
    q->both.max = q->out[0].max * 2;
    if (workspace_guest(exchange_server(x), ws, (struct nt_bytes){ w->data, size }, &events, q,
                        &q->op, &error)
        < 0) {
        query_free(q);
        answer_guest_error(x, &error, GUEST_PROCESS);
        return NULL;
    }
    return q;
}

static void list_found(struct exchange *x, const struct workspace *ws, void *data)
{
    uint8_t memory[64];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_PROCS);
    struct query *q = query_new(x, ws, &w);
    if (!q)
        return;
    q->list = json_array();
    exchange_on_lost(x, on_lost, q);
}

static void logs_found(struct exchange *x, const struct workspace *ws, void *data)
{
    uint64_t pid = answer_pid(x, 1);
    if (!pid)
        return;
    uint8_t memory[64];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_LOGS);
    nt_g_add_number(&w, NT_GT_PID, pid);
    struct query *q = query_new(x, ws, &w);
    if (!q)
        return;
    q->wants_logs = true;
    exchange_on_lost(x, on_lost, q);
}

static void kill_found(struct exchange *x, const struct workspace *ws, void *data)
{
    uint64_t pid = answer_pid(x, 1);
    if (!pid)
        return;
    uint8_t memory[128];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_KILL);
    nt_g_add_number(&w, NT_GT_PID, pid);
    nt_g_add_number(&w, NT_GT_SIGNAL, SIGKILL);
    nt_g_add_number(&w, NT_GT_FLAGS, NT_GX_TREE);
    query_new(x, ws, &w); /* goes on when the peer is lost: what was asked for is done */
}

static void stdin_found(struct exchange *x, const struct workspace *ws, void *data)
{
    uint64_t pid = answer_pid(x, 1);
    if (!pid)
        return;
    json_t *text = json_object_get(exchange_json(x), "data");
    if (!json_is_string(text)) {
        exchange_fail(x, 400, "invalid_request", "data must be a text");
        return;
    }
    uint8_t memory[64];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_FEED);
    nt_g_add_number(&w, NT_GT_PID, pid);
    struct query *q = query_new(x, ws, &w);
    if (!q)
        return;
    exchange_on_lost(x, on_lost, q);
    /* All at once: the body was limited to 1 MiB, so this is all that the queue will hold. */
    guest_op_send(q->op, NT_G_STDIN,
                  (struct nt_bytes){ json_string_value(text), json_string_length(text) });
    struct nt_g_writer end = nt_g_begin(memory, sizeof(memory), NT_G_END);
    guest_op_send(q->op, 0, (struct nt_bytes){ memory, nt_g_done(&end) });
}

static void list_get(struct server *server, struct exchange *x)
{
    workspace_find(x, exchange_param(x, 0), list_found, NULL);
}

static void logs_get(struct server *server, struct exchange *x)
{
    workspace_find(x, exchange_param(x, 0), logs_found, NULL);
}

static void kill_post(struct server *server, struct exchange *x)
{
    workspace_find(x, exchange_param(x, 0), kill_found, NULL);
}

static void stdin_post(struct server *server, struct exchange *x)
{
    workspace_find(x, exchange_param(x, 0), stdin_found, NULL);
}

static const struct route rows[] = {
    { "GET", "/v1/sandboxes/{}/processes", list_get, 0, 0 },
    { "GET", "/v1/sandboxes/{}/processes/{}/logs", logs_get, 0, 0 },
    { "POST", "/v1/sandboxes/{}/processes/{}/kill", kill_post, ROUTE_JSON, 0 },
    { "POST", "/v1/sandboxes/{}/processes/{}/stdin", stdin_post, ROUTE_JSON, 0 },
};
const struct routes process_routes = { rows, sizeof(rows) / sizeof(rows[0]) };
