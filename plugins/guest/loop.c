/* SPDX-License-Identifier: Apache-2.0 */
/* loop.c - epoll and timers; see loop.h. Timers are few: a list is enough. */
#include "plugins/guest/loop.h"

#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64

static int epoll_fd = -1;
static struct timer *timers;
/* What the last wait gave; an entry is cleared when its source is removed before its turn. */
static struct epoll_event batch[BATCH];
static int batch_size;

int loop_init(void)
{
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return epoll_fd < 0 ? -1 : 0;
}

int64_t loop_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int loop_add(struct source *source, int fd, uint32_t events, void (*fn)(struct source *, uint32_t))
{
    struct epoll_event e = { .events = events, .data.ptr = source };
    source->fn = fn;
    source->events = events;
    source->fd = fd;
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e) == 0)
        return 0;
    source->fd = -1;
    return -1;
}

void loop_set(struct source *source, uint32_t events)
{
    if (source->fd < 0 || source->events == events)
        return;
    struct epoll_event e = { .events = events, .data.ptr = source };
    source->events = events;
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, source->fd, &e);
}

void loop_remove(struct source *source)
{
    if (source->fd < 0)
        return;
    epoll_ctl(epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
    for (int i = 0; i < batch_size; i++)
        if (batch[i].data.ptr == source)
            batch[i].data.ptr = NULL;
    source->fd = -1;
}

void loop_close(struct source *source)
{
    int fd = source->fd;
    if (fd < 0)
        return;
    loop_remove(source);
    close(fd);
}

void loop_timer(struct timer *timer, int64_t delay_ms, void (*fn)(struct timer *))
{
    loop_timer_end(timer);
    timer->fn = fn;
    int64_t now = loop_now_ms();
    timer->at_ms = delay_ms > INT64_MAX - now ? INT64_MAX : now + delay_ms;
    timer->next = timers;
    timers = timer;
}

void loop_timer_end(struct timer *timer)
{
    if (!timer->fn)
        return;
    timer->fn = NULL;
    for (struct timer **at = &timers; *at; at = &(*at)->next) {
        if (*at == timer) {
            *at = timer->next;
            return;
        }
    }
}

static int wait_ms(void)
{
    int64_t first = INT64_MAX;
    for (struct timer *t = timers; t; t = t->next)
        first = t->at_ms < first ? t->at_ms : first;
    if (first == INT64_MAX)
        return -1;
    int64_t left = first - loop_now_ms();
    return left < 0 ? 0 : left > 3600000 ? 3600000 : (int)left;
}

static void run_timers(void)
{
    int64_t now = loop_now_ms();
    for (;;) { /* from the front each time: a callback may remove any */
        struct timer *due = timers;
        while (due && due->at_ms > now)
            due = due->next;
        if (!due)
            return;
        void (*fn)(struct timer *) = due->fn;
        loop_timer_end(due);
        fn(due);
    }
}

void loop_turn(void)
{
    int n = epoll_wait(epoll_fd, batch, BATCH, timers ? wait_ms() : -1);
    batch_size = n < 0 ? 0 : n;
    for (int i = 0; i < batch_size; i++) {
        struct source *source = batch[i].data.ptr;
        batch[i].data.ptr = NULL;
        if (source)
            source->fn(source, batch[i].events);
    }
    batch_size = 0;
    if (timers)
        run_timers();
}
