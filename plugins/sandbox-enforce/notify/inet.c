/* SPDX-License-Identifier: Apache-2.0 */
/* inet.c - connect, bind and listen of IP sockets.
 *
 * With an open network the call is made. Else only four things are there: the proxy, the open ports
 * of this machine, the ports to listen on, the opened ports of other machines. When the program has
 * a network of its own, the last three lie outside of it: then the call is made on a new socket of
 * this machine's network, which replaces the program's under its number. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/notify/inner.h"
#include "sdk/cleanup.h"

struct endpoint {
    uint16_t port;
    bool is_loopback, is_any;
    char host[INET6_ADDRSTRLEN];
    char text[INET6_ADDRSTRLEN + 16]; /* host:port */
};

/* false: not an IP address, or cut off. */
static bool read_endpoint(const struct notify_address *address, struct endpoint *ret)
{
    *ret = (struct endpoint){ 0 };
    if (address->any.ss_family == AF_INET && address->size >= sizeof(struct sockaddr_in)) {
        struct sockaddr_in in;
        memcpy(&in, address->bytes, sizeof(in));
        uint32_t host = ntohl(in.sin_addr.s_addr);
        ret->port = ntohs(in.sin_port);
        ret->is_any = host == INADDR_ANY;
        ret->is_loopback = host >> 24 == 127;
        inet_ntop(AF_INET, &in.sin_addr, ret->host, sizeof(ret->host));
        snprintf(ret->text, sizeof(ret->text), "%s:%u", ret->host, ret->port);
        return true;
    }
    /* Without its last member it was good once, and still is (RFC 2133). */
    if (address->any.ss_family == AF_INET6
        && address->size >= offsetof(struct sockaddr_in6, sin6_scope_id)) {
        struct sockaddr_in6 in;
        memcpy(&in, address->bytes, sizeof(in));
        const uint8_t *bytes = in.sin6_addr.s6_addr;
        bool is_mapped = IN6_IS_ADDR_V4MAPPED(&in.sin6_addr);
        static const uint8_t zero[4];
        ret->port = ntohs(in.sin6_port);
        ret->is_any = IN6_IS_ADDR_UNSPECIFIED(&in.sin6_addr)
                      || (is_mapped && memcmp(bytes + 12, zero, 4) == 0);
        ret->is_loopback = IN6_IS_ADDR_LOOPBACK(&in.sin6_addr) || (is_mapped && bytes[12] == 127);
        inet_ntop(AF_INET6, &in.sin6_addr, ret->host, sizeof(ret->host));
        snprintf(ret->text, sizeof(ret->text), "[%s]:%u", ret->host, ret->port);
        return true;
    }
    return false;
}

static bool is_open_port(const struct policy *policy, uint16_t port)
{
    return policy_has_port(policy->open_ports, policy->open_port_count, port);
}

static bool is_listen_port(const struct policy *policy, uint16_t port)
{
    return policy_has_port(policy->listen_ports, policy->listen_port_count, port);
}

/* Anything that is not TCP has other ways to say where it goes. */
static bool is_tcp(const struct notify_ask *ask)
{
    return ask->type == SOCK_STREAM && (ask->protocol == IPPROTO_TCP || ask->protocol == 0);
}

static const char *closed_rule(const struct policy *policy)
{
    return policy->network == POLICY_NET_BLOCKED ? "the network is blocked"
                                                 : "the only way out is the proxy";
}

/* "any address" becomes this machine's own: for connect the kernel means the same, for bind it is
 * what an open port is. A socket of IPv6 that serves both then serves 127.0.0.1, where clients
 * look. */
