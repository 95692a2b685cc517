/* SPDX-License-Identifier: Apache-2.0 */
/* enforce_routes_test.c - requests to a service through the proxy: who may make them, where the
 * credential goes, and where it must never show up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/net/net.h"
#include "sdk/error.h"
#include "tests/unit/enforce_proxy_stage.h"

#define SECRET "real/secret+7"
#define CLOSE "Connection: close\r\n\r\n"

int __real_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **ret);
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **ret);

static atomic_uint lookups;

/* "once.test" is this machine the first time, and nowhere later; "both.test" has an address where
 * nobody listens, and then that of this machine. */
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **ret)
{
    struct addrinfo numeric = *hints;
    numeric.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    unsigned before = atomic_fetch_add(&lookups, 1);
    if (strcmp(host, "once.test") == 0)
        return before == 0 ? __real_getaddrinfo("127.0.0.1", port, &numeric, ret) : EAI_NONAME;
    if (strcmp(host, "far.test") == 0)
        return __real_getaddrinfo("192.0.2.1", port, &numeric, ret);
    if (strcmp(host, "both.test") == 0) {
        int failed = __real_getaddrinfo("127.0.0.2", port, &numeric, ret);
        struct addrinfo *last = failed ? NULL : *ret;
        while (last && last->ai_next)
            last = last->ai_next;
        return failed ? failed : __real_getaddrinfo("127.0.0.1", port, &numeric, &last->ai_next);
    }
    return __real_getaddrinfo(host, port, hints, ret);
}

static void assert_has(const struct nt_buf *b, const char *text)
{
    if (!strstr(nt_buf_text(b), text))
        print_error("no %s in:\n%s\n", text, nt_buf_text(b));
    assert_non_null(strstr(nt_buf_text(b), text));
}

static void assert_lacks(const struct nt_buf *b, const char *text)
{
    if (strcasestr(nt_buf_text(b), text))
        print_error("%s in:\n%s\n", text, nt_buf_text(b));
    assert_null(strcasestr(nt_buf_text(b), text));
}

/* A proxy with one route to an upstream of its own. */
struct one {
    struct stage s;
    struct policy_route route;
    struct upstream *upstream;
    char url[64];
    struct nt_buf b;
};

static void one_start(struct one *o, struct policy_route route, const char *base,
                      void (*serve)(int fd, void *data), void *data)
{
    struct nt_buf url = NT_BUF(sizeof(o->url));
    uint16_t port;
    memset(o, 0, sizeof(*o));
    o->b = (struct nt_buf)NT_BUF(1 << 20);
    o->upstream = upstream_new(serve, data, &port);
    nt_buf_addf(&url, "http://127.0.0.1:%u%s", (unsigned)port, base);
    nt_copy_text(o->url, sizeof(o->url), nt_buf_text(&url));
    nt_buf_done(&url);
    o->route = route;
    o->route.name = "svc";
    if (!o->route.upstream)
        o->route.upstream = o->url;
    o->s.policy.routes = &o->route;
    o->s.policy.route_count = 1;
    stage_start(&o->s, 0);
}

static void one_stop(struct one *o)
{
    stage_stop(&o->s);
    upstream_free(o->upstream);
    nt_buf_done(&o->b);
}

