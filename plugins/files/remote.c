/* SPDX-License-Identifier: Apache-2.0 */
/* remote.c - a copy's frames through the server: the thread speaks on one end of a socket pair, and
 * here the other end is joined to a stream of /v1, with its credit; see transfer.h. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/reader.h"
#include "transfer.h"

#define PIECE (256u * 1024)
#define CREDIT (1024u * 1024)

/* On the heap until the stream's close: its callbacks may come later. */
struct remote {
    struct nt_call *call;
    struct nt_stream *stream;
    struct nt_reader *reader; /* up only */
    struct nt_watch *watch;   /* of fd, while something waits for it */
    struct nt_buf backlog;
    struct nt_error error;
    uint64_t credit;
    int fd;
    uint32_t closed;
    bool has_watch, is_up, input_ended, abandoned;
};

static void remote_free(struct remote *r)
{
    nt_buf_done(&r->backlog);
    free(r);
}

/* --- down: from the stream to the thread --------------------------------------------------- */

static void give_up(struct remote *r)
{
    shutdown(r->fd, SHUT_RDWR);
    if (r->stream)
        r->stream->ops->cancel(r->stream);
}

static void flush(struct remote *r)
{
    size_t sent = 0;
    while (sent < r->backlog.size) {
        ssize_t n = send(r->fd, r->backlog.data + sent, r->backlog.size - sent,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN) { /* the thread has given up: it says why */
            nt_buf_reset(&r->backlog);
            if (r->stream)
                r->stream->ops->cancel(r->stream);
            break;
        }
        if (n < 0)
            break;
        sent += (size_t)n;
    }
    nt_buf_drop(&r->backlog, sent < r->backlog.size ? sent : r->backlog.size);
    if (sent && r->stream)
        r->stream->ops->grant(r->stream, sent);
    if (!r->backlog.size && r->closed)
        shutdown(r->fd, SHUT_WR); /* nothing more comes */
    struct nt_loop *loop = r->call->host->loop(r->call);
    if (r->watch && !r->is_up)
        loop->ops->watch_set(r->watch, r->backlog.size ? NT_WRITABLE : 0);
}

static void on_room(void *data, int fd, uint32_t events)
{
    (void)fd;
    (void)events;
    flush(data);
}

static void on_data(void *data, struct nt_stream *stream, struct nt_bytes bytes, uint32_t flags)
{
    (void)stream;
    (void)flags;
    struct remote *r = data;
    if (r->abandoned)
        return;
    nt_buf_add_bytes(&r->backlog, bytes.data, bytes.size);
    if (!nt_buf_ok(&r->backlog)) {
        nt_fail(&r->error, NT_E_LIMIT, "the server sent more than was granted");
        give_up(r);
        return;
    }
    flush(r);
}

static void on_close(void *data, struct nt_stream *stream, const struct nt_error *reason)
{
    (void)stream;
    struct remote *r = data;
    r->stream = NULL;
    r->closed = 1;
    if (reason && r->error.code == NT_OK)
        memcpy(&r->error, reason,
               reason->size < sizeof(r->error) ? reason->size : sizeof(r->error));
    r->error.size = sizeof(r->error);
    if (r->abandoned)
        remote_free(r);
    else if (reason)
        shutdown(r->fd, SHUT_RDWR);
    else
        flush(r);
}

/* --- up: from the thread to the stream ----------------------------------------------------- */

static void feed(struct remote *r)
{
    if (!r->reader || r->input_ended || !r->stream)
        return;
    if (r->credit > 0)
        nt_reader_resume(r->reader, r->credit < PIECE ? (size_t)r->credit : PIECE);
    else
        nt_reader_pause(r->reader);
}

static void on_writable(void *data, struct nt_stream *stream, uint64_t credit)
{
    (void)stream;
    struct remote *r = data;
    r->credit = credit;
    if (!r->abandoned)
        feed(r);
}

static void on_input(void *data, struct nt_bytes bytes)
{
    struct remote *r = data;
    if (!r->stream)
        return;
    if (r->stream->ops->write(r->stream, bytes, 0, &r->error) < 0) {
        give_up(r);
        return;
    }
    r->credit -= bytes.size;
    feed(r);
}

static void on_input_end(void *data, int sys)
{
    (void)sys;
    struct remote *r = data;
    r->input_ended = true;
    if (r->stream)
        r->stream->ops->finish(r->stream);
}

/* --- the whole ----------------------------------------------------------------------------- */

static int converse(struct remote *r, struct transfer *t, const char *method, const char *target,
                    struct nt_error *reterr)
{
    static const struct nt_stream_events events = {
        .size = sizeof(events), .data = on_data, .writable = on_writable, .close = on_close
    };
    static const struct nt_reader_events input = { .bytes = on_input, .end = on_input_end };
    static const struct nt_header type = { "Content-Type", "application/vnd.nanoterm.tree" };
    struct nt_open open = { .size = sizeof(open),
                            .kind = NT_OPEN_BODY,
                            .method = method,
                            .path = target,
                            .headers = { &type, r->is_up ? 1 : 0, sizeof(type) },
                            .body_bytes = r->is_up ? -1 : 0,
                            .events = &events,
                            .data = r };
    struct nt_response head = { .size = sizeof(head) };
    struct nt_loop *loop = t->call->host->loop(t->call);
    if (t->call->host->open(t->call, &open, &r->stream, &head, reterr) < 0)
        return -1;
    if (r->is_up && nt_reader_new(loop, r->fd, PIECE, &input, r, &r->reader, reterr) < 0)
        return -1;
    if (!r->is_up && !(r->watch = loop->ops->watch(loop, r->fd, 0, on_room, r)))
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    if (r->stream)
        r->stream->ops->grant(r->stream, CREDIT);
    feed(r);
    int rc = transfer_wait(t, NULL, reterr);
    if (rc < 0)
        return -1;
    /* The server's reason is nearer to the cause than that our connection has ended. */
    if (t->error.code == COPY_LOST && !r->closed
        && t->call->host->wait(t->call, &r->closed, reterr) < 0)
        return -1;
    if (t->error.code == COPY_LOST && r->error.code) {
        uint32_t size = reterr->size;
        memcpy(reterr, &r->error, size < sizeof(r->error) ? size : sizeof(r->error));
        reterr->size = size;
        return -1;
    }
    return transfer_failed(t, reterr);
}

int transfer_remote(struct transfer *t, const char *method, const char *target,
                    struct nt_error *reterr)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return nt_fail_sys(reterr, errno, "cannot make a pair of sockets");
    nt_autoclose int own = ends[0];
    nt_autoclose int other = ends[1];
    struct remote *r = calloc(1, sizeof(*r));
    if (!r || copy_link_init(&t->link, other, NULL, 0) < 0) {
        free(r);
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    }
    *r = (struct remote){ .call = t->call,
                          .fd = own,
                          .backlog = NT_BUF(4 * CREDIT),
                          .error = NT_ERROR_INIT,
                          .is_up = method[0] == 'P' };
    t->error.code = 0;
    int rc = converse(r, t, method, target, reterr);
    struct nt_loop *loop = t->call->host->loop(t->call);
    nt_reader_free(r->reader);
    r->reader = NULL;
    loop->ops->watch_end(r->watch);
    r->watch = NULL;
    copy_link_done(&t->link);
    if (!r->stream) {
        remote_free(r);
        return rc;
    }
    r->abandoned = true;
    r->stream->ops->cancel(r->stream);
    return rc;
}
