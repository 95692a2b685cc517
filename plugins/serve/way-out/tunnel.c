/* SPDX-License-Identifier: Apache-2.0 */
/* tunnel.c - carries bytes between two descriptors. A side is read only while the other takes what
 * came: at most one buffer per direction waits. An end of one side is passed on as a half-close. */
#include "plugins/serve/way-out/tunnel.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PIECE = 64 * 1024, IDLE_MS = 3600 * 1000 };

struct end {
    struct tunnel *tunnel;
    uv_poll_t poll;
    int fd;
    int events;
    bool eof;      /* it sends no more */
    bool has_shut; /* we send no more to it */
    uint8_t *data; /* came from it, for the other one */
    size_t from, to;
};

struct tunnel {
    struct end ends[2];
    uv_timer_t idle;
    uint32_t open_handles;
    bool is_closing;
    void (*ended)(void *data);
    void *data;
};

static void on_closed(uv_handle_t *handle)
{
    struct tunnel *t = handle->data;
    if (--t->open_handles > 0)
        return;
    void (*ended)(void *data) = t->ended;
    void *data = t->data;
    free(t->ends[0].data);
    free(t->ends[1].data);
    free(t);
    ended(data);
}

void tunnel_close(struct tunnel *t)
{
    if (!t || t->is_closing)
        return;
    t->is_closing = true;
    for (int i = 0; i < 2; i++) {
        t->ends[i].poll.data = t;
        uv_close((uv_handle_t *)&t->ends[i].poll, on_closed);
        close(t->ends[i].fd);
    }
    uv_close((uv_handle_t *)&t->idle, on_closed);
}

static void on_idle(uv_timer_t *timer)
{
    tunnel_close(timer->data);
}

static bool is_again(ssize_t n)
{
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
}

/* Moves what can be moved from a to b. False: broken. */
static bool move(struct end *a, struct end *b)
{
    if (a->from == a->to && !a->eof) {
        a->from = a->to = 0;
        ssize_t n = recv(a->fd, a->data, PIECE, 0);
        if (n > 0)
            a->to = (size_t)n;
        else if (n == 0)
            a->eof = true;
        else if (!is_again(n))
            return false;
    }
    while (a->from < a->to) {
        ssize_t n = send(b->fd, a->data + a->from, a->to - a->from, MSG_NOSIGNAL);
        if (is_again(n))
            return true;
        if (n < 0)
            return false;
        a->from += (size_t)n;
    }
    if (a->eof && !b->has_shut) {
        b->has_shut = true;
        shutdown(b->fd, SHUT_WR);
    }
    return true;
}

static void on_event(uv_poll_t *poll, int status, int events);

static void watch(struct end *a, struct end *b)
{
    int events =
        (!a->eof && a->from == a->to ? UV_READABLE : 0) | (b->from < b->to ? UV_WRITABLE : 0);
    if (events == a->events)
        return;
    a->events = events;
    if (events)
        uv_poll_start(&a->poll, events, on_event);
    else
        uv_poll_stop(&a->poll);
}

static void on_event(uv_poll_t *poll, int status, int events)
{
    struct end *a = poll->data;
    struct tunnel *t = a->tunnel;
    struct end *x = &t->ends[0], *y = &t->ends[1];
    bool ok = move(x, y) && move(y, x);
    if (!ok || status < 0 || (x->has_shut && y->has_shut)) {
        tunnel_close(t);
        return;
    }
    uv_timer_start(&t->idle, on_idle, IDLE_MS, 0);
    watch(x, y);
    watch(y, x);
}

struct tunnel *tunnel_new(uv_loop_t *uv, int inside, int outside, void (*ended)(void *data),
                          void *data)
{
    struct tunnel *t = calloc(1, sizeof(*t));
    if (t) {
        t->ends[0].data = malloc(PIECE);
        t->ends[1].data = malloc(PIECE);
    }
    bool ok =
        t && t->ends[0].data && t->ends[1].data && uv_poll_init(uv, &t->ends[0].poll, inside) == 0;
    if (!ok) {
        if (t) {
            free(t->ends[0].data);
            free(t->ends[1].data);
        }
        free(t);
        close(inside);
        close(outside);
        return NULL;
    }
    /* It cannot fail: the descriptor is valid and not watched. If it does, both ends close at the
     * first event. */
    uv_poll_init(uv, &t->ends[1].poll, outside);
    uv_timer_init(uv, &t->idle);
    t->idle.data = t;
    t->ended = ended;
    t->data = data;
    t->open_handles = 3;
    for (int i = 0; i < 2; i++) {
        t->ends[i].tunnel = t;
        t->ends[i].fd = i == 0 ? inside : outside;
        t->ends[i].poll.data = &t->ends[i];
    }
    watch(&t->ends[0], &t->ends[1]);
    watch(&t->ends[1], &t->ends[0]);
    uv_timer_start(&t->idle, on_idle, IDLE_MS, 0);
    return t;
}
