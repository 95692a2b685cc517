/* SPDX-License-Identifier: Apache-2.0 */
/* port_socket.c - makes a listening socket; see port_socket.h. */
#include "port_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>

#include "sdk/cleanup.h"

#define BACKLOG 512

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static socklen_t read_address(const char *text, uint16_t port, union address *ret)
{
    *ret = (union address){ .any = { 0 } };
    if (inet_pton(AF_INET, text, &ret->v4.sin_addr) == 1) {
        ret->v4.sin_family = AF_INET;
        ret->v4.sin_port = htons(port);
        return sizeof(ret->v4);
    }
    if (inet_pton(AF_INET6, text, &ret->v6.sin6_addr) == 1) {
        ret->v6.sin6_family = AF_INET6;
        ret->v6.sin6_port = htons(port);
        return sizeof(ret->v6);
    }
    return 0;
}

bool port_is_address(const char *address)
{
    union address a;
    return read_address(address, 0, &a) > 0;
}

bool port_is_loopback(const char *address)
{
    union address a;
    if (!read_address(address, 0, &a))
        return false;
    if (a.any.sa_family == AF_INET)
        return ntohl(a.v4.sin_addr.s_addr) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&a.v6.sin6_addr);
}

int port_socket(const char *address, uint16_t port, int *ret_fd, uint16_t *ret_port)
{
    union address a;
    socklen_t size = read_address(address, port, &a);
    int on = 1;
    if (!size)
        return EINVAL;
    nt_autoclose int fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return errno;
    /* So that a port can be had again while old connections linger; two listeners it never allows.
     */
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (a.any.sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    if (bind(fd, &a.any, size) < 0 || listen(fd, BACKLOG) < 0 || getsockname(fd, &a.any, &size) < 0)
        return errno;
    *ret_port = ntohs(a.any.sa_family == AF_INET ? a.v4.sin_port : a.v6.sin6_port);
    *ret_fd = nt_take_fd(fd);
    return 0;
}
