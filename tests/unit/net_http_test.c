/* SPDX-License-Identifier: Apache-2.0 */
/* net_http_test.c - requests and answers over real sockets, proper and hostile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sdk/error.h"
#include "tests/unit/net_peer.h"

/* A handler that answers with what it saw. */
struct echo {
    struct nt_buf seen;
    uint32_t requests, done, lost;
    uint64_t grant;
    bool later; /* do not answer */
    struct net_request *req;
    uint64_t body_bytes;
};

static void echo_answer(struct echo *e, struct net_request *req)
{
    struct nt_buf b = NT_BUF(1 << 20);
    nt_buf_addf(&b, "%s %s [%s]", net_request_method(req), net_request_target(req),
                nt_buf_text(&e->seen));
    nt_buf_reset(&e->seen);
    struct net_header h = { "Content-Type", "text/plain" };
    net_respond(req, 200, &h, 1, (struct nt_bytes){ b.data, b.size });
    nt_buf_done(&b);
}

static void echo_body(void *data, struct net_request *req, struct nt_bytes bytes)
{
    struct echo *e = data;
    nt_buf_add_bytes(&e->seen, bytes.data, bytes.size);
    e->body_bytes += bytes.size;
    if (e->grant > 1)
        net_request_grant(req, bytes.size);
}

static void echo_end(void *data, struct net_request *req)
{
    echo_answer(data, req);
}

static void echo_done(void *data, struct net_request *req, const struct nt_error *reason)
{
    struct echo *e = data;
    e->done++;
    e->lost += reason != NULL;
    e->req = NULL;
}

static void echo_request(void *data, struct net_request *req)
{
    static const struct net_request_events events = { .body = echo_body,
                                                      .body_end = echo_end,
                                                      .done = echo_done };
    struct echo *e = data;
    e->requests++;
    e->req = req;
    net_request_handle(req, &events, e);
    if (net_request_length(req) == 0) {
        if (!e->later)
            echo_answer(e, req);
    } else if (e->grant) {
        net_request_grant(req, e->grant);
    }
}

/* Hears the end of the body before the one who shall answer is there. */
static void early_end(void *data, struct net_request *req)
{
    static const struct net_request_events events = { .body = echo_body,
                                                      .body_end = echo_end,
                                                      .done = echo_done };
    net_request_handle(req, &events, data);
}

static void early_request(void *data, struct net_request *req)
{
    static const struct net_request_events events = { .body = echo_body,
                                                      .body_end = early_end,
                                                      .done = echo_done };
    net_request_handle(req, &events, data);
}

static struct echo echo_make(void)
{
    return (struct echo){ .seen = NT_BUF(8 << 20), .grant = 1000 };
}

static void start(struct net_peer_test *t, struct echo *e)
{
    struct net_server_options o = { .request = echo_request, .data = e };
    net_peer_start(t, &o);
}

static void stop(struct net_peer_test *t, struct echo *e)
{
    net_peer_stop(t);
    nt_buf_done(&e->seen);
}

/* What the server answers to these bytes, until it closes. */
static void assert_refused(const char *bytes, size_t size, const char *status)
{
    struct echo e = echo_make();
    struct net_peer_test t;
    struct nt_buf b = NT_BUF(1 << 20);
    start(&t, &e);
    net_peer_send(&t, bytes, size);
    net_peer_read_to_end(&t, &b);
    if (strncmp(nt_buf_text(&b), status, strlen(status)) != 0)
        print_error("for [%.200s] wanted %s, got [%s]\n", bytes, status, nt_buf_text(&b));
    assert_int_equal(strncmp(nt_buf_text(&b), status, strlen(status)), 0);
    assert_non_null(strstr(nt_buf_text(&b), "Connection: close"));
    /* clients read the reason where they read that of every error */
    static const char *const members[] = { "\"error\":", "\"code\":", "\"request_id\":",
                                           "\"retryable\":" };
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
        assert_non_null(strstr(nt_buf_text(&b), members[i]));
    assert_int_equal(e.requests, e.done);
    stop(&t, &e);
    nt_buf_done(&b);
}

