/* SPDX-License-Identifier: Apache-2.0 */
/* relay.c - one object per connection to a port inside: dials, then lets sdk/relay move the bytes.
 *
 * The outer socket belongs to the host's network: it never leaves this process, which programs can
 * neither trace nor look into, and it closes on exec. A peer that is slow, floods or vanishes costs
 * its own connection only: each has its own pipes, and a turn is bounded. */
#include "plugins/guest/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nanoterm/engine.h"
#include "sdk/relay.h"

#define DIAL_MS 10000 /* a full backlog inside drops what comes: the kernel tries again for long   \
                       */

struct relay {
    struct relay *next, *prev;
    struct nt_relay core;
    struct source ends[2]; /* outer, inner */
    struct timer late;
    struct conn *conn; /* CONNECT, until it is connected */
    const void *owner; /* NULL: CONNECT */
    uint16_t port;
    bool tries_v6;
};

unsigned relay_count;
static struct relay *relays;
static struct nt_relay_pipes pipes;

static unsigned count_of(const void *owner)
{
    unsigned count = 0;
    for (const struct relay *r = relays; r; r = r->next)
        count += r->owner == owner;
    return count;
}

static struct relay *relay_new(const void *owner, uint16_t port)
{
    bool is_full = relay_count >= RELAYS_MAX
                   || (relay_count >= RELAYS_OF_ONE && count_of(owner) >= RELAYS_OF_ONE);
    struct relay *r = is_full ? NULL : calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    nt_relay_init(&r->core, -1, -1, &pipes);
    r->ends[0].fd = r->ends[1].fd = -1;
    r->owner = owner;
    r->port = port;
    r->next = relays;
    if (relays)
        relays->prev = r;
    relays = r;
    relay_count++;
    guest_busy();
    return r;
}

static void relay_free(struct relay *r, bool is_reset)
{
    loop_timer_end(&r->late);
    for (int i = 0; i < 2; i++) {
        loop_remove(&r->ends[i]);
        if (is_reset)
            nt_relay_reset(r->core.fds[i]);
        else if (r->core.fds[i] >= 0)
            close(r->core.fds[i]);
    }
    nt_relay_done(&r->core);
    if (r->prev)
        r->prev->next = r->next;
    else
        relays = r->next;
    if (r->next)
        r->next->prev = r->prev;
    free(r);
    relay_count--;
    guest_busy();
}

/* --- bytes --------------------------------------------------------------------------------- */

static void turn(struct relay *r, uint32_t ready);

static void on_outer(struct source *source, uint32_t events)
{
    (void)events;
    turn((struct relay *)(void *)((char *)source - offsetof(struct relay, ends[0])), 1u);
}

static void on_inner(struct source *source, uint32_t events)
{
    (void)events;
    turn((struct relay *)(void *)((char *)source - offsetof(struct relay, ends[1])), 2u);
}

/* -1: the kernel does not watch it. */
static int watch(struct relay *r, unsigned i, uint32_t wants)
{
    uint32_t events =
        (wants & NT_RELAY_READ ? EPOLLIN : 0) | (wants & NT_RELAY_WRITE ? EPOLLOUT : 0);
    if (!events) {
        loop_remove(&r->ends[i]);
    } else if (r->ends[i].fd >= 0) {
        loop_set(&r->ends[i], events);
    } else {
        return loop_add(&r->ends[i], r->core.fds[i], events, i ? on_inner : on_outer);
    }
    return 0;
}

static void turn(struct relay *r, uint32_t ready)
{
    uint32_t wants[2];
    int state = nt_relay_turn(&r->core, ready, wants);
    if (state == NT_RELAY_GOES && watch(r, 0, wants[0]) == 0 && watch(r, 1, wants[1]) == 0)
        return;
    relay_free(r, state != NT_RELAY_DONE);
}

/* --- dialling ------------------------------------------------------------------------------ */

static void fail(struct relay *r, int sys)
{
    struct conn *c = r->conn;
    uint16_t port = r->port;
    if (c)
        c->ops = NULL;
    relay_free(r, true);
    if (c && sys == ECONNREFUSED)
        conn_error(c, NT_GE_SYSTEM, sys, "nothing listens on port %u inside", (unsigned)port);
    else if (c)
        conn_error(c, NT_GE_SYSTEM, sys, "port %u inside: %s", (unsigned)port, strerror(sys));
}

