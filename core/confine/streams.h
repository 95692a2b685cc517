/* SPDX-License-Identifier: Apache-2.0 */
/* streams.h - streams and signals of a confined plugin, on the core's side: opened for it as far as
 * declared, with bounds that it cannot move.
 *
 * Once the plugin has a loop, the core waits in its own: for the channel and for the streams. What
 * the plugin shall hear gathers in a queue, so that a plugin that does not read delays nobody but
 * itself; what a stream may bring is granted only while that queue is short. */
#ifndef NT_CORE_STREAMS_H
#define NT_CORE_STREAMS_H

#include "core/confine/serve.h"

enum streams_woken {
    STREAMS_CHANNEL, /* something can be read, or the process has ended */
    STREAMS_LATE,
    STREAMS_STOPPED, /* interrupted or out of time, reterr; every stream has been ended */
};

/* Idempotent. */
int streams_begin(struct confined *c, struct nt_error *reterr);
enum streams_woken streams_wait(struct confined *c, struct nt_error *reterr);
/* Opens what is declared, and answers in c->out. */
int streams_open(struct confined *c, const struct nt_open *open, struct nt_error *reterr);
/* WIRE_WATCH_SIGNAL; and what the plugin does with a stream. -1: no frame that a plugin sends. */
int streams_watch_signal(struct confined *c, struct wire_reader *r);
int streams_frame(struct confined *c, uint32_t type, struct wire_reader *r);
/* The plugin shall come to its end: its waits fail with the reason. */
void streams_stop(struct confined *c, const struct nt_error *reason);
/* What waits to be told. */
bool streams_has_news(const struct confined *c);
struct nt_bytes streams_news(const struct confined *c);
void streams_told(struct confined *c, size_t bytes);
/* Sends what the channel takes now. */
void streams_flush(struct confined *c);
/* true: the plugin lets its news lie. */
bool streams_is_flooded(const struct confined *c);
void streams_end(struct confined *c);

#endif
