/* SPDX-License-Identifier: Apache-2.0 */
/* conn.c - reads frames, keeps what could not be sent yet, and ends connections; see conn.h.
 * Bounds: CONN_MAX connections; one frame in, at most what one turn of an operation sends out. */
#include "plugins/guest/conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "plugins/guest/state.h"
#include "sdk/fds.h"

#define RX_FIRST 4096u
#define RX_MAX (NT_G_HEAD + NT_G_FRAME_MAX)
#define TX_MAX (4u * 1024u * 1024u)
#define BEAT_MIN_MS 50
#define BEAT_MAX_MS 3600000

unsigned conn_count;
static struct conn *dead;

static void on_ready(struct source *source, uint32_t events);

static void send_hello(struct conn *c)
{
    uint8_t memory[128];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_HELLO);
    nt_g_add_number(&w, NT_GT_VERSION, NT_G_VERSION);
    nt_g_add_number(&w, NT_GT_CAPS,
                    NT_GC_EXEC | NT_GC_FILES | NT_GC_ADOPT | NT_GC_JOBS | NT_GC_BEAT | NT_GC_PORTS
                        | NT_GC_TTY | NT_GC_SEARCH | NT_GC_TREES | NT_GC_PASS_FD | NT_GC_HANG_UP);
    nt_g_add(&w, NT_GT_NONCE, guest.nonce, sizeof(guest.nonce));
    nt_g_add_number(&w, NT_GT_PID, (uint64_t)getpid());
    conn_send_writer(c, &w);
}

struct conn *conn_new(int fd, bool is_adopted)
{
    struct conn *c = conn_count < CONN_MAX ? calloc(1, sizeof(*c)) : NULL;
    if (!c || loop_add(&c->source, fd, EPOLLIN, on_ready) < 0) {
        free(c);
        close(fd);
        return NULL;
    }
    c->is_adopted = is_adopted;
    conn_count++;
    guest_busy();
    send_hello(c);
    return c;
}

static void drop_fds(struct conn *c)
{
    for (unsigned i = 0; i < c->fd_count; i++)
        if (c->fds[i] >= 0)
            close(c->fds[i]);
    c->fd_count = 0;
}

int conn_take_fd(struct conn *c, unsigned i)
{
    if (i >= c->fd_count)
        return -1;
    int fd = c->fds[i];
    c->fds[i] = -1;
    return fd;
}

void conn_close(struct conn *c)
{
    if (c->is_dead)
        return;
    c->is_dead = true;
    const struct conn_ops *ops = c->ops;
    c->ops = NULL;
    if (ops && ops->lost)
        ops->lost(c);
    loop_close(&c->source);
    loop_timer_end(&c->beat);
    drop_fds(c);
    c->next = dead;
    dead = c;
    conn_count--;
    guest_busy();
}

int conn_detach(struct conn *c)
{
    int fd = c->source.fd;
    loop_remove(&c->source);
    c->ops = NULL;
    conn_close(c);
    return fd;
}

void conn_sweep(void)
{
    while (dead) {
        struct conn *c = dead;
        dead = c->next;
        free(c->rx);
        free(c->tx);
        free(c);
    }
}

void conn_update(struct conn *c)
{
    uint32_t events = 0;
    if (!c->is_ending && !c->is_blocked && !c->is_eof)
        events |= EPOLLIN;
    if (c->tx_size > c->tx_at || c->wants_turn)
        events |= EPOLLOUT;
    loop_set(&c->source, events); /* EPOLLHUP comes in any case */
}

/* --- out ----------------------------------------------------------------------------------- */

bool conn_can_send(const struct conn *c)
{
    return !c->is_dead && c->tx_size == c->tx_at;
}

static void keep(struct conn *c, const void *bytes, size_t size)
{
    if (!size)
        return;
    size_t have = c->tx_size - c->tx_at;
    uint8_t *grown = have + size <= TX_MAX ? malloc(have + size) : NULL;
    if (!grown) { /* a peer that does not read: it costs itself its connection */
        c->tx_at = c->tx_size = 0;
        c->is_ending = true;
        shutdown(c->source.fd, SHUT_RDWR);
        return;
    }
    if (have)
        memcpy(grown, c->tx + c->tx_at, have);
    memcpy(grown + have, bytes, size);
    free(c->tx);
    c->tx = grown;
    c->tx_at = 0;
    c->tx_size = have + size;
    conn_update(c);
}

