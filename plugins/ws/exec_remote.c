/* SPDX-License-Identifier: Apache-2.0 */
/* exec_remote.c - programs through the API: a WebSocket with text frames for control and binary
 * frames for bytes. Runs one, starts one that goes on, or looks at a job.
 *
 * Binary messages start with a byte that names the stream: 0 stdin, 1 stdout, 2 stderr. The last
 * frame says how many bytes of each the server has sent, and they are compared: what was lost on
 * the way is an error, never a short output. */
#include "ws.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nanoterm/guest.h"
#include "exec_limits.h"
#include "sdk/error.h"
#include "sdk/json.h"
#include "sdk/reader.h"
#include "silence.h"

#define STDIN_PIECE (32 * 1024)
#define OUTPUT_CREDIT (4u * 1024 * 1024)
#define CONTROL_MAX (64 * 1024)

struct remote {
    struct nt_call *call;
    struct nt_loop *loop;
    const struct exec_spec *spec;
    struct nt_error *reterr;
    struct nt_stream *stream;
    struct nt_reader *input;
    struct nt_watch *signals[EXEC_SIGNALS];
    struct nt_buf control; /* a text message that came in pieces */
    uint64_t credit;       /* what we may send */
    uint64_t received[3];  /* bytes of stdout and stderr */
    /* of the binary message that is coming in; -1: its first byte is still to come */
    int stream_byte;
    unsigned interrupts;
    struct silence silence;
    struct exec_started started;
    uint64_t first; /* offset of the first byte that comes */
    bool has_started, exited, failed, input_ended, end_sent, output_lost;
    /* exec_remote has returned; only the close of the stream is still to come */
    bool abandoned;
    uint32_t status, reason, done;
    uint64_t hits; /* NT_GH_* */
};

static void fail(struct remote *r, uint32_t code, const char *text)
{
    if (r->failed)
        return;
    nt_fail(r->reterr, code, "%s", text);
    r->reterr->request_sent = 1;
    r->failed = true;
    r->done = 1;
}

/* A program that goes on without us, or that was killed with the connection. */
static void fail_lost(struct remote *r)
{
    char text[192];
    if (r->spec->job || (r->spec->keep && r->started.job[0])) {
        const char *job = r->spec->job ? r->spec->job : r->started.job;
        snprintf(text, sizeof(text), "the connection was lost; job %s goes on", job);
        fail(r, NT_E_CLOSED, text);
        r->reterr->retryable = 0; /* the command would start it once more */
        nt_hint(r->reterr, "follow it with: nanoterm job logs %s %s --follow", r->spec->id, job);
        return;
    }
    fail(r, NT_E_CLOSED, "the connection was lost before the program ended; it was killed with it");
}

static void on_silent(void *data)
{
    struct remote *r = data;
    if (r->failed || r->exited)
        return;
    exec_unreachable(r->spec->id, r->reterr);
    r->failed = true;
    r->done = 1;
}

static int send_text(struct remote *r, json_t *message)
{
    nt_autofree char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;
    struct nt_error error = NT_ERROR_INIT;
    if (!text
        || r->stream->ops->write(r->stream, (struct nt_bytes){ text, strlen(text) }, NT_DATA_TEXT,
                                 &error)
               < 0) {
        fail(r, NT_E_CLOSED,
             text ? error.message : "the command is not valid UTF-8, which this server needs");
        return -1;
    }
    r->credit -= strlen(text) < r->credit ? strlen(text) : r->credit;
    return 0;
}

/* --- our input ----------------------------------------------------------------------------- */

static void feed(struct remote *r)
{
    if (!r->input || r->exited || r->failed)
        return;
    if (r->input_ended && !r->end_sent && r->credit > 64) {
        nt_auto_json json_t *end = json_pack("{s:s}", "type", "stdin_end");
        r->end_sent = true;
        send_text(r, end);
    } else if (!r->input_ended && r->credit > 1) {
        nt_reader_resume(r->input,
                         r->credit - 1 < STDIN_PIECE ? (size_t)r->credit - 1 : STDIN_PIECE);
    } else {
        nt_reader_pause(r->input);
    }
}

static void on_input(void *data, struct nt_bytes bytes)
{
    struct remote *r = data;
    char message[1 + STDIN_PIECE];
    message[0] = 0;
    memcpy(message + 1, bytes.data, bytes.size);
    struct nt_error error = NT_ERROR_INIT;
    if (r->stream->ops->write(r->stream, (struct nt_bytes){ message, bytes.size + 1 }, 0, &error)
        < 0) {
        fail(r, NT_E_CLOSED, error.message);
        return;
    }
    r->credit -= bytes.size + 1;
    feed(r);
}

