/* SPDX-License-Identifier: Apache-2.0 */
/* jobs.c - /v1/sandboxes/{}/jobs: the programs of a workspace by their ids, with all that the guest
 * knows of them; wide form only. The narrow form of the same programs is processes.c. */
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "plugins/serve/api/answer.h"
#include "plugins/serve/api/routes.h"
#include "plugins/serve/api/sandbox.h"
#include "plugins/serve/api/utf8_text.h"
#include "plugins/serve/server.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/parse.h"

#define JOBS_MAX 10000
#define LOGS_MAX (1024u * 1024) /* bytes of output in one answer */

enum query_kind { QUERY_LIST, QUERY_ONE, QUERY_LOGS, QUERY_KILL };

struct query {
    struct exchange *x;
    struct guest_op *op;
    json_t *items; /* jobs; or pieces of output */
    json_t *one;   /* QUERY_ONE: the job, found; QUERY_LOGS: the answer */
    struct guest_fields end;
    struct nt_buf piece; /* bytes of one stream that follow each other */
    uint16_t piece_type;
    enum query_kind kind;
    bool is_malformed, has_end;
    char id[48];
};

static void query_free(struct query *q)
{
    json_decref(q->items);
    json_decref(q->one);
    nt_buf_done(&q->piece);
    free(q);
}

static const char *reason_name(uint64_t reason)
{
    switch (reason) {
    case NT_GR_EXITED:
        return "exited";
    case NT_GR_SIGNALED:
        return "signaled";
    case NT_GR_TIMEOUT:
        return "timeout";
    case NT_GR_KILLED:
        return "killed";
    case NT_GR_MEMORY:
        return "memory";
    default:
        return "lost";
    }
}

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)(value & INT64_MAX));
}

static json_t *text_or_null(struct nt_bytes text)
{
    return text.size ? utf8_json(text.data, text.size) : json_null();
}

static void put_end(json_t *job, const struct guest_fields *f)
{
    bool has_ended = !f->running;
    json_object_set_new(job, "running", json_boolean(f->running));
    json_object_set_new(job, "status", has_ended ? json_integer(guest_exit_code(f)) : json_null());
    json_object_set_new(job, "reason",
                        has_ended ? json_string(reason_name(f->reason)) : json_null());
    json_object_set_new(job, "signal",
                        has_ended && f->signal ? number(f->signal & 0xFF) : json_null());
    json_object_set_new(job, "stdout_bytes", number(f->out_bytes));
    json_object_set_new(job, "stderr_bytes", number(f->err_bytes));
    json_object_set_new(job, "limits_hit", guest_hits_json(has_ended ? f->hits : 0));
    json_object_set_new(job, "notice", text_or_null(f->message));
}

static json_t *job_json(const struct guest_fields *f)
{
    json_t *job = json_object();
    json_object_set_new(job, "id", text_or_null(f->id));
    json_object_set_new(job, "pid", number(f->pid & INT32_MAX));
    json_object_set_new(job, "command", utf8_json(f->command.data, f->command.size));
    json_object_set_new(job, "background", json_boolean(f->flags & NT_GX_BACKGROUND));
    json_object_set_new(job, "kept", json_boolean(f->flags & (NT_GX_BACKGROUND | NT_GX_KEEP)));
    json_object_set_new(job, "terminal", json_boolean(f->flags & NT_GX_TTY));
    json_object_set_new(job, "log", text_or_null(f->log));
    json_object_set_new(job, "started_at", sandbox_time_json((int64_t)(f->started_ms & INT64_MAX)));
    json_object_set_new(job, "ended_at", sandbox_time_json((int64_t)(f->ended_ms & INT64_MAX)));
    put_end(job, f);
    return job;
}

static bool is_named(const struct query *q, const struct guest_fields *f)
{
    return f->id.size == strlen(q->id) && memcmp(f->id.data, q->id, f->id.size) == 0;
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
    if (frame->type == NT_G_ENTRY && q->kind == QUERY_LIST && json_array_size(q->items) < JOBS_MAX)
        json_array_append_new(q->items, job_json(&f));
    if (frame->type == NT_G_ENTRY && q->kind == QUERY_ONE && !q->one && is_named(q, &f))
        q->one = job_json(&f);
    if (frame->type == NT_G_END && q->kind == QUERY_LOGS) {
        q->has_end = true;
        q->one = json_object();
        put_end(q->one, &f);
        json_object_set_new(q->one, "next_offset", number(f.offset));
    }
}

