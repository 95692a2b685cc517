/* SPDX-License-Identifier: Apache-2.0 */
/* enforce_oauth_test.c - a credential that the proxy asks a token endpoint for: when it is asked,
 * what it is told, which answers count, and that its secrets show up nowhere else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/proxy/oauth.h"
#include "plugins/sandbox-enforce/proxy/secret.h"
#include "sdk/error.h"
#include "tests/unit/enforce_proxy_stage.h"

#define SECRET "client/secret+7"
#define CLOSE "Connection: close\r\n\r\n"
#define JSON "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"

/* A token endpoint: `answer` to all that ask; "%u" in it is the number of the question. */
struct endpoint {
    struct upstream *server;
    const char *answer;
    atomic_uint asked;
    int gate[2]; /* it waits for a byte before each answer, when it is open */
    pthread_mutex_t lock;
    char question[4096];
};

static void serve_tokens(int fd, void *data)
{
    struct endpoint *e = data;
    struct nt_buf b = NT_BUF(65536);
    char answer[1024], go;
    if (!stage_read(fd, &b, "extra=a%26b")) { /* the last of the question */
        nt_buf_done(&b);
        return;
    }
    pthread_mutex_lock(&e->lock);
    snprintf(e->question, sizeof(e->question), "%s", nt_buf_text(&b));
    unsigned number = atomic_fetch_add(&e->asked, 1) + 1;
    pthread_mutex_unlock(&e->lock);
    nt_buf_done(&b);
    if (e->gate[0] >= 0 && read(e->gate[0], &go, 1) != 1)
        return;
    const char *mark = strstr(e->answer, "%u");
    if (mark)
        snprintf(answer, sizeof(answer), "%.*s%u%s", (int)(mark - e->answer), e->answer, number,
                 mark + 2);
    else
        snprintf(answer, sizeof(answer), "%s", e->answer);
    stage_send(fd, answer, strlen(answer));
}

struct one {
    struct stage s;
    struct policy_route route;
    struct policy_auth auth;
    struct endpoint endpoint;
    struct upstream *upstream;
    char url[64], token_url[64];
    const char *extra[2];
    struct nt_buf b;
};

static void one_start(struct one *o, const char *answer, const char *secret, const char *token_url)
{
    uint16_t port;
    memset(o, 0, sizeof(*o));
    o->b = (struct nt_buf)NT_BUF(1 << 20);
    o->endpoint.answer = answer;
    o->endpoint.gate[0] = o->endpoint.gate[1] = -1;
    pthread_mutex_init(&o->endpoint.lock, NULL);
    o->endpoint.server = upstream_new(serve_tokens, &o->endpoint, &port);
    snprintf(o->token_url, sizeof(o->token_url), "http://127.0.0.1:%u/oauth/token/",
             (unsigned)port);
    o->upstream = upstream_new(upstream_echo, NULL, &port);
    snprintf(o->url, sizeof(o->url), "http://127.0.0.1:%u/v1", (unsigned)port);
    o->extra[0] = "extra";
    o->extra[1] = "a&b";
    o->auth = (struct policy_auth){ .token_url = token_url ? token_url : o->token_url,
                                    .client_id = "me&you",
                                    .client_secret = secret,
                                    .scope = "read write",
                                    .extra = { o->extra, 2 } };
    o->route = (struct policy_route){ .name = "svc", .upstream = o->url, .auth = &o->auth };
    o->s.policy.routes = &o->route;
    o->s.policy.route_count = 1;
    stage_start(&o->s, 0);
}

static void one_stop(struct one *o)
{
    stage_stop(&o->s);
    upstream_free(o->upstream);
    upstream_free(o->endpoint.server);
    pthread_mutex_destroy(&o->endpoint.lock);
    nt_buf_done(&o->b);
}

static const char request[] =
    "GET /svc/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " STAGE_TOKEN "\r\n" CLOSE;

static void ask(struct one *o)
{
    stage_ask(&o->s, &o->b, request);
}

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        print_error("no %s in:\n%s\n", part, text);
    assert_non_null(strstr(text, part));
}

