/* SPDX-License-Identifier: Apache-2.0 */
/* exec_ws.c - WS /v1/sandboxes/{}/ws?channel=exec: one program per connection, JSON text messages.
 *
 * exec_start starts the program in the background and attaches to it, as exec_connect does to one
 * that runs: closing the socket leaves it alone, and its output and status stay readable. The
 * answer is exec_started, output, exec_exit. Output is cut into small messages (clients refuse 1
 * MiB) between characters (they refuse invalid UTF-8). */
#include "plugins/serve/api/exec_ws.h"

#include <stdlib.h>
#include <string.h>

#include "plugins/serve/api/answer.h"
#include "plugins/serve/api/routes.h"
#include "plugins/serve/api/channel.h"
#include "plugins/serve/api/exec_spec.h"
#include "plugins/serve/api/file_watch.h"
#include "plugins/serve/api/pty.h"
#include "plugins/serve/api/utf8_text.h"
#include "plugins/serve/http/json_text.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define PIECE (32u * 1024) /* raw bytes per message: at most 192 KiB when each becomes an escape   \
                            */

enum phase {
    PHASE_FIRST,  /* waits for the client's message */
    PHASE_START,  /* the program is being started */
    PHASE_ATTACH, /* its output comes */
    PHASE_OVER,
};

/* One connection; lives until the socket is closed and the guest's operation has ended. */
struct session {
    struct server *server;
    struct net_ws *sock;
    struct guest_op *op;
    struct nt_timer *first;
    struct workspace ws;
    struct principal principal;
    enum phase phase;
    struct nt_buf message;
    json_t *request;
    struct exec_spec spec; /* borrows from request */
    unsigned shell;
    uint64_t pid;
    struct utf8_text text[2];
    bool owes_consumed; /* bytes of the guest wait for the socket's queue */
};

static void session_check(struct session *s)
{
    if (s->sock || s->op)
        return;
    s->server->loop->ops->timer_end(s->first);
    nt_buf_done(&s->message);
    json_decref(s->request);
    free(s);
}

uint64_t exec_ws_send(struct net_ws *sock, json_t *message)
{
    nt_autofree char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;
    json_decref(message);
    if (!text) {
        net_ws_close(sock, 1011, "out of memory");
        return 0;
    }
    return net_ws_send(sock, (struct nt_bytes){ text, strlen(text) }, true);
}

/* {"type","id"} with the id that the client chose. */
static json_t *message_new(struct session *s, const char *type)
{
    json_t *m = json_object();
    json_object_set_new(m, "type", json_string(type));
    json_t *id = json_object_get(s->request, "id");
    if (json_is_string(id))
        json_object_set(m, "id", id);
    if (s->pid)
        json_object_set_new(m, "pid", json_integer((json_int_t)s->pid));
    return m;
}

static void session_over(struct session *s, uint16_t code, const char *reason)
{
    s->phase = PHASE_OVER;
    if (s->sock)
        net_ws_close(s->sock, code, reason);
    if (s->op)
        guest_op_cancel(s->op);
}

static void session_error(struct session *s, uint16_t close_code, const char *code,
                          const char *message)
{
    if (s->sock && s->phase != PHASE_OVER) {
        json_t *m = message_new(s, "error");
        json_object_set_new(m, "message", utf8_json(message, strlen(message)));
        json_object_set_new(m, "code", json_string(code));
        exec_ws_send(s->sock, m);
    }
    session_over(s, close_code, code);
}

/* Sends output; returns the credit left. */
static uint64_t send_output(struct session *s, int i, const struct nt_buf *text)
{
    json_t *m = message_new(s, i ? "exec_stderr" : "exec_stdout");
    json_object_set_new(m, "data", json_stringn_nocheck(nt_buf_text(text), text->size));
    return exec_ws_send(s->sock, m);
}

static void send_exit(struct session *s, int exit_code)
{
    if (!s->sock || s->phase == PHASE_OVER)
        return;
    for (int i = 0; i < 2; i++) {
        struct nt_buf text = NT_BUF(16);
        utf8_text_end(&s->text[i], &text);
        if (text.size)
            send_output(s, i, &text);
        nt_buf_done(&text);
    }
    json_t *m = message_new(s, "exec_exit");
    json_object_set_new(m, "exit_code", json_integer(exit_code));
    exec_ws_send(s->sock, m);
}

/* --- what the guest says ------------------------------------------------------------------- */