static void on_input_end(void *data, int sys)
{
    (void)sys; /* an input that cannot be read ends like one that is empty */
    struct remote *r = data;
    r->input_ended = true;
    feed(r);
}

/* --- what the server says ------------------------------------------------------------------ */

/* Writes all of it; a reader of ours that is gone ends the program, as a closed pipe would. An
 * output that was closed before we began has no reader to lose: its bytes are counted and dropped,
 * as they are on the way without a server. */
static void put_out(struct remote *r, unsigned which, const char *data, size_t size)
{
    int fd = r->call->host->descriptor(r->call, which);
    if (r->output_lost)
        return;
    while (size > 0 && !r->output_lost) {
        ssize_t put = write(fd, data, size);
        if (put >= 0) {
            data += put;
            size -= (size_t)put;
        } else if (errno == EAGAIN) {
            struct pollfd room = { .fd = fd, .events = POLLOUT };
            poll(&room, 1, -1);
        } else if (errno == EBADF) {
            return;
        } else if (errno != EINTR) {
            r->output_lost = true;
        }
    }
    if (r->output_lost && r->spec->job) { /* nobody reads on: the job is not ours to end */
        r->done = 1;
    } else if (r->output_lost) {
        nt_auto_json json_t *kill = json_pack("{s:s}", "type", "kill");
        send_text(r, kill);
    }
}

/* Whether all of the output came. Of a job only the sum can be compared: what lies before the
 * offset may be of either stream. */
static bool is_whole(const struct remote *r, const json_t *message, bool is_end)
{
    uint64_t out = (uint64_t)json_integer_value(json_object_get(message, "stdout_bytes"));
    uint64_t err = (uint64_t)json_integer_value(json_object_get(message, "stderr_bytes"));
    uint64_t offset = (uint64_t)json_integer_value(json_object_get(message, "offset"));
    if (r->output_lost)
        return true;
    if (!r->spec->job)
        return out == r->received[1] && err == r->received[2];
    uint64_t got = r->first + r->received[1] + r->received[2];
    /* what is written while the kept output is read belongs to the next question */
    return is_end ? got == offset || (got > offset && got == r->first) : got == out + err;
}

static void on_exit_message(struct remote *r, const json_t *message, bool is_end)
{
    const char *notice = nt_json_text(message, "notice");
    r->exited = true;
    r->status = (uint32_t)json_integer_value(json_object_get(message, "status"));
    r->reason = (uint32_t)json_integer_value(json_object_get(message, "reason"));
    r->hits = exec_hits_of(json_object_get(message, "limits_hit"));
    if (!is_whole(r, message, is_end))
        fail(r, NT_E_RESPONSE, "bytes of the program's output were lost on the way");
    if (notice)
        r->call->host->message(r->call, NT_SAY_WARN, notice);
    r->done = 1;
}

static void on_started_message(struct remote *r, const json_t *message)
{
    const char *job = nt_json_text(message, "job");
    r->has_started = true;
    r->started.pid = json_integer_value(json_object_get(message, "pid"));
    nt_copy_text(r->started.job, sizeof(r->started.job), job ? job : "");
    if (json_is_integer(json_object_get(message, "offset")))
        r->first = (uint64_t)json_integer_value(json_object_get(message, "offset"));
    if (!json_is_integer(json_object_get(message, "beat_ms")))
        silence_end(&r->silence); /* an older server, or an older guest */
    if (r->spec->detach) {
        r->exited = true;
        r->done = 1;
    }
}

static void on_error_message(struct remote *r, const json_t *message)
{
    json_int_t sys = json_integer_value(json_object_get(message, "errno"));
    const char *text = nt_json_text(message, "message");
    if (json_object_get(message, "status")) {
        exec_not_started(r->spec, (int)sys, text ? text : "it could not be started", r->reterr);
        r->failed = true;
        r->done = 1;
        return;
    }
    const char *code = nt_json_text(message, "code");
    fail(r,
         code && strcmp(code, "job_not_found") == 0 ? NT_E_NOT_FOUND
                                                    : nt_error_code_of_status(500, code),
         text ? text : "the server refused the command");
}

