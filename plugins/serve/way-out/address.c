/* SPDX-License-Identifier: Apache-2.0 */
/* address.c - the ranges that a workspace must not reach, whatever their spelling was: what is
 * checked is the binary address that will be connected to. Sources: RFC 6890 and the IANA
 * special-purpose registries. */
#include "plugins/serve/way-out/address.h"

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct range {
    uint8_t bytes[16];
    uint32_t bits;
};

static const struct range four[] = {
    { { 0 }, 8 },                 /* this network */
    { { 10 }, 8 },                /* private */
    { { 100, 64 }, 10 },          /* carrier-grade NAT */
    { { 127 }, 8 },               /* loopback */
    { { 169, 254 }, 16 },         /* link-local, metadata services */
    { { 172, 16 }, 12 },          /* private */
    { { 192, 0, 0 }, 24 },        /* protocol assignments */
    { { 192, 0, 2 }, 24 },        /* documentation */
    { { 192, 31, 196 }, 24 },     /* AS112 */
    { { 192, 52, 193 }, 24 },     /* AMT */
    { { 192, 88, 99 }, 24 },      /* 6to4 relays */
    { { 192, 168 }, 16 },         /* private */
    { { 192, 175, 48 }, 24 },     /* AS112 */
    { { 198, 18 }, 15 },          /* benchmarks */
    { { 198, 51, 100 }, 24 },     /* documentation */
    { { 203, 0, 113 }, 24 },      /* documentation */
    { { 224 }, 3 },               /* multicast, reserved, broadcast */
    { { 168, 63, 129, 16 }, 32 }, /* a metadata service at a public address (Azure) */
};

/* Only 2000::/3 is handed out for the public (RFC 4291); these are its special parts. */
static const struct range six[] = {
    { { 0x20, 0x01, 0x00, 0x00 }, 23 },       /* protocol assignments, Teredo, ORCHID */
    { { 0x20, 0x01, 0x0d, 0xb8 }, 32 },       /* documentation */
    { { 0x26, 0x20, 0x00, 0x4f, 0x80 }, 48 }, /* AS112 */
    { { 0x3f, 0xff, 0x00 }, 20 },             /* documentation */
};

static bool is_in(const uint8_t *address, const struct range *r)
{
    uint32_t whole = r->bits / 8;
    uint32_t rest = r->bits % 8;
    if (memcmp(address, r->bytes, whole) != 0)
        return false;
    return rest == 0 || ((address[whole] ^ r->bytes[whole]) >> (8 - rest)) == 0;
}

static bool four_is_public(const uint8_t *address)
{
    for (size_t i = 0; i < sizeof(four) / sizeof(four[0]); i++)
        if (is_in(address, &four[i]))
            return false;
    return true;
}

bool address_is_public(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof(in));
        return four_is_public((const uint8_t *)&in.sin_addr);
    }
    if (address->sa_family != AF_INET6)
        return false;
    struct sockaddr_in6 in;
    memcpy(&in, address, sizeof(in));
    const uint8_t *a = in.sin6_addr.s6_addr;
    static const struct range mapped = { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff }, 96 };
    static const struct range nat64 = { { 0x00, 0x64, 0xff, 0x9b }, 96 };
    static const struct range sixtofour = { { 0x20, 0x02 }, 16 };
    static const struct range global = { { 0x20 }, 3 };
    /* These carry an IPv4 address, which is where the connection ends. */
    if (is_in(a, &mapped) || is_in(a, &nat64))
        return four_is_public(a + 12);
    if (is_in(a, &sixtofour))
        return four_is_public(a + 2);
    if (!is_in(a, &global))
        return false;
    for (size_t i = 0; i < sizeof(six) / sizeof(six[0]); i++)
        if (is_in(a, &six[i]))
            return false;
    return true;
}