static int session_start(struct session *s, struct nt_error *reterr);
static int session_attach(struct session *s, struct nt_error *reterr);

static void on_frame(void *data, const struct nt_g_frame *frame)
{
    struct session *s = data;
    struct nt_error error = NT_ERROR_INIT;
    struct guest_fields f;
    if (guest_fields_read(frame, &f, &error) < 0) {
        session_error(s, 1011, "internal_error", error.message);
        return;
    }
    if (frame->type == NT_G_STARTED && s->phase == PHASE_START) {
        s->pid = f.pid;
        guest_op_cancel(s->op); /* it lives on; on_end attaches to it */
    } else if (frame->type == NT_G_STARTED && s->phase == PHASE_ATTACH && s->sock) {
        exec_ws_send(s->sock, message_new(s, "exec_started"));
    } else if (frame->type == NT_G_EXIT && s->phase == PHASE_ATTACH) {
        send_exit(s, guest_exit_code(&f));
        session_over(s, 1000, "");
    }
}

static void on_bytes(void *data, uint16_t type, struct nt_bytes bytes)
{
    struct session *s = data;
    int i = type == NT_G_STDERR;
    const uint8_t *p = bytes.data;
    uint64_t credit = 1;
    for (size_t left = bytes.size, n; left && s->sock && s->phase == PHASE_ATTACH;
         left -= n, p += n) {
        n = left < PIECE ? left : PIECE;
        struct nt_buf text = NT_BUF(UTF8_TEXT_MAX(PIECE));
        utf8_text_add(&s->text[i], p, n, &text);
        if (text.size)
            credit = send_output(s, i, &text);
        nt_buf_done(&text);
    }
    if (credit)
        guest_op_consumed(s->op);
    else
        s->owes_consumed = true;
}

static void on_end(void *data, const struct nt_error *error)
{
    struct session *s = data;
    struct nt_error again = NT_ERROR_INIT;
    int rc = -1;
    s->op = NULL;
    s->owes_consumed = false;
    if (s->phase == PHASE_START && s->pid) {
        s->phase = PHASE_ATTACH;
        rc = s->sock ? session_attach(s, &again) : -1;
        error = &again;
    } else if (s->phase == PHASE_START && exec_shell_is_missing(&s->spec, error)
               && exec_shell(s->shell + 1)) {
        s->shell++;
        rc = session_start(s, &again);
        error = &again;
    }
    if (rc == 0)
        return;
    int status = error ? guest_not_started_status(error) : 0;
    if (s->phase == PHASE_START && status && s->sock) {
        /* Clients that stream see a program that ended with this status; those that wait for
         * exec_started see the error behind it. */
        struct nt_buf text = NT_BUF(NT_G_FRAME_MAX);
        nt_buf_addf(&text, "nanoterm: %s: %s\n", exec_spec_name(&s->spec), error->message);
        send_output(s, 1, &text);
        nt_buf_done(&text);
        send_exit(s, status);
    }
    if (s->phase != PHASE_OVER)
        session_error(s, status ? 1000 : 1011,
                      error ? guest_failure_of(error, GUEST_EXEC).code : "exec_failed",
                      error && error->message[0] ? error->message : "the workspace ended");
    session_check(s);
}

static const struct guest_events guest_events = { .frame = on_frame,
                                                  .bytes = on_bytes,
                                                  .end = on_end };

static int session_attach(struct session *s, struct nt_error *reterr)
{
    uint8_t memory[64];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_ATTACH);
    nt_g_add_number(&w, NT_GT_PID, s->pid);
    return workspace_guest(s->server, &s->ws, (struct nt_bytes){ memory, nt_g_done(&w) },
                           &guest_events, s, &s->op, reterr);
}

static int session_start(struct session *s, struct nt_error *reterr)
{
    struct nt_bytes frame;
    if (exec_spec_frame(&s->spec, s->server, &s->ws, &s->principal, exec_shell(s->shell),
                        NT_GX_BACKGROUND | NT_GX_STDIN, &frame, reterr)
        < 0)
        return -1;
    int rc = workspace_guest(s->server, &s->ws, frame, &guest_events, s, &s->op, reterr);
    free((void *)(uintptr_t)frame.data);
    return rc;
}

/* --- what the client says ------------------------------------------------------------------ */

