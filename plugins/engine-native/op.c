/* SPDX-License-Identifier: Apache-2.0 */
/* op.c - the calls in flight: create, start, stop, remove, each a small machine of phases.
 *
 * One call at a time per workspace; the others wait behind it. A phase is a worker (WORKING) or
 * something to be waited for in the loop (LAUNCHING, ENDING). The callback comes once, never inside
 * a call of ours. A call whose callback has come early (deadline, cancel) goes on in silence until
 * the workspace is in a known state. */
#include "op.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sdk/cleanup.h"
#include "sdk/error.h"

static void op_run(struct nt_engine_op *op);
static void op_end(struct nt_engine_op *op);
static void launch_give_up(struct nt_engine_op *op);

/* --- ends ---------------------------------------------------------------------------------- */

/* The callback. outcome of a failure: FAILED when proven. */
void op_report(struct nt_engine_op *op, uint32_t outcome, const struct nt_error *error)
{
    if (op->reported)
        return;
    op->reported = true;
    struct nt_engine_result result = { .size = sizeof(result),
                                       .outcome = outcome,
                                       .error = NT_ERROR_INIT };
    if (error)
        result.error = *error;
    if (op->space)
        space_state(op->space, &result.state);
    else
        result.state =
            (struct nt_engine_state){ .size = sizeof(result.state), .state = NT_WS_ABSENT };
    nt_copy_text(result.state.id, sizeof(result.state.id), op->id);
    result.receipt = (struct nt_bytes){ op->id, strlen(op->id) };
    if (op->kind == RECALL && op->record && outcome == NT_OP_DONE)
        result.record = (struct nt_bytes){ op->record, strlen(op->record) };
    if (op->done)
        op->done(op->data, &result);
}

void op_end_timer(struct nt_engine_op *op, struct nt_timer **timer)
{
    op->loop_ops->timer_end(*timer);
    *timer = NULL;
}