/* --- logs ---------------------------------------------------------------------------------- */

/* {"stream","data"}: base64, because output is bytes. */
static void end_piece(struct query *q)
{
    if (!q->piece.size)
        return;
    size_t size = sodium_base64_encoded_len(q->piece.size, sodium_base64_VARIANT_ORIGINAL);
    nt_autofree char *text = malloc(size);
    if (!text || !nt_buf_ok(&q->piece)) {
        q->is_malformed = true;
        return;
    }
    sodium_bin2base64(text, size, (const unsigned char *)nt_buf_text(&q->piece), q->piece.size,
                      sodium_base64_VARIANT_ORIGINAL);
    json_array_append_new(q->items, json_pack("{s:s, s:s}", "stream",
                                              q->piece_type == NT_G_STDERR ? "stderr" : "stdout",
                                              "data", text));
    nt_buf_reset(&q->piece);
}

static void on_bytes(void *data, uint16_t type, struct nt_bytes bytes)
{
    struct query *q = data;
    if (q->kind == QUERY_LOGS) {
        if (type != q->piece_type)
            end_piece(q);
        q->piece_type = type;
        nt_buf_add_bytes(&q->piece, bytes.data, bytes.size);
    }
    guest_op_consumed(q->op);
}

/* --- the end ------------------------------------------------------------------------------- */

static void on_end(void *data, const struct nt_error *error)
{
    struct query *q = data;
    end_piece(q);
    if (q->is_malformed)
        exchange_fail(q->x, 502, "internal_error", "the workspace sent a malformed answer");
    else if (error && error->attempt == NT_GE_NOT_FOUND)
        exchange_fail(q->x, 404, "job_not_found", "%s", error->message);
    else if (error)
        answer_guest_error(q->x, error, GUEST_PROCESS);
    else if (q->kind == QUERY_LIST)
        exchange_send_json(q->x, 200, json_pack("{s:O}", "items", q->items));
    else if (q->kind == QUERY_ONE && q->one)
        exchange_send_json(q->x, 200, json_incref(q->one));
    else if (q->kind == QUERY_ONE)
        exchange_fail(q->x, 404, "job_not_found", "there is no such job");
    else if (q->kind == QUERY_LOGS && q->has_end) {
        json_object_set(q->one, "pieces", q->items);
        exchange_send_json(q->x, 200, json_incref(q->one));
    } else if (q->kind == QUERY_KILL)
        exchange_send_empty(q->x, 204);
    else
        exchange_fail(q->x, 502, "internal_error", "the workspace's answer has no end");
    query_free(q);
}

static const struct guest_events events = { .frame = on_frame, .bytes = on_bytes, .end = on_end };

static void on_lost(void *data)
{
    struct query *q = data;
    guest_op_cancel(q->op);
}

/* --- requests ------------------------------------------------------------------------------ */

/* The path segment as an id of a job. false: the exchange was answered. */
static bool take_id(struct exchange *x, char ret[48])
{
    const char *id = exchange_param(x, 1);
    size_t size = strlen(id);
    if (!size || size > 40 || strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789_") != size) {
        exchange_fail(x, 404, "job_not_found", "there is no such job");
        return false;
    }
    memcpy(ret, id, size + 1);
    return true;
}

static void ask(struct exchange *x, const struct workspace *ws, enum query_kind kind,
                struct nt_g_writer *w, const char *id)
{
    struct nt_error error = NT_ERROR_INIT;
    struct query *q = calloc(1, sizeof(*q));
    size_t size = nt_g_done(w);
    if (!q || !size) {
        free(q);
        exchange_fail(x, 500, "internal_error", "out of memory");
        return;
    }
    q->x = x;
    q->kind = kind;
    q->items = json_array();
    q->piece.max = LOGS_MAX + NT_G_FRAME_MAX;
    memcpy(q->id, id, strlen(id) + 1);
    if (workspace_guest(exchange_server(x), ws, (struct nt_bytes){ w->data, size }, &events, q,
                        &q->op, &error)
        < 0) {
        query_free(q);
        answer_guest_error(x, &error, GUEST_PROCESS);
        return;
    }
    if (kind != QUERY_KILL) /* what was asked for is done, also when nobody waits for it */
        exchange_on_lost(x, on_lost, q);
}

