/* SPDX-License-Identifier: Apache-2.0 */
/* api_talk_test.c - requests and streams against a server that misbehaves as its script says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/api/api.h"
#include "core/config/credentials.h"
#include "core/config/paths.h"
#include "core/net/ws_parse.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define OK_BODY "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Request-Id: req_1\r\n\r\n{}"

/* --- the server: one step of the script for each request ----------------------------------- */

#define STEPS 8
#define HANG "hang"     /* read the request, say nothing until the client goes */
#define INTERRUPT "int" /* the same, and this process gets SIGINT */
#define CLOSE "close"   /* read the request, close */
#define DRIP "drip"     /* read the request, then a body without end */
#define UPLOAD "upload" /* read the whole body, answer with its length */
#define WS "ws"         /* accept the WebSocket, say hello in one message */

struct server {
    int listener;
    pthread_t thread;
    char url[64];
    const char *script[STEPS];
    char requests[STEPS][8192];
    /* read while the thread runs; what came before is seen with them */
    atomic_int connections, count;
    int stop[2];
};

static size_t content_length(const char *head)
{
    const char *at = strcasestr(head, "Content-Length: ");
    return at ? strtoull(at + 16, NULL, 10) : 0;
}

/* Reads one request, of a long body only the beginning; false: the client is gone. */
static bool read_request(struct server *s, int fd, char *ret, size_t size, size_t *ret_body)
{
    char more[65536];
    size_t kept = 0, got = 0, wanted = SIZE_MAX; /* bytes of head and body */
    while (got < wanted) {
        struct pollfd ready[2] = { { .fd = fd, .events = POLLIN },
                                   { .fd = s->stop[0], .events = POLLIN } };
        if (poll(ready, 2, 10000) <= 0 || ready[1].revents)
            return false;
        ssize_t n = recv(fd, more, sizeof(more), 0);
        if (n <= 0)
            return false;
        size_t keep = (size_t)n < size - 1 - kept ? (size_t)n : size - 1 - kept;
        memcpy(ret + kept, more, keep);
        kept += keep;
        ret[kept] = '\0';
        got += (size_t)n;
        const char *end = wanted == SIZE_MAX ? strstr(ret, "\r\n\r\n") : NULL;
        if (end) {
            *ret_body = content_length(ret);
            wanted = (size_t)(end - ret) + 4 + *ret_body;
        }
    }
    return true;
}

static void wait_for_end(struct server *s, int fd)
{
    struct pollfd ready[2] = { { .fd = fd, .events = POLLIN },
                               { .fd = s->stop[0], .events = POLLIN } };
    poll(ready, 2, 10000);
}

static void put(int fd, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t n = send(fd, text, size, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        text += n;
        size -= (size_t)n;
    }
}

static void accept_ws(int fd, const char *request)
{
    char accept[32], head[256];
    const char *key = strcasestr(request, "Sec-WebSocket-Key: ");
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(64);
    if (!key)
        return;
    nt_buf_add_bytes(&text, key + 19, strcspn(key + 19, "\r"));
    if (!ws_key_accept(nt_buf_text(&text), accept))
        return;
    int n = snprintf(head, sizeof(head),
                     "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Accept: %s\r\n\r\n\x82\x05hello",
                     accept);
    put(fd, head, (size_t)n);
}

static bool play(struct server *s, int fd, const char *step, size_t body)
{
    if (strcmp(step, WS) == 0) {
        accept_ws(fd, s->requests[s->count - 1]);
        wait_for_end(s, fd);
        return false;
    }
    if (strcmp(step, CLOSE) == 0)
        return false;
    if (strcmp(step, HANG) == 0 || strcmp(step, INTERRUPT) == 0) {
        if (strcmp(step, INTERRUPT) == 0)
            kill(getpid(), SIGINT);
        wait_for_end(s, fd);
        return false;
    }
    if (strcmp(step, DRIP) == 0) {
        static const char head[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        char chunk[4096 + 16] = "1000\r\n";
        memset(chunk + 6, 'x', 4096);
        memcpy(chunk + 6 + 4096, "\r\n", 2);
        put(fd, head, sizeof(head) - 1);
        for (;;) {
            struct pollfd room[2] = { { .fd = fd, .events = POLLOUT | POLLIN },
                                      { .fd = s->stop[0], .events = POLLIN } };
            if (poll(room, 2, 10000) <= 0 || room[1].revents || (room[0].revents & ~POLLOUT)
                || send(fd, chunk, 6 + 4096 + 2, MSG_NOSIGNAL) <= 0)
                return false;
        }
    }
    if (strcmp(step, UPLOAD) == 0) {
        char answer[128], json[48];
        int n = snprintf(json, sizeof(json), "{\"bytes\":%zu}", body);
        n = snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", n,
                     json);
        put(fd, answer, (size_t)n);
        return true;
    }
    put(fd, step, strlen(step));
    return true;
}

