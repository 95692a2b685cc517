/* SPDX-License-Identifier: Apache-2.0 */
/* router.c - from a request's head to its handler: target, rules for browsers, route, credential,
 * body, in this order. */
#include "router.h"

#include <stdlib.h>
#include <string.h>

#include "plugins/serve/api/routes.h"
#include "plugins/serve/http/json_text.h"
#include "plugins/serve/server.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define BODY_MAX (1024u * 1024u)

const struct routes *const router_tables[] = {
    &health_routes,
    &metrics_routes,
    &stats_routes,
    &local_routes,
    &sandbox_routes,
    &sandbox_state_routes,
    &sandbox_watch_routes,
    &exec_routes,
    &exec_ws_routes,
    &process_routes,
    &job_routes,
    &files_routes,
    &file_search_routes,
    &file_batch_routes,
    &file_url_routes,
    &file_routes,
    &tree_routes,
    &fd_routes,
    &clone_routes,
    &port_routes,
    &port_connect_routes,
    &port_ready_routes,
    &openapi_routes,
    &pty_routes,
    &cli_auth_routes,
    &key_routes,
    &upload_routes,
    NULL,
};

/* What clients of the nullspace API ask for and this server has not: it exists, but not here. Each
 * with all that is below it. */
static const char *const not_built[] = {
    "/v1/agent-deployments",
    "/v1/lifecycle",
    "/v1/monitor",
    "/v1/snapshots",
    "/v1/template-warm-pools",
    "/v1/templates",
    "/v1/volumes",
    "/v1/sandboxes/{}/code",
    "/v1/sandboxes/{}/desktop",
    "/v1/sandboxes/{}/fork",
    "/v1/sandboxes/{}/lifecycle",
    "/v1/sandboxes/{}/preview-urls",
    "/v1/sandboxes/{}/snapshots",
    "/v1/sandboxes/{}/ssh-access",
    "/v1/sandboxes/{}/volumes",
    "/v1/sandboxes/{}/ports/{}/preview-proxy-target",
    "/v1/sandboxes/{}/ports/{}/preview-url",
    "/v1/sandboxes/{}/ports/{}/signed-preview-url",
};

static bool is_not_built(const struct target *target)
{
    struct target begin = *target;
    const char *params[TARGET_PARAMS];
    for (; begin.count > 0; begin.count--)
        for (size_t i = 0; i < sizeof(not_built) / sizeof(not_built[0]); i++)
            if (target_matches(&begin, not_built[i], params))
                return true;
    return false;
}

uint32_t router_find(const char *method, const struct target *target, const struct route **ret,
                     const char *ret_params[TARGET_PARAMS], struct nt_buf *ret_allowed)
{
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    bool is_there = false;
    for (const struct routes *const *table = router_tables; *table; table++)
        for (size_t i = 0; i < (*table)->count; i++) {
            const struct route *row = &(*table)->rows[i];
            const char *params[TARGET_PARAMS] = { NULL };
            if (!target_matches(target, row->pattern, params))
                continue;
            if (strcmp(row->method, wanted) == 0) {
                memcpy(ret_params, params, sizeof(params));
                *ret = row;
                nt_buf_reset(ret_allowed);
                return 0;
            }
            nt_buf_add(ret_allowed, is_there ? ", " : "");
            nt_buf_add(ret_allowed, row->method);
            is_there = true;
        }
    return is_there ? 405 : is_not_built(target) ? 501 : 404;
}

static void call_handler(struct exchange *x)
{
    x->started = true;
    x->route->handler(x->server, x);
}

static void on_body(void *data, struct net_request *req, struct nt_bytes bytes)
{
    struct exchange *x = data;
    if (x->answered || !x->body.max)
        return;
    nt_buf_add_bytes(&x->body, bytes.data, bytes.size);
    if (!nt_buf_ok(&x->body))
        exchange_fail(x, 413, "invalid_request", "the body is larger than %zu bytes", x->body.max);
}

/* A form is spelled like a query. */
static bool read_form(struct exchange *x)
{
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(BODY_MAX + 8);
    struct nt_error error = NT_ERROR_INIT;
    nt_buf_add(&text, "/?");
    nt_buf_add_bytes(&text, x->body.data, x->body.size);
    if (!nt_buf_ok(&text) || strlen(nt_buf_text(&text)) != text.size
        || target_parse(nt_buf_text(&text), &x->form, &error) < 0) {
        exchange_fail(x, 400, "invalid_request", "the body is not a form");
        return false;
    }
    return true;
}

