/* SPDX-License-Identifier: Apache-2.0 */
/* channel.h - one end of the socketpair between monitor and API process: whole messages, with at
 * most one descriptor each, and a bounded queue for what the other end has no room for yet. */
#ifndef NT_SERVE_MONITOR_CHANNEL_H
#define NT_SERVE_MONITOR_CHANNEL_H

#include "nanoterm/stream.h"

struct channel;

struct channel_events {
    /* One message, aligned, valid in the call. fd: the callee's; -1: none. False: it is not
     * acceptable, and no more are read. */
    bool (*message)(void *data, const void *message, size_t size, int fd);
    /* Once: the other end is gone or has broken the rules; nothing more comes. */
    void (*closed)(void *data);
};

/* Takes fd, also when it fails. takes_fds false: a message that brings a descriptor breaks the
 * rules. It must not be freed inside its callbacks. */
struct channel *channel_new(struct nt_loop *loop, int fd, bool takes_fds,
                            const struct channel_events *events, void *data,
                            struct nt_error *reterr);
void channel_free(struct channel *channel); /* takes NULL */
/* Copies the message, takes fd (-1: none). -1: the other end is gone, or does not read. */
int channel_send(struct channel *channel, const void *message, size_t size, int fd);
/* Waits for the message of that kind and number; others come later, in their order. *Waits.*
 * ret_fd: the descriptor that came with it, the caller's, or -1; NULL: it is closed. 0, or -1:
 * closed, too late, or not of that size. */
int channel_wait(struct channel *channel, uint32_t kind, uint64_t number, void *ret, size_t size,
                 int *ret_fd, int64_t wait_ms);

#endif
