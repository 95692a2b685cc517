/* SPDX-License-Identifier: Apache-2.0 */
/* hosts.c - compares hosts by name, and finds the addresses of cloud metadata however they are
 * written. */
#include "plugins/sandbox-enforce/policy/hosts.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

#include "plugins/sandbox-enforce/policy/policy.h"

bool host_plain(const char *host, char ret[HOST_MAX])
{
    size_t size = strlen(host);
    if (size >= 2 && host[0] == '[' && host[size - 1] == ']')
        host++, size -= 2;
    while (size && host[size - 1] == '.')
        size--;
    if (!size || size >= HOST_MAX)
        return false;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)host[i];
        if (c >= 'A' && c <= 'Z')
            c = (unsigned char)(c + ('a' - 'A'));
        bool is_fine =
            (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c && strchr("-._*:%", c));
        if (!is_fine)
            return false;
        ret[i] = (char)c;
    }
    ret[size] = '\0';
    return true;
}

bool host_of_url(const char *url, char ret[HOST_MAX], const char **ret_rest)
{
    char host[HOST_MAX];
    const char *start = strstr(url, "://");
    start = start ? start + 3 : url;
    size_t size = start[0] == '[' ? strcspn(start, "]") + 1 : strcspn(start, ":/");
    if (size >= sizeof(host) || size > strlen(start))
        return false;
    memcpy(host, start, size);
    host[size] = '\0';
    if (ret_rest)
        *ret_rest = start + size;
    return host_plain(host, ret);
}

bool host_pattern(const char *text, char ret[HOST_MAX])
{
    if (!host_plain(text, ret) || strchr(ret, '%'))
        return false;
    const char *name = strncmp(ret, "*.", 2) == 0 ? ret + 2 : ret;
    return *name && *name != '.' && !strchr(name, '*');
}

bool host_matches(const char *pattern, const char *name)
{
    if (pattern[0] != '*' || pattern[1] != '.')
        return strcmp(pattern, name) == 0;
    size_t suffix = strlen(pattern) - 1, size = strlen(name); /* ".example.com" */
    return size > suffix && name[0] != '.' && strcmp(name + size - suffix, pattern + 1) == 0;
}

/* Every spelling that inet_aton(3) knows: decimal, octal, hex, one to four parts. */
static bool is_ipv4(const char *name, uint32_t *ret)
{
    struct in_addr address;
    if (!strpbrk(name, "0123456789") || !inet_aton(name, &address))
        return false;
    *ret = ntohl(address.s_addr);
    return true;
}

static bool is_ipv6(const char *name, struct in6_addr *ret)
{
    char plain[HOST_MAX];
    size_t size = strcspn(name, "%"); /* a zone */
    if (size >= sizeof(plain))
        return false;
    memcpy(plain, name, size);
    plain[size] = '\0';
    return inet_pton(AF_INET6, plain, ret) == 1;
}

bool host_is_address(const char *name)
{
    uint32_t v4;
    struct in6_addr v6;
    return is_ipv4(name, &v4) || is_ipv6(name, &v6);
}

static bool to_six(const char *name, struct in6_addr *ret)
{
    uint32_t v4;
    if (!is_ipv4(name, &v4))
        return is_ipv6(name, ret);
    *ret = (struct in6_addr){ { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, (uint8_t)(v4 >> 24),
                                  (uint8_t)(v4 >> 16), (uint8_t)(v4 >> 8), (uint8_t)v4 } } };
    return true;
}

bool host_is_denied_by(const char *pattern, const char *name)
{
    struct in6_addr a, b;
    return host_matches(pattern, name)
           || (to_six(pattern, &a) && to_six(name, &b) && memcmp(&a, &b, sizeof(a)) == 0);
}

bool host_is_loopback(const char *name)
{
    uint32_t v4;
    struct in6_addr v6;
    if (is_ipv4(name, &v4))
        return v4 >> 24 == 127 || v4 >> 24 == 0; /* 0.0.0.0 leads here, too */
    if (is_ipv6(name, &v6))
        return IN6_IS_ADDR_LOOPBACK(&v6) || IN6_IS_ADDR_UNSPECIFIED(&v6)
               || (IN6_IS_ADDR_V4MAPPED(&v6) && (v6.s6_addr[12] == 127 || v6.s6_addr[12] == 0));
    size_t size = strlen(name);
    return strcmp(name, "localhost") == 0
           || (size > 10 && strcmp(name + size - 10, ".localhost") == 0); /* RFC 6761 */
}