static void an_end_that_was_early_is_told_again(void **state)
{
    struct echo e = echo_make();
    struct net_peer_test t;
    struct nt_buf b = NT_BUF(1 << 20);
    struct net_server_options o = { .request = early_request, .data = &e };
    net_peer_start(&t, &o);
    static const char two[] =
        "PUT /empty HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        "PUT /again HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    net_peer_send(&t, two, sizeof(two) - 1);
    net_peer_read_until(&t, &b, "PUT /again []");
    assert_non_null(strstr(nt_buf_text(&b), "PUT /empty []"));
    assert_int_equal(e.done, 2);
    stop(&t, &e);
    nt_buf_done(&b);
}

static void keep_alive_and_pipelining_keep_the_order(void **state)
{
    struct echo e = echo_make();
    struct net_peer_test t;
    struct nt_buf b = NT_BUF(1 << 20);
    start(&t, &e);
    static const char two[] = "GET /v1/a%2Fb?x=1 HTTP/1.1\r\nHost: a\r\n\r\n"
                              "POST /two HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
                              "GET /three HTTP/1.1\r\nHost: a\r\n\r\n";
    net_peer_send(&t, two, sizeof(two) - 1);
    net_peer_read_until(&t, &b, "GET /three []");
    const char *one = strstr(nt_buf_text(&b), "GET /v1/a%2Fb?x=1 []");
    const char *second = strstr(nt_buf_text(&b), "POST /two [hello]");
    assert_non_null(one);
    assert_true(second > one);
    assert_non_null(strstr(nt_buf_text(&b), "\r\nDate: "));
    assert_int_equal(e.done, 3);
    assert_int_equal(e.lost, 0);
    stop(&t, &e);
    nt_buf_done(&b);
}

static void bytes_may_come_one_by_one(void **state)
{
    struct echo e = echo_make();
    struct net_peer_test t;
    struct nt_buf b = NT_BUF(1 << 20);
    start(&t, &e);
    static const char text[] = "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                               "3;ext=1\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\n";
    for (size_t i = 0; i + 1 < sizeof(text); i++)
        net_peer_send(&t, text + i, 1);
    net_peer_read_until(&t, &b, "POST /x [abc0123456789]");
    stop(&t, &e);
    nt_buf_done(&b);
}

static void ambiguous_or_broken_requests_are_refused(void **state)
{
    static const char *const rows[] = {
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\x01z\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\rz\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nnocolon\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /#x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n",
        "\x16\x03\x01\x02garbage garbage\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
         "chunked\r\n\r\n11111111111111111\r\nhello"),
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n bad\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_refused(rows[i], strlen(rows[i]), "HTTP/1.1 400 ");
    static const char nul[] = "GET / HTTP/1.1\r\nHost: a\r\nX: a\0z\r\n\r\n";
    assert_refused(nul, sizeof(nul) - 1, "HTTP/1.1 400 ");
    static const char two[] = "GET / HTTP/2.0\r\nHost: a\r\n\r\n";
    assert_refused(two, sizeof(two) - 1, "HTTP/1.1 505 ");
    static const char expect[] = "GET / HTTP/1.1\r\nHost: a\r\nExpect: more\r\n\r\n";
    assert_refused(expect, sizeof(expect) - 1, "HTTP/1.1 417 ");
}