static void headers_carry_the_credential(void **state)
{
    struct one o;
    one_start(&o,
              (struct policy_route){ .key = "env://TEST_SECRET",
                                     .inject = POLICY_IN_HEADER,
                                     .header = "Authorization",
                                     .format = "Bearer {}" },
              "/v1", upstream_echo, NULL);
    stage_ask(&o.s, &o.b,
              "POST /svc/chat%20x?a=1&b=/../ HTTP/1.1\r\nHost: lies\r\n"
              "Authorization: Bearer " STAGE_TOKEN "\r\nX-Api-Key: mine\r\nX-Stays: 1\r\n"
              "X-Leak: a" STAGE_TOKEN "\r\nContent-Length: 4\r\n" CLOSE "body");
    assert_has(&o.b, "HTTP/1.1 200 ");
    assert_has(&o.b, "POST /v1/chat%20x?a=1&b=/../ HTTP/1.1\r\n");
    assert_has(&o.b, "\r\nAuthorization: Bearer " SECRET "\r\n");
    assert_has(&o.b, "X-Stays: 1");
    assert_has(&o.b, "body");
    assert_has(&o.b, "Host: 127.0.0.1:");
    assert_lacks(&o.b, "lies");
    assert_lacks(&o.b, "mine");
    assert_lacks(&o.b, STAGE_TOKEN);

    static const char *const fine[] = { "Authorization: " STAGE_TOKEN "\r\n",
                                        "authorization: token " STAGE_TOKEN "\r\n",
                                        "Authorization: Basic " STAGE_BASIC "\r\n" };
    for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
        stage_askf(&o.s, &o.b, "GET /svc HTTP/1.1\r\nHost: x\r\n%s" CLOSE, fine[i]);
        assert_has(&o.b, "GET /v1/ HTTP/1.1\r\n");
        assert_has(&o.b, "Bearer " SECRET);
    }
    static const char *const wrong[] = { "", "Authorization: Bearer wrong\r\n",
                                         "Authorization: Bearer " STAGE_TOKEN "x\r\n",
                                         "X-Api-Key: " STAGE_TOKEN "\r\n",
                                         "Proxy-Authorization: Basic " STAGE_BASIC "\r\n" };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        stage_askf(&o.s, &o.b, "GET /svc/x HTTP/1.1\r\nHost: x\r\n%s" CLOSE, wrong[i]);
        assert_has(&o.b, "HTTP/1.1 401 ");
    }
    stage_ask(&o.s, &o.b, "GET /other/x HTTP/1.1\r\nHost: x\r\n" CLOSE);
    assert_has(&o.b, "HTTP/1.1 404 ");
    stage_ask(&o.s, &o.b, "GET /%73vc/x HTTP/1.1\r\nHost: x\r\n" CLOSE);
    assert_has(&o.b, "HTTP/1.1 404 ");
    stage_ask(&o.s, &o.b,
              "TRACE /svc/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " STAGE_TOKEN
              "\r\n" CLOSE);
    assert_has(&o.b, "HTTP/1.1 405 ");
    /* Never out of the base of the upstream. */
    stage_ask(&o.s, &o.b,
              "GET /svc/../admin HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " STAGE_TOKEN
              "\r\n" CLOSE);
    assert_has(&o.b, "HTTP/1.1 400 ");
    /* Encoded slashes are data of this upstream. */
    stage_ask(&o.s, &o.b,
              "GET /svc/a%2fb HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " STAGE_TOKEN
              "\r\n" CLOSE);
    assert_has(&o.b, "GET /v1/a%2Fb HTTP");
    one_stop(&o);
}

/* Says the credential in many ways. */
static void serve_spellings(int fd, void *data)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n"
                                 "X-One: areal%2fsecret%2b7b\r\n"
                                 "X-Two: %72eal/secret+7%72%65%61%6C%2Fsecret%2B7\r\n"
                                 "X-Three: real%2\r\n"
                                 "X-Four: bm9ubzpyZWFsL3NlY3JldCs3\r\n\r\n";
    struct nt_buf b = NT_BUF(1 << 16);
    stage_read(fd, &b, "\r\n\r\n");
    stage_send(fd, answer, sizeof(answer) - 1);
    nt_buf_done(&b);
}

