/* SPDX-License-Identifier: Apache-2.0 */
/* exec_wire.c - the wide form of exec over a WebSocket: bytes as they are, both ways, signals and
 * the exact result. README.md describes the messages. The connection is the lifeline of the
 * program: when it closes, the tree is killed, unless it was asked to be kept, or is a job that
 * this connection only looks at. Output is handed from the guest's buffer to the socket without a
 * copy, one piece at a time. */
#include <stdlib.h>
#include <string.h>

#include "plugins/serve/api/answer.h"
#include "plugins/serve/api/channel.h"
#include "plugins/serve/api/exec_spec.h"
#include "plugins/serve/api/exec_ws.h"
#include "plugins/serve/api/utf8_text.h"
#include "plugins/serve/http/json_text.h"
#include "sdk/error.h"

#define WINDOW (1024u * 1024) /* of what the client may have on its way */
/* Input that waits here for a program that does not read. More stops reading from the client, and
 * with it its signals and the notice that it has left; so it is much. */
#define STDIN_WAITS_MAX (4u * 1024 * 1024)

enum { CHANNEL_STDIN = 0, CHANNEL_STDOUT = 1, CHANNEL_STDERR = 2 };

/* One connection; lives until the socket is closed, the guest's operation has ended and no bytes
 * are lent. */
struct wire {
    struct server *server;
    struct net_ws *sock;
    struct guest_op *op;
    struct nt_timer *first;
    struct workspace ws;
    struct principal principal;
    struct nt_buf text; /* a text message that comes */
    bool is_inside;     /* of a binary message: its first byte was read */
    bool wants_stdin, stdin_ended;
    bool has_begun, is_over;
    bool is_background; /* it ends with `started` */
    bool can_beat;      /* the guest gives signs of life, and the client wants them */
    int64_t beat_ms;
    bool is_lent;           /* bytes of op are in the socket's queue: op must stay */
    bool is_stalled;        /* owed is held back */
    uint64_t owed, waiting; /* to be granted; in the guest's queue since it was full */
};

static void wire_check(struct wire *w)
{
    if (w->sock || w->op || w->is_lent)
        return;
    w->server->loop->ops->timer_end(w->first);
    nt_buf_done(&w->text);
    free(w);
}

static void wire_over(struct wire *w, uint16_t code, const char *reason)
{
    w->is_over = true;
    if (w->sock)
        net_ws_close(w->sock, code, reason);
    if (w->op && !w->is_lent)
        guest_op_cancel(w->op);
}

static void wire_error(struct wire *w, uint16_t close_code, const struct nt_error *error)
{
    if (w->sock && !w->is_over) {
        int status = guest_not_started_status(error);
        const char *code = status == 127   ? "not_found"
                           : status == 126 ? "not_executable"
                           : error->attempt == NT_GE_NOT_FOUND
                               ? "job_not_found"
                               : guest_failure_of(error, GUEST_EXEC).code;
        json_t *m = json_object();
        json_object_set_new(m, "type", json_string("error"));
        json_object_set_new(m, "code", json_string(code));
        json_object_set_new(m, "message", utf8_json(error->message, strlen(error->message)));
        if (error->sys)
            json_object_set_new(m, "errno", json_integer(error->sys));
        if (status)
            json_object_set_new(m, "status", json_integer(status));
        exec_ws_send(w->sock, m);
    }
    wire_over(w, close_code, "");
}

static void wire_violation(struct wire *w, const char *what)
{
    struct nt_error error = NT_ERROR_INIT;
    nt_fail(&error, NT_E_INVALID, "%s", what);
    wire_error(w, 1008, &error);
}

/* --- from the guest ------------------------------------------------------------------------ */

static void put_exit(json_t *m, const struct guest_fields *f)
{
    json_object_set_new(m, "status", json_integer(guest_exit_code(f)));
    json_object_set_new(m, "reason", json_integer((json_int_t)(f->reason & 0xFF)));
    json_object_set_new(m, "signal", json_integer((json_int_t)(f->signal & 0xFF)));
}

