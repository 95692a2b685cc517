/* SPDX-License-Identifier: Apache-2.0 */
/* endpoint.c - normalises the path of a request and compares it with rules. What cannot be
 * understood in one way only is refused instead of being resolved. */
#include "plugins/sandbox-enforce/proxy/endpoint.h"

#include <jansson.h>
#include <string.h>
#include <strings.h>

#include "plugins/sandbox-enforce/policy/glob.h"
#include "sdk/cleanup.h"
#include "sdk/json.h"

enum { PATH_SIZE_MAX = 256 * 1024 };

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int hex_pair(const char *at)
{
    int high = hex_digit(at[0]);
    int low = high < 0 ? -1 : hex_digit(at[1]);
    return low < 0 ? -1 : high * 16 + low;
}

static bool is_unreserved(int c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
           || (c && strchr("-._~", c));
}

/* One segment of the decoded path. */
static const char *check_segment(const char *at, size_t size)
{
    size_t dots = 0;
    while (dots < size && at[dots] == '.')
        dots++;
    if (dots == 1 || dots == 2) {
        if (dots == size)
            return "a dot segment";
        if (at[dots] == ';') /* some servers drop parameters, then resolve */
            return "a dot segment with parameters";
    }
    return NULL;
}

/* To some servers a backslash is a slash. */
static const char *check_segments(const char *plain)
{
    while (*plain == '/' || *plain == '\\') {
        size_t size = strcspn(++plain, "/\\");
        const char *why = check_segment(plain, size);
        if (why)
            return why;
        plain += size;
    }
    return NULL;
}

/* Overlong forms of a dot or a slash are read as one by some servers. */
static bool is_utf8(const char *plain)
{
    nt_auto_json json_t *text = json_string(plain);
    return text != NULL;
}

/* An escape: *ret_char is what it stands for. */
static const char *check_escape(const char *at, bool is_strict, int *ret_char)
{
    int c = hex_pair(at + 1);
    *ret_char = c;
    if (c < 0)
        return "a broken escape";
    if (c < 0x20 || c == 0x7f)
        return "an encoded control character";
    if (is_strict && (c == '/' || c == '\\'))
        return "an encoded slash";
    return NULL;
}

const char *endpoint_path(const char *target, bool is_strict, struct nt_buf *ret_plain,
                          struct nt_buf *ret_wire)
{
    size_t begin = ret_plain->size;
    char last = '\0';
    if (target[0] != '/')
        return "not a path";
    for (const char *at = target; *at && *at != '?' && *at != '#'; at++) {
        if ((unsigned char)*at <= 0x20 || *at == 0x7f || *at == '\\')
            return "a character that is not allowed";
        if (*at != '%') {
            if (is_strict && *at == '/' && last == '/')
                continue;
            nt_buf_add_char(ret_plain, *at);
            nt_buf_add_char(ret_wire, *at);
            last = *at;
            continue;
        }
        int c = 0;
        const char *why = check_escape(at, is_strict, &c);
        if (why)
            return why;
        if (is_unreserved(c))
            nt_buf_add_char(ret_wire, (char)c);
        else
            nt_buf_addf(ret_wire, "%%%02X", (unsigned)c);
        nt_buf_add_char(ret_plain, (char)c);
        last = '\0';
        at += 2;
    }
    if (!nt_buf_ok(ret_plain) || !nt_buf_ok(ret_wire))
        return "too long";
    const char *plain = nt_buf_text(ret_plain) + begin;
    /* Some servers decode twice. The digits may have been escapes themselves. */
    for (const char *at = plain; is_strict && (at = strchr(at, '%')); at++)
        if (hex_pair(at + 1) >= 0)
            return "an escape of an escape";
    if (is_strict && !is_utf8(plain))
        return "a path that is not UTF-8";
    return check_segments(plain);
}

bool endpoint_is_literal(const char *plain)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-";
    size_t size = strlen(plain);
    return size > 1 && size < 200 && plain[size - 1] != '/' && strspn(plain, safe) == size;
}

/* --- rules --------------------------------------------------------------------------------- */

static bool meets_one(const struct policy_endpoint *rules, size_t count, const char *method,
                      const char *plain)
{
    for (size_t i = 0; i < count; i++)
        if ((strcmp(rules[i].method, "*") == 0 || strcasecmp(rules[i].method, method) == 0)
            && rules[i].path[0] == '/' && path_glob(rules[i].path, plain, '\0'))
            return true;
    return false;
}

bool endpoint_allows(const struct policy_endpoint *rules, size_t count, const char *method,
                     const char *plain)
{
    return count == 0 || meets_one(rules, count, method, plain);
}

bool endpoint_has_rules(const struct policy_route *r)
{
    return r->endpoint_count || r->denied_count || r->others == POLICY_OTHERS_REFUSED;
}

/* In lower case, without parameters. */
static void add_loosely(struct nt_buf *b, const char *plain)
{
    for (; *plain; plain++) {
        if (*plain == ';')
            plain += strcspn(plain, "/");
        if (!*plain)
            break;
        nt_buf_add_char(b, *plain >= 'A' && *plain <= 'Z' ? (char)(*plain + ('a' - 'A')) : *plain);
    }
}

bool endpoint_is_denied(const struct policy_route *r, const char *method, const char *plain)
{
    nt_auto(nt_buf_done) struct nt_buf asked = NT_BUF(PATH_SIZE_MAX);
    bool is_denied = meets_one(r->denied, r->denied_count, method, plain);
    add_loosely(&asked, r->denied_count ? plain : "");
    for (size_t i = 0; i < r->denied_count && !is_denied; i++) {
        nt_auto(nt_buf_done) struct nt_buf rule = NT_BUF(PATH_SIZE_MAX);
        add_loosely(&rule, r->denied[i].path);
        const struct policy_endpoint loose = { r->denied[i].method, nt_buf_text(&rule) };
        is_denied = !nt_buf_ok(&asked) || !nt_buf_ok(&rule)
                    || meets_one(&loose, 1, method, nt_buf_text(&asked));
    }
    return is_denied;
}

const char *endpoint_refuses(const struct policy_route *r, const char *method, const char *plain)
{
    if (endpoint_is_denied(r, method, plain))
        return "one of the route's denied endpoints";
    if (r->others == POLICY_OTHERS_CARRIED
        || meets_one(r->endpoints, r->endpoint_count, method, plain)
        || (r->others == POLICY_OTHERS_BY_RULES && r->endpoint_count == 0))
        return NULL;
    return "not one of the route's endpoints";
}