void conn_send(struct conn *c, const void *head, size_t head_size, const void *bytes, size_t size)
{
    if (c->is_dead || c->source.fd < 0)
        return;
    size_t sent = 0;
    if (conn_can_send(c)) {
        struct iovec iov[2] = { { (void *)(uintptr_t)head, head_size },
                                { (void *)(uintptr_t)bytes, size } };
        struct msghdr msg = { .msg_iov = iov, .msg_iovlen = size ? 2 : 1 };
        ssize_t n = sendmsg(c->source.fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return; /* EPOLLHUP tells the rest */
        sent = n < 0 ? 0 : (size_t)n;
    }
    if (c->beat_ms)
        c->sent_ms = loop_now_ms();
    size_t head_sent = sent < head_size ? sent : head_size;
    keep(c, (const uint8_t *)head + head_sent, head_size - head_sent);
    keep(c, (const uint8_t *)bytes + (sent - head_sent), size - (sent - head_sent));
}

static void on_beat(struct timer *timer)
{
    struct conn *c = (struct conn *)(void *)((char *)timer - offsetof(struct conn, beat));
    int64_t quiet_ms = loop_now_ms() - c->sent_ms;
    /* what waits to be sent says as much, as soon as the peer reads it */
    if (quiet_ms >= c->beat_ms && conn_can_send(c) && !c->is_ending) {
        conn_send_raw(c, NT_G_BEAT, NULL, 0);
        quiet_ms = 0;
    }
    loop_timer(&c->beat, quiet_ms < c->beat_ms ? c->beat_ms - quiet_ms : c->beat_ms, on_beat);
}

void conn_beat(struct conn *c, uint64_t every_ms)
{
    if (!every_ms || c->is_dead)
        return;
    c->beat_ms = every_ms < BEAT_MIN_MS   ? BEAT_MIN_MS
                 : every_ms > BEAT_MAX_MS ? BEAT_MAX_MS
                                          : (int64_t)every_ms;
    c->sent_ms = loop_now_ms();
    loop_timer(&c->beat, c->beat_ms, on_beat);
}

void conn_send_raw(struct conn *c, uint16_t type, const void *bytes, size_t size)
{
    uint8_t head[NT_G_HEAD];
    nt_g_head(head, type, (uint32_t)size);
    conn_send(c, head, sizeof(head), bytes, size);
}

void conn_send_writer(struct conn *c, struct nt_g_writer *w)
{
    size_t size = nt_g_done(w);
    if (size)
        conn_send(c, w->data, size, NULL, 0);
}

void conn_end(struct conn *c)
{
    if (c->is_dead)
        return;
    c->ops = NULL;
    c->is_ending = true;
    if (conn_can_send(c))
        conn_close(c);
    else
        conn_update(c);
}

void conn_ok(struct conn *c)
{
    uint8_t head[NT_G_HEAD];
    nt_g_head(head, NT_G_OK, 0);
    conn_send(c, head, sizeof(head), NULL, 0);
    conn_end(c);
}

void conn_error(struct conn *c, uint64_t code, int sys, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    uint8_t memory[512];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_ERROR);
    nt_g_add_number(&w, NT_GT_CODE, code);
    nt_g_add_number(&w, NT_GT_ERRNO, (uint64_t)sys);
    nt_g_add_text(&w, NT_GT_MESSAGE, text);
    conn_send_writer(c, &w);
    conn_end(c);
}

static void flush(struct conn *c)
{
    while (c->tx_at < c->tx_size) {
        ssize_t n = send(c->source.fd, c->tx + c->tx_at, c->tx_size - c->tx_at,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            conn_close(c);
            return;
        }
        if (n < 0)
            return;
        c->tx_at += (size_t)n;
    }
    free(c->tx);
    c->tx = NULL;
    c->tx_at = c->tx_size = 0;
    if (c->is_ending) {
        conn_close(c);
        return;
    }
    c->wants_turn = false;
    conn_update(c);
    if (c->ops && c->ops->writable)
        c->ops->writable(c);
}

