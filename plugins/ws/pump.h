/* SPDX-License-Identifier: Apache-2.0 */
/* pump.h - moves bytes from one descriptor to another on a struct nt_loop: splice between pipes and
 * files, copies for all else. One of the two is a pipe of ours (non-blocking); the other is the
 * caller's, and its flags stay. */
#ifndef NT_WS_PUMP_H
#define NT_WS_PUMP_H

#include "nanoterm/stream.h"

struct pump;

/* Starts at once. end: exactly once, later: sys 0 the source ended, or was drained; else an errno
 * value of either side. Descriptors are borrowed. */
int pump_new(struct nt_loop *loop, int from, int to, void (*end)(void *data, int sys), void *data,
             struct pump **ret, struct nt_error *reterr);
/* The source gets nothing new from the program we wait for: end when it is empty, even while others
 * hold it open. */
void pump_drain(struct pump *pump);
/* No callback comes after it. NULL is nothing. */
void pump_free(struct pump *pump);

#endif
