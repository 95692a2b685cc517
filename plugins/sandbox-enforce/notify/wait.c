/* SPDX-License-Identifier: Apache-2.0 */
/* wait.c - connects and sends for programs that wait until it is done.
 *
 * A connection is begun without waiting and watched from then on, so that a host which never
 * answers holds up nobody else and needs no thread. While it is begun the socket is told not to
 * wait; that is a property of the open file, which the program shares for these microseconds, while
 * it waits for us.
 *
 * A signal that the program handles does not end its wait (the kernel waits for our answer, so that
 * an answer is never lost); it is seen here, and connect then fails with EINTR and goes on behind,
 * as connect(2) has it. */
#include "plugins/sandbox-enforce/notify/wait.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/notify/inner.h"
#include "sdk/cleanup.h"
#include "sdk/clock.h"

#define PLACES 128u
#define LOOK_MS 100 /* for the program's end and its signals */
#define AGAIN_MS 5  /* a local socket whose other end has no room: nothing tells when it has */

struct place {
    bool is_used, is_again; /* is_again: to be begun anew */
    bool is_handed_in, close_on_exec;
    uint64_t id;
    pid_t pid;
    int socket, path_fd, number;    /* the first two are ours */
    int64_t until_ms;               /* 0: for ever */
    struct notify_message *message; /* to send; NULL: to connect */
    struct notify_address address;
};

struct notify_wait {
    struct notify *n;
    int epoll;
    size_t count, again;
    int64_t look_at_ms;
    struct place places[PLACES];
};

struct notify_wait *wait_new(struct notify *n, int epoll)
{
    struct notify_wait *wait = calloc(1, sizeof(*wait));
    if (wait)
        *wait = (struct notify_wait){ .n = n, .epoll = epoll };
    return wait;
}

static void place_free(struct notify_wait *wait, struct place *place)
{
    /* Not by closing alone: the program holds the open file too. */
    (void)epoll_ctl(wait->epoll, EPOLL_CTL_DEL, place->socket, NULL);
    close(place->socket);
    message_free(place->message);
    if (place->path_fd >= 0)
        close(place->path_fd);
    wait->count--;
    wait->again -= place->is_again;
    *place = (struct place){ .socket = -1 };
}

void wait_free(struct notify_wait *wait)
{
    if (!wait)
        return;
    for (size_t i = 0; i < PLACES; i++)
        if (wait->places[i].is_used)
            place_free(wait, &wait->places[i]);
    free(wait);
}

bool wait_has_room(const struct notify_wait *wait)
{
    return wait->count < PLACES;
}

int wait_timeout_ms(const struct notify_wait *wait)
{
    if (wait->again)
        return AGAIN_MS;
    return wait->count ? LOOK_MS : -1;
}

/* Begins, or asks how it went: 0, EINPROGRESS, or why not. Never waits. */
static int begin(int socket, const struct notify_address *address, bool waits)
{
    int flags = fcntl(socket, F_GETFL);
    if (flags < 0)
        return errno;
    if (waits && fcntl(socket, F_SETFL, flags | O_NONBLOCK) < 0)
        return errno;
    int sys = connect(socket, (const void *)address->bytes, address->size) < 0 ? errno : 0;
    if (waits)
        (void)fcntl(socket, F_SETFL, flags);
    return sys;
}

/* When the socket's own limit ends it. */
static int64_t limit_of(int socket)
{
    struct timeval limit = { 0 };
    socklen_t size = sizeof(limit);
    if (getsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, &size) < 0
        || (limit.tv_sec == 0 && limit.tv_usec == 0))
        return 0;
    return nt_now_ms() + (int64_t)limit.tv_sec * 1000 + limit.tv_usec / 1000 + 1;
}

/* Whether it is still under way after SYS, for a caller that waits. */
static bool is_under_way(const struct notify_ask *ask, int sys)
{
    if (ask->domain == AF_UNIX)
        return sys == EAGAIN && ask->type != SOCK_DGRAM;
    return sys == EINPROGRESS || sys == EALREADY;
}

bool notify_is_nonblocking(int socket)
{
    int flags = fcntl(socket, F_GETFL);
    return flags < 0 || (flags & O_NONBLOCK);
}

/* A place for the question; NULL: none is left. */
static struct place *place_of(struct notify_wait *wait, const struct notify_ask *ask, bool is_again)
{
    size_t at = 0;
    while (at < PLACES && wait->places[at].is_used)
        at++;
    if (at == PLACES)
        return NULL;
    wait->places[at] = (struct place){ .is_used = true,
                                       .is_again = is_again,
                                       .id = ask->id,
                                       .pid = ask->pid,
                                       .socket = -1,
                                       .path_fd = -1 };
    wait->count++;
    wait->again += is_again;
    return &wait->places[at];
}

