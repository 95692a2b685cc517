/* SPDX-License-Identifier: Apache-2.0 */
/* conn.c - reads, writes and waits for one descriptor.
 *
 * uv_poll instead of uv streams: one code for sockets and for TLS by libcurl, writes of many pieces
 * at once with MSG_NOSIGNAL, and a descriptor that can be handed over at any time. */
#include "core/net/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sdk/error.h"

enum {
    IN_SMALL = 16 * 1024,  /* of a new connection: a head fits */
    IN_LARGE = 256 * 1024, /* of one whose reads fill the buffer */
    PIECES_AT_ONCE = 64,
    PIECE_FILL = 4096, /* small copied pieces share memory up to here */
};

struct out_piece {
    struct out_piece *next;
    const uint8_t *data;
    size_t size, offset;
    size_t room; /* bytes behind the piece that may still be filled */
    void (*sent)(void *data);
    void *sent_data;
    void *memory; /* freed with the piece; NULL: borrowed or inline */
    uint8_t bytes[];
};

static void conn_turn(struct conn *c, bool readable);

static ssize_t socket_recv(void *transport, int fd, void *buffer, size_t size)
{
    ssize_t n;
    do
        n = recv(fd, buffer, size, 0);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static ssize_t socket_send(void *transport, int fd, const struct iovec *pieces, int count)
{
    struct msghdr message = { .msg_iov = (struct iovec *)pieces, .msg_iovlen = (size_t)count };
    ssize_t n;
    do
        n = sendmsg(fd, &message, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static void socket_close(void *transport, int fd)
{
    close(fd);
}

const struct transport_ops transport_socket = {
    .recv = socket_recv,
    .send = socket_send,
    .close = socket_close,
};

static void on_handle_closed(uv_handle_t *handle)
{
    struct conn *c = handle->data;
    if (--c->open_handles > 0)
        return;
    if (c->gone)
        c->gone(c->gone_data, c);
    free(c->in);
    free(c);
}

static void on_kick(uv_idle_t *idle)
{
    struct conn *c = idle->data;
    uv_idle_stop(idle);
    conn_turn(c, c->poll_dead || (c->transport && c->transport->keeps_bytes));
}

static void arm_timer(struct conn *c);

static void on_timer(uv_timer_t *timer)
{
    struct conn *c = timer->data;
    int64_t now = (int64_t)uv_now(c->uv);
    c->timer_at = 0;
    for (int i = 0; i < DUE_COUNT && !c->closing; i++) {
        if (c->due[i] == 0 || c->due[i] > now)
            continue;
        c->due[i] = 0;
        if (i == DUE_STALL) {
            c->error = ETIMEDOUT;
            conn_kick(c);
        } else {
            c->events->due(c->owner, (enum conn_due)i);
        }
    }
    if (!c->closing)
        arm_timer(c);
}

static void arm_timer(struct conn *c)
{
    int64_t first = 0;
    for (int i = 0; i < DUE_COUNT; i++)
        if (c->due[i] && (!first || c->due[i] < first))
            first = c->due[i];
    /* A timer that fires too early only looks again: cheaper than moving it with every byte. */
    if (!first || (c->timer_at && c->timer_at <= first))
        return;
    int64_t now = (int64_t)uv_now(c->uv);
    c->timer_at = first;
    uv_timer_start(&c->timer, on_timer, first > now ? (uint64_t)(first - now) : 0, 0);
}

void conn_due(struct conn *c, enum conn_due which, int64_t ms)
{
    if (c->closing)
        return;
    c->due[which] = ms < 0 ? 0 : (int64_t)uv_now(c->uv) + ms + 1;
    if (ms >= 0)
        arm_timer(c);
}

struct conn *conn_new(uv_loop_t *uv, const struct conn_events *events, void *owner,
                      struct nt_error *reterr)
{
    struct conn *c = calloc(1, sizeof(*c));
    if (!c) {
        nt_fail(reterr, NT_E_MEMORY, "out of memory for a connection");
        return NULL;
    }
    c->uv = uv;
    c->fd = -1;
    c->events = events;
    c->owner = owner;
    uv_timer_init(uv, &c->timer);
    uv_idle_init(uv, &c->kick);
    c->timer.data = c->kick.data = c;
    c->open_handles = 2;
    return c;
}

int conn_attach(struct conn *c, int fd, const struct transport_ops *transport, void *transport_data,
                struct nt_error *reterr)
{
    int rc = uv_poll_init(c->uv, &c->poll, fd);
    if (rc < 0)
        return nt_fail_sys(reterr, -rc, "cannot watch a connection");
    c->poll.data = c;
    c->open_handles++;
    c->has_poll = true;
    c->fd = fd;
    c->transport = transport;
    c->transport_data = transport_data;
    conn_kick(c);
    return 0;
}

int conn_detach(struct conn *c)
{
    int fd = c->fd;
    /* Closed at once, not only stopped: closing it later would take the new owner's watch out of
     * epoll. */
    if (c->has_poll)
        uv_close((uv_handle_t *)&c->poll, on_handle_closed);
    c->has_poll = false;
    c->fd = -1;
    return fd;
}

void conn_owner(struct conn *c, const struct conn_events *events, void *owner)
{
    c->events = events;
    c->owner = owner;
    for (int i = 0; i < DUE_COUNT; i++)
        if (i != DUE_STALL)
            c->due[i] = 0;
}

void conn_kick(struct conn *c)
{
    if (!c->closing)
        uv_idle_start(&c->kick, on_kick);
}

void conn_consume(struct conn *c, size_t size)
{
    c->begin += size;
    if (c->begin == c->end)
        c->begin = c->end = 0;
}

/* --- writing ------------------------------------------------------------------------------- */

static void queue_piece(struct conn *c, struct out_piece *piece)
{
    piece->next = NULL;
    if (c->out_last)
        c->out_last->next = piece;
    else
        c->out_first = piece;
    c->out_last = piece;
    c->out_bytes += piece->size;
    if (c->stage != 1 && !c->blocked)
        conn_kick(c);
}

static struct out_piece *piece_new(struct conn *c, size_t inline_bytes)
{
    struct out_piece *piece = malloc(sizeof(*piece) + inline_bytes);
    if (!piece) {
        c->error = ENOMEM;
        conn_kick(c);
        return NULL;
    }
    memset(piece, 0, sizeof(*piece));
    return piece;
}

bool conn_send_copy(struct conn *c, const void *data, size_t size)
{
    if (size == 0)
        return true;
    struct out_piece *last = c->out_last;
    if (last && size <= last->room) {
        memcpy(last->bytes + last->size, data, size);
        last->size += size;
        last->room -= size;
        c->out_bytes += size;
        return true;
    }
    size_t cap = size < PIECE_FILL ? PIECE_FILL : size;
    struct out_piece *piece = piece_new(c, cap);
    if (!piece)
        return false;
    memcpy(piece->bytes, data, size);
    piece->data = piece->bytes;
    piece->size = size;
    piece->room = cap - size;
    queue_piece(c, piece);
    return true;
}

bool conn_send_owned(struct conn *c, void *memory, size_t size)
{
    struct out_piece *piece = piece_new(c, 0);
    if (!piece) {
        free(memory);
        return false;
    }
    piece->memory = memory;
    piece->data = memory;
    piece->size = size;
    queue_piece(c, piece);
    return true;
}

void conn_send_borrowed(struct conn *c, const void *data, size_t size, void (*sent)(void *data),
                        void *sent_data)
{
    struct out_piece *piece = piece_new(c, 0);
    if (!piece)
        return; /* the lender is not told: there is no memory to remember it with */
    piece->data = data;
    piece->size = size;
    piece->sent = sent;
    piece->sent_data = sent_data;
    queue_piece(c, piece);
}

void conn_send_nothing(struct conn *c, void (*sent)(void *data), void *sent_data)
{
    conn_send_borrowed(c, "", 0, sent, sent_data);
}

uint64_t conn_credit(const struct conn *c, uint32_t limit)
{
    return c->out_bytes >= limit ? 0 : limit - c->out_bytes;
}

static void finish_piece(struct conn *c)
{
    struct out_piece *piece = c->out_first;
    c->out_first = piece->next;
    if (!c->out_first)
        c->out_last = NULL;
    if (!piece->sent) {
        free(piece->memory);
        free(piece);
        return;
    }
    piece->next = NULL;
    if (c->done_last)
        c->done_last->next = piece;
    else
        c->done_first = piece;
    c->done_last = piece;
}

static void tell_lenders(struct conn *c)
{
    while (c->done_first) {
        struct out_piece *piece = c->done_first;
        c->done_first = piece->next;
        if (!c->done_first)
            c->done_last = NULL;
        piece->sent(piece->sent_data);
        free(piece->memory);
        free(piece);
    }
}

void conn_drop_queue(struct conn *c)
{
    while (c->out_first)
        finish_piece(c);
    c->out_bytes = 0;
    tell_lenders(c);
}

/* Sends until the queue is empty or the kernel's buffer is full. */
static bool flush(struct conn *c)
{
    bool progress = false;
    c->blocked = false;
    while (c->out_first) {
        struct iovec pieces[PIECES_AT_ONCE];
        int count = 0;
        for (struct out_piece *p = c->out_first; p && count < PIECES_AT_ONCE; p = p->next)
            if (p->size > p->offset)
                pieces[count++] =
                    (struct iovec){ (void *)(p->data + p->offset), p->size - p->offset };
        ssize_t n = count ? c->transport->send(c->transport_data, c->fd, pieces, count) : 0;
        if (n == -EAGAIN || n == -EWOULDBLOCK) {
            c->blocked = true;
            break;
        }
        if (n < 0) {
            c->error = (int)-n;
            break;
        }
        progress = true;
        c->sent_total += (uint64_t)n;
        c->out_bytes -= (size_t)n;
        size_t left = (size_t)n;
        while (c->out_first) {
            struct out_piece *p = c->out_first;
            size_t part = p->size - p->offset;
            if (part > left) {
                p->offset += left;
                p->room = 0;
                break;
            }
            left -= part;
            finish_piece(c);
        }
    }
    if (!c->blocked || c->stall_ms <= 0)
        c->due[DUE_STALL] = 0;
    else if (progress || !c->due[DUE_STALL])
        conn_due(c, DUE_STALL, c->stall_ms);
    return progress;
}

/* --- reading and turns --------------------------------------------------------------------- */

static bool make_room(struct conn *c)
{
    if (c->begin == c->end)
        c->begin = c->end = 0;
    size_t want = c->grow ? IN_LARGE : IN_SMALL;
    if (c->cap < want) {
        uint8_t *larger = realloc(c->in, want);
        if (!larger) {
            c->error = ENOMEM;
            return false;
        }
        c->in = larger;
        c->cap = want;
    }
    if (c->end == c->cap && c->begin > 0) {
        memmove(c->in, c->in + c->begin, c->end - c->begin);
        c->end -= c->begin;
        c->begin = 0;
    }
    return c->end < c->cap;
}

static void fill(struct conn *c)
{
    if (c->eof || c->fd < 0)
        return;
    c->unread = c->hold || !make_room(c);
    if (c->unread)
        return;
    size_t room = c->cap - c->end;
    ssize_t n = c->transport->recv(c->transport_data, c->fd, c->in + c->end, room);
    if (n > 0) {
        c->end += (size_t)n;
        c->received_total += (uint64_t)n;
        c->grow = c->grow || (size_t)n == room;
        if (c->transport->keeps_bytes)
            conn_kick(c);
    } else if (n == 0) {
        c->eof = true;
    } else if (n == -EAGAIN || n == -EWOULDBLOCK) {
        if (c->poll_dead && !c->error)
            c->error = ECONNRESET;
    } else {
        c->error = (int)-n;
    }
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct conn *c = poll->data;
    if (status < 0) {
        /* libuv stopped watching: the socket has an error, but what came before it can still be
         * read. */
        c->poll_dead = true;
        c->poll_events = 0;
    }
    conn_turn(c, status < 0 || (events & UV_READABLE) || c->transport->keeps_bytes);
}

static void update_poll(struct conn *c)
{
    if (c->closing || !c->has_poll || c->fd < 0)
        return;
    bool room =
        c->end < c->cap || c->begin > 0 || c->cap < IN_SMALL || (c->grow && c->cap < IN_LARGE);
    bool want_read = !c->eof && !c->hold && room;
    if (c->poll_dead) {
        if (want_read)
            conn_kick(c);
        return;
    }
    /* The socket will not say that it is readable for bytes that have left it. */
    if (want_read && c->unread && c->transport->keeps_bytes)
        conn_kick(c);
    bool want_write =
        c->blocked || (c->transport->wants_write && c->transport->wants_write(c->transport_data));
    int events = (want_read ? UV_READABLE : 0) | (want_write ? UV_WRITABLE : 0);
    if (events == c->poll_events)
        return;
    c->poll_events = events;
    if (events == 0)
        uv_poll_stop(&c->poll);
    else
        uv_poll_start(&c->poll, events, on_poll);
}

static void tell_broken(struct conn *c)
{
    if (c->closing || c->told_broken)
        return;
    c->told_broken = true;
    conn_drop_queue(c);
    if (!c->closing)
        c->events->broken(c->owner, c->error);
}

/* The peer takes nothing more, but may have answered before it closed (a refusal of a large body):
 * its owner sees what came before it hears of the error. */
static void read_last(struct conn *c)
{
    int sys = c->error;
    for (int i = 0; i < 16 && !c->closing && !c->eof; i++) {
        size_t before = c->end;
        c->error = 0;
        fill(c);
        bool has_more = c->end != before || c->eof;
        c->error = sys;
        if (!has_more)
            return;
        if (!c->eof)
            c->events->input(c->owner);
    }
}

static void conn_turn(struct conn *c, bool readable)
{
    if (c->closing)
        return;
    c->stage = 1;
    if (readable && !c->told_broken)
        fill(c);
    c->events->input(c->owner);
    if (!c->closing && !c->error && c->fd >= 0) {
        bool progress = flush(c);
        if (c->error == EPIPE || c->error == ECONNRESET)
            read_last(c);
        c->stage = 2;
        tell_lenders(c);
        if (progress && !c->closing && !c->error)
            c->events->flushed(c->owner);
    }
    if (c->error)
        tell_broken(c);
    c->stage = 0;
    update_poll(c);
}

void conn_close(struct conn *c)
{
    if (c->closing)
        return;
    c->closing = true;
    conn_drop_queue(c);
    if (c->has_poll)
        uv_close((uv_handle_t *)&c->poll, on_handle_closed);
    if (c->fd >= 0)
        c->transport->close(c->transport_data, c->fd);
    c->fd = -1;
    uv_close((uv_handle_t *)&c->timer, on_handle_closed);
    uv_close((uv_handle_t *)&c->kick, on_handle_closed);
}