static void other_places_carry_it_too(void **state)
{
    struct one o;
    one_start(&o,
              (struct policy_route){
                  .key = "env://TEST_SECRET", .inject = POLICY_IN_QUERY, .query_name = "key" },
              "", upstream_echo, NULL);
    stage_ask(&o.s, &o.b, "GET /svc/x?a=1&key=" STAGE_TOKEN "&b=2 HTTP/1.1\r\nHost: x\r\n" CLOSE);
    assert_has(&o.b, "GET /x?a=1&b=2&key=real%2Fsecret%2B7 HTTP/1.1\r\n");
    assert_lacks(&o.b, STAGE_TOKEN);
    stage_ask(&o.s, &o.b, "GET /svc/x?key=wrong HTTP/1.1\r\nHost: x\r\n" CLOSE);
    assert_has(&o.b, "HTTP/1.1 401 ");
    stage_ask(&o.s, &o.b, "GET /svc/redirect?key=" STAGE_TOKEN " HTTP/1.1\r\nHost: x\r\n" CLOSE);
    assert_has(&o.b, "Location: http://there/redirect?key=" STAGE_TOKEN "\r\n");
    one_stop(&o);

    /* However the answer writes it. */
    one_start(&o,
              (struct policy_route){
                  .key = "env://TEST_SECRET", .inject = POLICY_IN_QUERY, .query_name = "key" },
              "", serve_spellings, NULL);
    stage_ask(&o.s, &o.b, "GET /svc/x?key=" STAGE_TOKEN " HTTP/1.1\r\nHost: x\r\n" CLOSE);
    assert_has(&o.b, "X-One: a" STAGE_TOKEN "b\r\n");
    assert_has(&o.b, "X-Two: " STAGE_TOKEN STAGE_TOKEN "\r\n");
    assert_has(&o.b, "X-Three: real%2\r\n");
    assert_has(&o.b, "X-Four: bm9ubzpyZWFsL3NlY3JldCs3\r\n"); /* not how it was sent */
    one_stop(&o);
    one_start(&o, (struct policy_route){ .key = "env://TEST_SECRET", .inject = POLICY_IN_BASIC },
              "", serve_spellings, NULL);
    stage_ask(&o.s, &o.b,
              "GET /svc/x HTTP/1.1\r\nHost: x\r\nAuthorization: Basic " STAGE_BASIC "\r\n" CLOSE);
    assert_has(&o.b, "X-Four: " STAGE_TOKEN "\r\n");
    one_stop(&o);

    one_start(&o,
              (struct policy_route){ .key = "env://TEST_SECRET",
                                     .inject = POLICY_IN_PATH,
                                     .path_pattern = "/bot{}/",
                                     .path_replacement = "/robot{}/" },
              "/api", upstream_echo, NULL);
    stage_ask(&o.s, &o.b, "GET /svc/bot" STAGE_TOKEN "/send?x=1 HTTP/1.1\r\nHost: x\r\n" CLOSE);
    assert_has(&o.b, "GET /api/robotreal%2Fsecret+7/send?x=1 HTTP/1.1\r\n");
    assert_lacks(&o.b, STAGE_TOKEN);
    stage_ask(&o.s, &o.b, "GET /svc/bot/send HTTP/1.1\r\nHost: x\r\n" CLOSE);
    assert_has(&o.b, "HTTP/1.1 401 ");
    stage_ask(&o.s, &o.b, "GET /svc/bot" STAGE_TOKEN "/redirect HTTP/1.1\r\nHost: x\r\n" CLOSE);
    assert_has(&o.b, "Location: http://there/api/robot" STAGE_TOKEN "/redirect\r\n");
    one_stop(&o);

    one_start(&o, (struct policy_route){ .key = "env://TEST_SECRET", .inject = POLICY_IN_BASIC },
              "", upstream_echo, NULL);
    stage_ask(&o.s, &o.b,
              "GET /svc/x HTTP/1.1\r\nHost: x\r\nAuthorization: Basic " STAGE_BASIC "\r\n" CLOSE);
    assert_has(&o.b, "Authorization: Basic bm9ubzpyZWFsL3NlY3JldCs3\r\n"); /* nono:SECRET */
    one_stop(&o);
}

/* A request line with that credential is refused, and the upstream never sees it. */
static void assert_shut(struct one *o, const char *line, const char *credential)
{
    stage_askf(&o->s, &o->b, "%s HTTP/1.1\r\nHost: x\r\n%s\r\nContent-Length: 0\r\n" CLOSE, line,
               credential);
    assert_true(strstr(nt_buf_text(&o->b), "HTTP/1.1 403 ")
                || strstr(nt_buf_text(&o->b), "HTTP/1.1 400 "));
    assert_lacks(&o->b, "X-Upstream");
}

