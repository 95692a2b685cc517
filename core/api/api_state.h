/* SPDX-License-Identifier: Apache-2.0 */
/* api_state.h - what stands behind a struct api; for the files of this room only. */
#ifndef NT_CORE_API_STATE_H
#define NT_CORE_API_STATE_H

#include <uv.h>

#include "core/api/answer.h"
#include "core/api/api.h"
#include "core/config/origin.h"
#include "core/net/net.h"

#define API_SIGNALS 3

struct conv;
struct link;

/* The loop lent to plugins: that of core/net, and it knows which signals a plugin watches. */
struct api_loop {
    struct nt_loop head; /* first */
    struct nt_loop *inner;
    uint32_t watched[65]; /* per signal number */
};

struct api {
    struct api_options options;
    uv_loop_t uv;
    struct api_loop loop;
    uv_timer_t alarm; /* wakes the loop at the deadline of a wait */
    uv_signal_t signals[API_SIGNALS];
    int64_t deadline_ms;         /* of the whole command, on the loop's clock; -1: none */
    bool is_running;             /* inside uv_run: nothing may wait in a callback */
    int caught;                  /* the signal that ended a wait; 0: none */
    const struct origin *origin; /* NULL: the embedded server */
    struct nt_error origin_error;
    struct link *links;     /* every connection that is not closed yet */
    struct conv *convs;     /* every conversation, in the order of opening */
    struct answer *answers; /* what was handed out */
    struct answer *brief;   /* the last one that is kept no longer than to the next of its kind */
    struct early *earlies;
    bool asked_to_hand_over; /* once per command */
};

/* The loop's clock. */
int64_t api_now_ms(const struct api *api);
/* The earlier of two points in time; -1 is never. */
int64_t api_earlier(int64_t a, int64_t b);
/* Runs the loop until *done. NT_E_CANCELLED after a signal, NT_E_TIMEOUT at until_ms (-1: never).
 * Ends no stream. */
int api_pump(struct api *api, const uint32_t *done, int64_t until_ms, struct nt_error *reterr);
/* Waits that long, or less when cancelled or out of time. */
int api_sleep(struct api *api, int64_t ms, struct nt_error *reterr);
/* A debug event; fields is "key=value key=value". */
void api_debug(struct api *api, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

int api_loop_init(struct api_loop *loop, uv_loop_t *uv, struct nt_error *reterr);
/* One more uv_run is needed after it. */
void api_loop_done(struct api_loop *loop);

#endif
