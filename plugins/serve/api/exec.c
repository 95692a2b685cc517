/* SPDX-License-Identifier: Apache-2.0 */
/* exec.c - POST /v1/sandboxes/{}/exec: runs one program, and answers when it has ended or
 * (background) begun.
 *
 * A status other than 0 is a success here: exit_code is 128 + n for a signal, 124 after
 * timeout_secs, 127 and 126 for a program that is not there or cannot be executed. exec_failed
 * means: it did not start, for the workspace's sake; clients send the request again then. */
#include <stdlib.h>
#include <string.h>

#include "plugins/serve/api/answer.h"
#include "plugins/serve/api/routes.h"
#include "plugins/serve/api/exec_spec.h"
#include "plugins/serve/api/utf8_text.h"
#include "plugins/serve/server.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define OUTPUT_MAX (16u * 1024 * 1024) /* of each stream, in text */
#define HOLD_AFTER_MS 4000             /* a client may give up after 30 s without a byte */
/* for a guest that does not keep the time limit it was given */
#define DEADLINE_GRACE_MS 15000

struct run {
    struct exchange *x;
    struct server *server;
    struct guest_op *op;
    struct nt_timer *hold, *deadline;
    struct workspace ws;
    struct exec_spec spec; /* borrows from the exchange's JSON */
    struct guest_fields exit;
    struct utf8_text text[2];
    struct nt_buf out[2];
    uint64_t pid;
    unsigned shell;
    bool truncated[2];
    bool has_exit, has_started, is_late;
};

static int run_start(struct run *r, struct nt_error *reterr);

static void run_free(struct run *r)
{
    r->server->loop->ops->timer_end(r->hold);
    r->server->loop->ops->timer_end(r->deadline);
    nt_buf_done(&r->out[0]);
    nt_buf_done(&r->out[1]);
    free(r);
}

/* --- the answer ---------------------------------------------------------------------------- */

static void answer_exit(struct run *r, int exit_code)
{
    static const char *const names[] = { "stdout", "stderr" };
    static const char *const cut[] = { "stdout_truncated", "stderr_truncated" };
    json_t *body = json_object();
    json_object_set_new(body, "exit_code", json_integer(exit_code));
    if (r->pid)
        json_object_set_new(body, "pid", json_integer((json_int_t)r->pid));
    for (int i = 0; i < 2; i++) {
        if (!r->truncated[i])
            utf8_text_end(&r->text[i], &r->out[i]);
        json_object_set_new(body, names[i],
                            json_stringn_nocheck(nt_buf_text(&r->out[i]), r->out[i].size));
        if (r->truncated[i])
            json_object_set_new(body, cut[i], json_true());
    }
    if (json_object_get(body, "stdout") && json_object_get(body, "stderr")) {
        exchange_send_json(r->x, 200, body);
        return;
    }
    json_decref(body);
    exchange_fail(r->x, 500, "internal_error", "out of memory");
}

/* A failure told as output of the program: the answer may have begun, and a client that reads only
 * exit_code must not take it for success. */
static void answer_note(struct run *r, int exit_code, const char *message)
{
    utf8_text_end(&r->text[1], &r->out[1]);
    nt_buf_addf(&r->out[1], "nanoterm: %s: ", exec_spec_name(&r->spec));
    nt_buf_add(&r->out[1], message);
    nt_buf_add_char(&r->out[1], '\n');
    answer_exit(r, exit_code);
}

static void answer(struct run *r, const struct nt_error *error)
{
    int not_started = error ? guest_not_started_status(error) : 0;
    if (r->spec.background && r->has_started)
        exchange_send_json(r->x, 200, json_pack("{s:I}", "pid", (json_int_t)r->pid));
    else if (r->has_exit)
        answer_exit(r, guest_exit_code(&r->exit));
    else if (not_started && !r->spec.background)
        answer_note(r, not_started, error->message);
    else if (r->is_late)
        answer_note(r, 124, "the time limit has passed");
    else if (r->has_started)
        answer_note(r, 255, error ? error->message : "the workspace ended before the program");
    else if (error)
        answer_guest_error(r->x, error, GUEST_EXEC);
    else
        exchange_fail(r->x, 502, "exec_failed", "the workspace did not start the program");
}

/* --- what the guest says ------------------------------------------------------------------- */

