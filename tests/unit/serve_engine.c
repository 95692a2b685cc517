/* SPDX-License-Identifier: Apache-2.0 */
/* serve_engine.c - an engine in memory. */
#include "serve_engine.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nanoterm/guest.h"
#include "sdk/error.h"

struct nt_engine {
    int unused;
};

struct fake_call {
    struct fake_call *next;
    nt_engine_done *done;
    void *data;
    struct nt_timer *timer;
    struct nt_engine_result result;
};

struct fake_engine fake;
static struct nt_engine the_engine;

void fake_engine_reset(void)
{
    fake = (struct fake_engine){ 0 };
}

static int row_of(const char *id)
{
    for (unsigned i = 0; i < fake.count; i++)
        if (strcmp(fake.rows[i].id, id) == 0)
            return (int)i;
    return -1;
}

uint32_t fake_engine_state(const char *id)
{
    int i = row_of(id);
    return i < 0 ? NT_WS_ABSENT : fake.rows[i].state;
}

static void set(const char *id, uint32_t state)
{
    int i = row_of(id);
    if (i < 0 && state == NT_WS_ABSENT)
        return;
    if (i < 0) {
        i = (int)fake.count++;
        snprintf(fake.rows[i].id, sizeof(fake.rows[i].id), "%s", id);
    }
    fake.rows[i].state = state;
    if (state == NT_WS_ABSENT)
        fake.rows[i] = fake.rows[--fake.count];
}

void fake_engine_add(const char *id, uint32_t state)
{
    set(id, state);
}

static struct nt_engine_state state_of(const char *id)
{
    struct nt_engine_state s = { .size = sizeof(s),
                                 .state = fake_engine_state(id),
                                 .limit_memory = NT_LIMIT_HARD };
    snprintf(s.id, sizeof(s.id), "%s", id);
    return s;
}

static void call_back(void *data)
{
    struct fake_call *call = data;
    for (struct fake_call **at = &fake.late; *at; at = &(*at)->next)
        if (*at == call) {
            *at = call->next;
            break;
        }
    fake.host.loop->ops->timer_end(call->timer);
    call->done(call->data, &call->result);
    free(call);
}

static struct nt_engine_op *later(const struct nt_engine_call *c, const char *id, int64_t delay_ms)
{
    struct fake_call *call = calloc(1, sizeof(*call));
    call->done = c->done;
    call->data = c->data;
    call->result.size = sizeof(call->result);
    call->result.error = (struct nt_error)NT_ERROR_INIT;
    call->result.state = state_of(id);
    call->next = fake.late;
    fake.late = call;
    call->timer = fake.host.loop->ops->timer(fake.host.loop, delay_ms, 0, call_back, call);
    return (struct nt_engine_op *)call;
}

static int fake_open(const struct nt_engine_host *host, struct nt_engine **ret,
                     struct nt_error *reterr)
{
    fake.host = *host;
    *ret = &the_engine;
    return 0;
}

static void refuse_streams(void);

static void fake_close(struct nt_engine *engine)
{
    refuse_streams();
    while (fake.guest_count > 0)
        close(fake.guests[--fake.guest_count]);
    while (fake.late) {
        fake.late->result.outcome = NT_OP_UNKNOWN;
        call_back(fake.late);
    }
}

static struct nt_engine_op *fake_create(struct nt_engine *engine, const struct nt_engine_call *c,
                                        const struct nt_engine_spec *spec)
{
    fake.creates++;
    if (!fake.fail_create)
        set(spec->id, NT_WS_RUNNING);
    struct nt_engine_op *op = later(c, spec->id, fake.create_ms);
    if (fake.fail_create) {
        fake.late->result.outcome = NT_OP_FAILED;
        nt_fail(&fake.late->result.error, NT_E_UNAVAILABLE, "no user namespaces here");
    }
    return op;
}

static struct nt_engine_op *fake_start(struct nt_engine *engine, const struct nt_engine_call *c,
                                       const char *id)
{
    set(id, NT_WS_RUNNING);
    return later(c, id, 0);
}

static struct nt_engine_op *fake_stop(struct nt_engine *engine, const struct nt_engine_call *c,
                                      const char *id, int64_t grace_ms)
{
    set(id, NT_WS_STOPPED);
    return later(c, id, 0);
}

static struct nt_engine_op *fake_remove(struct nt_engine *engine, const struct nt_engine_call *c,
                                        const char *id)
{
    fake.removes++;
    set(id, NT_WS_ABSENT);
    return later(c, id, 0);
}

static struct nt_engine_op *fake_inspect(struct nt_engine *engine, const struct nt_engine_call *c,
                                         const char *id)
{
    return later(c, id, 0);
}

static struct nt_engine_op *fake_list(struct nt_engine *engine, const struct nt_engine_call *c,
                                      nt_engine_each *each)
{
    for (unsigned i = 0; i < fake.count; i++) {
        struct nt_engine_state s = state_of(fake.rows[i].id);
        each(c->data, &s);
    }
    return later(c, "", fake.list_ms);
}