/* "exit", or "end" of what is kept until now. */
static void send_exit(struct wire *w, const struct guest_fields *f, bool is_end)
{
    json_t *m = json_object();
    json_object_set_new(m, "type", json_string(is_end ? "end" : "exit"));
    if (is_end) {
        json_object_set_new(m, "running", json_boolean(f->running));
        json_object_set_new(m, "offset", json_integer((json_int_t)(f->offset & INT64_MAX)));
    }
    if (!is_end || !f->running)
        put_exit(m, f);
    json_object_set_new(m, "stdout_bytes", json_integer((json_int_t)(f->out_bytes & INT64_MAX)));
    json_object_set_new(m, "stderr_bytes", json_integer((json_int_t)(f->err_bytes & INT64_MAX)));
    json_object_set_new(m, "limits_hit", guest_hits_json(f->hits));
    if (f->message.size)
        json_object_set_new(m, "notice", utf8_json(f->message.data, f->message.size));
    exec_ws_send(w->sock, m);
}

static void send_started(struct wire *w, const struct guest_fields *f)
{
    json_t *m = json_pack("{s:s,s:I}", "type", "started", "pid", (json_int_t)(f->pid & INT32_MAX));
    if (f->id.size)
        json_object_set_new(m, "job", utf8_json(f->id.data, f->id.size));
    if (guest_fields_has(f, NT_GT_OFFSET))
        json_object_set_new(m, "offset", json_integer((json_int_t)(f->offset & INT64_MAX)));
    if (w->can_beat)
        json_object_set_new(m, "beat_ms", json_integer(w->beat_ms));
    exec_ws_send(w->sock, m);
    if (w->is_background)
        wire_over(w, 1000, "");
}

static void on_hello(void *data, uint64_t version, uint64_t caps, const uint8_t nonce[16])
{
    struct wire *w = data;
    w->can_beat = w->beat_ms && caps & NT_GC_BEAT;
}

static void on_frame(void *data, const struct nt_g_frame *frame)
{
    struct wire *w = data;
    struct nt_error error = NT_ERROR_INIT;
    struct guest_fields f;
    if (!w->sock || w->is_over)
        return;
    if (guest_fields_read(frame, &f, &error) < 0) {
        wire_error(w, 1011, &error);
    } else if (frame->type == NT_G_STARTED) {
        send_started(w, &f);
    } else if (frame->type == NT_G_BEAT) {
        exec_ws_send(w->sock, json_pack("{s:s}", "type", "beat"));
    } else if (frame->type == NT_G_EXIT || frame->type == NT_G_END) {
        send_exit(w, &f, frame->type == NT_G_END);
        wire_over(w, 1000, "");
    }
}

static void on_bytes_sent(void *data)
{
    struct wire *w = data;
    w->is_lent = false;
    if (w->op && w->is_over)
        guest_op_cancel(w->op);
    else if (w->op)
        guest_op_consumed(w->op);
    wire_check(w);
}

static void on_bytes(void *data, uint16_t type, struct nt_bytes bytes)
{
    struct wire *w = data;
    if (!w->sock || w->is_over || !bytes.size) {
        guest_op_consumed(w->op);
        return;
    }
    w->is_lent = true;
    net_ws_send_borrowed(w->sock, type == NT_G_STDERR ? CHANNEL_STDERR : CHANNEL_STDOUT, bytes,
                         on_bytes_sent, w);
}

static void on_sent(void *data)
{
    struct wire *w = data;
    w->waiting = 0;
    if (!w->is_stalled || !w->sock)
        return;
    w->is_stalled = false;
    net_ws_keepalive(w->sock, CHANNEL_KEEPALIVE_MS);
    net_ws_grant(w->sock, w->owed);
    w->owed = 0;
}

static void on_end(void *data, const struct nt_error *error)
{
    struct wire *w = data;
    w->op = NULL;
    if (!w->is_over) {
        struct nt_error lost = NT_ERROR_INIT;
        nt_fail(&lost, NT_E_CLOSED, "the workspace ended before the program");
        wire_error(w, error && guest_not_started_status(error) ? 1000 : 1011,
                   error ? error : &lost);
    }
    wire_check(w);
}

