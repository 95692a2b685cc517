/* SPDX-License-Identifier: Apache-2.0 */
/* progress.c - the one line that shows how far long work is. */
#include "progress.h"

#include <inttypes.h>

#include "sdk/cleanup.h"

bool progress_step(struct progress *progress, const char *label, uint64_t done, uint64_t total,
                   int64_t now_ms, struct nt_buf *b)
{
    if (total && done >= total)
        return progress_clear(progress, b);
    if (progress->is_shown && now_ms - progress->drawn_ms < PROGRESS_EVERY_MS)
        return false;
    progress->drawn_ms = now_ms;
    progress->is_shown = true;
    /* A carriage return and "erase to the end": the line must fit into one row, so the label is
     * cut. */
    nt_auto(nt_buf_done) struct nt_buf safe = NT_BUF(512);
    nt_buf_add_printable(&safe, label ? label : "", false);
    nt_buf_addf(b, "\r%.50s", nt_buf_text(&safe));
    if (total)
        nt_buf_addf(b, " %3u%%", (unsigned)((double)done * 100 / (double)total));
    else if (done >= 10240)
        nt_buf_addf(b, " %" PRIu64 "k", done / 1024);
    else
        nt_buf_addf(b, " %" PRIu64, done);
    nt_buf_add(b, "\033[K");
    return true;
}

bool progress_clear(struct progress *progress, struct nt_buf *b)
{
    if (!progress->is_shown)
        return false;
    progress->is_shown = false;
    nt_buf_add(b, "\r\033[K");
    return true;
}
