/* SPDX-License-Identifier: Apache-2.0 */
/* pty_ws.c - WS /v1/sandboxes/{}/ws?channel=pty: a terminal over a WebSocket, in both forms.
 *
 * The narrow form is all JSON; its sessions are started in the background, so they outlive the
 * socket and this server, and the socket only attaches. The wide form carries bytes as they are,
 * and starts any program; it hangs up when the client is lost, unless asked to keep it; when this
 * server is lost, it goes on. pty_started is the first message of either. README.md describes the
 * messages. */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/serve/api/answer.h"
#include "plugins/serve/api/channel.h"
#include "plugins/serve/api/exec_spec.h"
#include "plugins/serve/api/exec_ws.h"
#include "plugins/serve/api/pty.h"
#include "plugins/serve/api/pty_session.h"
#include "plugins/serve/api/utf8_text.h"
#include "plugins/serve/http/json_text.h"
#include "plugins/serve/server.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/json.h"

#define COLS_DEFAULT 120
#define ROWS_DEFAULT 30
#define PIECE (48u * 1024)            /* raw bytes in one JSON message */
#define WINDOW (2u * 1024 * 1024)     /* of what the client may have on its way */
#define INPUT_WAITS_MAX (256u * 1024) /* for a program that does not read */
#define LINGER_MS 10000               /* after the end, for the client to close */
#define HANG_UP_MS 5000               /* for the guest to say that the program has ended */

enum { CHANNEL_INPUT = 0, CHANNEL_OUTPUT = 1 };

static const struct guest_events guest_events;

static void session_check(struct pty_session *s)
{
    if (s->sock || s->op || s->is_lent)
        return;
    s->server->loop->ops->timer_end(s->timer);
    nt_buf_done(&s->text);
    free(s);
}

static void send_frame(struct pty_session *s, struct nt_g_writer *w)
{
    size_t size = nt_g_done(w);
    if (s->op && size)
        guest_op_send(s->op, 0, (struct nt_bytes){ w->data, size });
}

static void on_hang_up_late(void *data)
{
    struct pty_session *s = data;
    s->is_hanging_up = false;
    if (s->op && !s->is_lent)
        guest_op_cancel(s->op);
    session_check(s);
}

/* The program was started to outlive this server (KEEP), but not its client: the guest is told
 * which of the two has gone. */
static void hang_up(struct pty_session *s)
{
    uint8_t memory[64];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_SIGNAL);
    nt_g_add_number(&w, NT_GT_FLAGS, s->can_hang_up ? NT_GX_HANG_UP : NT_GX_TREE);
    send_frame(s, &w);
    s->is_hanging_up = true;
    s->server->loop->ops->timer_end(s->timer);
    s->timer = s->server->loop->ops->timer(s->server->loop, HANG_UP_MS, 0, on_hang_up_late, s);
}

static void let_go(struct pty_session *s)
{
    if (!s->op || s->is_hanging_up)
        return;
    if (s->hangs_up)
        hang_up(s);
    else if (!s->is_lent)
        guest_op_cancel(s->op);
}

static void session_over(struct pty_session *s, uint16_t code, const char *reason)
{
    s->phase = PHASE_OVER;
    if (s->sock)
        net_ws_close(s->sock, code, reason);
    let_go(s);
}

static json_t *message_new(const struct pty_session *s, const char *type)
{
    json_t *m = json_object();
    json_object_set_new(m, "type", json_string(type));
    if (s->label[0])
        json_object_set_new(m, "id", json_string(s->label));
    if (s->row.id[0])
        json_object_set_new(m, "session_id", json_string(s->row.id));
    return m;
}

