/* SPDX-License-Identifier: Apache-2.0 */
/* engine.c - the engine "native": workspaces as processes of this machine, in namespaces of their
 * own.
 *
 * Here: the table of functions, calls in flight and their order. One call at a time per workspace,
 * the others wait in its queue. What takes time runs on a worker (job.c's phases); what is waited
 * for is a descriptor in the loop. */
#include "engine_state.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "limits.h"
#include "nanoterm/plugin.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

/* --- workspaces ---------------------------------------------------------------------------- */

struct space *space_find(struct nt_engine *e, const char *id)
{
    for (struct space *s = e->spaces; s; s = s->next)
        if (strcmp(s->meta.id, id) == 0)
            return s;
    return NULL;
}

struct space *space_new(struct nt_engine *e, const char *id)
{
    struct space *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->engine = e;
    s->pidfd = s->listener = -1;
    nt_copy_text(s->meta.id, sizeof(s->meta.id), id);
    s->next = e->spaces;
    e->spaces = s;
    return s;
}

/* Ends all that is watched; the guest lives on. */
static void space_quiet(struct space *s)
{
    const struct nt_loop_ops *ops = s->engine->host.loop->ops;
    ops->watch_end(s->pid_watch);
    ops->watch_end(s->listener_watch);
    talk_free(s->asking);
    s->pid_watch = s->listener_watch = NULL;
    s->asking = NULL;
    if (s->pidfd >= 0)
        close(s->pidfd);
    if (s->listener >= 0)
        close(s->listener);
    s->pidfd = s->listener = -1;
}

void space_free(struct space *s)
{
    struct space **at = &s->engine->spaces;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    space_quiet(s);
    free(s);
}

void space_state(const struct space *s, struct nt_engine_state *ret)
{
    *ret = (struct nt_engine_state){ .size = sizeof(*ret),
                                     .state = s->on_disk ? NT_WS_STOPPED : NT_WS_ABSENT };
    nt_copy_text(ret->id, sizeof(ret->id), s->meta.id);
    nt_copy_text(ret->base, sizeof(ret->base), s->meta.base);
    nt_copy_text(ret->notice, sizeof(ret->notice), s->notice);
    if (!s->running)
        return;
    ret->state = NT_WS_RUNNING;
    ret->limit_cpu = s->strength.cpu;
    ret->limit_memory = s->strength.memory;
    ret->limit_pids = s->strength.pids;
    snprintf(ret->location, sizeof(ret->location), "pid %lld on this machine", (long long)s->pid);
}

static void on_listener(void *data, int fd, uint32_t events)
{
    struct space *s = data;
    (void)events;
    /* A few at a time: one flooding workspace must not starve the loop. */
    for (int i = 0; i < 16; i++) {
        int taken = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (taken < 0) {
            if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
                return;
            /* Out of descriptors, or broken: a level-triggered watch would spin. */
            s->engine->host.loop->ops->watch_end(s->listener_watch);
            s->listener_watch = NULL;
            return;
        }
        struct nt_error error = NT_ERROR_INIT;
        struct nt_stream *stream = stream_new(s->engine->host.loop, taken, NT_STREAM_FD, &error);
        if (!stream)
            return;
        stream_offer(stream, &s->engine->host, s->meta.id);
    }
}

/* The descriptor came from inside: only a listening TCP socket is what it should be. */
static bool is_listener(int fd)
{
    int value = 0;
    socklen_t size = sizeof(value);
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &size) < 0 || value != 1)
        return false;
    size = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &value, &size) == 0 && value == AF_INET;
}

void space_listen(struct space *s, int fd)
{
    if (s->listener >= 0 || !s->engine->host.accept_stream || !is_listener(fd)
        || fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
        close(fd);
        return;
    }
    s->listener = fd;
    s->listener_watch =
        s->engine->host.loop->ops->watch(s->engine->host.loop, fd, NT_READABLE, on_listener, s);
}

/* The guest has ended. With a call at work on it that call goes on from here. */
static void on_guest_end(void *data, int fd, uint32_t events)
{
    struct space *s = data;
    (void)fd;
    (void)events;
    bool was_running = s->running;
    space_quiet(s);
    s->running = false;
    if (s->current && op_guest_ended(s->current))
        return;
    op_clear(s);
    if (was_running && s->engine->host.event) {
        /* It is not our child: its status is not to be had. */
        struct nt_engine_event event = { .size = sizeof(event),
                                         .kind = NT_ENGINE_EVENT_STOPPED,
                                         .id = s->meta.id,
                                         .reason = disk_end_reason(&s->engine->disk, s->meta.id) };
        s->engine->host.event(s->engine->host.data, &event);
    }
}

int space_watch(struct space *s, int pidfd)
{
    s->pidfd = pidfd;
    s->pid_watch =
        s->engine->host.loop->ops->watch(s->engine->host.loop, pidfd, NT_READABLE, on_guest_end, s);
    return s->pid_watch ? 0 : -1;
}

static void on_recovered(void *data, uint16_t type, int fd)
{
    struct space *s = data;
    s->asking = NULL;
    if (fd < 0)
        return;
    if (type == NT_G_OK)
        space_listen(s, fd);
    else
        close(fd);
}

/* After a restart of the server: the guest has kept the listener of its way out. */
static void recover_listener(struct space *s)
{
    uint8_t memory[64];
    struct nt_error error = NT_ERROR_INIT;
    int fd = launch_connect(&s->engine->disk, s->meta.id, &error);
    if (fd < 0)
        return;
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_LISTENER);
    size_t size = nt_g_done(&w);
    s->asking = talk_new(s->engine->host.loop, fd, (struct nt_bytes){ memory, size }, 10000,
                         on_recovered, s);
}

