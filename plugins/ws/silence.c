/* SPDX-License-Identifier: Apache-2.0 */
/* silence.c - one timer; see silence.h.
 *
 * It may be us who were away (stopped by Ctrl-Z, or waiting for a terminal): what came meanwhile is
 * still to be read. So the first alarm only makes a suspicion, and the loop gets the time to read.
 */
#include "silence.h"

#include "sdk/clock.h"

#define SUSPICION_MS 1000

static void on_timer(void *data);

static void arm(struct silence *s, int64_t delay_ms)
{
    s->loop->ops->timer_end(s->timer);
    s->timer = s->loop->ops->timer(s->loop, delay_ms, 0, on_timer, s);
}

static void on_timer(void *data)
{
    struct silence *s = data;
    int64_t left_ms = s->heard_ms + s->limit_ms - nt_now_ms();
    if (left_ms > 0) {
        arm(s, left_ms);
    } else if (!s->is_suspected) {
        s->is_suspected = true;
        arm(s, s->limit_ms < SUSPICION_MS ? s->limit_ms : SUSPICION_MS);
    } else {
        silence_end(s);
        s->silent(s->data);
    }
}

void silence_start(struct silence *s, struct nt_loop *loop, int64_t limit_ms,
                   void (*silent)(void *data), void *data)
{
    *s = (struct silence){
        .loop = loop, .silent = silent, .data = data, .limit_ms = limit_ms, .heard_ms = nt_now_ms()
    };
    arm(s, limit_ms);
}

void silence_heard(struct silence *s)
{
    if (!s->timer)
        return;
    s->heard_ms = nt_now_ms();
    s->is_suspected = false;
}

void silence_end(struct silence *s)
{
    if (s->timer)
        s->loop->ops->timer_end(s->timer);
    s->timer = NULL;
}