/* The program's token stands elsewhere than the credential in what is sent on. */
static void the_token_may_stand_elsewhere(void **state)
{
    struct one o;
    struct policy_endpoint denied[] = { { "*", "/admin/**" } };
    const struct policy_place path = { .inject = POLICY_IN_PATH, .path_pattern = "/{}/" };
    one_start(&o,
              (struct policy_route){ .key = "env://TEST_SECRET",
                                     .phantom = &path,
                                     .denied = denied,
                                     .denied_count = 1,
                                     .others = POLICY_OTHERS_CARRIED },
              "/v1", upstream_echo, NULL);
    stage_ask(&o.s, &o.b, "GET /svc/" STAGE_TOKEN "/chat?a=1 HTTP/1.1\r\nHost: x\r\n" CLOSE);
    assert_has(&o.b, "GET /v1/chat?a=1 HTTP/1.1\r\n");
    assert_has(&o.b, "\r\nAuthorization: Bearer " SECRET "\r\n");
    assert_lacks(&o.b, STAGE_TOKEN);
    /* What is judged is what is left of it. */
    static const char *const shut[] = { "GET /svc/" STAGE_TOKEN "/admin/x",
                                        "GET /svc/admin/" STAGE_TOKEN "/x",
                                        "GET /svc/" STAGE_TOKEN "/%61dmin/x",
                                        "GET /svc/x/" STAGE_TOKEN "/../admin/x",
                                        "GET /svc//" STAGE_TOKEN "//admin/x" };
    for (size_t i = 0; i < sizeof(shut) / sizeof(shut[0]); i++)
        assert_shut(&o, shut[i], "X-Nothing: 1");
    stage_ask(&o.s, &o.b,
              "GET /svc/chat HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " STAGE_TOKEN
              "\r\n" CLOSE);
    assert_has(&o.b, "HTTP/1.1 401 ");
    one_stop(&o);

    const struct policy_place end = { .inject = POLICY_IN_PATH, .path_pattern = "/t/{}" };
    one_start(&o, (struct policy_route){ .key = "env://TEST_SECRET", .phantom = &end }, "",
              upstream_echo, NULL);
    stage_ask(&o.s, &o.b, "GET /svc/t/" STAGE_TOKEN "?a=1 HTTP/1.1\r\nHost: x\r\n" CLOSE);
    assert_has(&o.b, "GET /?a=1 HTTP/1.1\r\n");
    one_stop(&o);

    const struct policy_place header = { .inject = POLICY_IN_HEADER,
                                         .header = "X-Mine",
                                         .format = "key={}" };
    one_start(&o,
              (struct policy_route){ .key = "env://TEST_SECRET",
                                     .inject = POLICY_IN_QUERY,
                                     .query_name = "key",
                                     .phantom = &header },
              "", upstream_echo, NULL);
    stage_ask(&o.s, &o.b,
              "GET /svc/x?key=mine&b=2 HTTP/1.1\r\nHost: x\r\nX-Mine: key=" STAGE_TOKEN
              "\r\n" CLOSE);
    assert_has(&o.b, "GET /x?b=2&key=real%2Fsecret%2B7 HTTP/1.1\r\n");
    assert_lacks(&o.b, "X-Mine");
    stage_ask(&o.s, &o.b, "GET /svc/x?key=" STAGE_TOKEN " HTTP/1.1\r\nHost: x\r\n" CLOSE);
    assert_has(&o.b, "HTTP/1.1 401 ");
    one_stop(&o);

    const struct policy_place query = { .inject = POLICY_IN_QUERY, .query_name = "k" };
    one_start(&o,
              (struct policy_route){ .key = "env://TEST_SECRET",
                                     .inject = POLICY_IN_PATH,
                                     .path_pattern = "/bot{}/",
                                     .phantom = &query },
              "/api", upstream_echo, NULL);
    stage_ask(&o.s, &o.b,
              "GET /svc/bot-any/send?k=" STAGE_TOKEN "&x=1 HTTP/1.1\r\nHost: x\r\n" CLOSE);
    assert_has(&o.b, "GET /api/botreal%2Fsecret+7/send?x=1 HTTP/1.1\r\n");
    assert_lacks(&o.b, STAGE_TOKEN);
    stage_ask(&o.s, &o.b, "GET /svc/robot/send?k=" STAGE_TOKEN " HTTP/1.1\r\nHost: x\r\n" CLOSE);
    assert_has(&o.b, "HTTP/1.1 400 ");
    assert_has(&o.b, "no place for the credential");
    one_stop(&o);

    one_start(&o,
              (struct policy_route){ .key = "env://TEST_SECRET",
                                     .inject = POLICY_IN_PATH,
                                     .path_pattern = "/bot{}",
                                     .phantom = &query },
              "", upstream_echo, NULL);
    stage_ask(&o.s, &o.b, "GET /svc/bot-any/send?k=" STAGE_TOKEN " HTTP/1.1\r\nHost: x\r\n" CLOSE);
    assert_has(&o.b, "GET /botreal%2Fsecret+7/send HTTP/1.1\r\n");
    one_stop(&o);
}

/* There is a denial of TARGET, and GRANT would allow it. */
static void assert_told(struct one *o, const char *target, const char *grant)
{
    const struct denial *d;
    for (size_t i = 0; (d = denials_at(o->s.denials, i)); i++)
        if (strcmp(d->target, target) == 0) {
            assert_string_equal(d->grant, grant);
            return;
        }
    print_error("no denial of %s\n", target);
    fail();
}