static bool is_metadata_ipv4(uint32_t address)
{
    return address >> 16 == 0xa9fe   /* 169.254.0.0/16: link-local, RFC 3927 */
           || address == 0x646464c8  /* 100.100.100.200 */
           || address == 0xc00000c0  /* 192.0.0.192 */
           || address == 0xa83f8110; /* 168.63.129.16 */
}

/* The IPv4 address that an IPv6 address stands for, or is translated to (RFC 6052, 8215, 7915);
 * false: none. */
static bool inner_ipv4(const struct in6_addr *a, uint32_t *ret)
{
    static const uint8_t nat64[12] = { 0x00, 0x64, 0xff, 0x9b };
    static const uint8_t local_nat64[6] = { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 };
    static const uint8_t translated[12] = { [8] = 0xff, [9] = 0xff };
    const uint8_t *b = a->s6_addr;
    if (IN6_IS_ADDR_V4MAPPED(a) || IN6_IS_ADDR_V4COMPAT(a) || memcmp(b, nat64, 12) == 0
        || memcmp(b, translated, 12) == 0 || memcmp(b, local_nat64, 6) == 0)
        b += 12;
    else if (b[0] == 0x20 && b[1] == 0x02) /* 6to4 */
        b += 2;
    else
        return false;
    *ret = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
    return true;
}

static bool is_metadata_ipv6(const struct in6_addr *a)
{
    static const uint8_t amazon[16] = { 0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54 };
    static const uint8_t google[16] = { 0xfd, 0x20, 0x00, 0xce, [14] = 0x02, [15] = 0x54 };
    uint32_t v4;
    return IN6_IS_ADDR_LINKLOCAL(a) || memcmp(a->s6_addr, amazon, sizeof(amazon)) == 0
           || memcmp(a->s6_addr, google, sizeof(google)) == 0
           || (inner_ipv4(a, &v4) && is_metadata_ipv4(v4));
}

/* Of one host, and not this one: 0/8, 127/8, multicast and what is reserved are not (RFC 6890). */
static bool is_elsewhere_ipv4(uint32_t a)
{
    return a >> 24 != 0 && a >> 24 != 127 && a >> 28 < 0xe && !is_metadata_ipv4(a);
}

bool host_is_elsewhere(const char *address)
{
    char name[HOST_MAX];
    uint32_t v4;
    struct in6_addr v6;
    if (!host_plain(address, name))
        return false;
    if (is_ipv4(name, &v4))
        return is_elsewhere_ipv4(v4);
    if (!is_ipv6(name, &v6) || is_metadata_ipv6(&v6) || IN6_IS_ADDR_LOOPBACK(&v6)
        || IN6_IS_ADDR_UNSPECIFIED(&v6) || IN6_IS_ADDR_MULTICAST(&v6) || IN6_IS_ADDR_SITELOCAL(&v6))
        return false;
    return !inner_ipv4(&v6, &v4) || is_elsewhere_ipv4(v4);
}

bool policy_is_metadata(const char *host)
{
    static const char *const names[] = { "metadata.google.internal", "metadata.azure.internal",
                                         "metadata.goog", "instance-data.ec2.internal" };
    char name[HOST_MAX];
    uint32_t v4;
    struct in6_addr v6;
    if (!host_plain(host, name))
        return false;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(names[i], name) == 0)
            return true;
    if (is_ipv4(name, &v4))
        return is_metadata_ipv4(v4);
    return is_ipv6(name, &v6) && is_metadata_ipv6(&v6);
}

const char *host_shut_why(const char *host)
{
    char name[HOST_MAX];
    if (policy_is_metadata(host))
        return "cloud metadata is never reachable";
    if (!host_plain(host, name) || !host_is_address(name) || host_is_loopback(name)
        || host_is_elsewhere(name))
        return NULL;
    return "its address is link-local or no host's";
}
