/* SPDX-License-Identifier: Apache-2.0 */
/* chain.c - asks another proxy for a tunnel. Of its answer exactly the head is taken from the
 * socket: what follows belongs to the tunnel. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/proxy/visit.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

enum { HEAD_MAX = 8 * 1024 };

struct chain {
    uv_poll_t poll;
    uv_timer_t timer;
    uint32_t open_handles;
    int fd;
    ssize_t seen; /* of the answer so far */
    bool is_told;
    void (*done)(void *data, int fd, const struct nt_error *error);
    void *data;
    char head[HEAD_MAX];
};

static void on_closed(uv_handle_t *handle)
{
    struct chain *c = handle->data;
    if (--c->open_handles == 0)
        free(c);
}

/* fd: given away by now, or closed here. */
static void settle(struct chain *c)
{
    c->is_told = true;
    uv_close((uv_handle_t *)&c->poll, on_closed);
    uv_close((uv_handle_t *)&c->timer, on_closed);
    if (c->fd >= 0)
        close(nt_take_fd(c->fd));
}

static void fail(struct chain *c, const char *why)
{
    struct nt_error e = NT_ERROR_INIT;
    nt_fail(&e, NT_E_CONNECT, "the upstream proxy %s", why);
    settle(c);
    c->done(c->data, -1, &e);
}

static void on_timer(uv_timer_t *timer)
{
    fail(timer->data, "did not answer in time");
}

/* "HTTP/1.1 200 …" */
static bool is_ok(const char *head)
{
    return strncmp(head, "HTTP/1.", 7) == 0 && (head[7] == '0' || head[7] == '1')
           && strncmp(head + 8, " 200", 4) == 0 && (head[12] == ' ' || head[12] == '\r');
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct chain *c = poll->data;
    ssize_t n = recv(c->fd, c->head, sizeof(c->head) - 1, MSG_PEEK);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    /* Woken without more bytes than the last time: there will be none. */
    if (n <= 0 || n == c->seen) {
        fail(c, "closed the connection");
        return;
    }
    c->seen = n;
    c->head[n] = '\0';
    const char *end = strstr(c->head, "\r\n\r\n");
    if (!is_ok(c->head) && (end || strchr(c->head, '\n'))) {
        fail(c, "refused the connection");
        return;
    }
    if (!end && (size_t)n == sizeof(c->head) - 1) {
        fail(c, "gave no proper answer");
        return;
    }
    if (!end) {
        /* Peeked bytes stay: the socket shall be readable only when there are more. */
        int low = (int)n + 1;
        setsockopt(c->fd, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof(low));
        return;
    }
    int low = 1;
    size_t size = (size_t)(end + 4 - c->head);
    setsockopt(c->fd, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof(low));
    if (recv(c->fd, c->head, size, 0) != (ssize_t)size) {
        fail(c, "closed the connection");
        return;
    }
    int fd = nt_take_fd(c->fd);
    void (*done)(void *data, int fd, const struct nt_error *error) = c->done;
    void *data = c->data;
    settle(c);
    done(data, fd, NULL);
}

int chain_new(uv_loop_t *uv, int fd, const char *authority,
              void (*done)(void *data, int fd, const struct nt_error *error), void *data,
              struct chain **ret, struct nt_error *reterr)
{
    nt_autoclose int owned = fd;
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(1024);
    nt_buf_addf(&b, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", authority, authority);
    struct chain *c = calloc(1, sizeof(*c));
    /* The socket is new: its buffer has room for so little. */
    if (!c || !nt_buf_ok(&b) || send(fd, b.data, b.size, MSG_NOSIGNAL) != (ssize_t)b.size
        || uv_poll_init(uv, &c->poll, fd) < 0) {
        free(c);
        return nt_fail(reterr, NT_E_CONNECT, "the upstream proxy cannot be asked");
    }
    uv_timer_init(uv, &c->timer);
    c->poll.data = c->timer.data = c;
    c->open_handles = 2;
    c->fd = nt_take_fd(owned);
    c->done = done;
    c->data = data;
    uv_poll_start(&c->poll, UV_READABLE, on_readable);
    uv_timer_start(&c->timer, on_timer, VISIT_CONNECT_MS, 0);
    *ret = c;
    return 0;
}

void chain_cancel(struct chain *c)
{
    if (c && !c->is_told)
        settle(c);
}
