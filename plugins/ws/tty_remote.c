/* SPDX-License-Identifier: Apache-2.0 */
/* tty_remote.c - a terminal through the API: the wide form of channel=pty over a WebSocket. Binary
 * messages carry bytes: the first one is 0 for input and 1 for output. */
#include "tty.h"

#include <stdlib.h>
#include <string.h>

#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/json.h"
#include "ws.h"

#define OUTPUT_CREDIT (1024u * 1024)
#define CONTROL_MAX (64u * 1024)
#define FIRST_CREDIT (64u * 1024) /* until the stream says how much */
#define TX_MAX (4u * 1024 * 1024) /* tty.c keeps far below it */
#define PIECE (32u * 1024)

struct tty_link {
    struct tty *tty; /* NULL: only the close of the stream is still to come */
    struct nt_stream *stream;
    struct nt_buf control; /* a text message that came in pieces */
    struct nt_buf tx;      /* input that waits for credit */
    uint64_t credit;
    int stream_byte; /* of the binary message that comes; -1: its first byte is still to come */
    bool wants_end, wants_size;
    uint16_t cols, rows;
};

static void remote_free(struct tty_link *l)
{
    nt_buf_done(&l->control);
    nt_buf_done(&l->tx);
    free(l);
}

/* --- out ----------------------------------------------------------------------------------- */

static int write_message(struct tty_link *l, const void *data, size_t size, uint32_t flags)
{
    struct nt_error error = NT_ERROR_INIT;
    if (!l->stream
        || l->stream->ops->write(l->stream, (struct nt_bytes){ data, size }, flags, &error) < 0)
        return -1;
    l->credit -= size < l->credit ? size : l->credit;
    return 0;
}

static int send_text(struct tty_link *l, const json_t *message)
{
    nt_autofree char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;
    return text ? write_message(l, text, strlen(text), NT_DATA_TEXT) : -1;
}

/* What waits, as far as the credit goes: input first, in its order. */
static void flush(struct tty_link *l)
{
    char piece[1 + PIECE];
    bool had = l->tx.size > 0;
    while (l->tx.size && l->credit > 1) {
        size_t n = l->tx.size < PIECE ? l->tx.size : PIECE;
        n = n < l->credit - 1 ? n : (size_t)l->credit - 1;
        piece[0] = 0;
        memcpy(piece + 1, l->tx.data, n);
        if (write_message(l, piece, n + 1, 0) < 0)
            return;
        nt_buf_drop(&l->tx, n);
    }
    if (l->wants_size && l->credit > 100) {
        nt_auto_json json_t *m =
            json_pack("{s:s,s:i,s:i}", "type", "pty_resize", "cols", l->cols, "rows", l->rows);
        l->wants_size = false;
        send_text(l, m);
    }
    if (l->wants_end && !l->tx.size && l->credit > 100) {
        nt_auto_json json_t *m = json_pack("{s:s}", "type", "pty_input_end");
        l->wants_end = false;
        send_text(l, m);
    }
    if (had && !l->tx.size && l->tty)
        tty_on_sent(l->tty);
}

/* Before pty_started the server knows no session: it waits here. */
static bool is_live(const struct tty_link *l)
{
    return l->tty && l->tty->has_started;
}

static size_t remote_input(struct tty_link *l, const void *bytes, size_t size)
{
    nt_buf_add_bytes(&l->tx, bytes, size);
    if (is_live(l) && size)
        flush(l);
    return l->tx.size;
}

static void remote_input_end(struct tty_link *l)
{
    l->wants_end = true;
    if (is_live(l))
        flush(l);
}

static void remote_resize(struct tty_link *l, uint16_t cols, uint16_t rows)
{
    l->cols = cols;
    l->rows = rows;
    l->wants_size = true;
    if (is_live(l))
        flush(l);
}

static json_t *environment(void)
{
    char text[256];
    json_t *env = json_object();
    for (unsigned i = 0; tty_variable(i, text, sizeof(text)); i++) {
        char *value = strchr(text, '=');
        *value++ = '\0';
        json_object_set_new(env, text, json_string(value));
    }
    return env;
}

static json_t *first_message(const struct tty *t)
{
    const struct tty_spec *spec = t->spec;
    if (spec->is_attach)
        return json_pack("{s:s,s:s*,s:b,s:i,s:i,s:i}", "type", "pty_connect", "session_id",
                         spec->job, "read_only", spec->is_read_only, "cols", t->cols, "rows",
                         t->rows, "beat_ms", SILENCE_BEAT_MS);
    nt_auto_json json_t *argv = json_array();
    for (uint32_t i = 0; i < spec->count; i++)
        if (json_array_append_new(argv, json_string(spec->argv[i])) < 0)
            return NULL;
    return json_pack("{s:s,s:O,s:s*,s:s*,s:o,s:b,s:b,s:i,s:i,s:i}", "type", "pty_start", "argv",
                     argv, "cwd", spec->cwd, "log", spec->log, "envs", environment(), "keep",
                     spec->is_kept, "agent", spec->is_agent, "cols", t->cols, "rows", t->rows,
                     "beat_ms", SILENCE_BEAT_MS);
}

