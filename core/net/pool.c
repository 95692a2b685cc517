/* SPDX-License-Identifier: Apache-2.0 */
/* pool.c - connections to servers that stay open between two requests of the same peer. */
#include <stdlib.h>
#include <string.h>

#include "core/net/pool.h"
#include "sdk/error.h"

enum { IDLE_MS = 10 * 1000, LOOK_MS = 1000, IDLE_MAX = 64 };

struct idle {
    struct net_pool *pool;
    struct idle *next;
    struct net_client *client;
    uint64_t peer;
    char *key;
    uint64_t until;
};

struct net_pool {
    uv_loop_t *uv;
    uv_timer_t timer;
    struct idle *first;
    uint32_t count;
    bool is_freed, has_timer;
};

static void try_free(struct net_pool *pool)
{
    if (pool->is_freed && !pool->first && !pool->has_timer)
        free(pool);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct net_pool *pool = handle->data;
    pool->has_timer = false;
    try_free(pool);
}

static void drop(struct idle *idle)
{
    struct net_pool *pool = idle->pool;
    for (struct idle **at = &pool->first; *at; at = &(*at)->next)
        if (*at == idle) {
            *at = idle->next;
            pool->count--;
            break;
        }
    free(idle->key);
    free(idle);
}

/* The server had enough of it, or we had. */
static void on_closed(void *data, struct net_client *client, const struct nt_error *reason)
{
    struct idle *idle = data;
    struct net_pool *pool = idle->pool;
    drop(idle);
    try_free(pool);
}

static void on_timer(uv_timer_t *timer)
{
    struct net_pool *pool = timer->data;
    for (struct idle *i = pool->first; i; i = i->next)
        if (i->until <= uv_now(pool->uv))
            net_client_close(i->client);
    if (!pool->first)
        uv_timer_stop(timer);
}

int net_pool_new(uv_loop_t *uv, struct net_pool **ret, struct nt_error *reterr)
{
    struct net_pool *pool = calloc(1, sizeof(*pool));
    if (!pool)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory for connections");
    pool->uv = uv;
    uv_timer_init(uv, &pool->timer);
    pool->timer.data = pool;
    pool->has_timer = true;
    *ret = pool;
    return 0;
}

void net_pool_free(struct net_pool *pool)
{
    if (!pool || pool->is_freed)
        return;
    pool->is_freed = true;
    for (struct idle *i = pool->first; i; i = i->next)
        net_client_close(i->client);
    uv_close((uv_handle_t *)&pool->timer, on_timer_closed);
}

bool pool_put(struct net_pool *pool, struct net_client *client, uint64_t peer, const char *key)
{
    static const struct net_client_events events = { .closed = on_closed };
    struct idle *idle = pool->is_freed || pool->count >= IDLE_MAX ? NULL : calloc(1, sizeof(*idle));
    if (!idle)
        return false;
    idle->key = strdup(key);
    if (!idle->key) {
        free(idle);
        return false;
    }
    idle->pool = pool;
    idle->client = client;
    idle->peer = peer;
    idle->until = uv_now(pool->uv) + IDLE_MS;
    idle->next = pool->first;
    pool->first = idle;
    pool->count++;
    client_events(client, &events, idle);
    if (!uv_is_active((uv_handle_t *)&pool->timer))
        uv_timer_start(&pool->timer, on_timer, LOOK_MS, LOOK_MS);
    return true;
}

const char *pool_find(const struct net_pool *pool, uint64_t peer, const char *prefix)
{
    size_t size = strlen(prefix);
    for (const struct idle *i = pool->first; i; i = i->next)
        if (i->peer == peer && i->until > uv_now(pool->uv) && strncmp(i->key, prefix, size) == 0)
            return i->key + size;
    return NULL;
}

struct net_client *pool_take(struct net_pool *pool, uint64_t peer, const char *key)
{
    for (struct idle *i = pool->first; i; i = i->next)
        /* One that is about to be closed by us is not taken. */
        if (i->peer == peer && i->until > uv_now(pool->uv) && strcmp(i->key, key) == 0) {
            struct net_client *client = i->client;
            drop(i);
            return client;
        }
    return NULL;
}
