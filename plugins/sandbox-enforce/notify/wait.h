/* SPDX-License-Identifier: Apache-2.0 */
/* wait.h - connections that a program waits for: begun without waiting, then watched, all in
 * the one thread of notify. */
#ifndef NT_ENFORCE_NOTIFY_WAIT_H
#define NT_ENFORCE_NOTIFY_WAIT_H

#include <stdbool.h>
#include <stdint.h>

/* What an event of the thread's epoll is about; smaller numbers are places of waiting ones. */
#define NOTIFY_AT_LISTENER UINT64_MAX
#define NOTIFY_AT_WAKE (UINT64_MAX - 1)

struct notify;
struct notify_wait;

struct notify_wait *wait_new(struct notify *n, int epoll); /* NULL: no memory */
void wait_free(struct notify_wait *wait);
struct notify_wait *notify_wait_of(const struct notify *n);

bool wait_has_room(const struct notify_wait *wait);
/* When wait_look is due, for epoll_wait. */
int wait_timeout_ms(const struct notify_wait *wait);
void wait_ready(struct notify_wait *wait, uint64_t place);
/* Forgets those whose program is gone, answers those that a signal or their own limit ends. */
void wait_look(struct notify_wait *wait);

#endif
