/* SPDX-License-Identifier: Apache-2.0 */
/* network.c - attacks on a network that is blocked, and on sockets of the local machine. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "attack.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){ .sin_family = AF_INET,
                                 .sin_port = htons(port),
                                 .sin_addr = { htonl(INADDR_LOOPBACK) } };
}

/* Connects and reads a byte, which the listener outside sends to all. */
static int talk(int fd, const void *address, socklen_t size)
{
    char byte;
    struct pollfd p = { .fd = fd, .events = POLLIN };
    int r = REFUSED;
    if (fd < 0 || connect(fd, address, size) < 0)
        r = through_if(-1);
    else if (poll(&p, 1, 5000) == 1 && read(fd, &byte, 1) == 1)
        r = THROUGH;
    if (fd >= 0)
        close(fd);
    return r;
}

static int tcp(const struct target *t)
{
    struct sockaddr_in to = loopback(t->port);
    return talk(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), &to, sizeof(to));
}

static int tcp_mapped(const struct target *t) /* ::ffff:127.0.0.1 */
{
    struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_port = htons(t->port) };
    to.sin6_addr.s6_addr[10] = to.sin6_addr.s6_addr[11] = 0xff;
    to.sin6_addr.s6_addr[12] = 127, to.sin6_addr.s6_addr[15] = 1;
    return talk(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), &to, sizeof(to));
}

static int tcp_v6(const struct target *t)
{
    struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_port = htons(t->port) };
    to.sin6_addr.s6_addr[15] = 1;
    return talk(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), &to, sizeof(to));
}

static int mptcp(const struct target *t)
{
    struct sockaddr_in to = loopback(t->port);
    return talk(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_MPTCP), &to, sizeof(to));
}

static int fast_open(const struct target *t)
{
    struct sockaddr_in to = loopback(t->port);
    char byte;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), r = REFUSED;
    struct pollfd p = { .fd = fd, .events = POLLIN };
    if (fd < 0 || sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&to, sizeof(to)) < 0)
        return through_if(-1);
    if (poll(&p, 1, 5000) == 1 && read(fd, &byte, 1) == 1)
        r = THROUGH;
    close(fd);
    return r;
}

/* Sends and waits for the answer of the listener outside. */
static int ask(int fd, const void *to, socklen_t size)
{
    char byte;
    struct pollfd p = { .fd = fd, .events = POLLIN };
    int r = REFUSED;
    if (fd < 0 || sendto(fd, "?", 1, 0, to, size) < 0)
        r = through_if(-1);
    else if (poll(&p, 1, 2000) == 1 && read(fd, &byte, 1) == 1)
        r = THROUGH;
    if (fd >= 0)
        close(fd);
    return r;
}

static int udp(const struct target *t)
{
    struct sockaddr_in to = loopback(t->port);
    return ask(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), &to, sizeof(to));
}

/* A query with what shall get out in its name. The address is one of documentation: nobody is
 * there, but what has left has left. */
static int dns(const struct target *t)
{
    static const unsigned char query[] = "\x12\x34\1\0\0\1\0\0\0\0\0\0\6secret\7invalid\0\0\1\0\1";
    struct sockaddr_in to = loopback(53);
    (void)t;
    to.sin_addr.s_addr = htonl(0xc0000201);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return REFUSED;
    ssize_t n = sendto(fd, query, sizeof(query) - 1, 0, (struct sockaddr *)&to, sizeof(to));
    close(fd);
    return through_if(n);
}

static int ping(const struct target *t)
{
    struct sockaddr_in to = loopback(0);
    (void)t;
    const unsigned char echo[8] = { 8, 0, 0xf7, 0xfd, 0, 1, 0, 1 };
    char answer[64];
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP);
    struct pollfd p = { .fd = fd, .events = POLLIN };
    if (fd < 0 || sendto(fd, echo, sizeof(echo), 0, (struct sockaddr *)&to, sizeof(to)) < 0)
        return through_if(-1);
    int r = poll(&p, 1, 2000) == 1 && read(fd, answer, sizeof(answer)) > 0 ? THROUGH : REFUSED;
    close(fd);
    return r;
}

static int try_socket(int family, int type, int protocol)
{
    int fd = socket(family, type | SOCK_CLOEXEC, protocol), r = through_if(fd);
    if (fd >= 0)
        close(fd);
    return r;
}

