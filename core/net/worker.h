/* SPDX-License-Identifier: Apache-2.0 */
/* worker.h - calls that wait (a name is looked up, TLS is begun) in threads of their own. Private
 * to core/net.
 *
 * Not libuv's: those are four, so that four servers that do not answer hold up all other work, and
 * the end of the process waits for them. */
#ifndef NT_NET_WORKER_H
#define NT_NET_WORKER_H

#include <uv.h>

struct worker;

/* Calls work in a thread, then done in that of the loop; the worker is gone then. 0 or -errno. */
int worker_new(uv_loop_t *uv, void (*work)(void *data), void (*done)(void *data), void *data,
               struct worker **ret);
/* Work that has not begun never does. done comes all the same, later. */
void worker_cancel(struct worker *worker);

#endif