static void on_frame(void *data, const struct nt_g_frame *frame)
{
    struct run *r = data;
    struct nt_error error = NT_ERROR_INIT;
    struct guest_fields f;
    if (guest_fields_read(frame, &f, &error) < 0) {
        guest_op_cancel(r->op);
        return;
    }
    if (frame->type == NT_G_STARTED) {
        r->has_started = true;
        r->pid = f.pid;
        if (r->spec.background)
            guest_op_cancel(r->op); /* it lives on: only this stream ends */
    } else if (frame->type == NT_G_EXIT) {
        r->has_exit = true;
        r->exit = f;
    }
}

static void on_bytes(void *data, uint16_t type, struct nt_bytes bytes)
{
    struct run *r = data;
    int i = type == NT_G_STDERR;
    if (!r->truncated[i]) {
        utf8_text_add(&r->text[i], bytes.data, bytes.size, &r->out[i]);
        r->truncated[i] = r->out[i].size > OUTPUT_MAX || !nt_buf_ok(&r->out[i]);
    }
    /* what is too much is still read: a full pipe would stop the program */
    guest_op_consumed(r->op);
}

static void on_end(void *data, const struct nt_error *error)
{
    struct run *r = data;
    r->op = NULL;
    struct nt_error again = NT_ERROR_INIT;
    if (exec_shell_is_missing(&r->spec, error) && exec_shell(r->shell + 1)) {
        r->shell++;
        if (run_start(r, &again) == 0)
            return;
        error = &again;
    }
    answer(r, error);
    run_free(r);
}

static const struct guest_events events = { .frame = on_frame, .bytes = on_bytes, .end = on_end };

static int run_start(struct run *r, struct nt_error *reterr)
{
    struct nt_bytes frame;
    /* The input of a background program stays open for processes/{}/stdin. */
    uint32_t flags = r->spec.background ? NT_GX_BACKGROUND | NT_GX_STDIN : 0;
    if (exec_spec_frame(&r->spec, r->server, &r->ws, exchange_principal(r->x), exec_shell(r->shell),
                        flags, &frame, reterr)
        < 0)
        return -1;
    int rc = workspace_guest(r->server, &r->ws, frame, &events, r, &r->op, reterr);
    free((void *)(uintptr_t)frame.data);
    return rc;
}

/* --- the request --------------------------------------------------------------------------- */

static void on_lost(void *data)
{
    struct run *r = data;
    if (r->op)
        guest_op_cancel(r->op); /* the guest kills the whole tree */
}

static void on_hold(void *data)
{
    struct run *r = data;
    exchange_hold_open(r->x);
}

static void on_deadline(void *data)
{
    struct run *r = data;
    r->is_late = true;
    if (r->op)
        guest_op_cancel(r->op);
}

static int run_new(struct exchange *x, const struct workspace *ws, struct run **ret,
                   struct nt_error *reterr)
{
    struct exec_spec spec;
    if (exec_spec_read(exchange_json(x), &spec, reterr) < 0)
        return -1;
    struct run *r = calloc(1, sizeof(*r));
    if (!r)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    *r = (struct run){
        .x = x, .server = exchange_server(x), .spec = spec, .ws = workspace_without_texts(ws)
    };
    r->out[0].max = r->out[1].max = OUTPUT_MAX + UTF8_TEXT_MAX(NT_G_FRAME_MAX);
    if (spec.background)
        r->spec.timeout_ms = 0; /* clients send their default here, too: it is not meant */
    if (run_start(r, reterr) < 0) {
        run_free(r);
        return -1;
    }
    *ret = r;
    return 0;
}

static void exec_found(struct exchange *x, const struct workspace *ws, void *data)
{
    struct nt_error error = NT_ERROR_INIT;
    struct run *r = NULL;
    if (run_new(x, ws, &r, &error) < 0) {
        answer_guest_error(x, &error, GUEST_EXEC);
        return;
    }
    if (r->spec.background)
        return;
    struct nt_loop *loop = r->server->loop;
    r->hold = loop->ops->timer(loop, HOLD_AFTER_MS, 0, on_hold, r);
    if (r->spec.timeout_ms)
        r->deadline =
            loop->ops->timer(loop, r->spec.timeout_ms + DEADLINE_GRACE_MS, 0, on_deadline, r);
    exchange_on_lost(x, on_lost, r);
}

static void exec_post(struct server *server, struct exchange *x)
{
    workspace_find(x, exchange_param(x, 0), exec_found, NULL);
}

static const struct route rows[] = {
    { "POST", "/v1/sandboxes/{}/exec", exec_post, ROUTE_JSON, 0 },
};
const struct routes exec_routes = { rows, sizeof(rows) / sizeof(rows[0]) };
