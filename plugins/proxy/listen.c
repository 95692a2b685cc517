/* SPDX-License-Identifier: Apache-2.0 */
/* listen.c - the local listener of `proxy`: loopback, unless another address is named. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/parse.h"

#define BACKLOG 128

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* "127.0.0.1:80", "[::1]:80", "localhost:80". */
static int read_listen(const char *text, union address *ret, struct nt_error *reterr)
{
    const char *colon = strrchr(text, ':');
    char host[64];
    uint64_t port = 0;
    size_t size = colon ? (size_t)(colon - text) : 0;
    if (!colon || size == 0 || size >= sizeof(host)
        || nt_parse_u64(colon + 1, 0, 65535, &port, reterr) < 0)
        return nt_fail(reterr, NT_E_USAGE, "--listen must be ADDRESS:PORT");
    bool has_brackets = text[0] == '[' && text[size - 1] == ']';
    memcpy(host, text + has_brackets, size - 2 * has_brackets);
    host[size - 2 * has_brackets] = '\0';
    const char *address = strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
    *ret = (union address){ .any = { 0 } };
    if (inet_pton(AF_INET, address, &ret->v4.sin_addr) == 1) {
        ret->v4.sin_family = AF_INET;
        ret->v4.sin_port = htons((uint16_t)port);
    } else if (inet_pton(AF_INET6, address, &ret->v6.sin6_addr) == 1) {
        ret->v6.sin6_family = AF_INET6;
        ret->v6.sin6_port = htons((uint16_t)port);
    } else {
        return nt_fail(reterr, NT_E_USAGE, "--listen: %s is not an IP address", host);
    }
    return 0;
}

static socklen_t size_of(const union address *a)
{
    return a->any.sa_family == AF_INET ? sizeof(a->v4) : sizeof(a->v6);
}

static int try_listen(const union address *a)
{
    int on = 1;
    nt_autoclose int fd = socket(a->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, &a->any, size_of(a)) < 0 || listen(fd, BACKLOG) < 0)
        return -1;
    return nt_take_fd(fd);
}

static void say_where(int fd, char *ret, size_t size)
{
    union address a = { .any = { 0 } };
    socklen_t length = sizeof(a);
    char host[INET6_ADDRSTRLEN] = "";
    getsockname(fd, &a.any, &length);
    if (a.any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &a.v6.sin6_addr, host, sizeof(host));
        snprintf(ret, size, "[%s]:%u", host, (unsigned)ntohs(a.v6.sin6_port));
        return;
    }
    inet_ntop(AF_INET, &a.v4.sin_addr, host, sizeof(host));
    snprintf(ret, size, "%s:%u", strcmp(host, "127.0.0.1") ? host : "localhost",
             (unsigned)ntohs(a.v4.sin_port));
}

int listen_here(const char *listen_text, uint16_t port, bool is_wish, char *ret_where, size_t size,
                bool *ret_is_other, struct nt_error *reterr)
{
    union address a = { .v4 = { .sin_family = AF_INET,
                                .sin_port = htons(port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) } };
    if (listen_text && read_listen(listen_text, &a, reterr) < 0)
        return -1;
    *ret_is_other = false;
    int fd = try_listen(&a);
    if (fd < 0 && (errno == EADDRINUSE || errno == EACCES) && is_wish) {
        a.v4.sin_port = 0;
        *ret_is_other = true;
        fd = try_listen(&a);
    }
    if (fd < 0 && errno == EADDRINUSE) {
        nt_fail(reterr, PROXY_E_PORT_TAKEN, "%s is in use",
                listen_text ? listen_text : "that port of this machine");
        nt_hint(reterr, "name another one, or leave it out: a free one is picked");
        return -1;
    }
    if (fd < 0)
        return nt_fail_sys(reterr, errno, "cannot listen on %s",
                           listen_text ? listen_text : "that port");
    say_where(fd, ret_where, size);
    return fd;
}