static void on_control(struct remote *r)
{
    nt_auto_json json_t *message =
        json_loadb(nt_buf_text(&r->control), r->control.size, JSON_REJECT_DUPLICATES, NULL);
    const char *type = nt_json_text(message, "type");
    nt_buf_reset(&r->control);
    if (!type)
        fail(r, NT_E_RESPONSE, "the server's message is not JSON with a type");
    else if (strcmp(type, "exit") == 0 || strcmp(type, "end") == 0)
        on_exit_message(r, message, type[1] == 'n');
    else if (strcmp(type, "started") == 0)
        on_started_message(r, message);
    else if (strcmp(type, "error") == 0)
        on_error_message(r, message);
    /* "beat", and whatever a newer server adds, needs nothing from us. */
}

static void on_data(void *data, struct nt_stream *stream, struct nt_bytes bytes, uint32_t flags)
{
    struct remote *r = data;
    const char *at = bytes.data;
    size_t size = bytes.size;
    bool last = !(flags & NT_DATA_PARTIAL);
    if (r->failed || r->exited)
        return;
    silence_heard(&r->silence);
    if (flags & NT_DATA_TEXT) {
        nt_buf_add_bytes(&r->control, at, size);
        if (!nt_buf_ok(&r->control))
            fail(r, NT_E_RESPONSE, "the server's message is too long");
        else if (last)
            on_control(r);
    } else {
        if (r->stream_byte < 0 && size > 0) {
            r->stream_byte = (unsigned char)at[0];
            at++;
            size--;
        }
        if (r->stream_byte == 1 || r->stream_byte == 2) {
            r->received[r->stream_byte] += size;
            if (!r->spec->is_waited)
                put_out(r, (unsigned)r->stream_byte, at, size);
        } else if (bytes.size > 0) {
            fail(r, NT_E_RESPONSE, "the server sent bytes of an unknown stream");
        }
        if (last)
            r->stream_byte = -1;
    }
    stream->ops->grant(stream, bytes.size);
}

static void remote_free(struct remote *r)
{
    nt_buf_done(&r->control);
    free(r);
}

static void on_writable(void *data, struct nt_stream *stream, uint64_t credit)
{
    (void)stream;
    struct remote *r = data;
    r->credit = credit;
    feed(r);
}

static void on_close(void *data, struct nt_stream *stream, const struct nt_error *reason)
{
    (void)stream;
    struct remote *r = data;
    r->stream = NULL;
    if (r->abandoned) {
        remote_free(r);
        return;
    }
    if (!r->exited && !r->failed) {
        fail_lost(r);
        if (reason)
            nt_copy_text(r->reterr->upstream, sizeof(r->reterr->upstream), reason->upstream);
    }
    r->done = 1;
}

static void on_signal(void *data, int signo, uint32_t zero)
{
    (void)zero;
    struct remote *r = data;
    bool is_leaving = r->spec->keep && (signo == SIGHUP || signo == SIGTERM);
    if (is_leaving || (signo == SIGINT && ++r->interrupts >= EXEC_IMPATIENT)) {
        char text[128];
        snprintf(text, sizeof(text), "interrupted; job %s goes on", r->started.job);
        fail(r, NT_E_CANCELLED, r->spec->keep ? text : "interrupted; the program was killed");
        return;
    }
    nt_auto_json json_t *message = json_pack("{s:s, s:i}", "type", "signal", "signal", signo);
    if (r->stream)
        send_text(r, message);
}

/* Bytes as text: a character of U+0000 to U+00FF for each. */
static json_t *latin1(const char *text)
{
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(2 * NT_G_FRAME_MAX);
    for (; *text; text++) {
        uint8_t byte = (uint8_t)*text;
        if (byte >= 0x80)
            nt_buf_add_char(&b, (char)(0xC0 | byte >> 6));
        nt_buf_add_char(&b, (char)(byte >= 0x80 ? 0x80 | (byte & 0x3F) : byte));
    }
    return nt_buf_ok(&b) ? json_stringn(nt_buf_text(&b), b.size) : NULL;
}

static json_t *words_of(const struct exec_spec *spec, json_t *(*text_of)(const char *text))
{
    nt_auto_json json_t *words = json_array();
    for (uint32_t i = 0; i < spec->count; i++)
        if (json_array_append_new(words, text_of(spec->argv[i])) < 0)
            return NULL;
    return nt_take(words);
}