static void routes_are_restricted(void **state)
{
    struct policy_endpoint rules[] = { { "GET", "/v1/models" }, { "POST", "/v1/chat/*" } };
    static const char *const closed[] = { "POST /svc/v1/models",      "GET /svc/v1/chat/x",
                                          "POST /svc/v1/chat/x/y",    "GET /svc/v1/models/x",
                                          "GET /svc/v1%2fmodels",     "GET /svc/v1/./models",
                                          "POST /svc/v1/chat/%2e%2e", "GET /svc/v1/chat/..;/x" };
    struct one o;
    one_start(&o,
              (struct policy_route){ .key = "env://TEST_SECRET",
                                     .header = "x-api-key",
                                     .format = "{}",
                                     .endpoints = rules,
                                     .endpoint_count = 2 },
              "", upstream_echo, NULL);
    stage_ask(&o.s, &o.b,
              "GET /svc//v1/%6dodels HTTP/1.1\r\nHost: x\r\nX-Api-Key: " STAGE_TOKEN "\r\n" CLOSE);
    assert_has(&o.b, "GET /v1/models HTTP/1.1\r\n"); /* what was judged is what is sent */
    assert_has(&o.b, "x-api-key: " SECRET);
    for (size_t i = 0; i < sizeof(closed) / sizeof(closed[0]); i++)
        assert_shut(&o, closed[i], "X-Api-Key: " STAGE_TOKEN);
    assert_told(&o, "POST /svc/v1/models", "--allow-endpoint svc:POST:/v1/models");
    assert_told(&o, "GET /svc/v1%2fmodels", "");
    /* A tunnel or a plain request to the same server would go past all this. */
    const char *authority = o.url + strlen("http://");
    stage_askf(&o.s, &o.b, "CONNECT %s HTTP/1.1\r\nHost: x\r\n" STAGE_AUTH CLOSE, authority);
    assert_has(&o.b, "HTTP/1.1 403 ");
    stage_askf(&o.s, &o.b, "GET http://%s/v1/models HTTP/1.1\r\nHost: x\r\n" STAGE_AUTH CLOSE,
               authority);
    assert_has(&o.b, "HTTP/1.1 403 ");
    one_stop(&o);

    /* All but what is denied; another method in a header gains nothing. */
    struct policy_endpoint denied[] = { { "DELETE", "/**" }, { "*", "/admin/**" } };
    static const char *const shut[] = { "DELETE /svc/v1/x", "GET /svc/admin", "GET /svc//admin/x",
                                        "GET /svc/%61dmin/x", "GET /svc/x/..;/admin" };
    one_start(&o,
              (struct policy_route){ .key = "env://TEST_SECRET",
                                     .denied = denied,
                                     .denied_count = 2,
                                     .others = POLICY_OTHERS_CARRIED },
              "", upstream_echo, NULL);
    for (size_t i = 0; i < sizeof(shut) / sizeof(shut[0]); i++)
        assert_shut(&o, shut[i], "Authorization: Bearer " STAGE_TOKEN);
    stage_ask(&o.s, &o.b,
              "POST /svc/v1/x HTTP/1.1\r\nHost: x\r\nX-HTTP-Method-Override: DELETE\r\n"
              "Content-Length: 0\r\nAuthorization: Bearer " STAGE_TOKEN "\r\n" CLOSE);
    assert_has(&o.b, "POST /v1/x HTTP/1.1\r\n");
    assert_lacks(&o.b, "Override");
    stage_ask(&o.s, &o.b,
              "POST /svc/v1/x HTTP/1.1\r\nHost: x\r\nX_HTTP-Method_Override: DELETE\r\n"
              "x_original_url: /admin\r\nX-Original-Urls: 1\r\n"
              "Content-Length: 0\r\nAuthorization: Bearer " STAGE_TOKEN "\r\n" CLOSE);
    assert_lacks(&o.b, "Override");
    assert_lacks(&o.b, "url: /admin");
    assert_has(&o.b, "X-Original-Urls: 1");
    assert_told(&o, "GET /svc/admin", "");
    one_stop(&o);

    /* Its credential is not there. */
    one_start(&o, (struct policy_route){ .key = "env://TEST_NO_SUCH" }, "", upstream_echo, NULL);
    assert_string_equal(o.s.warnings,
                        "the credential of svc cannot be read: the variable TEST_NO_SUCH is not "
                        "set; its requests are refused with 503\n");
    assert_null(denials_at(o.s.denials, 0)); /* nothing was asked for yet */
    stage_ask(&o.s, &o.b,
              "GET /svc/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " STAGE_TOKEN "\r\n" CLOSE);
    assert_has(&o.b, "HTTP/1.1 503 ");
    assert_string_equal(denials_at(o.s.denials, 0)->target, "svc");
    one_stop(&o);

    /* Nor is what shows the upstream who asks. */
    one_start(&o,
              (struct policy_route){ .key = "env://TEST_SECRET",
                                     .tls_certificate = "/nonexistent/c.pem",
                                     .tls_key = "/nonexistent/k.pem" },
              "", upstream_echo, NULL);
    assert_non_null(strstr(o.s.warnings, "the client certificate of svc cannot be read: "));
    assert_non_null(strstr(o.s.warnings, "; its requests are refused with 503\n"));
    stage_ask(&o.s, &o.b,
              "GET /svc/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " STAGE_TOKEN "\r\n" CLOSE);
    assert_has(&o.b, "HTTP/1.1 503 ");
    assert_string_equal(denials_at(o.s.denials, 0)->rule,
                        "its client certificate could not be read");
    assert_int_equal(upstream_connections(o.upstream), 0);
    one_stop(&o);

    /* It has none: the proxy's own token is asked for. */
    one_start(&o, (struct policy_route){ .key = NULL }, "", upstream_echo, NULL);
    stage_ask(&o.s, &o.b, "GET /svc/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer mine\r\n" CLOSE);
    assert_has(&o.b, "HTTP/1.1 407 ");
    stage_ask(
        &o.s, &o.b,
        "GET /svc/x?q HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer mine\r\n" STAGE_AUTH CLOSE);
    assert_has(&o.b, "GET /x?q HTTP");
    assert_has(&o.b, "Authorization: Bearer mine");
    one_stop(&o);
}