static void narrow(const struct notify_ask *ask, struct notify_address *address)
{
    if (address->any.ss_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address->bytes, sizeof(in));
        in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        memcpy(address->bytes, &in, sizeof(in));
        return;
    }
    int only_v6 = 0;
    socklen_t size = sizeof(only_v6);
    (void)getsockopt(ask->socket, IPPROTO_IPV6, IPV6_V6ONLY, &only_v6, &size);
    struct sockaddr_in6 in;
    memcpy(&in, address->bytes, sizeof(in));
    static const struct in6_addr mapped = { { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0,
                                                1 } } };
    in.sin6_addr = only_v6 || ask->call == SYS_connect ? in6addr_loopback : mapped;
    memcpy(address->bytes, &in, sizeof(in));
}

/* What the program has set on its socket so far, of what matters to a TCP connection. */
static const struct {
    int level, name;
} kept_options[] = {
    { SOL_SOCKET, SO_REUSEADDR },      { SOL_SOCKET, SO_REUSEPORT },
    { SOL_SOCKET, SO_KEEPALIVE },      { SOL_SOCKET, SO_LINGER },
    { SOL_SOCKET, SO_SNDTIMEO },       { SOL_SOCKET, SO_RCVTIMEO },
    { IPPROTO_TCP, TCP_NODELAY },      { IPPROTO_TCP, TCP_KEEPIDLE },
    { IPPROTO_TCP, TCP_KEEPINTVL },    { IPPROTO_TCP, TCP_KEEPCNT },
    { IPPROTO_TCP, TCP_USER_TIMEOUT }, { IPPROTO_TCP, TCP_DEFER_ACCEPT },
    { IPPROTO_IPV6, IPV6_V6ONLY },
};

/* A new socket of this machine's network like the program's; -errno. */
static int new_outside(const struct notify_ask *ask)
{
    int flags = fcntl(ask->socket, F_GETFL);
    nt_autoclose int fd =
        socket(ask->domain,
               ask->type | SOCK_CLOEXEC | (flags >= 0 && flags & O_NONBLOCK ? SOCK_NONBLOCK : 0),
               IPPROTO_TCP);
    if (fd < 0)
        return -errno;
    for (size_t i = 0; i < sizeof(kept_options) / sizeof(kept_options[0]); i++) {
        unsigned char value[32];
        socklen_t size = sizeof(value);
        if (getsockopt(ask->socket, kept_options[i].level, kept_options[i].name, value, &size) == 0)
            (void)setsockopt(fd, kept_options[i].level, kept_options[i].name, value, size);
    }
    return nt_take_fd(fd);
}

static int64_t deny_endpoint(const struct notify_ask *ask, const char *act,
                             const struct endpoint *to, const char *rule)
{
    const struct policy *policy = notify_options_of(ask->n)->policy;
    struct policy_answer answer = { 0 };
    char grant[32] = "";
    bool is_bind = ask->call == SYS_bind || ask->call == SYS_listen;
    bool is_here = to->is_loopback || to->is_any;
    if (is_bind && is_tcp(ask) && to->port)
        snprintf(grant, sizeof(grant), "--listen-port %u", to->port);
    else if (ask->call == SYS_connect && is_tcp(ask) && is_here)
        snprintf(grant, sizeof(grant), "--open-port %u", to->port);
    else if (ask->call == SYS_connect && is_tcp(ask))
        policy_ask_host(policy, to->host, to->port, &answer);
    return notify_deny(ask->n, act, to->text, rule, grant[0] ? grant : answer.flag);
}

/* Ports of other machines. Always on a socket of our own making: what the program has set on its
 * own (source routes) would lead elsewhere than where the address says. */
static int64_t connect_elsewhere(const struct notify_ask *ask, struct notify_address *address,
                                 const struct endpoint *to)
{
    int sys = route_leads_away((const struct sockaddr *)(const void *)address->bytes);
    if (sys == EACCES)
        return deny_endpoint(ask, "connect", to, "an address of this machine");
    if (sys)
        return -sys;
    int outside = new_outside(ask);
    return outside < 0 ? outside : wait_connect(ask, address, outside, -1);
}

