/* SPDX-License-Identifier: Apache-2.0 */
/* channel.c - messages of wire.h over a socketpair, in a loop. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "plugins/serve/monitor/wire.h"

#include "plugins/serve/monitor/channel.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/fds.h"

#define QUEUE_MAX (16u * 1024u * 1024u) /* bytes of messages: a list of all workspaces fits */
#define FDS_MAX 256u                    /* waiting with them */
#define ROUND 64                        /* messages of one round of the loop */

struct parcel {
    struct parcel *next;
    size_t size;
    int fd;
    uint8_t bytes[];
};

struct parcels {
    struct parcel *first, **end;
    size_t bytes;
    unsigned fds;
};

struct channel {
    struct nt_loop *loop;
    struct nt_watch *watch;
    struct nt_timer *soon; /* delivers what came while somebody waited */
    struct channel_events events;
    void *data;
    struct parcels out, held;
    int fd;
    bool takes_fds, closed, told;
    _Alignas(16) uint8_t bytes[WIRE_MAX];
};

static int push(struct parcels *list, const void *message, size_t size, int fd)
{
    struct parcel *p = malloc(sizeof(*p) + size);
    if (!p)
        return -1;
    *p = (struct parcel){ .size = size, .fd = fd };
    memcpy(p->bytes, message, size);
    if (!list->first)
        list->end = &list->first;
    *list->end = p;
    list->end = &p->next;
    list->bytes += size;
    list->fds += fd >= 0;
    return 0;
}

static struct parcel *pop(struct parcels *list)
{
    struct parcel *p = list->first;
    if (!p)
        return NULL;
    list->first = p->next;
    list->bytes -= p->size;
    list->fds -= p->fd >= 0;
    return p;
}

static void drop_all(struct parcels *list)
{
    struct parcel *p;
    while ((p = pop(list))) {
        nt_closep(&p->fd);
        free(p);
    }
}

static void tell_closed(struct channel *c)
{
    c->closed = true;
    if (c->watch)
        c->loop->ops->watch_set(c->watch, 0);
    if (c->told)
        return;
    c->told = true;
    if (c->events.closed)
        c->events.closed(c->data);
}

static void on_soon(void *data);

/* From inside a call of the owner: its callback comes later. */
static void close_soon(struct channel *c)
{
    c->closed = true;
    if (!c->soon && !c->told)
        c->soon = c->loop->ops->timer(c->loop, 0, 0, on_soon, c);
}

