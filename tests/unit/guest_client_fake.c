/* SPDX-License-Identifier: Apache-2.0 */
/* guest_client_fake.c - see guest_client_fake.h. */
#include "guest_client_fake.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "sdk/error.h"

static struct fake *of(struct nt_stream *stream)
{
    return (struct fake *)(void *)((char *)stream - offsetof(struct fake, stream));
}

static void close_now(struct fake *f, const struct nt_error *reason)
{
    f->is_closed = true;
    uv_idle_stop(&f->idle);
    uv_close((uv_handle_t *)&f->idle, NULL);
    f->events->close(f->data, &f->stream, reason);
}

static void on_idle(uv_idle_t *idle)
{
    struct fake *f = idle->data;
    struct nt_error error = NT_ERROR_INIT;
    if (!f->is_open) {
        f->is_open = true;
        f->events->open(f->data, &f->stream);
        if (f->is_closed)
            return;
        f->events->writable(f->data, &f->stream, 1 << 20);
        return;
    }
    if (f->is_cancelled) {
        nt_fail(&error, NT_E_CANCELLED, "cancelled");
        close_now(f, &error);
        return;
    }
    size_t n = f->size - f->at;
    n = n < f->piece ? n : f->piece;
    n = n < f->granted ? n : (size_t)f->granted;
    if (n) {
        f->granted -= n;
        f->at += n;
        f->events->data(f->data, &f->stream, (struct nt_bytes){ f->bytes + f->at - n, n }, 0);
    } else if (f->at == f->size && f->close_after) {
        close_now(f, NULL);
    }
}

static void grant(struct nt_stream *stream, uint64_t bytes)
{
    of(stream)->granted += bytes;
}

static int write_bytes(struct nt_stream *stream, struct nt_bytes bytes, uint32_t flags,
                       struct nt_error *reterr)
{
    (void)flags;
    (void)reterr;
    of(stream)->written += bytes.size;
    return 0;
}

static void cancel(struct nt_stream *stream)
{
    of(stream)->is_cancelled = true;
}

static int take_fd(struct nt_stream *stream, struct nt_error *reterr)
{
    struct fake *f = of(stream);
    if (f->fd < 0)
        return nt_fail(reterr, NT_E_UNSUPPORTED, "no descriptor");
    int fd = f->fd;
    f->fd = -1;
    f->is_closed = true;
    uv_idle_stop(&f->idle);
    uv_close((uv_handle_t *)&f->idle, NULL);
    return fd;
}

static const struct nt_stream_ops stream_ops = {
    .size = sizeof(stream_ops),
    .grant = grant,
    .write = write_bytes,
    .cancel = cancel,
    .take_fd = take_fd,
};

static int open_stream(struct nt_engine *engine, const char *id,
                       const struct nt_stream_events *events, void *data, struct nt_error *reterr)
{
    struct fake *f = (struct fake *)(void *)engine;
    (void)id;
    if (f->events)
        return nt_fail(reterr, NT_E_LIMIT, "only one stream");
    f->events = events;
    f->data = data;
    uv_idle_init(f->uv, &f->idle);
    f->idle.data = f;
    uv_idle_start(&f->idle, on_idle);
    return 0;
}

const struct nt_engine_ops fake_ops = { .size = sizeof(fake_ops), .open_stream = open_stream };

void fake_init(struct fake *f, uv_loop_t *uv)
{
    *f = (struct fake){ .uv = uv, .fd = -1, .piece = SIZE_MAX, .close_after = true };
    f->stream = (struct nt_stream){ sizeof(f->stream), NT_STREAM_FD, &stream_ops };
}
