/* SPDX-License-Identifier: Apache-2.0 */
/* pump.c - moves bytes from one descriptor to another on a struct nt_loop.
 *
 * It waits for one side at a time. When a splice says EAGAIN it was the other side that was not
 * ready, so it waits for that one; both waits are level-triggered, so no readiness is lost. */
#include "pump.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sdk/error.h"
#include "sdk/reader.h"

#define COPY_MAX (64 * 1024)
#define SPLICE_MAX (1024 * 1024)
#define SLOW_WRITE                                                                                 \
    4096         /* to a terminal or socket that may block: no more than it takes at once          \
                  */
#define TURNS 16 /* pieces before the loop gets its turn */

struct pump {
    struct nt_loop *loop;
    struct nt_watch *from_watch, *to_watch; /* NULL: a file, which is always ready */
    struct nt_timer *timer;                 /* the next turn when neither side can be watched now */
    void (*end)(void *data, int sys);
    void *data;
    int from, to;
    bool can_splice, to_may_block, draining, ended;
    size_t start, size; /* copied bytes that wait in memory */
    char memory[COPY_MAX];
};

static void turn(struct pump *p, bool from_ready);

static void on_from(void *data, int fd, uint32_t events)
{
    (void)fd;
    (void)events;
    turn(data, true);
}

static void on_to(void *data, int fd, uint32_t events)
{
    (void)fd;
    (void)events;
    turn(data, false);
}

static void on_timer(void *data)
{
    struct pump *p = data;
    p->loop->ops->timer_end(p->timer);
    p->timer = NULL;
    turn(p, !p->from_watch);
}

static void wait_for(struct pump *p, bool from, bool to)
{
    if (p->from_watch)
        p->loop->ops->watch_set(p->from_watch, from ? NT_READABLE : 0);
    if (p->to_watch)
        p->loop->ops->watch_set(p->to_watch, to ? NT_WRITABLE : 0);
    bool has_watch = (from && p->from_watch) || (to && p->to_watch);
    if (!has_watch && (from || to) && !p->timer)
        p->timer = p->loop->ops->timer(p->loop, 0, 0, on_timer, p);
}

static void finish(struct pump *p, int sys)
{
    wait_for(p, false, false);
    p->ended = true;
    p->end(p->data, sys);
}

static bool is_empty(const struct pump *p)
{
    int waiting = 0;
    return p->size == 0 && ioctl(p->from, FIONREAD, &waiting) == 0 && waiting == 0;
}

/* Writes what waits in memory: true when all of it is gone. */
static bool flush(struct pump *p, int *sys)
{
    while (p->size > 0) {
        size_t piece = p->to_may_block && p->size > SLOW_WRITE ? SLOW_WRITE : p->size;
        ssize_t put = write(p->to, p->memory + p->start, piece);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0) {
            *sys = errno == EAGAIN ? 0 : errno;
            return false;
        }
        p->start += (size_t)put;
        p->size -= (size_t)put;
        if (p->to_may_block && p->size > 0)
            return false;
    }
    p->start = 0;
    return true;
}

/* What a turn leaves to be waited for. */
enum next { NEXT_SOURCE, NEXT_SINK, NEXT_END };

/* Everything that was ready has been moved: the source is next, or it is drained. */
static enum next after_all(const struct pump *p)
{
    return p->draining && is_empty(p) ? NEXT_END : NEXT_SOURCE;
}

/* One turn of copying. from_ready: a read would not block. */
static enum next copy(struct pump *p, bool from_ready, int *sys)
{
    if (p->size == 0 && from_ready) {
        ssize_t got = read(p->from, p->memory, sizeof(p->memory));
        if (got < 0 && errno != EAGAIN && errno != EINTR)
            *sys = errno == EIO ? 0 : errno; /* EIO: the terminal is gone, an end like any other */
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
            return NEXT_END;
        p->size = got > 0 ? (size_t)got : 0;
    }
    bool gone = flush(p, sys);
    if (*sys)
        return NEXT_END;
    return gone ? after_all(p) : NEXT_SINK;
}

static enum next splice_some(struct pump *p, bool from_ready, int *sys)
{
    for (int i = 0; i < TURNS; i++) {
        ssize_t moved =
            splice(p->from, NULL, p->to, NULL, SPLICE_MAX, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (moved > 0)
            continue;
        if (moved == 0)
            return NEXT_END;
        if (errno == EINVAL) { /* a file opened with O_APPEND, or a file system without splice */
            p->can_splice = false;
            return copy(p, from_ready, sys);
        }
        if (errno != EAGAIN && errno != EINTR) {
            *sys = errno;
            return NEXT_END;
        }
        /* The side that said it was ready is not the one that made it wait. */
        return p->to_watch && (from_ready || !p->from_watch) ? NEXT_SINK : after_all(p);
    }
    return p->from_watch ? after_all(p) : NEXT_SINK;
}

static void turn(struct pump *p, bool from_ready)
{
    int sys = 0;
    if (p->ended)
        return;
    enum next next = p->can_splice ? splice_some(p, from_ready, &sys)
                                   : copy(p, from_ready || !p->from_watch, &sys);
    if (next == NEXT_END)
        finish(p, sys);
    else
        wait_for(p, next == NEXT_SOURCE, next == NEXT_SINK);
}

int pump_new(struct nt_loop *loop, int from, int to, void (*end)(void *data, int sys), void *data,
             struct pump **ret, struct nt_error *reterr)
{
    struct stat source, sink;
    if (fstat(from, &source) < 0 || fstat(to, &sink) < 0)
        return nt_fail_sys(reterr, errno, "cannot copy between descriptors %d and %d", from, to);
    struct pump *p = calloc(1, sizeof(*p));
    if (!p)
        return nt_fail(reterr, NT_E_MEMORY, "no memory to copy the streams");
    p->loop = loop;
    p->end = end;
    p->data = data;
    p->from = from;
    p->to = to;
    p->can_splice = (S_ISFIFO(source.st_mode) || S_ISREG(source.st_mode))
                    && (S_ISFIFO(sink.st_mode) || S_ISREG(sink.st_mode));
    p->to_may_block = !S_ISREG(sink.st_mode) && !(fcntl(to, F_GETFL) & O_NONBLOCK);
    if (!S_ISREG(
            source.st_mode)) /* what cannot be polled all the same (/dev/zero) counts as a file */
        p->from_watch = nt_watch_shared(loop, from, 0, on_from, p);
    if (!S_ISREG(sink.st_mode))
        p->to_watch = nt_watch_shared(loop, to, 0, on_to, p);
    wait_for(p, true, !p->from_watch);
    *ret = p;
    return 0;
}

void pump_drain(struct pump *p)
{
    if (p->ended || p->draining)
        return;
    p->draining = true;
    if (!p->timer)
        p->timer = p->loop->ops->timer(p->loop, 0, 0, on_timer, p);
}

void pump_free(struct pump *p)
{
    if (!p)
        return;
    p->loop->ops->timer_end(p->timer);
    p->loop->ops->watch_end(p->from_watch);
    p->loop->ops->watch_end(p->to_watch);
    free(p);
}