static void fake_cancel(struct nt_engine_op *op)
{
}

static void fake_abilities(struct nt_engine *engine, struct nt_engine_state *ret)
{
    ret->limit_memory = NT_LIMIT_HARD;
}

/* --- a guest that says HELLO and one OK ---------------------------------------------------- */

struct fake_stream {
    struct nt_stream head;
    struct fake_stream *next;
    struct nt_timer *timer; /* until it is open */
    const struct nt_stream_events *events;
    void *data;
    int fd;
    bool is_cancelled;
};

static void say_hello(int fd)
{
    uint8_t memory[1024], nonce[16] = { 1 };
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_HELLO);
    nt_g_add_number(&w, NT_GT_VERSION, NT_G_VERSION);
    nt_g_add_number(&w, NT_GT_CAPS, NT_GC_EXEC | NT_GC_FILES | NT_GC_ADOPT);
    nt_g_add(&w, NT_GT_NONCE, nonce, sizeof(nonce));
    nt_g_add_number(&w, NT_GT_PID, 1);
    size_t size = nt_g_done(&w);
    if (write(fd, memory, size) < 0)
        abort();
    w = nt_g_begin(memory, sizeof(memory), NT_G_OK);
    for (uint16_t tag = NT_GT_CPU_US; tag <= NT_GT_NET_TX; tag++)
        nt_g_add_number(&w, tag, tag);
    size = nt_g_done(&w);
    if (write(fd, memory, size) < 0)
        abort();
}

static int fake_take_fd(struct nt_stream *stream, struct nt_error *reterr)
{
    struct fake_stream *s = (struct fake_stream *)stream;
    int fd = s->fd;
    s->fd = -1;
    return fd;
}

/* Its close comes when the call that cancelled it has returned (open_later). */
static void fake_stream_cancel(struct nt_stream *stream)
{
    ((struct fake_stream *)stream)->is_cancelled = true;
}

static const struct nt_stream_ops fake_stream_ops = { .size = sizeof(fake_stream_ops),
                                                      .cancel = fake_stream_cancel,
                                                      .take_fd = fake_take_fd };

static struct fake_stream *opening;

/* Takes it off the list; the caller tells whoever waits, and frees it. */
static void stop_opening(struct fake_stream *s)
{
    for (struct fake_stream **at = &opening; *at; at = &(*at)->next)
        if (*at == s) {
            *at = s->next;
            break;
        }
    fake.host.loop->ops->timer_end(s->timer);
}

static void end_stream(struct fake_stream *s, uint32_t code)
{
    struct nt_error reason = NT_ERROR_INIT;
    nt_fail(&reason, code, "the stream has ended");
    s->events->close(s->data, NULL, &reason);
    close(s->fd);
}

static void open_later(void *data)
{
    struct fake_stream *s = data;
    stop_opening(s);
    s->events->open(s->data, &s->head);
    if (s->is_cancelled)
        end_stream(s, NT_E_CANCELLED);
    free(s);
}

/* An engine that ends has told everybody before. */
static void refuse_streams(void)
{
    while (opening) {
        struct fake_stream *s = opening;
        stop_opening(s);
        end_stream(s, NT_E_CONNECT);
        free(s);
    }
}

static int fake_open_stream(struct nt_engine *engine, const char *id,
                            const struct nt_stream_events *events, void *data,
                            struct nt_error *reterr)
{
    int pair[2];
    struct fake_stream *s = calloc(1, sizeof(*s));
    fake.configures++;
    if (!s || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        abort();
    *s = (struct fake_stream){ .head = { .size = sizeof(struct nt_stream),
                                         .flags = NT_STREAM_FD,
                                         .ops = &fake_stream_ops },
                               .events = events,
                               .data = data,
                               .fd = pair[0] };
    say_hello(pair[1]);
    if (fake.guest_count == FAKE_MAX)
        abort();
    /* stays open: the server writes its question to it */
    fake.guests[fake.guest_count++] = pair[1];
    s->timer = fake.host.loop->ops->timer(fake.host.loop, 0, 0, open_later, s);
    s->next = opening;
    opening = s;
    return 0;
}

const struct nt_engine_ops fake_engine_ops = {
    .size = sizeof(fake_engine_ops),
    .caps = NT_ENGINE_LOCAL_FD | NT_ENGINE_PASS_FDS | NT_ENGINE_IMAGE_HOST,
    .open = fake_open,
    .close = fake_close,
    .create = fake_create,
    .start = fake_start,
    .stop = fake_stop,
    .remove = fake_remove,
    .inspect = fake_inspect,
    .list = fake_list,
    .cancel = fake_cancel,
    .open_stream = fake_open_stream,
    .abilities = fake_abilities,
};
