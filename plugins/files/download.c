/* SPDX-License-Identifier: Apache-2.0 */
/* download.c - a file of a workspace through the server: written beside its destination, counted,
 * synced, then renamed over it; or to a descriptor. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/io.h"
#include "sdk/parse.h"

#define CREDIT (4u * 1024 * 1024)

/* On the heap until the stream's close: its callbacks may come after download has returned. */
struct download {
    struct nt_call *call;
    struct nt_stream *stream;
    struct nt_error error;
    const char *label;
    int fd;
    uint64_t received, begun;
    uint64_t size; /* 0: not known */
    uint32_t done;
    bool is_file; /* that is ours, and synced at the end */
    bool abandoned;
};

static void on_data(void *data, struct nt_stream *stream, struct nt_bytes bytes, uint32_t flags)
{
    (void)flags;
    struct download *d = data;
    const char *at = bytes.data;
    size_t left = bytes.size;
    while (left > 0 && d->error.code == NT_OK && !d->abandoned) {
        ssize_t put = write(d->fd, at, left);
        if (put >= 0) {
            at += put;
            left -= (size_t)put;
        } else if (errno != EINTR) {
            nt_fail_sys(&d->error, errno, "cannot write %s", d->label);
            stream->ops->cancel(stream);
            return;
        }
    }
    d->received += bytes.size;
    if (d->is_file)
        nt_write_out(d->fd, d->received, &d->begun);
    d->call->host->progress(d->call, d->label, d->received, d->size);
    stream->ops->grant(stream, bytes.size);
}

static void on_close(void *data, struct nt_stream *stream, const struct nt_error *reason)
{
    (void)stream;
    struct download *d = data;
    d->stream = NULL;
    d->done = 1;
    if (reason && d->error.code == NT_OK)
        memcpy(&d->error, reason,
               reason->size < sizeof(d->error) ? reason->size : sizeof(d->error));
    d->error.size = sizeof(d->error);
    if (d->abandoned)
        free(d);
}

/* A number in a header of the answer; `absent` when it is not there or not one. */
static uint64_t header_number(struct nt_call *call, const struct nt_response *head,
                              const char *name, uint64_t absent)
{
    const char *text = call->host->header(call, head, name);
    struct nt_error ignored = NT_ERROR_INIT;
    uint64_t value = absent;
    if (text)
        nt_parse_u64(text, 0, UINT64_MAX, &value, &ignored);
    return value;
}

/* Permissions, which the server writes in octal ("0644"). */
static mode_t header_mode(struct nt_call *call, const struct nt_response *head, mode_t absent)
{
    const char *text = call->host->header(call, head, "X-Nanoterm-Mode");
    mode_t mode = 0;
    if (!text || !*text || strlen(text) > 5 || strspn(text, "01234567") != strlen(text))
        return absent;
    for (; *text; text++)
        mode = mode << 3 | (mode_t)(*text - '0');
    return mode;
}

static int fetch(struct download *d, const char *target, struct nt_response *head,
                 struct nt_error *reterr)
{
    static const struct nt_stream_events events = { .size = sizeof(events),
                                                    .data = on_data,
                                                    .close = on_close };
    struct nt_open open = { .size = sizeof(open),
                            .kind = NT_OPEN_BODY,
                            .method = "GET",
                            .path = target,
                            .events = &events,
                            .data = d };
    if (d->call->host->open(d->call, &open, &d->stream, head, reterr) < 0)
        return -1;
    uint64_t told = header_number(d->call, head, "X-Nanoterm-Size", UINT64_MAX);
    d->size = told == UINT64_MAX ? 0 : told;
    if (d->stream)
        d->stream->ops->grant(d->stream, CREDIT);
    if (transfer_end(d->call, &d->done, &d->error, reterr) < 0)
        return -1;
    if (told != UINT64_MAX && told != 0
        && told != d->received) /* 0: a file of /proc, whose size nobody knows */
        return nt_fail(reterr, NT_E_BYTE_MISMATCH, "%llu bytes were announced, but %llu have come",
                       (unsigned long long)told, (unsigned long long)d->received);
    return 0;
}

/* A time in the answer; INT64_MIN: none. */
static int64_t header_time(struct nt_call *call, const struct nt_response *head)
{
    const char *text = call->host->header(call, head, "X-Nanoterm-Mtime-Ns");
    struct nt_error ignored = NT_ERROR_INIT;
    int64_t value = INT64_MIN;
    if (text)
        nt_parse_i64(text, INT64_MIN, INT64_MAX, &value, &ignored);
    return value;
}

static int receive(struct download *d, const char *request, const struct copy_target *target,
                   struct files_moved *ret, struct nt_error *reterr)
{
    struct nt_response head = { .size = sizeof(head) };
    struct copy_place place = { .fd = -1 };
    struct copy_error error;
    if (target && copy_place_open(&place, target->dir) < 0)
        return nt_fail_sys(reterr, errno, "cannot write beside %s", target->name);
    d->is_file = target != NULL;
    if (target)
        d->fd = place.fd;
    int rc = fetch(d, request, &head, reterr);
    if (rc == 0 && target && copy_may_replace(target, false, &error) < 0)
        rc = nt_fail(reterr, NT_E_CONFLICT, "%s", error.message);
    /* No set-id bit comes out of a workspace. */
    if (rc == 0 && target
        && copy_place_commit(&place, target->name, header_mode(d->call, &head, 0644) & 0777,
                             header_time(d->call, &head))
               < 0)
        rc = nt_fail_sys(reterr, errno, "cannot put %s in its place", target->name);
    if (rc == 0 && header_time(d->call, &head) != INT64_MIN)
        files_time(header_time(d->call, &head), ret->mtime);
    if (target)
        copy_place_done(&place);
    ret->bytes = d->received;
    return rc;
}

int download(struct nt_call *call, const struct files_route *route,
             const struct copy_target *target, int fd, struct files_moved *ret, bool *ret_is_folder,
             struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf request = NT_BUF(64 * 1024);
    if (files_target(&request, "/file", route, reterr) < 0)
        return -1;
    struct download *d = calloc(1, sizeof(*d));
    if (!d)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for the download");
    *d = (struct download){ .call = call, .error = NT_ERROR_INIT, .label = route->path, .fd = fd };
    int result = receive(d, nt_buf_text(&request), target, ret, reterr);
    *ret_is_folder = result < 0 && strcmp(reterr->server_code, "is_a_folder") == 0;
    if (*ret_is_folder)
        result = 0;
    if (!d->stream) {
        free(d);
        return result;
    }
    d->abandoned = true;
    d->stream->ops->cancel(d->stream);
    return result;
}
