/* SPDX-License-Identifier: Apache-2.0 */
/* sdk_relay_test.c - two sockets as one connection: every byte, back-pressure, the end of each
 * side, and how many descriptors it takes meanwhile. */
#include "sdk/relay.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Two peers and what is between them. */
struct line {
    int peers[2];
    int ends[2];
    struct nt_relay_pipes pipes;
    struct nt_relay relay;
    uint32_t wants[2];
    int state;
};

static int set_up(void **state)
{
    struct line *l = calloc(1, sizeof(*l));
    assert_non_null(l);
    signal(SIGPIPE, SIG_IGN);
    for (unsigned i = 0; i < 2; i++) {
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
                         0);
        l->peers[i] = pair[0];
        l->ends[i] = pair[1];
    }
    nt_relay_init(&l->relay, l->ends[0], l->ends[1], &l->pipes);
    *state = l;
    return 0;
}

static int tear_down(void **state)
{
    struct line *l = *state;
    nt_relay_done(&l->relay);
    nt_relay_pipes_done(&l->pipes);
    for (unsigned i = 0; i < 2; i++) {
        close(l->peers[i]);
        close(l->ends[i]);
    }
    free(l);
    return 0;
}

static void turn(struct line *l)
{
    l->state = nt_relay_turn(&l->relay, NT_RELAY_ALL, l->wants);
}

static char byte_at(size_t i)
{
    return (char)(i * 7 + i / 4096);
}

/* Writes what fits of SIZE bytes from AT: how many that were. */
static size_t put(int fd, size_t at, size_t size)
{
    char piece[65536];
    size_t count = size - at < sizeof(piece) ? size - at : sizeof(piece);
    for (size_t i = 0; i < count; i++)
        piece[i] = byte_at(at + i);
    ssize_t n = count ? send(fd, piece, count, MSG_NOSIGNAL) : 0;
    assert_true(n >= 0 || errno == EAGAIN);
    return n > 0 ? (size_t)n : 0;
}

/* Reads at most LIMIT bytes and compares them with what stands at AT. */
static size_t take(int fd, size_t at, size_t limit)
{
    char piece[65536];
    ssize_t n = recv(fd, piece, limit < sizeof(piece) ? limit : sizeof(piece), 0);
    assert_true(n > 0 || errno == EAGAIN);
    for (ssize_t i = 0; i < n; i++)
        assert_int_equal(piece[i], byte_at(at + (size_t)i));
    return n > 0 ? (size_t)n : 0;
}

static void small_messages_take_one_small_pipe(void **state)
{
    struct line *l = *state;
    for (unsigned i = 0; i < 100; i++) {
        unsigned from = i & 1;
        assert_int_equal(put(l->peers[from], 0, 1000), 1000);
        turn(l);
        assert_int_equal(take(l->peers[!from], 0, 1000), 1000);
        assert_int_equal(l->wants[0], NT_RELAY_READ);
        assert_int_equal(l->wants[1], NT_RELAY_READ);
    }
    assert_int_equal(l->pipes.sizes[NT_RELAY_SMALL].count, 1);
    assert_int_equal(l->pipes.sizes[NT_RELAY_LARGE].count, 0);
    assert_int_equal(l->relay.ways[0].pipe[0], -1);
    assert_int_equal(l->relay.ways[1].pipe[0], -1);
}

static void bulk_arrives_whole_at_a_slow_reader(void **state)
{
    struct line *l = *state;
    size_t size = 8u << 20, sent = 0, got = 0;
    while (got < size) {
        for (size_t n = 1; n && sent < size; sent += n)
            n = put(l->peers[0], sent, size);
        turn(l);
        assert_int_equal(l->state, NT_RELAY_GOES);
        /* Nothing is read while bytes wait: the sender is to feel it. */
        if (l->relay.ways[0].held) {
            assert_int_equal(l->wants[0], 0);
            assert_int_equal(l->wants[1], NT_RELAY_READ | NT_RELAY_WRITE);
        }
        got += take(l->peers[1], got, 50000);
    }
    assert_int_equal(take(l->peers[1], got, 1), 0);
    assert_int_equal(l->pipes.sizes[NT_RELAY_LARGE].count, 1);
    /* Few bytes bring back a small one. */
    assert_int_equal(put(l->peers[0], 0, 10), 10);
    turn(l);
    assert_int_equal(take(l->peers[1], 0, 10), 10);
    assert_int_equal(put(l->peers[0], 0, 10), 10);
    turn(l);
    assert_int_equal(l->relay.ways[0].size, NT_RELAY_SMALL);
}

