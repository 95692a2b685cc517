/* SPDX-License-Identifier: Apache-2.0 */
/* carry_local.c - a connection straight to the guest: nanoterm-fd/1 with CONNECT, then bytes by
 * splice. No server is in the path. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nanoterm/guest.h"
#include "nanoterm/local.h"
#include "proxy.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define ANSWER_MS 15000 /* the guest itself gives a port 10 s */
#define HEAD_MAX 1024u  /* HELLO and OK or ERROR; nothing longer comes before OK */

/* What is said until the guest has OK'd the port. */
struct dial {
    int fd;
    uint8_t in[HEAD_MAX];
    size_t size;
    uint16_t port;
    bool is_greeted, is_ok;
    uint32_t done;
    struct nt_error error;
};

struct local {
    struct carried head;
    int client; /* while it is dialled, then the relay's; -1: only dialled */
    struct dial dial;
    struct nt_watch *answer;
    struct nt_timer *late;
    struct nt_relay relay;
    struct nt_watch *watches[2];
    bool is_relayed;
};

static void end_dial(struct local *l)
{
    l->head.proxy->loop->ops->watch_end(l->answer);
    l->head.proxy->loop->ops->timer_end(l->late);
    l->answer = NULL;
    l->late = NULL;
}

static void local_end(struct carried *c)
{
    struct local *l = (struct local *)c;
    end_dial(l);
    if (l->is_relayed) {
        for (int i = 0; i < 2; i++) {
            l->head.proxy->loop->ops->watch_end(l->watches[i]);
            nt_closep(&l->relay.fds[i]);
        }
        nt_relay_done(&l->relay);
    }
    if (l->client >= 0)
        nt_relay_reset(l->client);
    nt_closep(&l->dial.fd);
    carried_remove(c);
    free(l);
}

static void turn(struct local *l, uint32_t ready)
{
    uint32_t wants[2];
    struct nt_loop *loop = l->head.proxy->loop;
    int state = nt_relay_turn(&l->relay, ready, wants);
    if (state != NT_RELAY_GOES) {
        if (state == NT_RELAY_BROKEN) {
            l->head.proxy->loop->ops->watch_end(l->watches[0]);
            l->watches[0] = NULL;
            nt_relay_reset(l->relay.fds[0]);
            l->relay.fds[0] = -1;
        }
        l->head.proxy->has_suspicion = true; /* perhaps the workspace went with it */
        local_end(&l->head);
        return;
    }
    for (int i = 0; i < 2; i++)
        loop->ops->watch_set(l->watches[i], (wants[i] & NT_RELAY_READ ? NT_READABLE : 0)
                                                | (wants[i] & NT_RELAY_WRITE ? NT_WRITABLE : 0));
}

static void on_client(void *data, int fd, uint32_t events)
{
    (void)fd;
    (void)events;
    turn(data, 1u);
}

static void on_guest(void *data, int fd, uint32_t events)
{
    (void)fd;
    (void)events;
    turn(data, 2u);
}

/* --- until OK ------------------------------------------------------------------------------ */

static void dial_fail(struct dial *d, uint32_t code, const char *text)
{
    nt_fail(&d->error, code, "%s", text);
    d->done = 1;
}

static void on_refusal(struct dial *d, const struct nt_g_frame *frame)
{
    char text[200] = "the workspace refused";
    uint64_t code = 0;
    struct nt_g_field f;
    for (size_t at = 0; nt_g_each(frame->payload, frame->size, &at, &f) > 0;) {
        if (f.tag == NT_GT_MESSAGE) {
            nt_auto(nt_buf_done) struct nt_buf safe = NT_BUF(4096);
            nt_buf_add_bytes(&safe, f.data, f.size < 180 ? f.size : 180);
            nt_auto(nt_buf_done) struct nt_buf shown = NT_BUF(4096);
            nt_buf_add_printable(&shown, nt_buf_text(&safe), false);
            nt_copy_text(text, sizeof(text), nt_buf_text(&shown));
        } else if (f.tag == NT_GT_CODE && f.size == 8) {
            code = nt_g_load(f.data, 8);
        }
    }
    dial_fail(d, code == NT_GE_SYSTEM ? PROXY_E_UNREACHABLE : NT_E_FORBIDDEN, text);
}

static void greet(struct dial *d, const struct nt_g_frame *frame)
{
    uint8_t memory[64];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_CONNECT);
    nt_g_add_number(&w, NT_GT_PORT, d->port);
    size_t size = nt_g_done(&w);
    uint64_t caps = 0;
    struct nt_g_field f;
    for (size_t at = 0; nt_g_each(frame->payload, frame->size, &at, &f) > 0;)
        if (f.tag == NT_GT_CAPS && f.size == 8)
            caps = nt_g_load(f.data, 8);
    d->is_greeted = true;
    if (!(caps & NT_GC_PORTS))
        dial_fail(d, NT_E_UNSUPPORTED, "this workspace is older: start it anew to reach its ports");
    else if (send(d->fd, memory, size, MSG_NOSIGNAL) != (ssize_t)size)
        dial_fail(d, NT_E_CLOSED, "the workspace closed the connection");
}

static void take_frames(struct dial *d)
{
    struct nt_g_frame frame;
    int64_t n;
    while (!d->done && (n = nt_g_next(d->in, d->size, &frame)) != 0) {
        if (n > 0 && frame.type == NT_G_HELLO && !d->is_greeted)
            greet(d, &frame);
        else if (n > 0 && frame.type == NT_G_OK && d->is_greeted) {
            d->is_ok = true;
            d->done = 1;
        } else if (n > 0 && frame.type == NT_G_ERROR)
            on_refusal(d, &frame);
        else
            dial_fail(d, NT_E_RESPONSE, "the workspace's guest broke the protocol");
        if (n > 0) {
            memmove(d->in, d->in + n, d->size - (size_t)n);
            d->size -= (size_t)n;
        }
    }
}

