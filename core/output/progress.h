/* SPDX-License-Identifier: Apache-2.0 */
/* progress.h - the one line that shows how far long work is; makes text, writes nothing. */
#ifndef NT_CORE_PROGRESS_H
#define NT_CORE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "sdk/buf.h"

/* Least time between two drawings. */
#define PROGRESS_EVERY_MS 100

struct progress {
    int64_t drawn_ms;
    bool is_shown;
};

/* Adds what to write to the terminal; false: nothing now (too soon). done == total ends the
 * line. */
bool progress_step(struct progress *progress, const char *label, uint64_t done, uint64_t total,
                   int64_t now_ms, struct nt_buf *b);
/* Adds what takes the line away; false: there is none. */
bool progress_clear(struct progress *progress, struct nt_buf *b);

#endif