static bool is_wide(struct exchange *x)
{
    if (exchange_is_wide(x))
        return true;
    exchange_fail(x, 404, "not_found", "no such path");
    return false;
}

static void list_found(struct exchange *x, const struct workspace *ws, void *data)
{
    uint8_t memory[64];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_PROCS);
    if (is_wide(x))
        ask(x, ws, QUERY_LIST, &w, "");
}

static void one_found(struct exchange *x, const struct workspace *ws, void *data)
{
    uint8_t memory[64];
    char id[48];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_PROCS);
    if (is_wide(x) && take_id(x, id))
        ask(x, ws, QUERY_ONE, &w, id);
}

static bool query_number(struct exchange *x, const char *name, uint64_t min, uint64_t max,
                         uint64_t *ret)
{
    struct nt_error error = NT_ERROR_INIT;
    const char *text = exchange_query(x, name);
    if (!text || nt_parse_u64(text, min, max, ret, &error) == 0)
        return true;
    exchange_fail(x, 400, "invalid_request", "%s: %s", name, error.message);
    return false;
}

static void logs_found(struct exchange *x, const struct workspace *ws, void *data)
{
    uint8_t memory[192];
    char id[48];
    uint64_t offset = 0, limit = LOGS_MAX;
    if (!is_wide(x) || !take_id(x, id) || !query_number(x, "offset", 0, INT64_MAX, &offset)
        || !query_number(x, "limit", 1, LOGS_MAX, &limit))
        return;
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_LOGS);
    nt_g_add_text(&w, NT_GT_ID, id);
    nt_g_add_number(&w, NT_GT_OFFSET, offset);
    nt_g_add_number(&w, NT_GT_SIZE, limit);
    ask(x, ws, QUERY_LOGS, &w, id);
}

static void kill_found(struct exchange *x, const struct workspace *ws, void *data)
{
    uint8_t memory[192];
    char id[48];
    if (!is_wide(x) || !take_id(x, id))
        return;
    json_t *signal = json_object_get(exchange_json(x), "signal");
    json_t *tree = json_object_get(exchange_json(x), "tree");
    bool has_signal = signal && !json_is_null(signal);
    bool has_tree = tree && !json_is_null(tree);
    if ((has_signal
         && (!json_is_integer(signal) || json_integer_value(signal) < 1
             || json_integer_value(signal) > 64))
        || (has_tree && !json_is_boolean(tree))) {
        exchange_fail(x, 400, "invalid_request",
                      "signal must be a number from 1 to 64, tree true or false");
        return;
    }
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_KILL);
    nt_g_add_text(&w, NT_GT_ID, id);
    if (has_signal)
        nt_g_add_number(&w, NT_GT_SIGNAL, (uint64_t)json_integer_value(signal));
    if (has_tree ? json_is_true(tree) : !has_signal)
        nt_g_add_number(&w, NT_GT_FLAGS, NT_GX_TREE);
    ask(x, ws, QUERY_KILL, &w, id);
}

static void list_get(struct server *server, struct exchange *x)
{
    workspace_find(x, exchange_param(x, 0), list_found, NULL);
}

static void one_get(struct server *server, struct exchange *x)
{
    workspace_find(x, exchange_param(x, 0), one_found, NULL);
}

static void logs_get(struct server *server, struct exchange *x)
{
    workspace_find(x, exchange_param(x, 0), logs_found, NULL);
}

static void kill_post(struct server *server, struct exchange *x)
{
    workspace_find(x, exchange_param(x, 0), kill_found, NULL);
}

static const struct route rows[] = {
    { "GET", "/v1/sandboxes/{}/jobs", list_get, 0, 0 },
    { "GET", "/v1/sandboxes/{}/jobs/{}", one_get, 0, 0 },
    { "GET", "/v1/sandboxes/{}/jobs/{}/logs", logs_get, 0, 0 },
    { "POST", "/v1/sandboxes/{}/jobs/{}/kill", kill_post, ROUTE_JSON, 0 },
};
const struct routes job_routes = { rows, sizeof(rows) / sizeof(rows[0]) };
