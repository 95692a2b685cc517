/* SPDX-License-Identifier: Apache-2.0 */
/* intercept.c - a CONNECT to a host of which only some requests may be made, or to which a
 * credential goes: its TLS ends here, and each request in it is judged like one that came to a
 * route. Which host is meant says the CONNECT alone: a request that names another is refused. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/policy/hosts.h"
#include "plugins/sandbox-enforce/proxy/authority.h"
#include "plugins/sandbox-enforce/proxy/endpoint.h"
#include "plugins/sandbox-enforce/proxy/visit.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

/* What the requests of one connection have in common. */
struct beyond {
    struct proxy *proxy;
    bool has_request;
    char authority[VISIT_AUTHORITY_MAX]; /* as the CONNECT had it */
};

/* --- the connection ------------------------------------------------------------------------- */

/* A guess, which costs a program that only tried the connection a line: one that does not believe
 * the session's authority would be hard to understand otherwise. */
static void on_gone(void *link)
{
    struct beyond *beyond = link;
    struct proxy *p = beyond->proxy;
    const struct denial denial = {
        .source = DENIAL_INFERRED,
        .act = "request",
        .target = beyond->authority,
        .layer = "proxy",
        .rule =
            "no request came: the program may not believe the session's authority, and read others "
            "than the variables name (network.tls_intercept.ca_env_vars of a profile)",
        .grant = "",
        .count = 1,
    };
    if (!beyond->has_request && !p->is_stopping && p->denials)
        denials_add(p->denials, &denial);
    free(beyond);
}

static void on_taken(void *data, int fd)
{
    struct visit *v = data;
    struct proxy *p = v->proxy;
    struct nt_error ignored = NT_ERROR_INIT;
    struct beyond *beyond = fd < 0 ? NULL : malloc(sizeof(*beyond));
    struct net_tls *tls;
    if (fd < 0)
        return;
    /* The same as before the answer, unless it took long to be sent. */
    if (!beyond || p->is_stopping
        || authority_tls(p->authority, v->to.host, time(NULL), &tls, &ignored) < 0) {
        free(beyond);
        close(fd);
        return;
    }
    *beyond = (struct beyond){ .proxy = p };
    memcpy(beyond->authority, v->authority, sizeof(beyond->authority));
    const struct net_take take = { .tls = tls, .link = beyond, .gone = on_gone };
    net_server_take_with(p->inner, fd, &take, &ignored);
}

void intercept_begin(struct visit *v)
{
    struct net_tls *tls;
    struct nt_error e = NT_ERROR_INIT;
    if (authority_tls(v->proxy->authority, v->to.host, time(NULL), &tls, &e) < 0) {
        visit_fail(v, &e);
        return;
    }
    v->is_answered = true;
    net_upgrade(v->req, NULL, NULL, on_taken, v);
}

/* --- a request in it ------------------------------------------------------------------------ */

/* Does TEXT, of a Host header, name the host of V? Its port may be left out. */
static bool names(const struct visit *v, const char *text)
{
    nt_auto(nt_buf_done) struct nt_buf url = NT_BUF(VISIT_AUTHORITY_MAX + 16);
    char memory[VISIT_AUTHORITY_MAX + 16], plain[HOST_MAX];
    struct nt_error ignored = NT_ERROR_INIT;
    struct net_address address;
    const char *prefix;
    nt_buf_addf(&url, "https://%s", text);
    if (!nt_buf_ok(&url)
        || net_parse_url(nt_buf_text(&url), memory, sizeof(memory), &address, &prefix, &ignored) < 0
        || prefix[0] || !host_plain(address.host, plain))
        return false;
    const char *end = strrchr(text, ':');
    bool has_port = end && !strchr(end, ']');
    return strcmp(plain, v->to.host) == 0 && (!has_port || address.port == v->to.port);
}

static bool is_meant(struct visit *v)
{
    const char *target = net_request_target(v->req), *host = net_request_header(v->req, "host");
    const char *name = net_request_server_name(v->req);
    if (target[0] != '/' || strcmp(net_request_method(v->req), "CONNECT") == 0) {
        visit_refuse(v, 400, "not a request to the server that was connected to", "");
        return false;
    }
    if (!host || !names(v, host) || (name && !names(v, name))) {
        visit_refuse(v, 421, "it names another host than the one that was connected to", "");
        return false;
    }
    return true;
}

/* The part of PATH that lies below BASE; NULL: it does not. */
static const char *below(const char *path, const char *base)
{
    size_t size = strlen(base);
    return strncmp(path, base, size) == 0 && (!path[size] || path[size] == '/') ? path + size
                                                                                : NULL;
}

