/* SPDX-License-Identifier: Apache-2.0 */
/* enforce_notify_test.c - what a program gets that runs under the filter of notify: which
 * connections, local sockets and datagrams, with which errors, and what is noted of it. Runs as
 * root and as a normal user. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>

#include "enforce_notify_stage.h"
#include "plugins/sandbox-enforce/notify/inner.h"

/* What tests tell their programs. */
static uint16_t port, other_port;
static char path[108], other_path[108], text[160];

static bool fails(int result, int sys)
{
    return result < 0 && errno == sys;
}

static int tcp(void)
{
    return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int stream(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

/* --- TCP ----------------------------------------------------------------------------------- */

static int connects_in_every_way(struct stage *s)
{
    char first_port[16] = "1024"; /* that anybody may bind: 0 in some containers */
    int setting = open("/proc/sys/net/ipv4/ip_unprivileged_port_start", O_RDONLY | O_CLOEXEC);
    (void)!read(setting, first_port, sizeof(first_port));
    close(setting);
    (void)s;
    CHECK(stage_connect_tcp(tcp(), "127.0.0.1", port) == 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int result = stage_connect_tcp(fd, "127.0.0.1", port);
    CHECK(result == 0 || errno == EINPROGRESS);
    struct pollfd ready = { .fd = fd, .events = POLLOUT };
    CHECK(poll(&ready, 1, 30000) == 1);
    int sys = -1;
    socklen_t size = sizeof(sys);
    CHECK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &sys, &size) == 0 && sys == 0);
    CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
    CHECK(fails(stage_connect_tcp(tcp(), "127.0.0.1", other_port), ECONNREFUSED));
    CHECK(fails(stage_connect_tcp(-1, "127.0.0.1", port), EBADF));
    CHECK(fails(stage_connect_tcp(STDERR_FILENO, "127.0.0.1", port), ENOTSOCK));
    struct sockaddr_in to = { .sin_family = AF_INET };
    CHECK(fails(connect(tcp(), (struct sockaddr *)&to, 1), EINVAL));
    CHECK(fails(connect(tcp(), (struct sockaddr *)&to, 1000), EINVAL));
    CHECK(fails((int)syscall(SYS_connect, tcp(), (void *)8, sizeof(to)), EFAULT));
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK(stage_connect_tcp(fd, "127.0.0.1", port) == 0);
    to.sin_family = AF_UNSPEC; /* takes the connection away */
    CHECK(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
    fd = tcp();
    to = (struct sockaddr_in){ .sin_family = AF_INET };
    CHECK(bind(fd, (struct sockaddr *)&to, sizeof(to)) == 0 && listen(fd, 1) == 0);
    to.sin_port = htons(1); /* root may, but not for somebody who might not */
    if (*first_port != '0')
        CHECK(fails(bind(tcp(), (struct sockaddr *)&to, sizeof(to)), EACCES));
    fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0); /* the resolver asks for addresses */
    struct sockaddr any = { .sa_family = AF_NETLINK };
    char name[12] = { 0 };
    memcpy(name, &any.sa_family, sizeof(any.sa_family));
    CHECK(bind(fd, (struct sockaddr *)name, sizeof(name)) == 0);
    return 0;
}

static void an_open_network_is_open(void **state)
{
    struct stage *s = stage_of(state);
    port = other_port = 0;
    int listener = stage_listen_tcp(&port, 16), closed = stage_listen_tcp(&other_port, 1);
    close(closed);
    s->policy.network = POLICY_NET_OPEN;
    assert_int_equal(stage_run(s, connects_in_every_way, NULL), 0);
    assert_null(denials_at(s->denials, 0));
    close(listener);
}

static int is_kept_in(struct stage *s)
{
    (void)s;
    CHECK(fails(stage_connect_tcp(tcp(), "127.0.0.1", port), EACCES));
    CHECK(fails(stage_connect_tcp(tcp(), "127.0.0.1", port), EACCES));
    CHECK(fails(stage_connect_tcp(tcp(), "192.0.2.7", 443), EACCES));
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    if (fd >= 0) {
        inet_pton(AF_INET6, "::ffff:127.0.0.1", &six.sin6_addr);
        CHECK(fails(connect(fd, (struct sockaddr *)&six, sizeof(six)), EACCES));
        inet_pton(AF_INET6, "2001:db8::7", &six.sin6_addr);
        CHECK(fails(connect(fd, (struct sockaddr *)&six, sizeof(six)), EACCES));
    }
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(18081) };
    CHECK(fails(bind(tcp(), (struct sockaddr *)&at, sizeof(at)), EACCES));
    at.sin_family = AF_UNSPEC; /* the kernel takes it for AF_INET */
    CHECK(fails(bind(tcp(), (struct sockaddr *)&at, sizeof(at)), EACCES));
    CHECK(fails(listen(tcp(), 1), EACCES)); /* would bind to any port */
    /* Connecting while it sends. */
    at = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port) };
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(fails((int)sendto(tcp(), "x", 1, MSG_FASTOPEN, (struct sockaddr *)&at, sizeof(at)),
                EOPNOTSUPP));
    struct msghdr head = { .msg_name = &at, .msg_namelen = sizeof(at) };
    CHECK(fails((int)sendmsg(tcp(), &head, MSG_FASTOPEN), EOPNOTSUPP));
    /* What has other ways to say where it goes; seccomp refuses the socket, where it can. */
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK(fails(stage_connect_tcp(fd, "127.0.0.1", port), EACCES));
    return 0;
}

static void a_blocked_network_is_closed_at_once_and_noted(void **state)
{
    struct stage *s = stage_of(state);
    char target[64], grant[64];
    port = 0;
    int listener = stage_listen_tcp(&port, 16);
    assert_int_equal(stage_run(s, is_kept_in, NULL), 0);
    snprintf(target, sizeof(target), "127.0.0.1:%u", port);
    snprintf(grant, sizeof(grant), "--open-port %u", port);
    assert_int_equal(stage_denied(s, "connect", target, grant), 3); /* one is a datagram's */
    assert_int_equal(stage_denied(s, "connect", "192.0.2.7:443", "--allow-net"), 1);
    int six = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (six >= 0) {
        snprintf(target, sizeof(target), "[::ffff:127.0.0.1]:%u", port);
        assert_int_equal(stage_denied(s, "connect", target, grant), 1);
        snprintf(target, sizeof(target), "[2001:db8::7]:%u", port);
        assert_int_equal(stage_denied(s, "connect", target, "--allow-net"), 1);
        close(six);
    }
    assert_int_equal(stage_denied(s, "bind", "0.0.0.0:18081", "--listen-port 18081"), 2);
    assert_int_equal(fcntl(listener, F_SETFL, O_NONBLOCK), 0);
    assert_true(fails(accept(listener, NULL, NULL), EAGAIN));
    close(listener);
}