static void large_heads_are_refused(void **state)
{
    struct nt_buf b = NT_BUF(1 << 20);
    nt_buf_add(&b, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
    for (int i = 0; i < 40000; i++)
        nt_buf_add_char(&b, 'x');
    assert_refused(b.data, b.size, "HTTP/1.1 431 ");
    nt_buf_reset(&b);
    nt_buf_add(&b, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < 101; i++)
        nt_buf_add(&b, "X: y\r\n");
    nt_buf_add(&b, "\r\n");
    assert_refused(b.data, b.size, "HTTP/1.1 431 ");
    nt_buf_done(&b);
}

static void a_slow_head_times_out(void **state)
{
    struct echo e = echo_make();
    struct net_server_options o = { .request = echo_request, .data = &e, .limits.head_ms = 30 };
    struct net_peer_test t;
    struct nt_buf b = NT_BUF(1 << 20);
    net_peer_start(&t, &o);
    net_peer_send(&t, "GET / HT", 8);
    net_peer_read_to_end(&t, &b);
    assert_non_null(strstr(nt_buf_text(&b), "HTTP/1.1 408 "));
    stop(&t, &e);
    nt_buf_done(&b);
}

static void old_peers_are_answered_and_closed(void **state)
{
    struct echo e = echo_make();
    struct net_peer_test t;
    struct nt_buf b = NT_BUF(1 << 20);
    start(&t, &e);
    net_peer_send(&t, "GET /old HTTP/1.0\r\n\r\n", 21);
    net_peer_read_to_end(&t, &b);
    assert_non_null(strstr(nt_buf_text(&b), "GET /old []"));
    stop(&t, &e);
    nt_buf_done(&b);
}

static void continue_is_said_at_the_first_grant(void **state)
{
    struct echo e = echo_make();
    struct net_peer_test t;
    struct nt_buf b = NT_BUF(1 << 20);
    start(&t, &e);
    static const char head[] =
        "POST /c HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    net_peer_send(&t, head, sizeof(head) - 1);
    net_peer_read_until(&t, &b, "HTTP/1.1 100 Continue\r\n\r\n");
    net_peer_send(&t, "ok", 2);
    net_peer_read_until(&t, &b, "POST /c [ok]");
    stop(&t, &e);
    nt_buf_done(&b);
}

static void a_body_stops_when_its_credit_is_used(void **state)
{
    struct echo e = echo_make();
    e.grant = 1; /* one byte and no more */
    struct net_peer_test t;
    start(&t, &e);
    static const char head[] = "POST /c HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n";
    net_peer_send(&t, head, sizeof(head) - 1);
    size_t total = 0;
    char *piece = calloc(1, 65536);
    int refused = 0;
    while (refused < 100) {
        ssize_t n = send(t.fd, piece, 65536, MSG_NOSIGNAL);
        if (n > 0)
            total += (size_t)n;
        else
            refused++;
        uv_run(&t.uv, UV_RUN_NOWAIT);
        assert_true(total < (8u << 20)); /* the kernel's buffers and ours, never the body */
    }
    assert_int_equal(e.body_bytes, 1);
    free(piece);
    stop(&t, &e);
    assert_int_equal(e.lost, 1);
}

static void a_peer_that_goes_ends_the_request(void **state)
{
    struct echo e = echo_make();
    e.later = true;
    struct net_peer_test t;
    start(&t, &e);
    static const char head[] = "GET /c HTTP/1.1\r\nHost: a\r\n\r\n";
    net_peer_send(&t, head, sizeof(head) - 1);
    bool seen = false;
    for (int i = 0; i < 100 && !seen; i++) {
        uv_run(&t.uv, UV_RUN_NOWAIT);
        seen = e.requests == 1;
    }
    shutdown(t.fd, SHUT_RDWR);
    for (int i = 0; i < 100 && e.done == 0; i++)
        uv_run(&t.uv, UV_RUN_NOWAIT);
    assert_int_equal(e.done, 1);
    assert_int_equal(e.lost, 1);
    stop(&t, &e);
}

/* --- streamed answers ---------------------------------------------------------------------- */

struct streamer {
    struct net_request *req;
    uint64_t left, sent_calls, pieces;
    bool done, borrowed;
    int64_t length;
};

static char block[65536];

static void streamer_sent(void *data)
{
    ((struct streamer *)data)->sent_calls++;
}

static void streamer_pump(struct streamer *s)
{
    uint64_t credit = 1;
    while (credit > 0 && s->left > 0) {
        size_t n = s->left < sizeof(block) ? (size_t)s->left : sizeof(block);
        struct nt_bytes bytes = { block, n };
        s->left -= n;
        s->pieces++;
        credit = s->borrowed ? net_respond_write_borrowed(s->req, bytes, streamer_sent, s)
                             : net_respond_write(s->req, bytes);
    }
    if (s->left == 0)
        net_respond_end(s->req);
}

static void streamer_writable(void *data, struct net_request *req, uint64_t credit)
{
    assert_true(credit > 0);
    streamer_pump(data);
}

static void streamer_done(void *data, struct net_request *req, const struct nt_error *reason)
{
    struct streamer *s = data;
    s->done = true;
    s->req = NULL;
}

static void streamer_request(void *data, struct net_request *req)
{
    static const struct net_request_events events = { .writable = streamer_writable,
                                                      .done = streamer_done };
    struct streamer *s = data;
    s->req = req;
    net_request_handle(req, &events, s);
    net_respond_head(req, 200, NULL, 0, s->length);
    streamer_pump(s);
}

struct reader {
    bool closed, connected, answered, reusable, twice;
    uint32_t status;
    uint64_t bytes;
    struct nt_error reason;
    struct net_client *client;
};

static void reader_connected(void *data, struct net_client *client)
{
    ((struct reader *)data)->connected = true;
}

static void reader_head(void *data, struct net_client *client, uint32_t status)
{
    ((struct reader *)data)->status = status;
    net_client_grant(client, 65536);
}

static void reader_body(void *data, struct net_client *client, struct nt_bytes bytes)
{
    struct reader *r = data;
    assert_true(bytes.size <= 65536);
    r->bytes += bytes.size;
    net_client_grant(client, bytes.size);
}

static void reader_answered(void *data, struct net_client *client, bool reusable)
{
    struct reader *r = data;
    r->answered = true;
    r->reusable = reusable;
    if (r->twice) {
        struct nt_error e = NT_ERROR_INIT;
        r->twice = false;
        r->answered = false;
        struct net_client_request q = { .method = "GET", .target = "/again" };
        assert_int_equal(net_client_request(client, &q, &e), 0);
    }
}

static void reader_closed(void *data, struct net_client *client, const struct nt_error *reason)
{
    struct reader *r = data;
    assert_false(r->closed);
    r->closed = true;
    r->reason = *reason;
}

static const struct net_client_events reader_events = {
    .connected = reader_connected,
    .head = reader_head,
    .body = reader_body,
    .answered = reader_answered,
    .closed = reader_closed,
};

static int listen_somewhere(char dir[64], char path[256])
{
    struct nt_error e = NT_ERROR_INIT;
    nt_copy_text(dir, 64, "/tmp/nt-net-XXXXXX");
    assert_non_null(mkdtemp(dir));
    struct nt_buf b = NT_BUF(255);
    nt_buf_addf(&b, "%s/s", dir);
    nt_copy_text(path, 256, nt_buf_text(&b));
    nt_buf_done(&b);
    int fd = net_unix_listen(path, &e);
    assert_true(fd >= 0);
    return fd;
}

static void on_freed(void *data)
{
    *(bool *)data = true;
}

/* A streamed answer of 20 MB through server and client. */
static void stream_once(int64_t length, bool borrowed)
{
    struct streamer s = { .left = 20000000, .length = length, .borrowed = borrowed };
    struct reader r = { .twice = false };
    struct net_server_options o = { .request = streamer_request, .data = &s };
    struct net_server *server;
    struct nt_error e = NT_ERROR_INIT;
    uv_loop_t uv;
    char dir[64], path[256];
    assert_int_equal(uv_loop_init(&uv), 0);
    assert_int_equal(net_server_new(&uv, listen_somewhere(dir, path), &o, &server, &e), 0);
    struct net_address a = { .kind = NET_UNIX, .host = path };
    assert_int_equal(net_client_new(&uv, &a, NULL, 0, &reader_events, &r, &r.client, &e), 0);
    struct net_client_request q = { .method = "GET", .target = "/" };
    assert_int_equal(net_client_request(r.client, &q, &e), 0);
    net_run_until(&uv, &r.answered);
    assert_int_equal(r.status, 200);
    assert_int_equal(r.bytes, 20000000);
    assert_true(r.reusable);
    assert_true(s.done);
    if (borrowed)
        assert_int_equal(s.sent_calls, s.pieces);
    net_client_close(r.client);
    net_run_until(&uv, &r.closed);
    assert_int_equal(r.reason.code, NT_E_CANCELLED);
    bool freed = false;
    net_server_free(server, on_freed, &freed);
    net_run_until(&uv, &freed);
    uv_run(&uv, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&uv), 0);
    unlink(path);
    rmdir(dir);
}

