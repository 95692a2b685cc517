/* SPDX-License-Identifier: Apache-2.0 */
/* enforce_notify_race_test.c - programs that change, while they are asked about, what they are
 * asked about: the address in their memory, the socket under the number, the link on the way. Five
 * seconds each; not once may they get through, and both answers must have come, else it was no
 * race. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "enforce_notify_stage.h"

#define RACE_MS 5000

static uint16_t open_port, other_port;
static char open_path[108], other_path[108], link_path[108], spare_path[108];
static int listeners[2]; /* that are granted: emptied meanwhile */

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void empty_listeners(struct stage *s, pid_t pid)
{
    (void)s;
    siginfo_t ended = { 0 };
    char byte[64];
    while (waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOHANG | WNOWAIT) == 0
           && ended.si_pid == 0) {
        struct pollfd ready[2] = { { .fd = listeners[0], .events = POLLIN },
                                   { .fd = listeners[1], .events = POLLIN } };
        if (poll(ready, 2, 20) <= 0)
            continue;
        for (int i = 0; i < 2; i++) {
            int fd = ready[i].revents ? accept(listeners[i], NULL, NULL) : -1;
            if (fd >= 0)
                close(fd);
            else if (ready[i].revents)
                (void)!recv(listeners[i], byte, sizeof(byte), MSG_DONTWAIT);
        }
    }
}

/* true: nobody came. */
static bool is_untouched(int fd)
{
    char byte;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    if (accept(fd, NULL, NULL) >= 0)
        return false;
    return recv(fd, &byte, 1, 0) < 0;
}

/* The program's: what it changes in a thread, until it is told to stop. Calls that are raced go by
 * number: these races are meant, and no business of the thread sanitizer. */
static struct sockaddr_un local_address;
static struct sockaddr_in ip_address;
static atomic_bool stop;
static int shared_number;

static void *rewrite_paths(void *argument)
{
    (void)argument;
    while (!stop) {
        memcpy(local_address.sun_path, open_path, sizeof(open_path));
        atomic_thread_fence(memory_order_seq_cst); /* else the first is never written */
        memcpy(local_address.sun_path, other_path, sizeof(other_path));
        atomic_thread_fence(memory_order_seq_cst);
    }
    return NULL;
}

static void *rewrite_ports(void *argument)
{
    (void)argument;
    while (!stop) {
        ip_address.sin_port = htons(open_port);
        atomic_thread_fence(memory_order_seq_cst);
        ip_address.sin_port = htons(other_port);
        atomic_thread_fence(memory_order_seq_cst);
    }
    return NULL;
}

static void *swap_links(void *argument)
{
    const char *const *targets = argument;
    while (!stop) {
        (void)!symlink(targets[0], spare_path);
        (void)!rename(spare_path, link_path);
        (void)!symlink(targets[1], spare_path);
        (void)!rename(spare_path, link_path);
    }
    return NULL;
}

static void *swap_sockets(void *argument)
{
    (void)argument;
    while (!stop) {
        int local = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int ip = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        syscall(SYS_dup3, local, shared_number, O_CLOEXEC);
        syscall(SYS_dup3, ip, shared_number, O_CLOEXEC);
        close(local);
        close(ip);
    }
    return NULL;
}

/* --- the races ----------------------------------------------------------------------------- */

/* Calls ATTEMPT while THREAD runs. 0: it succeeded at times, and failed at times. */
static int race(void *(*thread)(void *), void *argument, bool (*attempt)(void))
{
    pthread_t rewriter;
    unsigned yes = 0, no = 0;
    CHECK(pthread_create(&rewriter, NULL, thread, argument) == 0);
    for (int64_t until = now_ms() + RACE_MS; now_ms() < until;)
        if (attempt())
            yes++;
        else
            no++;
    stop = true;
    pthread_join(rewriter, NULL);
    CHECK(yes > 0 && no > 0);
    return 0;
}