/* --- in ------------------------------------------------------------------------------------ */

static void on_error_message(struct tty_link *l, const json_t *m)
{
    const char *text = nt_json_text(m, "message"), *code = nt_json_text(m, "code");
    bool is_missing = code && strcmp(code, "pty_not_found") == 0;
    tty_on_refused(l->tty, is_missing ? NT_E_NOT_FOUND : NT_E_RUNTIME,
                   (int)json_integer_value(json_object_get(m, "errno")),
                   json_object_get(m, "status") != NULL, text ? text : "no reason was given");
}

static void on_control(struct tty_link *l)
{
    nt_auto_json json_t *m =
        json_loadb(nt_buf_text(&l->control), l->control.size, JSON_REJECT_DUPLICATES, NULL);
    const char *type = nt_json_text(m, "type");
    nt_buf_reset(&l->control);
    if (!type) {
        tty_on_lost(l->tty, "the server's message is not JSON with a type");
    } else if (strcmp(type, "pty_started") == 0) {
        if (!json_object_get(m, "beat_ms"))
            tty_on_no_beats(l->tty);
        l->tty->outlives_server = json_is_true(json_object_get(m, "outlives_server"));
        tty_on_started(l->tty, nt_json_text(m, "session_id"),
                       json_integer_value(json_object_get(m, "pid")));
        flush(l);
    } else if (strcmp(type, "pty_exited") == 0) {
        tty_on_exit(l->tty, (uint32_t)json_integer_value(json_object_get(m, "exit_code")) & 0xFF,
                    (uint32_t)json_integer_value(json_object_get(m, "reason")) & 0xFF);
    } else if (strcmp(type, "error") == 0) {
        on_error_message(l, m);
    }
    /* "beat", and whatever a newer server adds, needs nothing from us */
}

static void on_data(void *data, struct nt_stream *stream, struct nt_bytes bytes, uint32_t flags)
{
    struct tty_link *l = data;
    const char *at = bytes.data;
    size_t size = bytes.size;
    bool last = !(flags & NT_DATA_PARTIAL);
    if (!l->tty || l->tty->done)
        return;
    tty_on_heard(l->tty);
    if (flags & NT_DATA_TEXT) {
        nt_buf_add_bytes(&l->control, at, size);
        if (!nt_buf_ok(&l->control))
            tty_on_lost(l->tty, "the server's message is too long");
        else if (last)
            on_control(l);
    } else {
        if (l->stream_byte < 0 && size > 0) {
            l->stream_byte = (unsigned char)at[0];
            at++;
            size--;
        }
        if (l->stream_byte == 1)
            tty_on_output(l->tty, at, size);
        if (last)
            l->stream_byte = -1;
    }
    stream->ops->grant(stream, bytes.size);
}

static void on_writable(void *data, struct nt_stream *stream, uint64_t credit)
{
    (void)stream;
    struct tty_link *l = data;
    l->credit = credit;
    if (is_live(l))
        flush(l);
}

static void on_close(void *data, struct nt_stream *stream, const struct nt_error *reason)
{
    (void)stream;
    (void)reason;
    struct tty_link *l = data;
    l->stream = NULL;
    if (!l->tty)
        remote_free(l);
    else
        tty_on_lost(l->tty, "the connection to the server was lost");
}

/* --- its life ------------------------------------------------------------------------------ */

static void remote_close(struct tty_link *l)
{
    l->tty = NULL;
    if (l->stream)
        l->stream->ops->cancel(l->stream); /* on_close frees */
    else
        remote_free(l);
}

static int remote_open(struct tty *tty, struct tty_link **ret, struct nt_error *reterr)
{
    static const struct nt_stream_events events = {
        .size = sizeof(events), .data = on_data, .writable = on_writable, .close = on_close
    };
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(1024);
    if (ws_path(&path, tty->spec->id, "/ws?channel=pty", reterr) < 0)
        return -1;
    struct tty_link *l = calloc(1, sizeof(*l));
    if (!l)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for the connection");
    *l = (struct tty_link){ .tty = tty,
                            .stream_byte = -1,
                            .control = NT_BUF(CONTROL_MAX),
                            .tx = NT_BUF(TX_MAX),
                            .credit = FIRST_CREDIT };
    struct nt_open open = { .size = sizeof(open),
                            .kind = NT_OPEN_WS,
                            .path = nt_buf_text(&path),
                            .events = &events,
                            .data = l };
    struct nt_response head = { .size = sizeof(head) };
    if (tty->call->host->open(tty->call, &open, &l->stream, &head, reterr) < 0) {
        remote_free(l);
        return -1;
    }
    nt_auto_json json_t *first = first_message(tty);
    if (send_text(l, first) < 0) {
        remote_close(l);
        return nt_fail(reterr, NT_E_INVALID,
                       "the command is not valid UTF-8, which this server needs, or too long");
    }
    if (l->stream)
        l->stream->ops->grant(l->stream, OUTPUT_CREDIT);
    *ret = l;
    return 0;
}

const struct tty_way tty_remote = { .open = remote_open,
                                    .input = remote_input,
                                    .input_end = remote_input_end,
                                    .resize = remote_resize,
                                    .close = remote_close };
