/* SPDX-License-Identifier: Apache-2.0 */
/* tunnel.c - carries bytes between two sockets on a uv loop; sdk/relay.h moves them. */
#include <stdlib.h>
#include <unistd.h>

#include "core/net/net.h"
#include "sdk/relay.h"

enum { IDLE_MS = 3600 * 1000, IDLE_LOOK_MS = IDLE_MS / 4 };

/* Of all tunnels of this thread: an idle one costs its two sockets. */
static _Thread_local struct nt_relay_pipes pipes;
static _Thread_local uint32_t tunnels;

struct end {
    struct net_tunnel *tunnel;
    uv_poll_t poll;
    uint32_t wants;
    bool is_dead; /* libuv stopped watching it: it has an error, and what came before it */
};

struct net_tunnel {
    struct nt_relay relay;
    struct end ends[2];
    uv_timer_t idle;
    uint64_t used_at; /* ms */
    uint32_t open_handles;
    bool is_closing;
    void (*ended)(void *data);
    void *data;
};

static void on_closed(uv_handle_t *handle)
{
    struct net_tunnel *t = handle->data;
    if (--t->open_handles > 0)
        return;
    void (*ended)(void *data) = t->ended;
    void *data = t->data;
    free(t);
    ended(data);
}

static void wind_up(struct net_tunnel *t, bool is_reset)
{
    if (t->is_closing)
        return;
    t->is_closing = true;
    nt_relay_done(&t->relay);
    if (--tunnels == 0)
        nt_relay_pipes_done(&pipes);
    for (int i = 0; i < 2; i++) {
        t->ends[i].poll.data = t;
        uv_close((uv_handle_t *)&t->ends[i].poll, on_closed);
        if (is_reset)
            nt_relay_reset(t->relay.fds[i]);
        else
            close(t->relay.fds[i]);
    }
    uv_close((uv_handle_t *)&t->idle, on_closed);
}

void net_tunnel_close(struct net_tunnel *t)
{
    if (t)
        wind_up(t, true);
}

/* Looks now and then instead of being moved with every byte. */
static void on_idle(uv_timer_t *timer)
{
    struct net_tunnel *t = timer->data;
    if (uv_now(timer->loop) - t->used_at >= IDLE_MS)
        wind_up(t, true);
}

static void on_event(uv_poll_t *poll, int status, int events);

static void watch(struct end *e, uint32_t wants)
{
    if (wants == e->wants || e->is_dead)
        return;
    e->wants = wants;
    int events =
        (wants & NT_RELAY_READ ? UV_READABLE : 0) | (wants & NT_RELAY_WRITE ? UV_WRITABLE : 0);
    if (events)
        uv_poll_start(&e->poll, events, on_event);
    else
        uv_poll_stop(&e->poll);
}

static void turn(struct net_tunnel *t, uint32_t ready)
{
    uint32_t wants[2];
    int went = nt_relay_turn(&t->relay, ready, wants);
    /* A dead end is not told of again: what it has left is taken now. */
    for (int i = 0; went == NT_RELAY_GOES && i < 2; i++)
        if (t->ends[i].is_dead)
            went = nt_relay_turn(&t->relay, NT_RELAY_ALL, wants) == NT_RELAY_DONE ? NT_RELAY_DONE
                                                                                  : NT_RELAY_BROKEN;
    if (went != NT_RELAY_GOES) {
        wind_up(t, went == NT_RELAY_BROKEN);
        return;
    }
    watch(&t->ends[0], wants[0]);
    watch(&t->ends[1], wants[1]);
}

static void on_event(uv_poll_t *poll, int status, int events)
{
    struct end *e = poll->data;
    struct net_tunnel *t = e->tunnel;
    t->used_at = uv_now(poll->loop);
    if (status < 0) {
        e->is_dead = true;
        e->wants = 0;
    }
    turn(t, status < 0 ? NT_RELAY_ALL : 1u << (e - t->ends));
}

static void on_begin(uv_timer_t *timer)
{
    struct net_tunnel *t = timer->data;
    uv_timer_start(timer, on_idle, IDLE_LOOK_MS, IDLE_LOOK_MS);
    turn(t, NT_RELAY_ALL);
}

struct net_tunnel *net_tunnel_new(uv_loop_t *uv, int inside, int outside, void (*ended)(void *data),
                                  void *data)
{
    struct net_tunnel *t = calloc(1, sizeof(*t));
    if (!t || uv_poll_init(uv, &t->ends[0].poll, inside) < 0) {
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
    t->used_at = uv_now(uv);
    nt_relay_init(&t->relay, inside, outside, &pipes);
    tunnels++;
    for (int i = 0; i < 2; i++) {
        t->ends[i].tunnel = t;
        t->ends[i].poll.data = &t->ends[i];
        nt_relay_no_delay(t->relay.fds[i]);
    }
    uv_timer_start(&t->idle, on_begin, 0, 0);
    return t;
}
