/* SPDX-License-Identifier: Apache-2.0 */
/* route.c - "/SERVICE/path": a request to the proxy itself, carried to the upstream of that service
 * with the credential that the program does not have. */
#include <netinet/in.h>
#include <string.h>

#include "plugins/sandbox-enforce/proxy/visit.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

/* TO and, for http, its Host header. */
static void carry(struct visit *v, const struct net_address *to)
{
    struct net_header headers[VISIT_HEADERS_MAX + 1 + SOURCE_HEADERS_MAX + AWS_HEADERS_MAX];
    uint32_t status;
    nt_auto(injected_done) struct injected in = INJECTED_INIT;
    nt_auto(aws_signed_done) struct aws_signed in_aws = { .target = NT_BUF(512 * 1024),
                                                          .authorization = NT_BUF(64 * 1024) };
    const char *why = inject(v, v->path, &in, &status);
    if (why) {
        visit_refuse(v, status, why, "");
        return;
    }
    uint32_t count = visit_headers(v, headers, inject_keeps);
    headers[count++] = (struct net_header){ "Host", v->route->authority };
    for (uint32_t i = 0; i < in.count; i++)
        headers[count++] = in.headers[i];
    const char *target = nt_buf_text(&in.target);
    if (v->route->policy->aws) {
        why = aws_sign(v, target, headers, &count, &in_aws);
        target = nt_buf_text(&in_aws.target);
    }
    if (why) {
        visit_refuse(v, 400, why, "");
        return;
    }
    visit_carry(v, to, target, headers, count);
}

static void on_found(struct visit *v, const struct sockaddr_storage *addresses, uint32_t count)
{
    char pinned[NET_PINNED_MAX];
    struct net_address to = v->to;
    for (uint32_t i = 0; to.kind == NET_TCP && i < count; i++)
        if (!address_is_loopback((const struct sockaddr *)&addresses[i])) {
            visit_refuse(v, 403, "credentials go in clear to this machine only", "");
            return;
        }
    if (!net_pinned_text(addresses, count, pinned)) {
        visit_answer(v, 502, "no address");
        return;
    }
    to.pinned = pinned;
    carry(v, &to);
}

static const struct route *find(const struct proxy *p, const char *name, size_t size)
{
    for (size_t i = 0; i < p->route_count; i++)
        if (strlen(p->routes[i].policy->name) == size
            && strncmp(p->routes[i].policy->name, name, size) == 0)
            return &p->routes[i];
    return NULL;
}

/* Token, method and endpoints, before any name is looked up. */
static bool judge(struct visit *v)
{
    const struct route *r = v->route;
    uint32_t status;
    bool is_ours = route_has_credential(r->policy);
    bool has_token = is_ours ? inject_has_token(v, v->path)
                             : v->is_inner
                                   || token_in_authorization(
                                       v->proxy, net_request_header(v->req, "proxy-authorization"));
    if (!has_token) {
        visit_refuse(v, is_ours ? 401 : 407, "the session's token is missing or wrong", "");
        return false;
    }
    /* Its answer is the request as it arrived there. */
    if (strcmp(net_request_method(v->req), "TRACE") == 0) {
        visit_refuse(v, 405, "TRACE would show the credential", "");
        return false;
    }
    nt_auto(injected_done) struct injected tried = INJECTED_INIT;
    const char *why = inject(v, v->path, &tried, &status);
    if (why) {
        v->tells_path = status < 500;
        visit_refuse(v, status, why, nt_buf_text(&tried.grant));
        return false;
    }
    if (net_request_length(v->req) > VISIT_BODY_MAX) {
        visit_refuse(v, 413, "the body is larger than 16 MiB", "");
        return false;
    }
    return true;
}

void route_begin(struct visit *v)
{
    const char *name = net_request_target(v->req) + 1;
    size_t size = strcspn(name, "/?");
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(2 * VISIT_HEAD_MAX);
    nt_buf_add_bytes(&path, name, size < 64 ? size : 64);
    nt_copy_text(v->authority, sizeof(v->authority), nt_buf_text(&path));
    v->route = find(v->proxy, name, size);
    if (!v->route) {
        visit_refuse(v, 404, "no such route", "");
        return;
    }
    nt_buf_reset(&path);
    nt_buf_addf(&path, "%s%s", name[size] == '/' ? "" : "/", name + size);
    v->path = nt_buf_take(&path);
    v->to = v->route->to;
    if (!v->path) {
        visit_answer(v, 400, "too long");
        return;
    }
    route_enter(v);
}

void route_enter(struct visit *v)
{
    if (!judge(v))
        return;
    if (v->route->oauth)
        oauth_ask(v->route->oauth, v);
    else if (v->route->capture)
        capture_ask(v->route->capture, v);
    else if (v->route->policy->aws)
        aws_ask(v);
    else
        route_go_on(v);
}

void route_go_on(struct visit *v)
{
    v->is_loopback_named = v->to.kind == NET_TCP;
    if (v->to.kind == NET_HTTPS && visit_is_chained(v)) {
        struct net_address to = v->route->to;
        to.proxy = v->proxy->policy->upstream_proxy;
        carry(v, &to);
        return;
    }
    v->to.proxy = "";
    visit_look(v, on_found);
}
