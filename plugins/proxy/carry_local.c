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

struct local {
    struct carried head;
    struct nt_relay relay;
    struct nt_watch *watches[2];
    bool is_watched[2];
};

static void local_end(struct carried *c)
{
    struct local *l = (struct local *)c;
    for (int i = 0; i < 2; i++) {
        l->head.proxy->loop->ops->watch_end(l->watches[i]);
        if (l->relay.fds[i] >= 0)
            close(l->relay.fds[i]);
    }
    nt_relay_done(&l->relay);
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

struct dial {
    int fd;
    uint8_t in[HEAD_MAX];
    size_t size;
    uint16_t port;
    bool is_greeted, is_ok;
    uint32_t done;
    struct nt_error *reterr;
};

static void dial_fail(struct dial *d, uint32_t code, const char *text)
{
    nt_fail(d->reterr, code, "%s", text);
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

static void on_answer(void *data, int fd, uint32_t events)
{
    (void)events;
    struct dial *d = data;
    size_t want;
    while (!d->done && (want = missing(d)) > 0) {
        ssize_t n = recv(fd, d->in + d->size, want, MSG_DONTWAIT);
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

static void on_late(void *data)
{
    dial_fail(data, NT_E_TIMEOUT, "the workspace has not answered in time");
}

/* Returns the connection, with nothing but bytes on it from here. */
static int dial(struct proxy *p, struct nt_error *reterr)
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
    struct dial d = { .fd = fd, .port = p->port, .reterr = reterr };
    if (early.size > sizeof(d.in))
        return nt_fail(reterr, NT_E_RESPONSE, "the workspace's guest broke the protocol");
    if (early.size)
        memcpy(d.in, early.data, early.size);
    d.size = early.size;
    struct nt_watch *watch = p->loop->ops->watch(p->loop, fd, NT_READABLE, on_answer, &d);
    struct nt_timer *late = p->loop->ops->timer(p->loop, ANSWER_MS, 0, on_late, &d);
    int status = -1;
    if (!watch || !late) {
        nt_fail(reterr, NT_E_MEMORY, "no memory for a connection");
    } else {
        take_frames(&d);
        status = p->call->host->wait(p->call, &d.done, reterr);
    }
    p->loop->ops->watch_end(watch);
    p->loop->ops->timer_end(late);
    return status < 0 || !d.is_ok ? -1 : nt_take_fd(fd);
}

int carry_local(struct proxy *p, int client, struct nt_error *reterr)
{
    int guest = dial(p, reterr);
    if (guest < 0 && reterr->code == NT_E_NOT_LOCAL)
        return -1;
    struct local *l = guest >= 0 && client >= 0 ? calloc(1, sizeof(*l)) : NULL;
    if (!l) {
        nt_relay_reset(client);
        if (guest >= 0)
            close(guest);
        return guest < 0 ? -1 : client < 0 ? 0 : nt_fail(reterr, NT_E_MEMORY, "no memory");
    }
    nt_relay_init(&l->relay, client, guest, &p->pipes);
    carried_add(p, &l->head, local_end);
    l->watches[0] = p->loop->ops->watch(p->loop, client, NT_READABLE, on_client, l);
    l->watches[1] = p->loop->ops->watch(p->loop, guest, NT_READABLE, on_guest, l);
    if (!l->watches[0] || !l->watches[1]) {
        local_end(&l->head);
        return nt_fail(reterr, NT_E_MEMORY, "no memory for a connection");
    }
    turn(l, NT_RELAY_ALL);
    return 0;
}
