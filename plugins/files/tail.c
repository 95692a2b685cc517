/* SPDX-License-Identifier: Apache-2.0 */
/* tail.c - `files tail`: the end of a file, and what is added, by asking again and again. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/json.h"
#include "sdk/parse.h"

#define ID_SIZE 41
#define PIECE (1024u * 1024) /* of one request */

struct tail {
    struct nt_call *call;
    const struct files_route *route;
    uint64_t offset;       /* of what is read next */
    char file_id[ID_SIZE]; /* of the file itself, whatever its name */
};

static uint64_t header_number(struct nt_call *call, const struct nt_response *response,
                              const char *name)
{
    const char *text = call->host->header(call, response, name);
    struct nt_error ignored = NT_ERROR_INIT;
    uint64_t value = 0;
    if (text)
        nt_parse_u64(text, 0, UINT64_MAX, &value, &ignored);
    return value;
}

/* Reads up to size bytes from an offset. */
static int ask(struct tail *t, uint64_t offset, uint64_t size, struct nt_bytes *ret,
               uint64_t *ret_size, char ret_id[ID_SIZE], struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf target = NT_BUF(64 * 1024);
    if (files_target(&target, "/file", t->route, reterr) < 0)
        return -1;
    nt_buf_addf(&target, "&offset=%llu&length=%llu", (unsigned long long)offset,
                (unsigned long long)size);
    /* Asked for as long as the command lives: nothing of it may stay. */
    struct nt_request request = { .size = sizeof(request),
                                  .flags = NT_REQ_BRIEF,
                                  .method = "GET",
                                  .path = nt_buf_text(&target),
                                  .max_body_bytes = PIECE + 1 };
    struct nt_response response = { .size = sizeof(response) };
    if (t->call->host->request(t->call, &request, &response, reterr) < 0)
        return -1;
    *ret = response.body;
    *ret_size = header_number(t->call, &response, "X-Nanoterm-Size");
    const char *id = t->call->host->header(t->call, &response, "X-Nanoterm-File-Id");
    nt_copy_text(ret_id, ID_SIZE, id ? id : "");
    return 0;
}

static int print(struct tail *t, const char *bytes, size_t size, struct nt_error *reterr)
{
    int fd = t->call->host->descriptor(t->call, 1);
    while (size) {
        ssize_t n = write(fd, bytes, size);
        if (n < 0 && errno == EAGAIN) {
            struct pollfd room = { .fd = fd, .events = POLLOUT };
            poll(&room, 1, -1);
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return nt_fail_sys(reterr, errno, "cannot write");
        bytes += n;
        size -= (size_t)n;
    }
    return 0;
}

/* Where the last `lines` lines begin: larger and larger parts of the end are looked at. */
static int find_start(struct tail *t, int64_t lines, uint64_t size, struct nt_error *reterr)
{
    int64_t left = lines;
    uint64_t end = size;
    bool is_last = true;
    while (left >= 0 && end > 0) {
        uint64_t begin = end > PIECE ? end - PIECE : 0, now;
        char id[ID_SIZE];
        struct nt_bytes bytes;
        if (ask(t, begin, end - begin, &bytes, &now, id, reterr) < 0)
            return -1;
        const char *text = bytes.data;
        for (size_t i = bytes.size; i > 0; i--) {
            if (text[i - 1] != '\n')
                continue;
            /* a newline at the very end closes the last line */
            if (is_last && begin + i == size)
                continue;
            if (--left <= 0) {
                t->offset = begin + i;
                return 0;
            }
        }
        is_last = false;
        end = begin;
    }
    t->offset = end;
    return 0;
}

/* Prints what has come since; starts again where the file was cut short or is another one. */
static int catch_up(struct tail *t, struct nt_error *reterr)
{
    for (;;) {
        struct nt_bytes bytes;
        uint64_t size;
        char id[ID_SIZE];
        if (ask(t, t->offset, PIECE, &bytes, &size, id, reterr) < 0)
            return -1;
        bool is_new = strcmp(t->file_id, id) != 0;
        if (is_new || size < t->offset) {
            memcpy(t->file_id, id, sizeof(id));
            if (t->offset) {
                t->offset = 0;
                t->call->host->message(t->call, NT_SAY_NOTE,
                                       is_new ? "the file was replaced; from its start"
                                              : "the file was cut short; from its start");
                continue;
            }
        }
        if (print(t, bytes.data, bytes.size, reterr) < 0)
            return -1;
        t->offset += bytes.size;
        if (bytes.size < PIECE)
            return 0;
    }
}

static void on_timer(void *data)
{
    *(uint32_t *)data = 1;
}

static int pause_ms(struct nt_call *call, int64_t ms, struct nt_error *reterr)
{
    struct nt_loop *loop = call->host->loop(call);
    uint32_t done = 0;
    struct nt_timer *timer = loop->ops->timer(loop, ms, 0, on_timer, &done);
    if (!timer)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    int rc = call->host->wait(call, &done, reterr);
    loop->ops->timer_end(timer);
    return rc;
}

/* The first look. 1: the file is not there. */
static int begin(struct tail *t, struct nt_error *reterr)
{
    struct nt_bytes bytes;
    uint64_t size;
    if (ask(t, 0, 1, &bytes, &size, t->file_id, reterr) < 0)
        return strcmp(reterr->server_code, "file_not_found") == 0 ? 1 : -1;
    int64_t lines = t->call->host->number(t->call, "lines");
    t->offset = size;
    return lines ? find_start(t, lines, size, reterr) : 0;
}

int files_tail(struct nt_call *call, struct nt_error *reterr)
{
    struct files_route route = { .id = call->host->text(call, "id"),
                                 .path = call->host->text(call, "path") };
    struct tail t = { .call = call, .route = &route };
    int64_t interval = call->host->number(call, "interval");
    bool waits = call->host->number(call, "retry"), is_once = call->host->number(call, "once");
    int rc = begin(&t, reterr);
    while (rc == 1 && waits) {
        if (pause_ms(call, interval, reterr) < 0)
            return -1;
        struct nt_error error = NT_ERROR_INIT;
        struct nt_bytes bytes;
        uint64_t size;
        if (ask(&t, 0, 1, &bytes, &size, t.file_id, &error) == 0) { /* all of what is new */
            rc = 0;
        } else if (strcmp(error.server_code, "file_not_found") != 0) {
            memcpy(reterr, &error, reterr->size < error.size ? reterr->size : error.size);
            return -1;
        }
    }
    if (rc != 0)
        return -1;
    for (;;) {
        struct nt_error error = NT_ERROR_INIT;
        /* A log that is rotated is away for a moment. */
        if (catch_up(&t, &error) < 0 && strcmp(error.server_code, "file_not_found") != 0) {
            uint32_t size = reterr->size;
            memcpy(reterr, &error, size < error.size ? size : error.size);
            reterr->size = size;
            return -1;
        }
        if (is_once)
            return 0;
        if (pause_ms(call, interval, reterr) < 0)
            return -1;
    }
}
