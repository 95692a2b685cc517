/* SPDX-License-Identifier: Apache-2.0 */
/* conv.h - one conversation with the API over one connection: a request, a stream or an upgrade.
 *
 * converse() makes attempts until one has come so far that the caller can go on: the whole answer
 * (CONV_REQUEST), the head (CONV_DOWN, CONV_WS, CONV_UPGRADE), or the connection (CONV_UP). */
#ifndef NT_CORE_CONV_H
#define NT_CORE_CONV_H

#include "core/api/api_state.h"

enum conv_kind {
    CONV_REQUEST,
    CONV_DOWN, /* a whole body or none up, a stream of bytes down */
    CONV_UP,   /* a stream of bytes up, the answer's bytes down */
    CONV_WS,
    CONV_UPGRADE,
};

struct conv_spec {
    enum conv_kind kind;
    uint32_t flags; /* NT_REQ_* */
    const char *method, *path;
    const char *content_type; /* NULL: none */
    const char *protocol;     /* CONV_UPGRADE */
    struct nt_table headers;
    struct nt_bytes body; /* CONV_REQUEST, CONV_DOWN */
    int64_t length;       /* CONV_UP */
    size_t max_body_bytes;
    int64_t until_ms; /* -1: never */
    const struct nt_stream_events *events;
    void *data;
    struct nt_response *ret_head;
};

struct conv {
    struct nt_stream stream; /* first: what a plugin holds */
    struct conv *next;
    struct api *api;
    struct link *link; /* NULL: it has ended, or became a WebSocket */
    struct net_ws *ws;
    enum conv_kind kind;
    uint32_t done; /* this attempt has come far enough, or has failed (error) */
    const char *method;
    size_t max_body_bytes;
    struct answer *answer;
    struct nt_error error; /* code 0: none */
    bool is_begun;         /* NT_REQ_BEGIN: lent before there is an answer */
    bool is_switched;      /* 101 came: ws is ours, no longer the connection's */
    bool is_collecting;    /* the body goes into the answer: a request's, or an error's */
    bool answered;         /* the answer is complete, or the WebSocket is closed */
    bool closed;           /* no callback of core/net comes any more */

    /* A stream (stream.c). */
    struct nt_stream_events events;
    void *data;
    struct nt_response *ret_head;
    uv_timer_t kick;        /* delivers what must not be called from inside the caller's own call */
    bool has_kick, is_lent; /* lent: the plugin holds it, and hears of it */
    bool told_open, told_end, told_close, wants_writable;
    bool finished, cancelled;
    /* bytes of the announced body that are still to be written; -1: not announced */
    int64_t left;
    uint64_t credit;       /* what the plugin may write */
    struct nt_buf partial; /* of a WebSocket message that is written in pieces */

    int fd; /* CONV_UPGRADE */
    struct nt_buf early;
};

/* The connection's events for a conversation (link.c calls them; stream.c and conv.c are behind
 * them). */
void conv_head(struct conv *conv, uint32_t status);
void conv_body(struct conv *conv, struct nt_bytes bytes);
void conv_answered(struct conv *conv, bool reusable);
void conv_writable(struct conv *conv, uint64_t credit);
void conv_closed(struct conv *conv, const struct nt_error *reason);

/* Attempts until one succeeds, with the waits that retry.c says. The conv is the caller's:
 * conv_free or stream_lend. */
int converse(struct api *api, const struct conv_spec *spec, struct conv **ret,
             struct nt_error *reterr);
/* The first half of one attempt, without waiting: connects and sends. What comes of it is heard by
 * the events, after stream_lend. */
int converse_begin(struct api *api, const struct conv_spec *spec, struct conv **ret,
                   struct nt_error *reterr);
/* Gives the connection back (or ends it) and frees. */
void conv_free(struct conv *conv);

/* stream.c */
extern const struct net_ws_events stream_ws_events;
/* From here on the plugin holds it; it frees itself after its close callback. */
int stream_lend(struct conv *conv, struct nt_error *reterr);
/* Something changed: tells the plugin what it has to hear, in order. */
void stream_tell(struct conv *conv);
/* The same from the loop's next round; nothing for one that is not lent. */
void stream_tell_later(struct conv *conv);
/* Ends it with this reason; the close callback comes later. */
void stream_end(struct conv *conv, const struct nt_error *reason);

/* What may wait to be sent before a writer has to wait; and what it may write beyond it. The
 * surplus makes sure that a writer that leaves a few bytes of its credit unused still brings the
 * connection to tell when there is room. */
#define CONV_KEEPALIVE_MS 20000 /* of a WebSocket */
#define CONV_QUEUE (768u * 1024)
#define CONV_SURPLUS (256u * 1024)

#endif
