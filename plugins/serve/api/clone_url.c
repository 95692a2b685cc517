/* SPDX-License-Identifier: Apache-2.0 */
/* clone_url.c - the URL decides which host the workspace may reach during a clone. A URL that
 * another parser could read differently ('@', '\', spaces, control characters) is refused rather
 * than interpreted. */
#include "plugins/serve/api/clone_url.h"

#include <string.h>

#include "sdk/buf.h"
#include "sdk/error.h"
#include "sdk/parse.h"

#define URL_MAX 2048

static int is_host_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.'
           || c == '-';
}

static int is_ipv6_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':'
           || c == '.';
}

int clone_url_check(const char *url, struct clone_url *ret, struct nt_error *reterr)
{
    struct clone_url u = { 0 };
    const char *at;
    if (!strncmp(url, "https://", 8)) {
        at = url + 8;
        u.port = 443;
    } else if (!strncmp(url, "http://", 7)) {
        at = url + 7;
        u.port = 80;
    } else {
        return nt_fail(reterr, NT_E_INVALID,
                       "only http:// and https:// repositories can be cloned");
    }
    if (strlen(url) > URL_MAX)
        return nt_fail(reterr, NT_E_INVALID, "the URL is longer than 2048 bytes");
    for (const char *c = url; *c; c++)
        if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7F || strchr("\"'<>\\^`{|}", *c))
            return nt_fail(reterr, NT_E_INVALID,
                           "the URL contains a character that must be percent-encoded");

    size_t authority = strcspn(at, "/?#");
    if (memchr(at, '@', authority))
        return nt_fail(reterr, NT_E_INVALID, "the URL must not contain a user or password");
    const char *end = at + authority;
    const char *host = at;
    size_t size = 0;
    if (*at == '[') {
        host = at + 1;
        while (host + size < end && is_ipv6_char(host[size]))
            size++;
        at = host + size;
        if (at >= end || *at != ']' || !memchr(host, ':', size))
            return nt_fail(reterr, NT_E_INVALID, "the URL's host is not an IPv6 address");
        at++;
    } else {
        while (host + size < end && is_host_char(host[size]))
            size++;
        at = host + size;
    }
    if (!size || size >= sizeof(u.host) || *host == '-' || (at < end && *at != ':'))
        return nt_fail(reterr, NT_E_INVALID, "the URL has no valid host");
    memcpy(u.host, host, size);
    if (at < end) {
        struct nt_buf digits = NT_BUF(8);
        uint64_t port = 0;
        nt_buf_add_bytes(&digits, at + 1, (size_t)(end - at - 1));
        int rc =
            nt_buf_ok(&digits) ? nt_parse_u64(nt_buf_text(&digits), 1, 65535, &port, reterr) : -1;
        nt_buf_done(&digits);
        if (rc < 0)
            return nt_fail(reterr, NT_E_INVALID, "the URL's port must be 1 to 65535");
        u.port = (uint16_t)port;
    }
    *ret = u;
    return 0;
}

int clone_branch_check(const char *branch, struct nt_error *reterr)
{
    size_t size = strlen(branch);
    int bad = !size || size > 255 || branch[0] == '-' || branch[0] == '/' || branch[size - 1] == '/'
              || branch[size - 1] == '.' || strstr(branch, "..") || strstr(branch, "//")
              || strstr(branch, "@{");
    for (const char *c = branch; *c; c++)
        bad |= (unsigned char)*c <= ' ' || *c == 0x7F || strchr("~^:?*[\\", *c) != NULL;
    return bad ? nt_fail(reterr, NT_E_INVALID, "the branch is not a valid name") : 0;
}
