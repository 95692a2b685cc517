/* SPDX-License-Identifier: Apache-2.0 */
/* server.c - the life of a server: opens what it needs in order, serves, and ends it all in the
 * opposite order.
 *
 * Its end: no new connections; what was accepted is finished (10 s at the most); then listeners,
 * way out, engine, store and loop, each waited for. Workspaces live on. */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "plugins/serve/api/cli_auth.h"
#include "plugins/serve/api/file_urls.h"
#include "plugins/serve/api/sandbox_watch.h"
#include "plugins/serve/act.h"
#include "plugins/serve/handover.h"
#include "plugins/serve/health.h"
#include "plugins/serve/listen.h"
#include "plugins/serve/ports.h"
#include "plugins/serve/store/store.h"
#include "plugins/serve/tls_files.h"
#include "plugins/serve/uploads/uploads.h"
#include "plugins/serve/way-out/way_out.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define DRAIN_MS 10000
#define CLOSE_MS 5000

/* What only this file needs. */
struct life {
    struct server server; /* first */
    struct server_options options;
    struct embedded embedded;
    uv_loop_t uv;
    uv_prepare_t prepare; /* buries dead exchanges before the loop sleeps */
    uv_async_t wake;
    struct nt_watch *signals[3];
    struct nt_timer *idle, *drain;
    char engine_dir[4096];
    struct nt_error reconcile_error;
    int data_lock;
    bool drained; /* time for it is over */
    unsigned closing;
};

int64_t server_unix_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static struct life *life_of(struct server *server)
{
    return (struct life *)server;
}

void server_wake(struct server *server)
{
    uv_async_send(&life_of(server)->wake);
}

static void on_wake(uv_async_t *handle)
{
    (void)handle;
}

static void on_prepare(uv_prepare_t *handle)
{
    struct life *life = handle->data;
    exchange_bury(&life->server.dead_exchanges);
}

