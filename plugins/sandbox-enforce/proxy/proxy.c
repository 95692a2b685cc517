/* SPDX-License-Identifier: Apache-2.0 */
/* proxy.c - the thread of the proxy: its loop, who is let in, its end. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/proxy/authority.h"
#include "plugins/sandbox-enforce/proxy/module.h"
#include "plugins/sandbox-enforce/proxy/visit.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/relay.h"

enum {
    CONNECTIONS = 256,
    ACCEPTS_AT_ONCE = 16,
    PAUSE_MS = 100,
    QUEUE_BYTES = 256 * 1024, /* of a connection whose peer reads slowly */
    END_MS = 500,
    STACK = 256 * 1024,
};

/* --- letting in ---------------------------------------------------------------------------- */

static void on_readable(uv_poll_t *poll, int status, int events);

static uint32_t places_taken(const struct proxy *p)
{
    return net_server_connections(p->server) + (p->inner ? net_server_connections(p->inner) : 0)
           + p->tunnels;
}

/* When all places are taken the others wait in the backlog. */
static void update_accepting(struct proxy *p)
{
    bool has_room = places_taken(p) < p->connections_max;
    bool wants = has_room && !p->is_stopping && !uv_is_active((uv_handle_t *)&p->pause);
    if (wants == p->is_accepting)
        return;
    p->is_accepting = wants;
    if (wants)
        uv_poll_start(&p->poll, UV_READABLE, on_readable);
    else
        uv_poll_stop(&p->poll);
}

static void on_pause(uv_timer_t *pause)
{
    update_accepting(pause->data);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct proxy *p = poll->data;
    for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
        struct nt_error ignored = NT_ERROR_INIT;
        if (places_taken(p) >= p->connections_max)
            break;
        int fd = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && (errno == ECONNABORTED || errno == EINTR))
            continue;
        /* Trying again at once would only spin. */
        if (fd < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
            uv_timer_start(&p->pause, on_pause, PAUSE_MS, 0);
        if (fd < 0)
            break;
        nt_relay_no_delay(fd);
        net_server_take(p->server, fd, &ignored);
    }
    update_accepting(p);
}

static void on_connections(void *data, uint32_t open)
{
    struct proxy *p = data;
    if (p->server)
        update_accepting(p);
}

void proxy_tunnel_ended(struct proxy *p)
{
    p->tunnels--;
    if (p->server)
        update_accepting(p);
}

static void on_request(void *data, struct net_request *req)
{
    visit_begin(data, req);
}

/* --- the end ------------------------------------------------------------------------------- */

static void on_server_freed(void *data)
{
    ((struct proxy *)data)->server = NULL;
}

static void on_inner_freed(void *data)
{
    ((struct proxy *)data)->inner = NULL;
}

static void on_wake(uv_async_t *wake)
{
    struct proxy *p = wake->data;
    if (p->is_stopping)
        return;
    p->is_stopping = true;
    update_accepting(p);
    uv_close((uv_handle_t *)&p->poll, NULL);
    uv_close((uv_handle_t *)&p->wake, NULL);
    uv_close((uv_handle_t *)&p->pause, NULL);
    for (struct visit *v = p->visits, *next; v; v = next) {
        next = v->next;
        visit_cancel(v);
    }
    for (size_t i = 0; i < p->route_count; i++)
        oauth_end(p->routes[i].oauth);
    for (size_t i = 0; i < p->route_count; i++)
        capture_end(p->routes[i].capture);
    net_pool_free(p->pool);
    net_server_stop(p->server, false);
    net_server_free(p->server, on_server_freed, p);
    net_server_free(p->inner, on_inner_freed, p);
}

static void *run(void *data)
{
    struct proxy *p = data;
    uv_run(&p->uv, UV_RUN_DEFAULT);
    return NULL;
}

/* --- beginning ----------------------------------------------------------------------------- */

static void warn_of_tls(const struct proxy_options *o, const struct nt_error *why)
{
    nt_auto(nt_buf_done) struct nt_buf line = NT_BUF(2048);
    if (!o->warn)
        return;
    nt_buf_add(&line, "TLS of the program is not opened: ");
    nt_buf_add_printable(&line, why->message, false);
    if (why->hint[0])
        nt_buf_addf(&line, " (%s)", why->hint);
    nt_buf_add(&line,
               "; connections to hosts of which only some requests are allowed, and to those "
               "of credentials, are refused with 403");
    o->warn(o->data, nt_buf_text(&line));
}

