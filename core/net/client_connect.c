/* SPDX-License-Identifier: Apache-2.0 */
/* client_connect.c - finds a way to an address: a Unix socket, each TCP address in turn, or libcurl
 * for https. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/net/client_private.h"
#include "core/net/worker.h"
#include "sdk/error.h"

struct connect_job {
    uv_loop_t *uv;
    const struct connect_events *events; /* NULL: cancelled or told */
    void *owner;
    char *host, *authorities, *pinned, *proxy, *certificates, *key;
    struct net_identity identity;
    struct net_address address; /* with these texts */
    int64_t timeout_ms;
    int64_t deadline;
    uv_timer_t timer;
    uv_poll_t poll;
    uv_getaddrinfo_t resolve;
    struct worker *worker;
    atomic_bool is_given_up;                           /* read by the worker */
    bool has_poll, poll_closed, is_busy, timer_closed; /* busy: a request of libuv runs */
    int fd;
    struct addrinfo *first, *next;
    struct addrinfo pins[NET_ADDRESSES_MAX]; /* of pinned addresses */
    struct sockaddr_storage pinned_at[NET_ADDRESSES_MAX];
    struct curl_link *link;
    struct nt_error error, worked; /* worked: the worker's own */
};

static void try_next(struct connect_job *job);

static void free_job(struct connect_job *job)
{
    if (!job)
        return;
    free(job->host);
    free(job->authorities);
    free(job->pinned);
    free(job->proxy);
    free(job->certificates);
    if (job->key)
        explicit_bzero(job->key, strlen(job->key));
    free(job->key);
    free(job);
}

static void try_free(struct connect_job *job)
{
    if (job->is_busy || job->has_poll || !job->timer_closed)
        return;
    if (job->first)
        uv_freeaddrinfo(job->first);
    curl_link_free(job->link);
    free_job(job);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct connect_job *job = handle->data;
    job->timer_closed = true;
    try_free(job);
}

static void wind_up(struct connect_job *job)
{
    job->events = NULL;
    if (job->is_busy && job->address.kind == NET_TCP)
        uv_cancel((uv_req_t *)&job->resolve);
    atomic_store(&job->is_given_up, true);
    if (job->worker)
        worker_cancel(job->worker);
    uv_close((uv_handle_t *)&job->timer, on_timer_closed);
}

static void succeed(struct connect_job *job, int fd, const struct transport_ops *transport,
                    void *transport_data)
{
    const struct connect_events *events = job->events;
    void *owner = job->owner;
    wind_up(job);
    events->done(owner, fd, transport, transport_data);
}

static void give_up(struct connect_job *job)
{
    const struct connect_events *events = job->events;
    struct nt_error reason = job->error;
    void *owner = job->owner;
    wind_up(job);
    reason.code =
        reason.code == NT_E_TIMEOUT || reason.code == NT_E_USAGE ? reason.code : NT_E_CONNECT;
    reason.retryable = reason.code != NT_E_USAGE;
    reason.request_sent = 0;
    events->failed(owner, &reason);
}

static void note(struct connect_job *job, int sys)
{
    char name[32];
    if (job->address.kind == NET_UNIX)
        nt_fail_sys(&job->error, sys, "cannot connect to %s", job->host);
    else
        nt_fail_sys(&job->error, sys, "cannot connect to %s port %u", job->host,
                    (unsigned)job->address.port);
    job->error.code = NT_E_CONNECT;
    nt_copy_text(job->error.upstream, sizeof(job->error.upstream),
                 nt_errno_name(sys, name, sizeof(name)));
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct connect_job *job = handle->data;
    job->has_poll = false;
    if (job->fd >= 0)
        close(job->fd);
    job->fd = -1;
    if (job->events)
        try_next(job);
    else
        try_free(job);
}

static void close_poll(struct connect_job *job)
{
    if (job->has_poll && !job->poll_closed) {
        job->poll_closed = true;
        uv_close((uv_handle_t *)&job->poll, on_poll_closed);
    }
}