static void bulk_goes_through_a_large_pipe(void **state)
{
    struct line *l = *state;
    size_t sent = 0;
    for (size_t n = 1; n; sent += n)
        n = put(l->peers[0], sent, 64u << 20);
    /* The reader takes nothing: what is in the pipe stays there. */
    for (unsigned i = 0; i < 64; i++) {
        turn(l);
        for (size_t n = 1; n; sent += n)
            n = put(l->peers[0], sent, 64u << 20);
    }
    struct nt_relay_way *way = &l->relay.ways[0];
    assert_true(way->held > 0);
    assert_int_equal(way->size, NT_RELAY_LARGE);
    assert_true(fcntl(way->pipe[1], F_GETPIPE_SZ) >= 256 * 1024);
    /* What comes back is not held up. */
    assert_int_equal(put(l->peers[1], 0, 100), 100);
    turn(l);
    assert_int_equal(take(l->peers[0], 0, 100), 100);
    for (size_t got = 0; got < sent; turn(l))
        got += take(l->peers[1], got, 65536);
    assert_int_equal(way->held, 0);
}

static void each_side_ends_by_itself(void **state)
{
    struct line *l = *state;
    char byte;
    assert_int_equal(put(l->peers[0], 0, 100), 100);
    shutdown(l->peers[0], SHUT_WR);
    turn(l);
    turn(l);
    assert_int_equal(l->state, NT_RELAY_GOES);
    assert_int_equal(take(l->peers[1], 0, 100), 100);
    assert_int_equal(recv(l->peers[1], &byte, 1, 0), 0);
    assert_int_equal(l->wants[0], 0); /* its end would be told for ever */
    assert_int_equal(put(l->peers[1], 0, 100), 100);
    turn(l);
    assert_int_equal(take(l->peers[0], 0, 100), 100);
    shutdown(l->peers[1], SHUT_WR);
    turn(l);
    assert_int_equal(l->state, NT_RELAY_DONE);
    assert_int_equal(recv(l->peers[0], &byte, 1, 0), 0);
}

static void the_end_waits_for_what_came_before_it(void **state)
{
    struct line *l = *state;
    size_t sent = 0, got = 0;
    char byte;
    for (unsigned i = 0; i < 32; i++) {
        for (size_t n = 1; n; sent += n)
            n = put(l->peers[0], sent, 64u << 20);
        turn(l);
    }
    shutdown(l->peers[0], SHUT_WR);
    while (got < sent) {
        turn(l);
        assert_int_equal(l->state, NT_RELAY_GOES);
        got += take(l->peers[1], got, 65536);
    }
    turn(l);
    assert_int_equal(recv(l->peers[1], &byte, 1, 0), 0);
}

static void a_reader_that_is_gone_ends_the_writer(void **state)
{
    struct line *l = *state;
    close(l->peers[1]);
    l->peers[1] = -1;
    assert_int_equal(put(l->peers[0], 0, 1000), 1000);
    turn(l);
    if (l->state == NT_RELAY_GOES)
        turn(l);
    assert_int_not_equal(l->state, NT_RELAY_GOES);
}

static void few_large_pipes_are_kept(void **state)
{
    enum { LINES = 8 };
    struct line *all[LINES];
    struct nt_relay_pipes pipes = { 0 };
    for (unsigned i = 0; i < LINES; i++) {
        void *made;
        set_up(&made);
        all[i] = made;
        all[i]->relay.pipes = &pipes;
        for (unsigned k = 0; k < 32; k++) {
            for (size_t n = 1; n;)
                n = put(all[i]->peers[0], 0, 65536);
            turn(all[i]);
        }
        assert_int_equal(all[i]->relay.ways[0].size, NT_RELAY_LARGE);
        assert_true(all[i]->relay.ways[0].held > 0);
    }
    for (unsigned i = 0; i < LINES; i++) {
        char piece[65536];
        while (recv(all[i]->peers[1], piece, sizeof(piece), 0) > 0)
            turn(all[i]);
        assert_int_equal(all[i]->relay.ways[0].held, 0);
        assert_int_equal(all[i]->relay.ways[0].pipe[0], -1);
    }
    assert_int_equal(pipes.sizes[NT_RELAY_LARGE].count, 4);
    for (unsigned i = 0; i < LINES; i++)
        tear_down((void **)&all[i]);
    nt_relay_pipes_done(&pipes);
    assert_int_equal(pipes.sizes[NT_RELAY_LARGE].count, 0);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(small_messages_take_one_small_pipe, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bulk_arrives_whole_at_a_slow_reader, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bulk_goes_through_a_large_pipe, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_side_ends_by_itself, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_end_waits_for_what_came_before_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_reader_that_is_gone_ends_the_writer, set_up, tear_down),
        cmocka_unit_test(few_large_pipes_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