static void credentials_in_clear_stay_on_this_machine(void **state)
{
    struct one o;
    one_start(&o,
              (struct policy_route){ .key = "env://TEST_SECRET", .upstream = "http://far.test:9" },
              "", upstream_echo, NULL);
    stage_ask(&o.s, &o.b,
              "GET /svc/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " STAGE_TOKEN "\r\n" CLOSE);
    assert_has(&o.b, "HTTP/1.1 403 ");
    one_stop(&o);
}

/* The name changes its meaning right after the check. */
static void an_upstream_is_looked_up_once(void **state)
{
    struct nt_buf url = NT_BUF(64);
    uint16_t port;
    struct upstream *u = upstream_new(upstream_echo, NULL, &port);
    struct one o;
    nt_buf_addf(&url, "http://once.test:%u", (unsigned)port);
    one_start(&o,
              (struct policy_route){ .key = "env://TEST_SECRET", .upstream = nt_buf_text(&url) },
              "", upstream_echo, NULL);
    atomic_store(&lookups, 0);
    stage_ask(&o.s, &o.b,
              "GET /svc/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " STAGE_TOKEN "\r\n" CLOSE);
    assert_has(&o.b, "HTTP/1.1 200 ");
    assert_has(&o.b, "Host: once.test:");
    assert_int_equal(atomic_load(&lookups), 1);

    /* Nor is it for the next requests of a connection, while the one to the upstream stays open. */
    static const char kept[] = "GET /svc/kept HTTP/1.1\r\nHost: x\r\nX-Keep: 1\r\n"
                               "Authorization: Bearer " STAGE_TOKEN "\r\n\r\n";
    atomic_store(&lookups, 0);
    uint32_t before = upstream_connections(u);
    int fd = stage_connect(&o.s);
    for (unsigned i = 0; i < 3; i++) {
        nt_buf_reset(&o.b);
        stage_send(fd, kept, sizeof(kept) - 1);
        assert_true(stage_read(fd, &o.b, "X-Keep: 1\r\n"));
        assert_has(&o.b, "HTTP/1.1 200 ");
    }
    close(fd);
    assert_int_equal(atomic_load(&lookups), 1);
    assert_int_equal(upstream_connections(u), before + 1);
    /* Another connection of the program is another peer. */
    stage_ask(&o.s, &o.b,
              "GET /svc/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " STAGE_TOKEN "\r\n" CLOSE);
    assert_has(&o.b, "HTTP/1.1 502 ");
    one_stop(&o);
    upstream_free(u);
    nt_buf_done(&url);
}

/* As "localhost" is, where a server has one of its addresses only. */
static void every_address_of_a_name_is_tried(void **state)
{
    struct nt_buf text = NT_BUF(1024);
    uint16_t port;
    struct upstream *u = upstream_new(upstream_echo, NULL, &port);
    struct one o;
    nt_buf_addf(&text, "http://both.test:%u", (unsigned)port);
    one_start(&o,
              (struct policy_route){ .key = "env://TEST_SECRET", .upstream = nt_buf_text(&text) },
              "", upstream_echo, NULL);
    stage_ask(&o.s, &o.b,
              "POST /svc/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " STAGE_TOKEN
              "\r\nContent-Length: 4\r\n" CLOSE "body");
    assert_has(&o.b, "HTTP/1.1 200 ");
    assert_has(&o.b, "Host: both.test:");
    assert_has(&o.b, "body");
    one_stop(&o);
    upstream_free(u);
    nt_buf_done(&text);
}

/* --- streams ------------------------------------------------------------------------------- */

