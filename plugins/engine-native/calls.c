/* SPDX-License-Identifier: Apache-2.0 */
/* calls.c - takes in the calls of engine.h: checks what they carry, gives them a deadline, queues
 * them behind the workspace's other calls, and ends them when the engine closes. What a call does
 * is in op.c. */
#include "op.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "sdk/error.h"

#define START_MS 180000 /* the first start makes the image */
#define STOP_MS 15000   /* beyond the grace */
#define REMOVE_MS 600000
#define GRACE_MAX_MS 3600000

static struct nt_engine_op *op_new(struct nt_engine *e, const struct nt_engine_call *call,
                                   enum kind kind, const char *id)
{
    static const int64_t limits_ms[] = { START_MS, START_MS, STOP_MS, REMOVE_MS, STOP_MS,
                                         STOP_MS,  STOP_MS,  STOP_MS, STOP_MS };
    struct nt_engine_op *op = calloc(1, sizeof(*op));
    if (!op)
        return NULL;
    e->refs++;
    *op = (struct nt_engine_op){ .engine = e,
                                 .loop = e->host.loop,
                                 .loop_ops = e->host.loop->ops,
                                 .done = call->done,
                                 .data = call->data,
                                 .kind = kind,
                                 .launcher_fd = -1,
                                 .listener = -1,
                                 .launched = { 0, -1, -1 },
                                 .error = NT_ERROR_INIT,
                                 .work_error = NT_ERROR_INIT };
    nt_copy_text(op->key, sizeof(op->key), call->key ? call->key : "");
    nt_copy_text(op->id, sizeof(op->id), id);
    int64_t wait_ms = limits_ms[kind];
    if (call->deadline_ms) {
        int64_t left = call->deadline_ms - op->loop_ops->now_ms(op->loop);
        wait_ms = left < 0 ? 0 : left < wait_ms ? left : wait_ms;
    }
    op->deadline = op->loop_ops->timer(op->loop, wait_ms, 0, op_on_deadline, op);
    return op;
}

static void enqueue(struct nt_engine_op *op)
{
    struct nt_engine_op **at = &op->space->queue;
    while (*at)
        at = &(*at)->next;
    *at = op;
    op_begin(op->space);
}

/* --- loose ones: no workspace is held for them --------------------------------------------- */

static void unlink_loose(struct nt_engine_op *op)
{
    struct nt_engine_op **at = &op->engine->loose;
    while (*at && *at != op)
        at = &(*at)->next;
    if (*at)
        *at = op->next;
    op->next = NULL;
}

static void on_loose(void *data)
{
    struct nt_engine_op *op = data;
    struct nt_engine *e = op->engine;
    unlink_loose(op);
    if (op->kind == LIST && !op->error.code)
        for (struct space *s = e->spaces; s; s = s->next) {
            struct nt_engine_state state;
            space_state(s, &state);
            if (s->on_disk)
                op->each(op->data, &state);
        }
    if (op->kind == INSPECT)
        op->space = space_find(e, op->id);
    op_report(op, op->error.code ? NT_OP_FAILED : NT_OP_DONE, op->error.code ? &op->error : NULL);
    op->space = NULL;
    op_free(op);
}

static struct nt_engine_op *loose(struct nt_engine_op *op)
{
    op->next = op->engine->loose;
    op->engine->loose = op;
    op->soon = op->loop_ops->timer(op->loop, 0, 0, on_loose, op);
    return op;
}

/* --- the calls ----------------------------------------------------------------------------- */

static struct nt_engine_op *op_on_space(struct nt_engine *e, const struct nt_engine_call *call,
                                        enum kind kind, const char *id)
{
    struct nt_engine_op *op = op_new(e, call, kind, id);
    if (!op)
        return NULL;
    op->space = disk_is_id(id) ? space_find(e, id) : NULL;
    if (op->space)
        return op;
    if (kind != REMOVE)
        op_fail(op, NT_E_NOT_FOUND, "there is no such workspace");
    return op;
}

/* A uid that no other workspace here has; drawn, so that two engines of one machine do not meet
 * either. */
static uint32_t draw_uid(const struct nt_engine *e)
{
    for (;;) {
        uint32_t uid = FIRST_UID + randombytes_uniform((1u << 31) - FIRST_UID);
        bool used = false;
        for (const struct space *s = e->spaces; s && !used; s = s->next)
            used = s->meta.uid == uid || (s->current && s->current->meta.uid == uid);
        if (!used)
            return uid;
    }
}

static bool is_hostname(const char *name)
{
    size_t size = strlen(name);
    return size > 0 && size <= 63 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == size;
}

/* false: op has failed. */
static bool take_record(struct nt_engine_op *op, const char *record)
{
    if (!record)
        return true;
    op->record = strlen(record) < NT_RECORD_MAX ? strdup(record) : NULL;
    if (!op->record)
        op_fail(op, NT_E_LIMIT, "the record is too long");
    return op->record != NULL;
}

