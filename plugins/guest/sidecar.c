/* SPDX-License-Identifier: Apache-2.0 */
/* sidecar.c - the guest's side of the process that writes a program's log file; see sidecar.h.
 *
 * The process runs under the uid of the programs, so they can kill it (`kill -9 -1` does): then
 * another takes its place. A file system that takes nothing for STUCK_MS is given up, so that it
 * cannot keep a program, or the end of the workspace. */
#include "plugins/guest/sidecar.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "plugins/guest/state.h"

#define STUCK_MS 15000
#define STARTS_MAX 32

struct sidecar {
    struct sidecar *next;
    const struct sidecar_events *events; /* NULL: the owner has closed it */
    void *data;
    struct source socket;
    struct timer stuck;
    pid_t pid; /* 0: none runs */
    unsigned starts;
    char *bytes; /* a packet that waits */
    size_t size;
    unsigned status;
    bool is_open;
    bool has_status;
    bool is_sent; /* the status */
    bool is_written;
    bool is_given_up;
    char id[48];
    char path[SIDECAR_PATH_MAX];
};

static struct sidecar *sidecars;

#define OWNER(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))

static void sidecar_free(struct sidecar *s)
{
    for (struct sidecar **at = &sidecars; *at; at = &(*at)->next) {
        if (*at == s) {
            *at = s->next;
            break;
        }
    }
    loop_timer_end(&s->stuck);
    loop_close(&s->socket);
    free(s->bytes);
    free(s);
    guest_busy();
}

/* Nothing more is written. It is freed when its process is reaped, or now when there is none. */
static void give_up(struct sidecar *s, int sys)
{
    const struct sidecar_events *events = s->events;
    bool was_open = s->is_open;
    if (s->is_given_up)
        return;
    s->is_given_up = true;
    loop_timer_end(&s->stuck);
    loop_close(&s->socket);
    free(s->bytes);
    s->bytes = NULL;
    if (s->pid > 0)
        kill(s->pid, SIGKILL);
    if (!was_open)
        s->events = NULL;
    if (events && !was_open) {
        events->opened(s->data, sys);
    } else if (events) {
        events->failed(s->data, sys);
        events->writable(s->data);
    }
    guest_busy();
}

static void on_stuck(struct timer *timer)
{
    give_up(OWNER(timer, struct sidecar, stuck), ETIMEDOUT);
}

/* 1: sent, 0: it waits, -1: the process has gone */
static int send_packet(struct sidecar *s, char kind, const void *bytes, size_t size)
{
    struct iovec iov[2] = { { &kind, 1 }, { (void *)(uintptr_t)bytes, size } };
    struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
    ssize_t n;
    do
        n = sendmsg(s->socket.fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n >= 0 ? 1 : errno == EAGAIN || errno == ENOBUFS ? 0 : -1;
}

static void wait_for_it(struct sidecar *s)
{
    if (s->socket.fd >= 0)
        loop_set(&s->socket, EPOLLIN | EPOLLOUT);
    if (!s->stuck.fn)
        loop_timer(&s->stuck, STUCK_MS, on_stuck);
}

static bool is_done(const struct sidecar *s)
{
    return s->is_given_up || (!s->bytes && (s->is_written || !s->has_status));
}

/* Sends what waits, in order. */
static void go_on(struct sidecar *s)
{
    if (!s->is_open || s->is_given_up || s->socket.fd < 0)
        return;
    if (s->bytes) {
        if (send_packet(s, SIDECAR_BYTES, s->bytes, s->size) <= 0) {
            wait_for_it(s);
            return;
        }
        free(s->bytes);
        s->bytes = NULL;
    }
    if (s->has_status && !s->is_sent && !s->is_written) {
        char status = (char)s->status;
        s->is_sent = send_packet(s, SIDECAR_STATUS, &status, 1) > 0;
        if (!s->is_sent) {
            wait_for_it(s);
            return;
        }
    }
    loop_set(&s->socket, EPOLLIN);
    loop_timer_end(&s->stuck);
    if (s->has_status && !s->is_written) /* it has so long to write it */
        loop_timer(&s->stuck, STUCK_MS, on_stuck);
    if (s->events) {
        s->events->writable(s->data);
    } else if (is_done(s) && s->socket.fd >= 0) {
        loop_close(&s->socket); /* its process ends, and is reaped */
        if (!s->stuck.fn)
            loop_timer(&s->stuck, STUCK_MS, on_stuck);
    }
}

static void on_gone(struct sidecar *s)
{
    loop_close(&s->socket);
    s->is_sent = false;
    /* the rest follows when it is reaped */
}

static void on_packet(struct sidecar *s, char kind, int sys)
{
    if (kind == SIDECAR_OPENED && sys) {
        give_up(s, sys);
        return;
    }
    if (kind == SIDECAR_OPENED) {
        bool is_first = !s->is_open;
        s->is_open = true;
        loop_timer_end(&s->stuck);
        if (is_first && s->events)
            s->events->opened(s->data, 0);
    } else if (kind == SIDECAR_WRITTEN) {
        s->is_written = true;
        guest_busy(); /* the end of the workspace may have waited for it */
    }
    if (sys && s->events)
        s->events->failed(s->data, sys);
}

static void on_socket(struct source *source, uint32_t events)
{
    struct sidecar *s = OWNER(source, struct sidecar, socket);
    (void)events;
    while (s->socket.fd >= 0) {
        char packet[1 + sizeof(int32_t)];
        int32_t sys;
        ssize_t n = recv(s->socket.fd, packet, sizeof(packet), MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n != (ssize_t)sizeof(packet)) {
            on_gone(s);
            return;
        }
        memcpy(&sys, packet + 1, sizeof(sys));
        on_packet(s, packet[0], sys);
    }
    go_on(s);
}

static int start(struct sidecar *s)
{
    int pair[2];
    if (s->starts >= STARTS_MAX) {
        errno = EIO;
        return -1;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        struct sidecar_plan plan = { s->path, s->id, pair[1], s->starts > 0 };
        sidecar_serve(&plan);
    }
    int sys = errno;
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        errno = sys;
        return -1;
    }
    s->pid = pid;
    s->starts++;
    if (loop_add(&s->socket, pair[0], EPOLLIN, on_socket) < 0) {
        sys = errno;
        close(pair[0]);
        kill(pid, SIGKILL);
        errno = sys;
        return -1;
    }
    loop_timer(&s->stuck, STUCK_MS, on_stuck);
    return 0;
}

