/* SPDX-License-Identifier: Apache-2.0 */
/* url.c - takes the address of an API apart: scheme, host, port, prefix. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/net/net.h"
#include "sdk/error.h"
#include "sdk/parse.h"

static bool is_host(const char *host, bool is_six)
{
    if (!host[0])
        return false;
    if (is_six)
        return host[strspn(host, "0123456789abcdefABCDEF:.")] == '\0' && strchr(host, ':');
    return host[strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")]
           == '\0';
}

int net_parse_url(const char *url, char *memory, size_t size, struct net_address *ret,
                  const char **ret_prefix, struct nt_error *reterr)
{
    struct net_address address = { 0 };
    const char *rest;
    if (strncasecmp(url, "http://", 7) == 0) {
        address.kind = NET_TCP;
        address.port = 80;
        rest = url + 7;
    } else if (strncasecmp(url, "https://", 8) == 0) {
        address.kind = NET_HTTPS;
        address.port = 443;
        rest = url + 8;
    } else {
        return nt_fail(reterr, NT_E_USAGE, "not an http:// or https:// address");
    }
    size_t length = strlen(rest);
    if (length + 2 > size)
        return nt_fail(reterr, NT_E_USAGE, "the address is too long");
    for (const char *c = rest; *c; c++)
        if ((unsigned char)*c <= 0x20 || (unsigned char)*c >= 0x7f || *c == '\\')
            return nt_fail(reterr, NT_E_USAGE, "the address has a character that is not allowed");
    if (strpbrk(rest, "?#"))
        return nt_fail(reterr, NT_E_USAGE, "the address must have no query and no fragment");

    /* host NUL prefix NUL: the slash makes room for the NUL, or there is one more byte at the
     * end. */
    size_t authority = strcspn(rest, "/");
    char *host = memory;
    char *prefix = memory + authority + 1;
    memcpy(host, rest, authority);
    host[authority] = '\0';
    size_t prefix_size = length - authority;
    memcpy(prefix, rest + authority, prefix_size);
    while (prefix_size > 0 && prefix[prefix_size - 1] == '/')
        prefix_size--;
    prefix[prefix_size] = '\0';
    if (strchr(host, '@'))
        return nt_fail(reterr, NT_E_USAGE, "the address must have no user");
    bool is_six = host[0] == '[';
    char *port = NULL;
    if (is_six) {
        char *end = strchr(host, ']');
        if (!end || (end[1] != '\0' && end[1] != ':'))
            return nt_fail(reterr, NT_E_USAGE, "the address has a broken host");
        port = end[1] == ':' ? end + 2 : NULL;
        *end = '\0';
        host++;
    } else {
        port = strchr(host, ':');
        if (port)
            *port++ = '\0';
    }
    if (!is_host(host, is_six))
        return nt_fail(reterr, NT_E_USAGE, "the address has a broken host");
    if (port) {
        uint64_t number;
        if (nt_parse_u64(port, 1, 65535, &number, reterr) < 0)
            return nt_wrap(reterr, "the port of the address");
        address.port = (uint16_t)number;
    }
    address.host = host;
    *ret = address;
    *ret_prefix = prefix;
    return 0;
}
