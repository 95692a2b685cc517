/* SPDX-License-Identifier: Apache-2.0 */
/* inject.c - takes the phantom token out of a routed request and puts the credential in: header,
 * path, query or user name and password; and keeps it out of the answer's headers. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "plugins/sandbox-enforce/proxy/endpoint.h"
#include "plugins/sandbox-enforce/proxy/visit.h"
#include "sdk/cleanup.h"

enum { TOKEN = PROXY_TOKEN_SIZE - 1, SCRUBBED_MIN = 8 };

static const char *header_of(enum policy_inject inject, const char *header)
{
    return inject == POLICY_IN_BASIC || !header ? "Authorization" : header;
}

static const char *format_of(const char *header, const char *format)
{
    if (format)
        return format;
    return strcasecmp(header, "Authorization") == 0 ? "Bearer {}" : "{}";
}

/* Where the program puts its token. */
static struct policy_place place_of(const struct policy_route *r)
{
    struct policy_place place = { .inject = r->inject,
                                  .header = r->header,
                                  .format = r->format,
                                  .path_pattern = r->path_pattern,
                                  .query_name = r->query_name };
    if (r->phantom)
        place = *r->phantom;
    place.header = header_of(place.inject, place.header);
    place.format = format_of(place.header, place.format);
    return place;
}

/* NULL: there is none. Of one that is asked for it is empty while the request is only judged. */
static const char *credential_of(const struct visit *v)
{
    if (!v->route->oauth && !v->route->capture)
        return v->route->secret.text;
    return v->token ? token_text(v->token) : "";
}

/* --- finding the token --------------------------------------------------------------------- */

/* "/bot{}/": where the token stands in PATH; NULL: it does not. */
static const char *find_in_path(const struct visit *v, const char *pattern, const char *path)
{
    const char *hole = pattern ? strstr(pattern, "{}") : NULL;
    if (!hole)
        return NULL;
    size_t before = (size_t)(hole - pattern), after = strlen(hole + 2);
    size_t size = strcspn(path, "?");
    for (size_t at = 0; at + before + TOKEN + after <= size; at++) {
        const char *token = path + at + before;
        if (strncmp(path + at, pattern, before) == 0 && strncmp(token + TOKEN, hole + 2, after) == 0
            && token_is(v->proxy, token, TOKEN))
            return token;
    }
    return NULL;
}

/* The next "name=value" of a query; false: no more. */
static bool next_pair(const char **at, const char **ret, size_t *ret_size)
{
    if (!**at)
        return false;
    *ret = *at;
    *ret_size = strcspn(*at, "&");
    *at += *ret_size + ((*at)[*ret_size] == '&');
    return true;
}

static bool is_pair_of(const char *pair, size_t size, const char *name)
{
    size_t length = strlen(name);
    size_t mine = strcspn(pair, "=&");
    return mine <= size && mine == length && strncasecmp(pair, name, length) == 0;
}

static bool query_has_token(const struct visit *v, const char *name, const char *path)
{
    const char *at = path + strcspn(path, "?"), *pair;
    size_t size;
    bool has = false;
    if (!name || !*at)
        return false;
    at++;
    while (next_pair(&at, &pair, &size))
        if (is_pair_of(pair, size, name)) {
            size_t skip = strlen(name) + 1;
            has = size >= skip && token_is(v->proxy, pair + skip, size - skip);
        }
    return has;
}

bool inject_has_token(const struct visit *v, const char *path)
{
    const struct policy_place place = place_of(v->route->policy);
    const char *authorization = net_request_header(v->req, "authorization");
    if (v->route->policy->aws && aws_has_token(v->proxy, authorization))
        return true;
    switch (place.inject) {
    case POLICY_IN_PATH:
        return find_in_path(v, place.path_pattern, path) != NULL;
    case POLICY_IN_QUERY:
        return query_has_token(v, place.query_name, path);
    case POLICY_IN_BASIC:
        return token_in_authorization(v->proxy, authorization);
    case POLICY_IN_HEADER:
        break;
    }
    return token_in_header(v->proxy, net_request_header(v->req, place.header), place.format)
           || token_in_authorization(v->proxy, authorization);
}

/* --- the request that goes on -------------------------------------------------------------- */

