/* SPDX-License-Identifier: Apache-2.0 */
/* tunnel.c - CONNECT: after the checks, bytes both ways to the address that was checked, or to the
 * same host through the upstream proxy. */
#include <string.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/proxy/visit.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

static void on_ended(void *data)
{
    struct visit *v = data;
    struct proxy *proxy = v->proxy;
    v->tunnel = NULL;
    visit_settle(v);
    proxy_tunnel_ended(proxy);
}

static void on_taken(void *data, int inside)
{
    struct visit *v = data;
    if (inside < 0)
        return;
    v->proxy->tunnels++;
    v->tunnel = net_tunnel_new(&v->proxy->uv, inside, nt_take_fd(v->fd), on_ended, v);
    if (!v->tunnel)
        v->proxy->tunnels--;
    if (v->proxy->is_stopping)
        net_tunnel_close(v->tunnel);
}

static void on_outside(void *data, int fd, const struct nt_error *error)
{
    struct visit *v = data;
    v->chain = NULL;
    v->dial = NULL;
    if (fd < 0) {
        visit_fail(v, error);
        return;
    }
    v->fd = fd;
    v->is_answered = true;
    net_upgrade(v->req, NULL, NULL, on_taken, v);
}

static void on_dialled(void *data, int fd, const struct nt_error *error)
{
    struct visit *v = data;
    struct nt_error failed = NT_ERROR_INIT;
    v->dial = NULL;
    if (fd < 0)
        visit_fail(v, error);
    else if (chain_new(&v->proxy->uv, fd, v->authority, on_outside, v, &v->chain, &failed) < 0)
        visit_fail(v, &failed);
}

static void dial(struct visit *v, const struct sockaddr_storage *addresses, uint32_t count)
{
    struct nt_error error = NT_ERROR_INIT;
    if (net_dial_new(&v->proxy->uv, addresses, count, VISIT_CONNECT_MS,
                     visit_is_chained(v) ? on_dialled : on_outside, v, &v->dial, &error)
        < 0)
        visit_fail(v, &error);
}

/* The upstream proxy is the person's own choice: wherever it is. */
static void on_looked(void *data, const struct sockaddr_storage *addresses, uint32_t count,
                      uint32_t refused, const struct nt_error *error)
{
    struct visit *v = data;
    v->lookup = NULL;
    if (error || count == 0)
        visit_fail(v, error);
    else
        dial(v, addresses, count);
}

static void begin_chain(struct visit *v)
{
    struct nt_error error = NT_ERROR_INIT;
    struct net_address to;
    char memory[VISIT_AUTHORITY_MAX + 16];
    const char *prefix;
    nt_auto(nt_buf_done) struct nt_buf url = NT_BUF(VISIT_AUTHORITY_MAX);
    nt_buf_addf(&url, "http://%s", v->proxy->policy->upstream_proxy);
    if (net_parse_url(nt_buf_text(&url), memory, sizeof(memory), &to, &prefix, &error) < 0) {
        visit_fail(v, &error);
        return;
    }
    struct net_lookup_options options = { .host = to.host,
                                          .port = to.port,
                                          .timeout_ms = VISIT_CONNECT_MS,
                                          .done = on_looked,
                                          .data = v };
    if (net_lookup_new(&v->proxy->uv, &options, &v->lookup, &error) < 0)
        visit_fail(v, &error);
}

void tunnel_begin(struct visit *v)
{
    if (!visit_judge(v, NULL))
        return;
    if (v->is_intercepted)
        intercept_begin(v);
    else if (visit_is_chained(v))
        begin_chain(v);
    else
        visit_look(v, dial);
}
