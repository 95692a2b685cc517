/* SPDX-License-Identifier: Apache-2.0 */
/* exchange.c - one API request and its answer: what a handler may ask, and the forms of answers. */
#include "exchange.h"

#include <errno.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nanoterm/local.h"
#include "plugins/serve/http/router.h"
#include "plugins/serve/measure.h"
#include "plugins/serve/server.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define MORE_MAX 5
#define DRIP_MS 5000 /* nullspace clients give up after 30 s without a byte */

static bool is_request_id(const char *text)
{
    size_t size = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.");
    return size > 0 && size < 64 && text[size] == '\0';
}

struct exchange *exchange_new(const struct listener *listener, struct net_request *req)
{
    struct exchange *x = calloc(1, sizeof(*x));
    if (!x)
        return NULL;
    x->server = listener->server;
    x->listener = listener;
    x->req = req;
    x->begun_ns = uv_hrtime();
    const char *wire = net_request_header(req, "X-Nanoterm-Wire");
    x->is_wide = wire && strcmp(wire, "1") == 0;
    const char *id = net_request_header(req, "X-Request-Id");
    if (id && is_request_id(id)) {
        snprintf(x->request_id, sizeof(x->request_id), "%s", id);
    } else {
        unsigned char random[8];
        char hex[2 * sizeof(random) + 1];
        randombytes_buf(random, sizeof(random));
        sodium_bin2hex(hex, sizeof(hex), random, sizeof(random));
        snprintf(x->request_id, sizeof(x->request_id), "req_%s", hex);
    }
    listener->server->exchanges++;
    return x;
}

static void exchange_free(struct exchange *x)
{
    x->server->exchanges--;
    if (x->drip)
        x->server->loop->ops->timer_end(x->drip);
    target_done(&x->target);
    target_done(&x->form);
    nt_buf_done(&x->body);
    json_decref(x->json);
    free(x);
}

/* Frees it between two rounds of the loop: callers up the stack may still look at it. */
static void bury_later(struct exchange *x)
{
    x->next_dead = x->server->dead_exchanges;
    x->server->dead_exchanges = x;
    server_wake(x->server);
}

void exchange_bury(struct exchange **dead)
{
    struct exchange *x = *dead;
    *dead = NULL;
    while (x) {
        struct exchange *next = x->next_dead;
        exchange_free(x);
        x = next;
    }
}

void exchange_gone(struct exchange *x)
{
    x->req = NULL;
    if (x->drip)
        x->server->loop->ops->timer_end(nt_take(x->drip));
    if (x->answered || !x->started) {
        bury_later(x);
        return;
    }
    void (*lost)(void *data) = x->lost;
    x->lost = NULL;
    if (lost)
        lost(x->lost_data);
}

const char *exchange_param(const struct exchange *x, unsigned index)
{
    return index < TARGET_PARAMS && x->params[index] ? x->params[index] : "";
}

const char *exchange_query(const struct exchange *x, const char *name)
{
    return target_query(&x->target, name);
}

const char *exchange_form(const struct exchange *x, const char *name)
{
    return target_query(&x->form, name);
}

json_t *exchange_json(const struct exchange *x)
{
    return x->json;
}

bool exchange_is_wide(const struct exchange *x)
{
    return x->is_wide;
}

const struct principal *exchange_principal(const struct exchange *x)
{
    return &x->principal;
}

const char *exchange_request_id(const struct exchange *x)
{
    return x->request_id;
}

struct net_request *exchange_request(const struct exchange *x)
{
    return x->req;
}

struct server *exchange_server(const struct exchange *x)
{
    return x->server;
}

void exchange_on_lost(struct exchange *x, void (*lost)(void *data), void *data)
{
    x->lost = lost;
    x->lost_data = data;
}

uint32_t exchange_headers(const struct exchange *x, struct net_header ret[EXCHANGE_HEADERS])
{
    return exchange_headers_for(x->request_id, ret);
}

uint32_t exchange_headers_for(const char *request_id, struct net_header ret[EXCHANGE_HEADERS])
{
    ret[0] = (struct net_header){ NT_BUILD_HEADER, NT_VERSION };
    ret[1] = (struct net_header){ "X-Nanoterm-Api-Level", API_LEVEL_TEXT };
    ret[2] = (struct net_header){ "X-Request-Id", request_id };
    ret[3] = (struct net_header){ "Cache-Control", "no-store" };
    return EXCHANGE_HEADERS;
}