static void connected(struct relay *r)
{
    struct conn *c = r->conn;
    loop_timer_end(&r->late);
    loop_remove(&r->ends[1]);
    nt_relay_no_delay(r->core.fds[1]);
    if (c) {
        uint8_t head[NT_G_HEAD];
        nt_g_head(head, NT_G_OK, 0);
        conn_send(c, head, sizeof(head), NULL, 0);
        if (!conn_can_send(c)) { /* it has not even read HELLO: not a peer that waits for bytes */
            fail(r, EPROTO);
            return;
        }
        r->conn = NULL;
        r->core.fds[0] = conn_detach(c);
        fcntl(r->core.fds[0], F_SETFL, fcntl(r->core.fds[0], F_GETFL) | O_NONBLOCK);
    }
    turn(r, NT_RELAY_ALL);
}

static void dial(struct relay *r);

/* A socket that could not connect is of no more use. */
static void refused(struct relay *r, int sys)
{
    loop_remove(&r->ends[1]);
    if (r->core.fds[1] >= 0)
        close(r->core.fds[1]);
    r->core.fds[1] = -1;
    if (sys == ECONNREFUSED && !r->tries_v6) {
        r->tries_v6 = true;
        dial(r);
    } else if (r->tries_v6 && sys != ETIMEDOUT) {
        fail(r, ECONNREFUSED); /* without IPv6 inside the first answer counts */
    } else {
        fail(r, sys);
    }
}

static void on_dialled(struct source *source, uint32_t events)
{
    (void)events;
    struct relay *r = (struct relay *)(void *)((char *)source - offsetof(struct relay, ends[1]));
    int sys = 0;
    socklen_t size = sizeof(sys);
    if (getsockopt(r->core.fds[1], SOL_SOCKET, SO_ERROR, &sys, &size) < 0)
        sys = errno;
    if (sys)
        refused(r, sys);
    else
        connected(r);
}

static void on_late(struct timer *timer)
{
    fail((struct relay *)(void *)((char *)timer - offsetof(struct relay, late)), ETIMEDOUT);
}

static void dial(struct relay *r)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } to = { .v4 = { .sin_family = AF_INET,
                     .sin_port = htons(r->port),
                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) } };
    socklen_t size = sizeof(to.v4);
    if (r->tries_v6) {
        to.v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6,
                                       .sin6_port = htons(r->port),
                                       .sin6_addr = IN6ADDR_LOOPBACK_INIT };
        size = sizeof(to.v6);
    }
    r->core.fds[1] = socket(to.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (r->core.fds[1] < 0)
        refused(r, errno);
    else if (connect(r->core.fds[1], &to.any, size) == 0)
        connected(r);
    else if (errno != EINPROGRESS
             || loop_add(&r->ends[1], r->core.fds[1], EPOLLOUT, on_dialled) < 0)
        refused(r, errno);
    else if (!r->late.fn)
        loop_timer(&r->late, DIAL_MS, on_late);
}

/* --- who wants it -------------------------------------------------------------------------- */

void relay_accepted(int fd, uint16_t port, const void *owner)
{
    struct relay *r = relay_new(owner, port);
    if (!r) {
        nt_relay_reset(fd);
        return;
    }
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)); /* a peer that vanished is noticed */
    nt_relay_no_delay(fd);
    r->core.fds[0] = fd;
    dial(r);
}

static void connect_lost(struct conn *c)
{
    struct relay *r = c->op;
    r->conn = NULL;
    relay_free(r, true);
}

/* Nothing may come before OK. */
static const struct conn_ops connect_ops = { .lost = connect_lost };

void relay_connect(struct conn *c, const struct request *q, size_t more_size)
{
    uint64_t port = request_number(q, NT_GT_PORT, 0);
    if (port < 1 || port > 65535 || more_size) {
        conn_error(c, NT_GE_INVALID, EINVAL,
                   more_size ? "bytes came before OK" : "that is not a port");
        return;
    }
    if (guest.has_way_out && port == NT_WAY_OUT_PORT) {
        conn_error(c, NT_GE_NOT_ALLOWED, EACCES, "port %u is the workspace's own way out",
                   NT_WAY_OUT_PORT);
        return;
    }
    struct relay *r = relay_new(NULL, (uint16_t)port);
    if (!r) {
        conn_error(c, NT_GE_LIMIT, EBUSY, "too many connections to ports inside");
        return;
    }
    r->conn = c;
    c->ops = &connect_ops;
    c->op = r;
    dial(r);
}

void relay_end_of(const void *owner)
{
    for (struct relay *r = relays, *next; r; r = next) {
        next = r->next;
        if (r->owner == owner)
            relay_free(r, true);
    }
}