static void find_space(void *data, const char *id)
{
    struct nt_engine *e = data;
    struct nt_error error = NT_ERROR_INIT;
    struct record record;
    struct space *s = space_new(e, id);
    if (!s)
        return;
    s->on_disk = true;
    nt_autoclose int dir = disk_lock(&e->disk, id, &error);
    if (dir < 0 || disk_read_meta(dir, &s->meta, &error) < 0 || strcmp(s->meta.id, id) != 0) {
        s->meta = (struct meta){ .flags = 0 };
        nt_copy_text(s->meta.id, sizeof(s->meta.id), id);
        nt_copy_text(s->notice, sizeof(s->notice),
                     "its description on disk is damaged: it can only be removed");
        s->damaged = true;
    }
    int pidfd = dir < 0 ? -1 : disk_find_guest(dir, &record);
    if (pidfd < 0) {
        if (dir >= 0 && disk_has_guest(dir)) /* it ended while no server was there */
            op_clear(s);
        return;
    }
    s->pid = record.pid;
    s->strength = record.strength;
    if (space_watch(s, pidfd) < 0)
        return;
    s->running = true;
    if (s->meta.flags & NT_SPEC_WAY_OUT)
        recover_listener(s);
}

/* --- the table ----------------------------------------------------------------------------- */

static void sweep_work(void *data)
{
    struct nt_engine *e = data;
    struct nt_error error = NT_ERROR_INIT;
    disk_empty_trash(&e->disk, &error); /* what fails is tried again at the next start */
}

void engine_unref(struct nt_engine *e)
{
    if (--e->refs > 0)
        return;
    disk_done(&e->disk);
    free(e);
}

static void sweep_done(void *data)
{
    engine_unref(data);
}

static int engine_open(const struct nt_engine_host *host, struct nt_engine **ret,
                       struct nt_error *reterr)
{
    if (sodium_init() < 0)
        return nt_fail(reterr, NT_E_SYSTEM, "libsodium cannot start");
    struct nt_engine *e = calloc(1, sizeof(*e));
    if (!e)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    e->refs = 1;
    e->disk.data_fd = -1;
    memcpy(&e->host, host, host->size < sizeof(e->host) ? host->size : sizeof(e->host));
    if (disk_open(host, &e->disk, reterr) < 0 || disk_each(&e->disk, find_space, e, reterr) < 0) {
        while (e->spaces)
            space_free(e->spaces);
        engine_unref(e);
        return -1;
    }
    e->refs++;
    if (host->loop->ops->work(host->loop, sweep_work, sweep_done, e) < 0)
        e->refs--;
    *ret = e;
    return 0;
}

static void engine_close(struct nt_engine *e)
{
    e->closed = true;
    for (struct space *s = e->spaces; s; s = s->next)
        op_close_all(s);
    op_close_loose(e);
    struct space *next;
    for (struct space *s = e->spaces; s; s = next) {
        next = s->next;
        if (s->current)
            space_quiet(s); /* freed when its worker has come back */
        else
            space_free(s);
    }
    engine_unref(e);
}

static void engine_abilities(struct nt_engine *e, struct nt_engine_state *ret)
{
    struct limits_strength strength;
    (void)e;
    limits_probe(&strength);
    struct nt_engine_state state = { .size = sizeof(state),
                                     .limit_cpu = strength.cpu,
                                     .limit_memory = strength.memory,
                                     .limit_pids = strength.pids };
    uint32_t size = ret->size && ret->size < sizeof(state) ? ret->size : (uint32_t)sizeof(state);
    memcpy(ret, &state, size);
    ret->size = size;
}

static int engine_open_stream(struct nt_engine *e, const char *id,
                              const struct nt_stream_events *events, void *data,
                              struct nt_error *reterr)
{
    struct space *s = space_find(e, id);
    if (!s)
        return nt_fail(reterr, NT_E_NOT_FOUND, "there is no workspace %s", id);
    if (!s->running)
        return nt_fail(reterr, NT_E_CONFLICT, "workspace %s is stopped", id);
    int fd = launch_connect(&e->disk, id, reterr);
    if (fd < 0)
        return -1;
    struct nt_stream *stream =
        stream_new(e->host.loop, fd, NT_STREAM_FD | NT_STREAM_PASS_FDS, reterr);
    return stream ? stream_handle(stream, events, data, true, reterr) : -1;
}

static const struct nt_engine_ops ops = {
    .size = sizeof(ops),
    .caps = NT_ENGINE_LOCAL_FD | NT_ENGINE_PASS_FDS | NT_ENGINE_IMAGE_HOST | NT_ENGINE_IMAGE_TAR
            | NT_ENGINE_WAY_OUT | NT_ENGINE_KEEP,
    .open = engine_open,
    .close = engine_close,
    .create = op_create,
    .start = op_start,
    .stop = op_stop,
    .remove = op_remove,
    .inspect = op_inspect,
    .list = op_list,
    .cancel = op_cancel,
    .open_stream = engine_open_stream,
    .abilities = engine_abilities,
    .keep = op_keep,
    .recall = op_recall,
};

static const struct nt_service services[] = { { NT_ENGINE_SERVICE, "native", &ops } };
static const struct nt_plugin plugin = {
    NT_PLUGIN_HEAD,
    .name = "engine-native",
    .version = NT_VERSION,
    .summary = "Workspaces on this machine, without a daemon",
    .services = NT_TABLE(services),
};
NT_PLUGIN(plugin);