static void session_error(struct pty_session *s, uint16_t close_code, const struct nt_error *error)
{
    int status = guest_not_started_status(error);
    const char *code = status == 127   ? "not_found"
                       : status == 126 ? "not_executable"
                       : error->attempt == NT_GE_NOT_FOUND
                           ? "pty_not_found"
                           : guest_failure_of(error, GUEST_EXEC).code;
    if (s->sock && s->phase != PHASE_OVER) {
        json_t *m = message_new(s, "error");
        json_object_set_new(m, "code", json_string(code));
        json_object_set_new(m, "message", utf8_json(error->message, strlen(error->message)));
        if (s->is_wide && status) {
            json_object_set_new(m, "status", json_integer(status));
            json_object_set_new(m, "errno", json_integer(error->sys));
        }
        exec_ws_send(s->sock, m);
    }
    session_over(s, close_code, "");
}

static void violation(struct pty_session *s, const char *what)
{
    struct nt_error error = NT_ERROR_INIT;
    nt_fail(&error, NT_E_INVALID, "%s", what);
    session_error(s, 1008, &error);
}

/* --- what the guest says ------------------------------------------------------------------- */

static void send_started(struct pty_session *s)
{
    json_t *m = message_new(s, "pty_started");
    json_object_set_new(m, "pid", json_integer((json_int_t)s->row.pid));
    json_object_set_new(m, "cols", json_integer((json_int_t)s->row.cols));
    json_object_set_new(m, "rows", json_integer((json_int_t)s->row.rows));
    json_object_set_new(m, "exec_id", json_string(s->row.id));
    if (s->is_wide)
        json_object_set_new(m, "offset", json_integer((json_int_t)s->row.offset));
    if (s->can_beat)
        json_object_set_new(m, "beat_ms", json_integer(s->beat_ms));
    if (s->hangs_up)
        json_object_set_new(m, "outlives_server", json_true());
    exec_ws_send(s->sock, m);
}

static void on_hello(void *data, uint64_t version, uint64_t caps, const uint8_t nonce[16])
{
    struct pty_session *s = data;
    s->can_beat = s->beat_ms && caps & NT_GC_BEAT;
    s->can_hang_up = caps & NT_GC_HANG_UP;
}

static void take_started(struct pty_session *s, const struct nt_g_frame *frame)
{
    struct pty_row row;
    if (pty_row_read(frame, &row) < 0)
        return;
    if (!row.cols || !row.rows) { /* of EXEC: it has the size that was asked for */
        row.cols = s->row.cols;
        row.rows = s->row.rows;
        row.flags = NT_GX_TTY;
    }
    s->row = row;
    if (!(row.flags & NT_GX_TTY)) {
        violation(s, "this program has no terminal: see its logs instead");
        return;
    }
    if (s->phase == PHASE_START && !s->is_detached)
        return; /* on_end attaches */
    s->phase = PHASE_LIVE;
    send_started(s);
}

static void on_close_late(void *data)
{
    struct pty_session *s = data;
    if (s->sock)
        session_over(s, 1000, "");
}

static void take_exit(struct pty_session *s, const struct nt_g_frame *frame)
{
    struct nt_error error = NT_ERROR_INIT;
    struct guest_fields f;
    if (guest_fields_read(frame, &f, &error) < 0) {
        session_error(s, 1011, &error);
        return;
    }
    s->hangs_up = false;
    json_t *m = message_new(s, "pty_exited");
    json_object_set_new(m, "exit_code", json_integer(guest_exit_code(&f)));
    if (s->is_wide) {
        json_object_set_new(m, "reason", json_integer((json_int_t)(f.reason & 0xFF)));
        json_object_set_new(m, "signal", json_integer((json_int_t)(f.signal & 0xFF)));
    }
    exec_ws_send(s->sock, m);
    if (s->is_wide) {
        session_over(s, 1000, "");
        return;
    }
    s->phase = PHASE_OVER; /* clients close; those that do not are closed */
    s->server->loop->ops->timer_end(s->timer);
    s->timer = s->server->loop->ops->timer(s->server->loop, LINGER_MS, 0, on_close_late, s);
}