static void on_body_end(void *data, struct net_request *req)
{
    struct exchange *x = data;
    if (x->answered || !x->body.max)
        return;
    if (x->body.size > 0 && (x->route->flags & ROUTE_FORM)) {
        if (!read_form(x))
            return;
    } else if (x->body.size > 0) {
        x->json = json_text_parse(x->body.data, x->body.size);
        if (!x->json) {
            exchange_fail(x, 400, "invalid_request", "the body is not valid JSON");
            return;
        }
    }
    nt_buf_done(&x->body);
    call_handler(x);
}

static void on_done(void *data, struct net_request *req, const struct nt_error *reason)
{
    exchange_gone(data);
}

static const struct net_request_events events = { .body = on_body,
                                                  .body_end = on_body_end,
                                                  .done = on_done };

/* The credential was good. */
static void on_granted(struct exchange *x)
{
    if (!x->req) { /* it left while the key was looked up */
        exchange_send_empty(x, 204);
        return;
    }
    uint32_t max = x->route->max_body_bytes ? x->route->max_body_bytes : BODY_MAX;
    int64_t length = net_request_length(x->req);
    if (!(x->route->flags & (ROUTE_JSON | ROUTE_FORM)) || length == 0) {
        call_handler(x);
    } else if (length > max) {
        exchange_fail(x, 413, "invalid_request", "the body is larger than %u bytes", max);
    } else {
        x->started = false; /* only this file holds it now */
        x->body = (struct nt_buf)NT_BUF(max);
        net_request_grant(x->req, (uint64_t)max + 1);
    }
}

/* Clients name themselves; others than nanoterm have versions of their own. */
static bool is_too_old(const struct exchange *x, struct nt_error *reterr)
{
    static const char name[] = "nanoterm/";
    const char *wanted = x->server->options ? x->server->options->min_client : NULL;
    const char *agent = net_request_header(x->req, "User-Agent");
    char version[32];
    if (!wanted || !*wanted || !agent || strncmp(agent, name, sizeof(name) - 1) != 0)
        return false;
    nt_copy_text(version, sizeof(version), agent + sizeof(name) - 1);
    version[strcspn(version, " ")] = '\0';
    if (strverscmp(version, wanted) >= 0)
        return false;
    nt_fail(reterr, NT_E_CLIENT_OLD, "this nanoterm is %s, and the API needs %s or newer", version,
            wanted);
    nt_hint(reterr, "run 'npm install -g @nanoterm/cli@latest' and try again");
    return true;
}

void router_request(void *data, struct net_request *req)
{
    const struct listener *listener = data;
    struct exchange *x = exchange_new(listener, req);
    if (!x) {
        net_respond(req, 503, NULL, 0, (struct nt_bytes){ NULL, 0 });
        return;
    }
    net_request_handle(req, &events, x);

    struct nt_error error = NT_ERROR_INIT;
    if (target_parse(net_request_target(req), &x->target, &error) < 0) {
        exchange_fail_error(x, &error);
        return;
    }
    if (!browser_check(x))
        return;
    nt_auto(nt_buf_done) struct nt_buf allowed = NT_BUF(256);
    uint32_t refusal =
        router_find(net_request_method(req), &x->target, &x->route, x->params, &allowed);
    /* Whether it is well is told to everybody. */
    bool is_open = refusal == 0 && (x->route->flags & ROUTE_OPEN);
    if (!is_open && is_too_old(x, &error)) {
        exchange_fail_error(x, &error);
    } else if (refusal == 404) {
        exchange_fail(x, 404, "not_found", "there is no such route");
    } else if (refusal == 501) {
        exchange_fail(x, 501, "not_implemented", "this server does not have that");
    } else if (refusal) {
        exchange_fail_method(x, nt_buf_text(&allowed));
    } else if ((x->route->flags & ROUTE_WEBSOCKET) && !net_request_is_websocket(req)) {
        exchange_fail(x, 426, "invalid_request", "this route is a WebSocket");
    } else if (x->route->flags & ROUTE_OPEN) {
        on_granted(x);
    } else {
        x->started = true; /* auth_check holds it until it calls or answers */
        auth_check(x, on_granted);
    }
}