static void respond(struct exchange *x, uint32_t status, const char *content_type,
                    struct nt_bytes body, const struct net_header *more, uint32_t more_count)
{
    struct net_header headers[EXCHANGE_HEADERS + 1 + MORE_MAX];
    uint32_t count = exchange_headers(x, headers);
    if (content_type)
        headers[count++] = (struct net_header){ "Content-Type", content_type };
    for (uint32_t i = 0; i < more_count; i++)
        headers[count++] = more[i];
    net_respond(x->req, status, headers, count, body);
}

/* The one way out of every answer. Takes body (NULL: an answer without one). */
static void answer(struct exchange *x, uint32_t status, json_t *body, const struct net_header *more)
{
    char *text = body ? json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    json_decref(body);
    if (x->answered) {
        free(text);
        return;
    }
    x->answered = true;
    measure_request(x->route, status, (uv_hrtime() - x->begun_ns) / 1000);
    x->lost = NULL;
    if (x->drip)
        x->server->loop->ops->timer_end(nt_take(x->drip));
    if (!x->req) { /* the peer has left: nobody hears it, and `done` has been */
        free(text);
        bury_later(x);
        return;
    }
    if (x->held_open) {
        if (text)
            net_respond_write(x->req, (struct nt_bytes){ text, strlen(text) });
        net_respond_end(x->req);
    } else {
        respond(x, status, text ? "application/json" : NULL,
                (struct nt_bytes){ text, text ? strlen(text) : 0 }, more, more ? 1 : 0);
    }
    free(text);
}

void exchange_send_json(struct exchange *x, uint32_t status, json_t *body)
{
    if (!body) {
        exchange_fail(x, 500, "internal_error", "the answer could not be made");
        return;
    }
    answer(x, status, body, NULL);
}

static void send_bytes(struct exchange *x, uint32_t status, const char *content_type,
                       struct nt_bytes text, const struct net_header *more, uint32_t more_count)
{
    if (x->answered)
        return;
    x->answered = true;
    measure_request(x->route, status, (uv_hrtime() - x->begun_ns) / 1000);
    x->lost = NULL;
    if (x->req)
        respond(x, status, content_type, text, more, more_count);
    else
        bury_later(x);
}

void exchange_send_text(struct exchange *x, uint32_t status, const char *content_type,
                        struct nt_bytes text)
{
    send_bytes(x, status, content_type, text, NULL, 0);
}

void exchange_send_page(struct exchange *x, uint32_t status, struct nt_bytes html,
                        const char *policy, const char *location)
{
    /* A page without any referrer would send its form with "Origin: null". */
    const struct net_header more[MORE_MAX] = {
        { "Content-Security-Policy", policy },
        { "Referrer-Policy", location ? "no-referrer" : "same-origin" },
        { "X-Content-Type-Options", "nosniff" },
        { "X-Frame-Options", "DENY" },
        { "Location", location },
    };
    send_bytes(x, status, "text/html; charset=utf-8", html, more,
               location ? MORE_MAX : MORE_MAX - 1);
}

void exchange_send_empty(struct exchange *x, uint32_t status)
{
    answer(x, status, NULL, NULL);
}

/* A text that jansson takes: not UTF-8 is shown escaped. */
static json_t *text_value(const char *text)
{
    json_t *value = json_string(text);
    if (value)
        return value;
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(4096);
    nt_buf_add_printable(&b, text, false);
    return json_string(nt_buf_text(&b));
}

static void fail_with(struct exchange *x, uint32_t status, const char *code, const char *message,
                      bool retryable, const char *hint, const struct net_header *more)
{
    json_t *body = json_object();
    json_object_set_new(body, "error", text_value(message));
    json_object_set_new(body, "code", json_string(code));
    json_object_set_new(body, "request_id", json_string(x->request_id));
    json_object_set_new(body, "retryable", json_boolean(retryable));
    if (hint && *hint)
        json_object_set_new(body, "suggested_action", text_value(hint));
    answer(x, status, body, more);
}

static void fail(struct exchange *x, uint32_t status, const char *code, const char *message,
                 bool retryable, const char *hint)
{
    struct net_header header = { 0 };
    if (status == 429)
        header = (struct net_header){ "Retry-After", "1" };
    else if (status == 401)
        header = (struct net_header){ "WWW-Authenticate", "Bearer" };
    else if (status == 426)
        header = (struct net_header){ "Upgrade", "websocket" };
    fail_with(x, status, code, message, retryable, hint, header.name ? &header : NULL);
}