static void streamed_answers_arrive_whole(void **state)
{
    stream_once(-1, false);
    stream_once(20000000, false);
    stream_once(-1, true);
    stream_once(20000000, true);
}

static void a_refused_connection_was_not_sent(void **state)
{
    struct reader r = { .twice = false };
    struct nt_error e = NT_ERROR_INIT;
    uv_loop_t uv;
    assert_int_equal(uv_loop_init(&uv), 0);
    struct net_address a = { .kind = NET_UNIX, .host = "/nonexistent/socket" };
    assert_int_equal(net_client_new(&uv, &a, NULL, 0, &reader_events, &r, &r.client, &e), 0);
    struct net_client_request q = { .method = "GET", .target = "/" };
    assert_int_equal(net_client_request(r.client, &q, &e), 0);
    net_run_until(&uv, &r.closed);
    assert_int_equal(r.reason.code, NT_E_CONNECT);
    assert_int_equal(r.reason.request_sent, 0);
    assert_string_equal(r.reason.upstream, "ENOENT");
    assert_false(r.connected);
    uv_run(&uv, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&uv), 0);

    /* The same over TCP: a port nobody listens at. */
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(in);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &size), 0);
    struct reader r2 = { .twice = false };
    assert_int_equal(uv_loop_init(&uv), 0);
    struct net_address a2 = { .kind = NET_TCP, .host = "127.0.0.1", .port = ntohs(in.sin_port) };
    assert_int_equal(net_client_new(&uv, &a2, NULL, 0, &reader_events, &r2, &r2.client, &e), 0);
    net_run_until(&uv, &r2.closed);
    assert_int_equal(r2.reason.code, NT_E_CONNECT);
    assert_string_equal(r2.reason.upstream, "ECONNREFUSED");
    close(fd);
    uv_run(&uv, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&uv), 0);
}

