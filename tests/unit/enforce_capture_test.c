/* SPDX-License-Identifier: Apache-2.0 */
/* enforce_capture_test.c - commands that print the credential of a service: what counts of what
 * they print, for which requests it is kept, and how many run at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/net/net.h"
#include "plugins/sandbox-enforce/proxy/capture.h"
#include "plugins/sandbox-enforce/proxy/source.h"
#include "sdk/error.h"
#include "tests/unit/enforce_proxy_stage.h"

#define CLOSE "Connection: close\r\n\r\n"
#define AUTH "Authorization: Bearer " STAGE_TOKEN "\r\n"

static char folder[64]; /* with two pipes: "started" and "go" */

static int set_up(void **state)
{
    char path[96];
    snprintf(folder, sizeof(folder), "/tmp/nt-capture-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof(path), "%s/started", folder);
    if (mkfifo(path, 0600) < 0)
        return -1;
    snprintf(path, sizeof(path), "%s/go", folder);
    return mkfifo(path, 0600);
}

static int tear_down(void **state)
{
    char path[96];
    snprintf(path, sizeof(path), "%s/started", folder);
    unlink(path);
    snprintf(path, sizeof(path), "%s/go", folder);
    unlink(path);
    return rmdir(folder);
}

static int open_pipe(const char *name)
{
    char path[96];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

/* --- what is printed ------------------------------------------------------------------------- */

static const char *read_answer(const struct policy_capture *policy, const char *text,
                               struct token **ret)
{
    static char answer[CAPTURE_ANSWER_MAX + 1];
    snprintf(answer, sizeof(answer), "%s", text);
    *ret = NULL;
    return capture_read(policy, answer, strlen(answer), ret);
}

static void texts_are_read(void **state)
{
    const struct policy_capture policy = { .name = "x" };
    struct token *token;
    static const char *const bad[] = { "", "\n", "a\nb", "a\tb", "a\x7f", "a\r\nb\n" };
    assert_null(read_answer(&policy, "tok en\r\n", &token));
    assert_string_equal(token_text(token), "tok en");
    token_unref(token);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_non_null(read_answer(&policy, bad[i], &token));
    char zero[] = "a\0b";
    assert_non_null(capture_read(&policy, zero, 3, &token));
}

static void headers_are_read(void **state)
{
    const char *names[] = { "Authorization", "X-Key" };
    struct policy_capture policy = { .prints_headers = true, .headers = { names, 2 } };
    struct net_header headers[SOURCE_HEADERS_MAX];
    struct token *token;
    static const char *const bad[] = {
        "[]",
        "{}",
        "{\"headers\":{}}",
        "{\"headers\":[]}",
        "{\"headers\":{\"X-Other\":\"a\"}}",
        "{\"headers\":{\"X-Key\":7}}",
        "{\"headers\":{\"X-Key\":\"\"}}",
        "{\"headers\":{\"X-Key\":\"a\\r\\nb\"}}",
        "{\"headers\":{\"X-Key\":\"a\\u0000b\"}}",
        "{\"headers\":{\"X-Key\":\"a\",\"x-key\":\"b\"}}",
        "{\"headers\":{\"X-Key\":\"a\"}",
        "tok",
    };
    assert_null(read_answer(
        &policy, "{\"headers\":{\"x-key\":\"k\",\"Authorization\":\"Basic b\"}}\n", &token));
    assert_int_equal(token_headers(token, headers), 2);
    assert_string_equal(headers[0].name, "x-key");
    assert_string_equal(headers[0].value, "k");
    assert_string_equal(headers[1].value, "Basic b");
    assert_string_equal(token_text(token), "");
    token_unref(token);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_non_null(read_answer(&policy, bad[i], &token));
    /* A provider says itself which of the two it is. */
    policy.config = "{}";
    assert_null(read_answer(
        &policy, "{\"material\":{\"type\":\"headers\",\"headers\":{\"X-Key\":\"k\"}}}", &token));
    assert_int_equal(token_headers(token, headers), 1);
    token_unref(token);
    assert_null(
        read_answer(&policy, "{\"material\":{\"type\":\"secret\",\"value\":\"v\"}}", &token));
    assert_string_equal(token_text(token), "v");
    token_unref(token);
    static const char *const no_material[] = {
        "{\"value\":\"v\"}",
        "{\"material\":\"v\"}",
        "{\"material\":{\"value\":\"v\"}}",
        "{\"material\":{\"type\":\"file\",\"value\":\"v\"}}",
        "{\"material\":{\"type\":\"secret\"}}",
        "{\"material\":{\"type\":\"secret\",\"value\":\"a\\nb\"}}",
        "{\"material\":{\"type\":\"headers\",\"value\":\"v\"}}",
    };
    for (size_t i = 0; i < sizeof(no_material) / sizeof(no_material[0]); i++)
        assert_non_null(read_answer(&policy, no_material[i], &token));
}

static void scopes_are_found(void **state)
{
    static const struct {
        const char *pattern, *path, *scope; /* NULL: none */
    } rows[] = {
        { "^/(?:repos/|orgs/)?([^/]+)", "/repos/one/two", "one" },
        { "^/(?:repos/|orgs/)?([^/]+)", "/", NULL },
        { "^/(a|ab)(c|bcd)?", "/abcd", "a" }, /* the first that fits, not the longest */
        { "v[0-9]+?", "/v12/x", "v1" },
        { "/(x)?y", "/y", "/y" },
        { "\\d+", "/a/77/b", "77" },
    };
    char scope[CAPTURE_SCOPE_MAX];
    struct nt_error e = NT_ERROR_INIT;
    struct scope *s = NULL;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(scope_new(rows[i].pattern, &s, &e), 0);
        assert_int_equal(scope_of(s, rows[i].path, scope),
                         rows[i].scope ? SCOPE_FOUND : SCOPE_NONE);
        if (rows[i].scope)
            assert_string_equal(scope, rows[i].scope);
        scope_free(s);
    }
    assert_int_equal(scope_new("(a", &s, &e), -1);
    assert_non_null(strstr(e.message, "character"));
    /* What the program chooses takes neither for ever nor much room. */
    char path[4096];
    memset(path, 'a', sizeof(path) - 1);
    path[sizeof(path) - 2] = '!';
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(scope_new("^(a+)+$", &s, &e), 0);
    assert_int_equal(scope_of(s, path, scope), SCOPE_TOO_LONG);
    scope_free(s);
    assert_int_equal(scope_new("^a+", &s, &e), 0);
    assert_int_equal(scope_of(s, path, scope), SCOPE_TOO_LONG);
    scope_free(s);
}

/* --- runs ------------------------------------------------------------------------------------ */

struct one {
    struct stage s;
    struct policy_route route;
    struct policy_capture capture;
    const char *words[4], *programs[1];
    struct upstream *upstream;
    char url[64];
    struct nt_buf b;
};

/* A shell that tells that it has begun, waits for a line, and prints. */
static void one_start(struct one *o, const char *pattern)
{
    static const char script[] = "echo $$ > \"$0/started\"; read line < \"$0/go\"; echo tok-$line";
    uint16_t port;
    memset(o, 0, sizeof(*o));
    o->b = (struct nt_buf)NT_BUF(1 << 20);
    o->upstream = upstream_new(upstream_echo, NULL, &port);
    snprintf(o->url, sizeof(o->url), "http://127.0.0.1:%u/v1", (unsigned)port);
    o->words[0] = "sh";
    o->words[1] = "-c";
    o->words[2] = script;
    o->words[3] = folder;
    o->programs[0] = "/bin/sh";
    o->capture = (struct policy_capture){
        .name = "it", .words = { o->words, 4 }, .timeout_s = 300, .kept_s = 900, .pattern = pattern
    };
    o->route = (struct policy_route){
        .name = "svc", .upstream = o->url, .key = "cmd://it", .capture = &o->capture
    };
    o->s.policy.routes = &o->route;
    o->s.policy.route_count = 1;
    o->s.captures = o->programs;
    stage_start(&o->s, 0);
}

static int send_one(struct one *o, unsigned path)
{
    char request[256];
    int fd = stage_connect(&o->s);
    int n =
        snprintf(request, sizeof(request), "GET /svc/%u HTTP/1.1\r\nHost: x\r\n" AUTH CLOSE, path);
    stage_send(fd, request, (size_t)n);
    return fd;
}

static const char *answer_of(struct one *o, int fd)
{
    nt_buf_reset(&o->b);
    stage_read(fd, &o->b, NULL);
    close(fd);
    return nt_buf_text(&o->b);
}

/* The number of one that has begun. */
static pid_t await_start(int started)
{
    char line[32] = "";
    size_t size = 0;
    while (size + 1 < sizeof(line) && read(started, line + size, 1) == 1 && line[size] != '\n')
        size++;
    return (pid_t)strtol(line, NULL, 10);
}

static void requests_wait_for_one_run(void **state)
{
    struct one o;
    int fds[8], started = open_pipe("started"), go = open_pipe("go");
    one_start(&o, NULL);
    /* The first goes away while it waits. */
    int gone = send_one(&o, 0);
    assert_true(await_start(started) > 0);
    close(gone);
    for (unsigned i = 0; i < 8; i++)
        fds[i] = send_one(&o, i);
    /* They are all there: another route answers behind them. */
    stage_ask(&o.s, &o.b, "GET /none HTTP/1.1\r\nHost: x\r\n" CLOSE);
    assert_non_null(strstr(nt_buf_text(&o.b), " 404 "));
    assert_int_equal(write(go, "1\n", 2), 2);
    for (unsigned i = 0; i < 8; i++)
        assert_non_null(strstr(answer_of(&o, fds[i]), "Authorization: Bearer tok-1\r\n"));
    assert_non_null(strstr(answer_of(&o, send_one(&o, 9)), "Authorization: Bearer tok-1\r\n"));
    stage_stop(&o.s);
    upstream_free(o.upstream);
    nt_buf_done(&o.b);
    close(started);
    close(go);
}

/* The program chooses paths: so many processes do not run for it. */
static void runs_are_few_and_end_with_the_proxy(void **state)
{
    struct one o;
    int fds[4], started = open_pipe("started"), go = open_pipe("go");
    pid_t pids[4];
    one_start(&o, "^/[0-9]+");
    for (unsigned i = 0; i < 4; i++)
        fds[i] = send_one(&o, i);
    for (unsigned i = 0; i < 4; i++) {
        pids[i] = await_start(started);
        assert_true(pids[i] > 0 && kill(pids[i], 0) == 0);
    }
    const char *answer = answer_of(&o, send_one(&o, 77));
    assert_non_null(strstr(answer, " 503 "));
    assert_non_null(strstr(answer, "too many of it"));
    stage_stop(&o.s);
    for (unsigned i = 0; i < 4; i++) {
        waitpid(pids[i], NULL, 0); /* or it was waited for */
        assert_int_equal(kill(pids[i], 0), -1);
        assert_int_equal(errno, ESRCH);
        close(fds[i]);
    }
    upstream_free(o.upstream);
    nt_buf_done(&o.b);
    close(started);
    close(go);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_read),
        cmocka_unit_test(headers_are_read),
        cmocka_unit_test(scopes_are_found),
        cmocka_unit_test_setup_teardown(requests_wait_for_one_run, set_up, tear_down),
        cmocka_unit_test_setup_teardown(runs_are_few_and_end_with_the_proxy, set_up, tear_down),
    };
    /* As in the supervisor. */
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGCHLD);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
