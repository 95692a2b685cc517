/* SPDX-License-Identifier: Apache-2.0 */
/* net_loop_test.c - the loop that is lent to plugins, and https that cannot connect. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/net_peer.h"

struct seen {
    struct nt_loop *loop;
    uint32_t ticks, posts, reads, signals;
    bool worked, done, read, posted, signalled, ticked, freed;
};

static void on_tick(void *data)
{
    struct seen *s = data;
    s->ticked = ++s->ticks == 3;
}

static void on_post(void *data)
{
    ((struct seen *)data)->posted = true;
}

static void on_work(void *data)
{
    struct seen *s = data;
    s->worked = true;
    s->loop->ops->post(s->loop, on_post, s); /* from another thread */
}

static void on_done(void *data)
{
    ((struct seen *)data)->done = true;
}

static void on_read(void *data, int fd, uint32_t events)
{
    struct seen *s = data;
    char c;
    assert_true(events & NT_READABLE);
    s->read = read(fd, &c, 1) == 1;
}

static void on_signal(void *data, int signo, uint32_t zero)
{
    ((struct seen *)data)->signalled = signo == SIGUSR1;
}

static void on_freed(void *data)
{
    ((struct seen *)data)->freed = true;
}

static void the_loop_does_what_it_lends(void **state)
{
    struct nt_error e = NT_ERROR_INIT;
    struct seen s = { .ticks = 0 };
    uv_loop_t uv;
    int fds[2];
    assert_int_equal(uv_loop_init(&uv), 0);
    assert_int_equal(pipe(fds), 0);
    struct nt_loop *loop = s.loop = net_loop_new(&uv, &e);
    assert_non_null(loop);
    struct nt_timer *timer = loop->ops->timer(loop, 1, 1, on_tick, &s);
    net_run_until(&uv, &s.ticked);
    loop->ops->timer_end(timer);
    struct nt_watch *watch = loop->ops->watch(loop, fds[0], NT_READABLE, on_read, &s);
    assert_int_equal(write(fds[1], "x", 1), 1);
    net_run_until(&uv, &s.read);
    loop->ops->watch_end(watch);
    assert_non_null(loop->ops->signal(loop, SIGUSR1, on_signal, &s));
    raise(SIGUSR1);
    net_run_until(&uv, &s.signalled);
    assert_int_equal(loop->ops->work(loop, on_work, on_done, &s), 0);
    net_run_until(&uv, &s.done);
    net_run_until(&uv, &s.posted);
    assert_true(s.worked);
    /* forgotten: the loop ends it */
    assert_non_null(loop->ops->timer(loop, 60000, 0, on_tick, &s));
    net_loop_free(loop, on_freed, &s);
    net_run_until(&uv, &s.freed);
    uv_run(&uv, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&uv), 0);
    close(fds[0]);
    close(fds[1]);
}

struct lost {
    bool closed;
    struct nt_error reason;
};

static void on_closed(void *data, struct net_client *client, const struct nt_error *reason)
{
    struct lost *l = data;
    l->closed = true;
    l->reason = *reason;
}

static void https_that_is_refused_was_not_sent(void **state)
{
    struct nt_error e = NT_ERROR_INIT;
    struct net_client_events events = { .closed = on_closed };
    struct lost l = { .closed = false };
    struct net_client *client;
    uv_loop_t uv;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(in);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &size), 0);
    assert_int_equal(uv_loop_init(&uv), 0);
    struct net_address a = { .kind = NET_HTTPS, .host = "127.0.0.1", .port = ntohs(in.sin_port) };
    assert_int_equal(net_client_new(&uv, &a, NULL, 5000, &events, &l, &client, &e), 0);
    net_run_until(&uv, &l.closed);
    assert_int_equal(l.reason.code, NT_E_CONNECT);
    assert_int_equal(l.reason.request_sent, 0);
    close(fd);
    uv_run(&uv, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&uv), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_loop_does_what_it_lends),
        cmocka_unit_test(https_that_is_refused_was_not_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
