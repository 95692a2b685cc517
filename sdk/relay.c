/* SPDX-License-Identifier: Apache-2.0 */
/* relay.c - moves bytes between two sockets through pipes; see relay.h.
 *
 * A direction reads again only when its pipe is empty: what a slow reader leaves waits in the
 * kernel's buffers of the sender, whose own sending then stops. */
#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define LARGE_BYTES (1024 * 1024)
#define LARGE_LEAST (256 * 1024) /* where a user may not have more */
#define LARGE_KEPT 4u
#define BULK (64 * 1024)         /* after so much in one go, more is expected */
#define SMALL (16 * 1024)        /* after so little, nothing more is expected at once */
#define TURN_BYTES (1024 * 1024) /* of one turn: then others have theirs */

static int take_pipe(struct nt_relay *r, struct nt_relay_way *way)
{
    if (way->pipe[0] >= 0)
        return 0;
    way->size = way->streak >= BULK ? NT_RELAY_LARGE : NT_RELAY_SMALL;
    unsigned *count = &r->pipes->sizes[way->size].count;
    if (*count) {
        const int *spare = r->pipes->sizes[way->size].spare[--*count];
        way->pipe[0] = spare[0];
        way->pipe[1] = spare[1];
        return 0;
    }
    if (pipe2(way->pipe, O_CLOEXEC | O_NONBLOCK) < 0) {
        way->pipe[0] = way->pipe[1] = -1;
        return -1;
    }
    /* a wish: a user's quota of pipe memory may refuse it */
    for (int size = LARGE_BYTES; way->size == NT_RELAY_LARGE && size >= LARGE_LEAST; size /= 4)
        if (fcntl(way->pipe[1], F_SETPIPE_SZ, size) >= 0)
            break;
    return 0;
}

/* Back to the others when it is empty, else closed with what it holds. */
static void drop_pipe(struct nt_relay *r, struct nt_relay_way *way)
{
    if (way->pipe[0] < 0)
        return;
    unsigned *count = &r->pipes->sizes[way->size].count;
    if (way->held == 0
        && *count < (way->size == NT_RELAY_LARGE ? LARGE_KEPT : NT_RELAY_SPARE_PIPES)) {
        int *spare = r->pipes->sizes[way->size].spare[(*count)++];
        spare[0] = way->pipe[0];
        spare[1] = way->pipe[1];
    } else {
        close(way->pipe[0]);
        close(way->pipe[1]);
    }
    way->held = 0;
    way->pipe[0] = way->pipe[1] = -1;
}

void nt_relay_pipes_done(struct nt_relay_pipes *pipes)
{
    for (unsigned size = 0; size < NT_RELAY_SIZES; size++)
        while (pipes->sizes[size].count) {
            const int *spare = pipes->sizes[size].spare[--pipes->sizes[size].count];
            close(spare[0]);
            close(spare[1]);
        }
}

void nt_relay_init(struct nt_relay *r, int a, int b, struct nt_relay_pipes *pipes)
{
    *r = (struct nt_relay){ .fds = { a, b },
                            .ways = { { .pipe = { -1, -1 } }, { .pipe = { -1, -1 } } },
                            .pipes = pipes };
}

void nt_relay_done(struct nt_relay *r)
{
    drop_pipe(r, &r->ways[0]);
    drop_pipe(r, &r->ways[1]);
}

/* Its reader has gone: the writer is told by the end of what we take. */
static void give_up(struct nt_relay *r, unsigned from)
{
    struct nt_relay_way *way = &r->ways[from];
    if (way->is_over)
        return;
    way->is_eof = way->is_over = true;
    drop_pipe(r, way);
    shutdown(r->fds[from], SHUT_RD);
}

/* The peer sends no more. A Unix peer that is gone altogether takes nothing more, either. */
static void source_ended(struct nt_relay *r, unsigned from)
{
    struct pollfd p = { .fd = r->fds[from], .events = 0 };
    r->ways[from].is_eof = true;
    if (poll(&p, 1, 0) > 0 && (p.revents & POLLHUP))
        give_up(r, !from);
}

static bool is_later(int sys)
{
    return sys == EAGAIN || sys == EINTR;
}

/* How many bytes left when there may be more to move, 0: nothing more now, -1: broken. */
static ssize_t move(struct nt_relay *r, unsigned from)
{
    struct nt_relay_way *way = &r->ways[from];
    ssize_t moved = 0;
    if (way->is_over)
        return 0;
    if (way->held == 0 && !way->is_eof) {
        if (take_pipe(r, way) < 0)
            return -1;
        ssize_t n = splice(r->fds[from], NULL, way->pipe[1], NULL, LARGE_BYTES,
                           SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (n < 0 && !is_later(errno))
            return -1;
        if (n == 0)
            source_ended(r, from);
        way->held = n > 0 ? (size_t)n : 0;
        if (n >= 0)
            way->streak = n > SMALL ? way->streak + way->held : 0;
    }
    if (way->held) {
        ssize_t n = splice(way->pipe[0], NULL, r->fds[!from], NULL, way->held,
                           SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (n < 0 && errno == EPIPE) {
            give_up(r, from);
            return 0;
        }
        if (n < 0 && !is_later(errno))
            return -1;
        way->held -= n > 0 ? (size_t)n : 0;
        moved = n > SMALL ? n : 0;
    }
    if (way->held == 0)
        drop_pipe(r, way);
    if (way->is_eof && way->held == 0 && !way->is_over) {
        way->is_over = true;
        shutdown(r->fds[!from], SHUT_WR);
    }
    return moved;
}

int nt_relay_turn(struct nt_relay *r, uint32_t ready, uint32_t ret_wants[2])
{
    for (unsigned from = 0; from < 2; from++) {
        /* what a direction waits for: room behind it when it holds bytes, else bytes */
        unsigned end = r->ways[from].held ? !from : from;
        ssize_t moved = ready >> end & 1u, sum = 0;
        for (; moved > 0 && sum < TURN_BYTES; sum += moved)
            moved = move(r, from);
        if (moved < 0)
            return NT_RELAY_BROKEN;
    }
    if (r->ways[0].is_over && r->ways[1].is_over)
        return NT_RELAY_DONE;
    for (unsigned i = 0; i < 2; i++) {
        const struct nt_relay_way *out = &r->ways[i], *in = &r->ways[!i];
        ret_wants[i] =
            (!out->is_eof && out->held == 0 ? NT_RELAY_READ : 0) | (in->held ? NT_RELAY_WRITE : 0);
    }
    return NT_RELAY_GOES;
}

void nt_relay_no_delay(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* no matter on other sockets */
}

void nt_relay_reset(int fd)
{
    struct linger linger = { .l_onoff = 1, .l_linger = 0 };
    if (fd < 0)
        return;
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    close(fd);
}