struct sidecar *sidecar_open(const char *path, const char *id, const struct sidecar_events *events,
                             void *data)
{
    struct sidecar *s = calloc(1, sizeof(*s));
    if (!s || strlen(path) >= sizeof(s->path) || strlen(id) >= sizeof(s->id)) {
        errno = s ? ENAMETOOLONG : ENOMEM;
        free(s);
        return NULL;
    }
    s->socket.fd = -1;
    memcpy(s->path, path, strlen(path) + 1);
    memcpy(s->id, id, strlen(id) + 1);
    if (start(s) < 0 && !s->pid) {
        free(s);
        return NULL;
    }
    s->events = events;
    s->data = data;
    s->next = sidecars;
    sidecars = s;
    return s;
}

bool sidecar_can_write(const struct sidecar *s)
{
    return s->is_given_up || !s->bytes;
}

void sidecar_write(struct sidecar *s, const void *bytes, size_t size)
{
    if (s->is_given_up)
        return;
    if (s->socket.fd >= 0 && !s->bytes && send_packet(s, SIDECAR_BYTES, bytes, size) > 0)
        return;
    char *copy = s->bytes ? NULL : malloc(size);
    if (!copy) {
        give_up(s, ENOMEM);
        return;
    }
    memcpy(copy, bytes, size);
    s->bytes = copy;
    s->size = size;
    wait_for_it(s);
}

void sidecar_status(struct sidecar *s, unsigned status)
{
    if (s->is_given_up || s->has_status)
        return;
    s->has_status = true;
    s->status = status;
    if (!s->bytes)
        go_on(s);
}

void sidecar_close(struct sidecar *s)
{
    if (!s)
        return;
    s->events = NULL;
    if (s->is_given_up && !s->pid)
        sidecar_free(s);
    else if (!s->is_open)
        give_up(s, ECANCELED); /* a process that opens may hang */
    else
        go_on(s);
}

bool sidecar_is(int pid)
{
    for (struct sidecar *s = sidecars; s; s = s->next)
        if (s->pid == pid)
            return true;
    return false;
}

bool sidecar_reaped(int pid)
{
    struct sidecar *s = sidecars;
    while (s && s->pid != pid)
        s = s->next;
    if (!s)
        return false;
    if (s->socket.fd >= 0) /* its last words */
        on_socket(&s->socket, EPOLLIN);
    s->pid = 0;
    bool is_wanted = !is_done(s) || (s->events && s->is_open && !s->is_given_up);
    if (is_wanted) {
        loop_close(&s->socket);
        loop_timer_end(&s->stuck);
        s->is_sent = false;
        if (start(s) == 0)
            return true;
        give_up(s, errno);
    } else if (!s->is_open) {
        give_up(s, EIO);
    }
    if (!s->events)
        sidecar_free(s);
    return true;
}

unsigned sidecars_busy(void)
{
    unsigned count = 0;
    for (struct sidecar *s = sidecars; s; s = s->next)
        count += !is_done(s);
    return count;
}
