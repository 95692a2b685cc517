/* SPDX-License-Identifier: Apache-2.0 */
/* visit.c - one request of the program: what kind it is, and the checks that all kinds share, in
 * their order: token, denied addresses, allow-list, routes, the addresses of the name. */
#include "plugins/sandbox-enforce/proxy/visit.h"

#include <ctype.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/policy/hosts.h"
#include "plugins/sandbox-enforce/proxy/endpoint.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

enum { PATH_TOLD = 512 };

void visit_settle(struct visit *v)
{
    if (v->req || v->tunnel || v->forward || v->bridge)
        return;
    net_lookup_cancel(v->lookup);
    net_dial_cancel(v->dial);
    chain_cancel(v->chain);
    source_leave(v);
    aws_leave(v);
    token_unref(v->token);
    if (v->fd >= 0)
        close(v->fd);
    for (uint32_t i = 0; i < v->scrubbed_count; i++)
        free(v->scrubbed[i]);
    free(v->path);
    if (v->prev)
        v->prev->next = v->next;
    else
        v->proxy->visits = v->next;
    if (v->next)
        v->next->prev = v->prev;
    free(v);
}

void visit_cancel(struct visit *v)
{
    net_lookup_cancel(nt_take(v->lookup));
    net_dial_cancel(nt_take(v->dial));
    chain_cancel(nt_take(v->chain));
    source_leave(v);
    net_tunnel_close(v->tunnel);
    net_forward_cancel(v->forward);
    bridge_cancel(v->bridge);
}

/* --- answers ------------------------------------------------------------------------------- */

void visit_answer(struct visit *v, uint32_t status, const char *text)
{
    struct net_header headers[] = {
        { "Content-Type", "text/plain; charset=utf-8" },
        { "Proxy-Authenticate", "Basic realm=\"sandbox\"" },
    };
    nt_auto(nt_buf_done) struct nt_buf body = NT_BUF(2048);
    if (!v->req || v->is_answered)
        return;
    v->is_answered = true;
    nt_buf_addf(&body, "sandbox: %s\n", text);
    net_respond(v->req, status, headers, status == 407 ? 2 : 1,
                (struct nt_bytes){ nt_buf_text(&body), body.size });
}

/* "host:port" or the service; where the path counts "METHOD https://host:port/path" or "METHOD
 * /SERVICE/path", unless a token stands in it. */
static void add_target(struct nt_buf *b, const struct visit *v)
{
    const char *path = (v->is_inner || v->tells_path) && v->req ? net_request_target(v->req) : NULL;
    if (!path || strstr(path, v->proxy->token)) {
        nt_buf_add(b, v->authority);
        return;
    }
    bool is_plain = path[0] != '/';
    path += is_plain ? 7 + strcspn(path + 7, "/?") : 0;
    size_t size = strcspn(path, "?#");
    nt_buf_addf(b, "%.32s %s%s%.*s", net_request_method(v->req),
                v->is_inner ? "https://"
                : is_plain  ? "http://"
                            : "",
                v->is_inner || is_plain ? v->authority : "",
                (int)(size < PATH_TOLD ? size : PATH_TOLD), path);
}

void visit_refuse(struct visit *v, uint32_t status, const char *rule, const char *grant)
{
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(2048);
    nt_auto(nt_buf_done) struct nt_buf target = NT_BUF(1024);
    add_target(&target, v);
    struct denial denial = {
        .source = DENIAL_NOTIFIED,
        .act = v->act,
        .target = nt_buf_text(&target),
        .layer = "proxy",
        .rule = rule,
        .grant = grant,
        .count = 1,
    };
    if (v->proxy->denials)
        denials_add(v->proxy->denials, &denial);
    nt_buf_addf(&text, "%s: %s", nt_buf_text(&target), rule);
    if (grant[0])
        nt_buf_addf(&text, " (%s)", grant);
    visit_answer(v, status, nt_buf_text(&text));
}

void visit_fail(struct visit *v, const struct nt_error *reason)
{
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(1024);
    nt_buf_addf(&text, "%s: %s", v->authority,
                reason->message[0] ? reason->message : "cannot connect");
    visit_answer(v, 502, nt_buf_text(&text));
}

bool proxy_is_chained(const struct proxy *proxy, const char *host)
{
    const struct policy *policy = proxy->policy;
    if (!policy->upstream_proxy)
        return false;
    size_t size = strlen(host);
    for (size_t i = 0; i < policy->upstream_bypass.count; i++) {
        const char *pattern = policy->upstream_bypass.at[i];
        size_t suffix = strlen(pattern);
        if (strcasecmp(pattern, host) == 0)
            return false;
        if (pattern[0] == '*' && pattern[1] == '.' && size > suffix - 1
            && strcasecmp(host + size - (suffix - 1), pattern + 1) == 0)
            return false;
    }
    return true;
}