static int uses_its_ports(struct stage *s)
{
    (void)s;
    int one = 1, fd = tcp();
    socklen_t size = sizeof(one);
    struct timeval second = { .tv_sec = 7 }, kept = { 0 };
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    CHECK(stage_connect_tcp(fd, "127.0.0.1", port) == 0);
    one = 0;
    CHECK(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, &size) == 0 && one != 0);
    size = sizeof(kept);
    CHECK(getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &kept, &size) == 0 && kept.tv_sec == 7);
    CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC && !(fcntl(fd, F_GETFL) & O_NONBLOCK));
    char byte = 0;
    CHECK(write(fd, "p", 1) == 1 && read(fd, &byte, 1) == 1 && byte == 'P');

    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int result = stage_connect_tcp(fd, "0.0.0.0", port);
    CHECK(result == 0 || errno == EINPROGRESS);
    CHECK(fcntl(fd, F_GETFD) == 0 && (fcntl(fd, F_GETFL) & O_NONBLOCK));
    struct pollfd ready = { .fd = fd, .events = POLLOUT };
    CHECK(poll(&ready, 1, 30000) == 1 && !(ready.revents & POLLERR));
    CHECK(write(fd, "p", 1) == 1);
    CHECK(fails(stage_connect_tcp(tcp(), "127.0.0.1", (uint16_t)(port + 1)), EACCES));
    return 0;
}

static void answer_twice(struct stage *s, pid_t pid)
{
    (void)s, (void)pid;
    int listener = other_port; /* a descriptor, here */
    int first = accept(listener, NULL, NULL);
    char byte = 0;
    if (read(first, &byte, 1) == 1 && byte == 'p')
        (void)!write(first, "P", 1);
    int second = accept(listener, NULL, NULL);
    (void)!read(second, &byte, 1);
    close(first);
    close(second);
}

static void open_ports(struct stage *s)
{
    port = 0;
    int listener = stage_listen_tcp(&port, 16);
    other_port = (uint16_t)listener;
    s->open_ports[s->policy.open_port_count++] = port;
    int result = stage_run(s, uses_its_ports, answer_twice);
    close(listener);
    if (result == NO_NAMESPACES)
        skip();
    assert_int_equal(result, 0);
}

static void open_ports_of_this_machine_can_be_reached(void **state)
{
    open_ports(stage_of(state));
}

static void also_from_a_network_of_its_own(void **state)
{
    struct stage *s = stage_of(state);
    s->own_network = true;
    open_ports(s);
}

/* Ports of other machines are none of this one, of cloud metadata or of many, however the address
 * is written; and nothing but TCP goes there. */
static int connects_elsewhere(struct stage *s)
{
    static const char *const closed[] = {
        "127.0.0.1",
        "127.8.9.1",
        "0.0.0.0",
        "0.1.2.3",
        "169.254.169.254",
        "169.254.1.1",
        "100.100.100.200",
        "192.0.0.192",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "::1",
        "::",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:0.0.0.0",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "2002:7f00:1::",
        "fd00:ec2::254",
        "fe80::1",
        "ff02::1",
    };
    for (size_t i = 0; i < sizeof(closed) / sizeof(closed[0]); i++) {
        struct sockaddr_storage to = { 0 };
        struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(s->connect_ports[0]) };
        struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
                                    .sin6_port = htons(s->connect_ports[0]) };
        bool is_four = inet_pton(AF_INET, closed[i], &in.sin_addr) == 1;
        if (is_four)
            memcpy(&to, &in, sizeof(in));
        else if (inet_pton(AF_INET6, closed[i], &in6.sin6_addr) == 1)
            memcpy(&to, &in6, sizeof(in6));
        int fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 && !is_four)
            continue; /* a machine without IPv6 */
        socklen_t size = is_four ? sizeof(in) : sizeof(in6);
        bool is_refused = fails(connect(fd, (struct sockaddr *)&to, size), EACCES);
        close(fd);
        if (!is_refused)
            fprintf(stderr, "%s\n", closed[i]);
        CHECK(is_refused);
    }
    struct sockaddr_in other = { .sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)(s->connect_ports[0] ^ 1)) };
    inet_pton(AF_INET, "192.0.2.1", &other.sin_addr);
    CHECK(fails(connect(tcp(), (struct sockaddr *)&other, sizeof(other)), EACCES));
    other.sin_port = htons(s->connect_ports[0]);
    int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK(udp < 0 || fails(connect(udp, (struct sockaddr *)&other, sizeof(other)), EACCES));
    CHECK(fails(bind(tcp(), (struct sockaddr *)&other, sizeof(other)), EACCES));
    return 0;
}

static void ports_of_other_machines_are_none_of_this_one(void **state)
{
    struct stage *s = stage_of(state);
    port = 0;
    int listener = stage_listen_tcp(&port, 16);
    s->connect_ports[s->policy.connect_port_count++] = port;
    assert_int_equal(stage_run(s, connects_elsewhere, NULL), 0);
    char target[64];
    snprintf(target, sizeof(target), "127.0.0.1:%u", port);
    char grant[64];
    snprintf(grant, sizeof(grant), "--open-port %u", port);
    assert_int_equal(stage_denied(s, "connect", target, grant), 1);
    /* Nobody came. */
    struct pollfd ready = { .fd = listener, .events = POLLIN };
    assert_int_equal(poll(&ready, 1, 0), 0);
    close(listener);
}

