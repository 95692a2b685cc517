/* SPDX-License-Identifier: Apache-2.0 */
/* carry.c - a request that was judged, and its answer: both streamed, or message by message. */
#include "plugins/sandbox-enforce/proxy/visit.h"
#include "sdk/error.h"

static void on_bridge_failed(void *data, struct net_request *req, uint32_t status,
                             const struct nt_error *reason)
{
    struct visit *v = data;
    v->is_answered = false;
    if (status)
        visit_answer(v, status >= 400 ? status : 502, "the upstream refused the WebSocket");
    else
        visit_fail(v, reason);
}

static void on_bridged(void *data)
{
    struct visit *v = data;
    v->bridge = NULL;
    v->req = NULL;
    visit_settle(v);
}

static bool scrub(void *data, struct net_header *h)
{
    struct visit *v = data;
    return !v->route || inject_scrub(v, h);
}

void visit_carry(struct visit *v, const struct net_address *to, const char *target,
                 const struct net_header *headers, uint32_t count)
{
    struct nt_error error = NT_ERROR_INIT;
    v->is_answered = true;
    if (net_request_is_websocket(v->req)) {
        struct bridge_options options = { .to = *to,
                                          .target = target,
                                          .headers = headers,
                                          .count = count,
                                          .failed = on_bridge_failed,
                                          .done = on_bridged,
                                          .data = v };
        if (bridge_new(&v->proxy->uv, v->req, &options, &v->bridge, &error) < 0)
            visit_on_failed(v, v->req, &error);
        return;
    }
    struct net_forward_options options = {
        .pool = v->proxy->is_stopping ? NULL : v->proxy->pool,
        .to = *to,
        .connect_ms = VISIT_CONNECT_MS,
        .target = target,
        .headers = headers,
        .count = count,
        .body = { nt_buf_text(&v->body), v->body.size },
        .has_body = v->has_body,
        .body_max = VISIT_BODY_MAX,
        .header = scrub,
        .failed = visit_on_failed,
        .done = visit_on_forwarded,
        .data = v,
    };
    if (net_forward_new(&v->proxy->uv, v->req, &options, &v->forward, &error) < 0)
        visit_on_failed(v, v->req, &error);
}