static void serve_events(int fd, void *data)
{
    struct nt_buf b = NT_BUF(65536);
    char go;
    static const char first[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                                "Transfer-Encoding: chunked\r\n\r\nd\r\ndata: first\n\n\r\n";
    static const char second[] = "e\r\ndata: second\n\n\r\n0\r\n\r\n";
    stage_read(fd, &b, "\r\n\r\n");
    stage_send(fd, first, sizeof(first) - 1);
    if (read(*(int *)data, &go, 1) == 1)
        stage_send(fd, second, sizeof(second) - 1);
    nt_buf_done(&b);
}

static void events_come_when_they_are_sent(void **state)
{
    int go[2];
    struct one o;
    assert_int_equal(pipe(go), 0);
    one_start(&o, (struct policy_route){ .key = "env://TEST_SECRET" }, "", serve_events, &go[0]);
    int fd = stage_connect(&o.s);
    static const char request[] = "GET /svc/events HTTP/1.1\r\nHost: x\r\n"
                                  "Authorization: Bearer " STAGE_TOKEN "\r\n\r\n";
    stage_send(fd, request, sizeof(request) - 1);
    assert_true(stage_read(fd, &o.b, "data: first\n\n"));
    assert_has(&o.b, "Content-Type: text/event-stream");
    assert_lacks(&o.b, "second");
    assert_int_equal(write(go[1], "x", 1), 1);
    assert_true(stage_read(fd, &o.b, "data: second\n\n"));
    assert_true(stage_read(fd, &o.b, "\r\n0\r\n\r\n"));
    close(fd);
    close(go[0]);
    close(go[1]);
    one_stop(&o);
}

/* An upstream with WebSockets: says back what it hears, and what it was asked. */
struct sockets {
    uv_loop_t uv;
    uv_async_t end;
    struct net_server *server;
    pthread_t thread;
    uint16_t port;
    char authorization[128];
};

static void on_said(void *data, struct net_ws *ws, struct nt_bytes bytes, bool is_text, bool last)
{
    net_ws_send(ws, bytes, is_text);
    net_ws_grant(ws, bytes.size);
}

static void on_socket_request(void *data, struct net_request *req)
{
    static const struct net_ws_events events = { .message = on_said };
    static const struct net_request_events nothing;
    struct sockets *w = data;
    net_request_handle(req, &nothing, NULL);
    nt_copy_text(w->authorization, sizeof(w->authorization),
                 net_request_header(req, "authorization"));
    if (!net_request_is_websocket(req)) {
        net_respond(req, 426, NULL, 0, (struct nt_bytes){ 0 });
        return;
    }
    if (strcmp(net_request_target(req), "/shut") == 0) {
        net_respond(req, 401, NULL, 0, (struct nt_bytes){ 0 });
        return;
    }
    struct net_ws *ws = net_ws_accept_as(req, "chat", &events, w);
    net_ws_grant(ws, 1 << 20);
}

static void on_end(uv_async_t *end)
{
    struct sockets *w = end->data;
    uv_close((uv_handle_t *)end, NULL);
    net_server_stop(w->server, false);
    net_server_free(w->server, NULL, NULL);
}

static void *run_sockets(void *data)
{
    uv_run(data, UV_RUN_DEFAULT);
    return NULL;
}

static void sockets_start(struct sockets *w)
{
    struct nt_error e = NT_ERROR_INIT;
    struct net_server_options options = { .request = on_socket_request, .data = w };
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &size), 0);
    w->port = ntohs(in.sin_port);
    assert_int_equal(uv_loop_init(&w->uv), 0);
    w->end.data = w;
    assert_int_equal(uv_async_init(&w->uv, &w->end, on_end), 0);
    assert_int_equal(net_server_new(&w->uv, fd, &options, &w->server, &e), 0);
    assert_int_equal(pthread_create(&w->thread, NULL, run_sockets, &w->uv), 0);
}

static void sockets_stop(struct sockets *w)
{
    uv_async_send(&w->end);
    pthread_join(w->thread, NULL);
    assert_int_equal(uv_loop_close(&w->uv), 0);
}

/* Takes connections, and never says a word. */
static void serve_silence(int fd, void *data)
{
    char bytes[4096];
    while (recv(fd, bytes, sizeof(bytes), 0) > 0) {
    }
}

static int64_t now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec;
}

/* Servers that do not begin TLS hold up nobody else, though each of them has half a minute. */
static void silent_servers_hold_up_nobody(void **state)
{
    enum { SILENT = 8 };
    static const char *const names[] = { "localhost", "127.0.0.1" };
    uint16_t port, other_port;
    struct upstream *silent = upstream_new(serve_silence, NULL, &port);
    struct upstream *other = upstream_new(upstream_echo, NULL, &other_port);
    struct nt_buf url = NT_BUF(64), b = NT_BUF(1 << 20);
    struct policy_host host = { .name = names[0], .source = "user" };
    int fds[SILENT];
    nt_buf_addf(&url, "https://%s:%u", names[1], (unsigned)port);
    struct policy_route route = { .name = "svc",
                                  .key = "env://TEST_SECRET",
                                  .upstream = nt_buf_text(&url) };
    struct stage s = { .policy = {
                           .hosts = &host, .host_count = 1, .routes = &route, .route_count = 1 } };
    static const char asked[] =
        "GET /svc/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " STAGE_TOKEN "\r\n\r\n";
    stage_start(&s, 0);
    for (int i = 0; i < SILENT; i++) {
        fds[i] = stage_connect(&s);
        stage_send(fds[i], asked, sizeof(asked) - 1);
    }
    while (upstream_connections(silent) < 4)
        sched_yield();
    int64_t begun = now_s();
    stage_askf(&s, &b,
               "GET http://localhost:%u/ HTTP/1.1\r\nHost: x\r\n" STAGE_AUTH
               "Connection: close\r\n\r\n",
               (unsigned)other_port);
    assert_has(&b, "HTTP/1.1 200 ");
    assert_true(now_s() - begun < 25);
    for (int i = 0; i < SILENT; i++)
        close(fds[i]);
    upstream_free(silent); /* nobody waits for it any more */
    assert_true(now_s() - begun < 28);
    stage_stop(&s);
    upstream_free(other);
    nt_buf_done(&url);
    nt_buf_done(&b);
}