/* 1: it has left, 0: there is no room, -1: the other end is gone. */
static int put(int to, const void *message, size_t size, int fd)
{
    ssize_t n;
    do
        n = nt_send_fds(to, message, size, &fd, fd >= 0 ? 1 : 0, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN || errno == ENOBUFS ? 0 : -1;
    return 1;
}

/* Size of the message in c->bytes, 0: nothing there, -1: the end. */
static ssize_t get(struct channel *c, int *ret_fd)
{
    int count;
    *ret_fd = -1;
    ssize_t n = nt_recv_fds(c->fd, c->bytes, sizeof(c->bytes), ret_fd, c->takes_fds ? 1 : 0, &count,
                            MSG_DONTWAIT | MSG_TRUNC);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    /* A descriptor too many ends the channel, as a message that is too long does. */
    if (n == 0 || (size_t)n > sizeof(c->bytes) || count < 0) {
        nt_closep(ret_fd);
        *ret_fd = -1;
        return -1;
    }
    return n;
}

static void set_watch(struct channel *c)
{
    if (c->watch && !c->closed)
        c->loop->ops->watch_set(c->watch, NT_READABLE | (c->out.first ? NT_WRITABLE : 0));
}

static int flush(struct channel *c)
{
    while (c->out.first) {
        struct parcel *p = c->out.first;
        int sent = put(c->fd, p->bytes, p->size, p->fd);
        if (sent <= 0)
            return sent;
        pop(&c->out);
        nt_closep(&p->fd);
        free(p);
    }
    return 0;
}

static void deliver_held(struct channel *c)
{
    struct parcel *p;
    while (!c->told && (p = pop(&c->held))) {
        /* through the channel's own room: it is aligned, p->bytes need not be */
        memcpy(c->bytes, p->bytes, p->size);
        bool good = c->events.message(c->data, c->bytes, p->size, p->fd);
        free(p);
        if (!good)
            tell_closed(c);
    }
}

static void on_soon(void *data)
{
    struct channel *c = data;
    c->loop->ops->timer_end(c->soon);
    c->soon = NULL;
    deliver_held(c);
    if (c->closed)
        tell_closed(c);
}

static void on_ready(void *data, int fd, uint32_t events)
{
    struct channel *c = data;
    (void)fd;
    if (c->closed)
        return;
    if (flush(c) < 0) {
        tell_closed(c);
        return;
    }
    if (events & (NT_READABLE | NT_HANGUP)) {
        deliver_held(c);
        for (int i = 0; i < ROUND && !c->closed; i++) {
            int came;
            ssize_t n = get(c, &came);
            if (n == 0)
                break;
            if (n < 0 || !c->events.message(c->data, c->bytes, (size_t)n, came))
                tell_closed(c);
        }
    }
    set_watch(c);
}

struct channel *channel_new(struct nt_loop *loop, int fd, bool takes_fds,
                            const struct channel_events *events, void *data,
                            struct nt_error *reterr)
{
    struct channel *c = calloc(1, sizeof(*c));
    if (c) {
        c->loop = loop;
        c->events = *events;
        c->data = data;
        c->fd = fd;
        c->takes_fds = takes_fds;
        c->watch = loop->ops->watch(loop, fd, NT_READABLE, on_ready, c);
    }
    if (c && c->watch)
        return c;
    free(c);
    close(fd);
    nt_fail(reterr, NT_E_MEMORY, "no memory for a channel");
    return NULL;
}

void channel_free(struct channel *c)
{
    if (!c)
        return;
    c->loop->ops->watch_end(c->watch);
    c->loop->ops->timer_end(c->soon);
    drop_all(&c->out);
    drop_all(&c->held);
    close(c->fd);
    free(c);
}

int channel_send(struct channel *c, const void *message, size_t size, int fd)
{
    int status = -1;
    if (!c->closed) {
        status = c->out.first ? 0 : put(c->fd, message, size, fd);
        if (status == 0) {
            bool fits = c->out.bytes + size <= QUEUE_MAX && c->out.fds + (fd >= 0) <= FDS_MAX;
            status = fits ? push(&c->out, message, size, fd) : -1;
            if (status == 0)
                fd = -1; /* the queue's */
        }
        if (status < 0)
            close_soon(c);
        set_watch(c);
    }
    nt_closep(&fd);
    return status < 0 ? -1 : 0;
}

int channel_wait(struct channel *c, uint32_t kind, uint64_t number, void *ret, size_t size,
                 int *ret_fd, int64_t wait_ms)
{
    int64_t end = c->loop->ops->now_ms(c->loop) + wait_ms;
    int status = -1;
    while (!c->closed) {
        int64_t left = end - c->loop->ops->now_ms(c->loop);
        struct pollfd p = { .fd = c->fd, .events = (short)(POLLIN | (c->out.first ? POLLOUT : 0)) };
        if (left <= 0)
            break;
        if (poll(&p, 1, (int)left) < 0 && errno != EINTR)
            break;
        int fd;
        ssize_t n = flush(c) < 0 ? -1 : get(c, &fd);
        if (n < 0) {
            close_soon(c);
            break;
        }
        if (n == 0)
            continue;
        struct wire_head head = { 0 };
        memcpy(&head, c->bytes, (size_t)n < sizeof(head) ? (size_t)n : sizeof(head));
        if (head.kind == kind && head.number == number) {
            if ((size_t)n == size) {
                memcpy(ret, c->bytes, size);
                status = 0;
            }
            if (status == 0 && ret_fd)
                *ret_fd = nt_take_fd(fd);
            nt_closep(&fd);
            break;
        }
        if (push(&c->held, c->bytes, (size_t)n, fd) < 0) {
            nt_closep(&fd);
            close_soon(c);
        }
    }
    if (c->held.first && !c->soon)
        c->soon = c->loop->ops->timer(c->loop, 0, 0, on_soon, c);
    return status;
}
