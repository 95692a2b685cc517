/* SPDX-License-Identifier: Apache-2.0 */
/* talk.c - the conversation of a raw call; see talk.h. */
#include "talk.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/reader.h"

#define CREDIT (1024u * 1024)
#define PIECE (64u * 1024)
/* Input up to this is kept, so that it can be sent again; more is streamed and sent once. */
#define KEPT_MAX (1024u * 1024)

/* On the heap until the stream's close: its callbacks may come after raw_talk has returned. */
struct talk {
    struct nt_call *call;
    struct raw_show *show;
    struct nt_stream *stream;
    struct nt_reader *reader; /* of the input */
    struct nt_buf input;      /* what is read and not sent */
    struct nt_response head;
    struct nt_error error;
    uint64_t credit;
    uint32_t has_enough; /* the input has ended, or is too long to be kept */
    uint32_t done;
    bool is_streaming, has_ended, has_finished, abandoned;
};

static void talk_free(struct talk *t)
{
    nt_buf_done(&t->input);
    free(t);
}

static void give_up(struct talk *t)
{
    t->done = 1;
    t->has_enough = 1;
    if (t->stream)
        t->stream->ops->cancel(t->stream);
}

/* --- up ------------------------------------------------------------------------------------ */

/* Sends what may be sent, and reads on where nothing is left. */
static void feed(struct talk *t)
{
    size_t size = t->credit < t->input.size ? (size_t)t->credit : t->input.size;
    if (!t->stream || t->has_finished || t->error.code)
        return;
    if (size > 0) {
        struct nt_bytes bytes = { t->input.data, size };
        t->credit -= size;
        if (t->stream->ops->write(t->stream, bytes, 0, &t->error) < 0) {
            give_up(t);
            return;
        }
        nt_buf_drop(&t->input, size);
    }
    if (t->input.size == 0 && t->has_ended) {
        t->has_finished = true;
        t->stream->ops->finish(t->stream);
    } else if (t->reader && !t->has_ended && t->input.size < PIECE) {
        nt_reader_resume(t->reader, PIECE);
    } else if (t->reader && !t->has_ended) {
        nt_reader_pause(t->reader);
    }
}

static void on_input(void *data, struct nt_bytes bytes)
{
    struct talk *t = data;
    nt_buf_add_bytes(&t->input, bytes.data, bytes.size);
    if (!nt_buf_ok(&t->input)) {
        nt_fail(&t->error, NT_E_MEMORY, "out of memory");
        give_up(t);
    } else if (t->is_streaming) {
        feed(t);
    } else if (t->input.size > KEPT_MAX) {
        nt_reader_pause(t->reader);
        t->has_enough = 1;
    }
}

static void on_input_end(void *data, int sys)
{
    struct talk *t = data;
    t->has_ended = true;
    t->has_enough = 1;
    if (sys) {
        nt_fail_sys(&t->error, sys, "cannot read the input");
        give_up(t);
    } else if (t->is_streaming) {
        feed(t);
    }
}

static void on_writable(void *data, struct nt_stream *stream, uint64_t credit)
{
    (void)stream;
    struct talk *t = data;
    t->credit = credit;
    if (!t->abandoned)
        feed(t);
}

/* --- down ---------------------------------------------------------------------------------- */

static void on_data(void *data, struct nt_stream *stream, struct nt_bytes bytes, uint32_t flags)
{
    (void)flags;
    struct talk *t = data;
    if (t->abandoned || t->error.code)
        return;
    if (raw_show_bytes(t->show, &t->head, bytes, &t->error) < 0)
        give_up(t);
    else
        stream->ops->grant(stream, bytes.size);
}

static void on_close(void *data, struct nt_stream *stream, const struct nt_error *reason)
{
    (void)stream;
    struct talk *t = data;
    t->stream = NULL;
    t->done = 1;
    if (reason && !t->error.code)
        memcpy(&t->error, reason,
               reason->size < sizeof(t->error) ? reason->size : sizeof(t->error));
    t->error.size = sizeof(t->error);
    if (t->abandoned)
        talk_free(t);
}