static bool take_some(int fd, struct nt_buf *b)
{
    char *room = nt_buf_room(b, 65536);
    ssize_t n = room ? recv(fd, room, 65536, 0) : 0;
    if (n > 0)
        nt_buf_added(b, (size_t)n);
    return n > 0;
}

static void websockets_are_bridged(void **state)
{
    struct sockets w = { 0 };
    struct nt_buf url = NT_BUF(64);
    struct one o;
    sockets_start(&w);
    nt_buf_addf(&url, "http://127.0.0.1:%u", (unsigned)w.port);
    one_start(&o,
              (struct policy_route){ .key = "env://TEST_SECRET", .upstream = nt_buf_text(&url) },
              "", upstream_echo, NULL);
    static const char head[] = " HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                               "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                               "Sec-WebSocket-Protocol: chat\r\nAuthorization: Bearer ";
    int fd = stage_connect(&o.s);
    struct nt_buf r = NT_BUF(4096);
    nt_buf_addf(&r, "GET /svc/talk%s%s\r\n\r\n", head, STAGE_TOKEN);
    stage_send(fd, r.data, r.size);
    assert_true(stage_read(fd, &o.b, "\r\n\r\n"));
    assert_has(&o.b, "HTTP/1.1 101 ");
    assert_has(&o.b, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_has(&o.b, "Sec-WebSocket-Protocol: chat");
    /* "Hello", masked (RFC 6455 section 5.7), comes back unmasked. */
    static const char hello[] = "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    stage_send(fd, hello, sizeof(hello) - 1);
    assert_true(stage_read(fd, &o.b, "\x81\x05Hello"));
    /* Of a long message the beginning goes on before its end is there: masked with nothing, and not
     * the last part. */
    static const char begin[] = "\x02\xff\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00";
    static const char end[] = "\x80\x83\x00\x00\x00\x00"
                              "end";
    char *zeros = calloc(1, 0x20000);
    stage_send(fd, begin, sizeof(begin) - 1);
    stage_send(fd, zeros, 0x20000);
    nt_buf_reset(&o.b);
    while (o.b.size < 0x10000)
        assert_true(take_some(fd, &o.b));
    stage_send(fd, end, sizeof(end) - 1);
    while (o.b.size < 0x20003 || memcmp(o.b.data + o.b.size - 3, "end", 3) != 0)
        assert_true(take_some(fd, &o.b));
    free(zeros);
    /* The end of one side is the end of the other. */
    static const char bye[] = "\x88\x82\x00\x00\x00\x00\x03\xe8";
    stage_send(fd, bye, sizeof(bye) - 1);
    nt_buf_reset(&o.b);
    stage_read(fd, &o.b, NULL);
    assert_true(o.b.size >= 4 && memcmp(o.b.data, "\x88\x02\x03\xe8", 4) == 0);
    close(fd);
    assert_string_equal(w.authorization, "Bearer " SECRET);

    /* Without the token, and with an upstream that does not want it. */
    stage_askf(&o.s, &o.b, "GET /svc/talk%swrong\r\n" CLOSE, head);
    assert_has(&o.b, "HTTP/1.1 401 ");
    assert_has(&o.b, "token");
    stage_askf(&o.s, &o.b, "GET /svc/shut%s" STAGE_TOKEN "\r\n" CLOSE, head);
    assert_has(&o.b, "HTTP/1.1 401 ");
    assert_has(&o.b, "the upstream refused");
    one_stop(&o);
    sockets_stop(&w);
    nt_buf_done(&url);
    nt_buf_done(&r);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_carry_the_credential),
        cmocka_unit_test(other_places_carry_it_too),
        cmocka_unit_test(the_token_may_stand_elsewhere),
        cmocka_unit_test(routes_are_restricted),
        cmocka_unit_test(credentials_in_clear_stay_on_this_machine),
        cmocka_unit_test(an_upstream_is_looked_up_once),
        cmocka_unit_test(every_address_of_a_name_is_tried),
        cmocka_unit_test(events_come_when_they_are_sent),
        cmocka_unit_test(silent_servers_hold_up_nobody),
        cmocka_unit_test(websockets_are_bridged),
    };
    setenv("TEST_SECRET", SECRET, 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
