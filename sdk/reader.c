/* SPDX-License-Identifier: Apache-2.0 */
/* reader.c - reads a descriptor of any kind on a struct nt_loop. */
#include "reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"

struct nt_reader {
    struct nt_loop *loop;
    struct nt_watch *watch; /* NULL for what cannot be polled */
    struct nt_timer *timer; /* the next piece of such a file */
    struct nt_reader_events events;
    void *data;
    int fd;
    bool running, ended;
    size_t max, limit;
    char memory[];
};

static void schedule(struct nt_reader *r);

static void read_once(struct nt_reader *r)
{
    size_t want = r->limit && r->limit < r->max ? r->limit : r->max;
    ssize_t got = read(r->fd, r->memory, want);
    if (got < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (got > 0) {
        r->events.bytes(r->data, (struct nt_bytes){ r->memory, (size_t)got });
        return;
    }
    int sys = got < 0 ? errno : 0;
    nt_reader_pause(r);
    r->ended = true;
    r->events.end(r->data, sys);
}

static void on_watch(void *data, int fd, uint32_t events)
{
    (void)fd;
    (void)events;
    struct nt_reader *r = data;
    if (r->running)
        read_once(r);
}

static void on_timer(void *data)
{
    struct nt_reader *r = data;
    r->loop->ops->timer_end(r->timer);
    r->timer = NULL;
    if (!r->running)
        return;
    read_once(r);
    schedule(r);
}

static void schedule(struct nt_reader *r)
{
    if (r->watch || r->timer || !r->running)
        return;
    r->timer = r->loop->ops->timer(r->loop, 0, 0, on_timer, r);
    if (!r->timer) {
        r->running = false;
        r->ended = true;
        r->events.end(r->data, ENOMEM);
    }
}

struct nt_watch *nt_watch_shared(struct nt_loop *loop, int fd, uint32_t events,
                                 void (*fn)(void *data, int fd, uint32_t events), void *data)
{
    int flags = fcntl(fd, F_GETFL);
    struct nt_watch *watch = loop->ops->watch(loop, fd, events, fn, data);
    if (flags >= 0 && !(flags & O_NONBLOCK))
        fcntl(fd, F_SETFL, flags);
    return watch;
}

int nt_reader_new(struct nt_loop *loop, int fd, size_t max, const struct nt_reader_events *events,
                  void *data, struct nt_reader **ret, struct nt_error *reterr)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return nt_fail_sys(reterr, errno, "cannot read descriptor %d", fd);
    struct nt_reader *r = calloc(1, sizeof(*r) + max);
    if (!r)
        return nt_fail(reterr, NT_E_MEMORY, "no memory to read descriptor %d", fd);
    *r = (struct nt_reader){ .loop = loop, .events = *events, .data = data, .fd = fd, .max = max };
    if (!S_ISREG(st.st_mode)) /* what still cannot be polled (/dev/null) is read like a file */
        r->watch = nt_watch_shared(loop, fd, 0, on_watch, r);
    *ret = r;
    return 0;
}

void nt_reader_resume(struct nt_reader *r, size_t limit)
{
    r->limit = limit;
    if (r->running || r->ended)
        return;
    r->running = true;
    if (r->watch)
        r->loop->ops->watch_set(r->watch, NT_READABLE);
    schedule(r);
}

void nt_reader_pause(struct nt_reader *r)
{
    if (!r->running)
        return;
    r->running = false;
    if (r->watch)
        r->loop->ops->watch_set(r->watch, 0);
}

void nt_reader_free(struct nt_reader *r)
{
    if (!r)
        return;
    r->loop->ops->watch_end(r->watch);
    r->loop->ops->timer_end(r->timer);
    free(r);
}
