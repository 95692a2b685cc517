/* SPDX-License-Identifier: Apache-2.0 */
/* router.h - inside http/: where requests come from, and what an exchange is made of.
 *
 * Handlers use exchange.h only; server.c gives listeners to router_request. */
#ifndef NT_SERVE_HTTP_ROUTER_H
#define NT_SERVE_HTTP_ROUTER_H

#include "plugins/serve/http/exchange.h"
#include "plugins/serve/http/target.h"
#include "sdk/buf.h"

#define API_LEVEL 1
#define API_LEVEL_TEXT "1"

/* A place where clients connect. */
struct listener {
    struct server *server;
    struct net_server *net;
    struct listener *next;
    bool is_unix;
    bool is_embedded; /* the socket of the runtime folder */
    bool is_loopback;
    bool tls;
    uint16_t port;
    char text[280]; /* as shown: "unix:/run/…", "http://127.0.0.1:8080" */
    /* further names that a Host header may have; borrowed while the server lives */
    const char *const *names;
    uint32_t name_count;
};

struct exchange {
    struct server *server;
    const struct listener *listener;
    struct net_request *req; /* NULL: lost, done or detached */
    const struct route *route;
    struct target target;
    const char *params[TARGET_PARAMS];
    struct principal principal;
    char request_id[68];
    uint64_t begun_ns; /* uv_hrtime */
    struct nt_buf body;
    json_t *json;
    struct target form;    /* its query */
    struct nt_timer *drip; /* exchange_hold_open */
    void (*lost)(void *data);
    void *lost_data;
    struct exchange *next_dead;
    bool started; /* the handler was called */
    bool answered;
    bool detached;
    bool held_open; /* the 200 head has left */
    bool is_wide;
};

/* net_server_options.request; data is the struct listener. */
void router_request(void *data, struct net_request *req);
/* The row for a method and a target: 0 and ret; else the status of the refusal, with the allowed
 * methods for 405. */
uint32_t router_find(const char *method, const struct target *target, const struct route **ret,
                     const char *ret_params[TARGET_PARAMS], struct nt_buf *ret_allowed);
/* All tables of routes, NULL at the end. */
extern const struct routes *const router_tables[];

/* exchange.c */
struct exchange *exchange_new(const struct listener *listener, struct net_request *req);
/* Its peer is gone or was answered: nothing is sent any more. Frees it when nobody needs it. */
void exchange_gone(struct exchange *x);
/* Frees what exchange_detach left; called by the loop between its rounds. */
void exchange_bury(struct exchange **dead);

/* auth.c: decides who asks; calls answer_with the principal set in x, or fails the exchange. May be
 * at once or later. */
void auth_check(struct exchange *x, void (*granted)(struct exchange *x));

/* browser.c: Host and Origin rules; false: refused (answered 403). */
#define BROWSER_NAME_MAX 256u
bool browser_check(struct exchange *x);
/* True when the Host header names this TCP listener. Tested alone. */
bool browser_host_is_ours(const struct listener *listener, const char *host);
/* True when an Origin ("http://localhost:8080") is the same as the Host of the request. */
bool browser_is_same_origin(const char *origin, const char *host);

#endif