static void end_watch(struct nt_engine_op *op, struct nt_watch **watch)
{
    op->loop_ops->watch_end(*watch);
    *watch = NULL;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Ends all that the call waits for. */
static void quiet(struct nt_engine_op *op)
{
    op_end_timer(op, &op->soon);
    op_end_timer(op, &op->deadline);
    op_end_timer(op, &op->kill_timer);
    end_watch(op, &op->report_watch);
    end_watch(op, &op->ready_watch);
    talk_free(op->talk);
    op->talk = NULL;
    close_fd(&op->launched.report_fd);
    close_fd(&op->launched.ready_fd);
    close_fd(&op->listener);
    end_watch(op, &op->launcher_watch);
    close_fd(&op->launcher_fd);
    if (op->launched.pid > 0) {
        /* It has reported its last and is about to exit, or has no more to say: it is never waited
         * for long. */
        kill(op->launched.pid, SIGKILL);
        while (waitpid(op->launched.pid, NULL, 0) < 0 && errno == EINTR) {
        }
        op->launched.pid = 0;
    }
}

void op_free(struct nt_engine_op *op)
{
    quiet(op);
    engine_unref(op->engine);
    free(op->record);
    free(op);
}

static void on_soon(void *data)
{
    struct nt_engine_op *op = data;
    op_end_timer(op, &op->soon);
    op_run(op);
}

void op_begin(struct space *s)
{
    struct nt_engine_op *op = s->queue;
    if (s->current || !op)
        return;
    s->queue = op->next;
    op->next = NULL;
    s->current = op;
    op->soon = op->loop_ops->timer(op->loop, 0, 0, on_soon, op);
    if (!op->soon) /* out of memory: now is better than never */
        op_run(op);
}

/* The call is over: report what is not yet reported, and let the next one begin. */
static void op_end(struct nt_engine_op *op)
{
    struct space *s = op->space;
    struct nt_engine *e = op->engine;
    if (!e->closed)
        op_report(op, op->error.code ? NT_OP_FAILED : NT_OP_DONE,
                  op->error.code ? &op->error : NULL);
    if (s) {
        s->current = NULL;
        if (e->closed || (!s->on_disk && !s->queue))
            space_free(s);
        else
            op_begin(s);
    }
    op_free(op);
}

static void set_error(struct nt_engine_op *op, const struct nt_error *error)
{
    if (!op->error.code)
        op->error = *error;
}

void op_fail(struct nt_engine_op *op, uint32_t code, const char *message)
{
    struct nt_error error = NT_ERROR_INIT;
    nt_fail(&error, code, "%s", message);
    set_error(op, &error);
}

/* Deadline or cancel: a start is undone, all else is left to finish without us. */
static void abandon(struct nt_engine_op *op, uint32_t code, const char *why)
{
    struct nt_error error = NT_ERROR_INIT;
    if (op->abandoned)
        return;
    op->abandoned = true;
    nt_fail(&error, code, "%s", why);
    if (op->phase == WAITING) {
        set_error(op, &error);
        return; /* op_run reports it */
    }
    if (op->kind == CREATE || op->kind == START) {
        set_error(op, &error);
        if (op->phase == LAUNCHING)
            launch_give_up(op);
        return;
    }
    op_report(op, NT_OP_UNKNOWN, &error);
}

void op_on_deadline(void *data)
{
    struct nt_engine_op *op = data;
    op_end_timer(op, &op->deadline);
    abandon(op, NT_E_TIMEOUT, "the workspace did not get there in time");
}

static void on_cancel(void *data)
{
    struct nt_engine_op *op = data;
    op_end_timer(op, &op->deadline);
    abandon(op, NT_E_CANCELLED, "cancelled");
}

void op_cancel(struct nt_engine_op *op)
{
    if (op->reported || op->abandoned)
        return;
    op_end_timer(op, &op->deadline);
    op->deadline = op->loop_ops->timer(op->loop, 0, 0, on_cancel, op);
}

/* --- workers ------------------------------------------------------------------------------- */

static int check_limits(const struct meta *m, const struct limits_strength *s, bool disk_too,
                        struct nt_error *reterr)
{
    const char *part = m->memory_bytes && s->memory < NT_LIMIT_HARD ? "memory"
                       : m->pids && s->pids < NT_LIMIT_HARD         ? "processes"
                       : m->cpu_millis && s->cpu < NT_LIMIT_HARD    ? "processors"
                       : m->disk_bytes && disk_too                  ? "disk space"
                                                                    : NULL;
    if (!part)
        return 0;
    nt_fail(reterr, NT_E_UNAVAILABLE, "the limit on %s cannot be enforced here", part);
    return nt_hint(
        reterr, "%s",
        strcmp(part, "disk space") == 0
            ? "leave the disk limit or --require-limits out"
            : "run the server in a unit with Delegate=yes, or leave --require-limits out");
}

static int prepare(struct nt_engine_op *op, struct nt_error *reterr)
{
    const struct disk *disk = &op->engine->disk;
    if (op->meta.flags & NT_SPEC_REQUIRE_LIMITS) {
        struct limits_strength can;
        limits_probe(&can);
        if (check_limits(&op->meta, &can, true, reterr) < 0)
            return -1;
    }
    if (image_ready(disk, op->meta.image, &op->image, reterr) < 0)
        return -1;
    bool changed = op->meta.base[0] && strcmp(op->meta.base, op->image.base) != 0;
    if (changed)
        snprintf(op->notice, sizeof(op->notice),
                 "the base image has changed since this workspace was last started");
    nt_copy_text(op->meta.base, sizeof(op->meta.base), op->image.base);
    if (op->is_new) {
        if (disk_make(disk, &op->meta, reterr) < 0)
            return -1;
        op->made = true;
    }
    nt_autoclose int dir = disk_lock(disk, op->meta.id, reterr);
    if (dir < 0 || disk_forget_reason(dir, reterr) < 0
        || (op->is_new && op->record && disk_write_record(dir, op->id, op->record, reterr) < 0)
        || (changed && disk_write_meta(dir, &op->meta, reterr) < 0)
        || disk_make_layer(disk, dir, "root", reterr) < 0)
        return -1;
    for (uint32_t i = 0; i < op->image.layer_count; i++)
        if (disk_make_layer(disk, dir, op->image.layers[i], reterr) < 0)
            return -1;
    return launch_spawn(disk, &op->meta, &op->image, dir, &op->launched, reterr);
}

static void prepare_work(void *data)
{
    struct nt_engine_op *op = data;
    op->work_failed = prepare(op, &op->work_error) < 0;
}

static void clean_work(void *data)
{
    struct nt_engine_op *op = data;
    const struct disk *disk = &op->engine->disk;
    limits_clear(op->id, 2000);
    if (op->undo) {
        op->work_failed = disk_discard(disk, op->id, &op->work_error) < 0;
        return;
    }
    nt_autoclose int dir = disk_lock(disk, op->id, &op->work_error);
    if (dir >= 0)
        disk_forget_guest(dir);
}

static void clean_done(void *data)
{
    struct nt_engine_op *op = data;
    if (op->undo && op->space)
        op->space->on_disk = op->work_failed;
    if (op->work_failed && !op->error.code)
        set_error(op, &op->work_error);
    op_end(op);
}

/* The last phase: nothing of the workspace runs any more. undo: its folder goes, too. */
static void clean(struct nt_engine_op *op, bool undo)
{
    op->phase = CLEANING;
    op->undo = undo;
    op->work_failed = false;
    if (op->loop_ops->work(op->loop, clean_work, clean_done, op) < 0) {
        op_fail(op, NT_E_MEMORY, "out of memory");
        op_end(op);
    }
}

/* --- records ------------------------------------------------------------------------------- */

static void record_work(void *data)
{
    struct nt_engine_op *op = data;
    nt_autoclose int dir = disk_lock(&op->engine->disk, op->id, &op->work_error);
    int status = dir < 0            ? -1
                 : op->kind == KEEP ? disk_write_record(dir, op->id, op->record, &op->work_error)
                                    : disk_read_record(dir, &op->record, &op->work_error);
    op->work_failed = status < 0;
}

static void run_record(struct nt_engine_op *op)
{
    op->phase = CLEANING;
    op->work_failed = false;
    if (op->loop_ops->work(op->loop, record_work, clean_done, op) < 0) {
        op_fail(op, NT_E_MEMORY, "out of memory");
        op_end(op);
    }
}

/* --- starting ------------------------------------------------------------------------------ */

static void debug_time(struct nt_engine_op *op)
{
    char text[160];
    struct nt_engine_host *host = &op->engine->host;
    if (!host->debug)
        return;
    int64_t now = op->loop_ops->now_ms(op->loop);
    snprintf(text, sizeof(text), "id=%s prepare_ms=%lld launch_ms=%lld", op->id,
             (long long)(op->prepared_ms - op->begun_ms), (long long)(now - op->prepared_ms));
    host->debug(host->data, "engine.started", text);
}

static void launch_check(struct nt_engine_op *op)
{
    struct nt_error error = NT_ERROR_INIT;
    struct space *s = op->space;
    if (!op->is_running || !op->is_ready)
        return;
    if (op->meta.flags & NT_SPEC_REQUIRE_LIMITS
        && check_limits(&op->meta, &op->strength, true, &error) < 0) {
        set_error(op, &error);
        launch_give_up(op);
        return;
    }
    s->running = true;
    s->strength = op->strength;
    memcpy(s->notice, op->notice, sizeof(s->notice));
    if (op->listener >= 0)
        space_listen(s, nt_take_fd(op->listener));
    debug_time(op);
    op_end(op);
}

/* Kills what was launched; when it is gone, cleaning follows. */
static void launch_give_up(struct nt_engine_op *op)
{
    struct space *s = op->space;
    struct nt_engine *e = op->engine;
    op->phase = ENDING;
    quiet(op); /* the launcher, too: what is half built dies with it */
    if (s->pidfd >= 0 && s->pid_watch) {
        syscall(SYS_pidfd_send_signal, s->pidfd, SIGKILL, NULL, 0);
        return; /* op_guest_ended */
    }
    (void)e;
    clean(op, op->made);
}

static void take_failure(struct nt_engine_op *op, const struct launch_report *r)
{
    struct nt_error error = NT_ERROR_INIT;
    nt_fail_sys(&error, r->sys, "cannot start workspace %s: step '%s'", op->id, r->step);
    error.code = NT_E_UNAVAILABLE;
    if (r->message[0])
        nt_hint(&error, "%s", r->message);
    set_error(op, &error);
}

/* Reads reports until there are no more; true: the call has failed or ended. */
static bool read_reports(struct nt_engine_op *op)
{
    struct launch_report r;
    int fd, n;
    while ((n = launch_read(op->launched.report_fd, &r, &fd)) == 1) {
        if (r.kind == REPORT_PIDFD && fd >= 0 && op->space->pidfd < 0) {
            op->space->pid = r.pid;
            if (space_watch(op->space, nt_take_fd(fd)) < 0) {
                op_fail(op, NT_E_MEMORY, "out of memory");
                return true;
            }
        } else if (r.kind == REPORT_LISTENER && fd >= 0 && op->listener < 0) {
            op->listener = nt_take_fd(fd);
        } else if (r.kind == REPORT_RUNNING) {
            op->is_running = true;
            op->strength = (struct limits_strength){ r.limit_cpu, r.limit_memory, r.limit_pids };
        } else if (r.kind == REPORT_FAILED) {
            take_failure(op, &r);
        }
        if (fd >= 0)
            close(fd);
        if (op->error.code)
            return true;
    }
    if (n < 0) {
        end_watch(op, &op->report_watch);
        if (!op->is_running) {
            op_fail(op, NT_E_UNAVAILABLE, "nanoterm-launch has ended without a report");
            return true;
        }
    }
    return false;
}

static void on_report(void *data, int fd, uint32_t events)
{
    struct nt_engine_op *op = data;
    (void)fd;
    (void)events;
    if (read_reports(op))
        launch_give_up(op);
    else
        launch_check(op);
}

static void on_ready(void *data, int fd, uint32_t events)
{
    struct nt_engine_op *op = data;
    char byte = 0;
    (void)events;
    ssize_t n = read(fd, &byte, 1);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    end_watch(op, &op->ready_watch);
    if (n == 1 && byte == 'R') {
        op->is_ready = true;
        launch_check(op);
        return;
    }
    /* All writing ends are closed. Why is in a report, or seen when the process ends. */
    if (read_reports(op) || op->is_running) {
        op_fail(op, NT_E_UNAVAILABLE, "the guest has ended before it was ready");
        launch_give_up(op);
    }
}

static void on_launcher_end(void *data, int fd, uint32_t events)
{
    struct nt_engine_op *op = data;
    (void)fd;
    (void)events;
    end_watch(op, &op->launcher_watch);
    if (waitpid(op->launched.pid, NULL, WNOHANG) == op->launched.pid)
        op->launched.pid = 0;
}

static void prepare_done(void *data)
{
    struct nt_engine_op *op = data;
    struct space *s = op->space;
    op->prepared_ms = op->loop_ops->now_ms(op->loop);
    op->phase = LAUNCHING;
    if (op->made)
        s->on_disk = true;
    if (op->engine->closed) {
        /* quiet() ends the launcher; a guest that runs already is found by the next engine */
        op_end(op);
        return;
    }
    if (op->work_failed)
        set_error(op, &op->work_error);
    else
        s->meta = op->meta;
    if (op->error.code) {
        launch_give_up(op);
        return;
    }
    op->launcher_fd = (int)syscall(SYS_pidfd_open, op->launched.pid, 0);
    if (op->launcher_fd >= 0)
        op->launcher_watch =
            op->loop_ops->watch(op->loop, op->launcher_fd, NT_READABLE, on_launcher_end, op);
    op->report_watch =
        op->loop_ops->watch(op->loop, op->launched.report_fd, NT_READABLE, on_report, op);
    op->ready_watch =
        op->loop_ops->watch(op->loop, op->launched.ready_fd, NT_READABLE, on_ready, op);
    if (!op->report_watch || !op->ready_watch) {
        op_fail(op, NT_E_MEMORY, "out of memory");
        launch_give_up(op);
    }
}

static void launch(struct nt_engine_op *op)
{
    op->phase = PREPARING;
    op->begun_ms = op->loop_ops->now_ms(op->loop);
    if (op->loop_ops->work(op->loop, prepare_work, prepare_done, op) < 0) {
        op_fail(op, NT_E_MEMORY, "out of memory");
        op_end(op);
    }
}

/* --- ending -------------------------------------------------------------------------------- */

static void kill_guest(struct nt_engine_op *op)
{
    if (op->space->pidfd >= 0)
        syscall(SYS_pidfd_send_signal, op->space->pidfd, SIGKILL, NULL, 0);
}

static void on_kill_time(void *data)
{
    struct nt_engine_op *op = data;
    op_end_timer(op, &op->kill_timer);
    kill_guest(op);
}

static void on_shutdown(void *data, uint16_t type, int fd)
{
    struct nt_engine_op *op = data;
    op->talk = NULL;
    if (fd >= 0)
        close(fd);
    /* OK: it ends by itself, now. Anything else: it does not understand, or is stuck. */
    if (type != NT_G_OK)
        kill_guest(op);
}

static void end_guest(struct nt_engine_op *op)
{
    uint8_t memory[64];
    struct nt_error error = NT_ERROR_INIT;
    op->phase = ENDING;
    /* Also without grace a stop is the guest's: its programs die at once, but how they ended is
     * written down. Of what is removed nobody reads that. */
    bool is_asked = op->grace_ms > 0 || op->kind == STOP;
    int fd = is_asked ? launch_connect(&op->engine->disk, op->id, &error) : -1;
    if (fd >= 0) {
        struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_SHUTDOWN);
        nt_g_add_number(&w, NT_GT_TIMEOUT_MS, (uint64_t)op->grace_ms);
        size_t size = nt_g_done(&w);
        op->talk = talk_new(op->loop, fd, (struct nt_bytes){ memory, size }, op->grace_ms + 2500,
                            on_shutdown, op);
        /* A guest that answers OK and stays is killed, too. */
        op->kill_timer = op->loop_ops->timer(op->loop, op->grace_ms + 3000, 0, on_kill_time, op);
    }
    if (!op->talk || !op->kill_timer)
        kill_guest(op);
}

