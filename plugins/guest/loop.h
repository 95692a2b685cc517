/* SPDX-License-Identifier: Apache-2.0 */
/* loop.h - the one loop of the guest: descriptors by epoll, and one-shot timers. Never more than
 * one thread. Sources and timers are embedded in their owners and may be removed at any time, also
 * within a callback. */
#ifndef GUEST_LOOP_H
#define GUEST_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct source {
    int fd; /* -1: not watched */
    uint32_t events;
    void (*fn)(struct source *source, uint32_t events);
};

struct timer {
    struct timer *next;
    int64_t at_ms;
    void (*fn)(struct timer *timer); /* NULL while it is not set */
};

int loop_init(void);
int64_t loop_now_ms(void);
/* Watches source->fd. -1: errno. */
int loop_add(struct source *source, int fd, uint32_t events, void (*fn)(struct source *, uint32_t));
void loop_set(struct source *source, uint32_t events);
/* Stops watching; the descriptor stays open. */
void loop_remove(struct source *source);
/* Stops watching and closes. */
void loop_close(struct source *source);
void loop_timer(struct timer *timer, int64_t delay_ms, void (*fn)(struct timer *));
void loop_timer_end(struct timer *timer);
/* Waits once and calls what is due. */
void loop_turn(void);

#endif