static int write_all(int fd, const char *text, struct nt_error *reterr)
{
    for (size_t left = strlen(text); left;) {
        ssize_t n = write(fd, text, left);
        if (n < 0 && errno != EINTR)
            return nt_fail_sys(reterr, errno, "writing the bundle of certificates");
        text += n > 0 ? n : 0;
        left -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* Without an authority nothing is opened, and what would have to be stays closed. */
static void begin_authority(struct proxy *p, const struct proxy_options *o)
{
    struct nt_error e = NT_ERROR_INIT;
    if (o->bundle < 0)
        return;
    if (authority_new(p->policy, time(NULL), &p->authority, &e) == 0
        && lseek(o->bundle, 0, SEEK_END) >= 0
        && write_all(o->bundle, authority_certificate(p->authority), &e) == 0)
        return;
    warn_of_tls(o, &e);
    authority_free(p->authority);
    p->authority = NULL;
}

static int begin_inner(struct proxy *p, const struct net_server_options *outer,
                       struct nt_error *reterr)
{
    struct net_server_options options = *outer;
    options.request = intercept_request;
    return p->authority ? net_server_new(&p->uv, -1, &options, &p->inner, reterr) : 0;
}

static int begin_loop(struct proxy *p, struct nt_error *reterr)
{
    struct net_server_options options = {
        .limits = { .head_bytes = VISIT_HEAD_MAX,
                    .header_count = VISIT_HEADERS_MAX,
                    .connections = p->connections_max,
                    .message_bytes = VISIT_BODY_MAX,
                    .write_queue_bytes = QUEUE_BYTES },
        .request = on_request,
        .connections = on_connections,
        .data = p,
    };
    int rc = uv_loop_init(&p->uv);
    if (rc < 0)
        return nt_fail_sys(reterr, -rc, "cannot begin the proxy");
    p->wake.data = p->poll.data = p->pause.data = p;
    if (uv_async_init(&p->uv, &p->wake, on_wake) < 0) {
        uv_loop_close(&p->uv);
        return nt_fail(reterr, NT_E_SYSTEM, "cannot begin the proxy");
    }
    uv_timer_init(&p->uv, &p->pause);
    if (uv_poll_init(&p->uv, &p->poll, p->listener) < 0
        || net_pool_new(&p->uv, &p->pool, reterr) < 0
        || net_server_new(&p->uv, -1, &options, &p->server, reterr) < 0
        || begin_inner(p, &options, reterr) < 0) {
        net_server_free(p->server, on_server_freed, p);
        net_pool_free(p->pool);
        uv_close((uv_handle_t *)&p->wake, NULL);
        uv_close((uv_handle_t *)&p->pause, NULL);
        if (p->poll.type)
            uv_close((uv_handle_t *)&p->poll, NULL);
        uv_run(&p->uv, UV_RUN_DEFAULT);
        uv_loop_close(&p->uv);
        return nt_fail(reterr, NT_E_SYSTEM, "cannot begin the proxy");
    }
    update_accepting(p);
    return 0;
}

/* All signals are the supervisor's; a broken pipe is told by the call that met it. */
static int begin_thread(struct proxy *p, struct nt_error *reterr)
{
    sigset_t all, before;
    pthread_attr_t how;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&how);
    pthread_attr_setstacksize(&how, STACK);
    int rc = pthread_create(&p->thread, &how, run, p);
    pthread_attr_destroy(&how);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc == 0 ? 0 : nt_fail_sys(reterr, rc, "cannot start the proxy's thread");
}

static void proxy_free(struct proxy *p)
{
    if (!p)
        return;
    if (p->listener >= 0)
        close(p->listener);
    routes_done(p);
    authority_free(p->authority);
    explicit_bzero(p->token, sizeof(p->token));
    free(p);
}

static int proxy_start(const struct proxy_options *options, struct proxy **ret,
                       struct nt_error *reterr)
{
    struct proxy *p = calloc(1, sizeof(*p));
    if (!p || strlen(options->token) != PROXY_TOKEN_SIZE - 1) {
        close(options->listener);
        free(p);
        return nt_fail(reterr, p ? NT_E_INTERNAL : NT_E_MEMORY, "cannot begin the proxy");
    }
    p->policy = options->policy;
    p->denials = options->denials;
    p->connections_max = options->connections ? options->connections : CONNECTIONS;
    p->listener = options->listener;
    memcpy(p->token, options->token, PROXY_TOKEN_SIZE);
    int flags = fcntl(p->listener, F_GETFL);
    fcntl(p->listener, F_SETFL, flags | O_NONBLOCK);
    p->routes = calloc(p->policy->route_count + 1, sizeof(*p->routes));
    int rc = p->routes ? routes_init(p, options, reterr)
                       : nt_fail(reterr, NT_E_MEMORY, "out of memory for the proxy");
    if (rc == 0)
        begin_authority(p, options);
    if (rc < 0 || begin_loop(p, reterr) < 0) {
        proxy_free(p);
        return -1;
    }
    if (begin_thread(p, reterr) < 0) {
        on_wake(&p->wake);
        uv_run(&p->uv, UV_RUN_DEFAULT);
        uv_loop_close(&p->uv);
        proxy_free(p);
        return -1;
    }
    *ret = p;
    return 0;
}

/* What others do at the end of a process may not be done while a thread begins TLS. */
static void leave(int status, void *nothing)
{
    fflush(NULL);
    _exit(status);
}

static void proxy_stop(struct proxy *p)
{
    if (!p)
        return;
    uv_async_send(&p->wake);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += END_MS * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    if (pthread_timedjoin_np(p->thread, NULL, &until) != 0) {
        /* A name is still being looked up, which nothing can end, or TLS begun: what that uses
         * stays until the process ends. The credentials do not. */
        routes_wipe(p);
        pthread_detach(p->thread);
        on_exit(leave, NULL);
        return;
    }
    uv_loop_close(&p->uv);
    proxy_free(p);
}

const struct proxy_ops proxy_module = {
    .size = sizeof(proxy_module),
    .start = proxy_start,
    .stop = proxy_stop,
    .secret = secret_read,
};
