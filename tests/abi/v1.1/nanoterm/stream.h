/* SPDX-License-Identifier: Apache-2.0 */
/* stream.h - bytes with flow control, and the loop that they live in.
 *
 * A stream is a conversation of bytes (or messages) with credit: the consumer grants bytes, the
 * producer never exceeds what was granted, and close comes exactly once, with a reason.
 * The loop is what a host lends to code that waits: timers, descriptors, signals, work on another
 * thread. Neither names the library behind it. All callbacks run on the loop's thread, never inside
 * the call that caused them. */
#ifndef NANOTERM_STREAM_H
#define NANOTERM_STREAM_H

#include "nanoterm/error.h"

/* Borrowed bytes; may contain NUL. Passed by value: never grows. */
struct nt_bytes {
    const void *data;
    size_t size;
};

/* Rows of a table and their stride in bytes, so that rows can grow. Passed by value: never
 * grows. */
struct nt_table {
    const void *rows;
    uint32_t count;
    uint32_t stride;
};
#define NT_TABLE(a)                                                                                \
    {                                                                                              \
        (a), sizeof(a) / sizeof((a)[0]), sizeof((a)[0])                                            \
    }

/* True when the struct behind p is long enough to have the member: the size only. Test a pointer
 * where you use it. */
#define NT_HAS(type, p, member) ((p)->size >= offsetof(type, member) + sizeof((p)->member))

struct nt_stream;

/* Flags of nt_stream_events.data and nt_stream_ops.write. */
#define NT_DATA_TEXT 0x1u    /* message streams: the message is text (UTF-8) */
#define NT_DATA_PARTIAL 0x2u /* message streams: more of the same message follows */

/* What the owner of a stream gives. `data` is the pointer given at open. Members may be NULL. */
struct nt_stream_events {
    uint32_t size;
    uint32_t reserved;
    /* The stream is open. status and headers of the answer are read with nt_host.header. */
    void (*open)(void *data, struct nt_stream *stream);
    /* At most the granted bytes arrive; `bytes` is valid until the callback returns. */
    void (*data)(void *data, struct nt_stream *stream, struct nt_bytes bytes, uint32_t flags);
    /* The peer sends no more (half-close). close still follows. */
    void (*end)(void *data, struct nt_stream *stream);
    /* The peer granted: `credit` is the number of bytes that may be written now, in all. */
    void (*writable)(void *data, struct nt_stream *stream, uint64_t credit);
    /* Last callback, exactly once. reason is NULL when both ends had finished. */
    void (*close)(void *data, struct nt_stream *stream, const struct nt_error *reason);
};

/* What the producer of a stream implements. */
struct nt_stream_ops {
    uint32_t size;
    uint32_t reserved;
    /* Allows `bytes` more to arrive. A stream starts with no credit. */
    void (*grant)(struct nt_stream *stream, uint64_t bytes);
    /* Copies and sends. More than the credit is NT_E_LIMIT and sends nothing. */
    int (*write)(struct nt_stream *stream, struct nt_bytes bytes, uint32_t flags,
                 struct nt_error *reterr);
    /* No more will be written (half-close). */
    void (*finish)(struct nt_stream *stream);
    /* Ends it at once; the close callback still comes, with NT_E_CANCELLED. May be called twice. */
    void (*cancel)(struct nt_stream *stream);
    /* With NT_STREAM_FD, before anything was granted or written: gives the descriptor behind the
     * stream to the caller (close-on-exec, non-blocking). The stream then ends without a
     * callback. */
    int (*take_fd)(struct nt_stream *stream, struct nt_error *reterr);
};

#define NT_STREAM_FD 0x1u       /* take_fd works: the stream is one local descriptor */
#define NT_STREAM_PASS_FDS 0x2u /* that descriptor carries descriptors (SCM_RIGHTS) */
#define NT_STREAM_MESSAGES 0x4u /* boundaries are kept */

/* Head of every stream; the producer's own state follows it. */
struct nt_stream {
    uint32_t size;
    uint32_t flags; /* NT_STREAM_* */
    const struct nt_stream_ops *ops;
};

struct nt_loop;
struct nt_timer;
struct nt_watch;

#define NT_READABLE 0x1u
#define NT_WRITABLE 0x2u
#define NT_HANGUP 0x4u /* reported only, together with what can still be read */

/* What a loop can do. Thread: the loop's own, but for post. */
struct nt_loop_ops {
    uint32_t size;
    uint32_t reserved;
    /* Milliseconds of a clock that only goes forward. */
    int64_t (*now_ms)(struct nt_loop *loop);
    /* Calls fn once after delay_ms, then every repeat_ms when that is not 0. NULL: out of
     * memory. */
    struct nt_timer *(*timer)(struct nt_loop *loop, int64_t delay_ms, int64_t repeat_ms,
                              void (*fn)(void *data), void *data);
    /* Ends a timer, fired or not; a one-shot timer must be ended too. NULL is nothing. */
    void (*timer_end)(struct nt_timer *timer);
    /* Watches a descriptor (borrowed; it must stay open until watch_end). Level-triggered. */
    struct nt_watch *(*watch)(struct nt_loop *loop, int fd, uint32_t events,
                              void (*fn)(void *data, int fd, uint32_t events), void *data);
    /* Changes what is waited for; 0 pauses. */
    void (*watch_set)(struct nt_watch *watch, uint32_t events);
    /* Watches a signal; while one is watched the host's own reaction to it (cancel) is off. */
    struct nt_watch *(*signal)(struct nt_loop *loop, int signo,
                               void (*fn)(void *data, int signo, uint32_t zero), void *data);
    /* Ends a watch of either kind. After it no callback comes. NULL is nothing. */
    void (*watch_end)(struct nt_watch *watch);
    /* Calls fn on the loop's thread, soon. Any thread. -1: out of memory. */
    int (*post)(struct nt_loop *loop, void (*fn)(void *data), void *data);
    /* Calls work on a worker thread, then done on the loop's thread. -1: neither will be called. */
    int (*work)(struct nt_loop *loop, void (*work)(void *data), void (*done)(void *data),
                void *data);
};

struct nt_loop {
    uint32_t size;
    uint32_t reserved;
    const struct nt_loop_ops *ops;
};

#endif
