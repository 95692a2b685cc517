/* SPDX-License-Identifier: Apache-2.0 */
/* wait.h - waits for a confined process and its channel, with a deadline and for signals. */
#ifndef NT_CORE_CONFINE_WAIT_H
#define NT_CORE_CONFINE_WAIT_H

#include <signal.h>
#include <stdint.h>

#define WAIT_NEVER INT64_MAX

enum woken { WOKEN_READY, WOKEN_ENDED, WOKEN_LATE, WOKEN_INTERRUPTED, WOKEN_BROKEN };

/* From now on those signals are only taken in wait_for; *ret_before is what sigprocmask gets back.
 */
void wait_hold_signals(sigset_t *ret_before);
/* Until the channel (-1: none) is ready for `events` or the process (a pidfd) has ended. Signals
 * that end a command are ours while we wait here only: the API has its own way with them. One that
 * whoever started us has switched off stays off. *ret_signal: which one interrupted. */
enum woken wait_for(int channel, short events, int process, int64_t until_ms, int *ret_signal);

#endif
