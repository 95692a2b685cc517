/* SPDX-License-Identifier: Apache-2.0 */
/* listen.c - listeners of --listen, made here or inherited: Unix sockets and TCP. */
#include "listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugins/serve/inherited.h"
#include "plugins/serve/server.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/parse.h"

#define BACKLOG 512

static void on_connections(void *data, uint32_t open)
{
    struct listener *listener = data;
    struct server *server = listener->server;
    /* Commands of a moment are work, too, and the idle timer alone would hardly meet one. */
    server->idle_since_ms = server->loop->ops->now_ms(server->loop);
    server_wake(server);
}

int listen_serve(struct server *server, int fd, const struct listener *like,
                 struct nt_error *reterr)
{
    struct listener *listener = calloc(1, sizeof(*listener));
    if (!listener) {
        close(fd);
        return nt_fail(reterr, NT_E_MEMORY, "no memory for a listener");
    }
    *listener = *like;
    listener->server = server;
    listener->names = server->options->host_names;
    listener->name_count = server->options->host_name_count;
    struct net_server_options options = { .request = router_request,
                                          .connections = on_connections,
                                          .tls = like->tls ? server->tls : NULL,
                                          .data = listener };
    if (net_server_new(server->uv, fd, &options, &listener->net, reterr) < 0) {
        free(listener);
        return -1;
    }
    listener->next = server->listeners;
    server->listeners = listener;
    return 0;
}

/* A socket that nobody serves any more may be taken away; anything else may not. */
static int remove_stale(const char *path, struct nt_error *reterr)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : nt_fail_sys(reterr, errno, "cannot look at %s", path);
    if (!S_ISSOCK(st.st_mode) || st.st_uid != geteuid())
        return nt_fail(reterr, NT_E_CONFLICT, "%s is there already and is not a socket of ours",
                       path);
    struct nt_error error = NT_ERROR_INIT;
    nt_autoclose int fd = net_unix_connect(path, &error);
    if (fd >= 0)
        return nt_fail(reterr, NT_E_CONFLICT, "a server listens on %s already", path);
    return unlink(path) == 0 || errno == ENOENT
               ? 0
               : nt_fail_sys(reterr, errno, "cannot remove %s", path);
}

static int bind_unix(const char *path, const struct server_options *options,
                     struct listener *ret_like, struct nt_error *reterr)
{
    *ret_like = (struct listener){ .is_unix = true };
    if (path[0] != '/')
        return nt_fail(reterr, NT_E_USAGE, "--listen unix:PATH needs an absolute path");
    snprintf(ret_like->text, sizeof(ret_like->text), "unix:%s", path);
    int fd = inherited_get(options->inherited, ret_like->text);
    if (fd >= 0)
        return fd;
    return remove_stale(path, reterr) < 0 ? -1 : net_unix_listen(path, reterr);
}

struct tcp_address {
    union {
        struct sockaddr any;
        struct sockaddr_storage storage;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } u;
    socklen_t size;
    bool is_loopback;
};