struct nt_engine_op *op_create(struct nt_engine *e, const struct nt_engine_call *call,
                               const struct nt_engine_spec *spec)
{
    struct nt_engine_op *op = op_new(e, call, CREATE, spec->id);
    if (!op)
        return NULL;
    struct meta *m = &op->meta;
    if (!disk_is_id(spec->id) || !is_hostname(spec->hostname)
        || strlen(spec->image) >= sizeof(m->image)
        || (call->key && strlen(call->key) >= sizeof(m->key))) {
        op_fail(op, NT_E_INVALID, "not a valid id, host name, image or key");
        return loose(op);
    }
    if (!take_record(op, NT_HAS(struct nt_engine_spec, spec, record) ? spec->record : NULL))
        return loose(op);
    op->space = space_find(e, spec->id);
    if (!op->space && !(op->space = space_new(e, spec->id))) {
        op_fail(op, NT_E_MEMORY, "out of memory");
        return loose(op);
    }
    nt_copy_text(m->id, sizeof(m->id), spec->id);
    nt_copy_text(m->hostname, sizeof(m->hostname), spec->hostname);
    nt_copy_text(m->image, sizeof(m->image), spec->image);
    nt_copy_text(m->key, sizeof(m->key), op->key);
    m->flags = spec->flags;
    m->cpu_millis = spec->cpu_millis;
    m->pids = spec->pids;
    m->memory_bytes = spec->memory_bytes;
    m->disk_bytes = spec->disk_bytes;
    m->uid = e->disk.as_root ? draw_uid(e) : 0;
    enqueue(op);
    return op;
}

static struct nt_engine_op *op_queue(struct nt_engine *e, const struct nt_engine_call *call,
                                     enum kind kind, const char *id, int64_t grace_ms)
{
    struct nt_engine_op *op = op_on_space(e, call, kind, id);
    if (!op)
        return NULL;
    op->grace_ms = grace_ms < 0 ? 0 : grace_ms > GRACE_MAX_MS ? GRACE_MAX_MS : grace_ms;
    if (!op->space)
        return loose(op);
    enqueue(op);
    return op;
}

struct nt_engine_op *op_start(struct nt_engine *e, const struct nt_engine_call *call,
                              const char *id)
{
    return op_queue(e, call, START, id, 0);
}

struct nt_engine_op *op_stop(struct nt_engine *e, const struct nt_engine_call *call, const char *id,
                             int64_t grace_ms)
{
    return op_queue(e, call, STOP, id, grace_ms);
}

struct nt_engine_op *op_remove(struct nt_engine *e, const struct nt_engine_call *call,
                               const char *id)
{
    struct space *s = space_find(e, id);
    /* A start that is under way is not waited for. */
    if (s && s->current && (s->current->kind == CREATE || s->current->kind == START))
        op_cancel(s->current);
    return op_queue(e, call, REMOVE, id, 0);
}

struct nt_engine_op *op_keep(struct nt_engine *e, const struct nt_engine_call *call, const char *id,
                             const char *record)
{
    struct nt_engine_op *op = op_on_space(e, call, KEEP, id);
    if (!op)
        return NULL;
    if (!take_record(op, record ? record : "") || !op->space)
        return loose(op);
    enqueue(op);
    return op;
}

struct nt_engine_op *op_recall(struct nt_engine *e, const struct nt_engine_call *call,
                               const char *id)
{
    return op_queue(e, call, RECALL, id, 0);
}

struct nt_engine_op *op_inspect(struct nt_engine *e, const struct nt_engine_call *call,
                                const char *id)
{
    struct nt_engine_op *op = op_new(e, call, INSPECT, id);
    return op ? loose(op) : NULL;
}

struct nt_engine_op *op_list(struct nt_engine *e, const struct nt_engine_call *call,
                             nt_engine_each *each)
{
    struct nt_engine_op *op = op_new(e, call, LIST, "");
    if (!op)
        return NULL;
    op->each = each;
    return loose(op);
}

/* Waits its turn like any other call, so that a start never meets the removal of its own cgroup. */
void op_clear(struct space *s)
{
    struct nt_engine_call call = { .size = sizeof(call) };
    struct nt_engine_op *op = op_new(s->engine, &call, CLEAR, s->meta.id);
    if (!op)
        return; /* the next start or stop does it */
    op->space = s;
    enqueue(op);
}

/* --- closing ------------------------------------------------------------------------------- */

static void report_closed(struct nt_engine_op *op)
{
    struct nt_error error = NT_ERROR_INIT;
    nt_fail(&error, NT_E_CANCELLED, "the server is ending");
    op_report(op, op->phase == WAITING ? NT_OP_FAILED : NT_OP_UNKNOWN, &error);
}

void op_close_all(struct space *s)
{
    struct nt_engine_op *next;
    for (struct nt_engine_op *op = s->queue; op; op = next) {
        next = op->next;
        report_closed(op);
        op_free(op);
    }
    s->queue = NULL;
    struct nt_engine_op *op = s->current;
    if (!op)
        return;
    report_closed(op);
    if (op->phase == PREPARING || op->phase == CLEANING) {
        /* The worker comes back and ends it. */
        op_end_timer(op, &op->deadline);
        return;
    }
    s->current = NULL;
    op_free(op);
}

void op_close_loose(struct nt_engine *e)
{
    struct nt_engine_op *op;
    while ((op = e->loose)) {
        unlink_loose(op);
        report_closed(op);
        op_free(op);
    }
}