bool visit_is_chained(const struct visit *v)
{
    return !v->is_loopback_named && proxy_is_chained(v->proxy, v->to.host);
}

/* --- judging ------------------------------------------------------------------------------- */

/* A request to a host of which only some endpoints are allowed. */
static bool meets_endpoints(struct visit *v, const struct policy_host *host, const char *path)
{
    nt_auto(nt_buf_done) struct nt_buf plain = NT_BUF(VISIT_HEAD_MAX);
    nt_auto(nt_buf_done) struct nt_buf wire = NT_BUF(3 * VISIT_HEAD_MAX);
    nt_auto(nt_buf_done) struct nt_buf grant = NT_BUF(VISIT_HEAD_MAX);
    const char *why = endpoint_path(path, true, &plain, &wire);
    v->tells_path = true;
    if (why) {
        visit_refuse(v, 403, why, "");
        return false;
    }
    if (endpoint_allows(host->endpoints, host->endpoint_count, net_request_method(v->req),
                        nt_buf_text(&plain))) {
        nt_buf_add(&wire, path + strcspn(path, "?"));
        v->is_limited = true;
        free(v->path);
        v->path = nt_buf_take(&wire);
        return v->path != NULL;
    }
    if (endpoint_is_literal(nt_buf_text(&plain)))
        nt_buf_addf(&grant, "--allow-domain https://%s%s", v->to.host, nt_buf_text(&plain));
    visit_refuse(v, 403, "not one of its allowed endpoints", nt_buf_text(&grant));
    return false;
}

bool visit_judge(struct visit *v, const char *path)
{
    struct policy_answer answer;
    const char *shut = host_shut_why(v->to.host);
    if (shut) {
        visit_refuse(v, 403, shut, "");
        return false;
    }
    policy_ask_host(v->proxy->policy, v->to.host, v->to.port, &answer);
    if (answer.is_allowed)
        return true;
    bool is_limited = strcmp(answer.reason, "endpoint_restricted") == 0;
    bool has_endpoints = is_limited && answer.limited && (!answer.route || v->is_inner);
    if (has_endpoints && path)
        return meets_endpoints(v, answer.limited, path);
    /* What it asks for beside its routes, of a host that is open but for them. */
    if (is_limited && v->is_inner && answer.is_open)
        return true;
    v->is_intercepted = is_limited && !path && v->proxy->authority
                        && policy_intercepts(v->proxy->policy, v->to.host, v->to.port);
    if (v->is_intercepted)
        return true;
    bool is_denied = !is_limited && answer.host;
    const char *why = is_denied       ? "a denied host"
                      : !is_limited   ? "not in the allow-list"
                      : v->is_inner   ? "it lies beside the upstream of its route"
                      : has_endpoints ? "only some of its requests are allowed, and TLS hides them"
                                      : "only the proxy itself talks to it, at its route";
    visit_refuse(v, 403, why, answer.flag);
    return false;
}

/* Another name for a number that is denied changes nothing. */
static bool may_go(void *data, const struct sockaddr *address)
{
    const struct visit *v = data;
    char text[INET6_ADDRSTRLEN];
    return address_may_be_reached(address, v->is_loopback_named || v->route)
           && uv_ip_name(address, text, sizeof(text)) == 0
           && !policy_denied_host(v->proxy->policy, text);
}

static void on_looked(void *data, const struct sockaddr_storage *addresses, uint32_t count,
                      uint32_t refused, const struct nt_error *error)
{
    struct visit *v = data;
    v->lookup = NULL;
    if (error)
        visit_fail(v, error);
    else if (count == 0)
        visit_refuse(v, 403, "its address is denied, of this machine, link-local or no host's", "");
    else
        v->found(v, addresses, count);
}

/* Those of the connection that the last request of this peer to the same host has left open. */
static uint32_t addresses_of_idle(struct visit *v, struct sockaddr_storage ret[NET_ADDRESSES_MAX])
{
    uint32_t count =
        v->proxy->is_stopping ? 0 : net_pool_addresses(v->proxy->pool, v->req, &v->to, ret);
    for (uint32_t i = 0; i < count; i++)
        if (!may_go(v, (const struct sockaddr *)&ret[i]))
            return 0;
    return count;
}

void visit_look(struct visit *v,
                void (*found)(struct visit *v, const struct sockaddr_storage *addresses,
                              uint32_t count))
{
    struct nt_error error = NT_ERROR_INIT;
    struct net_lookup_options options = { .host = v->to.host,
                                          .port = v->to.port,
                                          .timeout_ms = VISIT_CONNECT_MS,
                                          .may = may_go,
                                          .done = on_looked,
                                          .data = v };
    struct sockaddr_storage addresses[NET_ADDRESSES_MAX];
    v->found = found;
    uint32_t count = addresses_of_idle(v, addresses);
    if (count)
        found(v, addresses, count);
    else if (net_lookup_new(&v->proxy->uv, &options, &v->lookup, &error) < 0)
        visit_fail(v, &error);
}