static int64_t hand_in(const struct notify *n, uint64_t id, int socket, int number,
                       bool close_on_exec, int sys)
{
    if (sys == 0 || sys == EINPROGRESS || sys == EINTR) {
        int failed = notify_hand_in(n, id, socket, number, close_on_exec);
        sys = failed ? failed : sys;
    }
    return -sys;
}

int64_t wait_connect(const struct notify_ask *ask, const struct notify_address *address, int socket,
                     int path_fd)
{
    struct notify_wait *wait = notify_wait_of(ask->n);
    bool is_handed_in = socket != ask->socket;
    nt_autoclose int path = path_fd;
    nt_autoclose int own = is_handed_in ? socket : -1;
    int number = (int)(uint32_t)ask->args[0];
    bool waits = !notify_is_nonblocking(socket);
    bool close_on_exec = is_handed_in && program_closes_on_exec(ask->pid, number);
    int sys = begin(socket, address, waits);
    if (!waits || !is_under_way(ask, sys))
        return is_handed_in ? hand_in(ask->n, ask->id, socket, number, close_on_exec, sys) : -sys;

    if (own < 0)
        own = fcntl(socket, F_DUPFD_CLOEXEC, 3);
    struct place *place = own < 0 ? NULL : place_of(wait, ask, ask->domain == AF_UNIX);
    if (!place)
        return -EAGAIN;
    struct epoll_event event = { .events = EPOLLOUT, .data.u64 = (uint64_t)(place - wait->places) };
    place->is_handed_in = is_handed_in;
    place->close_on_exec = close_on_exec;
    place->number = number;
    place->address = *address;
    place->path_fd = nt_take_fd(path);
    place->socket = nt_take_fd(own);
    place->until_ms = limit_of(place->socket);
    if (!place->is_again && epoll_ctl(wait->epoll, EPOLL_CTL_ADD, place->socket, &event) < 0) {
        place_free(wait, place);
        return -EAGAIN;
    }
    return NOTIFY_LATER;
}

int64_t wait_send(const struct notify_ask *ask, struct notify_message *m)
{
    struct notify_wait *wait = notify_wait_of(ask->n);
    nt_autoclose int own = fcntl(ask->socket, F_DUPFD_CLOEXEC, 3);
    struct place *place = own < 0 ? NULL : place_of(wait, ask, true);
    if (!place) {
        message_free(m);
        return -EAGAIN;
    }
    place->message = m;
    place->socket = nt_take_fd(own);
    place->until_ms = limit_of(place->socket);
    return NOTIFY_LATER;
}

static void finish(struct notify_wait *wait, struct place *place, int sys)
{
    int64_t answer = -sys;
    if (place->message)
        answer = message_end(place->message, place->pid, -1, answer);
    else if (place->is_handed_in)
        answer =
            hand_in(wait->n, place->id, place->socket, place->number, place->close_on_exec, sys);
    notify_answer(wait->n, place->id, answer);
    place_free(wait, place);
}

/* Looks how it goes; answers when it is over. */
static void try_place(struct notify_wait *wait, struct place *place)
{
    if (place->message) {
        int64_t sent = message_try(place->message, place->socket);
        if (sent != -EAGAIN)
            finish(wait, place, (int)-sent);
        return;
    }
    int sys = begin(place->socket, &place->address, true);
    bool goes_on = place->is_again ? sys == EAGAIN : sys == EINPROGRESS || sys == EALREADY;
    if (!goes_on)
        finish(wait, place, sys);
}

void wait_ready(struct notify_wait *wait, uint64_t place)
{
    if (place < PLACES && wait->places[place].is_used)
        try_place(wait, &wait->places[place]);
}

void wait_look(struct notify_wait *wait)
{
    int64_t now = wait->count ? nt_now_ms() : 0;
    bool is_due = now >= wait->look_at_ms;
    for (size_t i = 0; i < PLACES && wait->count; i++) {
        struct place *place = &wait->places[i];
        if (!place->is_used)
            continue;
        if (is_due && !notify_is_valid(wait->n, place->id))
            place_free(wait, place);
        else if (is_due && program_has_signal(place->pid))
            finish(wait, place, EINTR);
        else if (place->until_ms && now >= place->until_ms)
            finish(wait, place, place->is_again ? EAGAIN : EINPROGRESS);
        else if (place->is_again)
            try_place(wait, place);
    }
    if (is_due)
        wait->look_at_ms = now + LOOK_MS;
}