static int raw(const struct target *t)
{
    (void)t;
    return try_socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) == THROUGH
                   || try_socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6) == THROUGH
                   || try_socket(AF_INET, SOCK_RAW, IPPROTO_RAW) == THROUGH
               ? THROUGH
               : REFUSED;
}

static int packet(const struct target *t)
{
    (void)t;
    return try_socket(AF_PACKET, SOCK_RAW, 0);
}

static int vsock(const struct target *t) /* to the machine that this one runs in */
{
    (void)t;
    return try_socket(AF_VSOCK, SOCK_STREAM, 0);
}

static int kernel_crypto(const struct target *t)
{
    (void)t;
    return try_socket(AF_ALG, SOCK_SEQPACKET, 0);
}

static int listen_unbound(const struct target *t) /* any port of the machine */
{
    (void)t;
    struct sockaddr_in own;
    socklen_t size = sizeof(own);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || listen(fd, 1) < 0)
        return REFUSED;
    if (getsockname(fd, (struct sockaddr *)&own, &size) < 0)
        return 2;
    /* The test tells whether somebody outside gets in there. */
    printf("listening %u\n", ntohs(own.sin_port));
    fflush(stdout);
    struct pollfd p = { .fd = fd, .events = POLLIN };
    int r = poll(&p, 1, 1000) == 1 ? THROUGH : REFUSED;
    close(fd);
    return r;
}

static socklen_t abstract_address(const char *name, struct sockaddr_un *ret)
{
    size_t size = strlen(name);
    *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
    if (size > sizeof(ret->sun_path) - 1)
        size = sizeof(ret->sun_path) - 1;
    memcpy(ret->sun_path + 1, name, size);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + size);
}

static int abstract(const struct target *t)
{
    struct sockaddr_un to;
    socklen_t size = abstract_address(t->abstract, &to);
    return talk(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), &to, size);
}

static socklen_t path_address(const char *path, const char *end, struct sockaddr_un *ret)
{
    *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
    snprintf(ret->sun_path, sizeof(ret->sun_path), "%.90s%s", path, end);
    return sizeof(*ret);
}

static int pathname(const struct target *t)
{
    struct sockaddr_un to;
    socklen_t size = path_address(t->local, "", &to);
    return talk(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), &to, size);
}

static int pathname_by_link(const struct target *t)
{
    struct sockaddr_un to;
    const char *link = path_in(t->inside, "socket");
    if (symlink(t->local, link) < 0 && errno != EEXIST)
        return REFUSED;
    socklen_t size = path_address(link, "", &to);
    return talk(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), &to, size);
}

/* The answer needs a name of our own, so only sending is tried. */
static int send_datagram(int fd, const struct target *t)
{
    struct sockaddr_un to;
    socklen_t size = path_address(t->local, ".datagram", &to);
    int r = fd < 0 ? REFUSED
                   : through_if(sendto(fd, "!", 1, MSG_DONTWAIT, (struct sockaddr *)&to, size));
    if (fd >= 0)
        close(fd);
    return r;
}

static int datagram(const struct target *t)
{
    return send_datagram(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), t);
}

static int datagram_of_a_pair(const struct target *t)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds) < 0)
        return through_if(-1);
    int r = send_datagram(fds[0], t);
    close(fds[1]);
    return r;
}

static int bind_outside(const struct target *t)
{
    struct sockaddr_un own;
    socklen_t size = path_address(path_in(t->outside, "bound"), "", &own);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int r = fd < 0 ? REFUSED : through_if(bind(fd, (struct sockaddr *)&own, size));
    if (fd >= 0)
        close(fd);
    return r;
}

const struct attack network_attacks[] = {
    { "tcp", tcp },
    { "tcp-mapped", tcp_mapped },
    { "tcp-v6", tcp_v6 },
    { "mptcp", mptcp },
    { "fast-open", fast_open },
    { "udp", udp },
    { "dns", dns },
    { "ping", ping },
    { "raw", raw },
    { "packet", packet },
    { "vsock", vsock },
    { "kernel-crypto", kernel_crypto },
    { "listen", listen_unbound },
    { "abstract", abstract },
    { "pathname", pathname },
    { "pathname-by-link", pathname_by_link },
    { "datagram", datagram },
    { "datagram-of-a-pair", datagram_of_a_pair },
    { "bind-outside", bind_outside },
    { NULL, NULL },
};
