/* SPDX-License-Identifier: Apache-2.0 */
/* visit.h - what the files of the proxy share: the proxy, its routes, and one request. Private to
 * this folder. */
#ifndef NT_ENFORCE_PROXY_VISIT_H
#define NT_ENFORCE_PROXY_VISIT_H

#include <pthread.h>

#include "core/net/net.h"
#include "plugins/sandbox-enforce/proxy/aws.h"
#include "plugins/sandbox-enforce/proxy/capture.h"
#include "plugins/sandbox-enforce/proxy/oauth.h"
#include "plugins/sandbox-enforce/proxy/proxy.h"
#include "plugins/sandbox-enforce/proxy/secret.h"
#include "plugins/sandbox-enforce/proxy/source.h"
#include "sdk/buf.h"

enum {
    VISIT_AUTHORITY_MAX = 320,
    VISIT_CONNECT_MS = 30 * 1000,
    VISIT_BODY_MAX = 16 * 1024 * 1024,
    VISIT_HEAD_MAX = 64 * 1024,
    VISIT_HEADERS_MAX = 100,
    VISIT_SCRUBBED_MAX = 8,
};

/* A route with what was made of it at the start. */
struct route {
    const struct policy_route *policy;
    char *memory;          /* of the texts in `to` and `base` */
    struct net_address to; /* the upstream */
    const char *base;      /* path of the upstream, without a slash at its end */
    char *authority;       /* "host:port" for Host and for messages */
    struct secret secret;  /* of its key */
    char *certificates;    /* PEM, shown to the upstream */
    struct secret tls_key;
    struct net_identity identity;           /* both, in `to` */
    struct secret client_id, client_secret; /* of its auth */
    struct oauth *oauth;                    /* that asks for the credential; NULL: it is `secret` */
    struct capture *capture;                /* the same of a command */
    struct aws_keys aws;                    /* that sign its requests */
    const char *broken; /* what could not be read, why its requests are refused; NULL: nothing */
};

struct authority;

struct proxy {
    const struct policy *policy;
    struct denials *denials;
    char token[PROXY_TOKEN_SIZE];
    uint32_t connections_max;
    uint32_t tunnels;
    struct route *routes;
    size_t route_count;

    uv_loop_t uv;
    uv_async_t wake; /* asks the thread to end */
    uv_poll_t poll;
    int listener;
    bool is_accepting, is_stopping;
    uv_timer_t pause; /* without descriptors or memory: nobody is let in for a moment */
    struct net_server *server;
    struct net_server *inner;    /* speaks TLS for the hosts beyond; NULL: there are none */
    struct authority *authority; /* that signs for them; NULL: TLS is not ended here */
    struct net_pool *pool;
    struct visit *visits;
    size_t bodies; /* bytes that wait to be signed */
    pthread_t thread;
};

/* One request; it waits for one of these at a time. */
struct visit {
    struct proxy *proxy;
    struct visit *next, *prev;
    struct net_request *req; /* NULL when it is done */
    const char *act;         /* of a denial: "connect", "request" */
    char authority[VISIT_AUTHORITY_MAX];
    char memory[VISIT_AUTHORITY_MAX + 16];
    struct net_address to;
    bool is_loopback_named; /* the name itself means this machine */
    bool is_answered;
    bool is_intercepted; /* a CONNECT whose TLS ends here */
    bool is_inner;       /* a request within such a one, which has shown the token */
    bool is_limited;     /* endpoints have allowed it */
    bool tells_path;     /* it is refused for its path */
    char *path;          /* with the query, as it was judged; NULL: as it came */

    struct net_lookup *lookup;
    void (*found)(struct visit *v, const struct sockaddr_storage *addresses, uint32_t count);
    struct net_dial *dial;
    struct chain *chain; /* asking the upstream proxy */
    int fd;              /* outside */
    struct net_tunnel *tunnel;
    struct net_forward *forward;
    struct bridge *bridge; /* a WebSocket */

    const struct route *route;
    struct token *token;   /* the credential, when it had to be asked for; a reference */
    struct source *source; /* that it waits for; NULL: it does not */
    struct visit *next_waiting;
    struct nt_buf body; /* read as a whole, to be signed */
    bool is_reading, has_body;
    char *scrubbed[VISIT_SCRUBBED_MAX]; /* headers of the answer without the credential */
    uint32_t scrubbed_count;
};

/* proxy.c: another connection may come in. */
void proxy_tunnel_ended(struct proxy *proxy);

/* routes.c: those of the policy with their credentials, into p->routes, which has room. What cannot
 * be read is told. */
int routes_init(struct proxy *p, const struct proxy_options *options, struct nt_error *reterr);
void routes_wipe(struct proxy *p); /* the credentials only */
void routes_done(struct proxy *p);
char *routes_authority(const struct net_address *to);

/* visit.c */
void visit_begin(struct proxy *proxy, struct net_request *req);
void visit_cancel(struct visit *v);
void visit_settle(struct visit *v); /* frees it when nothing is open any more */
/* Answers with that status and TEXT, one line. */
void visit_answer(struct visit *v, uint32_t status, const char *text);
/* The same, and remembers the denial. RULE is also the text. */
void visit_refuse(struct visit *v, uint32_t status, const char *rule, const char *grant);
/* 502 */
void visit_fail(struct visit *v, const struct nt_error *reason);
/* Callbacks of what carries a request on, with the visit as data: it could not be carried; it was,
 * to its end. */