static void abort_request(void *data, struct net_request *req)
{
    struct net_request_events events = { 0 };
    net_request_handle(req, &events, NULL);
    net_respond_head(req, 200, NULL, 0, 100);
    net_respond_write(req, (struct nt_bytes){ "half", 4 });
    net_respond_abort(req);
}

static void a_broken_answer_is_an_error_that_was_sent(void **state)
{
    struct reader r = { .twice = false };
    struct net_server_options o = { .request = abort_request };
    struct net_server *server;
    struct nt_error e = NT_ERROR_INIT;
    uv_loop_t uv;
    char dir[64], path[256];
    assert_int_equal(uv_loop_init(&uv), 0);
    assert_int_equal(net_server_new(&uv, listen_somewhere(dir, path), &o, &server, &e), 0);
    struct net_address a = { .kind = NET_UNIX, .host = path };
    assert_int_equal(net_client_new(&uv, &a, NULL, 0, &reader_events, &r, &r.client, &e), 0);
    struct net_client_request q = { .method = "GET", .target = "/" };
    assert_int_equal(net_client_request(r.client, &q, &e), 0);
    net_run_until(&uv, &r.closed);
    assert_false(r.answered);
    assert_int_equal(r.reason.code, NT_E_CLOSED);
    assert_int_equal(r.reason.request_sent, 1);
    bool freed = false;
    net_server_free(server, on_freed, &freed);
    net_run_until(&uv, &freed);
    uv_run(&uv, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&uv), 0);
    unlink(path);
    rmdir(dir);
}

static int taken_fd;
static bool was_taken;

static void on_taken(void *data, int fd)
{
    taken_fd = fd;
    was_taken = true;
}

static void upgrade_request(void *data, struct net_request *req)
{
    struct net_request_events events = { 0 };
    net_request_handle(req, &events, NULL);
    assert_string_equal(net_request_method(req), "CONNECT");
    assert_string_equal(net_request_target(req), "example.org:443");
    net_upgrade(req, NULL, NULL, on_taken, NULL);
}

