/* SPDX-License-Identifier: Apache-2.0 */
/* serve_monitor_fake.c - see serve_monitor_fake.h. */
#include "serve_monitor_fake.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sdk/error.h"

struct nt_engine {
    struct fake_monitor *fake;
};
struct nt_engine_op {
    struct fake_monitor *fake;
    nt_engine_done *done;
    void *data;
};
static struct nt_engine the_engine;

static int engine_open(const struct nt_engine_host *host, struct nt_engine **ret,
                       struct nt_error *reterr)
{
    (void)reterr;
    the_engine.fake->host = *host;
    *ret = &the_engine;
    return 0;
}

void fake_monitor_end_call(struct fake_monitor *f, uint32_t outcome)
{
    if (!f->op_count)
        return;
    struct nt_engine_op *op = f->ops[0];
    memmove(f->ops, f->ops + 1, --f->op_count * sizeof(f->ops[0]));
    struct nt_engine_result result = { .size = sizeof(result),
                                       .outcome = outcome,
                                       .error = NT_ERROR_INIT };
    if (outcome == NT_OP_DONE)
        result.record = (struct nt_bytes){ f->record, strlen(f->record) };
    else
        nt_fail(&result.error, NT_E_CANCELLED, "ended by the test");
    op->done(op->data, &result);
    free(op);
}

static void engine_close(struct nt_engine *engine)
{
    while (engine->fake->op_count)
        fake_monitor_end_call(engine->fake, NT_OP_UNKNOWN);
}

static struct nt_engine_op *begin(struct nt_engine *engine, const struct nt_engine_call *call)
{
    struct fake_monitor *f = engine->fake;
    struct nt_engine_op *op = f->op_count < FAKE_OPS ? calloc(1, sizeof(*op)) : NULL;
    if (!op)
        return NULL;
    *op = (struct nt_engine_op){ f, call->done, call->data };
    f->ops[f->op_count++] = op;
    f->begun++;
    return op;
}

/* What reaches the engine must be fit for the name of a folder. */
static void check_id(const char *id)
{
    if (!wire_is_id(id))
        abort();
}

static struct nt_engine_op *engine_create(struct nt_engine *engine,
                                          const struct nt_engine_call *call,
                                          const struct nt_engine_spec *spec)
{
    struct fake_monitor *f = engine->fake;
    check_id(spec->id);
    f->spec = *spec;
    nt_copy_text(f->id, sizeof(f->id), spec->id);
    nt_copy_text(f->hostname, sizeof(f->hostname), spec->hostname);
    nt_copy_text(f->image, sizeof(f->image), spec->image);
    if (strcmp(f->image, "host") != 0 && strncmp(f->image, "file:/", 6) != 0)
        abort();
    return begin(engine, call);
}

static struct nt_engine_op *engine_call(struct nt_engine *engine, const struct nt_engine_call *call,
                                        const char *id)
{
    check_id(id);
    return begin(engine, call);
}

static struct nt_engine_op *engine_stop(struct nt_engine *engine, const struct nt_engine_call *call,
                                        const char *id, int64_t grace_ms)
{
    if (grace_ms < 0)
        abort();
    return engine_call(engine, call, id);
}

static struct nt_engine_op *engine_keep(struct nt_engine *engine, const struct nt_engine_call *call,
                                        const char *id, const char *record)
{
    struct fake_monitor *f = engine->fake;
    if (!*record || strlen(record) >= NT_RECORD_MAX)
        abort();
    nt_copy_text(f->record, sizeof(f->record), record);
    return engine_call(engine, call, id);
}

static struct nt_engine_op *engine_list(struct nt_engine *engine, const struct nt_engine_call *call,
                                        nt_engine_each *each)
{
    struct nt_engine_state state = { .size = sizeof(state), .state = NT_WS_RUNNING, .id = "ws_1" };
    each(call->data, &state);
    return begin(engine, call);
}

static void engine_cancel(struct nt_engine_op *op)
{
    op->fake->cancelled++;
}

static int engine_open_stream(struct nt_engine *engine, const char *id,
                              const struct nt_stream_events *events, void *data,
                              struct nt_error *reterr)
{
    check_id(id);
    if (engine->fake->stream_events)
        return nt_fail(reterr, NT_E_LIMIT, "one at a time");
    engine->fake->stream_events = events;
    engine->fake->stream_data = data;
    return 0;
}

static void engine_abilities(struct nt_engine *engine, struct nt_engine_state *ret)
{
    (void)engine;
    ret->limit_cpu = NT_LIMIT_HARD;
}

