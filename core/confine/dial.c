/* SPDX-License-Identifier: Apache-2.0 */
/* dial.c - connects by TCP on behalf of a plugin. */
#include "dial.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "sdk/cleanup.h"
#include "sdk/clock.h"
#include "sdk/error.h"

#define LIMIT_MS 30000

/* 127.0.0.0/8, 0.0.0.0/8, 169.254.0.0/16 (the data of a cloud's machine), multicast and above. */
static bool is_near_v4(uint32_t address)
{
    uint32_t first = address >> 24;
    return first == 0 || first == 127 || first >= 224 || address >> 16 == 0xa9fe;
}

static bool is_near(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof(v4));
        return is_near_v4(ntohl(v4.sin_addr.s_addr));
    }
    struct sockaddr_in6 v6;
    memcpy(&v6, address, sizeof(v6));
    if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr) || IN6_IS_ADDR_V4COMPAT(&v6.sin6_addr)) {
        uint32_t inner;
        memcpy(&inner, &v6.sin6_addr.s6_addr[12], sizeof(inner));
        return is_near_v4(ntohl(inner));
    }
    return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr) || IN6_IS_ADDR_UNSPECIFIED(&v6.sin6_addr)
           || IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr) || IN6_IS_ADDR_MULTICAST(&v6.sin6_addr);
}

/* What was written out, and not by whoever owns a name. */
static bool is_address(const char *host)
{
    unsigned char room[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, room) == 1 || inet_pton(AF_INET6, host, room) == 1;
}

/* 0 or an errno value. */
static int wait_for(int fd, int64_t until_ms)
{
    for (;;) {
        int64_t left = until_ms - nt_now_ms();
        struct pollfd ready = { .fd = fd, .events = POLLOUT };
        if (left <= 0)
            return ETIMEDOUT;
        int n = poll(&ready, 1, (int)left);
        if (n < 0 && errno != EINTR)
            return errno;
        if (n <= 0)
            continue;
        int sys = 0;
        socklen_t size = sizeof(sys);
        return getsockopt(fd, SOL_SOCKET, SO_ERROR, &sys, &size) < 0 ? errno : sys;
    }
}

static int try_one(const struct addrinfo *at, int64_t until_ms, int *ret_fd)
{
    nt_autoclose int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return errno;
    if (connect(fd, at->ai_addr, at->ai_addrlen) < 0) {
        int sys = errno == EINPROGRESS ? wait_for(fd, until_ms) : errno;
        if (sys)
            return sys;
    }
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
        return errno;
    *ret_fd = nt_take_fd(fd);
    return 0;
}

int dial(const char *host, uint32_t port, int64_t limit_ms, int *ret_fd, struct nt_error *reterr)
{
    int64_t until_ms = nt_now_ms() + (limit_ms >= 0 && limit_ms < LIMIT_MS ? limit_ms : LIMIT_MS);
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
    struct addrinfo *list = NULL;
    char service[16];
    snprintf(service, sizeof(service), "%u", port);
    int rc = getaddrinfo(host, service, &hints, &list);
    if (rc != 0)
        return nt_fail(reterr, NT_E_CONNECT, "cannot find %s: %s", host, gai_strerror(rc));
    bool may_be_near = is_address(host) || strcasecmp(host, "localhost") == 0;
    int sys = 0, result = -1;
    bool was_near = false;
    for (const struct addrinfo *at = list; at && result < 0; at = at->ai_next) {
        if (at->ai_family != AF_INET && at->ai_family != AF_INET6)
            continue;
        if (!may_be_near && is_near(at->ai_addr)) {
            was_near = true;
            continue;
        }
        sys = try_one(at, until_ms, ret_fd);
        result = sys ? -1 : 0;
    }
    freeaddrinfo(list);
    if (result == 0)
        return 0;
    if (!sys && was_near)
        return nt_fail(reterr, NT_E_FORBIDDEN, "the name %s leads to this machine or its link",
                       host);
    nt_fail(reterr, sys == ETIMEDOUT ? NT_E_TIMEOUT : NT_E_CONNECT, "cannot connect to %s:%u: %s",
            host, port, strerror(sys));
    reterr->sys = sys;
    return -1;
}
