/* SPDX-License-Identifier: Apache-2.0 */
/* origin.c - the one reading of an API URL.
 *
 * Strict on purpose: a character that two parsers could read differently (backslash, @, %, space,
 * anything beyond ASCII) is refused, because the origin decides who gets a credential. Source: RFC
 * 3986 section 3.2, RFC 6454. */
#include "origin.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "sdk/error.h"
#include "sdk/parse.h"

static bool is_host_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static int refuse(struct nt_error *reterr, const char *why)
{
    nt_fail(reterr, NT_E_USAGE, "the API URL %s", why);
    return nt_hint(reterr, "use http://HOST:PORT, https://HOST or unix:/PATH");
}

static int parse_unix(const char *path, struct origin *ret, struct nt_error *reterr)
{
    if (path[0] != '/' || path[1] == '\0')
        return refuse(reterr, "needs an absolute path behind unix:");
    if (strlen(path) >= sizeof(ret->host))
        return refuse(reterr, "is too long");
    for (const char *p = path; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return refuse(reterr, "contains a control character");
    memcpy(ret->host, path, strlen(path) + 1);
    snprintf(ret->text, sizeof(ret->text), "unix:%s", ret->host);
    return 0;
}

/* "[::1]" without its brackets, in the one form that inet_ntop gives. */
static int parse_ipv6(const char *text, size_t size, struct origin *ret, struct nt_error *reterr)
{
    char inner[INET6_ADDRSTRLEN] = "";
    struct in6_addr address;
    if (size < 2 || size - 2 >= sizeof(inner))
        return refuse(reterr, "has no valid IPv6 address");
    memcpy(inner, text + 1, size - 2);
    if (inet_pton(AF_INET6, inner, &address) != 1
        || !inet_ntop(AF_INET6, &address, ret->host, (socklen_t)INET6_ADDRSTRLEN))
        return refuse(reterr, "has no valid IPv6 address");
    return 0;
}

static int parse_name(const char *text, size_t size, struct origin *ret, struct nt_error *reterr)
{
    if (size == 0 || size > 253)
        return refuse(reterr, "has no host, or one that is too long");
    for (size_t i = 0; i < size; i++) {
        ret->host[i] = lower(text[i]);
        if (!is_host_char(ret->host[i]))
            return refuse(reterr, "has characters in its host that no host name has");
    }
    ret->host[size] = '\0';
    return 0;
}

static int parse_port(const char *text, size_t size, uint16_t fallback, uint16_t *ret,
                      struct nt_error *reterr)
{
    char digits[8] = "";
    uint64_t port;
    struct nt_error unused = NT_ERROR_INIT;
    if (size == 0) {
        *ret = fallback;
        return 0;
    }
    if (size - 1 == 0 || size - 1 >= sizeof(digits))
        return refuse(reterr, "has no valid port");
    memcpy(digits, text + 1, size - 1);
    if (nt_parse_u64(digits, 1, 65535, &port, &unused) < 0)
        return refuse(reterr, "has no valid port");
    *ret = (uint16_t)port;
    return 0;
}

static int parse_prefix(const char *path, struct origin *ret, struct nt_error *reterr)
{
    size_t size = strlen(path);
    while (size > 0 && path[size - 1] == '/')
        size--;
    if (size >= sizeof(ret->prefix))
        return refuse(reterr, "is too long");
    for (size_t i = 0; i < size; i++)
        if (path[i] <= 0x20 || path[i] >= 0x7f || strchr("?#\\\"<>^`{|}", path[i]))
            return refuse(reterr, "must have no query, no fragment and only plain characters");
    memcpy(ret->prefix, path, size);
    ret->prefix[size] = '\0';
    return 0;
}

int origin_parse(const char *url, struct origin *ret, struct nt_error *reterr)
{
    struct origin origin = { .port = 0 };
    const char *at = url;
    if (strncmp(url, "unix:", 5) == 0) {
        origin.kind = ORIGIN_UNIX;
        if (parse_unix(url + 5, &origin, reterr) < 0)
            return -1;
        *ret = origin;
        return 0;
    }
    if (strncasecmp(url, "http://", 7) == 0) {
        origin.kind = ORIGIN_HTTP;
        at += 7;
    } else if (strncasecmp(url, "https://", 8) == 0) {
        origin.kind = ORIGIN_HTTPS;
        at += 8;
    } else {
        return refuse(reterr, "starts with neither http:// nor https:// nor unix:");
    }
    size_t authority = strcspn(at, "/?#\\");
    if (memchr(at, '@', authority))
        return refuse(reterr, "must not contain a user or password");
    bool is_ipv6 = at[0] == '[';
    const char *end = is_ipv6 ? memchr(at, ']', authority) : memchr(at, ':', authority);
    size_t host_size = !end ? authority : (size_t)(end - at) + is_ipv6;
    if (is_ipv6 && !end)
        return refuse(reterr, "has no valid IPv6 address");
    if (host_size < authority && at[host_size] != ':')
        return refuse(reterr, "has no valid port");
    uint16_t fallback = origin.kind == ORIGIN_HTTP ? 80 : 443;
    if ((is_ipv6 ? parse_ipv6(at, host_size, &origin, reterr)
                 : parse_name(at, host_size, &origin, reterr))
            < 0
        || parse_port(at + host_size, authority - host_size, fallback, &origin.port, reterr) < 0
        || parse_prefix(at + authority, &origin, reterr) < 0)
        return -1;
    snprintf(origin.text, sizeof(origin.text), "%s://%s%s%s:%u",
             origin.kind == ORIGIN_HTTP ? "http" : "https", is_ipv6 ? "[" : "", origin.host,
             is_ipv6 ? "]" : "", origin.port);
    *ret = origin;
    return 0;
}

bool origin_is_same(const char *url_a, const char *url_b)
{
    struct origin a, b;
    struct nt_error unused = NT_ERROR_INIT;
    return origin_parse(url_a, &a, &unused) == 0 && origin_parse(url_b, &b, &unused) == 0
           && strcmp(a.text, b.text) == 0;
}

bool origin_is_local(const struct origin *origin)
{
    return origin->kind == ORIGIN_UNIX || strcmp(origin->host, "localhost") == 0
           || strncmp(origin->host, "127.", 4) == 0 || strcmp(origin->host, "::1") == 0;
}
