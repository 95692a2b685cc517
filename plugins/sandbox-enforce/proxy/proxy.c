/* SPDX-License-Identifier: Apache-2.0 */
/* proxy.c - the thread of the proxy: its loop, who is let in, its end. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/proxy/module.h"
#include "plugins/sandbox-enforce/proxy/visit.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/relay.h"

enum { CONNECTIONS = 256, ACCEPTS_AT_ONCE = 16, END_MS = 500, STACK = 256 * 1024 };

/* --- letting in ---------------------------------------------------------------------------- */

static void on_readable(uv_poll_t *poll, int status, int events);

/* When all places are taken the others wait in the backlog. */
static void update_accepting(struct proxy *p)
{
    bool has_room = net_server_connections(p->server) + p->tunnels < p->connections_max;
    bool wants = has_room && !p->is_stopping;
    if (wants == p->is_accepting)
        return;
    p->is_accepting = wants;
    if (wants)
        uv_poll_start(&p->poll, UV_READABLE, on_readable);
    else
        uv_poll_stop(&p->poll);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct proxy *p = poll->data;
    for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
        struct nt_error ignored = NT_ERROR_INIT;
        if (net_server_connections(p->server) + p->tunnels >= p->connections_max)
            break;
        int fd = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
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

static void on_wake(uv_async_t *wake)
{
    struct proxy *p = wake->data;
    if (p->is_stopping)
        return;
    p->is_stopping = true;
    update_accepting(p);
    uv_close((uv_handle_t *)&p->poll, NULL);
    uv_close((uv_handle_t *)&p->wake, NULL);
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
}

static void *run(void *data)
{
    struct proxy *p = data;
    uv_run(&p->uv, UV_RUN_DEFAULT);
    return NULL;
}

/* --- beginning ----------------------------------------------------------------------------- */

static int begin_loop(struct proxy *p, struct nt_error *reterr)
{
    struct net_server_options options = {
        .limits = { .head_bytes = VISIT_HEAD_MAX,
                    .header_count = VISIT_HEADERS_MAX,
                    .connections = p->connections_max,
                    .message_bytes = VISIT_BODY_MAX },
        .request = on_request,
        .connections = on_connections,
        .data = p,
    };
    int rc = uv_loop_init(&p->uv);
    if (rc < 0)
        return nt_fail_sys(reterr, -rc, "cannot begin the proxy");
    p->wake.data = p->poll.data = p;
    if (uv_async_init(&p->uv, &p->wake, on_wake) < 0) {
        uv_loop_close(&p->uv);
        return nt_fail(reterr, NT_E_SYSTEM, "cannot begin the proxy");
    }
    if (uv_poll_init(&p->uv, &p->poll, p->listener) < 0
        || net_pool_new(&p->uv, &p->pool, reterr) < 0
        || net_server_new(&p->uv, -1, &options, &p->server, reterr) < 0) {
        net_pool_free(p->pool);
        uv_close((uv_handle_t *)&p->wake, NULL);
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
        /* A name is still being looked up, which nothing can end: what it uses stays until the
         * process ends. The credentials do not. */
        routes_wipe(p);
        pthread_detach(p->thread);
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