static const struct guest_events guest_events = {
    .hello = on_hello, .frame = on_frame, .bytes = on_bytes, .sent = on_sent, .end = on_end
};

/* --- from the client ----------------------------------------------------------------------- */

static void begin(struct wire *w, json_t *message)
{
    struct nt_error error = NT_ERROR_INIT;
    struct exec_spec spec;
    struct nt_bytes frame;
    w->has_begun = true;
    w->wants_stdin = json_is_true(json_object_get(message, "stdin"));
    if (exec_spec_read_wide(message, &spec, &error) < 0) {
        wire_error(w, 1000, &error);
        return;
    }
    w->is_background = spec.background;
    w->beat_ms = spec.beat_ms;
    uint32_t flags = (w->wants_stdin ? NT_GX_STDIN : 0) | (spec.background ? NT_GX_BACKGROUND : 0)
                     | (spec.keep ? NT_GX_KEEP : 0);
    if (exec_spec_frame(&spec, w->server, &w->ws, &w->principal, NULL, flags, &frame, &error) < 0) {
        wire_error(w, 1000, &error);
        return;
    }
    int rc = workspace_guest(w->server, &w->ws, frame, &guest_events, w, &w->op, &error);
    free((void *)(uintptr_t)frame.data);
    if (rc < 0)
        wire_error(w, 1000, &error);
}

/* Looks at a job: its output from `offset`, and (follow) all that comes until its end. */
static void attach(struct wire *w, const json_t *message)
{
    struct nt_error error = NT_ERROR_INIT;
    uint8_t memory[256];
    const char *id = json_string_value(json_object_get(message, "job"));
    json_int_t offset = json_integer_value(json_object_get(message, "offset"));
    json_int_t beat_ms = json_integer_value(json_object_get(message, "beat_ms"));
    bool is_following = !json_is_false(json_object_get(message, "follow"));
    w->has_begun = true;
    if (!id || strlen(id) > 40 || offset < 0 || beat_ms < 0) {
        wire_violation(w, "attach needs a job, and an offset that is not negative");
        return;
    }
    w->beat_ms = beat_ms;
    struct nt_g_writer g =
        nt_g_begin(memory, sizeof(memory), is_following ? NT_G_ATTACH : NT_G_LOGS);
    nt_g_add_text(&g, NT_GT_ID, id);
    nt_g_add_number(&g, NT_GT_OFFSET, (uint64_t)offset);
    nt_g_add_number(&g, NT_GT_BEAT_MS, (uint64_t)beat_ms);
    if (workspace_guest(w->server, &w->ws, (struct nt_bytes){ memory, nt_g_done(&g) },
                        &guest_events, w, &w->op, &error)
        < 0)
        wire_error(w, 1000, &error);
}

static void end_stdin(struct wire *w)
{
    uint8_t memory[64];
    struct nt_g_writer frame = nt_g_begin(memory, sizeof(memory), NT_G_STDIN_END);
    if (w->op && w->wants_stdin && !w->stdin_ended)
        guest_op_send(w->op, 0, (struct nt_bytes){ memory, nt_g_done(&frame) });
    w->stdin_ended = true;
}

static void send_signal(struct wire *w, uint64_t signal, uint64_t flags)
{
    uint8_t memory[64];
    struct nt_g_writer frame = nt_g_begin(memory, sizeof(memory), NT_G_SIGNAL);
    nt_g_add_number(&frame, NT_GT_SIGNAL, signal);
    nt_g_add_number(&frame, NT_GT_FLAGS, flags);
    if (w->op)
        guest_op_send(w->op, 0, (struct nt_bytes){ memory, nt_g_done(&frame) });
}

