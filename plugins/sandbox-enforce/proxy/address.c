/* SPDX-License-Identifier: Apache-2.0 */
/* address.c - the ranges that a name of the allow-list must never lead to: what is checked is the
 * binary address that will be connected to. Private networks stay open: names of a company's own
 * servers live there. Sources: RFC 6890, RFC 3927, RFC 4291. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "plugins/sandbox-enforce/proxy/visit.h"

/* The IPv4 address that an IPv6 address stands for; false: none. */
static bool inner_four(const struct in6_addr *six, uint32_t *ret)
{
    static const uint8_t nat64[12] = { 0x00, 0x64, 0xff, 0x9b };
    const uint8_t *a = six->s6_addr;
    if (IN6_IS_ADDR_V4MAPPED(six) || IN6_IS_ADDR_V4COMPAT(six)
        || memcmp(a, nat64, sizeof(nat64)) == 0)
        a += 12;
    else if (a[0] == 0x20 && a[1] == 0x02) /* 6to4 */
        a += 2;
    else
        return false;
    *ret = (uint32_t)a[0] << 24 | (uint32_t)a[1] << 16 | (uint32_t)a[2] << 8 | a[3];
    return true;
}

static bool four_may(uint32_t a, bool loopback_too)
{
    if (a >> 24 == 127)
        return loopback_too;
    /* 0.0.0.0 reaches this machine; link-local holds metadata; the rest is no peer of TCP. */
    return a >> 24 != 0 && a >> 16 != 0xa9fe && a >> 28 != 0xe && a >> 28 != 0xf;
}

bool address_is_loopback(const struct sockaddr *address)
{
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    uint32_t four = 0;
    if (address->sa_family == AF_INET) {
        memcpy(&in, address, sizeof(in));
        return ntohl(in.sin_addr.s_addr) >> 24 == 127;
    }
    memcpy(&in6, address, sizeof(in6));
    if (inner_four(&in6.sin6_addr, &four))
        return four >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr);
}

bool address_may_be_reached(const struct sockaddr *address, bool loopback_too)
{
    char text[INET6_ADDRSTRLEN];
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    uint32_t four = 0;
    if (uv_ip_name(address, text, sizeof(text)) < 0 || policy_is_metadata(text))
        return false;
    if (address->sa_family == AF_INET) {
        memcpy(&in, address, sizeof(in));
        return four_may(ntohl(in.sin_addr.s_addr), loopback_too);
    }
    memcpy(&in6, address, sizeof(in6));
    const struct in6_addr *six = &in6.sin6_addr;
    if (IN6_IS_ADDR_LOOPBACK(six))
        return loopback_too;
    if (IN6_IS_ADDR_UNSPECIFIED(six) || IN6_IS_ADDR_LINKLOCAL(six) || IN6_IS_ADDR_MULTICAST(six))
        return false;
    return !inner_four(six, &four) || four_may(four, loopback_too);
}