/* --- the whole ----------------------------------------------------------------------------- */

static int failed(const struct talk *t, struct nt_error *reterr)
{
    uint32_t size = reterr->size;
    memcpy(reterr, &t->error, size < sizeof(t->error) ? size : sizeof(t->error));
    reterr->size = size;
    return -1;
}

static int begin_input(struct talk *t, int fd, struct nt_error *reterr)
{
    static const struct nt_reader_events events = { .bytes = on_input, .end = on_input_end };
    struct nt_loop *loop = t->call->host->loop(t->call);
    if (!loop)
        return nt_fail(reterr, NT_E_INTERNAL, "there is no loop for the input");
    if (nt_reader_new(loop, fd, PIECE, &events, t, &t->reader, reterr) < 0)
        return -1;
    nt_reader_resume(t->reader, 0);
    if (t->call->host->wait(t->call, &t->has_enough, reterr) < 0) {
        reterr->request_sent = 0;
        return nt_wrap(reterr, "reading the input");
    }
    return t->error.code ? failed(t, reterr) : 0;
}

/* Bytes of a regular file; -1: nobody knows. */
static int64_t length_of(int fd)
{
    struct stat st;
    return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0
               ? (int64_t)st.st_size
               : -1;
}

static int converse(struct talk *t, const struct raw_request *request, int input,
                    struct nt_error *reterr)
{
    static const struct nt_stream_events events = {
        .size = sizeof(events), .data = on_data, .writable = on_writable, .close = on_close
    };
    struct nt_open open = { .size = sizeof(open),
                            .kind = NT_OPEN_BODY,
                            .method = request->method,
                            .path = nt_buf_text(&request->path),
                            .headers = { request->headers, request->header_count,
                                         sizeof(request->headers[0]) },
                            .events = &events,
                            .data = t };
    /* PATCH is not idempotent by itself (RFC 5789); the key makes it safe to send again. */
    open.flags = strcmp(request->method, "PATCH") == 0 ? NT_REQ_KEY : 0;
    const struct nt_buf *body = input >= 0 ? &t->input : &request->body;
    t->is_streaming = input >= 0 && !t->has_ended;
    if (t->is_streaming) {
        off_t at = lseek(input, 0, SEEK_CUR);
        int64_t length = length_of(input);
        /* From where the file stood before we read of it. */
        open.body_bytes =
            length < 0 || at < 0 ? -1 : length - ((int64_t)at - (int64_t)t->input.size);
    } else if (body->size > 0) {
        open.body = (struct nt_bytes){ body->data, body->size };
        open.body_bytes = (int64_t)body->size;
    }
    if (t->call->host->open(t->call, &open, &t->stream, &t->head, reterr) < 0)
        return -1;
    t->stream->ops->grant(t->stream, CREDIT);
    if (t->call->host->wait(t->call, &t->done, reterr) < 0)
        return -1;
    if (t->error.code)
        return failed(t, reterr);
    return raw_show_end(t->show, &t->head, reterr);
}

int raw_talk(struct nt_call *call, const struct raw_request *request, int input,
             struct raw_show *show, struct nt_error *reterr)
{
    struct talk *t = calloc(1, sizeof(*t));
    if (!t)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    *t = (struct talk){ .call = call,
                        .show = show,
                        .input = NT_BUF(KEPT_MAX + 4 * PIECE),
                        .head = { .size = sizeof(t->head) },
                        .error = NT_ERROR_INIT };
    int result = input >= 0 ? begin_input(t, input, reterr) : 0;
    if (result == 0)
        result = converse(t, request, input, reterr);
    nt_reader_free(t->reader);
    t->reader = NULL;
    if (t->stream) {
        t->abandoned = true;
        t->stream->ops->cancel(t->stream);
    } else {
        talk_free(t);
    }
    return result;
}
