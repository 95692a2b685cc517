/* SPDX-License-Identifier: Apache-2.0 */
/* dial.c - connects to the first of some addresses that answers, each with its share of the
 * time. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/net/net.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

enum { DIAL_MS = 30 * 1000 };

struct net_dial {
    uv_loop_t *uv;
    struct sockaddr_storage addresses[NET_ADDRESSES_MAX];
    uint32_t count, at;
    int64_t deadline;
    uv_timer_t timer;
    uv_poll_t poll;
    bool has_poll, has_timer, is_told;
    int fd;
    struct nt_error error;
    void (*done)(void *data, int fd, const struct nt_error *error);
    void *data;
};

static void try_next(struct net_dial *d);

static void try_free(struct net_dial *d)
{
    if (!d->has_poll && !d->has_timer)
        free(d);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct net_dial *d = handle->data;
    d->has_timer = false;
    try_free(d);
}

static void settle(struct net_dial *d)
{
    d->is_told = true;
    if (!uv_is_closing((uv_handle_t *)&d->timer))
        uv_close((uv_handle_t *)&d->timer, on_timer_closed);
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct net_dial *d = handle->data;
    d->has_poll = false;
    if (d->is_told)
        try_free(d);
    else
        try_next(d);
}

static void drop(struct net_dial *d)
{
    if (d->has_poll && !uv_is_closing((uv_handle_t *)&d->poll))
        uv_close((uv_handle_t *)&d->poll, on_poll_closed);
    if (d->fd >= 0)
        close(nt_take_fd(d->fd));
}

static void tell(struct net_dial *d, int fd)
{
    struct nt_error e = d->error;
    settle(d);
    d->done(d->data, fd, fd < 0 ? &e : NULL);
}

static void on_writable(uv_poll_t *poll, int status, int events)
{
    struct net_dial *d = poll->data;
    int sys = 0;
    socklen_t size = sizeof(sys);
    if (getsockopt(d->fd, SOL_SOCKET, SO_ERROR, &sys, &size) < 0)
        sys = errno;
    if (sys == 0 && status < 0)
        sys = ECONNRESET;
    if (sys == 0) {
        /* Not watched any more before another watches it. */
        int fd = nt_take_fd(d->fd);
        drop(d);
        tell(d, fd);
        return;
    }
    nt_fail_sys(&d->error, sys, "cannot connect");
    drop(d);
}

static void on_timer(uv_timer_t *timer)
{
    struct net_dial *d = timer->data;
    nt_fail(&d->error, NT_E_TIMEOUT, "cannot connect in time");
    if (d->has_poll && d->at < d->count && (int64_t)uv_now(d->uv) < d->deadline) {
        drop(d); /* this address had its share: the next one */
        return;
    }
    drop(d);
    tell(d, -1);
}

static void try_next(struct net_dial *d)
{
    while (d->at < d->count) {
        uint32_t rest = d->count - d->at;
        const struct sockaddr *address = (const struct sockaddr *)&d->addresses[d->at++];
        socklen_t size = address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                        : sizeof(struct sockaddr_in);
        nt_autoclose int fd =
            socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        int sys = fd < 0 ? errno : 0;
        if (!sys && connect(fd, address, size) < 0 && errno != EINPROGRESS)
            sys = errno;
        if (!sys && uv_poll_init(d->uv, &d->poll, fd) < 0)
            sys = ENOMEM;
        if (sys) {
            nt_fail_sys(&d->error, sys, "cannot connect");
            continue;
        }
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        d->fd = nt_take_fd(fd);
        d->poll.data = d;
        d->has_poll = true;
        uv_poll_start(&d->poll, UV_WRITABLE, on_writable);
        uv_update_time(d->uv);
        int64_t left = d->deadline - (int64_t)uv_now(d->uv);
        uv_timer_start(&d->timer, on_timer, left > 0 ? (uint64_t)(left / rest) : 0, 0);
        return;
    }
    /* Told by the timer: never inside the call that began it. */
    d->deadline = 0;
    uv_timer_start(&d->timer, on_timer, 0, 0);
}

int net_dial_new(uv_loop_t *uv, const struct sockaddr_storage *addresses, uint32_t count,
                 int64_t timeout_ms, void (*done)(void *data, int fd, const struct nt_error *error),
                 void *data, struct net_dial **ret, struct nt_error *reterr)
{
    struct net_dial *d = calloc(1, sizeof(*d));
    if (!d)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory for a connection");
    d->uv = uv;
    d->count = count < NET_ADDRESSES_MAX ? count : NET_ADDRESSES_MAX;
    memcpy(d->addresses, addresses, d->count * sizeof(addresses[0]));
    d->done = done;
    d->data = data;
    d->fd = -1;
    d->error = (struct nt_error)NT_ERROR_INIT;
    uv_timer_init(uv, &d->timer);
    d->timer.data = d;
    d->has_timer = true;
    uv_update_time(uv);
    d->deadline = (int64_t)uv_now(uv) + (timeout_ms > 0 ? timeout_ms : DIAL_MS);
    try_next(d);
    *ret = d;
    return 0;
}

void net_dial_cancel(struct net_dial *d)
{
    if (!d || d->is_told)
        return;
    drop(d);
    settle(d);
}
