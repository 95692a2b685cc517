/* SPDX-License-Identifier: Apache-2.0 */
/* loop.c - the struct nt_loop that is lent to plugins, on top of libuv. */
#include <signal.h>
#include <stdlib.h>

#include "core/net/net.h"
#include "sdk/error.h"

enum { POSTS_MAX = 65536 };

struct post {
    struct post *next;
    void (*fn)(void *data);
    void *data;
};

/* Timers and watches are in a list, so that a loop that ends can end those that were forgotten. */
struct item {
    struct item *next, *prev;
    struct net_loop *loop;
    bool is_ended;
};

struct net_loop {
    struct nt_loop head;
    uv_loop_t *uv;
    uv_async_t async;
    uv_mutex_t mutex; /* of posts */
    struct post *first, *last;
    uint32_t posts;
    struct item items; /* ring */
    uint32_t open;     /* items not closed yet, work not done yet, and the async */
    bool is_freed;
    void (*freed)(void *data);
    void *freed_data;
};

struct nt_timer {
    struct item item;
    uv_timer_t uv;
    void (*fn)(void *data);
    void *data;
};

struct nt_watch {
    struct item item;
    union {
        uv_handle_t handle;
        uv_poll_t poll;
        uv_signal_t signal;
    } uv;
    bool is_signal;
    int fd;
    void (*fn)(void *data, int fd, uint32_t events);
    void *data;
};

_Static_assert(offsetof(struct nt_timer, uv) == offsetof(struct nt_watch, uv),
               "both handles at one place");

struct job {
    uv_work_t uv;
    struct net_loop *loop;
    void (*work)(void *data);
    void (*done)(void *data);
    void *data;
};

static struct net_loop *own(struct nt_loop *loop)
{
    return (struct net_loop *)loop; /* head is the first member */
}

static void run_posts(struct net_loop *loop, bool call)
{
    uv_mutex_lock(&loop->mutex);
    struct post *p = loop->first;
    loop->first = loop->last = NULL;
    loop->posts = 0;
    uv_mutex_unlock(&loop->mutex);
    while (p) {
        struct post *next = p->next;
        if (call)
            p->fn(p->data);
        free(p);
        p = next;
    }
}

static void release(struct net_loop *loop)
{
    if (--loop->open > 0)
        return;
    void (*freed)(void *data) = loop->freed;
    void *data = loop->freed_data;
    run_posts(loop, false);
    uv_mutex_destroy(&loop->mutex);
    free(loop);
    if (freed)
        freed(data);
}

static void add_item(struct net_loop *loop, struct item *item)
{
    item->loop = loop;
    item->next = loop->items.next;
    item->prev = &loop->items;
    item->next->prev = item;
    loop->items.next = item;
    loop->open++;
}

static void on_item_closed(uv_handle_t *handle)
{
    struct item *item = handle->data;
    struct net_loop *loop = item->loop;
    free(item); /* the first member of timer and watch */
    release(loop);
}

static void end_item(struct item *item, uv_handle_t *handle)
{
    if (item->is_ended)
        return;
    item->is_ended = true;
    item->next->prev = item->prev;
    item->prev->next = item->next;
    handle->data = item;
    uv_close(handle, on_item_closed);
}

static int64_t loop_now_ms(struct nt_loop *loop)
{
    return (int64_t)(uv_hrtime() / 1000000);
}

static void on_timer(uv_timer_t *uv)
{
    struct nt_timer *timer = uv->data;
    timer->fn(timer->data);
}

static struct nt_timer *loop_timer(struct nt_loop *head, int64_t delay_ms, int64_t repeat_ms,
                                   void (*fn)(void *data), void *data)
{
    struct net_loop *loop = own(head);
    struct nt_timer *timer = calloc(1, sizeof(*timer));
    if (!timer || loop->is_freed) {
        free(timer);
        return NULL;
    }
    timer->fn = fn;
    timer->data = data;
    uv_timer_init(loop->uv, &timer->uv);
    timer->uv.data = &timer->item;
    add_item(loop, &timer->item);
    uv_update_time(loop->uv);
    uv_timer_start(&timer->uv, on_timer, delay_ms > 0 ? (uint64_t)delay_ms : 0,
                   repeat_ms > 0 ? (uint64_t)repeat_ms : 0);
    return timer;
}

static void loop_timer_end(struct nt_timer *timer)
{
    if (timer)
        end_item(&timer->item, (uv_handle_t *)&timer->uv);
}

static void on_poll(uv_poll_t *uv, int status, int events)
{
    struct nt_watch *watch = uv->data;
    uint32_t told = 0;
    if (events & UV_READABLE)
        told |= NT_READABLE;
    if (events & UV_WRITABLE)
        told |= NT_WRITABLE;
    /* libuv stops a watch whose descriptor has an error; reading tells which. */
    if ((events & UV_DISCONNECT) || status < 0)
        told |= NT_HANGUP | (status < 0 ? NT_READABLE : 0);
    watch->fn(watch->data, watch->fd, told);
}

static void loop_watch_set(struct nt_watch *watch, uint32_t events)
{
    if (!watch || watch->is_signal || watch->item.is_ended)
        return;
    int wanted = 0;
    if (events & NT_READABLE)
        wanted |= UV_READABLE | UV_DISCONNECT;
    if (events & NT_WRITABLE)
        wanted |= UV_WRITABLE;
    if (wanted)
        uv_poll_start(&watch->uv.poll, wanted, on_poll);
    else
        uv_poll_stop(&watch->uv.poll);
}