static void on_frame(void *data, const struct nt_g_frame *frame)
{
    struct pty_session *s = data;
    if (!s->sock || s->phase == PHASE_OVER)
        return;
    if (frame->type == NT_G_STARTED)
        take_started(s, frame);
    else if (frame->type == NT_G_EXIT)
        take_exit(s, frame);
    else if (frame->type == NT_G_BEAT && s->phase == PHASE_LIVE)
        exec_ws_send(s->sock, message_new(s, "beat"));
}

static uint64_t send_output(struct pty_session *s, const uint8_t *bytes, size_t size)
{
    size_t room = sodium_base64_ENCODED_LEN(size, sodium_base64_VARIANT_ORIGINAL);
    nt_autofree char *text = malloc(room);
    json_t *m = message_new(s, "pty_output");
    if (text)
        sodium_bin2base64(text, room, bytes, size, sodium_base64_VARIANT_ORIGINAL);
    json_object_set_new(m, "data_base64", json_string(text));
    return exec_ws_send(s->sock, m);
}

static void on_bytes_sent(void *data)
{
    struct pty_session *s = data;
    s->is_lent = false;
    if (s->op && s->phase == PHASE_OVER && !s->is_hanging_up)
        guest_op_cancel(s->op);
    else if (s->op)
        guest_op_consumed(s->op);
    session_check(s);
}

static void on_bytes(void *data, uint16_t type, struct nt_bytes bytes)
{
    struct pty_session *s = data;
    const uint8_t *p = bytes.data;
    uint64_t credit = 1;
    if (!s->sock || s->phase != PHASE_LIVE || !bytes.size) {
        guest_op_consumed(s->op);
        return;
    }
    if (s->is_wide) {
        s->is_lent = true;
        net_ws_send_borrowed(s->sock, CHANNEL_OUTPUT, bytes, on_bytes_sent, s);
        return;
    }
    for (size_t left = bytes.size, n; left && s->sock; left -= n, p += n) {
        n = left < PIECE ? left : PIECE;
        credit = send_output(s, p, n);
    }
    s->owes_consumed = !credit;
    if (credit)
        guest_op_consumed(s->op);
}

static void on_sent(void *data)
{
    struct pty_session *s = data;
    s->waiting = 0;
    if (!s->is_stalled || !s->sock)
        return;
    s->is_stalled = false;
    net_ws_keepalive(s->sock, CHANNEL_KEEPALIVE_MS);
    net_ws_grant(s->sock, s->owed);
    s->owed = 0;
}

static void on_end(void *data, const struct nt_error *error)
{
    struct pty_session *s = data;
    struct nt_error again = NT_ERROR_INIT;
    s->op = NULL;
    s->owes_consumed = false;
    if (s->phase == PHASE_START && !error && s->row.id[0]) {
        s->phase = PHASE_ATTACH;
        if (s->sock && pty_begin_attach(s, NULL, &guest_events, &again) < 0)
            session_error(s, 1011, &again);
    } else if (s->phase == PHASE_LIVE && s->is_detached) {
        session_over(s, 1000, "");
    } else if (s->phase != PHASE_OVER) {
        nt_fail(&again, NT_E_CLOSED, "the workspace ended before the program");
        session_error(s, error && error->attempt ? 1000 : 1011, error ? error : &again);
    }
    session_check(s);
}

static const struct guest_events guest_events = {
    .hello = on_hello, .frame = on_frame, .bytes = on_bytes, .sent = on_sent, .end = on_end
};

/* --- the first message --------------------------------------------------------------------- */