void exchange_fail_method(struct exchange *x, const char *allowed)
{
    char message[300];
    snprintf(message, sizeof(message), "this route takes %.256s", allowed);
    fail_with(x, 405, "method_not_allowed", message, false, NULL,
              &(struct net_header){ "Allow", allowed });
}

void exchange_fail(struct exchange *x, uint32_t status, const char *code, const char *format, ...)
{
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    char line[sizeof(message)];
    nt_copy_text(line, sizeof(line), message);
    fail(x, status, code, line, status == 429 || status == 503, NULL);
}

/* How an error of ours is said on the wire. */
static const struct {
    uint32_t code;
    uint32_t status;
    const char *text;
} wire_errors[] = {
    { NT_E_USAGE, 400, "invalid_request" },
    { NT_E_INVALID, 400, "invalid_request" },
    { NT_E_AUTH, 401, "unauthorized" },
    { NT_E_FORBIDDEN, 403, "forbidden" },
    { NT_E_NOT_FOUND, 404, "not_found" },
    { NT_E_CONFLICT, 409, "conflict" },
    { NT_E_LIMIT, 413, "invalid_request" },
    { NT_E_QUOTA, 429, "quota_exceeded" },
    { NT_E_RATE_LIMIT, 429, "rate_limit_exceeded" },
    { NT_E_TIMEOUT, 504, "timeout" },
    { NT_E_CANCELLED, 503, "cancelled" },
    { NT_E_RUNTIME, 502, "exec_failed" },
    { NT_E_UNSUPPORTED, 501, "not_implemented" },
    { NT_E_NOT_BUILT, 501, "not_implemented" },
    { NT_E_UNAVAILABLE, 503, "sandbox_unavailable" },
    { NT_E_CLOSED, 503, "sandbox_unavailable" },
    { NT_E_CONNECT, 503, "sandbox_unavailable" },
    { NT_E_RESPONSE, 502, "sandbox_unavailable" },
    { NT_E_BYTE_MISMATCH, 400, "FILE_WRITE_BYTE_MISMATCH" },
    { NT_E_CLIENT_OLD, 426, "CLI_VERSION_TOO_OLD" },
};

void exchange_fail_error(struct exchange *x, const struct nt_error *error)
{
    uint32_t status = 500;
    const char *code = "internal_error";
    for (size_t i = 0; i < sizeof(wire_errors) / sizeof(wire_errors[0]); i++)
        if (wire_errors[i].code == error->code) {
            status = wire_errors[i].status;
            code = wire_errors[i].text;
        }
    if (error->status >= 400)
        status = error->status;
    if (error->server_code[0])
        code = error->server_code;
    if (status == 500 && (error->sys == ENOSPC || error->sys == EDQUOT)) {
        fail(x, 507, "disk_full", error->message, true,
             "make room on the server's disk, and try again");
        return;
    }
    fail(x, status, code, error->message, error->retryable != 0, error->hint);
}

static void drip(void *data)
{
    struct exchange *x = data;
    if (x->req && !x->answered)
        net_respond_write(x->req, (struct nt_bytes){ " ", 1 });
}

void exchange_hold_open(struct exchange *x)
{
    if (!x->req || x->answered || x->held_open)
        return;
    /* Without a timer the answer still comes, only without the spaces. */
    x->drip = x->server->loop->ops->timer(x->server->loop, DRIP_MS, DRIP_MS, drip, x);
    struct net_header headers[EXCHANGE_HEADERS + 1];
    uint32_t count = exchange_headers(x, headers);
    headers[count++] = (struct net_header){ "Content-Type", "application/json" };
    x->held_open = true;
    net_respond_head(x->req, 200, headers, count, -1);
}

void exchange_detach(struct exchange *x)
{
    if (x->detached)
        return;
    x->detached = true;
    x->answered = true;
    measure_request(x->route, 101, (uv_hrtime() - x->begun_ns) / 1000);
    x->lost = NULL;
    if (x->drip)
        x->server->loop->ops->timer_end(nt_take(x->drip));
    if (x->req) {
        static const struct net_request_events none = { 0 };
        net_request_handle(x->req, &none, NULL);
        x->req = NULL;
    }
    bury_later(x);
}
