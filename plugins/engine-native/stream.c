/* SPDX-License-Identifier: Apache-2.0 */
/* stream.c - a connected descriptor as a struct nt_stream. Most callers take the descriptor out at
 * once; for the others this keeps the contract of bytes: credit in both directions, half-close, one
 * close with a reason. */
#include "native.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sdk/error.h"

#define PIECE (64u * 1024u)  /* bytes of one data callback */
#define QUEUE (256u * 1024u) /* what may wait to be written */

struct fd_stream {
    struct nt_stream head;
    struct nt_loop *loop;
    struct nt_watch *watch;
    struct nt_timer *soon; /* the callback that opens or ends, never inside a call */
    const struct nt_stream_events *events;
    void *data;
    struct nt_error reason;
    uint8_t *queue;
    size_t queued;
    uint64_t granted;
    int fd;
    bool announce, taken, ended, finished, closing, has_reason, in_callback, freed;
};

static struct fd_stream *of(struct nt_stream *stream)
{
    return (struct fd_stream *)stream;
}

static void release(struct fd_stream *s)
{
    s->loop->ops->watch_end(s->watch);
    s->loop->ops->timer_end(s->soon);
    s->watch = NULL;
    s->soon = NULL;
    if (s->in_callback) {
        s->freed = true;
        return;
    }
    if (s->fd >= 0)
        close(s->fd);
    free(s->queue);
    free(s);
}

/* True: the stream was released by the callback and must not be touched. */
static bool leave(struct fd_stream *s)
{
    bool freed = s->freed;
    s->in_callback = false;
    s->freed = false;
    if (freed)
        release(s);
    return freed;
}

static void close_now(struct fd_stream *s)
{
    void (*closed)(void *, struct nt_stream *, const struct nt_error *) =
        s->events ? s->events->close : NULL;
    s->in_callback = true;
    s->loop->ops->watch_end(s->watch);
    s->watch = NULL;
    if (closed)
        closed(s->data, &s->head, s->has_reason ? &s->reason : NULL);
    s->in_callback = false;
    release(s);
}

static void on_soon(void *data)
{
    struct fd_stream *s = data;
    s->loop->ops->timer_end(s->soon);
    s->soon = NULL;
    if (s->closing) {
        close_now(s);
        return;
    }
    if (s->announce && s->events && s->events->open) {
        s->announce = false;
        s->in_callback = true;
        s->events->open(s->data, &s->head);
        if (leave(s))
            return;
    }
    if (s->events && s->events->writable) {
        s->in_callback = true;
        s->events->writable(s->data, &s->head, QUEUE - s->queued);
        leave(s);
    }
}

static void end_soon(struct fd_stream *s)
{
    if (s->closing)
        return;
    s->closing = true;
    if (s->watch)
        s->loop->ops->watch_set(s->watch, 0);
    if (!s->soon)
        s->soon = s->loop->ops->timer(s->loop, 0, 0, on_soon, s);
}

static void fail_soon(struct fd_stream *s, int sys)
{
    if (s->closing)
        return;
    s->has_reason = true;
    s->reason = (struct nt_error)NT_ERROR_INIT;
    nt_fail_sys(&s->reason, sys, "the connection to the guest broke");
    s->reason.code = NT_E_CLOSED;
    end_soon(s);
}

static void update(struct fd_stream *s)
{
    if (s->closing || !s->watch)
        return;
    s->loop->ops->watch_set(s->watch, (s->granted && !s->ended ? NT_READABLE : 0)
                                          | (s->queued ? NT_WRITABLE : 0));
    if (s->ended && s->finished && !s->queued)
        end_soon(s);
}

static bool write_some(struct fd_stream *s)
{
    ssize_t n = send(s->fd, s->queue, s->queued, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        fail_soon(s, errno);
        return false;
    }
    if (n <= 0)
        return true;
    memmove(s->queue, s->queue + n, s->queued - (size_t)n);
    s->queued -= (size_t)n;
    if (!s->queued && s->finished)
        shutdown(s->fd, SHUT_WR);
    if (!s->finished && s->events->writable) {
        s->in_callback = true;
        s->events->writable(s->data, &s->head, QUEUE - s->queued);
        return !leave(s);
    }
    return true;
}

static bool read_some(struct fd_stream *s)
{
    static uint8_t piece[PIECE]; /* the loop's thread only */
    size_t size = s->granted < sizeof(piece) ? (size_t)s->granted : sizeof(piece);
    ssize_t n = recv(s->fd, piece, size, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n < 0) {
        fail_soon(s, errno);
        return false;
    }
    s->in_callback = true;
    if (n == 0) {
        s->ended = true;
        if (s->events->end)
            s->events->end(s->data, &s->head);
    } else {
        s->granted -= (uint64_t)n;
        if (s->events->data)
            s->events->data(s->data, &s->head, (struct nt_bytes){ piece, (size_t)n }, 0);
    }
    return !leave(s);
}