static void on_writable(uv_poll_t *poll, int status, int events)
{
    struct connect_job *job = poll->data;
    int sys = 0;
    socklen_t size = sizeof(sys);
    if (getsockopt(job->fd, SOL_SOCKET, SO_ERROR, &sys, &size) < 0)
        sys = errno;
    if (sys == 0 && status < 0)
        sys = ECONNRESET;
    int fd = job->fd;
    if (sys == 0)
        job->fd = -1;
    else
        note(job, sys);
    close_poll(job);
    if (sys == 0)
        succeed(job, fd, &transport_socket, NULL);
}

static void on_timer(uv_timer_t *timer)
{
    struct connect_job *job = timer->data;
    if (!job->events)
        return;
    if (job->has_poll && (int64_t)uv_now(job->uv) < job->deadline) {
        note(job, ETIMEDOUT);
        close_poll(job); /* this address had its share: the next one */
        return;
    }
    note(job, ETIMEDOUT);
    close_poll(job);
    give_up(job);
}

static void try_next(struct connect_job *job)
{
    while (job->next) {
        const struct addrinfo *a = job->next;
        uint32_t rest = 0;
        for (const struct addrinfo *n = a; n; n = n->ai_next)
            rest++;
        job->next = a->ai_next;
        int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0) {
            note(job, errno);
            continue;
        }
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        int rc = connect(fd, a->ai_addr, a->ai_addrlen) < 0 ? errno : 0;
        if (rc == 0 || rc == EINPROGRESS)
            rc = rc == 0 ? 0 : -uv_poll_init(job->uv, &job->poll, fd) ? EIO : EINPROGRESS;
        if (rc == 0) {
            succeed(job, fd, &transport_socket, NULL);
            return;
        }
        if (rc != EINPROGRESS) {
            note(job, rc);
            close(fd);
            continue;
        }
        job->poll.data = job;
        job->has_poll = true;
        job->poll_closed = false;
        job->fd = fd;
        uv_poll_start(&job->poll, UV_WRITABLE, on_writable);
        int64_t left = job->deadline - (int64_t)uv_now(job->uv);
        uv_timer_start(&job->timer, on_timer, left > 0 ? (uint64_t)(left / rest) : 0, 0);
        return;
    }
    give_up(job);
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
    struct connect_job *job = req->data;
    job->is_busy = false;
    job->first = job->next = list;
    if (!job->events) {
        try_free(job);
        return;
    }
    if (status < 0) {
        nt_fail(&job->error, NT_E_CONNECT, "cannot find %s: %s", job->host, uv_strerror(status));
        nt_copy_text(job->error.upstream, sizeof(job->error.upstream), uv_err_name(status));
        give_up(job);
        return;
    }
    try_next(job);
}

/* The addresses of a pinned name, in a list like that of a lookup; false: there are none. */
static bool read_pins(struct connect_job *job)
{
    uint32_t count = net_pinned_read(job->pinned, job->address.port, job->pinned_at);
    for (uint32_t i = 0; i < count; i++) {
        struct sockaddr *to = (struct sockaddr *)&job->pinned_at[i];
        bool is_six = to->sa_family == AF_INET6;
        job->pins[i] = (struct addrinfo){ .ai_family = to->sa_family,
                                          .ai_addr = to,
                                          .ai_addrlen = is_six ? sizeof(struct sockaddr_in6)
                                                               : sizeof(struct sockaddr_in) };
        if (i)
            job->pins[i - 1].ai_next = &job->pins[i];
    }
    job->next = count ? &job->pins[0] : NULL;
    return count > 0;
}

static void on_pinned(uv_timer_t *timer)
{
    struct connect_job *job = timer->data;
    if (job->events)
        try_next(job);
}

static void on_unix(uv_timer_t *timer)
{
    struct connect_job *job = timer->data;
    if (!job->events)
        return;
    int fd = net_unix_connect(job->host, &job->error);
    if (fd < 0) {
        note(job, job->error.sys ? job->error.sys : EIO);
        give_up(job);
    } else {
        succeed(job, fd, &transport_socket, NULL);
    }
}

