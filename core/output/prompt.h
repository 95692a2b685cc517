/* SPDX-License-Identifier: Apache-2.0 */
/* prompt.h - asks the person at the terminal. */
#ifndef NT_CORE_PROMPT_H
#define NT_CORE_PROMPT_H

#include <stdbool.h>
#include <stdint.h>

#include "nanoterm/error.h"
#include "sdk/buf.h"

/* Longest answer in bytes, and longest time to think. */
#define PROMPT_MAX 4096u
#define PROMPT_WAIT_MS 600000

/**
 * Asks on /dev/tty and reads one line into `ret` (its maximum counts).
 *
 * @param is_terminal  false: nobody is there; refuses and names `instead`
 * @param secret       the answer is not shown; the terminal is as before afterwards, also after a
 * signal
 * @param wait_ms      -1: as long as a person may take
 * @param reterr       NT_E_USAGE (no terminal), NT_E_CANCELLED (signal, end of input),
 * NT_E_TIMEOUT */
int prompt_ask(const char *question, const char *instead, bool is_terminal, bool secret,
               int64_t wait_ms, struct nt_buf *ret, struct nt_error *reterr);

#endif