static int session_begin(struct session *s, struct nt_error *reterr)
{
    const char *type = json_string_value(json_object_get(s->request, "type"));
    json_t *pid = json_object_get(s->request, "pid");
    if (type && !strcmp(type, "exec_start")) {
        if (exec_spec_read(s->request, &s->spec, reterr) < 0)
            return -1;
        /* The client's default is sent also where no limit was asked for, and must not end a server
         * after 30 s. */
        if (s->spec.timeout_ms == EXEC_DEFAULT_TIMEOUT_MS)
            s->spec.timeout_ms = 0;
        s->phase = PHASE_START;
        return session_start(s, reterr);
    }
    if (type && !strcmp(type, "exec_connect") && json_is_integer(pid)
        && json_integer_value(pid) > 0) {
        s->pid = (uint64_t)json_integer_value(pid);
        s->phase = PHASE_ATTACH;
        return session_attach(s, reterr);
    }
    return nt_fail(reterr, NT_E_INVALID, "the first message must be exec_start or exec_connect");
}

static void on_message(void *data, struct net_ws *sock, struct nt_bytes bytes, bool is_text,
                       bool last)
{
    struct session *s = data;
    struct nt_error error = NT_ERROR_INIT;
    net_ws_grant(sock, bytes.size);
    if (s->phase != PHASE_FIRST)
        return; /* nothing else is known in this protocol */
    nt_buf_add_bytes(&s->message, bytes.data, bytes.size);
    if (!nt_buf_ok(&s->message)) {
        session_error(s, 1009, "invalid_request", "the message is too long");
        return;
    }
    if (!last)
        return;
    s->request = s->message.size ? json_text_parse(s->message.data, s->message.size) : NULL;
    nt_buf_done(&s->message);
    if (!json_is_object(s->request)) {
        session_error(s, 1007, "invalid_request", "the first message must be a JSON object");
        return;
    }
    if (session_begin(s, &error) < 0)
        session_error(s, 1000, guest_failure_of(&error, GUEST_EXEC).code, error.message);
}

static void on_writable(void *data, struct net_ws *sock, uint64_t credit)
{
    struct session *s = data;
    if (!s->owes_consumed)
        return;
    s->owes_consumed = false;
    if (s->op)
        guest_op_consumed(s->op);
}

static void on_closed(void *data, struct net_ws *sock, uint16_t code, const struct nt_error *reason)
{
    struct session *s = data;
    s->sock = NULL;
    if (s->op && s->phase != PHASE_START) /* a start that was asked for is seen through */
        guest_op_cancel(s->op);
    session_check(s);
}

static const struct net_ws_events ws_events = { .message = on_message,
                                                .writable = on_writable,
                                                .closed = on_closed };

static void on_first_late(void *data)
{
    struct session *s = data;
    if (s->phase == PHASE_FIRST && s->sock)
        session_over(s, 1008, "no message came");
}

static void ws_found(struct exchange *x, const struct workspace *ws, void *data)
{
    if (!channel_can_begin(x, ws))
        return;
    if (exchange_is_wide(x)) {
        exec_wire_accept(x, ws);
        return;
    }
    struct session *s = calloc(1, sizeof(*s));
    if (!s) {
        exchange_fail(x, 500, "internal_error", "out of memory");
        return;
    }
    s->server = exchange_server(x);
    s->ws = workspace_without_texts(ws);
    s->principal = *exchange_principal(x);
    s->message.max = CHANNEL_TEXT_MAX;
    const struct channel_start start = { &ws_events, on_first_late, s, CHANNEL_TEXT_MAX };
    if (!channel_begin(x, &start, &s->sock, &s->first))
        session_check(s);
}

static void ws_handler(struct server *server, struct exchange *x)
{
    const char *channel = exchange_query(x, "channel");
    if (channel && !strcmp(channel, "exec"))
        workspace_find(x, exchange_param(x, 0), ws_found, NULL);
    else if (!channel)
        file_watch_accept(x);
    else if (channel && !strcmp(channel, "pty"))
        workspace_find(x, exchange_param(x, 0), pty_ws_found, NULL);
    else /* refused before the upgrade: clients read the status, not the body */
        exchange_fail(x, 501, "not_implemented", "the channels are exec and pty");
}

static const struct route rows[] = {
    { "GET", "/v1/sandboxes/{}/ws", ws_handler, ROUTE_WEBSOCKET, 0 },
};
const struct routes exec_ws_routes = { rows, sizeof(rows) / sizeof(rows[0]) };
