/* SPDX-License-Identifier: Apache-2.0 */
/* head.c - the headers of one request: what the caller gives and what every request carries. */
#include "head.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "core/config/credentials.h"
#include "nanoterm/host.h"
#include "nanoterm/local.h"
#include "sdk/error.h"

#define TARGET_MAX (64 * 1024)

/* Room for what head_make adds itself. */
#define GIVEN_MAX (HEAD_HEADERS - 12)

/* What only this room may set. */
static const char *const reserved[] = { "Authorization",  "Host",
                                        "Content-Length", "Transfer-Encoding",
                                        "Connection",     "Upgrade",
                                        "Cookie",         NT_LOCAL_TOKEN_HEADER };

int head_uuid(char ret[HEAD_ID], struct nt_error *reterr)
{
    uint8_t b[16];
    if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
        return nt_fail_sys(reterr, errno, "cannot get random bytes");
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    snprintf(ret, HEAD_ID, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
             b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
             b[14], b[15]);
    return 0;
}

static const struct nt_header *row(struct nt_table headers, uint32_t index)
{
    return (const struct nt_header *)(const void *)((const char *)headers.rows
                                                    + (size_t)index * headers.stride);
}

const char *head_given(struct nt_table headers, const char *name)
{
    for (uint32_t i = 0; i < headers.count; i++)
        if (row(headers, i)->name && strcasecmp(row(headers, i)->name, name) == 0)
            return row(headers, i)->value;
    return NULL;
}

static bool is_token(const char *name)
{
    for (const char *p = name; *p; p++)
        if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9')
              || strchr("-_.", *p)))
            return false;
    return *name != '\0';
}

/* Nothing that could end the line and begin another (RFC 9110 section 5.5). */
static bool is_value(const char *value)
{
    for (const unsigned char *p = (const unsigned char *)value; *p; p++)
        if ((*p < 0x20 && *p != '\t') || *p == 0x7f)
            return false;
    return true;
}

static bool is_reserved(const char *name)
{
    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
        if (strcasecmp(reserved[i], name) == 0)
            return true;
    return false;
}

static void add(struct head *head, const char *name, const char *value)
{
    head->headers[head->count++] = (struct net_header){ name, value };
}

static int add_given(struct head *head, struct nt_table headers, struct nt_error *reterr)
{
    if (headers.count > GIVEN_MAX)
        return nt_fail(reterr, NT_E_LIMIT, "more than %d headers", GIVEN_MAX);
    for (uint32_t i = 0; i < headers.count; i++) {
        const struct nt_header *h = row(headers, i);
        if (!h->name || !h->value || !is_token(h->name) || !is_value(h->value))
            return nt_fail(reterr, NT_E_USAGE,
                           "a header of the request has a character that no header has");
        if (is_reserved(h->name))
            return nt_fail(reterr, NT_E_USAGE, "the header %.60s is not the caller's to set",
                           h->name);
        add(head, h->name, h->value);
    }
    return 0;
}

static int make_target(struct head *head, const char *prefix, const char *path,
                       struct nt_error *reterr)
{
    size_t size = strlen(path);
    if (path[0] != '/' || size > TARGET_MAX)
        return nt_fail(reterr, NT_E_USAGE,
                       "the path of the request does not start with / or is too long");
    for (const char *p = path; *p; p++)
        if (*p <= 0x20 || *p >= 0x7f || *p == '#')
            return nt_fail(reterr, NT_E_USAGE, "the path of the request is not percent-encoded");
    if (asprintf(&head->target, "%s%s", prefix, path) < 0) {
        head->target = NULL;
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    }
    return 0;
}

static int add_credential(struct head *head, const struct head_options *o, struct nt_error *reterr)
{
    const struct config_value *key = config_get(o->config, "api_key"),
                              *org = config_get(o->config, "org_id");
    if (o->local_token) {
        add(head, NT_LOCAL_TOKEN_HEADER, o->local_token);
    } else if (key) {
        if (config_check_key(key->value, reterr) < 0)
            return nt_wrap(reterr, "%s", key->origin_text);
        if (asprintf(&head->authorization, "Bearer %s", key->value) < 0) {
            head->authorization = NULL;
            return nt_fail(reterr, NT_E_MEMORY, "out of memory");
        }
        add(head, "Authorization", head->authorization);
    }
    if (org && !is_value(org->value))
        return nt_fail(reterr, NT_E_CONFIG, "the organisation from %s is not a name",
                       org->origin_text);
    if (org)
        add(head, "X-Nanoterm-Org", org->value);
    return 0;
}

int head_make(const struct head_options *o, struct head *ret, struct nt_error *reterr)
{
    *ret = (struct head){ .count = 0 };
    if (make_target(ret, o->prefix, o->path, reterr) < 0 || head_uuid(ret->request_id, reterr) < 0
        || add_given(ret, o->headers, reterr) < 0
        || (o->has_auth && add_credential(ret, o, reterr) < 0)) {
        head_done(ret);
        return -1;
    }
    add(ret, "User-Agent", "nanoterm/" NT_VERSION);
    add(ret, "X-Nanoterm-Wire", "1");
    if (!head_given(o->headers, "X-Request-Id"))
        add(ret, "X-Request-Id", ret->request_id);
    if (!head_given(o->headers, "Accept"))
        add(ret, "Accept", "application/json");
    if (o->content_type && !head_given(o->headers, "Content-Type"))
        add(ret, "Content-Type", o->content_type);
    if (o->idempotency_key && !head_given(o->headers, "Idempotency-Key"))
        add(ret, "Idempotency-Key", o->idempotency_key);
    return 0;
}

void head_done(struct head *head)
{
    if (head->authorization)
        explicit_bzero(head->authorization, strlen(head->authorization));
    free(head->authorization);
    free(head->target);
    *head = (struct head){ .count = 0 };
}
