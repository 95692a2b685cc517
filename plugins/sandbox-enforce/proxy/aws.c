/* SPDX-License-Identifier: Apache-2.0 */
/* aws.c - signs requests of a service with keys that the program does not have. Its own signature,
 * made with the session's token as the id of a key, says who it is and goes no further.
 *
 * A signature holds the hash of the body, which is read whole for it; but for S3 over TLS, and
 * where the client has said the hash itself: the server compares. */
#include "plugins/sandbox-enforce/proxy/aws.h"

#include <string.h>
#include <strings.h>
#include <time.h>

#include "plugins/sandbox-enforce/proxy/visit.h"
#include "sdk/cleanup.h"

/* Bodies that wait to be signed, of all requests together. */
enum { BODIES_MAX = 4 * VISIT_BODY_MAX, CREDIT = 256 * 1024 };

#define STREAMED_UNSIGNED "STREAMING-UNSIGNED-PAYLOAD-TRAILER"

/* --- who asks -------------------------------------------------------------------------------- */

bool aws_has_token(const struct proxy *proxy, const char *authorization)
{
    static const char scheme[] = "AWS4-HMAC-SHA256 ", name[] = "Credential=";
    if (!authorization || strncmp(authorization, scheme, sizeof(scheme) - 1) != 0)
        return false;
    const char *at = strstr(authorization, name);
    if (!at)
        return false;
    at += sizeof(name) - 1;
    return token_is(proxy, at, strcspn(at, "/, "));
}

bool aws_is_dropped(const char *name)
{
    static const char *const names[] = { "authorization", "x-amz-date", "x-amz-security-token",
                                         "x-amz-content-sha256" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcasecmp(names[i], name) == 0)
            return true;
    return false;
}

/* --- the body -------------------------------------------------------------------------------- */

static bool is_s3(const struct visit *v)
{
    return strncmp(v->route->policy->aws->service, "s3", 2) == 0;
}

static bool is_hash(const char *text)
{
    return text && strlen(text) == SIGV4_HASH_SIZE - 1
           && strspn(text, "0123456789abcdef") == SIGV4_HASH_SIZE - 1;
}

/* What is signed in the body's place without reading it; NULL: it must be read. */
static const char *payload_of(const struct visit *v)
{
    const char *said = net_request_header(v->req, "x-amz-content-sha256");
    bool is_tls = v->route->to.kind == NET_HTTPS;
    if (is_hash(said) || (is_tls && said && strcmp(said, STREAMED_UNSIGNED) == 0))
        return said;
    return is_s3(v) && is_tls ? SIGV4_UNSIGNED : NULL;
}

void aws_ask(struct visit *v)
{
    const char *said = net_request_header(v->req, "x-amz-content-sha256");
    int64_t length = net_request_length(v->req);
    if (net_request_is_websocket(v->req)) {
        visit_refuse(v, 501, "WebSockets are not signed", "");
    } else if (said && strncmp(said, "STREAMING-", 10) == 0 && !payload_of(v)) {
        visit_refuse(v, 501, "a body of signed chunks cannot be signed anew: send it whole", "");
    } else if (length == 0 || payload_of(v)) {
        route_go_on(v);
    } else {
        v->is_reading = true;
        v->body = (struct nt_buf)NT_BUF(VISIT_BODY_MAX);
        net_request_grant(v->req, CREDIT);
    }
}

void aws_body(struct visit *v, struct nt_bytes bytes)
{
    struct proxy *p = v->proxy;
    size_t before = v->body.cap;
    nt_buf_add_bytes(&v->body, bytes.data, bytes.size);
    p->bodies += v->body.cap - before;
    if (nt_buf_ok(&v->body) && p->bodies <= BODIES_MAX) {
        net_request_grant(v->req, bytes.size);
        return;
    }
    v->is_reading = false;
    if (nt_buf_ok(&v->body))
        visit_refuse(v, 503, "too many bodies wait to be signed", "");
    else
        visit_refuse(v, 413, "the body is larger than 16 MiB", "");
}

void aws_body_end(struct visit *v)
{
    v->is_reading = false;
    v->has_body = true;
    route_go_on(v);
}

void aws_leave(struct visit *v)
{
    v->proxy->bodies -= v->body.cap;
    nt_buf_done(&v->body);
}

/* --- the signature --------------------------------------------------------------------------- */

const char *aws_sign(const struct visit *v, const char *target, struct net_header *headers,
                     uint32_t *count, struct aws_signed *ret)
{
    const struct policy_aws *policy = v->route->policy->aws;
    const struct aws_keys *keys = &v->route->aws;
    const char *payload = payload_of(v);
    const char *why = sigv4_target(target, &ret->target);
    if (why)
        return why;
    bool is_said = payload != NULL;
    if (!payload) {
        sigv4_hash(nt_buf_text(&v->body), v->body.size, ret->payload);
        payload = ret->payload;
    }
    sigv4_time((int64_t)time(NULL), ret->time);
    headers[(*count)++] = (struct net_header){ "X-Amz-Date", ret->time };
    if (keys->session.text)
        headers[(*count)++] = (struct net_header){ "X-Amz-Security-Token", keys->session.text };
    if (is_said || is_s3(v))
        headers[(*count)++] = (struct net_header){ "X-Amz-Content-Sha256", payload };
    const struct sigv4 request = { .method = net_request_method(v->req),
                                   .target = nt_buf_text(&ret->target),
                                   .headers = headers,
                                   .count = *count,
                                   .payload = payload,
                                   .time = ret->time,
                                   .region = policy->region,
                                   .service = policy->service,
                                   .id = keys->id.text,
                                   .key = keys->key.text };
    why = sigv4_sign(&request, &ret->authorization);
    headers[(*count)++] = (struct net_header){ "Authorization", nt_buf_text(&ret->authorization) };
    return why;
}

void aws_signed_done(struct aws_signed *s)
{
    nt_buf_done(&s->target);
    nt_buf_done(&s->authorization);
}
