/* SPDX-License-Identifier: Apache-2.0 */
/* talk.c - one request of the engine's own to a guest: shut down, or hand over the listener.
 *
 * The guest is hostile: what it sends is bounded, and only the type of its answer and one
 * descriptor are used. */
#include "native.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sdk/fds.h"

#define ANSWER_MAX 4096u /* HELLO and the answer are far smaller */

struct talk {
    struct nt_loop *loop;
    struct nt_watch *watch;
    struct nt_timer *deadline;
    void (*done)(void *data, uint16_t type, int fd);
    void *data;
    int fd;
    int received; /* descriptor from the guest, -1 */
    size_t to_send, sent, have;
    uint8_t frame[256];
    uint8_t answer[ANSWER_MAX];
};

void talk_free(struct talk *t)
{
    if (!t)
        return;
    t->loop->ops->watch_end(t->watch);
    t->loop->ops->timer_end(t->deadline);
    if (t->received >= 0)
        close(t->received);
    close(t->fd);
    free(t);
}

static void finish(struct talk *t, uint16_t type)
{
    void (*done)(void *data, uint16_t type, int fd) = t->done;
    void *data = t->data;
    int fd = t->received;
    t->received = -1;
    talk_free(t);
    done(data, type, fd);
}

static void on_deadline(void *data)
{
    finish(data, 0);
}

static ssize_t receive(struct talk *t)
{
    int fd, count;
    ssize_t n = nt_recv_fds(t->fd, t->answer + t->have, sizeof(t->answer) - t->have, &fd, 1, &count,
                            MSG_DONTWAIT);
    if (count == 1) {
        if (t->received >= 0)
            close(t->received);
        t->received = fd;
    }
    return n;
}

static void on_ready(void *data, int fd, uint32_t events)
{
    struct talk *t = data;
    (void)fd;
    if (t->sent < t->to_send && (events & NT_WRITABLE)) {
        ssize_t n =
            send(t->fd, t->frame + t->sent, t->to_send - t->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            finish(t, 0);
            return;
        }
        t->sent += n > 0 ? (size_t)n : 0;
        if (t->sent == t->to_send)
            t->loop->ops->watch_set(t->watch, NT_READABLE);
    }
    if (!(events & (NT_READABLE | NT_HANGUP)))
        return;
    ssize_t n = receive(t);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        finish(t, 0);
        return;
    }
    t->have += (size_t)n;
    struct nt_g_frame frame;
    int64_t used;
    while ((used = nt_g_next(t->answer, t->have, &frame)) > 0) {
        if (frame.type != NT_G_HELLO) {
            finish(t, frame.type);
            return;
        }
        memmove(t->answer, t->answer + used, t->have - (size_t)used);
        t->have -= (size_t)used;
    }
    if (used < 0 || t->have == sizeof(t->answer))
        finish(t, 0);
}

struct talk *talk_new(struct nt_loop *loop, int fd, struct nt_bytes frame, int64_t deadline_ms,
                      void (*done)(void *data, uint16_t type, int fd), void *data)
{
    struct talk *t = frame.size <= sizeof(t->frame) ? calloc(1, sizeof(*t)) : NULL;
    if (!t) {
        close(fd);
        return NULL;
    }
    *t = (struct talk){
        .loop = loop, .done = done, .data = data, .fd = fd, .received = -1, .to_send = frame.size
    };
    memcpy(t->frame, frame.data, frame.size);
    t->watch = loop->ops->watch(loop, fd, NT_READABLE | NT_WRITABLE, on_ready, t);
    t->deadline = loop->ops->timer(loop, deadline_ms, 0, on_deadline, t);
    if (!t->watch || !t->deadline) {
        talk_free(t);
        return NULL;
    }
    return t;
}
