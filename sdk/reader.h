/* SPDX-License-Identifier: Apache-2.0 */
/* reader.h - reads a descriptor of any kind on a struct nt_loop: terminal, pipe, socket or regular
 * file.
 *
 * A regular file cannot be polled and never blocks for long: it is read in a timer of 0 ms. All
 * else is read once whenever the kernel says that there is something. The descriptor is borrowed
 * and its flags stay as they are. */
#ifndef NT_SDK_READER_H
#define NT_SDK_READER_H

#include "nanoterm/stream.h"

#ifdef __cplusplus
extern "C" {
#endif

struct nt_reader;

struct nt_reader_events {
    /* A piece, valid in the call. Reading goes on unless nt_reader_pause was called. */
    void (*bytes)(void *data, struct nt_bytes bytes);
    /* The end of the input (sys 0), or an error (errno value). Last callback. */
    void (*end)(void *data, int sys);
};

/* loop->ops->watch for a descriptor that other processes have, too (the standard streams): its
 * flags stay as they are. The loop makes what it watches non-blocking, and that is a property of
 * the open file: a shell that reads the same terminal after us would get EAGAIN. So read and write
 * only what the kernel says is ready. */
struct nt_watch *nt_watch_shared(struct nt_loop *loop, int fd, uint32_t events,
                                 void (*fn)(void *data, int fd, uint32_t events), void *data);

/* Starts paused. max: bytes of one piece at the most. Loop's thread. */
int nt_reader_new(struct nt_loop *loop, int fd, size_t max, const struct nt_reader_events *events,
                  void *data, struct nt_reader **ret, struct nt_error *reterr);
/* Reads pieces of at most `limit` bytes (0: max) until paused. */
void nt_reader_resume(struct nt_reader *reader, size_t limit);
void nt_reader_pause(struct nt_reader *reader);
/* No callback comes after it. NULL is nothing. Not from inside `bytes`. */
void nt_reader_free(struct nt_reader *reader);

#ifdef __cplusplus
}
#endif

#endif