static void on_text(struct wire *w)
{
    json_t *m = w->text.size ? json_text_parse(w->text.data, w->text.size) : NULL;
    const char *type = json_string_value(json_object_get(m, "type"));
    json_int_t signal = json_integer_value(json_object_get(m, "signal"));
    if (!type)
        wire_violation(w, "a text message must be a JSON object with a type");
    else if (!strcmp(type, "exec") && !w->has_begun)
        begin(w, m);
    else if (!strcmp(type, "attach") && !w->has_begun)
        attach(w, m);
    else if (!w->has_begun)
        wire_violation(w, "the first message must be exec or attach");
    else if (!strcmp(type, "stdin_end"))
        end_stdin(w);
    else if (!strcmp(type, "signal") && signal >= 1 && signal <= 64)
        send_signal(w, (uint64_t)signal, 0);
    else if (!strcmp(type, "kill"))
        send_signal(w, 9, NT_GX_TREE);
    else if (!strcmp(type, "exec") || !strcmp(type, "attach") || !strcmp(type, "signal"))
        wire_violation(w, "the message is not right here");
    /* Types that are not known are for a later version. */
    json_decref(m);
    nt_buf_reset(&w->text);
}

/* Passes input on; returns false when the client should be granted no more for now. */
static bool on_stdin(struct wire *w, const uint8_t *p, size_t size)
{
    if (!w->op || !w->wants_stdin || w->stdin_ended)
        return true;
    for (size_t n; size; size -= n, p += n) {
        n = size < NT_G_CHUNK ? size : NT_G_CHUNK;
        if (guest_op_send(w->op, NT_G_STDIN, (struct nt_bytes){ p, n }))
            w->waiting = 0;
        else
            w->waiting += n;
    }
    return w->waiting < STDIN_WAITS_MAX;
}

static void on_message(void *data, struct net_ws *sock, struct nt_bytes bytes, bool is_text,
                       bool last)
{
    struct wire *w = data;
    bool room = true;
    if (w->is_over) {
        net_ws_grant(sock, bytes.size);
        return;
    }
    if (is_text) {
        nt_buf_add_bytes(&w->text, bytes.data, bytes.size);
        if (!nt_buf_ok(&w->text))
            wire_violation(w, "the message is too long");
        else if (last)
            on_text(w);
    } else {
        const uint8_t *p = bytes.data;
        size_t skip = !w->is_inside && bytes.size ? 1 : 0;
        if (!w->has_begun || (skip && p[0] != CHANNEL_STDIN))
            wire_violation(w, "a binary message must start with 0 and follow exec");
        else
            room = on_stdin(w, p + skip, bytes.size - skip);
        w->is_inside = !last && (w->is_inside || skip);
    }
    w->owed += bytes.size;
    if (room && !w->is_stalled) {
        net_ws_grant(sock, w->owed);
        w->owed = 0;
    } else if (!w->is_stalled) {
        w->is_stalled = true;
        net_ws_keepalive(sock, 0); /* nothing is read now, so silence proves nothing */
    }
}

static void on_closed(void *data, struct net_ws *sock, uint16_t code, const struct nt_error *reason)
{
    struct wire *w = data;
    w->sock = NULL;
    w->is_over = true;
    if (w->op && !w->is_lent)
        guest_op_cancel(w->op); /* kills the tree */
    wire_check(w);
}

static const struct net_ws_events ws_events = { .message = on_message, .closed = on_closed };

static void on_first_late(void *data)
{
    struct wire *w = data;
    if (!w->has_begun && w->sock)
        wire_violation(w, "no exec message came");
}

void exec_wire_accept(struct exchange *x, const struct workspace *ws)
{
    struct wire *w = calloc(1, sizeof(*w));
    if (!w) {
        exchange_fail(x, 500, "internal_error", "out of memory");
        return;
    }
    w->server = exchange_server(x);
    w->ws = workspace_without_texts(ws);
    w->principal = *exchange_principal(x);
    w->text.max = CHANNEL_TEXT_MAX;
    const struct channel_start start = { &ws_events, on_first_late, w, WINDOW };
    if (!channel_begin(x, &start, &w->sock, &w->first))
        wire_check(w);
}