void visit_on_failed(void *data, struct net_request *req, const struct nt_error *reason);
void visit_on_forwarded(void *data, uint32_t answered);
/* target.c: "host[:port]" into authority and `to`; false: it is none. */
bool visit_target(struct visit *v, const char *text, size_t size, bool needs_port);
/* Looks `to` up; calls found with addresses that may be connected to, or answers. */
void visit_look(struct visit *v,
                void (*found)(struct visit *v, const struct sockaddr_storage *addresses,
                              uint32_t count));
/* Name, allow-list, routes: true, or it was answered. PATH: of a request that we see; NULL: a
 * tunnel, or one whose TLS ends here (is_intercepted). */
bool visit_judge(struct visit *v, const char *path);
/* A new one for REQ, among those of the proxy; NULL: it was answered. */
struct visit *visit_new(struct proxy *proxy, struct net_request *req);
/* Does this host lie beyond the upstream proxy? */
bool proxy_is_chained(const struct proxy *proxy, const char *host);
/* The same for `to`, which is never when the name itself means this machine. */
bool visit_is_chained(const struct visit *v);

/* The kinds of requests. */
void tunnel_begin(struct visit *v);
void plain_begin(struct visit *v);
void route_begin(struct visit *v);
/* The visit has a route and a path below its upstream. */
void route_enter(struct visit *v);
/* intercept.c: a CONNECT that was judged; a request within it. */
void intercept_begin(struct visit *v);
void intercept_request(void *proxy, struct net_request *req);
const struct net_request_events *visit_events(void);
/* Headers of the request for the next server: how many. */
uint32_t visit_headers(const struct visit *v, struct net_header ret[VISIT_HEADERS_MAX],
                       bool (*keeps)(const struct visit *v, const struct net_header *h));

/* Headers that go on to a host without a route: none with our token, and none that makes another
 * request of the one that was judged. */
bool visit_keeps(const struct visit *v, const struct net_header *h);
bool visit_is_override(const char *name);
/* carry.c: a request that was judged goes on to TO, as a WebSocket when it is one. HEADERS are
 * those of visit_headers and Host. */
void visit_carry(struct visit *v, const struct net_address *to, const char *target,
                 const struct net_header *headers, uint32_t count);

/* chain.c: CONNECT through another proxy, on a connected descriptor (taken). done comes once,
 * later, with the descriptor (the receiver's) or -1 and why; the chain is gone after it. */
struct chain;
int chain_new(uv_loop_t *uv, int fd, const char *authority,
              void (*done)(void *data, int fd, const struct nt_error *error), void *data,
              struct chain **ret, struct nt_error *reterr);
void chain_cancel(struct chain *chain); /* nobody is told; NULL is nothing */

/* bridge.c: a WebSocket of the program and one of the upstream, message by message. Takes the
 * request's callbacks. failed: it was not accepted there; answer now. done: last. */
struct bridge;
struct bridge_options {
    struct net_address to;
    const char *target;
    const struct net_header *headers;
    uint32_t count;
    void (*failed)(void *data, struct net_request *req, uint32_t status,
                   const struct nt_error *reason);
    void (*done)(void *data);
    void *data;
};
int bridge_new(uv_loop_t *uv, struct net_request *req, const struct bridge_options *options,
               struct bridge **ret, struct nt_error *reterr);
void bridge_cancel(struct bridge *bridge);

/* token.c: does VALUE carry the token? Compared in constant time. */
bool token_is(const struct proxy *proxy, const char *value, size_t size);
/* "Basic base64(any:TOKEN)" or "Bearer TOKEN". */
bool token_in_authorization(const struct proxy *proxy, const char *value);
/* "TOKEN", "word TOKEN", or FORMAT with it. */
bool token_in_header(const struct proxy *proxy, const char *value, const char *format);
/* User name of "Basic …", into ret (not terminated by a colon); false: not such a header. */
bool token_basic_user(const char *value, struct nt_buf *ret);
/* "Basic " and the base64 of text. */
void token_add_basic(struct nt_buf *b, const char *text, size_t size);

/* address.c: is it one that a proxy on this machine may connect to for somebody else? */
bool address_may_be_reached(const struct sockaddr *address, bool loopback_too);
bool address_is_loopback(const struct sockaddr *address);

/* route.c: the visit has the token that it waited for. */
void route_go_on(struct visit *v);

/* Does the program have a token in place of a credential there? */
static inline bool route_has_credential(const struct policy_route *route)
{
    return route->key || route->auth || route->aws;
}

/* inject.c: target and headers of a routed request, with its credential. NULL: fine; else what is
 * wrong (static; the status in ret_status). */
struct injected {
    struct nt_buf target;
    struct nt_buf value; /* of the header that carries the credential */
    struct net_header headers[SOURCE_HEADERS_MAX];
    uint32_t count;
    struct nt_buf grant; /* the option that would allow it */
};
#define INJECTED_INIT                                                                              \
    {                                                                                              \
        .target = NT_BUF(512 * 1024), .value = NT_BUF(4 * SECRET_MAX),                             \
        .grant = NT_BUF(VISIT_HEAD_MAX)                                                            \
    }
const char *inject(const struct visit *v, const char *path, struct injected *ret,
                   uint32_t *ret_status);
void injected_done(struct injected *in);
/* Did the client send the token where this route has its credential? */
bool inject_has_token(const struct visit *v, const char *path);
/* Headers of the client that never go to an upstream of a route. */
bool inject_keeps(const struct visit *v, const struct net_header *h);
/* The answer's header without the credential. */
bool inject_scrub(struct visit *v, struct net_header *h);

#endif
