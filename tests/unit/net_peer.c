/* SPDX-License-Identifier: Apache-2.0 */
/* net_peer.c - drives a loop from tests, without a sleep. */
#include "tests/unit/net_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void on_tick(uv_timer_t *timer)
{
    (*(int *)timer->data)++;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    *(bool *)poll->data = true;
}

void net_run_until(uv_loop_t *uv, const bool *condition)
{
    uv_timer_t timer;
    int ticks = 0;
    uv_timer_init(uv, &timer);
    timer.data = &ticks;
    uv_timer_start(&timer, on_tick, 100, 100);
    while (!*condition && ticks < 100)
        uv_run(uv, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(uv, UV_RUN_NOWAIT);
    assert_true(*condition);
}

void net_peer_start(struct net_peer_test *t, const struct net_server_options *options)
{
    struct nt_error e = NT_ERROR_INIT;
    int fds[2];
    assert_int_equal(uv_loop_init(&t->uv), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(net_server_new(&t->uv, -1, options, &t->server, &e), 0);
    assert_int_equal(net_server_take(t->server, fds[0], &e), 0);
    t->fd = fds[1];
}

void net_peer_send(struct net_peer_test *t, const char *bytes, size_t size)
{
    for (int i = 0; size > 0 && i < 100000; i++) {
        ssize_t n = send(t->fd, bytes, size, MSG_NOSIGNAL);
        if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
            return; /* the server may refuse before all was said */
        if (n > 0) {
            bytes += n;
            size -= (size_t)n;
        }
        uv_run(&t->uv, UV_RUN_NOWAIT);
    }
    assert_int_equal(size, 0);
}

/* False: the end. */
static bool read_some(struct net_peer_test *t, struct nt_buf *b)
{
    char *room = nt_buf_room(b, 65536);
    assert_non_null(room);
    ssize_t n = recv(t->fd, room, 65536, 0);
    if (n > 0) {
        nt_buf_added(b, (size_t)n);
        return true;
    }
    if (n == 0 || errno == ECONNRESET)
        return false;
    bool ready = false;
    uv_poll_t poll;
    uv_poll_init(&t->uv, &poll, t->fd);
    poll.data = &ready;
    uv_poll_start(&poll, UV_READABLE, on_readable);
    net_run_until(&t->uv, &ready);
    uv_close((uv_handle_t *)&poll, NULL);
    uv_run(&t->uv, UV_RUN_NOWAIT);
    return true;
}

void net_peer_read_until(struct net_peer_test *t, struct nt_buf *b, const char *text)
{
    while (!strstr(nt_buf_text(b), text))
        if (!read_some(t, b))
            break;
    if (!strstr(nt_buf_text(b), text))
        print_error("wanted [%s], got [%s]\n", text, nt_buf_text(b));
    assert_non_null(strstr(nt_buf_text(b), text));
}

void net_peer_read_to_end(struct net_peer_test *t, struct nt_buf *b)
{
    while (read_some(t, b))
        ;
}

static void on_freed(void *data)
{
    *(bool *)data = true;
}

void net_peer_stop(struct net_peer_test *t)
{
    bool freed = false;
    net_server_free(t->server, on_freed, &freed);
    net_run_until(&t->uv, &freed);
    close(t->fd);
    uv_run(&t->uv, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&t->uv), 0);
}