static void curl_work(void *data)
{
    struct connect_job *job = data;
    job->link = curl_link_new(&job->address, &job->worked);
    if (job->link)
        job->fd = curl_link_connect(job->link, job->timeout_ms, &job->is_given_up, &job->worked);
}

static void curl_done(void *data)
{
    struct connect_job *job = data;
    job->worker = NULL;
    job->is_busy = false;
    int fd = job->fd;
    job->fd = -1; /* it is libcurl's, and is closed with the link */
    if (!job->events) {
        try_free(job);
    } else if (fd < 0) {
        job->error = job->worked;
        give_up(job);
    } else {
        struct curl_link *link = job->link;
        job->link = NULL;
        succeed(job, fd, &transport_curl, link);
    }
}

static bool keep(const char *text, char **ret)
{
    *ret = text ? strdup(text) : NULL;
    return !text || *ret;
}

static bool keep_identity(struct connect_job *job, const struct net_identity *identity)
{
    if (!identity)
        return true;
    if (!keep(identity->certificates, &job->certificates) || !keep(identity->key, &job->key))
        return false;
    job->identity = (struct net_identity){ .certificates = job->certificates, .key = job->key };
    job->address.identity = &job->identity;
    return true;
}

struct connect_job *connect_start(uv_loop_t *uv, const struct net_address *address,
                                  int64_t timeout_ms, const struct connect_events *events,
                                  void *owner, struct nt_error *reterr)
{
    struct connect_job *job = calloc(1, sizeof(*job));
    if (!job || !keep(address->host, &job->host) || !keep(address->authorities, &job->authorities)
        || !keep(address->pinned, &job->pinned) || !keep(address->proxy, &job->proxy)
        || !keep_identity(job, address->identity)) {
        free_job(job);
        nt_fail(reterr, NT_E_MEMORY, "out of memory for a connection");
        return NULL;
    }
    job->uv = uv;
    job->events = events;
    job->owner = owner;
    job->address = (struct net_address){ .kind = address->kind,
                                         .port = address->port,
                                         .host = job->host,
                                         .authorities = job->authorities,
                                         .pinned = job->pinned,
                                         .proxy = job->proxy,
                                         .identity = job->address.identity };
    job->timeout_ms = timeout_ms;
    job->fd = -1;
    job->error = job->worked = (struct nt_error)NT_ERROR_INIT;
    note(job, EINVAL);
    uv_update_time(uv);
    job->deadline = (int64_t)uv_now(uv) + timeout_ms;
    uv_timer_init(uv, &job->timer);
    job->timer.data = job->resolve.data = job;
    int rc = 0;
    if (address->kind == NET_UNIX) {
        uv_timer_start(&job->timer, on_unix, 0, 0);
        return job;
    }
    if (address->kind == NET_TCP && address->pinned) {
        if (!read_pins(job)) {
            nt_fail(reterr, NT_E_CONNECT, "not the addresses of %s", job->host);
            wind_up(job);
            return NULL;
        }
        uv_timer_start(&job->timer, on_pinned, 0, 0);
        return job;
    }
    if (address->kind == NET_TCP) {
        struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
                                  .ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG };
        char port[8];
        snprintf(port, sizeof(port), "%u", (unsigned)address->port);
        /* AI_ADDRCONFIG hides ::1 on a machine with loopback only; a numeric address needs no
         * configuration. */
        struct in6_addr six;
        if (uv_inet_pton(AF_INET6, job->host, &six) == 0)
            hints.ai_flags = AI_NUMERICSERV | AI_NUMERICHOST;
        rc = uv_getaddrinfo(uv, &job->resolve, on_resolved, job->host, port, &hints);
    } else {
        rc = worker_new(uv, curl_work, curl_done, job, &job->worker);
    }
    if (rc < 0) {
        nt_fail_sys(reterr, -rc, "cannot begin to connect to %s", job->host);
        wind_up(job);
        return NULL;
    }
    job->is_busy = true;
    uv_timer_start(&job->timer, on_timer, (uint64_t)timeout_ms, 0);
    return job;
}

void connect_cancel(struct connect_job *job)
{
    if (!job || !job->events)
        return;
    close_poll(job);
    wind_up(job);
}
