/* SPDX-License-Identifier: Apache-2.0 */
/* lookup.c - finds the addresses of a name once, in a worker thread, and has each judged. A numeric
 * address needs no worker, whose two wake-ups would cost more than all else of a request. */
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "core/net/net.h"
#include "core/net/worker.h"
#include "sdk/buf.h"
#include "sdk/error.h"

enum { LOOKUP_MS = 30 * 1000 };

struct net_lookup {
    struct net_lookup_options options;
    struct worker *worker; /* NULL: none is at it */
    uv_timer_t timer;
    char *host;
    struct nt_buf port;
    int failed; /* of getaddrinfo */
    struct addrinfo *found;
    struct addrinfo number; /* of a numeric address; then found points to it */
    struct sockaddr_storage number_at;
    bool is_told, has_timer;
};

static void try_free(struct net_lookup *l)
{
    if (l->worker || l->has_timer)
        return;
    if (l->found && l->found != &l->number)
        freeaddrinfo(l->found);
    nt_buf_done(&l->port);
    free(l->host);
    free(l);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct net_lookup *l = handle->data;
    l->has_timer = false;
    try_free(l);
}

/* After it nobody is told; the worker may still be at it. */
static void settle(struct net_lookup *l)
{
    l->is_told = true;
    if (l->has_timer && !uv_is_closing((uv_handle_t *)&l->timer))
        uv_close((uv_handle_t *)&l->timer, on_timer_closed);
}

static void on_timer(uv_timer_t *timer)
{
    struct net_lookup *l = timer->data;
    struct nt_error e = NT_ERROR_INIT;
    nt_fail(&e, NT_E_TIMEOUT, "cannot find %s in time", l->host);
    settle(l);
    l->options.done(l->options.data, NULL, 0, 0, &e);
}

static void look(void *data)
{
    struct net_lookup *l = data;
    /* AI_ADDRCONFIG hides ::1 on a machine with loopback only. */
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
                              .ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG };
    l->failed = getaddrinfo(l->host, nt_buf_text(&l->port), &hints, &l->found);
}

/* Judges what was found and says so. */
static void tell(struct net_lookup *l, bool ok)
{
    struct sockaddr_storage addresses[NET_ADDRESSES_MAX];
    uint32_t count = 0, refused = 0;
    for (const struct addrinfo *a = ok ? l->found : NULL; a; a = a->ai_next) {
        if (a->ai_addrlen > sizeof(addresses[0])
            || (a->ai_family != AF_INET && a->ai_family != AF_INET6))
            continue;
        if (l->options.may && !l->options.may(l->options.data, a->ai_addr))
            refused++;
        else if (count < NET_ADDRESSES_MAX)
            memcpy(&addresses[count++], a->ai_addr, a->ai_addrlen);
    }
    struct nt_error e = NT_ERROR_INIT;
    if (!ok || count + refused == 0) {
        ok = false;
        nt_fail(&e, NT_E_CONNECT, "cannot find %s: %s", l->host,
                l->failed ? gai_strerror(l->failed) : "it has no address");
    }
    struct net_lookup_options o = l->options;
    settle(l);
    o.done(o.data, addresses, count, refused, ok ? NULL : &e);
}

static void on_looked(void *data)
{
    struct net_lookup *l = data;
    l->worker = NULL;
    if (l->is_told)
        try_free(l);
    else
        tell(l, l->failed == 0);
}

static void on_number(uv_timer_t *timer)
{
    tell(timer->data, true);
}

/* Only the plain spellings: getaddrinfo knows more, and scopes. */
static bool is_number(struct net_lookup *l, uint16_t port)
{
    struct sockaddr_in *four = (struct sockaddr_in *)&l->number_at;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&l->number_at;
    bool is_four = uv_ip4_addr(l->host, port, four) == 0;
    if (!is_four && (strchr(l->host, '%') || uv_ip6_addr(l->host, port, six) < 0))
        return false;
    l->number = (struct addrinfo){ .ai_family = l->number_at.ss_family,
                                   .ai_addr = (struct sockaddr *)&l->number_at,
                                   .ai_addrlen = is_four ? sizeof(*four) : sizeof(*six) };
    l->found = &l->number;
    return true;
}

int net_lookup_new(uv_loop_t *uv, const struct net_lookup_options *options, struct net_lookup **ret,
                   struct nt_error *reterr)
{
    struct net_lookup *l = calloc(1, sizeof(*l));
    if (!l)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory for a name");
    l->options = *options;
    l->host = strdup(options->host);
    l->port = (struct nt_buf)NT_BUF(8);
    nt_buf_add_number(&l->port, options->port);
    l->timer.data = l;
    bool ok = l->host && nt_buf_ok(&l->port);
    bool is_found = ok && is_number(l, options->port);
    if (!ok || (!is_found && worker_new(uv, look, on_looked, l, &l->worker) < 0)) {
        try_free(l);
        return nt_fail(reterr, NT_E_MEMORY, "out of memory for a name");
    }
    uv_timer_init(uv, &l->timer);
    l->has_timer = true;
    uv_update_time(uv);
    uint64_t limit = (uint64_t)(options->timeout_ms > 0 ? options->timeout_ms : LOOKUP_MS);
    uv_timer_start(&l->timer, is_found ? on_number : on_timer, is_found ? 0 : limit, 0);
    *ret = l;
    return 0;
}

void net_lookup_cancel(struct net_lookup *l)
{
    if (!l || l->is_told)
        return;
    if (l->worker)
        worker_cancel(l->worker); /* on_looked comes all the same */
    settle(l);
}

bool net_pinned_text(const struct sockaddr_storage *addresses, uint32_t count,
                     char ret[NET_PINNED_MAX])
{
    size_t at = 0;
    for (uint32_t i = 0; i < count && i < NET_ADDRESSES_MAX; i++) {
        if (i)
            ret[at++] = ',';
        if (uv_ip_name((const struct sockaddr *)&addresses[i], ret + at, NET_PINNED_MAX - at) < 0)
            return false;
        at += strlen(ret + at);
    }
    return at > 0;
}

uint32_t net_pinned_read(const char *text, uint16_t port,
                         struct sockaddr_storage ret[NET_ADDRESSES_MAX])
{
    uint32_t count = 0;
    while (*text && count < NET_ADDRESSES_MAX) {
        size_t size = strcspn(text, ",");
        char one[INET6_ADDRSTRLEN] = "";
        struct sockaddr_storage *to = &ret[count++];
        if (size < sizeof(one))
            memcpy(one, text, size);
        text += size + (text[size] == ',');
        if (uv_ip4_addr(one, port, (struct sockaddr_in *)to) < 0
            && uv_ip6_addr(one, port, (struct sockaddr_in6 *)to) < 0)
            return 0;
    }
    return count;
}