static int serves(struct stage *s)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(s->listen_ports[0]) };
    struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(s->open_ports[0]) };
    socklen_t size = sizeof(at);
    int fd = tcp(), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    CHECK(bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(fd, 5) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&at, &size) == 0);
    CHECK(at.sin_addr.s_addr == htonl(INADDR_ANY)); /* as asked */

    at.sin_port = htons(s->open_ports[0]);
    int narrowed = tcp();
    setsockopt(narrowed, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    CHECK(bind(narrowed, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(narrowed, 5) == 0);
    CHECK(getsockname(narrowed, (struct sockaddr *)&at, &size) == 0);
    CHECK(at.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
    close(narrowed);
    narrowed = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0); /* like node: [::] for both */
    setsockopt(narrowed, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (narrowed >= 0) {
        CHECK(bind(narrowed, (struct sockaddr *)&six, sizeof(six)) == 0
              && listen(narrowed, 5) == 0);
        size = sizeof(six);
        CHECK(getsockname(narrowed, (struct sockaddr *)&six, &size) == 0);
        CHECK(IN6_IS_ADDR_V4MAPPED(&six.sin6_addr) && six.sin6_addr.s6_addr[15] == 1);
    }
    at.sin_port = htons((uint16_t)(s->open_ports[0]));
    inet_pton(AF_INET, "192.0.2.7", &at.sin_addr);
    CHECK(fails(bind(tcp(), (struct sockaddr *)&at, sizeof(at)), EACCES));

    char byte;
    int client = accept(fd, NULL, NULL);
    CHECK(client >= 0 && read(client, &byte, 1) == 1 && write(client, &byte, 1) == 1);
    return 0;
}

static void be_client(struct stage *s, pid_t pid)
{
    char byte = 'q';
    int fd = -1;
    siginfo_t ended = { 0 };
    while (fd < 0 && waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOHANG | WNOWAIT) == 0
           && ended.si_pid == 0) {
        fd = tcp();
        if (stage_connect_tcp(fd, "127.0.0.1", s->listen_ports[0]) < 0) {
            close(fd);
            fd = -1;
            poll(NULL, 0, 5); /* nothing tells when somebody listens */
        }
    }
    if (fd >= 0 && write(fd, &byte, 1) == 1)
        (void)!read(fd, &byte, 1);
    close(fd);
}

static void listen_ports(struct stage *s)
{
    uint16_t first = 0, second = 0;
    int one = stage_listen_tcp(&first, 1), two = stage_listen_tcp(&second, 1);
    close(one);
    close(two);
    s->listen_ports[s->policy.listen_port_count++] = first;
    s->open_ports[s->policy.open_port_count++] = second;
    int result = stage_run(s, serves, be_client);
    if (result == NO_NAMESPACES)
        skip();
    assert_int_equal(result, 0);
}

static void ports_to_listen_on_can_be_reached_from_outside(void **state)
{
    listen_ports(stage_of(state));
}

static void also_those_of_a_network_of_its_own(void **state)
{
    struct stage *s = stage_of(state);
    s->own_network = true;
    listen_ports(s);
}

/* --- waiting ------------------------------------------------------------------------------- */

/* A listener whose queue is full, so that a further connection waits. */
static int full_listener(int clients[8])
{
    port = 0;
    int listener = stage_listen_tcp(&port, 0);
    for (int i = 0; i < 8; i++) {
        clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        stage_connect_tcp(clients[i], "127.0.0.1", port);
    }
    return listener;
}

static volatile sig_atomic_t was_signalled;

static void on_signal(int number)
{
    (void)number;
    was_signalled = 1;
}

static int is_interrupted(struct stage *s)
{
    (void)s;
    struct sigaction action = { .sa_handler = on_signal };
    struct itimerval soon = { .it_value.tv_usec = 200000 };
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &soon, NULL);
    CHECK(fails(stage_connect_tcp(tcp(), "127.0.0.1", port), EINTR));
    CHECK(was_signalled == 1);
    int fd = tcp();
    struct timeval limit = { .tv_usec = 100000 };
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    CHECK(fails(stage_connect_tcp(fd, "127.0.0.1", port), EINPROGRESS));
    /* Others are served meanwhile. */
    pid_t waits = fork();
    if (waits == 0)
        _exit(stage_connect_tcp(tcp(), "127.0.0.1", port) == 0);
    CHECK(stage_connect_tcp(tcp(), "127.0.0.1", other_port) == 0);
    kill(waits, SIGKILL);
    int status;
    CHECK(waitpid(waits, &status, 0) == waits && WIFSIGNALED(status));
    return 0;
}

static void a_connection_that_waits_holds_up_nobody(void **state)
{
    struct stage *s = stage_of(state);
    int clients[8];
    int listener = full_listener(clients);
    other_port = 0;
    int other = stage_listen_tcp(&other_port, 16);
    s->policy.network = POLICY_NET_OPEN;
    assert_int_equal(stage_run(s, is_interrupted, NULL), 0);
    for (int i = 0; i < 8; i++)
        close(clients[i]);
    close(listener);
    close(other);
}

static int waits_for_room(struct stage *s)
{
    (void)s;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CHECK(fails(stage_connect_unix(fd, path), EAGAIN));
    CHECK(stage_connect_unix(stream(), path) == 0);
    return 0;
}

static void make_room(struct stage *s, pid_t pid)
{
    (void)s, (void)pid;
    poll(NULL, 0, 50); /* so that it waits, most of the time: right in any case */
    for (int i = 0; i < 3; i++)
        close(accept(other_port, NULL, NULL));
}

static void a_full_local_listener_is_waited_for(void **state)
{
    struct stage *s = stage_of(state);
    stage_path(s, "full", path);
    stage_grant_unix(s, path, false, false);
    int listener = stream(), first = stream(), second = stream();
    assert_int_equal(stage_bind_unix(listener, path), 0);
    assert_int_equal(listen(listener, 0), 0);
    other_port = (uint16_t)listener;
    assert_int_equal(stage_connect_unix(first, path), 0);
    fcntl(second, F_SETFL, O_NONBLOCK);
    (void)stage_connect_unix(second, path); /* whichever of them fills it */
    fcntl(listener, F_SETFL, O_NONBLOCK);
    assert_int_equal(stage_run(s, waits_for_room, make_room), 0);
    close(first);
    close(second);
    close(listener);
}

/* --- local sockets ------------------------------------------------------------------------- */

static int finds_what_is_granted(struct stage *s)
{
    char link[108], name[160];
    CHECK(stage_connect_unix(stream(), path) == 0);
    CHECK(stage_connect_unix(stream(), stage_path(s, "link", link)) == 0);
    CHECK(fails(stage_connect_unix(stream(), other_path), EACCES));
    CHECK(fails(stage_connect_unix(stream(), stage_path(s, "to-other", link)), EACCES));
    CHECK(fails(stage_connect_unix(stream(), stage_path(s, "nothing", link)), ENOENT));
    snprintf(name, sizeof(name), "/proc/self/root%s", other_path);
    CHECK(stage_connect_unix(stream(), name) < 0);
    CHECK(chdir(s->folder) == 0);
    CHECK(stage_connect_unix(stream(), "open") == 0);
    CHECK(stage_connect_unix(stream(), "./sub/../open") == 0);
    CHECK(fails(stage_connect_unix(stream(), "other"), EACCES));
    CHECK(fails(stage_connect_unix(stream(), ""), EINVAL));
    CHECK(fails(stage_connect_unix(socket(AF_UNIX, SOCK_DGRAM, 0), "open"), EPROTOTYPE));
    /* Abstract ones have no path, and nobody may have one chosen. */
    struct sockaddr_un abstract = { .sun_family = AF_UNIX, .sun_path = "\0nt-notify" };
    CHECK(fails(connect(stream(), (struct sockaddr *)&abstract, 12), EACCES));
    CHECK(fails(bind(stream(), (struct sockaddr *)&abstract, 12), EACCES));
    CHECK(fails(bind(stream(), (struct sockaddr *)&abstract, sizeof(sa_family_t)), EACCES));
    return 0;
}