static void say(const struct life *life, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void say(const struct life *life, const char *format, ...)
{
    char line[4600];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (life->options.say)
        life->options.say(life->options.data, line);
}

static void debug(void *data, const char *event, const char *fields)
{
    const struct life *life = data;
    if (life->options.debug)
        life->options.debug(life->options.data, event, fields);
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
           || uploads_is_at_work(server)
           || store_in_flight(server->store) > 0;
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
    debug(life, "serve.stopping", "");
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

/* --- TLS ----------------------------------------------------------------------------------- */

int server_use_tls(struct server *server, const struct tls_files *files, struct nt_error *reterr)
{
    struct net_tls *tls = NULL;
    if (net_tls_new((struct nt_bytes){ files->certificates.data, files->certificates.size },
                    (struct nt_bytes){ files->key.data, files->key.size }, &tls, reterr)
        < 0)
        return -1;
    for (struct listener *l = server->listeners; l; l = l->next)
        if (l->tls)
            net_server_tls(l->net, tls);
    net_tls_free(server->tls);
    server->tls = tls;
    return 0;
}

static int read_tls(struct life *life, struct nt_error *reterr)
{
    nt_auto(tls_files_done) struct tls_files files = TLS_FILES_INIT;
    if (tls_files_read(life->options.tls_certificates, life->options.tls_key, &files, reterr) < 0)
        return -1;
    return server_use_tls(&life->server, &files, reterr);
}

static int begin_tls(struct life *life, struct nt_error *reterr)
{
    const struct server_given *given = life->options.given;
    if (given)
        return given->tls ? server_use_tls(&life->server, given->tls, reterr) : 0;
    return life->options.tls_certificates ? read_tls(life, reterr) : 0;
}

static void on_signal(void *data, int signo, uint32_t zero)
{
    struct life *life = life_of(data);
    struct nt_error error = NT_ERROR_INIT;
    (void)zero;
    if (signo != SIGHUP || !life->server.tls)
        server_stop(data);
    else if (!life->options.given && read_tls(life, &error) < 0)
        say(life, "The certificate stays as it was: %s", error.message);
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

/* --- the parts ----------------------------------------------------------------------------- */

static void on_engine_event(void *data, const struct nt_engine_event *event)
{
    workspaces_event(data, event);
}

static void on_accept_stream(void *data, const char *id, struct nt_stream *stream,
                             const struct nt_stream_events **ret_events, void **ret_data)
{
    struct server *server = data;
    struct nt_error error = NT_ERROR_INIT;
    (void)ret_events;
    (void)ret_data;
    int fd = server->way_out && !server->stopping ? stream->ops->take_fd(stream, &error) : -1;
    if (fd >= 0)
        way_out_accept(server->way_out, id, fd);
}

static bool has_internet(void *data, const char *workspace_id)
{
    return workspaces_has_internet(data, workspace_id);
}

static int open_engine(struct life *life, struct nt_error *reterr)
{
    struct server *server = &life->server;
    if (snprintf(life->engine_dir, sizeof(life->engine_dir), "%s/engine-%s", life->options.data_dir,
                 server->engine_name)
        >= (int)sizeof(life->engine_dir))
        return nt_fail(reterr, NT_E_LIMIT, "the path of the data folder is too long");
    if (!life->options.given
        && (folder_make(life->engine_dir, reterr) < 0
            || folder_make(life->options.runtime_dir, reterr) < 0))
        return -1;
    struct nt_engine_host host = {
        .size = sizeof(host),
        .loop = server->loop,
        .data_dir = life->engine_dir,
        .runtime_dir = life->options.runtime_dir,
        .libexec_dir = life->options.libexec_dir,
        .event = on_engine_event,
        .accept_stream = on_accept_stream,
        .debug = debug,
        .data = life, /* the server is its first member */
    };
    return server->engine_ops->open(&host, &server->engine, reterr);
}

static void tell_store(const struct life *life, const struct store_opened *opened)
{
    if (opened->origin == STORE_REBUILT)
        say(life,
            "The database was damaged: it is now %s%s, and a new one is made from the workspaces "
            "on the disk.",
            life->options.given ? "store/" : "", opened->moved_to);
    if (!life->options.embedded)
        say(life, "The owner's API key is in %s/owner.key%s", life->options.data_dir,
            opened->made_owner_key ? " (new)" : "");
}

static int open_parts(struct life *life, struct nt_error *reterr)
{
    struct server *server = &life->server;
    struct store_opened opened;
    const struct server_given *given = life->options.given;
    if (!given && folder_make(life->options.data_dir, reterr) < 0)
        return nt_wrap(reterr, "the data folder");
    if (!given) {
        life->data_lock = folder_lock(life->options.data_dir, reterr);
        if (life->data_lock < 0)
            return -1;
    }
    struct store_place place = { .dir = given ? STORE_HERE : life->options.data_dir,
                                 .owner_key = given ? given->owner_key : NULL };
    if (store_open(&life->uv, &place, &server->store, &opened, reterr) < 0)
        return -1;
    snprintf(server->owner_org, sizeof(server->owner_org), "%s", opened.owner_org);
    tell_store(life, &opened);
    if (file_url_key_load(place.dir, server->url_key, reterr) < 0
        || uploads_open(server, place.dir, reterr) < 0)
        return -1;
    struct way_out_options way_out = { .has_internet = has_internet,
                                       .debug = NULL,
                                       .data = server };
    if (way_out_new(&life->uv, &way_out, &server->way_out, reterr) < 0)
        return -1;
    return open_engine(life, reterr);
}

static void on_reconciled(struct server *server, const struct nt_error *error)
{
    if (error)
        life_of(server)->reconcile_error = *error;
    else
        ports_reconcile(server);
    server_wake(server);
}

/* Nobody is served before it is known what there is. */
static int reconcile(struct life *life, struct nt_error *reterr)
{
    life->reconcile_error = (struct nt_error)NT_ERROR_INIT;
    workspaces_reconcile(&life->server, on_reconciled);
    while (!life->server.reconciled)
        uv_run(&life->uv, UV_RUN_ONCE);
    if (!life->reconcile_error.code)
        return 0;
    *reterr = life->reconcile_error;
    return nt_wrap(reterr, "looking for the workspaces there are");
}

static int listen_given(struct server *server, const struct server_given *given,
                        struct nt_error *reterr)
{
    for (uint32_t i = 0; i < given->listener_count; i++)
        if (listen_serve(server, given->listener_fds[i], &given->listeners[i], reterr) < 0)
            return -1;
    given->ready();
    return 0;
}

static int listen_own(struct life *life, struct nt_error *reterr)
{
    struct server *server = &life->server;
    struct listener like;
    for (uint32_t i = 0; i < life->options.listen_count; i++) {
        int fd = listen_bind(life->options.listens[i], &life->options, &like, reterr);
        if (fd < 0 || listen_serve(server, fd, &like, reterr) < 0)
            return -1;
    }
    if (life->options.listen_count > 0)
        return 0;
    int fd = embedded_bind(&life->embedded, life->options.runtime_dir, life->options.listen_fd,
                           &like, reterr);
    return fd < 0 || listen_serve(server, fd, &like, reterr) < 0
               ? -1
               : embedded_name(&life->embedded, reterr);
}

/* Of listeners beyond the embedded one, which needs none. */
static int begin_logins(struct life *life, struct nt_error *reterr)
{
    const struct server_given *given = life->options.given;
    bool has_tcp = false;
    for (uint32_t i = 0; given && i < given->listener_count; i++)
        has_tcp = has_tcp || !given->listeners[i].is_unix;
    for (uint32_t i = 0; !given && i < life->options.listen_count; i++)
        has_tcp = has_tcp || strncmp(life->options.listens[i], "unix:", 5) != 0;
    if (!has_tcp)
        return 0;
    if (cli_auth_begin(&life->server, given ? STORE_HERE : life->options.data_dir, reterr) < 0)
        return -1;
    say(life, "The code to sign `nanoterm auth login` in with is in %s%s/sign-in",
        life->options.data_dir, given ? "/store" : "");
    return 0;
}

static int listen_all(struct life *life, struct nt_error *reterr)
{
    int status = begin_tls(life, reterr);
    if (status == 0)
        status = begin_logins(life, reterr);
    if (status == 0)
        status = life->options.given ? listen_given(&life->server, life->options.given, reterr)
                                     : listen_own(life, reterr);
    for (const struct listener *l = life->server.listeners; status == 0 && l; l = l->next)
        say(life, "Listening on %s", l->text);
    return status;
}

/* --- the end ------------------------------------------------------------------------------- */

static void on_part_closed(void *data)
{
    struct life *life = data;
    life->closing--;
}

static void run_until_closed(struct life *life)
{
    while (life->closing > 0)
        uv_run(&life->uv, UV_RUN_ONCE);
}

static void close_parts(struct life *life)
{
    struct server *server = &life->server;
    if (life->idle) /* it would count connections of listeners that are gone */
        server->loop->ops->timer_end(life->idle);
    life->idle = NULL;
    for (struct listener *l = server->listeners; l; l = l->next) {
        life->closing++;
        net_server_free(l->net, on_part_closed, life);
    }
    run_until_closed(life);
    if (server->way_out) {
        life->closing++;
        way_out_free(server->way_out, on_part_closed, life);
        run_until_closed(life);
    }
    health_close(server);
    uploads_close(server);
    if (server->engine)
        server->engine_ops->close(server->engine);
    if (server->store) {
        life->closing++;
        store_close(server->store, on_part_closed, life);
        run_until_closed(life);
    }
    if (life->options.given)
        life->options.given->end();
    exchange_bury(&server->dead_exchanges);
    while (server->listeners) {
        struct listener *next = server->listeners->next;
        free(server->listeners);
        server->listeners = next;
    }
    net_tls_free(server->tls);
    server->tls = NULL;
    workspaces_forget(server);
    cli_auth_end(server);
}

static void on_close_limit(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

static void close_loop(struct life *life)
{
    struct server *server = &life->server;
    if (server->loop) {
        for (size_t i = 0; i < 3; i++)
            server->loop->ops->watch_end(life->signals[i]);
        server->loop->ops->timer_end(life->idle);
        server->loop->ops->timer_end(life->drain);
        life->closing++;
        net_loop_free(server->loop, on_part_closed, life);
        run_until_closed(life);
    }
    uv_close((uv_handle_t *)&life->prepare, NULL);
    uv_close((uv_handle_t *)&life->wake, NULL);
    /* What others still have to close must not keep the process for ever. */
    uv_timer_t limit;
    uv_timer_init(&life->uv, &limit);
    uv_timer_start(&limit, on_close_limit, CLOSE_MS, 0);
    uv_unref((uv_handle_t *)&limit);
    uv_run(&life->uv, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&limit, NULL);
    uv_run(&life->uv, UV_RUN_NOWAIT);
    if (uv_loop_close(&life->uv) < 0)
        debug(life, "serve.loop_not_empty", "");
}

static int open_loop(struct life *life, struct nt_error *reterr)
{
    int status = uv_loop_init(&life->uv);
    if (status < 0)
        return nt_fail_sys(reterr, -status, "cannot make the event loop");
    life->prepare.data = life;
    life->wake.data = life;
    uv_prepare_init(&life->uv, &life->prepare);
    uv_prepare_start(&life->prepare, on_prepare);
    status = uv_async_init(&life->uv, &life->wake, on_wake);
    if (status < 0) {
        uv_close((uv_handle_t *)&life->prepare, NULL);
        uv_run(&life->uv, UV_RUN_DEFAULT);
        uv_loop_close(&life->uv);
        return nt_fail_sys(reterr, -status, "cannot make the event loop");
    }
    life->server.uv = &life->uv;
    life->server.loop = net_loop_new(&life->uv, reterr);
    if (life->server.loop)
        return 0;
    close_loop(life);
    return -1;
}

/* A start that failed half way: what was asked of the store still gets its answer, as who asked
 * waits for it to free what he has. */
static void finish_asked(struct life *life)
{
    while (life->server.store && store_in_flight(life->server.store) > 0)
        uv_run(&life->uv, UV_RUN_ONCE);
}

/* From listening to having drained. */
static int serve(struct life *life, struct nt_error *reterr)
{
    struct server *server = &life->server;
    const struct server_given *given = life->options.given;
    if (given && given->begin(server->loop, server_stop, server, reterr) < 0)
        return -1;
    if (watch_signals(life, reterr) < 0 || open_parts(life, reterr) < 0
        || reconcile(life, reterr) < 0 || listen_all(life, reterr) < 0
        || watch_idle(life, reterr) < 0)
        return -1;
    debug(life, "serve.ready", "");
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
        status = open_loop(life, reterr);
    if (status == 0) {
        status = serve(life, reterr);
        if (status < 0) {
            embedded_failed(&life->embedded, reterr);
            embedded_unlink(&life->embedded);
            finish_asked(life);
        }
        close_parts(life);
        close_loop(life);
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
