/* SPDX-License-Identifier: Apache-2.0 */
/* plain.c - "GET http://host/path": carried to the address that was checked. Which server is meant
 * says the target alone; the Host header of the program counts for nothing. */
#include <netinet/in.h>
#include <string.h>

#include "plugins/sandbox-enforce/proxy/visit.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

static void forward(struct visit *v, const struct net_address *to, const char *target)
{
    struct net_header headers[VISIT_HEADERS_MAX + 1];
    uint32_t count = visit_headers(v, headers, visit_keeps);
    headers[count++] = (struct net_header){ "Host", v->authority };
    visit_carry(v, to, target, headers, count);
}

static const char *path_of(const struct visit *v)
{
    const char *target = net_request_target(v->req) + 7; /* behind http:// */
    if (v->path)
        return v->path;
    return target + strcspn(target, "/?");
}

static void on_found(struct visit *v, const struct sockaddr_storage *addresses, uint32_t count)
{
    char pinned[NET_PINNED_MAX];
    struct nt_error error = NT_ERROR_INIT;
    nt_auto(nt_buf_done) struct nt_buf target = NT_BUF(2 * VISIT_HEAD_MAX);
    const char *path = path_of(v);
    nt_buf_add(&target, path[0] == '/' ? "" : "/");
    nt_buf_add(&target, path);
    if (!nt_buf_ok(&target) || !net_pinned_text(addresses, count, pinned)) {
        nt_fail(&error, NT_E_LIMIT, "the request is too long");
        visit_fail(v, &error);
        return;
    }
    struct net_address to = {
        .kind = NET_TCP, .port = v->to.port, .host = v->to.host, .pinned = pinned
    };
    forward(v, &to, nt_buf_text(&target));
}

static void begin_chained(struct visit *v)
{
    struct nt_error error = NT_ERROR_INIT;
    struct net_address to;
    char memory[VISIT_AUTHORITY_MAX + 16];
    const char *prefix;
    nt_auto(nt_buf_done) struct nt_buf url = NT_BUF(VISIT_AUTHORITY_MAX);
    nt_auto(nt_buf_done) struct nt_buf target = NT_BUF(2 * VISIT_HEAD_MAX);
    nt_buf_addf(&url, "http://%s", v->proxy->policy->upstream_proxy);
    nt_buf_addf(&target, "http://%s%s", v->authority, path_of(v));
    if (!nt_buf_ok(&target)
        || net_parse_url(nt_buf_text(&url), memory, sizeof(memory), &to, &prefix, &error) < 0)
        visit_fail(v, &error);
    else
        forward(v, &to, nt_buf_text(&target));
}

void plain_begin(struct visit *v)
{
    const char *path = path_of(v);
    if (!visit_judge(v, path[0] == '/' ? path : "/"))
        return;
    if (net_request_length(v->req) > VISIT_BODY_MAX)
        visit_refuse(v, 413, "the body is larger than 16 MiB", "");
    else if (visit_is_chained(v))
        begin_chained(v);
    else
        visit_look(v, on_found);
}