static void *serve(void *data)
{
    struct server *s = data;
    for (;;) {
        struct pollfd ready[2] = { { .fd = s->listener, .events = POLLIN },
                                   { .fd = s->stop[0], .events = POLLIN } };
        if (poll(ready, 2, 20000) <= 0 || ready[1].revents)
            return NULL;
        int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        s->connections++;
        while (s->count < STEPS && s->script[s->count]) {
            size_t body = 0;
            if (!read_request(s, fd, s->requests[s->count], sizeof(s->requests[0]), &body))
                break;
            const char *step = s->script[s->count++];
            if (!play(s, fd, step, body))
                break;
        }
        close(fd);
    }
}

static void server_start(struct server *s)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t size = sizeof(a);
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->listener, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(s->listener, 16), 0);
    assert_int_equal(getsockname(s->listener, (struct sockaddr *)&a, &size), 0);
    snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%u", ntohs(a.sin_port));
    assert_int_equal(pipe(s->stop), 0);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void server_stop(struct server *s)
{
    assert_int_equal(write(s->stop[1], "x", 1), 1);
    pthread_join(s->thread, NULL);
    close(s->stop[0]);
    close(s->stop[1]);
    close(s->listener);
}

/* --- one command against it ---------------------------------------------------------------- */

static char home[64];

struct command {
    struct server server;
    struct config *config;
    struct api *api;
    struct nt_error e;
    struct nt_response response;
};

static struct command *command_new(int64_t timeout_ms, const char *const *script,
                                   const char *prefix)
{
    struct command *c = calloc(1, sizeof(*c));
    assert_non_null(c);
    c->e = (struct nt_error)NT_ERROR_INIT;
    c->response.size = sizeof(c->response);
    for (int i = 0; script[i]; i++)
        c->server.script[i] = script[i];
    server_start(&c->server);
    char url[128];
    snprintf(url, sizeof(url), "%s%s", c->server.url, prefix);
    const struct config_options options = { .personality = NT_AS_NANOTERM,
                                            .flag_api = url,
                                            .flag_org = "org_1" };
    assert_int_equal(config_load(&options, &c->config, &c->e), 0);
    const struct api_options api = { .config = c->config,
                                     .timeout_ms = timeout_ms,
                                     .retries = true };
    assert_int_equal(api_new(&api, &c->api, &c->e), 0);
    return c;
}

static void command_free(struct command *c)
{
    api_free(c->api);
    config_free(c->config);
    server_stop(&c->server);
    free(c);
}

#define SCRIPT(...) ((const char *const[]){ __VA_ARGS__, NULL })

static int ask(struct command *c, const char *method, const char *body, uint32_t flags)
{
    const struct nt_request req = { .size = sizeof(req),
                                    .flags = flags,
                                    .method = method,
                                    .path = "/v1/x?a=%2F",
                                    .body = { body, body ? strlen(body) : 0 } };
    return api_request(c->api, &req, &c->response, &c->e);
}

static int setup(void **state)
{
    (void)state;
    snprintf(home, sizeof(home), "/tmp/nt-api-XXXXXX");
    assert_non_null(mkdtemp(home));
    setenv("HOME", home, 1);
    setenv("NANOTERM_API_KEY", "nt_key", 1);
    config_paths_reset();
    return chdir(home);
}

static int teardown(void **state)
{
    (void)state;
    char path[128];
    snprintf(path, sizeof(path), "%s/.env", home);
    unlink(path);
    return chdir("/") || rmdir(home);
}

/* --- tests --------------------------------------------------------------------------------- */

