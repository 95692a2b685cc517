/* SPDX-License-Identifier: Apache-2.0 */
/* guest_ports_test.c - drives the real guest: published ports, CONNECT, and who listens. */
#include "guest_harness.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define BULK (8u * 1024u * 1024u)

/* A listening socket on loopback; *ret_port is what the kernel picked. */
static int listen_here(uint16_t *ret_port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(fd, 2048), 0); /* more than come at once: none waits for a second SYN */
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &size), 0);
    *ret_port = ntohs(a.sin_port);
    return fd;
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in a = { .sin_family = AF_INET,
                             .sin_port = htons(port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    return fd;
}

static struct frame *publish_frame(uint16_t port, uint16_t host_port)
{
    struct frame *f = frame_number(frame_new(NT_G_PUBLISH), NT_GT_PORT, port);
    return frame_text(frame_number(f, NT_GT_HOST_PORT, host_port), NT_GT_ADDRESS, "127.0.0.1");
}

/* Publishes a port inside; returns the port on the host. */
static uint16_t publish(uint16_t port)
{
    uint16_t host_port;
    int fd = listen_here(&host_port), conn = guest_connect();
    struct heard h;
    say_with(conn, publish_frame(port, host_port), &fd, 1);
    close(fd);
    hear(conn, &h);
    assert_int_equal(h.last, NT_G_OK);
    heard_done(&h);
    return host_port;
}

static void unpublish(uint16_t host_port)
{
    int conn = guest_connect();
    struct heard h;
    say(conn, frame_number(frame_new(NT_G_UNPUBLISH), NT_GT_HOST_PORT, host_port));
    hear(conn, &h);
    assert_int_equal(h.last, NT_G_OK);
    heard_done(&h);
}

static void send_all(int fd, const uint8_t *bytes, size_t size)
{
    while (size) {
        ssize_t n = send(fd, bytes, size, MSG_NOSIGNAL);
        assert_true(n > 0);
        bytes += n;
        size -= (size_t)n;
    }
}

static size_t read_to_end(int fd, uint8_t *bytes, size_t size)
{
    size_t at = 0;
    ssize_t n;
    while (at < size && (n = recv(fd, bytes + at, size - at, 0)) > 0)
        at += (size_t)n;
    return at;
}

/* A server that answers one connection with all that it got, when it has got all. */
static pid_t echo_at_end(int listener)
{
    pid_t pid = fork();
    if (pid)
        return pid;
    uint8_t *bytes = malloc(BULK);
    int fd = accept(listener, NULL, NULL);
    send_all(fd, bytes, read_to_end(fd, bytes, BULK));
    _exit(0);
}

static void half_close_goes_through(void **state)
{
    (void)state;
    uint16_t port;
    int listener = listen_here(&port);
    uint16_t host_port = publish(port);
    uint8_t *out = malloc(BULK), *in = malloc(BULK + 1);
    for (size_t i = 0; i < BULK; i++)
        out[i] = (uint8_t)(i * 2654435761u >> 13);
    pid_t server = echo_at_end(listener);
    int fd = connect_to(host_port);
    send_all(fd, out, BULK - 3);
    assert_int_equal(shutdown(fd, SHUT_WR), 0); /* only now the server answers */
    assert_int_equal(read_to_end(fd, in, BULK + 1), BULK - 3);
    assert_memory_equal(in, out, BULK - 3);
    waitpid(server, NULL, 0);
    close(fd);
    close(listener);
    free(out);
    free(in);
    unpublish(host_port);
}

/* One that does not read costs itself: another gets its answer meanwhile. */
static void a_stuck_peer_harms_only_itself(void **state)
{
    (void)state;
    uint16_t port;
    int listener = listen_here(&port);
    uint16_t host_port = publish(port);
    int stuck = connect_to(host_port), behind = accept(listener, NULL, NULL);
    static uint8_t bytes[65536];
    ssize_t n;
    while ((n = send(stuck, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
        ; /* until every buffer on the way is full */
    assert_int_equal(errno, EAGAIN);
    int fd = connect_to(host_port), peer = accept(listener, NULL, NULL);
    send_all(fd, (const uint8_t *)"ping", 4);
    assert_int_equal(recv(peer, bytes, 4, MSG_WAITALL), 4);
    close(behind); /* with unread bytes: a reset, which reaches the other end */
    while ((n = send(stuck, bytes, sizeof(bytes), MSG_NOSIGNAL)) > 0)
        ;
    assert_true(errno == ECONNRESET || errno == EPIPE);
    close(stuck);
    close(fd);
    close(peer);
    close(listener);
    unpublish(host_port);
}

static void a_refusal_is_a_reset(void **state)
{
    (void)state;
    uint16_t port;
    close(listen_here(&port)); /* nothing listens there now */
    uint16_t host_port = publish(port);
    int fd = connect_to(host_port);
    char byte;
    assert_int_equal(recv(fd, &byte, 1, 0), -1);
    assert_int_equal(errno, ECONNRESET);
    close(fd);
    unpublish(host_port);
    int again = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = { .sin_family = AF_INET,
                             .sin_port = htons(host_port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    assert_int_equal(connect(again, (struct sockaddr *)&a, sizeof(a)), -1);
    assert_int_equal(errno, ECONNREFUSED);
    close(again);
}

static void unpublish_cuts_connections(void **state)
{
    (void)state;
    uint16_t port;
    int listener = listen_here(&port);
    uint16_t host_port = publish(port);
    int fd = connect_to(host_port), peer = accept(listener, NULL, NULL);
    unpublish(host_port);
    char byte;
    assert_int_equal(recv(fd, &byte, 1, 0), -1);
    assert_int_equal(recv(peer, &byte, 1, 0), -1);
    close(fd);
    close(peer);
    close(listener);
}

static void connect_carries_raw_bytes(void **state)
{
    (void)state;
    uint16_t port;
    int listener = listen_here(&port), conn = guest_connect();
    struct heard h = { 0 };
    say(conn, frame_number(frame_new(NT_G_CONNECT), NT_GT_PORT, port));
    while (h.last != NT_G_OK)
        assert_true(hear_one(conn, &h));
    heard_done(&h);
    int peer = accept(listener, NULL, NULL);
    char text[16] = "";
    send_all(conn, (const uint8_t *)"to", 2);
    shutdown(conn, SHUT_WR);
    assert_int_equal(read_to_end(peer, (uint8_t *)text, sizeof(text)), 2);
    send_all(peer, (const uint8_t *)"fro", 3);
    close(peer);
    assert_int_equal(read_to_end(conn, (uint8_t *)text, sizeof(text)), 3);
    assert_memory_equal(text, "fro", 3);
    close(conn);
    close(listener);
}

static void errors_are_typed(void **state)
{
    (void)state;
    uint16_t port;
    struct heard h;
    close(listen_here(&port));
    int conn = guest_connect();
    say(conn, frame_number(frame_new(NT_G_CONNECT), NT_GT_PORT, port));
    hear(conn, &h);
    assert_int_equal(h.last, NT_G_ERROR);
    assert_int_equal(h.number[NT_GT_ERRNO], ECONNREFUSED);
    heard_done(&h);
    conn = guest_connect();
    say(conn, frame_number(frame_new(NT_G_CONNECT), NT_GT_PORT, 65536));
    hear(conn, &h);
    assert_int_equal(h.number[NT_GT_CODE], NT_GE_INVALID);
    heard_done(&h);
    /* a connected socket, a pipe, nothing: only a listener is taken */
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    conn = guest_connect();
    say_with(conn, publish_frame(80, 8080), pair, 1);
    hear(conn, &h);
    assert_int_equal(h.number[NT_GT_CODE], NT_GE_BAD_DESCRIPTOR);
    heard_done(&h);
    conn = guest_connect();
    say(conn, publish_frame(80, 8080));
    hear(conn, &h);
    assert_int_equal(h.number[NT_GT_CODE], NT_GE_BAD_DESCRIPTOR);
    heard_done(&h);
    close(pair[0]);
    close(pair[1]);
}

static void listeners_are_found(void **state)
{
    (void)state;
    uint16_t port;
    int listener = listen_here(&port);
    uint16_t host_port = publish(port);
    int conn = guest_connect();
    struct heard h = { 0 };
    bool found = false, mapped = false;
    say(conn, frame_new(NT_G_PORTS));
    while (hear_one(conn, &h) && h.last != NT_G_END) {
        if (h.last == NT_G_ENTRY && h.has[NT_GT_HOST_PORT] && !found)
            mapped = h.number[NT_GT_HOST_PORT] == host_port && h.number[NT_GT_PORT] == port;
        if (h.last == NT_G_ENTRY && h.number[NT_GT_PORT] == port
            && h.number[NT_GT_PID] == (uint64_t)getpid())
            found = h.number[NT_GT_SINCE_MS] > 1600000000000u;
    }
    assert_true(mapped);
    assert_true(found);
    heard_done(&h);
    close(conn);
    close(listener);
    unpublish(host_port);
}

/* Beyond the bound connections are refused by closing, and one that ends makes room. */
static void connections_are_bounded(void **state)
{
    (void)state;
    enum { MANY = 1030 };
    static int fds[MANY];
    /* A shell usually gives 1,024 of many more that may be had. */
    struct rlimit files;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    uint16_t port;
    int listener = listen_here(&port);
    uint16_t host_port = publish(port);
    pid_t holder = fork();
    if (holder == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails does not come to its end */
        for (;;)                          /* what it accepts is kept open */
            if (accept(listener, NULL, NULL) < 0 && (errno == EMFILE || errno == ENFILE))
                pause();
    }
    assert_true(holder > 0);
    unsigned refused = 0;
    for (int i = 0; i < MANY; i++)
        fds[i] = connect_to(host_port);
    for (int i = 1024; i < MANY; i++) {
        char byte;
        refused += recv(fds[i], &byte, 1, 0) < 0 && errno == ECONNRESET;
    }
    assert_int_equal(refused, MANY - 1024);
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    kill(holder, SIGKILL);
    waitpid(holder, NULL, 0);
    close(listener);
    unpublish(host_port);
}

/* A connection through a published port is work, though nothing else happens. */
static void an_open_connection_is_not_idle(void **state)
{
    (void)state;
    struct harness running = harness;
    harness_start_with(NULL, NULL);
    uint16_t port;
    int listener = listen_here(&port);
    uint16_t host_port = publish(port);
    int fd = connect_to(host_port), peer = accept(listener, NULL, NULL);
    assert_true(peer >= 0);
    struct heard h;
    int conn = guest_connect();
    say(conn, frame_number(frame_new(NT_G_CONFIGURE), NT_GT_IDLE_MS, 100));
    hear(conn, &h);
    assert_int_equal(h.last, NT_G_OK);
    heard_done(&h);
    int guest = (int)syscall(SYS_pidfd_open, harness.pid, 0);
    struct pollfd p[2] = { { .fd = guest, .events = POLLIN }, { .fd = fd, .events = POLLIN } };
    assert_int_equal(poll(p, 2, 1000), 0); /* neither ends within ten times the limit */
    send_all(fd, (const uint8_t *)"ping", 4);
    char text[5] = "";
    assert_int_equal(recv(peer, text, 4, MSG_WAITALL), 4);
    assert_string_equal(text, "ping");
    close(fd);
    close(peer);
    assert_int_equal(harness_exit(), 91); /* now it is */
    close(guest);
    close(listener);
    harness = running;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_close_goes_through),
        cmocka_unit_test(a_stuck_peer_harms_only_itself),
        cmocka_unit_test(a_refusal_is_a_reset),
        cmocka_unit_test(unpublish_cuts_connections),
        cmocka_unit_test(connect_carries_raw_bytes),
        cmocka_unit_test(errors_are_typed),
        cmocka_unit_test(listeners_are_found),
        cmocka_unit_test(connections_are_bounded),
        cmocka_unit_test(an_open_connection_is_not_idle),
    };
    return cmocka_run_group_tests(tests, harness_start, harness_stop);
}