bool op_guest_ended(struct nt_engine_op *op)
{
    switch (op->phase) {
    case LAUNCHING:
        if (!read_reports(op))
            op_fail(op, NT_E_UNAVAILABLE, "the guest has ended before it was ready");
        launch_give_up(op);
        return true;
    case ENDING:
        op_end_timer(op, &op->kill_timer);
        talk_free(op->talk);
        op->talk = NULL;
        op->space->running = false;
        clean(op, op->kind == REMOVE || (op->kind == CREATE && op->made));
        return true;
    default:
        return false;
    }
}

/* --- running ------------------------------------------------------------------------------- */

static void run_create(struct nt_engine_op *op)
{
    struct space *s = op->space;
    if (s->on_disk && strcmp(s->meta.key, op->key) != 0) {
        op_fail(op, NT_E_CONFLICT, "a workspace of that id is there already");
        op_end(op);
        return;
    }
    if (s->running) {
        op_end(op); /* the same create again */
        return;
    }
    op->is_new = !s->on_disk;
    if (s->on_disk)
        op->meta = s->meta;
    launch(op);
}

static void op_run(struct nt_engine_op *op)
{
    struct space *s = op->space;
    if (op->error.code) { /* given up while it waited */
        op_end(op);
        return;
    }
    if (op->kind == CREATE) {
        run_create(op);
        return;
    }
    if (op->kind == CLEAR) {
        if (s->running || !s->on_disk) /* another call was faster */
            op_end(op);
        else
            clean(op, false);
        return;
    }
    if (!s->on_disk) {
        if (op->kind != REMOVE)
            op_fail(op, NT_E_NOT_FOUND, "there is no such workspace");
        op_end(op);
        return;
    }
    switch (op->kind) {
    case KEEP:
    case RECALL:
        run_record(op);
        return;
    case START:
        if (s->damaged)
            op_fail(op, NT_E_INTERNAL, "the workspace's description on disk is damaged");
        if (s->running || s->damaged) {
            op_end(op);
            return;
        }
        op->meta = s->meta;
        launch(op);
        return;
    case STOP:
        if (s->running)
            end_guest(op);
        else
            op_end(op);
        return;
    default:
        if (s->running)
            end_guest(op);
        else
            clean(op, true);
        return;
    }
}
