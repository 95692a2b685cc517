/* SPDX-License-Identifier: Apache-2.0 */
/* wire.h - frames between the core and a confined plugin, over a socketpair: a type, a size and
 * values in a fixed order.
 *
 * Both ends are this very program, so that there are no versions; but what comes from the confined
 * side may be anything. A reader that meets what does not fit fails for good and gives zeroes. */
#ifndef NT_CORE_WIRE_H
#define NT_CORE_WIRE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "nanoterm/host.h"
#include "sdk/buf.h"

/* A frame from the confined side: a body of a request (8 MiB) and what stands around it. */
#define WIRE_UP_MAX ((size_t)9 * 1024 * 1024)
/* An answer of the API, the largest that may be asked for, and what stands around it. */
#define WIRE_BODY_MAX ((size_t)64 * 1024 * 1024)
#define WIRE_DOWN_MAX (WIRE_BODY_MAX + (size_t)1024 * 1024)

enum wire_type {
    /* down: the first frame, then one for each question */
    WIRE_GO = 1,
    WIRE_OK,
    WIRE_FAILED,
    WIRE_ANSWER,
    WIRE_TEXT,
    WIRE_DESCRIPTOR, /* carries one */
    WIRE_OPENED,
    /* down, unasked: between an answer and the next, or while one is waited for */
    WIRE_STREAM_OPEN = 16,
    WIRE_STREAM_HEAD,
    WIRE_STREAM_DATA,
    WIRE_STREAM_END,
    WIRE_STREAM_WRITABLE,
    WIRE_STREAM_CLOSE,
    WIRE_SIGNAL, /* one that is watched has come */
    WIRE_STOP,   /* interrupted, or out of time: every stream has been ended */
    /* up, answered */
    WIRE_REQUEST = 32,
    WIRE_UPGRADE,
    WIRE_CONNECT,
    WIRE_EMIT,
    WIRE_EMIT_JSON,
    WIRE_PROMPT,
    WIRE_CONFIG,
    WIRE_CLEAR, /* the line of progress makes room */
    WIRE_OPEN,
    /* up, not answered */
    WIRE_STARTED = 64, /* the plugin is loaded */
    WIRE_MESSAGE,
    WIRE_PROGRESS,
    WIRE_DEBUG,
    WIRE_RESULT, /* the last one */
    WIRE_LOOP,   /* from here on it may wait for streams and signals */
    WIRE_WATCH_SIGNAL,
    WIRE_STREAM_GRANT,
    WIRE_STREAM_WRITE,
    WIRE_STREAM_FINISH,
    WIRE_STREAM_CANCEL,
};

/* The signals that end a command; the core watches them for the plugin. */
#define WIRE_IS_CORE_SIGNAL(signo) ((signo) == SIGINT || (signo) == SIGTERM || (signo) == SIGHUP)

/* true: sent without a question. */
static inline bool wire_is_news(uint32_t type)
{
    return type >= WIRE_STREAM_OPEN && type <= WIRE_STOP;
}

struct wire_head {
    uint32_t type;
    uint32_t size; /* of what follows */
};

/* --- writing: a frame begins with its head, whose size is filled in by wire_end ------------- */

void wire_begin(struct nt_buf *b, enum wire_type type);
void wire_u32(struct nt_buf *b, uint32_t value);
void wire_u64(struct nt_buf *b, uint64_t value);
void wire_bytes(struct nt_buf *b, struct nt_bytes bytes);
void wire_text(struct nt_buf *b, const char *text); /* NULL is a value of its own */
void wire_error(struct nt_buf *b, const struct nt_error *error);
void wire_end(struct nt_buf *b);

/* --- reading ------------------------------------------------------------------------------- */

struct wire_reader {
    const char *at;
    size_t left;
    bool failed;
};

uint32_t wire_get_u32(struct wire_reader *r);
uint64_t wire_get_u64(struct wire_reader *r);
struct nt_bytes wire_get_bytes(struct wire_reader *r);
/* In the frame, NUL-terminated, of at most `max` bytes. NULL: that was sent, or it does not fit. */
const char *wire_get_text(struct wire_reader *r, size_t max);
/* The same, but never NULL. */
const char *wire_need_text(struct wire_reader *r, size_t max);
/* Texts are cut and cleaned. */
void wire_get_error(struct wire_reader *r, struct nt_error *ret);
/* true when all was read and it fitted. */
bool wire_is_whole(const struct wire_reader *r);

#endif