/* Numeric addresses and "localhost" only: a name could mean another machine tomorrow. */
static int parse_tcp(const char *where, struct tcp_address *ret, struct nt_error *reterr)
{
    const char *colon = strrchr(where, ':');
    char host[64];
    uint64_t port;
    if (!colon || colon == where || (size_t)(colon - where) >= sizeof(host))
        return nt_fail(reterr, NT_E_USAGE, "--listen takes unix:PATH or HOST:PORT, not %s", where);
    if (nt_parse_u64(colon + 1, 0, 65535, &port, reterr) < 0)
        return nt_wrap(reterr, "the port of --listen %s", where);
    memcpy(host, where, (size_t)(colon - where));
    host[colon - where] = '\0';
    *ret = (struct tcp_address){ 0 };
    size_t size = strlen(host);
    if (strcmp(host, "localhost") == 0)
        snprintf(host, sizeof(host), "127.0.0.1");
    if (host[0] == '[' && host[size - 1] == ']') {
        host[size - 1] = '\0';
        if (inet_pton(AF_INET6, host + 1, &ret->u.v6.sin6_addr) == 1) {
            ret->u.v6.sin6_family = AF_INET6;
            ret->u.v6.sin6_port = htons((uint16_t)port);
            ret->size = sizeof(ret->u.v6);
            ret->is_loopback = IN6_IS_ADDR_LOOPBACK(&ret->u.v6.sin6_addr);
            return 0;
        }
    } else if (inet_pton(AF_INET, host, &ret->u.v4.sin_addr) == 1) {
        ret->u.v4.sin_family = AF_INET;
        ret->u.v4.sin_port = htons((uint16_t)port);
        ret->size = sizeof(ret->u.v4);
        ret->is_loopback = ntohl(ret->u.v4.sin_addr.s_addr) >> 24 == 127;
        return 0;
    }
    return nt_fail(reterr, NT_E_USAGE, "--listen %s: the host must be an address or localhost",
                   where);
}

/* A socket of ours at this address: inherited, or a new one. */
static int bind_tcp(const struct tcp_address *address, const char *where,
                    struct inherited *inherited, struct nt_error *reterr)
{
    char same[INHERITED_WHERE_MAX];
    int given = inherited_where(&address->u.storage, address->size, same) == 0
                    ? inherited_get(inherited, same)
                    : -1;
    if (given >= 0)
        return given;
    nt_autoclose int fd =
        socket(address->u.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int one = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0
        || (address->u.any.sa_family == AF_INET6
            && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0)
        || bind(fd, &address->u.any, address->size) < 0 || listen(fd, BACKLOG) < 0)
        return nt_fail_sys(reterr, errno, "cannot listen on %s", where);
    return nt_take_fd(fd);
}

static int bind_checked(const char *where, const struct server_options *options,
                        struct listener *ret_like, struct nt_error *reterr)
{
    struct tcp_address address;
    if (parse_tcp(where, &address, reterr) < 0)
        return -1;
    bool tls = options->tls_certificates;
    if (!address.is_loopback && !tls && !options->insecure_listen) {
        nt_fail(reterr, NT_E_FORBIDDEN,
                "%s is beyond this machine, and the connection is not encrypted", where);
        return nt_hint(reterr,
                       "give --tls-cert and --tls-key, put a TLS proxy before a loopback listener, "
                       "or say --insecure-listen");
    }
    *ret_like = (struct listener){ .is_loopback = address.is_loopback, .tls = tls };
    nt_autoclose int fd = bind_tcp(&address, where, options->inherited, reterr);
    if (fd < 0)
        return -1;
    socklen_t size = sizeof(address.u);
    if (getsockname(fd, &address.u.any, &size) < 0)
        return nt_fail_sys(reterr, errno, "cannot listen on %s", where);
    ret_like->port =
        ntohs(address.u.any.sa_family == AF_INET6 ? address.u.v6.sin6_port : address.u.v4.sin_port);
    snprintf(ret_like->text, sizeof(ret_like->text), "%s://%.*s:%u", tls ? "https" : "http",
             (int)(strrchr(where, ':') - where), where, ret_like->port);
    return nt_take_fd(fd);
}

bool listen_is_at(const char *where, const char *place)
{
    struct tcp_address address;
    struct nt_error error = NT_ERROR_INIT;
    char same[INHERITED_WHERE_MAX];
    if (strncmp(where, "unix:", 5) == 0)
        return strcmp(where, place) == 0;
    return parse_tcp(where, &address, &error) == 0
           && inherited_where(&address.u.storage, address.size, same) == 0
           && strcmp(same, place) == 0;
}

int listen_bind(const char *where, const struct server_options *options, struct listener *ret_like,
                struct nt_error *reterr)
{
    if (strncmp(where, "unix:", 5) == 0)
        return bind_unix(where + 5, options, ret_like, reterr);
    return bind_checked(where, options, ret_like, reterr);
}