static void only_granted_paths_are_connected_to(void **state)
{
    struct stage *s = stage_of(state);
    char link[108], target[128], grant[128];
    int open = stage_listen_unix(stage_path(s, "open", path));
    int other = stage_listen_unix(stage_path(s, "other", other_path));
    assert_int_equal(mkdir(stage_path(s, "sub", link), 0700), 0);
    assert_int_equal(symlink("open", stage_path(s, "link", link)), 0);
    assert_int_equal(symlink(other_path, stage_path(s, "to-other", link)), 0);
    stage_grant_unix(s, path, false, false);
    assert_int_equal(stage_run(s, finds_what_is_granted, NULL), 0);
    snprintf(target, sizeof(target), "unix:%s", other_path);
    snprintf(grant, sizeof(grant), "--allow-unix-socket %s", other_path);
    assert_int_equal(stage_denied(s, "unix-connect", target, grant), 3);
    assert_int_equal(stage_denied(s, "unix-connect", "unix:@nt-notify", ""), 1);
    close(open);
    close(other);
}

static int stays_in_the_folder(struct stage *s)
{
    char name[108];
    CHECK(stage_connect_unix(stream(), path) == 0);
    CHECK(fails(stage_connect_unix(stream(), other_path), EACCES));
    CHECK(fails(stage_bind_unix(stream(), stage_path(s, "in/mine", name)), EACCES));
    return 0;
}

static void a_granted_folder_is_not_what_lies_deeper(void **state)
{
    struct stage *s = stage_of(state);
    char name[108];
    assert_int_equal(mkdir(stage_path(s, "in", name), 0700), 0);
    stage_grant_unix(s, name, false, true);
    assert_int_equal(mkdir(stage_path(s, "in/deeper", name), 0700), 0);
    int open = stage_listen_unix(stage_path(s, "in/open", path));
    int other = stage_listen_unix(stage_path(s, "in/deeper/other", other_path));
    assert_int_equal(stage_run(s, stays_in_the_folder, NULL), 0);
    close(open);
    close(other);
}

static int follows_an_open_network(struct stage *s)
{
    char name[108];
    CHECK(stage_connect_unix(stream(), path) == 0);
    CHECK(fails(stage_connect_unix(stream(), other_path), EACCES));
    CHECK(stage_bind_unix(stream(), stage_path(s, "in/mine", name)) == 0);
    CHECK(fails(stage_bind_unix(stream(), stage_path(s, "mine", name)), EACCES));
    return 0;
}

static int needs_a_grant_of_its_own(struct stage *s)
{
    char name[108];
    CHECK(fails(stage_connect_unix(stream(), path), EACCES));
    CHECK(fails(stage_bind_unix(stream(), stage_path(s, "in/new", name)), EACCES));
    return 0;
}

static void with_an_open_network_writing_there_is_enough(void **state)
{
    struct stage *s = stage_of(state);
    char name[108];
    assert_int_equal(mkdir(stage_path(s, "in", name), 0700), 0);
    stage_grant_write(s, name);
    s->policy.network = POLICY_NET_OPEN;
    int open = stage_listen_unix(stage_path(s, "in/open", path));
    int other = stage_listen_unix(stage_path(s, "other", other_path));
    assert_int_equal(stage_run(s, follows_an_open_network, NULL), 0);
    s->policy.network = POLICY_NET_BLOCKED;
    assert_int_equal(stage_run(s, needs_a_grant_of_its_own, NULL), 0);
    char target[128];
    snprintf(target, sizeof(target), "unix:%s", path);
    snprintf(text, sizeof(text), "--allow-unix-socket %s", path);
    assert_int_equal(stage_denied(s, "unix-connect", target, text), 1);
    close(open);
    close(other);
}

static int binds(struct stage *s)
{
    char name[108];
    struct stat st;
    struct sockaddr_un at = { 0 };
    socklen_t size = sizeof(at);
    umask(027);
    int listener = stream();
    CHECK(stage_bind_unix(listener, stage_path(s, "in/mine", path)) == 0);
    CHECK(stat(path, &st) == 0 && S_ISSOCK(st.st_mode) && (st.st_mode & 0777) == 0750);
    CHECK(getsockname(listener, (struct sockaddr *)&at, &size) == 0);
    CHECK(strcmp(at.sun_path, path) == 0); /* not as the supervisor called it */
    CHECK(size == offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
    CHECK(listen(listener, 4) == 0);
    CHECK(stage_connect_unix(stream(), path) == 0);
    int client = accept(listener, NULL, NULL);
    size = sizeof(at);
    memset(&at, 0, sizeof(at));
    CHECK(getsockname(client, (struct sockaddr *)&at, &size) == 0);
    CHECK(strcmp(at.sun_path, path) == 0);
    size = 5; /* cut, the whole size told */
    CHECK(getsockname(client, (struct sockaddr *)&at, &size) == 0 && size > 5);
    CHECK(fails(stage_bind_unix(stream(), path), EADDRINUSE));
    CHECK(fails(stage_bind_unix(stream(), stage_path(s, "in/dangling", name)), EADDRINUSE));
    CHECK(access(stage_path(s, "out", name), F_OK) < 0); /* where that link leads */
    CHECK(fails(stage_bind_unix(stream(), stage_path(s, "outside", name)), EACCES));
    CHECK(fails(stage_bind_unix(stream(), stage_path(s, "in/../outside", name)), EACCES));
    CHECK(fails(stage_bind_unix(stream(), stage_path(s, "in/none/x", name)), ENOENT));
    CHECK(fails(stage_bind_unix(stream(), stage_path(s, "in/sub/deep", name)), EACCES));
    CHECK(chdir(stage_path(s, "in", name)) == 0);
    CHECK(stage_bind_unix(stream(), "here") == 0 && access("here", F_OK) == 0);
    CHECK(stage_bind_unix(stream(), "./sub/../there") == 0 && access("there", F_OK) == 0);
    return 0;
}

static void sockets_are_made_in_granted_folders_only(void **state)
{
    struct stage *s = stage_of(state);
    char name[108], out[108], target[128];
    assert_int_equal(mkdir(stage_path(s, "in", name), 0755), 0);
    stage_grant_unix(s, name, true, true);
    assert_int_equal(mkdir(stage_path(s, "in/sub", name), 0755), 0);
    assert_int_equal(symlink(stage_path(s, "out", out), stage_path(s, "in/dangling", name)), 0);
    assert_int_equal(stage_run(s, binds, NULL), 0);
    snprintf(target, sizeof(target), "unix:%s", stage_path(s, "outside", name));
    snprintf(text, sizeof(text), "--allow-unix-socket-bind %s", name);
    assert_int_equal(stage_denied(s, "unix-bind", target, text), 2);
    assert_int_not_equal(access(name, F_OK), 0);
}

/* --- datagrams ----------------------------------------------------------------------------- */

static ssize_t send_to(int fd, const char *name, const char *bytes)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    memcpy(to.sun_path, name, strlen(name) + 1);
    return sendto(fd, bytes, strlen(bytes), 0, (struct sockaddr *)&to, sizeof(to));
}