static void a_token_is_asked_for_once(void **state)
{
    struct one o;
    one_start(&o,
              JSON "{\"access_token\":\"tok-%u\",\"token_type\":\"bearer\",\"expires_in\":3600}",
              "env://TEST_OAUTH", NULL);
    assert_int_equal(atomic_load(&o.endpoint.asked), 0); /* not at the start */
    assert_string_equal(o.s.warnings, "");
    stage_ask(&o.s, &o.b,
              "GET /svc/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer wrong\r\n" CLOSE);
    assert_has(nt_buf_text(&o.b), "HTTP/1.1 401 ");
    assert_int_equal(atomic_load(&o.endpoint.asked), 0); /* nor for who may not have it */
    for (unsigned i = 0; i < 3; i++) {
        ask(&o);
        assert_has(nt_buf_text(&o.b), "GET /v1/x HTTP/1.1\r\n");
        assert_has(nt_buf_text(&o.b), "\r\nAuthorization: Bearer tok-1\r\n");
        assert_null(strstr(nt_buf_text(&o.b), STAGE_TOKEN));
    }
    assert_int_equal(atomic_load(&o.endpoint.asked), 1);
    assert_has(o.endpoint.question, "POST /oauth/token/ HTTP/1.1\r\n");
    assert_has(o.endpoint.question, "Content-Type: application/x-www-form-urlencoded\r\n");
    assert_has(o.endpoint.question, "\r\n\r\ngrant_type=client_credentials&client_id=me%26you&"
                                    "client_secret=client%2Fsecret%2B7&scope=read%20write&"
                                    "extra=a%26b");
    assert_null(strstr(o.endpoint.question, STAGE_TOKEN));
    /* The answer does not tell it. */
    stage_ask(&o.s, &o.b,
              "GET /svc/redirect?t=tok-1 HTTP/1.1\r\nHost: x\r\n"
              "Authorization: Bearer " STAGE_TOKEN "\r\n" CLOSE);
    assert_has(nt_buf_text(&o.b), "Location: http://there/v1/redirect?t=" STAGE_TOKEN "\r\n");
    one_stop(&o);
}

static void one_that_has_ended_is_asked_for_anew(void **state)
{
    struct one o;
    one_start(&o, JSON "{\"access_token\":\"tok-%u\",\"expires_in\":0}", "env://TEST_OAUTH", NULL);
    ask(&o);
    assert_has(nt_buf_text(&o.b), "Bearer tok-1\r\n");
    ask(&o);
    assert_has(nt_buf_text(&o.b), "Bearer tok-2\r\n");
    one_stop(&o);
}

static void requests_wait_for_one_exchange(void **state)
{
    struct one o;
    int fds[8], gone;
    one_start(&o, JSON "{\"access_token\":\"tok-%u\",\"expires_in\":3600}", "env://TEST_OAUTH",
              NULL);
    assert_int_equal(pipe(o.endpoint.gate), 0);
    /* A first one asks, and goes away while it waits. */
    gone = stage_connect(&o.s);
    stage_send(gone, request, sizeof(request) - 1);
    while (atomic_load(&o.endpoint.asked) == 0)
        usleep(1000);
    close(gone);
    for (size_t i = 0; i < 8; i++) {
        fds[i] = stage_connect(&o.s);
        stage_send(fds[i], request, sizeof(request) - 1);
    }
    /* They are all there: another route answers behind them. */
    stage_ask(&o.s, &o.b, "GET /none HTTP/1.1\r\nHost: x\r\n" CLOSE);
    assert_has(nt_buf_text(&o.b), "HTTP/1.1 404 ");
    assert_int_equal(write(o.endpoint.gate[1], "xxxxxxxxxx", 10), 10);
    for (size_t i = 0; i < 8; i++) {
        nt_buf_reset(&o.b);
        stage_read(fds[i], &o.b, NULL);
        assert_has(nt_buf_text(&o.b), "Bearer tok-1\r\n");
        close(fds[i]);
    }
    assert_int_equal(atomic_load(&o.endpoint.asked), 1);
    close(o.endpoint.gate[0]);
    close(o.endpoint.gate[1]);
    one_stop(&o);
}

static void an_exchange_ends_with_the_proxy(void **state)
{
    struct one o;
    one_start(&o, JSON "{}", "env://TEST_OAUTH", NULL);
    assert_int_equal(pipe(o.endpoint.gate), 0);
    int fd = stage_connect(&o.s);
    stage_send(fd, request, sizeof(request) - 1);
    while (atomic_load(&o.endpoint.asked) == 0)
        usleep(1000);
    stage_stop(&o.s);
    close(fd);
    close(o.endpoint.gate[1]);
    upstream_free(o.upstream);
    upstream_free(o.endpoint.server);
    close(o.endpoint.gate[0]);
    nt_buf_done(&o.b);
}

