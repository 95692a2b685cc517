/* SPDX-License-Identifier: Apache-2.0 */
/* upload.c - from a descriptor into a file of a workspace: one PUT, and the count of bytes
 * compared. */
#include <stdio.h>
#include <stdlib.h>

#include "files.h"
#include "sdk/error.h"
#include "sdk/json.h"
#include "sdk/reader.h"

#define PIECE (256u * 1024)
#define ANSWER_MAX (64u * 1024)

/* On the heap until the stream's close: its callbacks may come after upload has returned. */
struct upload {
    struct nt_call *call;
    struct nt_stream *stream;
    struct nt_reader *reader;
    struct nt_buf answer;
    struct nt_error error;
    const char *label;
    uint64_t credit, sent;
    int64_t size, mtime_ns;
    uint32_t done;
    bool input_ended, abandoned;
};

static void upload_free(struct upload *u)
{
    nt_buf_done(&u->answer);
    free(u);
}

static void feed(struct upload *u)
{
    if (!u->stream || u->input_ended)
        return;
    if (u->credit > 0)
        nt_reader_resume(u->reader, u->credit < PIECE ? (size_t)u->credit : PIECE);
    else
        nt_reader_pause(u->reader);
}

static void give_up(struct upload *u)
{
    u->input_ended = true;
    nt_reader_pause(u->reader);
    if (u->stream)
        u->stream->ops->cancel(u->stream);
}

static void on_input(void *data, struct nt_bytes bytes)
{
    struct upload *u = data;
    if (!u->stream)
        return;
    if (u->stream->ops->write(u->stream, bytes, 0, &u->error) < 0) {
        give_up(u);
        return;
    }
    u->credit -= bytes.size;
    u->sent += bytes.size;
    u->call->host->progress(u->call, u->label, u->sent, u->size > 0 ? (uint64_t)u->size : 0);
    feed(u);
}

static void on_input_end(void *data, int sys)
{
    struct upload *u = data;
    u->input_ended = true;
    if (sys) {
        nt_fail_sys(&u->error, sys, "cannot read %s", u->label);
        give_up(u);
    } else if (u->stream) {
        u->stream->ops->finish(u->stream);
    }
}

static void on_answer(void *data, struct nt_stream *stream, struct nt_bytes bytes, uint32_t flags)
{
    (void)flags;
    struct upload *u = data;
    nt_buf_add_bytes(&u->answer, bytes.data, bytes.size);
    stream->ops->grant(stream, bytes.size);
}

static void on_writable(void *data, struct nt_stream *stream, uint64_t credit)
{
    (void)stream;
    struct upload *u = data;
    u->credit = credit;
    feed(u);
}

static void on_close(void *data, struct nt_stream *stream, const struct nt_error *reason)
{
    (void)stream;
    struct upload *u = data;
    u->stream = NULL;
    u->done = 1;
    if (reason && u->error.code == NT_OK)
        memcpy(&u->error, reason,
               reason->size < sizeof(u->error) ? reason->size : sizeof(u->error));
    u->error.size = sizeof(u->error);
    if (u->abandoned)
        upload_free(u);
}

static int compare(const struct upload *u, struct files_moved *ret, struct nt_error *reterr)
{
    nt_auto_json json_t *answer = json_loadb(nt_buf_text(&u->answer), u->answer.size, 0, NULL);
    if (!json_is_integer(json_object_get(answer, "bytes")))
        return nt_fail(reterr, NT_E_RESPONSE,
                       "the server did not say how many bytes it has written");
    ret->bytes = (uint64_t)json_integer_value(json_object_get(answer, "bytes"));
    nt_copy_text(ret->mtime, sizeof(ret->mtime),
                 nt_json_text(answer, "mtime") ? nt_json_text(answer, "mtime") : "");
    const char *path = nt_json_text(answer, "path");
    nt_copy_text(ret->path, sizeof(ret->path), path ? path : "");
    const char *told = nt_json_text(answer, "mtime_ns");
    char mtime[24];
    snprintf(mtime, sizeof(mtime), "%lld", (long long)u->mtime_ns);
    bool has_time = u->mtime_ns == INT64_MIN || (told && strcmp(told, mtime) == 0);
    if (ret->bytes == u->sent && has_time)
        return 0;
    if (ret->bytes == u->sent)
        return nt_fail(reterr, NT_E_BYTE_MISMATCH,
                       "the file that was written has another time than was sent");
    nt_fail(reterr, NT_E_BYTE_MISMATCH, "%llu bytes were sent, but the server has written %llu",
            (unsigned long long)u->sent, (unsigned long long)ret->bytes);
    reterr->request_sent = 1;
    return nt_hint(reterr,
                   "something between here and the server cuts uploads short; look at its proxies");
}

static int run(struct upload *u, const char *target, int fd, struct files_moved *ret,
               struct nt_error *reterr)
{
    static const struct nt_stream_events events = {
        .size = sizeof(events), .data = on_answer, .writable = on_writable, .close = on_close
    };
    static const struct nt_reader_events input = { .bytes = on_input, .end = on_input_end };
    struct nt_open open = { .size = sizeof(open),
                            .kind = NT_OPEN_BODY,
                            .method = "PUT",
                            .path = target,
                            .body_bytes = u->size,
                            .events = &events,
                            .data = u };
    struct nt_response head = { .size = sizeof(head) };
    if (nt_reader_new(u->call->host->loop(u->call), fd, PIECE, &input, u, &u->reader, reterr) < 0)
        return -1;
    if (u->call->host->open(u->call, &open, &u->stream, &head, reterr) < 0)
        return -1;
    u->stream->ops->grant(u->stream, ANSWER_MAX);
    feed(u);
    if (transfer_end(u->call, &u->done, &u->error, reterr) < 0)
        return -1;
    return compare(u, ret, reterr);
}

int upload(struct nt_call *call, const struct files_route *route, int fd, int64_t size, int mode,
           int64_t mtime_ns, struct files_moved *ret, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf target = NT_BUF(64 * 1024);
    if (files_target(&target, "/file", route, reterr) < 0)
        return -1;
    if (mode >= 0)
        nt_buf_addf(&target, "&mode=%04o", (unsigned)mode);
    if (mtime_ns != INT64_MIN)
        nt_buf_addf(&target, "&mtime_ns=%lld", (long long)mtime_ns);
    struct upload *u = calloc(1, sizeof(*u));
    if (!u)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for the upload");
    *u = (struct upload){ .call = call,
                          .answer = NT_BUF(ANSWER_MAX),
                          .error = NT_ERROR_INIT,
                          .label = route->path,
                          .mtime_ns = mtime_ns,
                          .size = size };
    int result = run(u, nt_buf_text(&target), fd, ret, reterr);
    nt_reader_free(u->reader);
    u->reader = NULL;
    if (!u->stream) {
        upload_free(u);
        return result;
    }
    u->abandoned = true;
    u->stream->ops->cancel(u->stream);
    return result;
}
