/* SPDX-License-Identifier: Apache-2.0 */
/* worker.c - a queue of work, and threads that come when there is more than those that wait can
 * take, and go when there has been none for a while. They are detached: nothing waits for them. */
#include "core/net/worker.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

enum { THREADS_MAX = 256, STACK = 1024 * 1024, IDLE_S = 10 };

struct worker {
    uv_async_t async;
    struct worker *next;
    bool is_queued;
    void (*work)(void *data);
    void (*done)(void *data);
    void *data;
};

static struct {
    pthread_once_t once;
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct worker *first, *last;
    unsigned queued, threads, idle;
} all = { .once = PTHREAD_ONCE_INIT,
          .lock = PTHREAD_MUTEX_INITIALIZER,
          .more = PTHREAD_COND_INITIALIZER };

/* --- the queue; with the lock ---------------------------------------------------------------- */

static void put(struct worker *w)
{
    w->is_queued = true;
    if (all.last)
        all.last->next = w;
    else
        all.first = w;
    all.last = w;
    all.queued++;
}

static void drop(struct worker *w)
{
    struct worker *before = NULL;
    for (struct worker *at = all.first; at != w; at = at->next)
        before = at;
    if (before)
        before->next = w->next;
    else
        all.first = w->next;
    if (all.last == w)
        all.last = before;
    w->is_queued = false;
    all.queued--;
}

/* --- threads --------------------------------------------------------------------------------- */

/* Nobody of the parent's is in a child of fork. */
static void on_child(void)
{
    pthread_mutex_init(&all.lock, NULL);
    pthread_cond_init(&all.more, NULL);
    all.first = all.last = NULL;
    all.queued = all.threads = all.idle = 0;
}

static void prepare(void)
{
    pthread_atfork(NULL, NULL, on_child);
}

/* False: there was nothing for a while. */
static bool await(void)
{
    struct timespec until;
    int failed = 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += IDLE_S;
    all.idle++;
    while (!all.first && failed != ETIMEDOUT)
        failed = pthread_cond_timedwait(&all.more, &all.lock, &until);
    all.idle--;
    return all.first != NULL;
}

static void *run(void *nothing)
{
    pthread_mutex_lock(&all.lock);
    while (all.first || await()) {
        struct worker *w = all.first;
        drop(w);
        pthread_mutex_unlock(&all.lock);
        w->work(w->data);
        pthread_mutex_lock(&all.lock); /* on_done waits for it: then it sees what was done */
        uv_async_send(&w->async);
    }
    all.threads--;
    pthread_mutex_unlock(&all.lock);
    return NULL;
}

/* Signals are for others. */
static bool add_thread(void)
{
    sigset_t every, before;
    pthread_attr_t how;
    pthread_t thread;
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &before);
    pthread_attr_init(&how);
    pthread_attr_setstacksize(&how, STACK);
    pthread_attr_setdetachstate(&how, PTHREAD_CREATE_DETACHED);
    bool is_added = pthread_create(&thread, &how, run, NULL) == 0;
    pthread_attr_destroy(&how);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    all.threads += is_added;
    return is_added;
}

/* --- the whole ------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_done(uv_async_t *async)
{
    struct worker *w = async->data;
    void (*done)(void *data) = w->done;
    void *data = w->data;
    /* That is told without it too, by libuv's atomics, but to no thread sanitizer. */
    pthread_mutex_lock(&all.lock);
    pthread_mutex_unlock(&all.lock);
    uv_close((uv_handle_t *)async, on_closed);
    done(data);
}

int worker_new(uv_loop_t *uv, void (*work)(void *data), void (*done)(void *data), void *data,
               struct worker **ret)
{
    struct worker *w = calloc(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    int rc = uv_async_init(uv, &w->async, on_done);
    if (rc < 0) {
        free(w);
        return rc;
    }
    w->async.data = w;
    w->work = work;
    w->done = done;
    w->data = data;
    pthread_once(&all.once, prepare);
    pthread_mutex_lock(&all.lock);
    put(w);
    bool is_short = all.queued > all.idle && all.threads < THREADS_MAX;
    bool is_lost = is_short && !add_thread() && !all.threads;
    if (is_lost)
        drop(w);
    else
        pthread_cond_signal(&all.more);
    pthread_mutex_unlock(&all.lock);
    if (is_lost) {
        uv_close((uv_handle_t *)&w->async, on_closed);
        return -EAGAIN;
    }
    *ret = w;
    return 0;
}

void worker_cancel(struct worker *w)
{
    pthread_mutex_lock(&all.lock);
    bool was_queued = w->is_queued;
    if (was_queued)
        drop(w);
    pthread_mutex_unlock(&all.lock);
    if (was_queued)
        uv_async_send(&w->async);
}
