/* SPDX-License-Identifier: Apache-2.0 */
/* oauth.c - asks a token endpoint for the credential of a service, as carefully as an upstream is
 * asked: the addresses of its name are judged and connected to, TLS is checked, redirects are not
 * followed. No secret and no text of an answer shows up in what is told. */
#include "plugins/sandbox-enforce/proxy/oauth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "plugins/sandbox-enforce/proxy/visit.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

enum { EXCHANGE_MS = 60 * 1000, QUESTION_MAX = 8 * SECRET_MAX };

/* One question. It is gone when its handles have closed, maybe later than its oauth is told. */
struct exchange {
    struct oauth *oauth; /* NULL: told or ended */
    struct net_lookup *lookup;
    struct net_client *client;
    uv_timer_t timer;
    bool has_timer;
    size_t size; /* of the answer so far */
    char answer[OAUTH_ANSWER_MAX];
};

struct oauth {
    struct source source;
    struct proxy *proxy;
    const struct route *route;
    struct net_address to;
    char *memory;       /* of its texts */
    char *authority;    /* for Host */
    const char *target; /* as token_url has it */
    struct exchange *exchange;
};

/* --- the exchange --------------------------------------------------------------------------- */

static void try_free(struct exchange *x)
{
    if (x->client || x->has_timer)
        return;
    explicit_bzero(x->answer, sizeof(x->answer));
    free(x);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct exchange *x = handle->data;
    x->has_timer = false;
    try_free(x);
}

/* Its handles close from here on. */
static struct oauth *settle(struct exchange *x)
{
    struct oauth *o = nt_take(x->oauth);
    o->exchange = NULL;
    net_lookup_cancel(nt_take(x->lookup));
    if (x->client)
        net_client_close(x->client);
    uv_close((uv_handle_t *)&x->timer, on_timer_closed);
    return o;
}

static void fail(struct exchange *x, const char *why)
{
    char text[256];
    snprintf(text, sizeof(text), "no token for it: %s", why);
    source_fail(&settle(x)->source, text);
}

static void fail_status(struct exchange *x, uint32_t status)
{
    char why[80];
    snprintf(why, sizeof(why), "the token endpoint answered with status %u", (unsigned)status);
    fail(x, why);
}

static void on_timer(uv_timer_t *timer)
{
    fail(timer->data, "the token endpoint did not answer in time");
}

static void on_head(void *data, struct net_client *client, uint32_t status)
{
    struct exchange *x = data;
    if (!x->oauth)
        return;
    if (status == 200)
        net_client_grant(client, OAUTH_ANSWER_MAX + 1);
    else
        fail_status(x, status);
}

static void on_body(void *data, struct net_client *client, struct nt_bytes bytes)
{
    struct exchange *x = data;
    if (!x->oauth)
        return;
    if (bytes.size > sizeof(x->answer) - x->size) {
        fail(x, "the answer of the token endpoint is larger than 64 KiB");
        return;
    }
    memcpy(x->answer + x->size, bytes.data, bytes.size);
    x->size += bytes.size;
}

static void on_answered(void *data, struct net_client *client, bool reusable)
{
    struct exchange *x = data;
    int64_t lifetime_ms = 0;
    char *text = NULL, reason[120];
    if (!x->oauth)
        return;
    const char *why = oauth_read(x->answer, x->size, &text, &lifetime_ms);
    struct token *token = why ? NULL : token_new(text);
    secret_free(text);
    if (!token) {
        snprintf(reason, sizeof(reason), "of the token endpoint, %s", why ? why : "out of memory");
        fail(x, reason);
        return;
    }
    source_tell(&settle(x)->source, token, lifetime_ms);
}

static void on_closed(void *data, struct net_client *client, const struct nt_error *reason)
{
    struct exchange *x = data;
    char why[200];
    x->client = NULL;
    if (!x->oauth) {
        try_free(x);
        return;
    }
    snprintf(why, sizeof(why), "the token endpoint does not answer: %.160s",
             reason ? reason->message : "it has closed the connection");
    fail(x, why);
}

/* The secrets stand in a buffer that is not moved, and is wiped. */
static void add_question(struct nt_buf *b, const struct oauth *o)
{
    const struct policy_auth *auth = o->route->policy->auth;
    nt_buf_room(b, 4096 + 3 * (o->route->client_id.size + o->route->client_secret.size));
    nt_buf_add(b, "grant_type=client_credentials&client_id=");
    nt_buf_add_url_part(b, o->route->client_id.text);
    nt_buf_add(b, "&client_secret=");
    nt_buf_add_url_part(b, o->route->client_secret.text);
    if (auth->scope) {
        nt_buf_add(b, "&scope=");
        nt_buf_add_url_part(b, auth->scope);
    }
    for (size_t i = 0; i + 1 < auth->extra.count; i += 2) {
        nt_buf_add_char(b, '&');
        nt_buf_add_url_part(b, auth->extra.at[i]);
        nt_buf_add_char(b, '=');
        nt_buf_add_url_part(b, auth->extra.at[i + 1]);
    }
}