static bool connect_local(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool ok = connect(fd, (struct sockaddr *)&local_address, sizeof(local_address)) == 0;
    close(fd);
    return ok;
}

static int rewrites_a_path(struct stage *s)
{
    (void)s;
    local_address.sun_family = AF_UNIX;
    return race(rewrite_paths, NULL, connect_local);
}

static void start_local(struct stage *s, int *other)
{
    memset(open_path, 0, sizeof(open_path));
    memset(other_path, 0, sizeof(other_path));
    listeners[0] = stage_listen_unix(stage_path(s, "open1", open_path));
    *other = stage_listen_unix(stage_path(s, "other", other_path));
    listeners[1] = -1;
    fcntl(listeners[0], F_SETFL, O_NONBLOCK);
}

static void an_address_that_is_rewritten(void **state)
{
    struct stage *s = stage_of(state);
    int other;
    start_local(s, &other);
    stage_grant_unix(s, open_path, false, false);
    assert_int_equal(stage_run(s, rewrites_a_path, empty_listeners), 0);
    assert_true(is_untouched(other));
    close(listeners[0]);
    close(other);
}

static bool send_local(void)
{
    static int fd = -1;
    if (fd < 0)
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct iovec part = { .iov_base = "x", .iov_len = 1 };
    struct msghdr head = { .msg_name = &local_address,
                           .msg_namelen = sizeof(local_address),
                           .msg_iov = &part,
                           .msg_iovlen = 1 };
    return syscall(SYS_sendmsg, fd, &head, 0) == 1;
}

static int rewrites_where_it_sends(struct stage *s)
{
    (void)s;
    local_address.sun_family = AF_UNIX;
    return race(rewrite_paths, NULL, send_local);
}

static void an_address_of_datagrams_that_is_rewritten(void **state)
{
    struct stage *s = stage_of(state);
    memset(open_path, 0, sizeof(open_path));
    memset(other_path, 0, sizeof(other_path));
    listeners[0] = stage_datagram_unix(stage_path(s, "open1", open_path));
    int other = stage_datagram_unix(stage_path(s, "other", other_path));
    listeners[1] = -1;
    stage_grant_unix(s, open_path, false, false);
    assert_int_equal(stage_run(s, rewrites_where_it_sends, empty_listeners), 0);
    assert_true(is_untouched(other));
    close(listeners[0]);
    close(other);
}

static bool connect_ip(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int result = connect(fd, (struct sockaddr *)&ip_address, sizeof(ip_address));
    bool ok = result == 0 || errno == EINPROGRESS;
    close(fd);
    return ok;
}

static int rewrites_a_port(struct stage *s)
{
    (void)s;
    ip_address = (struct sockaddr_in){ .sin_family = AF_INET };
    ip_address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return race(rewrite_ports, NULL, connect_ip);
}

static int start_ip(struct stage *s)
{
    open_port = other_port = 0;
    listeners[1] = stage_listen_tcp(&open_port, 64);
    int other = stage_listen_tcp(&other_port, 64);
    fcntl(listeners[1], F_SETFL, O_NONBLOCK);
    s->open_ports[s->policy.open_port_count++] = open_port;
    return other;
}

static void a_port_that_is_rewritten(void **state)
{
    struct stage *s = stage_of(state);
    int other = start_ip(s);
    listeners[0] = -1;
    assert_int_equal(stage_run(s, rewrites_a_port, empty_listeners), 0);
    assert_true(is_untouched(other));
    close(listeners[1]);
    close(other);
}

static void a_port_that_is_rewritten_in_a_network_of_its_own(void **state)
{
    struct stage *s = stage_of(state);
    int other = start_ip(s);
    listeners[0] = -1;
    s->own_network = true;
    int result = stage_run(s, rewrites_a_port, empty_listeners);
    bool untouched = is_untouched(other);
    close(listeners[1]);
    close(other);
    if (result == NO_NAMESPACES)
        skip();
    assert_int_equal(result, 0);
    assert_true(untouched);
}