/* --- in ------------------------------------------------------------------------------------ */

/* Room for what is missing of the frame that has begun. */
static bool make_room(struct conn *c)
{
    size_t want = RX_FIRST;
    if (c->rx_size >= NT_G_HEAD) {
        size_t whole = NT_G_HEAD + (size_t)nt_g_load(c->rx, 4);
        want = whole > want ? whole : want;
    }
    if (c->ops) /* bytes follow: whole chunks at a time */
        want = want > NT_G_HEAD + NT_G_CHUNK ? want : NT_G_HEAD + NT_G_CHUNK;
    if (want > RX_MAX)
        return false;
    if (c->rx_cap >= want)
        return true;
    uint8_t *grown = realloc(c->rx, want);
    if (!grown)
        return false;
    c->rx = grown;
    c->rx_cap = want;
    return true;
}

/* false: the connection is over. */
static bool fill(struct conn *c)
{
    if (!make_room(c))
        return false;
    if (c->rx_size == c->rx_cap)
        return true;
    /* later descriptors are dropped by the kernel: there is no room for them */
    unsigned room = c->ops ? 0 : CONN_FDS_MAX - c->fd_count;
    int count;
    ssize_t n = nt_recv_fds(c->source.fd, c->rx + c->rx_size, c->rx_cap - c->rx_size,
                            c->fds + c->fd_count, room, &count, MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    if (count > 0)
        c->fd_count += (unsigned)count;
    else if (count < 0 && !c->ops)
        c->bad_fds = true;
    if (n == 0)
        c->is_eof = true;
    c->rx_size += (size_t)n;
    return true;
}

/* Gives out the frames that are whole. */
static void dispatch(struct conn *c)
{
    size_t at = 0;
    while (!c->is_dead && !c->is_ending) {
        struct nt_g_frame frame;
        int64_t n = nt_g_next(c->rx + at, c->rx_size - at, &frame);
        if (n < 0) {
            conn_close(c);
            return;
        }
        if (n == 0)
            break;
        if (!c->ops) {
            size_t used = at + (size_t)n;
            guest_request(c, &frame, c->rx + used, c->rx_size - used);
            if (!c->ops && !c->is_ending
                && !c->is_dead) /* a request that is answered sets neither */
                conn_close(c);
        } else {
            int rc = c->ops->frame ? c->ops->frame(c, &frame) : -1;
            if (c->is_dead)
                return;
            if (rc < 0) {
                conn_close(c);
                return;
            }
            c->is_blocked = rc == 0;
            if (rc == 0)
                break;
        }
        at += (size_t)n;
    }
    if (c->is_dead)
        return;
    if (at && at < c->rx_size)
        memmove(c->rx, c->rx + at, c->rx_size - at);
    c->rx_size -= at;
    conn_update(c);
}

void conn_resume(struct conn *c)
{
    if (!c->is_blocked || c->is_dead)
        return;
    c->is_blocked = false;
    dispatch(c);
}

static void on_ready(struct source *source, uint32_t events)
{
    struct conn *c = (struct conn *)(void *)((char *)source - offsetof(struct conn, source));
    if (events & EPOLLOUT)
        flush(c);
    if (c->is_dead)
        return;
    if ((events & (EPOLLIN | EPOLLHUP)) && (c->source.events & EPOLLIN)) {
        if (!fill(c)) {
            conn_close(c);
            return;
        }
        dispatch(c);
        if (c->is_dead)
            return;
    }
    /* The peer has closed for good, and all that it sent before has been seen (or nobody will look
     * at it). */
    bool seen = c->is_eof || !(c->source.events & EPOLLIN) || c->ops;
    if ((events & (EPOLLHUP | EPOLLERR)) && seen)
        conn_close(c);
    else if (c->is_eof && !c->ops && !c->is_ending)
        conn_close(c); /* gone before it asked for anything */
}