static void what_is_no_token_is_refused(void **state)
{
    static const struct {
        const char *answer, *why;
    } rows[] = {
        { "HTTP/1.1 400 Bad\r\nConnection: close\r\n\r\n{\"error\":\"" SECRET "\"}", "status 400" },
        { "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nConnection: close\r\n\r\n",
          "status 302" },
        { JSON "not json " SECRET, "no JSON object" },
        { JSON "[]", "no JSON object" },
        { JSON "{\"access_token\":7}", "no access_token" },
        { JSON "{\"access_token\":\"\"}", "one word" },
        { JSON "{\"access_token\":\"a\\r\\nX-Evil: 1\"}", "one word" },
        { JSON "{\"access_token\":\"a\",\"token_type\":\"mac\"}", "type Bearer" },
        { "", "does not answer" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct one o;
        one_start(&o, rows[i].answer, "env://TEST_OAUTH", NULL);
        ask(&o);
        assert_has(nt_buf_text(&o.b), "HTTP/1.1 502 ");
        assert_has(nt_buf_text(&o.b), rows[i].why);
        assert_null(strstr(nt_buf_text(&o.b), SECRET));
        const struct denial *denial = denials_at(o.s.denials, 0);
        assert_string_equal(denial->target, "svc");
        assert_has(denial->rule, "no token for it: ");
        assert_has(denial->rule, rows[i].why);
        assert_int_equal(upstream_connections(o.upstream), 0);
        one_stop(&o);
    }
}

static void serve_much(int fd, void *data)
{
    struct nt_buf b = NT_BUF(65536);
    static char much[OAUTH_ANSWER_MAX + 100];
    static const char head[] = JSON "{\"access_token\":\"a\",\"x\":\"";
    stage_read(fd, &b, "extra=a%26b");
    memset(much, 'x', sizeof(much));
    stage_send(fd, head, sizeof(head) - 1);
    stage_send(fd, much, sizeof(much));
    stage_send(fd, "\"}", 2);
    nt_buf_done(&b);
}

static void answers_are_bounded(void **state)
{
    struct one o;
    uint16_t port;
    char url[64];
    struct upstream *u = upstream_new(serve_much, NULL, &port);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/t", (unsigned)port);
    one_start(&o, "", "env://TEST_OAUTH", url);
    ask(&o);
    assert_has(nt_buf_text(&o.b), "HTTP/1.1 502 ");
    assert_has(nt_buf_text(&o.b), "larger than 64 KiB");
    one_stop(&o);
    upstream_free(u);
}

/* What the program can do as often as it likes, a server that refuses is not asked as often. */
static void a_failure_is_the_answer_for_a_while(void **state)
{
    struct one o;
    one_start(&o, "HTTP/1.1 401 No\r\nConnection: close\r\n\r\n", "env://TEST_OAUTH", NULL);
    unsigned requests = 0;
    struct timespec begin, now;
    clock_gettime(CLOCK_BOOTTIME, &begin);
    do {
        ask(&o);
        assert_has(nt_buf_text(&o.b), "status 401");
        requests++;
        clock_gettime(CLOCK_BOOTTIME, &now);
    } while (atomic_load(&o.endpoint.asked) < 2 && now.tv_sec - begin.tv_sec < 60);
    assert_int_equal(atomic_load(&o.endpoint.asked), 2); /* it is asked again, but not at once */
    assert_true((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000
                >= 1900);
    assert_true(requests >= 2);
    one_stop(&o);
}

static void a_secret_that_is_not_there_is_told_at_the_start(void **state)
{
    struct one o;
    one_start(&o, "", "env://TEST_NO_SUCH", NULL);
    assert_string_equal(o.s.warnings,
                        "the client secret of svc cannot be read: the variable TEST_NO_SUCH is not "
                        "set; its requests are refused with 503\n");
    ask(&o);
    assert_has(nt_buf_text(&o.b), "HTTP/1.1 503 ");
    assert_int_equal(atomic_load(&o.endpoint.asked), 0);
    assert_string_equal(denials_at(o.s.denials, 0)->rule, "its credential could not be read");
    one_stop(&o);

    struct policy_texts names = { 0 };
    struct nt_error e = NT_ERROR_INIT;
    const struct policy_auth auth = { .client_id = "env://ID", .client_secret = "env://SECRET" };
    struct policy_route route = { .name = "svc", .auth = &auth };
    const struct policy policy = { .routes = &route, .route_count = 1 };
    assert_int_equal(proxy_secret_names(&policy, &names, &e), 0);
    assert_int_equal(names.count, 2);
    assert_string_equal(names.at[0], "ID");
    assert_string_equal(names.at[1], "SECRET");
    free(names.at);
}

static void lifetimes_are_read(void **state)
{
    static const struct {
        const char *rest;
        int64_t ms;
    } rows[] = {
        { "", 270000 },
        { ",\"expires_in\":3600", 3540000 },
        { ",\"expires_in\":\"3600\"", 3540000 },
        { ",\"expires_in\":100.9", 90000 },
        { ",\"expires_in\":1e300", 86340000 },
        { ",\"expires_in\":9223372036854775807", 86340000 },
        { ",\"expires_in\":1", 0 },
        { ",\"expires_in\":-5", 0 },
        { ",\"expires_in\":-1e300", 0 },
        { ",\"expires_in\":\"soon\"", 0 },
        { ",\"expires_in\":{}", 0 },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[128], *token = NULL;
        int64_t ms = -1;
        snprintf(text, sizeof(text), "{\"access_token\":\"a\"%s}", rows[i].rest);
        assert_null(oauth_read(text, strlen(text), &token, &ms));
        assert_string_equal(token, "a");
        assert_int_equal(ms, rows[i].ms);
        secret_free(token);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_is_asked_for_once),
        cmocka_unit_test(one_that_has_ended_is_asked_for_anew),
        cmocka_unit_test(requests_wait_for_one_exchange),
        cmocka_unit_test(an_exchange_ends_with_the_proxy),
        cmocka_unit_test(what_is_no_token_is_refused),
        cmocka_unit_test(answers_are_bounded),
        cmocka_unit_test(a_failure_is_the_answer_for_a_while),
        cmocka_unit_test(a_secret_that_is_not_there_is_told_at_the_start),
        cmocka_unit_test(lifetimes_are_read),
    };
    setenv("TEST_OAUTH", SECRET, 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