static void on_ready(void *data, int fd, uint32_t events)
{
    struct fd_stream *s = data;
    (void)fd;
    if (s->closing)
        return;
    if ((events & NT_WRITABLE) && s->queued && !write_some(s))
        return;
    if ((events & (NT_READABLE | NT_HANGUP)) && s->granted && !s->ended && !s->closing
        && !read_some(s))
        return;
    if ((events & NT_HANGUP) && !s->granted && !s->queued)
        s->loop->ops->watch_set(s->watch, 0); /* what is left is read when more is granted */
    else
        update(s);
}

static bool start_watch(struct fd_stream *s)
{
    if (!s->watch && !s->taken)
        s->watch = s->loop->ops->watch(s->loop, s->fd, 0, on_ready, s);
    return s->watch != NULL;
}

static void stream_grant(struct nt_stream *stream, uint64_t bytes)
{
    struct fd_stream *s = of(stream);
    s->granted = s->granted > UINT64_MAX - bytes ? UINT64_MAX : s->granted + bytes;
    if (!start_watch(s)) {
        fail_soon(s, ENOMEM);
        return;
    }
    update(s);
}

static int stream_write(struct nt_stream *stream, struct nt_bytes bytes, uint32_t flags,
                        struct nt_error *reterr)
{
    struct fd_stream *s = of(stream);
    (void)flags;
    if (s->closing || s->finished)
        return nt_fail(reterr, NT_E_CLOSED, "the stream has ended");
    if (bytes.size > QUEUE - s->queued)
        return nt_fail(reterr, NT_E_LIMIT, "more than the credit");
    if (!s->queue && !(s->queue = malloc(QUEUE)))
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    if (!start_watch(s))
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    if (bytes.size)
        memcpy(s->queue + s->queued, bytes.data, bytes.size);
    s->queued += bytes.size;
    update(s);
    return 0;
}

static void stream_finish(struct nt_stream *stream)
{
    struct fd_stream *s = of(stream);
    if (s->closing || s->finished)
        return;
    s->finished = true;
    if (!s->queued)
        shutdown(s->fd, SHUT_WR);
    update(s);
}

static void stream_cancel(struct nt_stream *stream)
{
    struct fd_stream *s = of(stream);
    if (s->closing)
        return;
    s->has_reason = true;
    s->reason = (struct nt_error)NT_ERROR_INIT;
    nt_fail(&s->reason, NT_E_CANCELLED, "cancelled");
    end_soon(s);
}

static int stream_take_fd(struct nt_stream *stream, struct nt_error *reterr)
{
    struct fd_stream *s = of(stream);
    if (s->taken || s->closing || s->granted || s->queued || s->finished)
        return nt_fail(reterr, NT_E_NOT_LOCAL, "the stream is in use already");
    int fd = s->fd;
    s->taken = true;
    s->fd = -1;
    release(s);
    return fd;
}

static const struct nt_stream_ops ops = {
    .size = sizeof(ops),
    .grant = stream_grant,
    .write = stream_write,
    .finish = stream_finish,
    .cancel = stream_cancel,
    .take_fd = stream_take_fd,
};

struct nt_stream *stream_new(struct nt_loop *loop, int fd, uint32_t flags, struct nt_error *reterr)
{
    struct fd_stream *s = calloc(1, sizeof(*s));
    if (!s) {
        close(fd);
        nt_fail(reterr, NT_E_MEMORY, "out of memory");
        return NULL;
    }
    s->head = (struct nt_stream){ sizeof(s->head), flags, &ops };
    s->loop = loop;
    s->fd = fd;
    return &s->head;
}

int stream_handle(struct nt_stream *stream, const struct nt_stream_events *events, void *data,
                  bool announce, struct nt_error *reterr)
{
    struct fd_stream *s = of(stream);
    s->events = events;
    s->data = data;
    s->announce = announce;
    s->soon = s->loop->ops->timer(s->loop, 0, 0, on_soon, s);
    if (!s->soon) {
        release(s);
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    }
    return 0;
}

void stream_offer(struct nt_stream *stream, const struct nt_engine_host *host, const char *id)
{
    struct fd_stream *s = of(stream);
    const struct nt_stream_events *events = NULL;
    void *data = NULL;
    struct nt_error ignored = NT_ERROR_INIT;
    s->in_callback = true;
    host->accept_stream(host->data, id, stream, &events, &data);
    if (leave(s))
        return; /* its descriptor was taken */
    if (events)
        /* out of memory: it is gone, the program sees that */
        stream_handle(stream, events, data, false, &ignored);
    else
        release(s);
}