/* Only as many bytes as the frame at hand still has: what follows OK belongs to the relay. */
static size_t missing(const struct dial *d)
{
    size_t want = NT_G_HEAD;
    if (d->size >= NT_G_HEAD)
        want += (size_t)nt_g_load(d->in, 4);
    return want > sizeof(d->in) ? 0 : want - d->size;
}

static void read_answer(struct dial *d)
{
    size_t want;
    while (!d->done && (want = missing(d)) > 0) {
        ssize_t n = recv(d->fd, d->in + d->size, want, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            dial_fail(d, NT_E_CLOSED, "the workspace closed the connection");
            return;
        }
        d->size += (size_t)n;
        take_frames(d);
    }
    if (!d->done)
        dial_fail(d, NT_E_RESPONSE, "the workspace's guest broke the protocol");
}

/* --- from dialled to carried --------------------------------------------------------------- */

static void begin_relay(struct local *l)
{
    struct proxy *p = l->head.proxy;
    int client = nt_take_fd(l->client), guest = nt_take_fd(l->dial.fd);
    nt_relay_init(&l->relay, client, guest, &p->pipes);
    l->is_relayed = true;
    l->watches[0] = p->loop->ops->watch(p->loop, client, NT_READABLE, on_client, l);
    l->watches[1] = p->loop->ops->watch(p->loop, guest, NT_READABLE, on_guest, l);
    if (l->watches[0] && l->watches[1])
        turn(l, NT_RELAY_ALL);
    else
        local_end(&l->head); /* out of memory */
}

/* In a callback. Who only dials looks at it by itself. */
static void on_dialled(struct local *l)
{
    struct proxy *p = l->head.proxy;
    if (l->client < 0)
        return;
    end_dial(l);
    if (l->dial.is_ok) {
        begin_relay(l);
        return;
    }
    p->call->host->debug(p->call, "proxy.refused", l->dial.error.message);
    if (l->dial.error.code != PROXY_E_UNREACHABLE) {
        p->has_suspicion = true;
        p->wake = 1;
    }
    local_end(&l->head);
}

static void on_answer(void *data, int fd, uint32_t events)
{
    struct local *l = data;
    (void)fd;
    (void)events;
    read_answer(&l->dial);
    if (l->dial.done)
        on_dialled(l);
}

static void on_late(void *data)
{
    struct local *l = data;
    dial_fail(&l->dial, NT_E_TIMEOUT, "the workspace has not answered in time");
    on_dialled(l);
}

/* A connection to the guest, on which nothing but HELLO has been said. The server gives it at once,
 * whatever the port does. */
static int connect_guest(struct proxy *p, struct dial *ret, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(1024);
    nt_buf_add(&path, "/v1/sandboxes/");
    nt_buf_add_url_part(&path, p->id);
    nt_buf_add(&path, "/fd");
    nt_autoclose int fd = -1;
    struct nt_bytes early = { NULL, 0 };
    if (!nt_buf_ok(&path))
        return nt_fail(reterr, NT_E_LIMIT, "the workspace id is too long");
    if (p->call->host->upgrade_local(p->call, nt_buf_text(&path), NT_LOCAL_PROTOCOL, &fd, &early,
                                     reterr)
        < 0)
        return -1;
    if (early.size > sizeof(ret->in))
        return nt_fail(reterr, NT_E_RESPONSE, "the workspace's guest broke the protocol");
    if (early.size)
        memcpy(ret->in, early.data, early.size);
    ret->size = early.size;
    ret->fd = nt_take_fd(fd);
    ret->port = p->port;
    return 0;
}

/* Pre-flight: nothing else is to be done meanwhile. */
static int wait_dialled(struct local *l, struct nt_error *reterr)
{
    struct proxy *p = l->head.proxy;
    int status = p->call->host->wait(p->call, &l->dial.done, reterr);
    if (status == 0 && !l->dial.is_ok) {
        *reterr = l->dial.error;
        status = -1;
    }
    local_end(&l->head);
    return status;
}

int carry_local(struct proxy *p, int client, struct nt_error *reterr)
{
    struct local *l = calloc(1, sizeof(*l));
    int status = l ? 0 : nt_fail(reterr, NT_E_MEMORY, "no memory for a connection");
    if (l) {
        *l = (struct local){ .client = -1, .dial = { .fd = -1, .error = NT_ERROR_INIT } };
        status = connect_guest(p, &l->dial, reterr);
    }
    if (status < 0) {
        free(l);
        if (client >= 0 && reterr->code != NT_E_NOT_LOCAL)
            nt_relay_reset(client);
        return -1;
    }
    l->client = client;
    carried_add(p, &l->head, local_end);
    l->answer = p->loop->ops->watch(p->loop, l->dial.fd, NT_READABLE, on_answer, l);
    l->late = p->loop->ops->timer(p->loop, ANSWER_MS, 0, on_late, l);
    if (!l->answer || !l->late) {
        local_end(&l->head);
        return nt_fail(reterr, NT_E_MEMORY, "no memory for a connection");
    }
    take_frames(&l->dial);
    if (client < 0)
        return wait_dialled(l, reterr);
    if (l->dial.done)
        on_dialled(l);
    return 0;
}