static int sends(struct stage *s)
{
    (void)s;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK(send_to(fd, path, "one") == 3);
    CHECK(fails((int)send_to(fd, other_path, "no"), EACCES));
    CHECK(stage_connect_unix(fd, path) == 0);
    CHECK(send(fd, "two", 3, 0) == 3);
    CHECK(fails((int)send_to(fd, other_path, "no"), EACCES)); /* past the connection */

    /* A descriptor goes with a message of two parts. */
    int ends[2];
    CHECK(pipe(ends) == 0);
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    memcpy(to.sun_path, path, strlen(path) + 1);
    struct iovec parts[2] = { { .iov_base = "th", .iov_len = 2 },
                              { .iov_base = "ree", .iov_len = 3 } };
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { .head = { .cmsg_len = CMSG_LEN(sizeof(int)),
                            .cmsg_level = SOL_SOCKET,
                            .cmsg_type = SCM_RIGHTS } };
    memcpy(CMSG_DATA(&control.head), &ends[1], sizeof(int));
    struct msghdr head = { .msg_name = &to,
                           .msg_namelen = sizeof(to),
                           .msg_iov = parts,
                           .msg_iovlen = 2,
                           .msg_control = &control,
                           .msg_controllen = sizeof(control) };
    CHECK(sendmsg(fd, &head, 0) == 5);
    int closed = -1;
    memcpy(CMSG_DATA(&control.head), &closed, sizeof(int));
    CHECK(fails((int)sendmsg(fd, &head, 0), EBADF));
    head.msg_iov = (void *)8;
    CHECK(fails((int)sendmsg(fd, &head, 0), EFAULT));

    struct mmsghdr many[2] = { { .msg_hdr = { .msg_name = &to,
                                              .msg_namelen = sizeof(to),
                                              .msg_iov = parts,
                                              .msg_iovlen = 1 } } };
    many[1] = many[0];
    struct sockaddr_un no = { .sun_family = AF_UNIX };
    memcpy(no.sun_path, other_path, strlen(other_path) + 1);
    CHECK(sendmmsg(fd, many, 2, 0) == 2 && many[0].msg_len == 2 && many[1].msg_len == 2);
    many[1].msg_hdr.msg_name = &no;
    CHECK(sendmmsg(fd, many, 2, 0) == 1);

    /* Streams go through it too: all of it, also when the other end is slow. */
    static char big[300000];
    memset(big, 'b', sizeof(big));
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    pid_t reader = fork();
    if (reader == 0) {
        close(pair[0]);
        size_t got = 0;
        for (ssize_t n; (n = read(pair[1], big, 4096)) > 0;)
            got += (size_t)n;
        _exit(got != sizeof(big));
    }
    close(pair[1]);
    struct iovec part = { .iov_base = big, .iov_len = sizeof(big) };
    struct msghdr plain = { .msg_iov = &part, .msg_iovlen = 1 };
    while (part.iov_len) {
        ssize_t n = sendmsg(pair[0], &plain, 0);
        CHECK(n > 0);
        part.iov_base = (char *)part.iov_base + n;
        part.iov_len -= (size_t)n;
    }
    close(pair[0]);
    int status;
    CHECK(waitpid(reader, &status, 0) == reader && status == 0);

    /* A broken one still raises the signal, unless it is asked not to. */
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    close(pair[1]);
    signal(SIGPIPE, on_signal);
    part = (struct iovec){ .iov_base = big, .iov_len = 1 };
    was_signalled = 0;
    CHECK(fails((int)sendmsg(pair[0], &plain, MSG_NOSIGNAL), EPIPE) && !was_signalled);
    CHECK(fails((int)sendmsg(pair[0], &plain, 0), EPIPE) && was_signalled);
    return 0;
}

static void take_datagrams(struct stage *s, pid_t pid)
{
    (void)s, (void)pid;
}

static void datagrams_go_to_granted_sockets_only(void **state)
{
    struct stage *s = stage_of(state);
    char bytes[16], control[CMSG_SPACE(sizeof(int))];
    int open = stage_datagram_unix(stage_path(s, "open", path));
    int other = stage_datagram_unix(stage_path(s, "other", other_path));
    stage_grant_unix(s, path, false, false);
    assert_int_equal(stage_run(s, sends, take_datagrams), 0);
    static const char *const expected[] = { "one", "two", "three", "th", "th", "th" };
    fcntl(open, F_SETFL, O_NONBLOCK);
    fcntl(other, F_SETFL, O_NONBLOCK);
    for (size_t i = 0; i < 6; i++) {
        struct iovec part = { .iov_base = bytes, .iov_len = sizeof(bytes) };
        struct msghdr head = { .msg_iov = &part,
                               .msg_iovlen = 1,
                               .msg_control = control,
                               .msg_controllen = sizeof(control) };
        ssize_t n = recvmsg(open, &head, 0);
        assert_int_equal(n, strlen(expected[i]));
        assert_memory_equal(bytes, expected[i], (size_t)n);
        assert_int_equal(head.msg_controllen != 0, i == 2);
        if (i != 2)
            continue;
        int fd;
        struct stat st;
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&head)), sizeof(fd));
        assert_int_equal(fstat(fd, &st), 0);
        assert_true(S_ISFIFO(st.st_mode));
        close(fd);
    }
    assert_true(fails((int)recv(open, bytes, 1, 0), EAGAIN));
    assert_true(fails((int)recv(other, bytes, 1, 0), EAGAIN));
    close(open);
    close(other);
}

static int confines_itself(struct stage *s)
{
    (void)s;
    uint64_t files[2] = { 1u << 2, 0 }, ports[2] = { 0, 1u << 1 };
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) < 4)
        return 77;
    CHECK(syscall(SYS_landlock_create_ruleset, files, sizeof(files), 0) >= 0);
    CHECK(fails((int)syscall(SYS_landlock_create_ruleset, ports, sizeof(ports), 0), EOPNOTSUPP));
    return 0;
}

/* Connections are made by the supervisor: rules for TCP that a program sets would not hold. */
static void rules_that_would_not_hold_are_refused(void **state)
{
    struct stage *s = stage_of(state);
    s->policy.network = POLICY_NET_OPEN;
    int result = stage_run(s, confines_itself, NULL);
    if (result == 77)
        skip();
    assert_int_equal(result, 0);
}