/* The number is of a local socket now and of a TCP socket then; so is the address. */
static bool connect_shared(void)
{
    static unsigned turn;
    if (turn++ % 2)
        return syscall(SYS_connect, shared_number, &local_address, sizeof(local_address)) == 0;
    long result = syscall(SYS_connect, shared_number, &ip_address, sizeof(ip_address));
    return result == 0 || errno == EINPROGRESS;
}

static int swaps_the_socket(struct stage *s)
{
    (void)s;
    shared_number = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 100);
    local_address.sun_family = AF_UNIX;
    memcpy(local_address.sun_path, open_path, sizeof(open_path));
    ip_address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(other_port) };
    ip_address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return race(swap_sockets, NULL, connect_shared);
}

static void a_socket_that_is_swapped(void **state)
{
    struct stage *s = stage_of(state);
    int other_local, other_ip = start_ip(s), tcp_listener = listeners[1];
    start_local(s, &other_local);
    stage_grant_unix(s, open_path, false, false);
    assert_int_equal(stage_run(s, swaps_the_socket, empty_listeners), 0);
    assert_true(is_untouched(other_ip));
    assert_true(is_untouched(other_local));
    close(listeners[0]);
    close(tcp_listener);
    close(other_local);
    close(other_ip);
}

static int swaps_the_link(struct stage *s)
{
    static const char *targets[2];
    targets[0] = open_path, targets[1] = other_path;
    stage_path(s, "in/link", link_path);
    stage_path(s, "in/spare", spare_path);
    local_address.sun_family = AF_UNIX;
    memcpy(local_address.sun_path, link_path, sizeof(link_path));
    return race(swap_links, targets, connect_local);
}

static void a_link_that_is_swapped(void **state)
{
    struct stage *s = stage_of(state);
    int other;
    char name[108];
    assert_int_equal(mkdir(stage_path(s, "in", name), 0700), 0);
    start_local(s, &other);
    stage_grant_unix(s, open_path, false, false);
    assert_int_equal(stage_run(s, swaps_the_link, empty_listeners), 0);
    assert_true(is_untouched(other));
    close(listeners[0]);
    close(other);
}

/* Binds through the link to a folder; what it made where it may is taken away again. */
static bool bind_through_link(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = bind(fd, (struct sockaddr *)&local_address, sizeof(local_address)) == 0;
    close(fd);
    if (ok)
        unlink(open_path);
    return ok;
}

static int swaps_the_folder(struct stage *s)
{
    static const char *targets[2];
    char folder[108];
    targets[0] = stage_path(s, "in", folder), targets[1] = other_path;
    stage_path(s, "in/made", open_path);
    stage_path(s, "link", link_path);
    stage_path(s, "spare", spare_path);
    local_address.sun_family = AF_UNIX;
    stage_path(s, "link/made", local_address.sun_path);
    return race(swap_links, targets, bind_through_link);
}

static void a_folder_that_is_swapped(void **state)
{
    struct stage *s = stage_of(state);
    char name[108];
    assert_int_equal(mkdir(stage_path(s, "in", name), 0700), 0);
    stage_grant_unix(s, name, true, true);
    assert_int_equal(mkdir(stage_path(s, "out", other_path), 0700), 0);
    assert_int_equal(stage_run(s, swaps_the_folder, NULL), 0);
    assert_int_equal(rmdir(other_path), 0); /* empty */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, stage_setup, stage_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_address_that_is_rewritten), TEST(an_address_of_datagrams_that_is_rewritten),
        TEST(a_port_that_is_rewritten),     TEST(a_port_that_is_rewritten_in_a_network_of_its_own),
        TEST(a_socket_that_is_swapped),     TEST(a_link_that_is_swapped),
        TEST(a_folder_that_is_swapped),
    };
    if (!stage_is_possible())
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
