/* SPDX-License-Identifier: Apache-2.0 */
/* exchange.h - one API request and its answer, as a handler sees it: who asks, for what, and how to
 * answer.
 *
 * The router (http/router.c) makes it, checks the credential, matches the route, reads and parses
 * the JSON body when the route wants one, and calls the handler once. The handler answers exactly
 * once, now or later. An exchange lives until it was answered; when the peer is lost meanwhile,
 * answering does nothing and `lost` (if set) is called. */
#ifndef NT_SERVE_EXCHANGE_H
#define NT_SERVE_EXCHANGE_H

#include <jansson.h>
#include <stdbool.h>

#include "core/net/net.h"

struct server; /* server.h */
struct exchange;

/* Who asks. */
struct principal {
    char id[44];     /* of the key or of the local user */
    char org_id[44]; /* the organisation in force; every row read or written has it */
    /* came over the Unix socket with uid and local token: may name files and private addresses */
    bool is_local;
};

typedef void exchange_handler(struct server *server, struct exchange *x);

#define ROUTE_OPEN 0x1u /* no credential needed (/healthz) */
/* the body is JSON, read before the handler is called; absent: exchange_json is NULL */
#define ROUTE_JSON 0x2u
#define ROUTE_RAW 0x4u       /* the handler reads the body itself from exchange_request */
#define ROUTE_WEBSOCKET 0x8u /* an upgrade; refused with 426 otherwise */

/* a URL with a token of api/file_urls.c is a credential, too */
#define ROUTE_SIGNED 0x10u

/* the body is a form of a page (application/x-www-form-urlencoded), read before the handler is
 * called */
#define ROUTE_FORM 0x20u

/* A row of a resource's table: "/v1/sandboxes/{}/files/read"; {} is one path segment, decoded. */
struct route {
    const char *method;
    const char *pattern;
    exchange_handler *handler;
    uint32_t flags;
    uint32_t max_body_bytes; /* ROUTE_JSON; 0: 1 MiB */
};

/* Tables of routes, one per file of api/; listed in http/router.c. */
struct routes {
    const struct route *rows;
    size_t count;
};

const char *exchange_param(const struct exchange *x, unsigned index); /* decoded path segment */
const char *exchange_query(const struct exchange *x,
                           const char *name); /* decoded, '+' is a space; NULL: absent */
/* A field of the form, decoded; NULL: absent. */
const char *exchange_form(const struct exchange *x, const char *name);
json_t *exchange_json(const struct exchange *x); /* borrowed; NULL: no body */
bool exchange_is_wide(const struct exchange *x); /* X-Nanoterm-Wire: 1 */
const struct principal *exchange_principal(const struct exchange *x);
const char *exchange_request_id(const struct exchange *x);
struct net_request *exchange_request(const struct exchange *x);
struct server *exchange_server(const struct exchange *x);

/* Breaks every connection that was last used with this key, but the one of x: what is open there, a
 * shell for example, would stay for as long as it likes. */
void exchange_cut(struct exchange *x, const char *key_id);

/* Called when the peer is lost before the answer: stop the work. Not called after the answer. */
void exchange_on_lost(struct exchange *x, void (*lost)(void *data), void *data);

/* Answers: takes the reference of `body`. */
void exchange_send_json(struct exchange *x, uint32_t status, json_t *body);
/* Text of another kind than JSON; copied. */
void exchange_send_text(struct exchange *x, uint32_t status, const char *content_type,
                        struct nt_bytes text);
/* A page for people, or (location) where the browser shall go, with the headers that keep it to
 * itself; policy: Content-Security-Policy. */
void exchange_send_page(struct exchange *x, uint32_t status, struct nt_bytes html,
                        const char *policy, const char *location);
void exchange_send_empty(struct exchange *x, uint32_t status);
/* The flat error envelope {"error","code","request_id","retryable"[,"suggested_action"]}. */
void exchange_fail(struct exchange *x, uint32_t status, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The same from an error value: status and code by its row. */
void exchange_fail_error(struct exchange *x, const struct nt_error *error);

/* 405, with the methods that there are: "GET, PUT". */
void exchange_fail_method(struct exchange *x, const char *allowed);

/* For answers that begin early (a long exec whose client reads with a time limit): sends the 200
 * head and then a space every few seconds until exchange_send_json. After it exchange_fail can only
 * send a JSON body with status 200. */
void exchange_hold_open(struct exchange *x);

/* The headers that every answer has, for those that are not made here; valid as long as x. Returns
 * how many. */
#define EXCHANGE_HEADERS 4u
uint32_t exchange_headers(const struct exchange *x, struct net_header ret[EXCHANGE_HEADERS]);
/* The same after exchange_detach: valid as long as request_id. */
uint32_t exchange_headers_for(const char *request_id, struct net_header ret[EXCHANGE_HEADERS]);

/* The handler takes over exchange_request (fetched before): it sets its own events with
 * net_request_handle after this call, and answers there. The exchange is freed before the loop's
 * next round: copy what is needed of it. */
void exchange_detach(struct exchange *x);

#endif