static void begin(struct pty_session *s, json_t *m, const char *type)
{
    struct nt_error error = NT_ERROR_INIT;
    const char *label = json_string_value(json_object_get(m, "id"));
    bool is_start = type && !strcmp(type, "pty_start");
    if (label && strlen(label) < sizeof(s->label))
        memcpy(s->label, label, strlen(label) + 1);
    if (!is_start && (!type || strcmp(type, "pty_connect"))) {
        violation(s, "the first message must be pty_start or pty_connect");
        return;
    }
    if (pty_size_read(m, "cols", is_start ? COLS_DEFAULT : 0, &s->row.cols) < 0
        || pty_size_read(m, "rows", is_start ? ROWS_DEFAULT : 0, &s->row.rows) < 0) {
        violation(s, "cols and rows must be numbers from 1 to 65535");
        return;
    }
    if (s->is_wide)
        s->beat_ms = json_integer_value(json_object_get(m, "beat_ms"));
    if (s->beat_ms < 0) {
        violation(s, "beat_ms must be a number of milliseconds, not below 0");
        return;
    }
    if ((is_start ? pty_begin_start(s, m, &guest_events, &error)
                  : pty_begin_attach(s, m, &guest_events, &error))
        < 0)
        session_error(s, 1000, &error);
}

/* --- what else the client says ------------------------------------------------------------- */

static void send_input(struct pty_session *s, const uint8_t *p, size_t size)
{
    for (size_t n; s->op && size; size -= n, p += n) {
        n = size < NT_G_CHUNK ? size : NT_G_CHUNK;
        if (guest_op_send(s->op, NT_G_STDIN, (struct nt_bytes){ p, n }))
            s->waiting = 0;
        else
            s->waiting += n;
    }
}

static void take_input(struct pty_session *s, const json_t *m)
{
    const char *text = json_string_value(json_object_get(m, "data"));
    const char *coded = json_string_value(json_object_get(m, "data_base64"));
    if (text) {
        send_input(s, (const uint8_t *)text, json_string_length(json_object_get(m, "data")));
        return;
    }
    size_t room = coded ? strlen(coded) / 4 * 3 + 3 : 0, size = 0;
    nt_autofree uint8_t *bytes = malloc(room + 1);
    if (!bytes || !coded
        || sodium_base642bin(bytes, room, coded, strlen(coded), NULL, &size, NULL,
                             sodium_base64_VARIANT_ORIGINAL)
               < 0)
        violation(s, "pty_input needs data, or data_base64 that is base64");
    else
        send_input(s, bytes, size);
}

static void take_resize(struct pty_session *s, const json_t *m)
{
    uint8_t memory[64];
    uint64_t cols, rows;
    if (pty_size_read(m, "cols", 0, &cols) < 0 || pty_size_read(m, "rows", 0, &rows) < 0 || !cols
        || !rows) {
        violation(s, "cols and rows must be numbers from 1 to 65535");
        return;
    }
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_RESIZE);
    nt_g_add_number(&w, NT_GT_COLS, cols);
    nt_g_add_number(&w, NT_GT_ROWS, rows);
    send_frame(s, &w);
}

/* Its end is told by EXIT on our own stream, or by nobody when the session has ended meanwhile. */
static void kill_session(struct pty_session *s)
{
    static const struct guest_events nothing = { 0 };
    struct nt_error error = NT_ERROR_INIT;
    struct guest_op *op;
    uint8_t memory[128];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_KILL);
    nt_g_add_text(&w, NT_GT_ID, s->row.id);
    nt_g_add_number(&w, NT_GT_SIGNAL, 9);
    nt_g_add_number(&w, NT_GT_FLAGS, NT_GX_TREE);
    if (workspace_guest(s->server, &s->ws, (struct nt_bytes){ memory, nt_g_done(&w) }, &nothing,
                        NULL, &op, &error)
        < 0)
        session_error(s, 1011, &error);
}

static void take_signal(struct pty_session *s, const json_t *m)
{
    uint8_t memory[64];
    json_int_t signal = json_integer_value(json_object_get(m, "signal"));
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_SIGNAL);
    nt_g_add_number(&w, NT_GT_SIGNAL, (uint64_t)signal);
    if (signal >= 1 && signal <= 64)
        send_frame(s, &w);
}