static json_t *attach_message(struct remote *r)
{
    return json_pack("{s:s, s:s, s:I, s:b, s:i}", "type", "attach", "job", r->spec->job, "offset",
                     (json_int_t)r->spec->offset, "follow", !r->spec->no_follow, "beat_ms",
                     SILENCE_BEAT_MS);
}

static json_t *first_message(struct remote *r)
{
    if (r->spec->job)
        return attach_message(r);
    const char *key = "argv";
    nt_auto_json json_t *argv = words_of(r->spec, json_string);
    if (!argv) { /* file names and data need not be UTF-8, JSON must be */
        key = "argv_latin1";
        argv = words_of(r->spec, latin1);
    }
    json_t *message =
        json_pack("{s:s, s:O, s:s*, s:b, s:b, s:b, s:s*, s:i}", "type", "exec", key, argv, "cwd",
                  r->spec->cwd, "stdin", !r->spec->detach, "background", r->spec->detach, "keep",
                  r->spec->keep, "log", r->spec->log, "beat_ms", SILENCE_BEAT_MS);
    int64_t left = r->call->host->left_ms(r->call);
    if (message && left >= 0 && !r->spec->detach)
        json_object_set_new(message, "timeout_ms",
                            json_integer(left > 400 ? left - 200 : 1 + left / 2));
    return message;
}

static int converse(struct remote *r, struct nt_error *reterr)
{
    static const struct nt_reader_events input = { .bytes = on_input, .end = on_input_end };
    int fd = r->call->host->descriptor(r->call, 0);
    nt_auto_json json_t *first = first_message(r);
    bool is_fed = !r->spec->job && !r->spec->detach;
    silence_start(&r->silence, r->loop, SILENCE_LIMIT_MS, on_silent, r);
    if (send_text(r, first) < 0)
        return -1;
    if (is_fed && fcntl(fd, F_GETFD) >= 0
        && nt_reader_new(r->loop, fd, STDIN_PIECE, &input, r, &r->input, reterr) < 0)
        return -1;
    if (is_fed && !r->input) { /* a closed stdin is an empty one */
        nt_auto_json json_t *end = json_pack("{s:s}", "type", "stdin_end");
        send_text(r, end);
    }
    for (unsigned i = 0; is_fed && i < EXEC_SIGNALS; i++)
        r->signals[i] = r->loop->ops->signal(r->loop, exec_signals[i], on_signal, r);
    feed(r);
    if (r->stream)
        r->stream->ops->grant(r->stream, OUTPUT_CREDIT);
    if (r->call->host->wait(r->call, &r->done, reterr) < 0)
        return -1;
    if (r->failed)
        return -1;
    if (r->spec->detach || (r->spec->job && !r->spec->is_waited))
        return 0;
    exec_tell_limits(r->call, r->spec->id, r->reason, r->hits);
    return exec_ended(r->call, r->spec, r->reason, r->status, reterr);
}

int exec_remote(struct nt_call *call, const struct exec_spec *spec,
                struct exec_started *ret_started, struct nt_error *reterr)
{
    static const struct nt_stream_events events = {
        .size = sizeof(events), .data = on_data, .writable = on_writable, .close = on_close
    };
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(1024);
    if (ws_path(&path, spec->id, "/ws?channel=exec", reterr) < 0)
        return -1;
    struct remote *r = calloc(1, sizeof(*r));
    if (!r)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for the connection");
    *r = (struct remote){ .call = call,
                          .spec = spec,
                          .reterr = reterr,
                          .stream_byte = -1,
                          .first = spec->job ? (uint64_t)spec->offset : 0,
                          .control = NT_BUF(CONTROL_MAX),
                          .loop = call->host->loop(call) };
    struct nt_open open = { .size = sizeof(open),
                            .kind = NT_OPEN_WS,
                            .path = nt_buf_text(&path),
                            .events = &events,
                            .data = r };
    struct nt_response head = { .size = sizeof(head) };
    if (call->host->open(call, &open, &r->stream, &head, reterr) < 0) {
        remote_free(r);
        return -1;
    }
    r->credit = CONTROL_MAX; /* until the stream says how much */
    int result = converse(r, reterr);
    silence_end(&r->silence);
    if (ret_started)
        *ret_started = r->started;
    nt_reader_free(r->input);
    for (unsigned i = 0; i < EXEC_SIGNALS; i++)
        if (r->signals[i])
            r->loop->ops->watch_end(r->signals[i]);
    if (!r->stream) {
        remote_free(r);
        return result;
    }
    r->abandoned = true;
    r->stream->ops->cancel(r->stream);
    return result;
}