static void a_request_carries_what_it_must(void **state)
{
    (void)state;
    struct command *c = command_new(5000, SCRIPT(OK_BODY, OK_BODY), "/prefix/");
    assert_int_equal(ask(c, "POST", "{\"a\":1}", 0), 0);
    assert_int_equal(c->response.status, 200);
    assert_int_equal(c->response.body.size, 2);
    assert_string_equal(c->response.request_id, "req_1");
    assert_string_equal(api_header(c->api, &c->response, "x-request-id"), "req_1");
    assert_null(api_header(c->api, &c->response, "nope"));
    assert_int_equal(ask(c, "GET", NULL, NT_REQ_NO_AUTH), 0);
    const char *first = c->server.requests[0], *second = c->server.requests[1];
    static const char *const wanted[] = { "POST /prefix/v1/x?a=%2F HTTP/1.1\r\n",
                                          "Authorization: Bearer nt_key\r\n",
                                          "X-Nanoterm-Org: org_1\r\n",
                                          "X-Nanoterm-Wire: 1\r\n",
                                          "Idempotency-Key: ",
                                          "X-Request-Id: ",
                                          "User-Agent: nanoterm/",
                                          "Accept: application/json\r\n",
                                          "Content-Type: application/json\r\n",
                                          "\r\n\r\n{\"a\":1}" };
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        if (!strstr(first, wanted[i]))
            fail_msg("'%s' is not in:\n%s", wanted[i], first);
    assert_null(strstr(second, "Authorization"));
    assert_null(strstr(second, "Idempotency-Key"));
    assert_null(strstr(first, "X-Nanoterm-Local-Token"));
    assert_int_equal(c->server.connections, 1); /* kept */
    command_free(c);
}

static const char *key_of(const char *request)
{
    const char *at = strstr(request, "Idempotency-Key: ");
    assert_non_null(at);
    return at;
}

static void a_lost_post_is_repeated_with_its_key(void **state)
{
    (void)state;
    struct command *c = command_new(8000, SCRIPT(CLOSE, OK_BODY), "");
    assert_int_equal(ask(c, "POST", "{}", 0), 0);
    assert_int_equal(c->server.count, 2);
    assert_memory_equal(key_of(c->server.requests[0]), key_of(c->server.requests[1]), 17 + 36);
    command_free(c);
}

static void a_lost_patch_is_not(void **state)
{
    (void)state;
    struct command *c = command_new(8000, SCRIPT(CLOSE, OK_BODY), "");
    assert_int_equal(ask(c, "PATCH", "{}", 0), -1);
    assert_int_equal(c->e.code, NT_E_CLOSED);
    assert_int_equal(c->e.request_sent, 1);
    assert_int_equal(c->e.attempt, 1);
    assert_int_equal(c->server.count, 1);
    assert_int_equal(ask(c, "PATCH", "{}", NT_REQ_KEY), 0); /* with a key it would have been */
    command_free(c);
}

static void nobody_listens(void **state)
{
    (void)state;
    struct command *c = command_new(700, SCRIPT(OK_BODY), "");
    server_stop(&c->server);
    assert_int_equal(ask(c, "POST", "{}", 0), -1);
    assert_int_equal(c->e.code, NT_E_CONNECT);
    assert_int_equal(c->e.request_sent, 0);
    assert_string_equal(c->e.upstream, "ECONNREFUSED");
    assert_true(c->e.attempt >= 2);
    assert_int_equal(ask(c, "GET", NULL, NT_REQ_NO_RETRY), -1);
    assert_int_equal(c->e.attempt, 1);
    api_free(c->api);
    config_free(c->config);
    free(c);
}

static void a_rate_limit_is_waited_out(void **state)
{
    (void)state;
    struct command *c = command_new(
        8000,
        SCRIPT("HTTP/1.1 429 Slow\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n",
               "HTTP/1.1 429 Slow\r\nRetry-After: 0.01\r\nContent-Length: 0\r\n\r\n", OK_BODY),
        "");
    assert_int_equal(ask(c, "PATCH", "{}", 0), 0);
    assert_int_equal(c->server.count, 3);
    command_free(c);
}

static void the_deadline_ends_it(void **state)
{
    (void)state;
    struct command *c = command_new(200, SCRIPT(HANG, HANG), "");
    int64_t before = api_loop(c->api)->ops->now_ms(api_loop(c->api));
    assert_int_equal(ask(c, "GET", NULL, 0), -1);
    int64_t took = api_loop(c->api)->ops->now_ms(api_loop(c->api)) - before;
    assert_int_equal(c->e.code, NT_E_TIMEOUT);
    assert_int_equal(c->e.request_sent, 1);
    assert_int_equal(c->e.attempt, 1);
    assert_in_range(took, 150, 2000);
    command_free(c);
}

static void interrupt(void *data)
{
    (void)data;
    kill(getpid(), SIGINT);
}