static int sends_on_what_it_inherited(struct stage *s)
{
    (void)s;
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(fails((int)sendto(STDIN_FILENO, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)), EACCES));
    struct iovec part = { .iov_base = "x", .iov_len = 1 };
    struct mmsghdr head = {
        .msg_hdr = { .msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &part, .msg_iovlen = 1 }
    };
    CHECK(fails((int)sendmsg(STDIN_FILENO, &head.msg_hdr, 0), EACCES));
    CHECK(fails(sendmmsg(STDIN_FILENO, &head, 1, 0), EACCES));
    return 0;
}

/* Without a connect that could be asked about, past every namespace. */
static void an_inherited_socket_of_datagrams_leads_nowhere(void **state)
{
    struct stage *s = stage_of(state);
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(at);
    int kept = dup(STDIN_FILENO), outside = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(outside, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(getsockname(outside, (struct sockaddr *)&at, &size), 0);
    port = ntohs(at.sin_port);
    int handed = socket(AF_INET, SOCK_DGRAM, 0);
    dup2(handed, STDIN_FILENO);
    int result = stage_run(s, sends_on_what_it_inherited, NULL);
    dup2(kept, STDIN_FILENO);
    char byte;
    bool is_empty = fails((int)recv(outside, &byte, 1, 0), EAGAIN);
    close(kept);
    close(handed);
    close(outside);
    assert_int_equal(result, 0);
    assert_true(is_empty);
    snprintf(text, sizeof(text), "127.0.0.1:%u", port);
    assert_int_equal(stage_denied(s, "send", text, ""), 3);
}

/* --- the end ------------------------------------------------------------------------------- */

static int ends_badly(struct stage *s)
{
    (void)s;
    for (int i = 0; i < 20; i++)
        if (fork() == 0)
            _exit(stage_connect_tcp(tcp(), "127.0.0.1", port) == 0);
    alarm(0);
    kill(getpid(), SIGKILL);
    return 0;
}

/* The supervisor ends although programs wait for it, and they although it has ended. */
static void the_supervisor_ends_while_programs_wait(void **state)
{
    struct stage *s = stage_of(state);
    int clients[8];
    int listener = full_listener(clients);
    s->policy.network = POLICY_NET_OPEN;
    assert_int_equal(stage_run(s, ends_badly, NULL), 128 + SIGKILL);
    for (int i = 0; i < 8; i++)
        close(clients[i]);
    close(listener);
}

#define MANY 3000

static int connects_often(struct stage *s)
{
    (void)s;
    for (int i = 0; i < MANY; i++) {
        int fd = stream();
        CHECK(stage_connect_unix(fd, path) == 0);
        close(fd);
    }
    return 0;
}

static void accept_many(struct stage *s, pid_t pid)
{
    (void)s, (void)pid;
    for (int i = 0; i < MANY; i++)
        close(accept(other_port, NULL, NULL));
}

static void many_connections_are_answered(void **state)
{
    struct stage *s = stage_of(state);
    int listener = stage_listen_unix(stage_path(s, "open", path));
    other_port = (uint16_t)listener;
    stage_grant_unix(s, path, false, false);
    assert_int_equal(stage_run(s, connects_often, accept_many), 0);
    close(listener);
}

/* --- files, for a diagnosis ---------------------------------------------------------------- */

/* Nothing but the stage's folder is granted; without Landlock, all of it goes well or fails for
 * reasons of its own. */
static int touches_files(struct stage *s)
{
    char name[108];
    CHECK(open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0);
    int folder = open("/etc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    CHECK(openat(folder, "passwd", O_RDONLY | O_CLOEXEC) >= 0);
    CHECK(open("/etc/there-is-no-such-file", O_RDWR | O_CLOEXEC) < 0 && errno == ENOENT);
    CHECK(mkdir("/etc", 0700) < 0 && errno == EEXIST);
    CHECK(unlink("/etc/there-is-no-such-file") < 0 && errno == ENOENT);
    CHECK(open(stage_path(s, "made", name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0);
    CHECK(unlink(name) == 0);
    CHECK(access("/etc/shadow", F_OK) == 0); /* looking at names needs no grant */
    return 0;
}

static void calls_on_files_are_noted_and_made(void **state)
{
    struct stage *s = stage_of(state);
    s->is_diagnosed = true;
    stage_grant_write(s, s->folder);
    assert_int_equal(stage_run(s, touches_files, NULL), 0);
    const struct denial *only = denials_at(s->denials, 0);
    assert_non_null(only);
    assert_null(denials_at(s->denials, 1));
    assert_int_equal(only->source, DENIAL_TRACED);
    assert_string_equal(only->act, "read");
    assert_string_equal(only->target, "/etc/passwd");
    assert_string_equal(only->grant, "--read-file /etc/passwd");
    assert_int_equal(only->count, 2);
}

static char other_folder[64]; /* that is not the stage's */

/* How often it was noted by looking. */
static unsigned traced(const struct stage *s, const char *act, const char *target)
{
    const struct denial *d;
    for (size_t i = 0; (d = denials_at(s->denials, i)); i++)
        if (strcmp(d->act, act) == 0 && strcmp(d->target, target) == 0)
            return d->source == DENIAL_TRACED ? d->count : 0;
    return 0;
}

/* Beside what fails anyhow, and is not noted, five calls that write the other folder and one that
 * reads in it. */
static int names_files_in_odd_ways(struct stage *s)
{
    char name[108], other[108];
    struct open_how how = { .flags = O_RDONLY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
    snprintf(other, sizeof(other), "%s/f", other_folder);
    CHECK(fails(open(other, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), EEXIST));
    CHECK(fails(open("", O_RDONLY | O_CLOEXEC), ENOENT) && fails(chmod("", 0700), ENOENT));
    int folder = open(other_folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    CHECK(folder >= 0 && fails(renameat(folder, "missing", folder, "g"), ENOENT));
    CHECK(fails(renameat2(folder, "f", folder, "missing", RENAME_EXCHANGE), ENOENT));
    CHECK(fails(link(stage_path(s, "missing", name), other), ENOENT));
    CHECK(fails(open(stage_path(s, "link", name), O_RDONLY | O_NOFOLLOW | O_CLOEXEC), ELOOP));

    CHECK(mkdirat(folder, "new/", 0700) == 0);
    CHECK(rename(stage_path(s, "a", name), other) == 0); /* which is there */
    CHECK(renameat(folder, "f", folder, "g") == 0);
    CHECK(link(stage_path(s, "b", name), other) == 0);
    CHECK(open(stage_path(s, "link", name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0);
    int result = (int)syscall(SYS_openat2, folder, "/g", &how, sizeof(how));
    CHECK(result >= 0 || errno == ENOSYS);
    return 0;
}

static void make(const struct stage *s, const char *name, const char *bytes, mode_t mode)
{
    char file[108];
    int fd = open(stage_path(s, name, file), O_WRONLY | O_CREAT | O_CLOEXEC, mode);
    assert_true(fd >= 0 && write(fd, bytes, strlen(bytes)) == (ssize_t)strlen(bytes));
    close(fd);
}

/* A folder beside the stage's own, with the file f. */
static void make_other(const char *mark)
{
    snprintf(other_folder, sizeof(other_folder), "/tmp/nt-notify-%s-XXXXXX", mark);
    assert_non_null(mkdtemp(other_folder));
    snprintf(path, sizeof(path), "%s/f", other_folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static void remove_other(void)
{
    char command[160];
    snprintf(command, sizeof(command), "rm -rf '%s'", other_folder);
    assert_int_equal(system(command), 0);
}

static void odd_names_are_what_the_kernel_makes_of_them(void **state)
{
    struct stage *s = stage_of(state);
    char name[108], made[128];
    s->is_diagnosed = true;
    stage_grant_write(s, s->folder);
    make_other("odd");
    make(s, "a", "", 0600);
    make(s, "b", "", 0600);
    snprintf(made, sizeof(made), "%s/made", other_folder);
    assert_int_equal(symlink(made, stage_path(s, "link", name)), 0);
    assert_int_equal(stage_run(s, names_files_in_odd_ways, NULL), 0);
    snprintf(made, sizeof(made), "%s/g", other_folder);
    assert_int_equal(traced(s, "write", other_folder), 5);
    assert_int_equal(traced(s, "read", made), 1);
    assert_null(denials_at(s->denials, 2));
    remove_other();
}

static int runs_a_script(struct stage *s)
{
    char name[108];
    char *const argv[] = { text, NULL }, *const envp[] = { NULL };
    int program = open(path, O_PATH | O_CLOEXEC);
    CHECK(fails((int)syscall(SYS_execveat, program, "", argv, envp, 0), ENOENT));
    CHECK(fails((int)syscall(SYS_execveat, program, "", argv, envp, AT_EMPTY_PATH), ENOEXEC));
    CHECK(fails(execve(stage_path(s, "script", name), argv, envp), ENOEXEC));
    return 0;
}

static void what_runs_a_script_is_noted(void **state)
{
    struct stage *s = stage_of(state);
    s->is_diagnosed = true;
    stage_grant_write(s, s->folder);
    make_other("run");
    assert_int_equal(chmod(path, 0700), 0); /* an empty one: it is refused when all else is done */
    snprintf(text, sizeof(text), "#! %s -x\n", path);
    make(s, "script", text, 0700);
    assert_int_equal(stage_run(s, runs_a_script, NULL), 0);
    assert_int_equal(traced(s, "read", path), 2);
    assert_null(denials_at(s->denials, 1));
    remove_other();
}

/* --- open files on a read-only mount ------------------------------------------------------- */

#ifdef SYS_futimesat
#define CHANGES 15
#else
#define CHANGES 14
#endif

static int told[2], gone[2]; /* that a file is open; that it is removed */
static int outer;            /* an open file of outside */

static int *refused_by_mount; /* how many were */

/* A filter around the test, or an older kernel, may not know the newest calls. */
static bool is_refused(long result)
{
    *refused_by_mount += result < 0 && errno == EROFS;
    return result < 0 && (errno == EROFS || errno == ENOSYS || errno == EPERM);
}

/* CHANGES of them. */
static int changes_by_descriptor(int fd, int by_path)
{
    char name[64];
    struct {
        uint64_t value;
        uint32_t size, flags;
    } attribute = { .value = (uintptr_t) "1", .size = 1 };
    uint64_t attributes[3] = { 0 };
    CHECK(is_refused(fchmod(fd, 0600)));
    CHECK(is_refused(fchown(fd, (uid_t)-1, (gid_t)-1)));
    CHECK(is_refused(futimens(fd, NULL)));
    CHECK(is_refused(fsetxattr(fd, "user.x", "1", 1, 0)));
    CHECK(is_refused(fremovexattr(fd, "user.x")));
    CHECK(is_refused(fchownat(fd, "", (uid_t)-1, (gid_t)-1, AT_EMPTY_PATH)));
    CHECK(is_refused(fchownat(by_path, "", (uid_t)-1, (gid_t)-1, AT_EMPTY_PATH)));
    CHECK(is_refused(syscall(SYS_utimensat, by_path, "", NULL, AT_EMPTY_PATH)));
    CHECK(is_refused(syscall(452, by_path, "", 0600, AT_EMPTY_PATH)));
    CHECK(is_refused(syscall(463, fd, "", AT_EMPTY_PATH, "user.x", &attribute, sizeof(attribute))));
    CHECK(is_refused(syscall(466, fd, NULL, AT_EMPTY_PATH, "user.x")));
    CHECK(is_refused(syscall(469, fd, "", attributes, sizeof(attributes), AT_EMPTY_PATH)));
    snprintf(name, sizeof(name), "/proc/self/fd/%d", by_path);
    CHECK(is_refused(chmod(name, 0600)));
    CHECK(is_refused(access(path, R_OK | W_OK)));
#ifdef SYS_futimesat
    CHECK(is_refused(syscall(SYS_futimesat, fd, NULL, NULL)));
#endif
    return 0;
}

/* All that must not be noted: what is no file with a name, or may be changed, or is asked wrongly.
 */
static int changes_what_it_may(struct stage *s, int by_path)
{
    char name[108], byte;
    int pipes[2], pair[2];
    CHECK(pipe2(pipes, O_CLOEXEC) == 0 && fchmod(pipes[0], 0600) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    (void)!fchmod(pair[0], 0600);
    int memory = memfd_create("x", MFD_CLOEXEC);
    CHECK(memory >= 0 && fchmod(memory, 0600) == 0);
    CHECK(fchmod(outer, 0600) == 0 && futimens(outer, NULL) == 0);
    int own = open(stage_path(s, "own", name), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(own >= 0 && fchmod(own, 0640) == 0 && futimens(own, NULL) == 0);
    CHECK(fchownat(own, "", (uid_t)-1, (gid_t)-1, AT_EMPTY_PATH) == 0 && access(name, W_OK) == 0);
    CHECK(unlink(name) == 0 && fchmod(own, 0600) == 0);
    CHECK(fails(fchmod(by_path, 0600), EBADF) && fails(fchmod(1000, 0600), EBADF));
    CHECK(fails(fchmod(-1, 0600), EBADF));
    CHECK(fails(fchownat(by_path, "", (uid_t)-1, (gid_t)-1, 0), ENOENT));
    CHECK(fails((int)syscall(SYS_utimensat, AT_FDCWD, NULL, NULL, 0), EFAULT));
    CHECK(access(path, R_OK) == 0);
    snprintf(name, sizeof(name), "%s/g", other_folder);
    int removed = open(name, O_RDONLY | O_CLOEXEC);
    CHECK(removed >= 0 && write(told[1], "o", 1) == 1 && read(gone[0], &byte, 1) == 1);
    CHECK(fails(fchmod(removed, 0600), EROFS));
    return 0;
}

static int changes_open_files(struct stage *s)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), by_path = open(path, O_PATH | O_CLOEXEC);
    CHECK(fd >= 0 && by_path >= 0);
    int result = changes_what_it_may(s, by_path);
    return result ? result : changes_by_descriptor(fd, by_path);
}

static void remove_while_open(struct stage *s, pid_t pid)
{
    (void)s;
    char name[108], byte;
    siginfo_t ended = { 0 };
    struct pollfd ready = { .fd = told[0], .events = POLLIN };
    snprintf(name, sizeof(name), "%s/g", other_folder);
    while (poll(&ready, 1, 20) == 0
           && waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOHANG | WNOWAIT) == 0
           && ended.si_pid == 0)
        ;
    if (ready.revents & POLLIN && read(told[0], &byte, 1) == 1)
        unlink(name);
    (void)!write(gone[1], "g", 1);
}

static void open_files_that_are_read_only_are_noted(void **state)
{
    struct stage *s = stage_of(state);
    char name[128];
    s->is_diagnosed = s->is_readonly = true;
    stage_grant_write(s, s->folder);
    make_other("open");
    snprintf(name, sizeof(name), "%s/g", other_folder);
    int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    outer = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(outer >= 0 && pipe2(told, O_CLOEXEC) == 0 && pipe2(gone, O_CLOEXEC) == 0);
    stage_grant_write(s, other_folder);
    s->grants[1].access = POLICY_READ;
    refused_by_mount =
        mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(refused_by_mount != MAP_FAILED);
    int status = stage_run(s, changes_open_files, remove_while_open);
    int noted = (int)traced(s, "write", path), refused = *refused_by_mount;
    bool is_alone = !denials_at(s->denials, 1);
    munmap(refused_by_mount, sizeof(int));
    const struct denial *only = denials_at(s->denials, 0);
    if (status == 0 && only) {
        snprintf(name, sizeof(name), "--write-file %s", path);
        assert_string_equal(only->layer, "mount");
        assert_string_equal(only->grant, name);
    }
    const int fds[] = { outer, told[0], told[1], gone[0], gone[1] };
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        close(fds[i]);
    remove_other();
    if (status == NO_NAMESPACES)
        skip();
    assert_int_equal(status, 0);
    assert_true(is_alone && refused >= 10);
    assert_in_range(noted, refused, CHANGES);
}

/* --- the rules ----------------------------------------------------------------------------- */

/* The numbers that a program of a filter compares with, in order. */
static size_t numbers_of(const struct sock_filter *rules, size_t count, long *ret, size_t max)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        if (rules[i].code == (BPF_JMP | BPF_JEQ | BPF_K) && found < max)
            ret[found++] = rules[i].k;
    return found;
}

static void no_call_on_a_file_is_asked_about_unless_it_is_wanted(void **state)
{
    static const long wanted[] = { SYS_connect,     SYS_bind,
                                   SYS_getsockname, SYS_landlock_create_ruleset,
                                   SYS_sendto,      SYS_sendmsg,
                                   SYS_sendmmsg };
    const struct policy policy = { .network = POLICY_NET_OPEN };
    struct sock_filter rules[256];
    long numbers[256];
    size_t count = 0, others = 0;
    (void)state;
    assert_int_equal(notify_filter(&policy, rules, 256, &count), 0);
    assert_int_equal(numbers_of(rules, count, numbers, 256), sizeof(wanted) / sizeof(wanted[0]));
    assert_memory_equal(numbers, wanted, sizeof(wanted));
    assert_int_equal(notify_file_filter(rules, 256, &count), 0);
    while (files_call(others) >= 0)
        others++;
    assert_true(others > 40 && numbers_of(rules, 2 * others, numbers, 256) == others);
    for (size_t i = 0; i < others; i++) {
        assert_int_equal(numbers[i], files_call(i));
        assert_int_not_equal(numbers[i], SYS_ioctl);
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(numbers[i], numbers[j]);
        for (size_t j = 0; j < sizeof(wanted) / sizeof(wanted[0]); j++)
            assert_int_not_equal(numbers[i], wanted[j]);
    }
    /* What is refused to everybody, behind these rules, is let through to them: whatever the high
     * half of the request is, as only the low one is looked at. */
    long requests[64];
    size_t left = numbers_of(rules + 2 * others, count - 2 * others, requests, 64);
    assert_true(left > 4 && requests[0] == SYS_ioctl);
    const long never[] = { TIOCSTI, TIOCLINUX, FIOSETOWN, SIOCSPGRP };
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
        assert_int_equal(requests[i + 1], never[i]);
    for (size_t i = 1; i < left; i++) { /* each leads past the one answer */
        const struct sock_filter *rule = &rules[2 * others + 1 + i];
        assert_int_equal(rule->k, requests[i]);
        assert_int_equal((rule + 1 + rule->jt)->code, BPF_LD | BPF_W | BPF_ABS);
        assert_int_equal(rule->jf, 0);
    }
    assert_int_equal(rules[count - 2].k, SECCOMP_RET_USER_NOTIF);
    assert_int_equal(notify_file_filter(rules, count - 1, &count), ENOSPC);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, stage_setup, stage_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_open_network_is_open),
        TEST(a_blocked_network_is_closed_at_once_and_noted),
        TEST(open_ports_of_this_machine_can_be_reached),
        TEST(ports_of_other_machines_are_none_of_this_one),
        TEST(also_from_a_network_of_its_own),
        TEST(ports_to_listen_on_can_be_reached_from_outside),
        TEST(also_those_of_a_network_of_its_own),
        TEST(a_connection_that_waits_holds_up_nobody),
        TEST(a_full_local_listener_is_waited_for),
        TEST(only_granted_paths_are_connected_to),
        TEST(a_granted_folder_is_not_what_lies_deeper),
        TEST(with_an_open_network_writing_there_is_enough),
        TEST(sockets_are_made_in_granted_folders_only),
        TEST(datagrams_go_to_granted_sockets_only),
        TEST(an_inherited_socket_of_datagrams_leads_nowhere),
        TEST(rules_that_would_not_hold_are_refused),
        TEST(the_supervisor_ends_while_programs_wait),
        TEST(many_connections_are_answered),
        TEST(calls_on_files_are_noted_and_made),
        TEST(odd_names_are_what_the_kernel_makes_of_them),
        TEST(what_runs_a_script_is_noted),
        TEST(open_files_that_are_read_only_are_noted),
        cmocka_unit_test(no_call_on_a_file_is_asked_about_unless_it_is_wanted),
    };
    if (!stage_is_possible())
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
