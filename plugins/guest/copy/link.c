/* SPDX-License-Identifier: Apache-2.0 */
/* link.c - frames on a blocking connection, many small ones in one write; see copy.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "plugins/guest/copy/copy.h"
#include "sdk/fds.h"

#define RX_MAX (1024u * 1024u)
#define TX_MAX (1024u * 1024u)

int copy_fail(struct copy_error *e, uint64_t code, int sys, const char *what)
{
    e->code = code;
    e->sys = sys;
    snprintf(e->message, sizeof(e->message), "%s", what);
    return -1;
}

int copy_fail_sys(struct copy_error *e, int sys, const char *what)
{
    if (sys == ECANCELED)
        return copy_fail(e, COPY_STOPPED, sys, "interrupted");
    e->code = sys == ENOENT || sys == ENOTDIR ? NT_GE_NOT_FOUND : NT_GE_SYSTEM;
    e->sys = sys;
    snprintf(e->message, sizeof(e->message), "%s: %s", what, strerror(sys));
    return -1;
}

int copy_link_init(struct copy_link *l, int fd, const void *early, size_t size)
{
    *l = (struct copy_link){ .fd = fd, .got_fd = -1 };
    l->rx = malloc(RX_MAX);
    l->tx = malloc(TX_MAX);
    if (!l->rx || !l->tx || size > RX_MAX) {
        copy_link_done(l);
        return -1;
    }
    if (size)
        memcpy(l->rx, early, size);
    l->rx_size = size;
    return 0;
}

void copy_link_done(struct copy_link *l)
{
    free(l->rx);
    free(l->tx);
    if (l->got_fd >= 0)
        close(l->got_fd);
    *l = (struct copy_link){ .fd = -1, .got_fd = -1 };
}

static int is_stopped(const struct copy_link *l, struct copy_error *e)
{
    return l->stop && atomic_load(l->stop) ? copy_fail_sys(e, ECANCELED, "") : 0;
}

/* At most one descriptor is expected, and kept; all others are closed. */
static ssize_t receive(struct copy_link *l)
{
    int fd, count;
    unsigned wanted = l->got_fd < 0;
    ssize_t n = nt_recv_fds(l->fd, l->rx + l->rx_size, RX_MAX - l->rx_size, &fd, wanted, &count, 0);
    if (count == 1)
        l->got_fd = fd;
    return n;
}

int copy_link_next(struct copy_link *l, struct nt_g_frame *ret, struct copy_error *e)
{
    for (;;) {
        int64_t n = nt_g_next(l->rx + l->rx_at, l->rx_size - l->rx_at, ret);
        if (n < 0)
            return copy_fail(e, NT_GE_INVALID, EPROTO, "that is not a frame");
        if (n > 0) {
            l->rx_at += (size_t)n;
            return is_stopped(l, e);
        }
        memmove(l->rx, l->rx + l->rx_at, l->rx_size - l->rx_at);
        l->rx_size -= l->rx_at;
        l->rx_at = 0;
        ssize_t got = receive(l);
        if (is_stopped(l, e) < 0)
            return -1;
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return copy_fail(e, COPY_LOST, got < 0 ? errno : 0, "the connection was lost");
        l->rx_size += (size_t)got;
    }
}

int copy_link_flush(struct copy_link *l, struct copy_error *e)
{
    for (size_t at = 0; at < l->tx_size;) {
        ssize_t n = send(l->fd, l->tx + at, l->tx_size - at, MSG_NOSIGNAL);
        if (is_stopped(l, e) < 0)
            return -1;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return copy_fail(e, COPY_LOST, errno, "the connection was lost");
        at += (size_t)n;
    }
    l->tx_size = 0;
    return 0;
}

uint8_t *copy_link_room(struct copy_link *l, size_t size, struct copy_error *e)
{
    if (TX_MAX - l->tx_size < size && copy_link_flush(l, e) < 0)
        return NULL;
    return l->tx + l->tx_size;
}

int copy_link_put(struct copy_link *l, const void *bytes, size_t size, struct copy_error *e)
{
    for (const uint8_t *at = bytes; size;) {
        size_t n = size < NT_G_FRAME_MAX ? size : NT_G_FRAME_MAX;
        uint8_t *room = copy_link_room(l, n, e);
        if (!room)
            return -1;
        memcpy(room, at, n);
        l->tx_size += n;
        at += n;
        size -= n;
    }
    return 0;
}

int copy_link_refused(const struct nt_g_frame *frame, struct copy_error *e)
{
    struct nt_g_field f;
    int ok = 1;
    copy_fail(e, NT_GE_SYSTEM, 0, "the workspace reported a failure");
    for (size_t at = 0; nt_g_each(frame->payload, frame->size, &at, &f) > 0;) {
        if (f.tag == NT_GT_CODE) {
            uint64_t code = nt_g_number(&f, &ok);
            e->code = code && code < COPY_LOST ? code : NT_GE_SYSTEM;
        } else if (f.tag == NT_GT_ERRNO) {
            uint64_t sys = nt_g_number(&f, &ok);
            e->sys = sys < 4096 ? (int)sys : 0;
        } else if (f.tag == NT_GT_MESSAGE && f.size) {
            snprintf(e->message, sizeof(e->message), "%.*s",
                     (int)(f.size < sizeof(e->message) ? f.size : sizeof(e->message) - 1),
                     (const char *)f.data);
        }
    }
    return -1;
}
