/* SPDX-License-Identifier: Apache-2.0 */
/* silence.h - notices that the other side of a stream, which gives signs of life, gives none any
 * more. */
#ifndef NT_WS_SILENCE_H
#define NT_WS_SILENCE_H

#include <stdbool.h>

#include "nanoterm/stream.h"

#define SILENCE_BEAT_MS 10000 /* what we ask for */
#define SILENCE_LIMIT_MS 30000

struct silence {
    struct nt_loop *loop;
    struct nt_timer *timer;
    void (*silent)(void *data);
    void *data;
    int64_t limit_ms, heard_ms;
    bool is_suspected;
};

/* silent is called at most once, when nothing was heard for limit_ms. */
void silence_start(struct silence *s, struct nt_loop *loop, int64_t limit_ms,
                   void (*silent)(void *data), void *data);
/* Something came. */
void silence_heard(struct silence *s);
/* No callback comes after it; also for one that was never started. */
void silence_end(struct silence *s);

#endif