static void ctrl_c_ends_it(void **state)
{
    (void)state;
    struct command *c = command_new(20000, SCRIPT(INTERRUPT), "");
    assert_int_equal(ask(c, "GET", NULL, 0), -1);
    assert_int_equal(c->e.code, NT_E_CANCELLED);
    assert_int_equal(c->e.request_sent, 1);
    command_free(c);
}

static void on_own_signal(void *data, int signo, uint32_t zero)
{
    (void)zero;
    *(uint32_t *)data = (uint32_t)signo;
}

static void a_plugin_that_watches_a_signal_gets_it(void **state)
{
    (void)state;
    struct command *c = command_new(5000, SCRIPT(HANG), "");
    uint32_t seen = 0;
    struct nt_loop *loop = api_loop(c->api);
    struct nt_watch *watch = loop->ops->signal(loop, SIGINT, on_own_signal, &seen);
    struct nt_timer *timer = loop->ops->timer(loop, 1, 0, interrupt, NULL);
    assert_int_equal(api_wait(c->api, &seen, &c->e), 0);
    assert_int_equal(seen, SIGINT);
    loop->ops->timer_end(timer);
    loop->ops->watch_end(watch);
    seen = 0;
    timer = loop->ops->timer(loop, 1, 0, interrupt, NULL);
    assert_int_equal(api_wait(c->api, &seen, &c->e), -1);
    assert_int_equal(c->e.code, NT_E_CANCELLED);
    loop->ops->timer_end(timer);
    command_free(c);
}

static void a_long_answer_is_cut_off(void **state)
{
    (void)state;
    struct command *c = command_new(
        8000, SCRIPT(DRIP, "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"), "");
    assert_int_equal(ask(c, "GET", NULL, 0), -1);
    assert_int_equal(c->e.code, NT_E_RESPONSE);
    assert_int_equal(ask(c, "GET", NULL, 0), -1);
    assert_int_equal(c->e.code, NT_E_RESPONSE);
    assert_int_equal(c->server.count, 2);
    command_free(c);
}

static void answers_that_are_no_success(void **state)
{
    (void)state;
#define SAYS(status, body) "HTTP/1.1 " status " X\r\nConnection: close\r\n\r\n" body
    static const struct {
        const char *answer, *message, *server_code, *hint;
        uint32_t code;
    } cases[] = {
        { SAYS("404", "{\"error\":\"no\\u001b[31m "
                      "such\",\"code\":\"sandbox_not_found\",\"suggested_action\":\"look\"}"),
          "no\\x1b[31m such", "sandbox_not_found", "look", NT_E_NOT_FOUND },
        { SAYS("409",
               "{\"error\":{\"message\":\"busy\",\"request_id\":\"r\"},\"code\":\"conflict\"}"),
          "busy", "conflict", "", NT_E_CONFLICT },
        { SAYS("426", "{\"error\":\"run this\",\"code\":\"CLI_VERSION_TOO_OLD\"}"), "run this",
          "CLI_VERSION_TOO_OLD",
          "update this program and try again: npm install -g @nanoterm/cli@latest",
          NT_E_CLIENT_OLD },
        { SAYS("426", "{\"error\":\"old\",\"code\":\"CLI_VERSION_TOO_OLD\","
                      "\"suggested_action\":\"run that\"}"),
          "old", "CLI_VERSION_TOO_OLD", "run that", NT_E_CLIENT_OLD },
        { SAYS("400", "[1]"), "the server answered with status 400: [1]", "", "", NT_E_INVALID },
        { SAYS("500", "{\"error\":{\"code\":5}}"), "the server answered with status 500", "", "",
          NT_E_SERVER },
        { SAYS("401", "<html>"), "the server answered with status 401", "", "", NT_E_AUTH },
        { "HTTP/1.1 302 X\r\nLocation: http://evil/\r\nContent-Length: 0\r\n\r\n",
          "the server answered GET with a redirect to http://evil/, which is not followed", "", "",
          NT_E_RESPONSE },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct command *c = command_new(5000, SCRIPT(cases[i].answer), "");
        assert_int_equal(ask(c, "GET", NULL, 0), -1);
        assert_int_equal(c->e.code, cases[i].code);
        assert_string_equal(c->e.message, cases[i].message);
        assert_string_equal(c->e.server_code, cases[i].server_code);
        assert_string_equal(c->e.hint, cases[i].hint);
        assert_int_equal(c->e.request_sent, 1);
        command_free(c);
    }
}

