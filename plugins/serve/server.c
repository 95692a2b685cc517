/* SPDX-License-Identifier: Apache-2.0 */
/* server.c - the life of a server: opens what it needs in order (server_parts.c, server_listen.c),
 * serves until it is asked to stop or has nothing to do, and ends it all in the opposite order.
 *
 * Its end: no new connections; what was accepted is finished (10 s at the most); then listeners,
 * way out, engine, store and loop, each waited for. Workspaces live on. */
#include "server.h"

#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "plugins/serve/api/sandbox_watch.h"
#include "plugins/serve/handover.h"
#include "plugins/serve/life.h"
#include "plugins/serve/ports.h"
#include "plugins/serve/store/store.h"
#include "plugins/serve/uploads/uploads.h"
#include "plugins/serve/way-out/way_out.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define DRAIN_MS 10000

int64_t server_unix_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void life_say(const struct life *life, const char *format, ...)
{
    char line[4600];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (life->options.say)
        life->options.say(life->options.data, line);
}

void life_debug(void *data, const char *event, const char *fields)
{
    const struct life *life = data;
    if (life->options.debug)
        life->options.debug(life->options.data, event, fields);
}

void server_wake(struct server *server)
{
    uv_async_send(&life_of(server)->wake);
}

/* --- being idle ---------------------------------------------------------------------------- */

static uint32_t connections(const struct server *server)
{
    uint32_t open = 0;
    for (const struct listener *l = server->listeners; l; l = l->next)
        open += net_server_connections(l->net);
    return open;
}

static bool is_at_work(const struct server *server)
{
    return server->exchanges > 0 || server->acts || server->guest_ops > 0
           || uploads_is_at_work(server) || store_in_flight(server->store) > 0;
}

static bool is_busy(const struct server *server)
{
    return connections(server) > 0 || is_at_work(server) || server->internet
           || (server->way_out && way_out_connections(server->way_out) > 0);
}

static void on_idle(void *data)
{
    struct life *life = data;
    struct server *server = &life->server;
    int64_t now = server->loop->ops->now_ms(server->loop);
    if (is_busy(server))
        server->idle_since_ms = now;
    else if (now - server->idle_since_ms >= life->options.idle_ms)
        server_stop(server);
}

static int watch_idle(struct life *life, struct nt_error *reterr)
{
    struct server *server = &life->server;
    if (life->options.idle_ms <= 0)
        return 0;
    int64_t step = life->options.idle_ms / 4;
    step = step < 20 ? 20 : step > 15000 ? 15000 : step;
    server->idle_since_ms = server->loop->ops->now_ms(server->loop);
    life->idle = server->loop->ops->timer(server->loop, step, step, on_idle, life);
    return life->idle ? 0 : nt_fail(reterr, NT_E_MEMORY, "no memory for a timer");
}

/* --- stopping ------------------------------------------------------------------------------ */

static void on_drain_over(void *data)
{
    struct life *life = data;
    life->drained = true;
    server_wake(&life->server);
}

void server_stop(struct server *server)
{
    struct life *life = life_of(server);
    if (server->stopping)
        return;
    server->stopping = true;
    life_debug(life, "serve.stopping", "");
    bool keep = server->handing_over && !life->options.given;
    /* before the listener goes: whoever comes now begins again */
    if (!server->handing_over && life->options.given)
        life->options.given->leave();
    else if (!server->handing_over)
        embedded_unlink(&life->embedded);
    sandbox_watch_end(server);
    life->drain = server->loop->ops->timer(server->loop, DRAIN_MS, 0, on_drain_over, life);
    if (!life->drain)
        life->drained = true;
    for (struct listener *l = server->listeners; l; l = l->next) {
        int fd = net_server_stop(l->net, keep && l->is_embedded);
        if (fd >= 0)
            handover_keep_listener(fd);
    }
    server_wake(server);
}

int server_hand_over(struct server *server, const char *program, struct nt_error *reterr)
{
    const struct server_given *given = server->options->given;
    if (given) {
        if (given->handover(program, reterr) < 0)
            return -1;
    } else {
        server->handover_fd = handover_open(program, reterr);
        if (server->handover_fd < 0)
            return -1;
    }
    server->handing_over = true;
    return 0;
}