static struct nt_watch *loop_watch(struct nt_loop *head, int fd, uint32_t events,
                                   void (*fn)(void *data, int fd, uint32_t events), void *data)
{
    struct net_loop *loop = own(head);
    struct nt_watch *watch = calloc(1, sizeof(*watch));
    if (!watch || loop->is_freed || uv_poll_init(loop->uv, &watch->uv.poll, fd) < 0) {
        free(watch);
        return NULL;
    }
    watch->fd = fd;
    watch->fn = fn;
    watch->data = data;
    watch->uv.poll.data = watch;
    add_item(loop, &watch->item);
    loop_watch_set(watch, events);
    return watch;
}

static void on_signal(uv_signal_t *uv, int signo)
{
    struct nt_watch *watch = uv->data;
    watch->fn(watch->data, signo, 0);
}

static struct nt_watch *loop_signal(struct nt_loop *head, int signo,
                                    void (*fn)(void *data, int signo, uint32_t zero), void *data)
{
    struct net_loop *loop = own(head);
    struct nt_watch *watch = calloc(1, sizeof(*watch));
    if (!watch || loop->is_freed || uv_signal_init(loop->uv, &watch->uv.signal) < 0) {
        free(watch);
        return NULL;
    }
    watch->is_signal = true;
    watch->fd = signo;
    watch->fn = fn;
    watch->data = data;
    watch->uv.signal.data = watch;
    add_item(loop, &watch->item);
    if (uv_signal_start(&watch->uv.signal, on_signal, signo) < 0) {
        end_item(&watch->item, &watch->uv.handle);
        return NULL;
    }
    return watch;
}

static void loop_watch_end(struct nt_watch *watch)
{
    if (watch)
        end_item(&watch->item, &watch->uv.handle);
}

static void on_async(uv_async_t *async)
{
    run_posts(async->data, true);
}

static int loop_post(struct nt_loop *head, void (*fn)(void *data), void *data)
{
    struct net_loop *loop = own(head);
    struct post *p = malloc(sizeof(*p));
    if (!p)
        return -1;
    *p = (struct post){ .fn = fn, .data = data };
    uv_mutex_lock(&loop->mutex);
    bool has_room = loop->posts < POSTS_MAX && !loop->is_freed;
    if (has_room) {
        if (loop->last)
            loop->last->next = p;
        else
            loop->first = p;
        loop->last = p;
        loop->posts++;
        /* Under the lock: after net_loop_free has taken it, no thread may touch the handle any
         * more. */
        uv_async_send(&loop->async);
    }
    uv_mutex_unlock(&loop->mutex);
    if (!has_room)
        free(p);
    return has_room ? 0 : -1;
}

static void on_work(uv_work_t *uv)
{
    struct job *job = uv->data;
    job->work(job->data);
}

static void on_worked(uv_work_t *uv, int status)
{
    struct job *job = uv->data;
    struct net_loop *loop = job->loop;
    job->done(job->data);
    free(job);
    release(loop);
}

static int loop_work(struct nt_loop *head, void (*work)(void *data), void (*done)(void *data),
                     void *data)
{
    struct net_loop *loop = own(head);
    struct job *job = malloc(sizeof(*job));
    if (!job)
        return -1;
    *job = (struct job){ .loop = loop, .work = work, .done = done, .data = data };
    job->uv.data = job;
    if (loop->is_freed || uv_queue_work(loop->uv, &job->uv, on_work, on_worked) < 0) {
        free(job);
        return -1;
    }
    loop->open++;
    return 0;
}

static const struct nt_loop_ops loop_ops = {
    .size = sizeof(struct nt_loop_ops),
    .now_ms = loop_now_ms,
    .timer = loop_timer,
    .timer_end = loop_timer_end,
    .watch = loop_watch,
    .watch_set = loop_watch_set,
    .signal = loop_signal,
    .watch_end = loop_watch_end,
    .post = loop_post,
    .work = loop_work,
};

struct nt_loop *net_loop_new(uv_loop_t *uv, struct nt_error *reterr)
{
    struct net_loop *loop = calloc(1, sizeof(*loop));
    if (!loop || uv_mutex_init(&loop->mutex) < 0) {
        free(loop);
        nt_fail(reterr, NT_E_MEMORY, "out of memory for a loop");
        return NULL;
    }
    int rc = uv_async_init(uv, &loop->async, on_async);
    if (rc < 0) {
        uv_mutex_destroy(&loop->mutex);
        free(loop);
        nt_fail_sys(reterr, -rc, "cannot make a loop");
        return NULL;
    }
    /* Waiting for posts alone must not keep the loop running. */
    uv_unref((uv_handle_t *)&loop->async);
    loop->head = (struct nt_loop){ .size = sizeof(loop->head), .ops = &loop_ops };
    loop->uv = uv;
    loop->async.data = loop;
    loop->items.next = loop->items.prev = &loop->items;
    loop->open = 1;
    return &loop->head;
}

static void on_async_closed(uv_handle_t *handle)
{
    release(handle->data);
}

void net_loop_free(struct nt_loop *head, void (*freed)(void *data), void *data)
{
    if (!head)
        return;
    struct net_loop *loop = own(head);
    uv_mutex_lock(&loop->mutex);
    loop->is_freed = true;
    uv_mutex_unlock(&loop->mutex);
    loop->freed = freed;
    loop->freed_data = data;
    while (loop->items.next != &loop->items) {
        struct item *item = loop->items.next;
        /* The handle follows the item in both: a watch's union has the place of a timer's
         * handle. */
        end_item(item, (uv_handle_t *)&((struct nt_timer *)(void *)item)->uv);
    }
    uv_ref((uv_handle_t *)&loop->async);
    uv_close((uv_handle_t *)&loop->async, on_async_closed);
}
