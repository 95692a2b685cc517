/* SPDX-License-Identifier: Apache-2.0 */
/* inside_own.h - what the files of the confined process share: its side of the channel, the loop
 * and the streams that it lends to the plugin. */
#ifndef NT_CORE_INSIDE_OWN_H
#define NT_CORE_INSIDE_OWN_H

#include "core/confine/confine.h"
#include "core/confine/wire.h"

/* What came from the core. */
struct frame {
    struct frame *next;
    uint32_t type;
    uint32_t size;
    char data[];
};

/* Headers of an answer lie in its frame. */
struct headers {
    uint32_t count;
    struct nt_header rows[];
};

struct inside {
    struct nt_call head; /* first: the plugin holds its address */
    const struct confine_options *options;
    int channel;
    struct frame *frames;           /* answers: as long as the command */
    struct frame *news, *last_news; /* unasked, and not delivered yet */
    struct nt_buf out;
    int64_t deadline_ms; /* CLOCK_MONOTONIC; -1: none */
    uint32_t status, by;
    bool has_status, is_debug;
    bool is_running; /* inside the loop: nothing may wait in a callback */
};

extern struct inside inside;

/* --- the channel (inside_channel.c) --------------------------------------------------------- */

/* Without the core outside there is nothing left to do. */
_Noreturn void inside_lost(void);
/* Sends what is in `out`, which wants no answer. */
void inside_send(void);
/* Reads the next frame, which is no news; news that come before it are kept. */
struct frame *inside_read(int *ret_fd);
struct wire_reader inside_reader(const struct frame *frame);
/* Sends what is in `out` and waits for the answer of that type; a failure fills reterr, NULL. */
struct frame *inside_ask(uint32_t type, int *ret_fd, struct nt_error *reterr);
/* The same for what waits for the API: not in a callback. */
struct frame *inside_ask_api(uint32_t type, int *ret_fd, struct nt_error *reterr);
/* Reads one frame, which must be news, and keeps it. */
void inside_read_news(void);
/* The next of the news, the caller's to free; NULL: none. */
struct frame *inside_take_news(void);
/* Status, request id, headers and body of an answer; what it points to lives as long as the frame
 * and the command. */
int inside_read_head(struct wire_reader *r, struct nt_response *ret, struct nt_error *reterr);

/* --- the loop (inside_loop.c) --------------------------------------------------------------- */

/* NULL: out of memory or descriptors. */
struct nt_loop *inside_loop(void);
int inside_wait(const uint32_t *done, struct nt_error *reterr);
/* Calls fn later on this thread, from within the loop. From any thread; -1: out of memory. */
int inside_post(void (*fn)(void *data), void *data, bool is_limited);
/* A signal that the core watches for the plugin has come. */
void inside_signalled(int signo);
/* Every wait from now on fails with it. */
void inside_stop(const struct nt_error *reason);

/* --- streams (inside_streams.c) ------------------------------------------------------------- */

int inside_open(const struct nt_open *open, struct nt_stream **ret, struct nt_response *ret_head,
                struct nt_error *reterr);
/* Tells the plugin one piece of news. */
void inside_deliver(const struct frame *frame);
/* Closes what is still open, in the order of opening. */
void inside_close_streams(const struct nt_error *reason);

#endif
