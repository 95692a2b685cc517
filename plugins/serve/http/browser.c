/* SPDX-License-Identifier: Apache-2.0 */
/* browser.c - what web pages may not do.
 *
 * A page in a browser can send requests to this machine and to those around it; DNS rebinding gives
 * them a name of the page's own. So a TCP listener answers to its own names only, whatever the
 * request is (a WebSocket's upgrade, too), and a request with a foreign Origin is refused
 * everywhere. An address cannot be bound to another one: beyond loopback any will do. */
#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "plugins/serve/http/router.h"
#include "plugins/serve/server.h"
#include "sdk/error.h"
#include "sdk/parse.h"

/* "name", "name:port", "[address]:port". Port 0: none. */
static bool split_host(const char *host, char ret_name[BROWSER_NAME_MAX], uint64_t *ret_port)
{
    struct nt_error ignored = NT_ERROR_INIT;
    const char *begin = host, *end = host + strcspn(host, ":");
    if (host[0] == '[') {
        begin = host + 1;
        end = strchr(host, ']');
        if (!end)
            return false;
    }
    size_t size = (size_t)(end - begin);
    const char *rest = host[0] == '[' ? end + 1 : end;
    if (size == 0 || size >= BROWSER_NAME_MAX)
        return false;
    memcpy(ret_name, begin, size);
    ret_name[size] = '\0';
    *ret_port = 0;
    if (rest[0] == '\0')
        return true;
    return rest[0] == ':' && nt_parse_u64(rest + 1, 1, 65535, ret_port, &ignored) == 0;
}

static bool is_address(const char *name, bool has_brackets, bool *ret_loopback)
{
    struct in_addr four;
    struct in6_addr six;
    if (has_brackets) {
        if (inet_pton(AF_INET6, name, &six) != 1)
            return false;
        *ret_loopback = IN6_IS_ADDR_LOOPBACK(&six);
        return true;
    }
    if (inet_pton(AF_INET, name, &four) != 1)
        return false;
    *ret_loopback = ntohl(four.s_addr) >> 24 == 127;
    return true;
}

bool browser_host_is_ours(const struct listener *listener, const char *host)
{
    char name[BROWSER_NAME_MAX];
    uint64_t port;
    if (!host || !split_host(host, name, &port))
        return false;
    /* A proxy in front of a listener has a port of its own. */
    for (uint32_t i = 0; i < listener->name_count; i++)
        if (host[0] != '[' && strcasecmp(name, listener->names[i]) == 0)
            return true;
    bool is_loopback = host[0] != '[' && strcasecmp(name, "localhost") == 0;
    bool is_plain = !is_loopback && is_address(name, host[0] == '[', &is_loopback);
    if (!listener->is_loopback)
        return is_plain || is_loopback;
    return is_loopback && (port ? port : listener->tls ? 443 : 80) == listener->port;
}

bool browser_is_same_origin(const char *origin, const char *host)
{
    if (!host)
        return false;
    if (strncasecmp(origin, "http://", 7) == 0)
        return strcasecmp(origin + 7, host) == 0;
    if (strncasecmp(origin, "https://", 8) == 0)
        return strcasecmp(origin + 8, host) == 0;
    return false;
}

bool browser_check(struct exchange *x)
{
    const struct listener *listener = x->listener;
    const char *host = net_request_header(x->req, "Host");
    const char *origin = net_request_header(x->req, "Origin");
    if (!listener->is_unix && !browser_host_is_ours(listener, host)) {
        if (listener->is_loopback)
            exchange_fail(
                x, 403, "forbidden",
                "this server answers to localhost, 127.0.0.1 and [::1] on port %u, and to "
                "the names that serve --host-name was given",
                listener->port);
        else
            exchange_fail(x, 403, "forbidden",
                          "this server answers to its addresses, and to the names that serve "
                          "--host-name was given");
        return false;
    }
    if (origin && (listener->is_unix || !browser_is_same_origin(origin, host))) {
        exchange_fail(x, 403, "forbidden", "requests from web pages of another origin are refused");
        return false;
    }
    return true;
}
