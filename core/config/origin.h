/* SPDX-License-Identifier: Apache-2.0 */
/* origin.h - the one reading of an API URL: where to connect, and what a credential is bound to.
 *
 * Both come from the same parse, so that no URL can be "known" under one name and reached under
 * another. Forms: "http://host:port/prefix", "https://…", "unix:/path". */
#ifndef NT_CORE_ORIGIN_H
#define NT_CORE_ORIGIN_H

#include <stdbool.h>
#include <stdint.h>

#include "nanoterm/error.h"

enum origin_kind {
    ORIGIN_UNIX = 1,
    ORIGIN_HTTP = 2,
    ORIGIN_HTTPS = 3,
};

struct origin {
    enum origin_kind kind;
    uint16_t port; /* 0 for a Unix socket */
    /* in lower case, an IPv6 address without brackets; the path of a Unix socket */
    char host[1024];
    char prefix[512]; /* path of the URL without trailing slashes; "" */
    char text[1056];  /* the name of the origin: "https://host:443", "unix:/path" */
};

/* NT_E_USAGE: not such a URL, or with user, query or fragment. The error names no part of the URL:
 * it may hold a password. */
int origin_parse(const char *url, struct origin *ret, struct nt_error *reterr);
/* True when both are valid and name the same origin. */
bool origin_is_same(const char *url_a, const char *url_b);
/* True for a loopback address or a Unix socket: what is sent there does not leave this machine. */
bool origin_is_local(const struct origin *origin);

#endif
