/* SPDX-License-Identifier: Apache-2.0 */
/* server.c - accepts connections, counts them, and ends. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/net/http_text.h"
#include "core/net/server_private.h"
#include "sdk/error.h"

enum { ACCEPTS_AT_ONCE = 64, PAUSE_MS = 100 };

static void on_listen(uv_poll_t *poll, int status, int events);

static void watch(struct net_server *server)
{
    bool want = server->has_listen && !server->is_paused
                && server->open < server->options.limits.connections;
    if (!server->has_listen)
        return;
    if (want)
        uv_poll_start(&server->listen, UV_READABLE, on_listen);
    else
        uv_poll_stop(&server->listen);
}

static void on_pause(uv_timer_t *timer)
{
    struct net_server *server = timer->data;
    server->is_paused = false;
    watch(server);
}

static void on_listen(uv_poll_t *poll, int status, int events)
{
    struct net_server *server = poll->data;
    for (int i = 0; i < ACCEPTS_AT_ONCE && server->has_listen; i++) {
        if (server->open >= server->options.limits.connections)
            break;
        int fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            if (errno == ECONNABORTED || errno == EINTR)
                continue;
            if (errno != EAGAIN && errno != EWOULDBLOCK) {
                /* No descriptors or no memory: trying again at once would only spin. */
                server->is_paused = true;
                uv_timer_start(&server->pause, on_pause, PAUSE_MS, 0);
            }
            break;
        }
        struct nt_error ignored = NT_ERROR_INIT;
        if (peer_conn_new(server, fd, NULL, &ignored) < 0)
            close(fd);
    }
    watch(server);
}

static void try_free(struct net_server *server)
{
    if (!server->is_freed || server->open_handles > 0 || server->first)
        return;
    void (*freed)(void *data) = server->freed;
    void *data = server->freed_data;
    free(server);
    if (freed)
        freed(data);
}

static void on_closed(uv_handle_t *handle)
{
    struct net_server *server = handle->data;
    server->open_handles--;
    try_free(server);
}

void server_count(struct net_server *server, struct conn *c, bool came)
{
    if (came) {
        c->next = server->first;
        c->prev = NULL;
        if (c->next)
            c->next->prev = c;
        server->first = c;
        server->open++;
    } else {
        if (c->prev)
            c->prev->next = c->next;
        else
            server->first = c->next;
        if (c->next)
            c->next->prev = c->prev;
        server->open--;
    }
    if (server->options.connections && !server->is_freed)
        server->options.connections(server->options.data, server->open);
    watch(server);
}

void server_conn_gone(void *data, struct conn *c)
{
    struct net_server *server = data;
    server_count(server, c, false);
    if (c->link_gone)
        c->link_gone(c->link);
    try_free(server);
}

int net_server_new(uv_loop_t *uv, int listen_fd, const struct net_server_options *options,
                   struct net_server **ret, struct nt_error *reterr)
{
    struct net_server *server = calloc(1, sizeof(*server));
    if (!server)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory for a server");
    server->uv = uv;
    server->options = *options;
    net_limits_fill(&server->options.limits);
    server->listen_fd = listen_fd;
    if (listen_fd >= 0) {
        int rc = uv_poll_init(uv, &server->listen, listen_fd);
        if (rc < 0) {
            free(server);
            return nt_fail_sys(reterr, -rc, "cannot watch the listening socket");
        }
        server->listen.data = server;
        server->has_listen = true;
        server->open_handles++;
    }
    uv_timer_init(uv, &server->pause);
    server->pause.data = server;
    server->open_handles++;
    watch(server);
    *ret = server;
    return 0;
}

int net_server_take(struct net_server *server, int fd, struct nt_error *reterr)
{
    static const struct net_take nothing;
    return net_server_take_with(server, fd, &nothing, reterr);
}

int net_server_take_with(struct net_server *server, int fd, const struct net_take *take,
                         struct nt_error *reterr)
{
    int rc = -1;
    if (server->is_stopped)
        nt_fail(reterr, NT_E_UNAVAILABLE, "the server has stopped");
    else if (server->open >= server->options.limits.connections)
        nt_fail(reterr, NT_E_LIMIT, "the server has no room for another connection");
    else
        rc = peer_conn_new(server, fd, take, reterr);
    if (rc == 0)
        return 0;
    close(fd);
    if (take->gone)
        take->gone(take->link);
    return -1;
}

int net_server_stop(struct net_server *server, bool keep)
{
    int fd = server->listen_fd;
    if (server->is_stopped)
        return -1;
    server->is_stopped = true;
    server->listen_fd = -1;
    if (server->has_listen) {
        server->has_listen = false;
        uv_close((uv_handle_t *)&server->listen, on_closed);
        if (!keep)
            close(fd);
    }
    for (struct conn *c = server->first; c; c = c->next)
        conn_kick(c); /* those that wait for a request close now */
    return keep ? fd : -1;
}

void net_server_free(struct net_server *server, void (*freed)(void *data), void *data)
{
    if (!server)
        return;
    net_server_stop(server, false);
    server->is_freed = true;
    server->freed = freed;
    server->freed_data = data;
    uv_close((uv_handle_t *)&server->pause, on_closed);
    for (struct conn *c = server->first; c; c = c->next) {
        if (!c->error)
            c->error = ECANCELED;
        conn_kick(c);
    }
}

void net_server_cut(struct net_server *server, const char *holder, uint64_t except)
{
    for (struct conn *c = server->first; c; c = c->next) {
        if (c->id == except || strcmp(c->holder, holder) != 0)
            continue;
        if (!c->error)
            c->error = ECANCELED;
        conn_kick(c);
    }
}

void net_server_tls(struct net_server *server, struct net_tls *tls)
{
    server->options.tls = tls;
}

uint32_t net_server_connections(const struct net_server *server)
{
    return server->open;
}
