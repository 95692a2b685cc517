/* SPDX-License-Identifier: Apache-2.0 */
/* engine_loop.c - see engine_loop.h. */
#include "engine_loop.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define MAX 512

struct nt_timer {
    struct loop *loop;
    int64_t due_ms, repeat_ms;
    void (*fn)(void *data);
    void *data;
    bool armed;
};

struct nt_watch {
    struct loop *loop;
    int fd;
    uint32_t events;
    void (*fn)(void *data, int fd, uint32_t events);
    void *data;
};

struct posted {
    struct posted *next;
    struct loop *loop;
    void (*work)(void *data);
    void (*fn)(void *data);
    void *data;
};

struct loop {
    struct nt_loop head;
    struct nt_timer *timers[MAX];
    struct nt_watch *watches[MAX];
    pthread_mutex_t lock;
    struct posted *first, **last;
    int wake[2];
    int workers;
};

static int64_t now_ms(struct nt_loop *loop)
{
    struct timespec t;
    (void)loop;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static struct nt_timer *timer(struct nt_loop *loop, int64_t delay_ms, int64_t repeat_ms,
                              void (*fn)(void *data), void *data)
{
    struct loop *l = (struct loop *)loop;
    struct nt_timer *t = calloc(1, sizeof(*t));
    *t = (struct nt_timer){ l, now_ms(loop) + delay_ms, repeat_ms, fn, data, true };
    for (int i = 0; i < MAX; i++)
        if (!l->timers[i])
            return l->timers[i] = t;
    abort();
}

static void timer_end(struct nt_timer *t)
{
    if (!t)
        return;
    for (int i = 0; i < MAX; i++)
        if (t->loop->timers[i] == t)
            t->loop->timers[i] = NULL;
    free(t);
}

static struct nt_watch *watch(struct nt_loop *loop, int fd, uint32_t events,
                              void (*fn)(void *data, int fd, uint32_t events), void *data)
{
    struct loop *l = (struct loop *)loop;
    struct nt_watch *w = calloc(1, sizeof(*w));
    *w = (struct nt_watch){ l, fd, events, fn, data };
    for (int i = 0; i < MAX; i++)
        if (!l->watches[i])
            return l->watches[i] = w;
    abort();
}

static void watch_set(struct nt_watch *w, uint32_t events)
{
    w->events = events;
}

static void watch_end(struct nt_watch *w)
{
    if (!w)
        return;
    for (int i = 0; i < MAX; i++)
        if (w->loop->watches[i] == w)
            w->loop->watches[i] = NULL;
    free(w);
}

static void add(struct loop *l, struct posted *p)
{
    pthread_mutex_lock(&l->lock);
    *l->last = p;
    l->last = &p->next;
    pthread_mutex_unlock(&l->lock);
    if (write(l->wake[1], "", 1) != 1)
        abort();
}

static int post(struct nt_loop *loop, void (*fn)(void *data), void *data)
{
    struct posted *p = calloc(1, sizeof(*p));
    *p = (struct posted){ NULL, (struct loop *)loop, NULL, fn, data };
    add(p->loop, p);
    return 0;
}

static void *worker(void *data)
{
    struct posted *p = data;
    p->work(p->data);
    add(p->loop, p);
    return NULL;
}

static int work(struct nt_loop *loop, void (*fn)(void *data), void (*done)(void *data), void *data)
{
    pthread_t thread;
    struct posted *p = calloc(1, sizeof(*p));
    *p = (struct posted){ NULL, (struct loop *)loop, fn, done, data };
    p->loop->workers++;
    if (pthread_create(&thread, NULL, worker, p) != 0)
        abort();
    pthread_detach(thread);
    return 0;
}

static const struct nt_loop_ops ops = { .size = sizeof(ops),
                                        .now_ms = now_ms,
                                        .timer = timer,
                                        .timer_end = timer_end,
                                        .watch = watch,
                                        .watch_set = watch_set,
                                        .watch_end = watch_end,
                                        .post = post,
                                        .work = work };

struct nt_loop *test_loop_new(void)
{
    struct loop *l = calloc(1, sizeof(*l));
    l->head = (struct nt_loop){ sizeof(l->head), 0, &ops };
    l->last = &l->first;
    pthread_mutex_init(&l->lock, NULL);
    if (pipe2(l->wake, 02000000 /* O_CLOEXEC */) < 0)
        abort();
    return &l->head;
}

static void run_posted(struct loop *l)
{
    char bytes[64];
    if (read(l->wake[0], bytes, sizeof(bytes)) < 0)
        abort();
    pthread_mutex_lock(&l->lock);
    struct posted *p = l->first, *next;
    l->first = NULL;
    l->last = &l->first;
    pthread_mutex_unlock(&l->lock);
    for (; p; p = next) {
        next = p->next;
        l->workers -= p->work != NULL;
        p->fn(p->data);
        free(p);
    }
}

static int64_t run_timers(struct loop *l)
{
    int64_t soonest = INT64_MAX;
    for (int i = 0; i < MAX; i++) {
        struct nt_timer *t = l->timers[i];
        if (t && t->armed && t->due_ms <= now_ms(&l->head)) {
            t->due_ms += t->repeat_ms;
            t->armed = t->repeat_ms > 0;
            t->fn(t->data);
            return 0;
        }
        if (t && t->armed && t->due_ms < soonest)
            soonest = t->due_ms;
    }
    return soonest == INT64_MAX ? 1000 : soonest - now_ms(&l->head);
}

static void turn(struct loop *l, int64_t most_ms)
{
    struct pollfd fds[MAX + 1] = { { l->wake[0], POLLIN, 0 } };
    struct nt_watch *who[MAX + 1] = { NULL };
    nfds_t count = 1;
    int64_t wait = run_timers(l);
    wait = wait < 0 ? 0 : wait > most_ms ? most_ms : wait;
    for (int i = 0; i < MAX; i++)
        if (l->watches[i] && l->watches[i]->events) {
            uint32_t e = l->watches[i]->events;
            fds[count] = (struct pollfd){
                l->watches[i]->fd,
                (short)((e & NT_READABLE ? POLLIN : 0) | (e & NT_WRITABLE ? POLLOUT : 0)), 0
            };
            who[count++] = l->watches[i];
        }
    if (poll(fds, count, (int)wait) <= 0)
        return;
    if (fds[0].revents)
        run_posted(l);
    for (nfds_t i = 1; i < count; i++) {
        bool alive = false;
        for (int k = 0; k < MAX; k++)
            alive = alive || l->watches[k] == who[i];
        short r = fds[i].revents;
        if (alive && r)
            who[i]->fn(who[i]->data, fds[i].fd,
                       (uint32_t)((r & (POLLIN | POLLERR | POLLHUP) ? NT_READABLE : 0)
                                  | (r & POLLOUT ? NT_WRITABLE : 0)
                                  | (r & (POLLHUP | POLLERR) ? NT_HANGUP : 0)));
    }
}

bool test_loop_run(struct nt_loop *loop, const bool *until, int64_t ms)
{
    struct loop *l = (struct loop *)loop;
    int64_t end = now_ms(loop) + ms;
    while (!(until && *until) && now_ms(loop) < end)
        turn(l, end - now_ms(loop));
    return until && *until;
}

void test_loop_settle(struct nt_loop *loop)
{
    struct loop *l = (struct loop *)loop;
    while (l->workers > 0)
        turn(l, 1000);
}

void test_loop_free(struct nt_loop *loop)
{
    struct loop *l = (struct loop *)loop;
    test_loop_settle(loop);
    for (int i = 0; i < MAX; i++)
        if (l->timers[i] || l->watches[i]) {
            fprintf(stderr, "a timer or a watch was left\n");
            abort();
        }
    close(l->wake[0]);
    close(l->wake[1]);
    free(l);
}