static void ask(struct exchange *x, const struct net_address *to)
{
    static const struct net_client_events events = {
        .head = on_head, .body = on_body, .answered = on_answered, .closed = on_closed
    };
    const struct oauth *o = x->oauth;
    struct nt_error error = NT_ERROR_INIT;
    const struct net_header headers[] = {
        { "Host", o->authority },
        { "Content-Type", "application/x-www-form-urlencoded" },
        { "Accept", "application/json" },
    };
    struct nt_buf body = NT_BUF(QUESTION_MAX);
    add_question(&body, o);
    struct net_client_request request = {
        .method = "POST",
        .target = o->target,
        .headers = headers,
        .count = sizeof(headers) / sizeof(headers[0]),
        .length = (int64_t)body.size,
        .body = { nt_buf_text(&body), body.size },
    };
    int rc = nt_buf_ok(&body) ? net_client_new(&o->proxy->uv, to, NULL, VISIT_CONNECT_MS, &events,
                                               x, &x->client, &error)
                              : nt_fail(&error, NT_E_LIMIT, "the question is too long");
    if (rc == 0)
        rc = net_client_request(x->client, &request, &error);
    if (body.data)
        explicit_bzero(body.data, body.size);
    nt_buf_done(&body);
    if (rc < 0)
        fail(x, error.message);
}

static bool may_go(void *data, const struct sockaddr *address)
{
    const struct exchange *x = data;
    return x->oauth->to.kind == NET_HTTPS ? address_may_be_reached(address, true)
                                          : address_is_loopback(address);
}

static void on_looked(void *data, const struct sockaddr_storage *addresses, uint32_t count,
                      uint32_t refused, const struct nt_error *error)
{
    struct exchange *x = data;
    char pinned[NET_PINNED_MAX], why[200];
    x->lookup = NULL;
    struct net_address to = x->oauth->to;
    if (error) {
        snprintf(why, sizeof(why), "the token endpoint is not found: %.160s", error->message);
        fail(x, why);
    } else if (count == 0 || !net_pinned_text(addresses, count, pinned)) {
        fail(x, "the token endpoint has no address that may be connected to");
    } else {
        to.pinned = pinned;
        to.proxy = "";
        ask(x, &to);
    }
}

static void begin(struct source *source)
{
    struct oauth *o = (struct oauth *)source; /* its first member */
    struct nt_error error = NT_ERROR_INIT;
    struct exchange *x = calloc(1, sizeof(*x));
    if (!x) {
        source_fail(source, "out of memory");
        return;
    }
    x->oauth = o;
    o->exchange = x;
    uv_timer_init(&o->proxy->uv, &x->timer);
    x->timer.data = x;
    x->has_timer = true;
    uv_update_time(&o->proxy->uv);
    uv_timer_start(&x->timer, on_timer, EXCHANGE_MS, 0);
    struct net_lookup_options options = { .host = o->to.host,
                                          .port = o->to.port,
                                          .timeout_ms = VISIT_CONNECT_MS,
                                          .may = may_go,
                                          .done = on_looked,
                                          .data = x };
    if (o->to.kind == NET_HTTPS && proxy_is_chained(o->proxy, o->to.host)) {
        struct net_address to = o->to;
        to.proxy = o->proxy->policy->upstream_proxy;
        ask(x, &to);
    } else if (net_lookup_new(&o->proxy->uv, &options, &x->lookup, &error) < 0) {
        fail(x, error.message);
    }
}

void oauth_ask(struct oauth *o, struct visit *v)
{
    source_ask(&o->source, v);
}

/* --- beginning and end ---------------------------------------------------------------------- */

static bool is_same_server(const struct net_address *a, const struct net_address *b)
{
    return a->kind == b->kind && a->port == b->port && strcasecmp(a->host, b->host) == 0;
}

int oauth_new(struct proxy *proxy, const struct route *route, struct oauth **ret,
              struct nt_error *reterr)
{
    const char *url = route->policy->auth->token_url, *prefix;
    size_t size = strlen(url) + 2;
    struct oauth *o = calloc(1, sizeof(*o));
    *ret = o;
    if (!o || !(o->memory = malloc(size)))
        return nt_fail(reterr, NT_E_MEMORY, "out of memory for a route");
    o->source = (struct source){ .begin = begin, .status = 502 };
    o->proxy = proxy;
    o->route = route;
    if (net_parse_url(url, o->memory, size, &o->to, &prefix, reterr) < 0)
        return nt_wrap(reterr, "token_url of %s", route->policy->name);
    o->target = strchr(strstr(url, "://") + 3, '/');
    o->target = o->target ? o->target : "/";
    /* What is for the upstream is not for another server. */
    if (is_same_server(&o->to, &route->to)) {
        o->to.authorities = route->to.authorities;
        o->to.identity = route->to.identity;
    }
    o->authority = routes_authority(&o->to);
    return o->authority ? 0 : nt_fail(reterr, NT_E_MEMORY, "out of memory for a route");
}

void oauth_wipe(struct oauth *o)
{
    if (o)
        source_wipe(&o->source);
}

void oauth_end(struct oauth *o)
{
    if (o && o->exchange)
        settle(o->exchange);
    oauth_wipe(o);
}

void oauth_free(struct oauth *o)
{
    if (!o)
        return;
    oauth_wipe(o);
    free(o->memory);
    free(o->authority);
    free(o);
}
