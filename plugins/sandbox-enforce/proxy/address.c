/* SPDX-License-Identifier: Apache-2.0 */
/* address.c - the ranges that a name of the allow-list must never lead to: what is checked is the
 * address that will be connected to. Private networks stay open: names of a company's own servers
 * live there. Which ranges these are says policy/hosts.c. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "plugins/sandbox-enforce/policy/hosts.h"
#include "plugins/sandbox-enforce/proxy/visit.h"

bool address_is_loopback(const struct sockaddr *address)
{
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    if (address->sa_family == AF_INET) {
        memcpy(&in, address, sizeof(in));
        return ntohl(in.sin_addr.s_addr) >> 24 == 127;
    }
    memcpy(&in6, address, sizeof(in6));
    return IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr)
           || (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr) && in6.sin6_addr.s6_addr[12] == 127);
}

bool address_may_be_reached(const struct sockaddr *address, bool loopback_too)
{
    char text[INET6_ADDRSTRLEN];
    if (address_is_loopback(address))
        return loopback_too;
    return uv_ip_name(address, text, sizeof(text)) == 0 && host_is_elsewhere(text);
}
