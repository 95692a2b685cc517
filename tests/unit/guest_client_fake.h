/* SPDX-License-Identifier: Apache-2.0 */
/* guest_client_fake.h - an engine with one stream, whose guest is a script of bytes. */
#ifndef GUEST_CLIENT_FAKE_H
#define GUEST_CLIENT_FAKE_H

#include <stdbool.h>
#include <uv.h>

#include "plugins/serve/guest/client.h"

/* The fake engine: fd >= 0: the stream is that descriptor (taken); else bytes go through its
 * callbacks. */
struct fake {
    uv_loop_t *uv;
    uv_idle_t idle; /* drives the stream; closed by fake_done */
    int fd;
    const uint8_t *bytes; /* what the guest says */
    size_t size, at;
    size_t piece; /* at most so many at a time */
    uint64_t granted;
    uint64_t written;
    bool close_after; /* ends when all was said */
    /* the stream */
    struct nt_stream stream;
    const struct nt_stream_events *events;
    void *data;
    bool is_open, is_cancelled, is_closed;
};
extern const struct nt_engine_ops fake_ops;
void fake_init(struct fake *f, uv_loop_t *uv);
static inline struct nt_engine *fake_engine(struct fake *f)
{
    return (struct nt_engine *)(void *)f;
}

#endif