int64_t inet_connect(const struct notify_ask *ask, struct notify_address *address)
{
    const struct notify_options *options = notify_options_of(ask->n);
    const struct policy *policy = options->policy;
    struct endpoint to;
    if (!read_endpoint(address, &to))
        return address->any.ss_family == AF_INET || address->any.ss_family == AF_INET6
                   ? -EINVAL
                   : -EAFNOSUPPORT;
    if (policy->network == POLICY_NET_OPEN)
        return wait_connect(ask, address, ask->socket, -1);
    bool is_here = (to.is_loopback || to.is_any) && is_tcp(ask);
    if (is_here && options->proxy_port && to.port == options->proxy_port)
        return wait_connect(ask, address, ask->socket, -1);
    if (!is_here && is_tcp(ask) && policy_ask_connect(policy, to.host, to.port))
        return connect_elsewhere(ask, address, &to);
    if (!is_here || !is_open_port(policy, to.port))
        return deny_endpoint(ask, "connect", &to, closed_rule(policy));
    if (to.is_any)
        narrow(ask, address);
    if (!options->own_network)
        return wait_connect(ask, address, ask->socket, -1);
    int outside = new_outside(ask);
    return outside < 0 ? outside : wait_connect(ask, address, outside, -1);
}

int64_t inet_bind(const struct notify_ask *ask, struct notify_address *address)
{
    const struct notify_options *options = notify_options_of(ask->n);
    const struct policy *policy = options->policy;
    /* Of no family at all, the kernel takes it for one of IPv4 when it is "any". */
    if (address->any.ss_family == AF_UNSPEC && ask->domain == AF_INET)
        address->any.ss_family = AF_INET;
    struct endpoint at;
    if (!read_endpoint(address, &at))
        return address->any.ss_family == AF_INET || address->any.ss_family == AF_INET6
                   ? -EINVAL
                   : -EAFNOSUPPORT;
    if (policy->network == POLICY_NET_OPEN)
        return bind(ask->socket, (const void *)address->bytes, address->size) < 0 ? -errno : 0;
    bool may_listen = is_tcp(ask) && at.port && is_listen_port(policy, at.port);
    bool is_open =
        is_tcp(ask) && at.port && is_open_port(policy, at.port) && (at.is_loopback || at.is_any);
    if (!may_listen && !is_open)
        return deny_endpoint(ask, "bind", &at, closed_rule(policy));
    if (!may_listen && at.is_any)
        narrow(ask, address);
    nt_autoclose int outside = options->own_network ? new_outside(ask) : -1;
    if (options->own_network && outside < 0)
        return outside;
    int socket = options->own_network ? outside : ask->socket;
    if (bind(socket, (const void *)address->bytes, address->size) < 0)
        return -errno;
    if (!options->own_network)
        return 0;
    int number = (int)(uint32_t)ask->args[0];
    return -notify_hand_in(ask->n, ask->id, outside, number,
                           program_closes_on_exec(ask->pid, number));
}

int64_t inet_listen(const struct notify_ask *ask)
{
    const struct policy *policy = notify_options_of(ask->n)->policy;
    struct notify_address address = { .size = sizeof(address.any) };
    struct endpoint at;
    if (ask->domain == AF_INET || ask->domain == AF_INET6) {
        if (getsockname(ask->socket, (void *)address.bytes, &address.size) < 0)
            return -errno;
        if (!read_endpoint(&address, &at) || !at.port
            || !(is_open_port(policy, at.port) || is_listen_port(policy, at.port)))
            return deny_endpoint(ask, "bind", &at, closed_rule(policy));
    }
    int backlog = (int)(uint32_t)ask->args[1];
    return listen(ask->socket, backlog) < 0 ? -errno : 0;
}

int64_t inet_may_send(const struct notify_ask *ask, const struct notify_address *address)
{
    const struct policy *policy = notify_options_of(ask->n)->policy;
    struct endpoint to;
    if (!read_endpoint(address, &to))
        return -EINVAL;
    return policy->network == POLICY_NET_OPEN
               ? 0
               : deny_endpoint(ask, "send", &to, closed_rule(policy));
}
