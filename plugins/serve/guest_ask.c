/* SPDX-License-Identifier: Apache-2.0 */
/* guest_ask.c - short questions of the server itself to a guest: settings, metrics. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/serve/act.h"
#include "plugins/serve/health.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/json.h"

#define ANSWER_MS 15000

struct ask {
    struct server *server;
    struct guest_op *op;
    struct nt_timer *deadline;
    bool timed_out;
    char ws_id[44];
    void (*frame)(void *data, const struct nt_g_frame *frame);
    void (*done)(void *data, const struct nt_error *error);
    void *data;
};

static void on_frame(void *data, const struct nt_g_frame *frame)
{
    struct ask *ask = data;
    if (ask->frame)
        ask->frame(ask->data, frame);
}

static void on_end(void *data, const struct nt_error *error)
{
    struct ask *ask = data;
    struct nt_error late = NT_ERROR_INIT;
    if (ask->timed_out) {
        nt_fail(&late, NT_E_TIMEOUT, "the guest has not answered in %d s", ANSWER_MS / 1000);
        error = &late;
    }
    ask->server->loop->ops->timer_end(ask->deadline);
    ask->server->guest_ops--;
    if (!error)
        health_heard(ask->server, ask->ws_id);
    ask->done(ask->data, error);
    free(ask);
}

static void on_deadline(void *data)
{
    struct ask *ask = data;
    ask->timed_out = true;
    guest_op_cancel(ask->op);
}

int guest_ask(struct server *server, const char *ws_id, struct nt_bytes request,
              void (*frame)(void *data, const struct nt_g_frame *frame),
              void (*done)(void *data, const struct nt_error *error), void *data,
              struct nt_error *reterr)
{
    return guest_ask_with(server, ws_id, request, -1, frame, done, data, reterr);
}

int guest_ask_with(struct server *server, const char *ws_id, struct nt_bytes request, int given,
                   void (*frame)(void *data, const struct nt_g_frame *frame),
                   void (*done)(void *data, const struct nt_error *error), void *data,
                   struct nt_error *reterr)
{
    nt_autoclose int fd = given;
    static const struct guest_events events = { .frame = on_frame, .end = on_end };
    nt_autofree struct ask *ask = calloc(1, sizeof(*ask));
    if (!ask)
        return nt_fail(reterr, NT_E_MEMORY, "no memory to ask the guest");
    *ask = (struct ask){ .server = server, .frame = frame, .done = done, .data = data };
    nt_copy_text(ask->ws_id, sizeof(ask->ws_id), ws_id);
    ask->deadline = server->loop->ops->timer(server->loop, ANSWER_MS, 0, on_deadline, ask);
    if (!ask->deadline)
        return nt_fail(reterr, NT_E_MEMORY, "no memory to ask the guest");
    if (guest_op_new(server->uv, server->engine_ops, server->engine, ws_id, request, &events, ask,
                     &ask->op, reterr)
        < 0) {
        server->loop->ops->timer_end(ask->deadline);
        return -1;
    }
    if (fd >= 0)
        guest_op_attach_fd(ask->op, nt_take_fd(fd));
    server->guest_ops++;
    (void)nt_take(ask);
    return 0;
}

int guest_configure(struct server *server, const struct workspace *ws, int64_t ttl_ms,
                    void (*done)(void *data, const struct nt_error *error), void *data,
                    struct nt_error *reterr)
{
    nt_autofree uint8_t *memory = malloc(NT_G_HEAD + NT_G_FRAME_MAX);
    nt_auto_json json_t *envs = json_loads(ws->envs ? ws->envs : "{}", JSON_ALLOW_NUL, NULL);
    if (!memory || !json_is_object(envs))
        return nt_fail(reterr, NT_E_MEMORY, "the environment of %s cannot be read", ws->id);
    struct nt_g_writer w = nt_g_begin(memory, NT_G_HEAD + NT_G_FRAME_MAX, NT_G_CONFIGURE);
    const char *name;
    json_t *value;
    json_object_foreach(envs, name, value)
    {
        nt_auto(nt_buf_done) struct nt_buf entry = NT_BUF(NT_G_FRAME_MAX);
        nt_buf_addf(&entry, "%s=%s", name,
                    json_string_value(value) ? json_string_value(value) : "");
        if (!nt_buf_ok(&entry))
            return nt_fail(reterr, NT_E_LIMIT, "the environment is too large");
        nt_g_add_text(&w, NT_GT_ENV, nt_buf_text(&entry));
    }
    nt_g_add_number(&w, NT_GT_TTL_MS, ttl_ms > 0 ? (uint64_t)ttl_ms : 0);
    size_t size = nt_g_done(&w);
    if (size == 0)
        return nt_fail(reterr, NT_E_LIMIT, "the environment is too large");
    return guest_ask(server, ws->id, (struct nt_bytes){ memory, size }, NULL, done, data, reterr);
}