/* Percent-encodes all that would end a segment of a path. */
static void add_path_part(struct nt_buf *b, const char *text)
{
    for (const char *c = text; *c; c++)
        if ((*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z')
            || strchr("-._~:@!$&'()*+,;=", *c))
            nt_buf_add_char(b, *c);
        else
            nt_buf_add_url_bytes(b, c, 1);
}

static void add_formatted(struct nt_buf *b, const char *format, const char *value)
{
    const char *hole = strstr(format, "{}");
    if (!hole) {
        nt_buf_add(b, value);
        return;
    }
    nt_buf_add_bytes(b, format, (size_t)(hole - format));
    nt_buf_add(b, value);
    nt_buf_add(b, hole + 2);
}

/* The first place of PATH that PATTERN fits, with anything of one segment for its {}; its size. */
static const char *find_pattern(const char *path, const char *pattern, size_t *ret_size)
{
    const char *hole = strstr(pattern, "{}"), *after = hole + 2;
    size_t before = (size_t)(hole - pattern), size = strlen(path), rest = strlen(after);
    for (const char *at = path; at + before <= path + size; at++)
        for (const char *end = at + before; strncmp(at, pattern, before) == 0; end++) {
            /* A hole that ends the pattern takes the rest of the segment. */
            if (rest ? strncmp(end, after, rest) == 0 : !*end || *end == '/') {
                *ret_size = (size_t)(end - at) + rest;
                return at;
            }
            if (!*end || *end == '/')
                break;
        }
    return NULL;
}

/* Where the credential goes in PATH: at the token, or, when that stands elsewhere, where the
 * pattern fits. */
static const char *find_place(const struct visit *v, const char *path, size_t *ret_size)
{
    const struct policy_route *r = v->route->policy;
    const struct policy_place place = place_of(r);
    if (place.inject != POLICY_IN_PATH)
        return find_pattern(path, r->path_pattern, ret_size);
    const char *token = find_in_path(v, place.path_pattern, path);
    *ret_size = strlen(place.path_pattern) - 2 + TOKEN;
    return token ? token - (strstr(place.path_pattern, "{}") - place.path_pattern) : NULL;
}

/* The whole path with the pattern around the token replaced. */
static bool add_path(struct nt_buf *b, const struct visit *v, const char *wire)
{
    const struct policy_route *r = v->route->policy;
    size_t size;
    const char *at = find_place(v, wire, &size);
    if (!at)
        return false;
    const char *replacement = r->path_replacement ? r->path_replacement : r->path_pattern;
    const char *there = strstr(replacement, "{}");
    nt_buf_add_bytes(b, wire, (size_t)(at - wire));
    nt_buf_add_bytes(b, replacement, there ? (size_t)(there - replacement) : strlen(replacement));
    if (there) {
        add_path_part(b, credential_of(v));
        nt_buf_add(b, there + 2);
    }
    nt_buf_add(b, at + size);
    return true;
}

/* Without the pattern around a token that nothing takes the place of: before the path is judged, so
 * that what is judged is what is sent. False: there is no token. */
static bool add_bare_path(struct nt_buf *b, const struct visit *v, const char *path)
{
    const struct policy_place place = place_of(v->route->policy);
    const char *pattern = place.path_pattern, *hole = strstr(pattern, "{}");
    const char *token = find_in_path(v, pattern, path);
    if (!token)
        return false;
    bool is_between = pattern[0] == '/' && pattern[strlen(pattern) - 1] == '/';
    const char *stays = place.path_replacement ? place.path_replacement : is_between ? "/" : "";
    const char *there = strstr(stays, "{}"), *rest = token + TOKEN + strlen(hole + 2);
    nt_buf_add_bytes(b, path, (size_t)(token - path) - (size_t)(hole - pattern));
    nt_buf_add_bytes(b, stays, there ? (size_t)(there - stays) : strlen(stays));
    nt_buf_add(b, there ? there + 2 : "");
    if (!b->size && rest[0] != '/')
        nt_buf_add_char(b, '/');
    nt_buf_add(b, rest);
    return true;
}

/* The query without the names of token and credential, and with the credential. */
static void add_query(struct nt_buf *b, const struct visit *v, const char *query)
{
    const struct policy_route *r = v->route->policy;
    const struct policy_place place = place_of(r);
    const char *name = r->inject == POLICY_IN_QUERY ? r->query_name : NULL;
    const char *token = place.inject == POLICY_IN_QUERY ? place.query_name : NULL;
    const char *pair;
    size_t size;
    char glue = '?';
    if (!name && !token) {
        nt_buf_add(b, query);
        return;
    }
    if (*query == '?')
        query++;
    while (next_pair(&query, &pair, &size))
        if (!(name && is_pair_of(pair, size, name)) && !(token && is_pair_of(pair, size, token))) {
            nt_buf_add_char(b, glue);
            nt_buf_add_bytes(b, pair, size);
            glue = '&';
        }
    if (!name)
        return;
    nt_buf_add_char(b, glue);
    nt_buf_add_url_part(b, name);
    nt_buf_add_char(b, '=');
    nt_buf_add_url_part(b, credential_of(v));
}

static void add_basic(struct nt_buf *b, const struct visit *v)
{
    const char *credential = credential_of(v);
    nt_auto(nt_buf_done) struct nt_buf pair = NT_BUF(2 * SECRET_MAX);
    if (!strchr(credential, ':')) { /* a password alone: the name is the client's */
        token_basic_user(net_request_header(v->req, "authorization"), &pair);
        nt_buf_add_char(&pair, ':');
    }
    nt_buf_add(&pair, credential);
    token_add_basic(b, nt_buf_text(&pair), pair.size);
    if (pair.data)
        explicit_bzero(pair.data, pair.size);
}

/* Of a path that is not denied, and tells no token. */
static void add_grant(struct nt_buf *b, const struct visit *v, const char *plain)
{
    const char *method = net_request_method(v->req);
    if (!endpoint_is_denied(v->route->policy, method, plain) && endpoint_is_literal(plain)
        && !strstr(plain, v->proxy->token))
        nt_buf_addf(b, "--allow-endpoint %s:%s:%s", v->route->policy->name, method, plain);
}

const char *inject(const struct visit *v, const char *path, struct injected *ret,
                   uint32_t *ret_status)
{
    const struct policy_route *r = v->route->policy;
    const char *header = header_of(r->inject, r->header);
    nt_auto(nt_buf_done) struct nt_buf bare = NT_BUF(2 * VISIT_HEAD_MAX);
    nt_auto(nt_buf_done) struct nt_buf plain = NT_BUF(2 * VISIT_HEAD_MAX);
    nt_auto(nt_buf_done) struct nt_buf wire = NT_BUF(4 * VISIT_HEAD_MAX);
    *ret_status = 400;
    if (route_has_credential(r) && r->inject != POLICY_IN_PATH
        && place_of(r).inject == POLICY_IN_PATH) {
        if (!add_bare_path(&bare, v, path) || !nt_buf_ok(&bare))
            return "the token is not in the path";
        path = nt_buf_text(&bare);
    }
    const char *why = endpoint_path(path, endpoint_has_rules(r), &plain, &wire);
    if (why)
        return why;
    *ret_status = 403;
    why = endpoint_refuses(r, net_request_method(v->req), nt_buf_text(&plain));
    if (why) {
        add_grant(&ret->grant, v, nt_buf_text(&plain));
        return why;
    }
    *ret_status = 503;
    if (v->route->broken)
        return v->route->broken;
    *ret_status = 400;
    nt_buf_add(&ret->target, v->route->base);
    if (!route_has_credential(r) || r->inject != POLICY_IN_PATH)
        nt_buf_add(&ret->target, nt_buf_text(&wire));
    else if (!add_path(&ret->target, v, nt_buf_text(&wire)))
        return "the path has no place for the credential";
    if (route_has_credential(r))
        add_query(&ret->target, v, path + strcspn(path, "?"));
    else
        nt_buf_add(&ret->target, path + strcspn(path, "?"));
    ret->count = v->token ? token_headers(v->token, ret->headers) : 0;
    if (ret->count)
        return nt_buf_ok(&ret->target) ? NULL : "too long";
    bool has_header = route_has_credential(r) && !r->aws
                      && (r->inject == POLICY_IN_HEADER || r->inject == POLICY_IN_BASIC);
    if (has_header && r->inject == POLICY_IN_BASIC)
        add_basic(&ret->value, v);
    else if (has_header)
        add_formatted(&ret->value, format_of(header, r->format), credential_of(v));
    if (!nt_buf_ok(&ret->target) || !nt_buf_ok(&ret->value))
        return "too long";
    ret->headers[0] = (struct net_header){ header, nt_buf_text(&ret->value) };
    ret->count = has_header;
    return NULL;
}

void injected_done(struct injected *in)
{
    if (in->target.data)
        explicit_bzero(in->target.data, in->target.size);
    if (in->value.data)
        explicit_bzero(in->value.data, in->value.size);
    nt_buf_done(&in->target);
    nt_buf_done(&in->value);
    nt_buf_done(&in->grant);
}

bool inject_keeps(const struct visit *v, const struct net_header *h)
{
    static const char *const dropped[] = { "authorization",  "proxy-authorization", "x-api-key",
                                           "api-key",        "x-goog-api-key",      "x-auth-token",
                                           "x-access-token", "private-token",       "forwarded",
                                           "x-forwarded-for" };
    const struct policy_route *r = v->route->policy;
    if (endpoint_has_rules(r) && visit_is_override(h->name))
        return false;
    if (route_has_credential(r))
        for (size_t i = 0; i < sizeof(dropped) / sizeof(dropped[0]); i++)
            if (strcasecmp(h->name, dropped[i]) == 0)
                return false;
    if (route_has_credential(r) && strcasecmp(h->name, header_of(r->inject, r->header)) == 0)
        return false;
    if (route_has_credential(r) && strcasecmp(h->name, place_of(r).header) == 0)
        return false;
    if (r->aws && aws_is_dropped(h->name))
        return false;
    for (size_t i = 0; r->capture && i < r->capture->headers.count; i++)
        if (strcasecmp(h->name, r->capture->headers.at[i]) == 0)
            return false;
    /* The token is for us alone. */
    return !strstr(h->value, v->proxy->token);
}

/* --- the answer ---------------------------------------------------------------------------- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* How much at AT is WHAT, whichever of its characters are escaped; 0: something else stands there.
 * A server writes what it was asked for in its own way. */
static size_t spelled(const char *at, const char *what)
{
    const char *begin = at;
    for (; *what; what++) {
        int high = *at == '%' ? hex_digit(at[1]) : -1, low = high >= 0 ? hex_digit(at[2]) : -1;
        if (low >= 0 && high * 16 + low == (unsigned char)*what)
            at += 3;
        else if (*at == *what || (*at == '+' && *what == ' '))
            at++;
        else
            return 0;
    }
    return (size_t)(at - begin);
}

static const char *find_spelled(const char *text, const char *what, size_t *ret_size)
{
    for (; *text; text++)
        if ((*ret_size = spelled(text, what)))
            return text;
    return NULL;
}

static char *replace(const char *text, const char *what, const char *with)
{
    struct nt_buf b = NT_BUF(512 * 1024);
    const char *at;
    size_t size;
    while ((at = find_spelled(text, what, &size))) {
        nt_buf_add_bytes(&b, text, (size_t)(at - text));
        nt_buf_add(&b, with);
        text = at + size;
    }
    nt_buf_add(&b, text);
    char *ret = nt_buf_take(&b);
    nt_buf_done(&b);
    return ret;
}

static bool scrub_of(struct visit *v, struct net_header *h, const char *credential)
{
    size_t size;
    if (!credential || !*credential || !find_spelled(h->value, credential, &size))
        return true;
    char *clean = v->scrubbed_count < VISIT_SCRUBBED_MAX
                      ? replace(h->value, credential, v->proxy->token)
                      : NULL;
    if (!clean)
        return false;
    v->scrubbed[v->scrubbed_count++] = clean;
    h->value = clean;
    return true;
}

/* In base64, as it was sent. */
static bool scrub_basic(struct visit *v, struct net_header *h)
{
    nt_auto(nt_buf_done) struct nt_buf sent = NT_BUF(4 * SECRET_MAX);
    if (!v->req || v->route->policy->inject != POLICY_IN_BASIC || !*credential_of(v))
        return true;
    add_basic(&sent, v);
    bool is_clean = scrub_of(v, h, nt_buf_text(&sent) + strlen("Basic "));
    explicit_bzero(sent.data, sent.size);
    return is_clean;
}

/* A redirect tells the address that was asked for, with the credential when it stood there. */
bool inject_scrub(struct visit *v, struct net_header *h)
{
    struct net_header headers[SOURCE_HEADERS_MAX];
    uint32_t count = v->token ? token_headers(v->token, headers) : 0;
    /* The value, and what stands in it behind "Bearer "; what is shorter is no secret, and would be
     * found in any text. */
    for (uint32_t i = 0; i < count; i++) {
        const char *space = strrchr(headers[i].value, ' ');
        const char *const forms[] = { headers[i].value, space ? space + 1 : "" };
        for (size_t j = 0; j < 2; j++)
            if (strlen(forms[j]) >= SCRUBBED_MIN && !scrub_of(v, h, forms[j]))
                return false;
    }
    if (count)
        return true;
    if (!scrub_basic(v, h))
        return false;
    return scrub_of(v, h, v->route->policy->aws ? v->route->aws.session.text : credential_of(v));
}