/* --- beginning ----------------------------------------------------------------------------- */

/* Nothing comes but what was granted; without it the body would be drained. */
static void on_body(void *data, struct net_request *req, struct nt_bytes bytes)
{
    struct visit *v = data;
    if (v->is_reading)
        aws_body(v, bytes);
}

static void on_body_end(void *data, struct net_request *req)
{
    struct visit *v = data;
    if (v->is_reading)
        aws_body_end(v);
}

static void on_done(void *data, struct net_request *req, const struct nt_error *reason)
{
    struct visit *v = data;
    v->req = NULL;
    visit_settle(v);
}

const struct net_request_events *visit_events(void)
{
    static const struct net_request_events events = { .body = on_body,
                                                      .body_end = on_body_end,
                                                      .done = on_done };
    return &events;
}

uint32_t visit_headers(const struct visit *v, struct net_header ret[VISIT_HEADERS_MAX],
                       bool (*keeps)(const struct visit *v, const struct net_header *h))
{
    struct net_header h;
    uint32_t count = 0;
    for (uint32_t i = 0; net_request_header_at(v->req, i, &h) && count < VISIT_HEADERS_MAX; i++)
        if (!net_request_is_hop(v->req, h.name) && (!keeps || keeps(v, &h)))
            ret[count++] = h;
    return count;
}

bool visit_is_override(const char *name)
{
    /* Servers that heed one of these carry out another method, or another path, than was judged.
     * To programs behind CGI and its kin '_' and '-' are the same. */
    static const char *const names[] = { "x-http-method-override", "x-http-method",
                                         "x-method-override", "x-original-url", "x-rewrite-url" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t at = 0;
        while (name[at]
               && tolower((unsigned char)(name[at] == '_' ? '-' : name[at])) == names[i][at])
            at++;
        if (!name[at] && !names[i][at])
            return true;
    }
    return false;
}

bool visit_keeps(const struct visit *v, const struct net_header *h)
{
    return !(v->is_limited && visit_is_override(h->name)) && !strstr(h->value, v->proxy->token)
           && !token_in_authorization(v->proxy, h->value);
}

static bool has_proxy_token(struct visit *v)
{
    if (token_in_authorization(v->proxy, net_request_header(v->req, "proxy-authorization")))
        return true;
    visit_refuse(v, 407, "the session's token is missing or wrong", "");
    return false;
}

static void begin(struct visit *v)
{
    const char *target = net_request_target(v->req);
    bool is_connect = strcmp(net_request_method(v->req), "CONNECT") == 0;
    v->act = is_connect ? "connect" : "request";
    if (!is_connect && target[0] == '/') {
        route_begin(v);
        return;
    }
    bool is_plain = !is_connect && strncasecmp(target, "http://", 7) == 0;
    const char *authority = is_plain ? target + 7 : target;
    size_t size = is_plain ? strcspn(authority, "/?") : strlen(authority);
    if ((!is_connect && !is_plain) || !visit_target(v, authority, size, is_connect)) {
        visit_answer(v, 400, "not a request to a proxy");
        return;
    }
    if (!has_proxy_token(v))
        return;
    if (is_connect)
        tunnel_begin(v);
    else
        plain_begin(v);
}

struct visit *visit_new(struct proxy *proxy, struct net_request *req)
{
    struct visit *v = calloc(1, sizeof(*v));
    if (!v) {
        static const struct net_request_events nothing;
        net_request_handle(req, &nothing, NULL);
        net_respond(req, 503, NULL, 0, (struct nt_bytes){ 0 });
        return NULL;
    }
    v->proxy = proxy;
    v->req = req;
    v->fd = -1;
    v->next = proxy->visits;
    if (v->next)
        v->next->prev = v;
    proxy->visits = v;
    net_request_handle(req, visit_events(), v);
    return v;
}

void visit_begin(struct proxy *proxy, struct net_request *req)
{
    struct visit *v = visit_new(proxy, req);
    if (v)
        begin(v);
}

/* --- for what carries a request on ---------------------------------------------------------- */

void visit_on_failed(void *data, struct net_request *req, const struct nt_error *reason)
{
    struct visit *v = data;
    v->is_answered = false;
    visit_fail(v, reason);
}

void visit_on_forwarded(void *data, uint32_t answered)
{
    struct visit *v = data;
    v->forward = NULL;
    v->req = NULL;
    visit_settle(v);
}