static const struct nt_engine_ops engine_ops = {
    .size = sizeof(engine_ops),
    .caps = NT_ENGINE_LOCAL_FD | NT_ENGINE_KEEP,
    .open = engine_open,
    .close = engine_close,
    .create = engine_create,
    .start = engine_call,
    .stop = engine_stop,
    .remove = engine_call,
    .inspect = engine_call,
    .list = engine_list,
    .cancel = engine_cancel,
    .open_stream = engine_open_stream,
    .abilities = engine_abilities,
    .keep = engine_keep,
    .recall = engine_call,
};

/* --- the stream ---------------------------------------------------------------------------- */

static int stream_take(struct nt_stream *stream, struct nt_error *reterr)
{
    (void)stream;
    (void)reterr;
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void stream_cancel(struct nt_stream *stream)
{
    (void)stream;
}

static const struct nt_stream_ops stream_ops = { .size = sizeof(stream_ops),
                                                 .take_fd = stream_take,
                                                 .cancel = stream_cancel };
static struct nt_stream stream = { sizeof(stream), NT_STREAM_FD, &stream_ops };

void fake_monitor_open_stream(struct fake_monitor *f)
{
    const struct nt_stream_events *events = f->stream_events;
    f->stream_events = NULL;
    if (events)
        events->open(f->stream_data, &stream);
}

/* --- the acts ------------------------------------------------------------------------------ */

static int act_send(void *data, const void *message, size_t size, int fd)
{
    struct fake_monitor *f = data;
    if (size > sizeof(f->last))
        abort();
    memcpy(f->before, f->last, f->last_size);
    f->before_size = f->last_size;
    memcpy(f->last, message, size);
    f->last_size = size;
    if (f->last_fd >= 0)
        close(f->last_fd);
    f->last_fd = fd;
    f->sent++;
    return 0;
}

static int act_owner_key(void *data, uint8_t ret_hash[32], bool *ret_made, struct nt_error *reterr)
{
    struct fake_monitor *f = data;
    (void)reterr;
    memset(ret_hash, 7, 32);
    *ret_made = true;
    f->keys++;
    return 0;
}

static void act_ready(void *data)
{
    ((struct fake_monitor *)data)->readies++;
}

static void act_failed(void *data, const struct nt_error *error)
{
    if (!error->code || strlen(error->message) >= sizeof(error->message))
        abort();
    ((struct fake_monitor *)data)->failures++;
}

static void act_note(void *data, const char *line)
{
    if (!*line)
        abort();
    ((struct fake_monitor *)data)->notes++;
}

static void act_debug(void *data, const char *event, const char *fields)
{
    (void)data;
    (void)event;
    (void)fields;
}

static void act_leave(void *data)
{
    ((struct fake_monitor *)data)->leaves++;
}

static int act_handover(void *data, const char *program, struct nt_error *reterr)
{
    ((struct fake_monitor *)data)->handovers++;
    if (program[0] != '/')
        abort();
    return strcmp(program, "/good/nanoterm") == 0
               ? 0
               : nt_fail(reterr, NT_E_FORBIDDEN, "another user's program");
}

/* No real port: a descriptor like any other. ::1 is one that is taken. */
static int act_listen(void *data, const char *address, uint16_t port, int *ret_fd,
                      struct nt_error *reterr)
{
    struct fake_monitor *f = data;
    f->listens++;
    if (port < 1 || port > 1023 || strspn(address, "0123456789abcdefABCDEF:.") != strlen(address))
        abort();
    if (strcmp(address, "::1") == 0)
        return nt_fail_sys(reterr, EADDRINUSE, "cannot listen");
    *ret_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return *ret_fd < 0 ? nt_fail_sys(reterr, errno, "cannot open") : 0;
}

static const struct monitor_acts acts = {
    .send = act_send,
    .owner_key = act_owner_key,
    .ready = act_ready,
    .failed = act_failed,
    .note = act_note,
    .debug = act_debug,
    .leave = act_leave,
    .handover = act_handover,
    .listen = act_listen,
};

static int64_t now_ms(struct nt_loop *loop)
{
    (void)loop;
    return 1000;
}

static const struct nt_loop_ops loop_ops = { .size = sizeof(loop_ops), .now_ms = now_ms };

void fake_monitor_begin(struct fake_monitor *f)
{
    struct nt_error error = NT_ERROR_INIT;
    struct nt_engine_host host = { .size = sizeof(host) };
    *f = (struct fake_monitor){ .loop = { sizeof(f->loop), 0, &loop_ops }, .last_fd = -1 };
    the_engine.fake = f;
    if (monitor_new(&f->loop, &engine_ops, &acts, f, &f->monitor, &error) < 0
        || monitor_open_engine(f->monitor, &host, &error) < 0)
        abort();
}

void fake_monitor_end(struct fake_monitor *f)
{
    monitor_free(f->monitor);
    if (f->stream_events) /* it is told once more, as engine.h promises */
        f->stream_events->close(f->stream_data, &stream, NULL);
    if (f->last_fd >= 0)
        close(f->last_fd);
}