static void on_signal(void *data, int signo, uint32_t zero)
{
    struct life *life = life_of(data);
    struct nt_error error = NT_ERROR_INIT;
    (void)zero;
    if (signo != SIGHUP || !life->server.tls)
        server_stop(data);
    else if (!life->options.given && server_read_tls(life, &error) < 0)
        life_say(life, "The certificate stays as it was: %s", error.message);
}

static int watch_signals(struct life *life, struct nt_error *reterr)
{
    struct server *server = &life->server;
    static const int stops[] = { SIGTERM, SIGINT, SIGHUP };
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < 3; i++) {
        if (stops[i] == SIGHUP && life->options.embedded) {
            signal(SIGHUP, SIG_IGN);
            continue;
        }
        life->signals[i] = server->loop->ops->signal(server->loop, stops[i], on_signal, server);
        if (!life->signals[i])
            return nt_fail(reterr, NT_E_MEMORY, "no memory for a signal");
    }
    return 0;
}

/* --- its course ---------------------------------------------------------------------------- */

/* From listening to having drained. */
static int serve(struct life *life, struct nt_error *reterr)
{
    struct server *server = &life->server;
    const struct server_given *given = life->options.given;
    if (given && given->begin(server->loop, server_stop, server, reterr) < 0)
        return -1;
    if (watch_signals(life, reterr) < 0 || parts_open(life, reterr) < 0
        || parts_reconcile(life, reterr) < 0 || server_listen(life, reterr) < 0
        || watch_idle(life, reterr) < 0)
        return -1;
    life_debug(life, "serve.ready", "");
    while (!server->stopping || (!life->drained && (connections(server) > 0 || is_at_work(server))))
        uv_run(&life->uv, UV_RUN_ONCE);
    return 0;
}

void server_refuse(const struct nt_error *error)
{
    struct embedded embedded = EMBEDDED_INIT;
    embedded_claim(&embedded);
    embedded_failed(&embedded, error);
}

int server_run(const struct server_options *options, struct nt_error *reterr)
{
    if (sodium_init() < 0)
        return nt_fail(reterr, NT_E_INTERNAL, "libsodium does not start");
    nt_autofree struct life *life = calloc(1, sizeof(*life));
    if (!life)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for the server");
    life->options = *options;
    life->embedded = (struct embedded)EMBEDDED_INIT;
    life->data_lock = -1;
    life->server = (struct server){
        .engine_ops = options->engine_ops,
        .engine_name = options->engine_name,
        .data_dir = options->data_dir,
        .embedded = options->embedded,
        .options = &life->options,
        .handover_fd = -1,
        .owner = options->given ? options->given->owner : geteuid(),
    };
    const struct server_given *given = options->given;
    umask(077);
    if (given)
        nt_copy_text(life->server.local_token, sizeof(life->server.local_token), given->token);
    else if (options->embedded && options->listen_fd < 0)
        embedded_claim(&life->embedded);
    bool has_socket = options->listen_count == 0 && !given;
    int status = 0;
    if (!given && embedded_is_in_workspace())
        status = nt_fail(reterr, NT_E_FORBIDDEN, "a server cannot run inside a workspace");
    if (status == 0 && has_socket)
        status = embedded_begin(&life->embedded, options, life->server.local_token, reterr);
    if (status == 0 && !given && chdir("/") < 0)
        status = nt_fail_sys(reterr, errno, "cannot go to /");
    if (status == 0)
        status = parts_open_loop(life, reterr);
    if (status == 0) {
        status = serve(life, reterr);
        if (status < 0) {
            embedded_failed(&life->embedded, reterr);
            embedded_unlink(&life->embedded);
            parts_finish_asked(life);
        }
        parts_close(life);
        parts_close_loop(life);
        ports_forget(&life->server);
        uploads_free(&life->server);
        if (status == 0 && life->server.handover_fd >= 0)
            status = handover_exec(&life->options, life->server.handover_fd, life->embedded.lock_fd,
                                   reterr);
        if (status < 0)
            embedded_unlink(&life->embedded);
    } else {
        embedded_failed(&life->embedded, reterr);
    }
    nt_closep(&life->data_lock);
    nt_closep(&life->server.handover_fd);
    embedded_done(&life->embedded);
    sodium_memzero(life->server.url_key, sizeof(life->server.url_key));
    sodium_memzero(life->server.local_token, sizeof(life->server.local_token));
    return status;
}