static void on_text(struct pty_session *s)
{
    nt_auto_json json_t *m = s->text.size ? json_text_parse(s->text.data, s->text.size) : NULL;
    const char *type = json_string_value(json_object_get(m, "type"));
    uint8_t memory[16];
    nt_buf_reset(&s->text);
    if (!type) {
        violation(s, "a message must be a JSON object with a type");
    } else if (s->phase == PHASE_FIRST) {
        begin(s, m, type);
    } else if (s->phase != PHASE_LIVE) {
        return; /* it has ended, or nothing was said to it yet */
    } else if (!strcmp(type, "pty_input")) {
        take_input(s, m);
    } else if (!strcmp(type, "pty_resize")) {
        take_resize(s, m);
    } else if (!strcmp(type, "pty_kill")) {
        kill_session(s);
    } else if (s->is_wide && !strcmp(type, "pty_signal")) {
        take_signal(s, m);
    } else if (s->is_wide && !strcmp(type, "pty_input_end")) {
        struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_STDIN_END);
        send_frame(s, &w);
    }
    /* Types that are not known are for a later version. */
}

static void on_message(void *data, struct net_ws *sock, struct nt_bytes bytes, bool is_text,
                       bool last)
{
    struct pty_session *s = data;
    if (s->phase == PHASE_OVER) {
        net_ws_grant(sock, bytes.size);
        return;
    }
    if (is_text) {
        nt_buf_add_bytes(&s->text, bytes.data, bytes.size);
        if (!nt_buf_ok(&s->text))
            violation(s, "the message is too long");
        else if (last)
            on_text(s);
    } else {
        const uint8_t *p = bytes.data;
        size_t skip = !s->is_inside && bytes.size ? 1 : 0;
        if (!s->is_wide || s->phase == PHASE_FIRST || (skip && p[0] != CHANNEL_INPUT))
            violation(s, "a binary message must start with 0 and follow the start");
        else
            send_input(s, p + skip, bytes.size - skip);
        s->is_inside = !last && (s->is_inside || skip);
    }
    s->owed += bytes.size;
    if (s->waiting < INPUT_WAITS_MAX && !s->is_stalled) {
        net_ws_grant(sock, s->owed);
        s->owed = 0;
    } else if (!s->is_stalled) {
        s->is_stalled = true;
        net_ws_keepalive(sock, 0); /* nothing is read now, so silence proves nothing */
    }
}

static void on_writable(void *data, struct net_ws *sock, uint64_t credit)
{
    struct pty_session *s = data;
    if (!s->owes_consumed)
        return;
    s->owes_consumed = false;
    if (s->op)
        guest_op_consumed(s->op);
}

static void on_closed(void *data, struct net_ws *sock, uint16_t code, const struct nt_error *reason)
{
    struct pty_session *s = data;
    s->sock = NULL;
    if (reason && reason->sys == ECANCELED)
        s->hangs_up = false; /* it is this server that leaves */
    /* a start in the background that was asked for is seen through */
    if (s->phase != PHASE_START)
        let_go(s);
    s->phase = PHASE_OVER;
    session_check(s);
}

static const struct net_ws_events ws_events = { .message = on_message,
                                                .writable = on_writable,
                                                .closed = on_closed };

static void on_first_late(void *data)
{
    struct pty_session *s = data;
    if (s->phase == PHASE_FIRST && s->sock)
        violation(s, "no message came");
}

void pty_ws_found(struct exchange *x, const struct workspace *ws, void *data)
{
    if (!channel_can_begin(x, ws))
        return;
    struct pty_session *s = calloc(1, sizeof(*s));
    if (!s) {
        exchange_fail(x, 500, "internal_error", "out of memory");
        return;
    }
    s->server = exchange_server(x);
    s->ws = workspace_without_texts(ws);
    s->principal = *exchange_principal(x);
    s->is_wide = exchange_is_wide(x);
    s->text.max = CHANNEL_TEXT_MAX;
    const struct channel_start start = { &ws_events, on_first_late, s, WINDOW };
    if (!channel_begin(x, &start, &s->sock, &s->timer))
        session_check(s);
}