static void connect_hands_over_the_descriptor(void **state)
{
    struct net_server_options o = { .request = upgrade_request };
    struct net_peer_test t;
    struct nt_buf b = NT_BUF(1 << 20);
    was_taken = false;
    net_peer_start(&t, &o);
    static const char head[] = "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n";
    net_peer_send(&t, head, sizeof(head) - 1);
    net_peer_read_until(&t, &b, "HTTP/1.1 200 OK\r\n");
    net_run_until(&t.uv, &was_taken);
    assert_true(taken_fd >= 0);
    assert_null(strstr(nt_buf_text(&b), "Content-Length"));
    assert_int_equal(write(taken_fd, "through", 7), 7);
    net_peer_read_until(&t, &b, "through");
    close(taken_fd);
    net_peer_stop(&t);
    nt_buf_done(&b);

    /* Bytes that were sent before the answer could be smuggled past the new owner. */
    was_taken = false;
    net_peer_start(&t, &o);
    static const char early[] =
        "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\nearly";
    net_peer_send(&t, early, sizeof(early) - 1);
    net_run_until(&t.uv, &was_taken);
    assert_int_equal(taken_fd, -1);
    net_peer_stop(&t);
}

static void urls_are_taken_apart(void **state)
{
    struct nt_error e = NT_ERROR_INIT;
    struct net_address a;
    const char *prefix;
    char memory[256];
    assert_int_equal(
        net_parse_url("https://api.example.org/v2/", memory, sizeof(memory), &a, &prefix, &e), 0);
    assert_int_equal(a.kind, NET_HTTPS);
    assert_int_equal(a.port, 443);
    assert_string_equal(a.host, "api.example.org");
    assert_string_equal(prefix, "/v2");
    assert_int_equal(net_parse_url("http://[::1]:8080", memory, sizeof(memory), &a, &prefix, &e),
                     0);
    assert_string_equal(a.host, "::1");
    assert_int_equal(a.port, 8080);
    assert_string_equal(prefix, "");
    static const char *const bad[] = { "ftp://a",        "http://",    "http://a:0",
                                       "http://a:99999", "http://u@a", "http://a?x",
                                       "http://a#x",     "http://a b", "http://[::1",
                                       "http://a\r\nb",  "http:///x" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(net_parse_url(bad[i], memory, sizeof(memory), &a, &prefix, &e), -1);
}

static void socket_paths_may_be_long(void **state)
{
    struct nt_error e = NT_ERROR_INIT;
    char dir[64];
    nt_copy_text(dir, sizeof(dir), "/tmp/nt-net-XXXXXX");
    assert_non_null(mkdtemp(dir));
    struct nt_buf folder = NT_BUF(4000);
    nt_buf_addf(&folder, "%s/", dir);
    for (int i = 0; i < 150; i++)
        nt_buf_add_char(&folder, 'd');
    assert_int_equal(mkdir(nt_buf_text(&folder), 0700), 0);
    struct nt_buf path = NT_BUF(4000);
    nt_buf_addf(&path, "%s/socket", nt_buf_text(&folder));
    int server = net_unix_listen(nt_buf_text(&path), &e);
    assert_true(server >= 0);
    struct stat st;
    assert_int_equal(stat(nt_buf_text(&path), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    int client = net_unix_connect(nt_buf_text(&path), &e);
    assert_true(client >= 0);
    close(client);
    close(server);
    unlink(nt_buf_text(&path));
    rmdir(nt_buf_text(&folder));
    rmdir(dir);
    nt_buf_done(&path);
    nt_buf_done(&folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_end_that_was_early_is_told_again),
        cmocka_unit_test(keep_alive_and_pipelining_keep_the_order),
        cmocka_unit_test(bytes_may_come_one_by_one),
        cmocka_unit_test(ambiguous_or_broken_requests_are_refused),
        cmocka_unit_test(large_heads_are_refused),
        cmocka_unit_test(a_slow_head_times_out),
        cmocka_unit_test(old_peers_are_answered_and_closed),
        cmocka_unit_test(continue_is_said_at_the_first_grant),
        cmocka_unit_test(a_body_stops_when_its_credit_is_used),
        cmocka_unit_test(a_peer_that_goes_ends_the_request),
        cmocka_unit_test(streamed_answers_arrive_whole),
        cmocka_unit_test(a_refused_connection_was_not_sent),
        cmocka_unit_test(a_broken_answer_is_an_error_that_was_sent),
        cmocka_unit_test(connect_hands_over_the_descriptor),
        cmocka_unit_test(urls_are_taken_apart),
        cmocka_unit_test(socket_paths_may_be_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