static bool leads_to(const struct visit *v, const struct route *r)
{
    char plain[HOST_MAX];
    return r->to.kind == NET_HTTPS && r->to.port == v->to.port && host_plain(r->to.host, plain)
           && strcmp(plain, v->to.host) == 0;
}

/* Takes PATH, of the route, when that is better than what V has. A route whose token the program
 * has shown comes before all, then one that lies deeper. */
static bool prefer(struct visit *v, const struct route *r, char *path, bool *has_token)
{
    struct visit asked = *v; /* as if it had that route */
    asked.route = r;
    bool shows = !route_has_credential(r->policy) || inject_has_token(&asked, path);
    if (v->route && shows <= *has_token
        && (shows < *has_token || strlen(r->base) <= strlen(v->route->base)))
        return false;
    free(v->path);
    v->path = path;
    v->route = r;
    *has_token = shows;
    return true;
}

/* Finds the route for a request, and its path there. Judged is the path in one spelling, which is
 * also what is sent. -1: it was answered. */
static int find_route(struct visit *v, const char *target)
{
    bool has_token = false;
    const char *why = NULL;
    size_t size = strcspn(target, "?#");
    for (size_t i = 0; i < v->proxy->route_count; i++) {
        const struct route *r = &v->proxy->routes[i];
        nt_auto(nt_buf_done) struct nt_buf plain = NT_BUF(2 * VISIT_HEAD_MAX);
        nt_auto(nt_buf_done) struct nt_buf wire = NT_BUF(4 * VISIT_HEAD_MAX);
        nt_auto(nt_buf_done) struct nt_buf rest = NT_BUF(5 * VISIT_HEAD_MAX);
        if (!leads_to(v, r))
            continue;
        v->to.authorities = r->to.authorities;
        const char *bad = endpoint_path(target, endpoint_has_rules(r->policy), &plain, &wire);
        const char *path = bad ? NULL : below(nt_buf_text(&wire), r->base);
        why = bad ? bad : why;
        if (!path)
            continue;
        nt_buf_addf(&rest, "%s%s", *path ? path : "/", target + size);
        nt_autofree char *whole = nt_buf_take(&rest);
        if (whole && prefer(v, r, whole, &has_token))
            nt_take(whole);
    }
    if (v->route || !why)
        return 0;
    visit_refuse(v, 400, why, "");
    return -1;
}

static void carry(struct visit *v, const struct net_address *to)
{
    struct net_header headers[VISIT_HEADERS_MAX + 1];
    nt_autofree char *authority = routes_authority(to);
    if (!authority) {
        visit_answer(v, 502, "out of memory");
        return;
    }
    uint32_t count = visit_headers(v, headers, visit_keeps);
    headers[count++] = (struct net_header){ "Host", authority };
    visit_carry(v, to, v->path ? v->path : net_request_target(v->req), headers, count);
}

static void on_found(struct visit *v, const struct sockaddr_storage *addresses, uint32_t count)
{
    char pinned[NET_PINNED_MAX];
    struct net_address to = v->to;
    if (!net_pinned_text(addresses, count, pinned)) {
        visit_answer(v, 502, "no address");
        return;
    }
    to.pinned = pinned;
    carry(v, &to);
}

/* A request that no route takes: by the list of hosts and their endpoints. */
static void go_on(struct visit *v)
{
    if (!visit_judge(v, net_request_target(v->req)))
        return;
    if (net_request_length(v->req) > VISIT_BODY_MAX) {
        visit_refuse(v, 413, "the body is larger than 16 MiB", "");
    } else if (visit_is_chained(v)) {
        struct net_address to = v->to;
        to.proxy = v->proxy->policy->upstream_proxy;
        carry(v, &to);
    } else {
        v->to.proxy = "";
        visit_look(v, on_found);
    }
}

void intercept_request(void *proxy, struct net_request *req)
{
    struct beyond *beyond = net_request_link(req);
    struct visit *v = visit_new(proxy, req);
    if (!v)
        return;
    beyond->has_request = true;
    v->act = "request";
    v->is_inner = true;
    /* It was understood before. */
    if (!visit_target(v, beyond->authority, strlen(beyond->authority), true)) {
        visit_answer(v, 400, "not a request to a proxy");
        return;
    }
    v->to.kind = NET_HTTPS;
    if (policy_is_metadata(v->to.host)) {
        visit_refuse(v, 403, "cloud metadata is never reachable", "");
        return;
    }
    if (!is_meant(v) || find_route(v, net_request_target(req)) < 0)
        return;
    if (!v->route) {
        go_on(v);
        return;
    }
    v->to = v->route->to;
    route_enter(v);
}