static void a_header_cannot_break_out(void **state)
{
    (void)state;
    struct command *c = command_new(5000, SCRIPT(OK_BODY), "");
    static const struct nt_header bad[] = { { "X-A", "b\r\nX-C: d" },
                                            { "X A", "b" },
                                            { "Authorization", "mine" },
                                            { "Content-Length", "5" },
                                            { "host", "x" } };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const struct nt_request req = { .size = sizeof(req),
                                        .method = "GET",
                                        .path = "/v1/x",
                                        .headers = { &bad[i], 1, sizeof(bad[0]) } };
        assert_int_equal(api_request(c->api, &req, &c->response, &c->e), -1);
        assert_int_equal(c->e.code, NT_E_USAGE);
    }
    static const char *const paths[] = { "v1", "/a b", "/a\r\nX: y", "/a#b", "" };
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        const struct nt_request req = { .size = sizeof(req), .method = "GET", .path = paths[i] };
        assert_int_equal(api_request(c->api, &req, &c->response, &c->e), -1);
        assert_int_equal(c->e.code, NT_E_USAGE);
    }
    assert_int_equal(c->server.count, 0);
    command_free(c);
}

static void an_untrusted_api_sees_no_connection(void **state)
{
    (void)state;
    struct command *c = command_new(5000, SCRIPT(OK_BODY), "");
    api_free(c->api);
    config_free(c->config);
    char text[128];
    int n = snprintf(text, sizeof(text), "NANOTERM_API_URL=%s\n", c->server.url);
    FILE *file = fopen(".env", "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, (size_t)n, file), (size_t)n);
    fclose(file);
    assert_int_equal(chmod(".env", 0600), 0);
    const struct config_options options = { .personality = NT_AS_NANOTERM };
    assert_int_equal(config_load(&options, &c->config, &c->e), 0);
    const struct api_options api = { .config = c->config, .timeout_ms = 5000, .retries = true };
    assert_int_equal(api_new(&api, &c->api, &c->e), 0);
    assert_int_equal(ask(c, "POST", "{\"data\":1}", 0), -1);
    assert_int_equal(c->e.code, NT_E_UNTRUSTED_API);
    assert_int_equal(c->e.request_sent, 0);
    struct nt_stream *stream = NULL;
    const struct nt_open open = { .size = sizeof(open), .kind = NT_OPEN_WS, .path = "/v1/x" };
    assert_int_equal(api_open(c->api, &open, &stream, &c->response, &c->e), -1);
    assert_int_equal(c->e.code, NT_E_UNTRUSTED_API);
    assert_int_equal(c->server.connections, 0);
    command_free(c);
}

/* --- streams ------------------------------------------------------------------------------- */

struct ear {
    uint64_t credit, bytes;
    uint32_t opened, ended, closed, writable, some;
    struct nt_error reason;
    bool in_call; /* no event may come from inside a call */
};

static void on_open(void *data, struct nt_stream *stream)
{
    (void)stream;
    struct ear *ear = data;
    assert_false(ear->in_call);
    ear->opened++;
}

static void on_data(void *data, struct nt_stream *stream, struct nt_bytes bytes, uint32_t flags)
{
    (void)flags;
    struct ear *ear = data;
    assert_int_equal(ear->opened, 1);
    ear->bytes += bytes.size;
    ear->some = 1;
    assert_true(ear->bytes <= ear->credit);
    (void)stream;
}

static void on_end(void *data, struct nt_stream *stream)
{
    (void)stream;
    ((struct ear *)data)->ended++;
}

static void on_writable(void *data, struct nt_stream *stream, uint64_t credit)
{
    (void)stream;
    (void)credit;
    ((struct ear *)data)->writable++;
}

static void on_close(void *data, struct nt_stream *stream, const struct nt_error *reason)
{
    (void)stream;
    struct ear *ear = data;
    assert_false(ear->in_call);
    assert_int_equal(ear->closed, 0);
    ear->closed = 1;
    if (reason)
        ear->reason = *reason;
}

static const struct nt_stream_events ear_events = { .size = sizeof(ear_events),
                                                    .open = on_open,
                                                    .data = on_data,
                                                    .end = on_end,
                                                    .writable = on_writable,
                                                    .close = on_close };

static struct nt_stream *open_body(struct command *c, struct ear *ear, const char *method,
                                   int64_t size)
{
    struct nt_stream *stream = NULL;
    const struct nt_open open = { .size = sizeof(open),
                                  .kind = NT_OPEN_BODY,
                                  .method = method,
                                  .path = "/v1/f",
                                  .body_bytes = size,
                                  .events = &ear_events,
                                  .data = ear };
    ear->in_call = true;
    int status = api_open(c->api, &open, &stream, &c->response, &c->e);
    ear->in_call = false;
    return status < 0 ? NULL : stream;
}

static void a_download_flows_by_credit(void **state)
{
    (void)state;
    struct command *c = command_new(
        5000, SCRIPT("HTTP/1.1 200 OK\r\nX-Size: 10\r\nContent-Length: 10\r\n\r\n0123456789"), "");
    struct ear ear = { .credit = 4 };
    struct nt_stream *stream = open_body(c, &ear, "GET", 0);
    assert_non_null(stream);
    assert_string_equal(api_header(c->api, &c->response, "X-Size"), "10");
    stream->ops->grant(stream, 4);
    assert_int_equal(api_wait(c->api, &ear.some, &c->e), 0);
    assert_int_equal(ear.bytes, 4);
    ear.credit = 10;
    stream->ops->grant(stream, 6);
    assert_int_equal(api_wait(c->api, &ear.closed, &c->e), 0);
    assert_int_equal(ear.bytes, 10);
    assert_int_equal(ear.ended, 1);
    assert_int_equal(ear.reason.code, 0);
    command_free(c);
}

static void a_download_that_is_not_there(void **state)
{
    (void)state;
    struct command *c = command_new(
        5000, SCRIPT("HTTP/1.1 404 X\r\nContent-Length: 14\r\n\r\n{\"error\":\"no\"}"), "");
    struct ear ear = { 0 };
    assert_null(open_body(c, &ear, "GET", 0));
    assert_int_equal(c->e.code, NT_E_NOT_FOUND);
    assert_string_equal(c->e.message, "no");
    assert_int_equal(ear.closed, 0); /* it never was */
    command_free(c);
}

static void a_broken_download_is_told(void **state)
{
    (void)state;
    struct command *c = command_new(
        5000, SCRIPT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n012\r\nzz\r\n"),
        "");
    struct ear ear = { .credit = 100 };
    struct nt_stream *stream = open_body(c, &ear, "GET", 0);
    assert_non_null(stream);
    stream->ops->grant(stream, 100);
    assert_int_equal(api_wait(c->api, &ear.closed, &c->e), 0);
    assert_int_equal(ear.ended, 0);
    assert_int_equal(ear.reason.code, NT_E_RESPONSE);
    command_free(c);
}

static void an_upload_waits_for_room(void **state)
{
    (void)state;
    enum { TOTAL = 6 * 1024 * 1024, PIECE = 64 * 1024 };
    struct command *c = command_new(20000, SCRIPT(UPLOAD), "");
    struct ear ear = { .credit = 1000 };
    struct nt_stream *stream = open_body(c, &ear, "PUT", TOTAL);
    assert_non_null(stream);
    stream->ops->grant(stream, 1000);
    char *piece = calloc(1, PIECE);
    size_t sent = 0;
    while (sent < TOTAL) {
        if (stream->ops->write(stream, (struct nt_bytes){ piece, PIECE }, 0, &c->e) == 0) {
            sent += PIECE;
            continue;
        }
        assert_int_equal(c->e.code, NT_E_LIMIT);
        ear.writable = 0;
        assert_int_equal(api_wait(c->api, &ear.writable, &c->e), 0);
    }
    free(piece);
    /* beyond what was announced */
    assert_int_equal(stream->ops->write(stream, (struct nt_bytes){ "x", 1 }, 0, &c->e), -1);
    stream->ops->finish(stream);
    assert_int_equal(api_wait(c->api, &ear.closed, &c->e), 0);
    assert_int_equal(ear.reason.code, 0);
    assert_true(ear.bytes > 0);
    assert_int_equal(c->response.status, 200);
    command_free(c);
}

static void cancelling_comes_later_and_once(void **state)
{
    (void)state;
    struct command *c = command_new(5000, SCRIPT(DRIP), "");
    struct ear ear = { .credit = 1000 };
    struct nt_stream *stream = open_body(c, &ear, "GET", 0);
    assert_non_null(stream);
    ear.in_call = true;
    stream->ops->cancel(stream);
    stream->ops->cancel(stream);
    ear.in_call = false;
    assert_int_equal(ear.closed, 0);
    assert_int_equal(api_wait(c->api, &ear.closed, &c->e), 0);
    assert_int_equal(ear.reason.code, NT_E_CANCELLED);
    command_free(c);
}

static void the_deadline_ends_streams(void **state)
{
    (void)state;
    struct command *c = command_new(300, SCRIPT(DRIP), "");
    struct ear ear = { .credit = 0 };
    const uint32_t never = 0;
    assert_non_null(open_body(c, &ear, "GET", 0));
    assert_int_equal(api_wait(c->api, &never, &c->e), -1);
    assert_int_equal(c->e.code, NT_E_TIMEOUT);
    assert_int_equal(ear.closed, 1);
    assert_int_equal(ear.reason.code, NT_E_TIMEOUT);
    command_free(c);
}

static void the_end_of_the_command_ends_streams(void **state)
{
    (void)state;
    struct command *c = command_new(5000, SCRIPT(DRIP), "");
    struct ear ear = { .credit = 0 };
    assert_non_null(open_body(c, &ear, "GET", 0));
    command_free(c);
    assert_int_equal(ear.closed, 1);
    assert_int_equal(ear.reason.code, NT_E_CANCELLED);
}

static void a_refused_websocket_is_an_error(void **state)
{
    (void)state;
    struct command *c = command_new(
        5000,
        SCRIPT("HTTP/1.1 403 X\r\nContent-Length: 20\r\n\r\n{\"code\":\"forbidden\"}", OK_BODY,
               "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               "Sec-WebSocket-Accept: wrong\r\n\r\n"),
        "");
    struct ear ear = { 0 };
    struct nt_stream *stream = NULL;
    const struct nt_open open = { .size = sizeof(open),
                                  .kind = NT_OPEN_WS,
                                  .path = "/v1/x",
                                  .events = &ear_events,
                                  .data = &ear };
    assert_int_equal(api_open(c->api, &open, &stream, &c->response, &c->e), -1);
    assert_int_equal(c->e.code, NT_E_FORBIDDEN);
    /* 200 is no WebSocket */
    assert_int_equal(api_open(c->api, &open, &stream, &c->response, &c->e), -1);
    assert_int_equal(c->e.code, NT_E_RESPONSE);
    assert_int_equal(api_open(c->api, &open, &stream, &c->response, &c->e), -1);
    assert_int_equal(c->e.code, NT_E_RESPONSE);
    assert_int_equal(ear.closed, 0);
    command_free(c);
}

static struct nt_stream *begin_ws(struct command *c, struct ear *ear)
{
    struct nt_stream *stream = NULL;
    const struct nt_open open = { .size = sizeof(open),
                                  .kind = NT_OPEN_WS,
                                  .flags = NT_REQ_NO_RETRY | NT_REQ_BEGIN,
                                  .path = "/v1/x",
                                  .events = &ear_events,
                                  .data = ear };
    ear->in_call = true;
    int status = api_open(c->api, &open, &stream, NULL, &c->e);
    ear->in_call = false;
    return status < 0 ? NULL : stream;
}

struct look {
    struct command *c;
    uint32_t done;
};

static void on_look(void *data)
{
    struct look *look = data;
    look->done = look->c->server.count > 0;
}

/* Until the server has read the first request. */
static void wait_for_request(struct command *c)
{
    struct look look = { .c = c };
    struct nt_loop *loop = api_loop(c->api);
    struct nt_timer *timer = loop->ops->timer(loop, 1, 1, on_look, &look);
    assert_int_equal(api_wait(c->api, &look.done, &c->e), 0);
    loop->ops->timer_end(timer);
}

static void a_begun_websocket_does_not_wait_for_its_answer(void **state)
{
    (void)state;
    struct command *c = command_new(20000, SCRIPT(HANG, WS), "");
    struct ear slow = { 0 }, quick = { .credit = 5 };
    struct nt_stream *first = begin_ws(c, &slow);
    assert_non_null(first);
    assert_int_equal(first->ops->write(first, (struct nt_bytes){ "x", 1 }, 0, &c->e), -1);
    wait_for_request(c); /* without an answer; which of two is made first is not said */
    struct nt_stream *second = begin_ws(c, &quick); /* waits behind the first at that server */
    assert_non_null(second);
    second->ops->grant(second, 5);
    assert_int_equal(slow.opened + slow.closed + quick.opened + quick.closed, 0);
    first->ops->cancel(first);
    assert_int_equal(slow.closed, 0);
    assert_int_equal(api_wait(c->api, &slow.closed, &c->e), 0);
    assert_int_equal(slow.opened, 0);
    assert_int_equal(slow.reason.code, NT_E_CANCELLED);
    assert_int_equal(api_wait(c->api, &quick.some, &c->e), 0);
    assert_int_equal(quick.opened, 1);
    assert_int_equal(quick.writable, 1);
    assert_int_equal(quick.bytes, 5);
    assert_int_equal(second->ops->write(second, (struct nt_bytes){ "x", 1 }, 0, &c->e), 0);
    command_free(c);
    assert_int_equal(quick.closed, 1);
}

static void a_begun_websocket_is_refused_by_its_close(void **state)
{
    (void)state;
    struct command *c = command_new(
        20000,
        SCRIPT("HTTP/1.1 409 X\r\nContent-Length: 27\r\n\r\n{\"code\":\"port_unreachable\"}",
               OK_BODY,
               "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               "Sec-WebSocket-Accept: wrong\r\n\r\n",
               CLOSE),
        "");
    for (int i = 0; i < 4; i++) {
        struct ear ear = { 0 };
        assert_non_null(begin_ws(c, &ear));
        assert_int_equal(api_wait(c->api, &ear.closed, &c->e), 0);
        assert_int_equal(ear.opened + ear.writable + ear.ended, 0);
        assert_int_not_equal(ear.reason.code, NT_OK);
        if (i == 0)
            assert_string_equal(ear.reason.server_code, "port_unreachable");
    }
    command_free(c);
    c = command_new(20000, SCRIPT(NULL), ""); /* closes before it has read anything */
    struct ear ear = { 0 };
    assert_non_null(begin_ws(c, &ear));
    assert_int_equal(api_wait(c->api, &ear.closed, &c->e), 0);
    assert_int_equal(ear.opened, 0);
    command_free(c);
    struct ear left = { 0 };
    c = command_new(20000, SCRIPT(HANG), "");
    assert_non_null(begin_ws(c, &left));
    command_free(c); /* the end of the command ends it, too */
    assert_int_equal(left.closed, 1);
}

/* Killed in between: the loop sees that the connection is made and that it is gone in one turn. */
static void a_server_that_closes_at_once_is_an_error(void **state)
{
    (void)state;
    struct command *c = command_new(20000, SCRIPT(NULL), "");
    for (int i = 0; i < 300; i++) {
        assert_int_equal(ask(c, "GET", NULL, NT_REQ_NO_RETRY), -1);
        assert_true(c->e.code == NT_E_CONNECT || c->e.code == NT_E_CLOSED);
    }
    assert_true(c->server.connections >= 300);
    command_free(c);
}

static void no_upgrade_away_from_this_machine(void **state)
{
    (void)state;
    struct command *c = command_new(5000, SCRIPT(OK_BODY), "");
    int fd = -1;
    struct nt_bytes early;
    assert_int_equal(api_upgrade_local(c->api, "/v1/x", "nanoterm-fd/1", &fd, &early, &c->e), -1);
    assert_int_equal(c->e.code, NT_E_NOT_LOCAL);
    assert_int_equal(c->server.connections, 0);
    command_free(c);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_request_carries_what_it_must),
        TEST(a_lost_post_is_repeated_with_its_key),
        TEST(a_lost_patch_is_not),
        TEST(nobody_listens),
        TEST(a_rate_limit_is_waited_out),
        TEST(the_deadline_ends_it),
        TEST(ctrl_c_ends_it),
        TEST(a_plugin_that_watches_a_signal_gets_it),
        TEST(a_long_answer_is_cut_off),
        TEST(answers_that_are_no_success),
        TEST(a_header_cannot_break_out),
        TEST(an_untrusted_api_sees_no_connection),
        TEST(a_download_flows_by_credit),
        TEST(a_download_that_is_not_there),
        TEST(a_broken_download_is_told),
        TEST(an_upload_waits_for_room),
        TEST(cancelling_comes_later_and_once),
        TEST(the_deadline_ends_streams),
        TEST(the_end_of_the_command_ends_streams),
        TEST(a_refused_websocket_is_an_error),
        TEST(a_begun_websocket_does_not_wait_for_its_answer),
        TEST(a_begun_websocket_is_refused_by_its_close),
        TEST(a_server_that_closes_at_once_is_an_error),
        TEST(no_upgrade_away_from_this_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
