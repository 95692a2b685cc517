/* SPDX-License-Identifier: Apache-2.0 */
/* loop.c - the loop lent to plugins: that of core/net, counting which signals the plugin watches
 * itself.
 *
 * While a plugin watches a signal, the command's own reaction to it (cancel) is off; api.c asks the
 * counts. */
#include "core/api/api_state.h"

#include <stdlib.h>

#include "sdk/error.h"

/* A watch of a signal, so that its end is noticed: watch_end is given no loop. Main thread only. */
struct signal_watch {
    struct signal_watch *next;
    struct nt_watch *watch;
    uint32_t *count;
};

static struct signal_watch *signal_watches;
static const struct nt_loop_ops *inner_ops; /* one table for every loop of core/net */

static struct nt_loop *inner_of(struct nt_loop *loop)
{
    return ((struct api_loop *)(void *)loop)->inner;
}

static int64_t lent_now_ms(struct nt_loop *loop)
{
    return inner_ops->now_ms(inner_of(loop));
}

static struct nt_timer *lent_timer(struct nt_loop *loop, int64_t delay_ms, int64_t repeat_ms,
                                   void (*fn)(void *data), void *data)
{
    return inner_ops->timer(inner_of(loop), delay_ms, repeat_ms, fn, data);
}

static void lent_timer_end(struct nt_timer *timer)
{
    inner_ops->timer_end(timer);
}

static struct nt_watch *lent_watch(struct nt_loop *loop, int fd, uint32_t events,
                                   void (*fn)(void *data, int fd, uint32_t events), void *data)
{
    return inner_ops->watch(inner_of(loop), fd, events, fn, data);
}

static void lent_watch_set(struct nt_watch *watch, uint32_t events)
{
    inner_ops->watch_set(watch, events);
}

static struct nt_watch *lent_signal(struct nt_loop *loop, int signo,
                                    void (*fn)(void *data, int signo, uint32_t zero), void *data)
{
    struct api_loop *own = (struct api_loop *)(void *)loop;
    if (signo <= 0 || signo >= (int)(sizeof(own->watched) / sizeof(own->watched[0])))
        return NULL;
    struct signal_watch *entry = malloc(sizeof(*entry));
    if (!entry)
        return NULL;
    entry->watch = inner_ops->signal(own->inner, signo, fn, data);
    if (!entry->watch) {
        free(entry);
        return NULL;
    }
    entry->count = &own->watched[signo];
    (*entry->count)++;
    entry->next = signal_watches;
    signal_watches = entry;
    return entry->watch;
}

static void lent_watch_end(struct nt_watch *watch)
{
    for (struct signal_watch **at = &signal_watches; *at; at = &(*at)->next)
        if (watch && (*at)->watch == watch) {
            struct signal_watch *entry = *at;
            *at = entry->next;
            (*entry->count)--;
            free(entry);
            break;
        }
    inner_ops->watch_end(watch);
}

static int lent_post(struct nt_loop *loop, void (*fn)(void *data), void *data)
{
    return inner_ops->post(inner_of(loop), fn, data);
}

static int lent_work(struct nt_loop *loop, void (*work)(void *data), void (*done)(void *data),
                     void *data)
{
    return inner_ops->work(inner_of(loop), work, done, data);
}

static const struct nt_loop_ops lent_ops = {
    .size = sizeof(struct nt_loop_ops),
    .now_ms = lent_now_ms,
    .timer = lent_timer,
    .timer_end = lent_timer_end,
    .watch = lent_watch,
    .watch_set = lent_watch_set,
    .signal = lent_signal,
    .watch_end = lent_watch_end,
    .post = lent_post,
    .work = lent_work,
};

int api_loop_init(struct api_loop *loop, uv_loop_t *uv, struct nt_error *reterr)
{
    *loop = (struct api_loop){ .head = { .size = sizeof(struct nt_loop), .ops = &lent_ops } };
    loop->inner = net_loop_new(uv, reterr);
    if (!loop->inner)
        return -1;
    inner_ops = loop->inner->ops;
    return 0;
}

void api_loop_done(struct api_loop *loop)
{
    uint32_t *first = loop->watched,
             *end = first + sizeof(loop->watched) / sizeof(loop->watched[0]);
    for (struct signal_watch **at = &signal_watches; *at;) {
        struct signal_watch *entry = *at;
        if (entry->count < first || entry->count >= end) {
            at = &entry->next;
            continue;
        }
        *at = entry->next; /* forgotten by the plugin; net_loop_free ends the watch itself */
        free(entry);
    }
    net_loop_free(loop->inner, NULL, NULL);
    loop->inner = NULL;
}
