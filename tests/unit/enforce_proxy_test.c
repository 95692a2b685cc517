/* SPDX-License-Identifier: Apache-2.0 */
/* enforce_proxy_test.c - the proxy of a filtered sandbox: each check in its order, what is carried,
 * and attempts to get past. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/proxy/visit.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "tests/unit/enforce_proxy_stage.h"

/* --- a resolver whose answers are the test's ------------------------------------------------ */

int __real_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **ret);
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **ret);

static atomic_uint lookups;

int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **ret)
{
    static const struct {
        const char *name, *address;
    } names[] = {
        { "here.test", "127.0.0.1" },
        { "metadata.test", "169.254.169.254" },
        { "six.test", "fe80::1" },
        { "mapped.test", "::ffff:169.254.169.254" },
        { "any.test", "0.0.0.0" },
        { "nat.test", "64:ff9b::a9fe:a9fe" },
        { "loopback6.test", "::1" },
        { "mapped-here.test", "::ffff:127.0.0.1" },
        { "alibaba.test", "100.100.100.200" },
        { "lab.test", "192.0.2.7" },
        { "mapped-lab.test", "::ffff:192.0.2.7" },
    };
    struct addrinfo numeric = *hints;
    numeric.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    atomic_fetch_add(&lookups, 1);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(names[i].name, host) == 0)
            return __real_getaddrinfo(names[i].address, port, &numeric, ret);
    if (strstr(host, ".test"))
        return EAI_NONAME;
    return __real_getaddrinfo(host, port, hints, ret);
}

/* --- helpers ------------------------------------------------------------------------------- */

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

static void assert_denied(struct stage *s, const char *target, const char *rule)
{
    const struct denial *d;
    for (size_t i = 0; (d = denials_at(s->denials, i)); i++)
        if (strcmp(d->target, target) == 0 && strstr(d->rule, rule)) {
            assert_int_equal(d->source, DENIAL_NOTIFIED);
            return;
        }
    print_error("no denial of %s by %s\n", target, rule);
    fail();
}

static struct policy_host local_host[] = { { .name = "127.0.0.1", .source = "user" } };

static int connect_through(const struct stage *s, const char *authority, struct nt_buf *b)
{
    struct nt_buf r = NT_BUF(4096);
    int fd = stage_connect(s);
    nt_buf_addf(&r, "CONNECT %s HTTP/1.1\r\nHost: lies\r\n" STAGE_AUTH "\r\n", authority);
    stage_send(fd, r.data, r.size);
    nt_buf_done(&r);
    nt_buf_reset(b);
    stage_read(fd, b, "\r\n\r\n");
    return fd;
}

static void ask_connect(const struct stage *s, const char *authority, struct nt_buf *b)
{
    close(connect_through(s, authority, b));
}

/* --- CONNECT ------------------------------------------------------------------------------- */

static void the_token_comes_first(void **state)
{
    static const char *const wrong[] = {
        "",
        "Proxy-Authorization: Basic bm9ubzp3cm9uZw==\r\n",
        "Proxy-Authorization: Bearer " STAGE_TOKEN "0\r\n",
        "Proxy-Authorization: Bearer 10112233445566778899aabbccddeeff00112233445566778899aabbccddee"
        "ff\r\n",
        "Proxy-Authorization: Basic ****\r\n",
        "Proxy-Authorization: " STAGE_TOKEN "\r\n",
        "Authorization: Basic " STAGE_BASIC "\r\n",
    };
    struct stage s = { .policy = { .hosts = local_host, .host_count = 1 } };
    struct nt_buf b = NT_BUF(1 << 20);
    stage_start(&s, 0);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        stage_askf(&s, &b,
                   "CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n",
                   wrong[i]);
        assert_has(&b, "HTTP/1.1 407 ");
        assert_has(&b, "Proxy-Authenticate: Basic");
        stage_askf(&s, &b,
                   "GET http://127.0.0.1:1/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n",
                   wrong[i]);
        assert_has(&b, "HTTP/1.1 407 ");
    }
    assert_denied(&s, "169.254.169.254:80", "token");
    /* Both forms of the right one. */
    stage_ask(&s, &b,
              "CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
              "Proxy-Authorization: bearer " STAGE_TOKEN "\r\n\r\n");
    assert_has(&b, "HTTP/1.1 403 ");
    ask_connect(&s, "169.254.169.254:80", &b);
    assert_has(&b, "HTTP/1.1 403 ");
    stage_stop(&s);
    nt_buf_done(&b);
}

static void metadata_is_closed_in_every_spelling(void **state)
{
    static const char *const closed[] = {
        "169.254.169.254:80",
        "metadata.google.internal:80",
        "METADATA.Google.Internal.:80",
        "2852039166:80",
        "0xa9fea9fe:80",
        "0251.0376.0251.0376:80",
        "169.254.43518:80",
        "0xa9.254.0251.254:80",
        "[::ffff:169.254.169.254]:80",
        "[::ffff:a9fe:a9fe]:80",
        "[fe80::1]:80",
        "[64:ff9b::a9fe:a9fe]:80",
        "[fd00:ec2::254]:80",
        "[fd20:ce::254]:80",
        "[64:ff9b:1::a9fe:a9fe]:80",
        "[::ffff:0:169.254.169.254]:80",
        "168.63.129.16:80",
    };
    struct stage s = { 0 };
    struct nt_buf b = NT_BUF(1 << 20);
    stage_start(&s, 0); /* every host is allowed */
    unsigned before = atomic_load(&lookups);
    for (size_t i = 0; i < sizeof(closed) / sizeof(closed[0]); i++) {
        ask_connect(&s, closed[i], &b);
        assert_has(&b, "HTTP/1.1 403 ");
        stage_askf(&s, &b,
                   "GET http://%s/latest HTTP/1.1\r\nHost: a.test\r\nConnection: "
                   "close\r\n" STAGE_AUTH "\r\n",
                   closed[i]);
        assert_has(&b, "HTTP/1.1 403 ");
    }
    assert_int_equal(atomic_load(&lookups), before); /* nothing was even looked up */
    assert_denied(&s, "2852039166:80", "metadata");
    stage_stop(&s);
    nt_buf_done(&b);
}

static void only_allowed_names_are_looked_up(void **state)
{
    struct policy_host hosts[] = { { .name = "good.test", .source = "user" },
                                   { .name = "*.wide.test", .source = "user" } };
    static const char *const closed[] = { "evil.test:443",
                                          "good.test.evil.test:443",
                                          "wide.test:443",
                                          "xwide.test:443",
                                          "127.0.0.1:443",
                                          "[::1]:443",
                                          "secrets.in.a.name.test:443",
                                          "localhost:443" };
    static const char *const open[] = { "good.test:443", "GOOD.test.:443", "a.wide.test:443",
                                        "a.b.wide.test:443" };
    struct stage s = { .policy = { .hosts = hosts, .host_count = 2 } };
    struct nt_buf b = NT_BUF(1 << 20);
    stage_start(&s, 0);
    unsigned before = atomic_load(&lookups);
    for (size_t i = 0; i < sizeof(closed) / sizeof(closed[0]); i++) {
        ask_connect(&s, closed[i], &b);
        assert_has(&b, "HTTP/1.1 403 ");
    }
    assert_int_equal(atomic_load(&lookups), before); /* no name leaks by DNS */
    assert_denied(&s, "evil.test:443", "not in the allow-list");
    for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++) {
        ask_connect(&s, open[i], &b);
        assert_has(&b, "HTTP/1.1 502 "); /* they are not there */
    }
    ask_connect(&s, "good.test", &b); /* the port has no default */
    assert_has(&b, "HTTP/1.1 400 ");
    ask_connect(&s, "user@good.test:443", &b);
    assert_has(&b, "HTTP/1.1 400 ");
    ask_connect(&s, "good.test:443/x", &b);
    assert_has(&b, "HTTP/1.1 400 ");
    ask_connect(&s, "good.test:0", &b);
    assert_has(&b, "HTTP/1.1 400 ");
    stage_stop(&s);
    nt_buf_done(&b);
}

static void addresses_of_allowed_names_are_judged(void **state)
{
    static const char *const names[] = { "here.test",    "metadata.test",  "six.test",
                                         "mapped.test",  "any.test",       "nat.test",
                                         "alibaba.test", "loopback6.test", "mapped-here.test" };
    struct policy_host hosts[] = { { .name = "*.test", .source = "user" } };
    struct stage s = { .policy = { .hosts = hosts, .host_count = 1 } };
    struct nt_buf b = NT_BUF(1 << 20), a = NT_BUF(256);
    uint16_t port;
    struct upstream *u = upstream_new(upstream_mirror, NULL, &port);
    stage_start(&s, 0);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        nt_buf_reset(&a);
        nt_buf_addf(&a, "%s:%u", names[i], (unsigned)port);
        unsigned before = atomic_load(&lookups);
        ask_connect(&s, nt_buf_text(&a), &b);
        assert_has(&b, "HTTP/1.1 403 ");
        assert_int_equal(atomic_load(&lookups), before + 1); /* not once more to connect */
        assert_denied(&s, nt_buf_text(&a), "its address");
        stage_askf(&s, &b,
                   "GET http://%s/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" STAGE_AUTH "\r\n",
                   nt_buf_text(&a));
        assert_has(&b, "HTTP/1.1 403 ");
    }
    stage_stop(&s);
    upstream_free(u);
    nt_buf_done(&a);
    nt_buf_done(&b);
}

/* A number that is denied stays so behind a name, whatever else is open. */
static void denied_addresses_have_no_other_name(void **state)
{
    struct policy_host denied[] = { { .name = "192.0.2.7", .source = "user" } };
    struct stage s = { .policy = { .denied_hosts = denied, .denied_host_count = 1 } };
    struct nt_buf b = NT_BUF(1 << 20);
    stage_start(&s, 0);
    static const char *const names[] = { "lab.test:9", "mapped-lab.test:9" };
    for (size_t i = 0; i < 2; i++) {
        ask_connect(&s, names[i], &b);
        assert_has(&b, "HTTP/1.1 403 ");
        assert_denied(&s, names[i], "its address is denied");
    }
    ask_connect(&s, "0xc0000207:9", &b);
    assert_has(&b, "HTTP/1.1 403 ");
    assert_denied(&s, "0xc0000207:9", "a denied host");
    stage_stop(&s);
    nt_buf_done(&b);
}

static void tunnels_carry_bytes(void **state)
{
    struct stage s = { .policy = { .hosts = local_host, .host_count = 1 } };
    struct nt_buf b = NT_BUF(64 << 20), a = NT_BUF(256);
    uint16_t port;
    struct upstream *u = upstream_new(upstream_mirror, NULL, &port);
    stage_start(&s, 0);
    nt_buf_addf(&a, "127.0.0.1:%u", (unsigned)port);
    int fd = connect_through(&s, nt_buf_text(&a), &b);
    assert_has(&b, "HTTP/1.1 200 ");
    /* 8 MiB each way at once, then a half-close that the other end sees. */
    size_t size = 8 << 20, got = 0;
    char *bytes = malloc(size), *back = malloc(size);
    assert_true(bytes && back);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(i * 7 + i / 4096);
    for (size_t sent = 0; got < size;) {
        size_t piece = size - sent < 65536 ? size - sent : 65536;
        if (piece) {
            stage_send(fd, bytes + sent, piece);
            sent += piece;
        }
        if (sent == size)
            shutdown(fd, SHUT_WR);
        ssize_t n = recv(fd, back + got, size - got, sent < size ? MSG_DONTWAIT : 0);
        if (n > 0)
            got += (size_t)n;
        else
            assert_true(sent < size);
    }
    assert_memory_equal(bytes, back, size);
    assert_int_equal(recv(fd, back, 1, 0), 0);
    close(fd);
    free(bytes);
    free(back);
    stage_stop(&s);
    upstream_free(u);
    nt_buf_done(&a);
    nt_buf_done(&b);
}

/* --- another proxy ------------------------------------------------------------------------- */

struct chained {
    pthread_mutex_t lock;
    char head[4096];
    const char *answer;
};

static void serve_proxy(int fd, void *data)
{
    struct chained *c = data;
    struct nt_buf b = NT_BUF(65536);
    stage_read(fd, &b, "\r\n\r\n");
    pthread_mutex_lock(&c->lock);
    const char *answer = c->answer;
    nt_copy_text(c->head, sizeof(c->head), nt_buf_text(&b));
    pthread_mutex_unlock(&c->lock);
    /* In two pieces, and with the first bytes of the tunnel behind the head. */
    size_t half = strlen(answer) / 2;
    stage_send(fd, answer, half);
    stage_send(fd, answer + half, strlen(answer) - half);
    if (strstr(answer, " 200 "))
        upstream_mirror(fd, NULL);
    nt_buf_done(&b);
}

static void tunnels_go_through_the_upstream_proxy(void **state)
{
    struct chained c = { .lock = PTHREAD_MUTEX_INITIALIZER,
                         .answer = "HTTP/1.1 200 Fine\r\nX: y\r\n\r\nearly" };
    const char *bypass[] = { "direct.test", "*.near.test" };
    struct nt_buf b = NT_BUF(1 << 20), text = NT_BUF(64);
    uint16_t port;
    struct upstream *u = upstream_new(serve_proxy, &c, &port);
    nt_buf_addf(&text, "127.0.0.1:%u", (unsigned)port);
    struct stage s = { .policy = { .upstream_proxy = nt_buf_text(&text),
                                   .upstream_bypass = { bypass, 2 } } };
    stage_start(&s, 0);
    unsigned before = atomic_load(&lookups);
    int fd = connect_through(&s, "far.test:443", &b);
    assert_has(&b, "HTTP/1.1 200 ");
    stage_send(fd, "hello", 5);
    assert_true(stage_read(fd, &b, "earlyhello"));
    pthread_mutex_lock(&c.lock);
    assert_string_equal(c.head, "CONNECT far.test:443 HTTP/1.1  Host: far.test:443    ");
    pthread_mutex_unlock(&c.lock);
    close(fd);
    assert_int_equal(atomic_load(&lookups), before); /* the name is for the other proxy */

    ask_connect(&s, "169.254.169.254:443", &b); /* denied before it is asked */
    assert_has(&b, "HTTP/1.1 403 ");
    ask_connect(&s, "direct.test:443", &b);
    assert_has(&b, "cannot find direct.test");
    ask_connect(&s, "a.near.test:443", &b);
    assert_has(&b, "cannot find a.near.test");

    /* Nor is it asked for what only this machine, or its own, would have there. */
    static const char *const numbers[] = {
        "127.1:9",      "0x7f000001:9",         "2130706433:9",      "0.0.0.0:9",
        "[::]:9",       "[::ffff:127.0.0.1]:9", "[2002:7f00:1::]:9", "169.254.1.1:9",
        "240.0.0.1:9",  "[ff02::1]:9",          "[fe80::1]:9",       "[64:ff9b::7f00:1]:9",
        "a.localhost:9"
    };
    pthread_mutex_lock(&c.lock);
    c.head[0] = '\0';
    pthread_mutex_unlock(&c.lock);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        ask_connect(&s, numbers[i], &b);
        assert_has(&b, "HTTP/1.1 403 ");
        stage_askf(&s, &b,
                   "GET http://%s/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" STAGE_AUTH "\r\n",
                   numbers[i]);
        assert_has(&b, "HTTP/1.1 403 ");
    }
    pthread_mutex_lock(&c.lock);
    assert_string_equal(c.head, "");
    pthread_mutex_unlock(&c.lock);

    static const char *const refused[] = { "HTTP/1.1 407 No\r\n\r\n",
                                           "HTTP/1.1 503 Busy\r\n\r\n",
                                           "HTTP/1.1 2000 X\r\n\r\n",
                                           "SSH-2.0-x\r\n",
                                           "",
                                           "HTT" };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        pthread_mutex_lock(&c.lock);
        c.answer = refused[i];
        pthread_mutex_unlock(&c.lock);
        ask_connect(&s, "far.test:443", &b);
        assert_has(&b, "HTTP/1.1 502 ");
    }
    stage_stop(&s);
    upstream_free(u);
    nt_buf_done(&b);
    nt_buf_done(&text);
}

/* --- plain requests ------------------------------------------------------------------------ */

static void requests_are_carried(void **state)
{
    struct policy_endpoint only[] = { { "GET", "/open/*" } };
    struct policy_host hosts[] = {
        { .name = "127.0.0.1", .source = "user" },
        { .name = "localhost", .source = "user", .endpoints = only, .endpoint_count = 1 }
    };
    struct stage s = { .policy = { .hosts = hosts, .host_count = 2 } };
    struct nt_buf b = NT_BUF(64 << 20), r = NT_BUF(64 << 20);
    uint16_t port;
    struct upstream *u = upstream_new(upstream_echo, NULL, &port);
    stage_start(&s, 0);
    stage_askf(
        &s, &b,
        "GET http://127.0.0.1:%u/a%%2Fb?q=1 HTTP/1.1\r\nHost: evil.test\r\nX-Stays: "
        "2\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nConnection: x-too\r\nX-Too: 1\r\n" STAGE_AUTH
        "\r\n",
        (unsigned)port);
    assert_has(&b, "HTTP/1.1 200 ");
    assert_has(&b, "X-Upstream: 1");
    assert_has(&b, "GET /a%2Fb?q=1 HTTP/1.1\r\n");
    assert_has(&b, "X-Stays: 2");
    assert_lacks(&b, "evil.test");
    assert_lacks(&b, "X-Hop");
    assert_lacks(&b, "X-Too");
    assert_lacks(&b, "Proxy-Authorization");

    /* Chunked upload. */
    stage_askf(&s, &b,
               "POST http://127.0.0.1:%u/up HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
               "Transfer-Encoding: chunked\r\n" STAGE_AUTH
               "\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
               (unsigned)port);
    assert_has(&b, "hello");
    assert_has(&b, " world");

    /* Endpoints of a host hold for plain requests; no tunnel goes there. */
    stage_askf(
        &s, &b,
        "GET http://localhost:%u//open/%%78 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" STAGE_AUTH
        "\r\n",
        (unsigned)port);
    assert_has(&b, "GET /open/x HTTP/1.1\r\n");
    static const char *const closed[] = { "/shut",     "/open/../shut", "/open/%2e%2e/shut",
                                          "/open/a/b", "/open/a%2fb",   "/" };
    for (size_t i = 0; i < sizeof(closed) / sizeof(closed[0]); i++) {
        stage_askf(
            &s, &b,
            "GET http://localhost:%u%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" STAGE_AUTH
            "\r\n",
            (unsigned)port, closed[i]);
        assert_has(&b, "HTTP/1.1 403 ");
    }
    stage_askf(
        &s, &b,
        "GET http://localhost:%u/shut HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" STAGE_AUTH
        "\r\n",
        (unsigned)port);
    assert_has(&b, "(--allow-domain https://localhost/shut)");
    nt_buf_reset(&r);
    nt_buf_addf(&r, "GET http://localhost:%u/shut", (unsigned)port);
    assert_denied(&s, nt_buf_text(&r), "not one of its allowed endpoints");
    nt_buf_reset(&r);
    nt_buf_addf(&r, "localhost:%u", (unsigned)port);
    ask_connect(&s, nt_buf_text(&r), &b);
    assert_has(&b, "HTTP/1.1 403 ");

    stage_askf(&s, &b,
               "GET http://127.0.0.1:1/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" STAGE_AUTH
               "\r\n");
    assert_has(&b, "HTTP/1.1 502 ");
    stage_askf(&s, &b,
               "GET https://127.0.0.1:1/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" STAGE_AUTH
               "\r\n");
    assert_has(&b, "HTTP/1.1 400 ");
    stage_stop(&s);
    upstream_free(u);
    nt_buf_done(&b);
    nt_buf_done(&r);
}

static void ambiguous_requests_are_refused(void **state)
{
    struct stage s = { .policy = { .hosts = local_host, .host_count = 1 } };
    struct nt_buf b = NT_BUF(1 << 20);
    uint16_t port;
    struct upstream *u = upstream_new(upstream_echo, NULL, &port);
    stage_start(&s, 0);
    static const char *const broken[] = {
        "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked, identity\r\n\r\n",
        "Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Content-Length: +5\r\n\r\nhello",
        "Content-Length: 0x5\r\n\r\nhello",
        "X: a\nX-Evil: b\r\n\r\n",
        "X: a\r\n folded\r\n\r\n",
        "X : a\r\n\r\n",
        "X: a\rY: b\r\n\r\n",
        "Host: second\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        stage_askf(&s, &b, "POST http://127.0.0.1:%u/ HTTP/1.1\r\nHost: x\r\n" STAGE_AUTH "%s",
                   (unsigned)port, broken[i]);
        assert_has(&b, "HTTP/1.1 400 ");
        assert_lacks(&b, "X-Upstream");
    }
    /* Chunks that lie end the request; nothing behind them is taken for another one. */
    stage_askf(&s, &b,
               "POST http://127.0.0.1:%u/ HTTP/1.1\r\nHost: x\r\n" STAGE_AUTH
               "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloGET http://127.0.0.1:%u/smuggled "
               "HTTP/1.1\r\nHost: x\r\n" STAGE_AUTH "\r\n",
               (unsigned)port, (unsigned)port);
    assert_lacks(&b, "GET /smuggled");
    stage_stop(&s);
    upstream_free(u);
    nt_buf_done(&b);
}

static void sizes_are_limited(void **state)
{
    struct stage s = { .policy = { .hosts = local_host, .host_count = 1 } };
    struct nt_buf b = NT_BUF(1 << 20), r = NT_BUF(64 << 20);
    uint16_t port;
    struct upstream *u = upstream_new(upstream_echo, NULL, &port);
    stage_start(&s, 0);
    nt_buf_addf(
        &r, "GET http://127.0.0.1:%u/ HTTP/1.1\r\nHost: x\r\n" STAGE_AUTH "X: ", (unsigned)port);
    while (r.size < 66000)
        nt_buf_add(&r, "0123456789abcdef");
    nt_buf_add(&r, "\r\n\r\n");
    stage_ask(&s, &b, nt_buf_text(&r));
    assert_has(&b, "HTTP/1.1 431 ");

    stage_askf(&s, &b,
               "POST http://127.0.0.1:%u/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" STAGE_AUTH
               "Content-Length: 16777217\r\n\r\n",
               (unsigned)port);
    assert_has(&b, "HTTP/1.1 413 ");

    nt_buf_reset(&r);
    nt_buf_addf(&r,
                "POST http://127.0.0.1:%u/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" STAGE_AUTH
                "Transfer-Encoding: chunked\r\n\r\n",
                (unsigned)port);
    char *piece = calloc(1, 65536);
    for (int i = 0; i < 257; i++) {
        nt_buf_add(&r, "10000\r\n");
        nt_buf_add_bytes(&r, piece, 65536);
        nt_buf_add(&r, "\r\n");
    }
    free(piece);
    int fd = stage_connect(&s);
    stage_send(fd, r.data, r.size);
    nt_buf_reset(&b);
    stage_read(fd, &b, "\r\n\r\n");
    close(fd);
    assert_has(&b, "HTTP/1.1 413 ");
    stage_stop(&s);
    upstream_free(u);
    nt_buf_done(&b);
    nt_buf_done(&r);
}

/* With all places taken the next one waits until one is free, and is served then. */
static void connections_are_limited(void **state)
{
    struct stage s = { .policy = { .hosts = local_host, .host_count = 1 } };
    struct nt_buf b = NT_BUF(1 << 20), a = NT_BUF(64);
    uint16_t port;
    struct upstream *u = upstream_new(upstream_mirror, NULL, &port);
    stage_start(&s, 3);
    nt_buf_addf(&a, "127.0.0.1:%u", (unsigned)port);
    int open[3], late;
    for (int i = 0; i < 3; i++) {
        open[i] = connect_through(&s, nt_buf_text(&a), &b);
        assert_has(&b, "HTTP/1.1 200 ");
    }
    late = stage_connect(&s);
    nt_buf_reset(&b);
    nt_buf_addf(&b, "CONNECT %s HTTP/1.1\r\nHost: x\r\n" STAGE_AUTH "\r\n", nt_buf_text(&a));
    stage_send(late, b.data, b.size);
    char one;
    struct timeval short_time = { .tv_usec = 100000 }, long_time = { .tv_sec = 10 };
    setsockopt(late, SOL_SOCKET, SO_RCVTIMEO, &short_time, sizeof(short_time));
    assert_int_equal(recv(late, &one, 1, 0), -1);
    setsockopt(late, SOL_SOCKET, SO_RCVTIMEO, &long_time, sizeof(long_time));
    close(open[0]);
    nt_buf_reset(&b);
    assert_true(stage_read(late, &b, "HTTP/1.1 200 "));
    close(open[1]);
    close(open[2]);
    close(late);
    stage_stop(&s);
    upstream_free(u);
    nt_buf_done(&a);
    nt_buf_done(&b);
}

static int64_t cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Without descriptors nobody is let in, which costs next to nothing; then all are. */
static void it_waits_for_descriptors(void **state)
{
    enum { LOOKED_MS = 500 };
    static const char request[] = "GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    struct stage s = { .policy = { .hosts = local_host, .host_count = 1 } };
    struct nt_buf b = NT_BUF(1 << 20);
    struct rlimit before, none;
    stage_start(&s, 0);
    stage_ask(&s, &b, request); /* what it opens once is open now */
    assert_has(&b, "HTTP/1.1 404 ");
    struct sockaddr_in in = { .sin_family = AF_INET,
                              .sin_port = htons(s.port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){ .rlim_cur = 3, .rlim_max = before.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int64_t used = cpu_ms();
    int failed = connect(fd, (struct sockaddr *)&in, sizeof(in));
    poll(NULL, 0, LOOKED_MS);
    used = cpu_ms() - used;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(failed, 0);
    assert_true(used < LOOKED_MS / 4);
    stage_send(fd, request, sizeof(request) - 1);
    nt_buf_reset(&b);
    assert_true(stage_read(fd, &b, "HTTP/1.1 404 "));
    close(fd);
    stage_stop(&s);
    nt_buf_done(&b);
}

/* 10,000 requests on two connections, each as well as the first. */
static void many_requests_in_a_row(void **state)
{
    struct stage s = { .policy = { .hosts = local_host, .host_count = 1 } };
    struct nt_buf b = NT_BUF(1 << 20), a = NT_BUF(4096), r = NT_BUF(4096);
    uint16_t port;
    struct upstream *u = upstream_new(upstream_echo, NULL, &port);
    stage_start(&s, 0);
    nt_buf_addf(&a, "127.0.0.1:%u", (unsigned)port);
    int fd = connect_through(&s, nt_buf_text(&a), &b);
    int denied = stage_connect(&s);
    static const char evil[] = "CONNECT evil.test:443 HTTP/1.1\r\nHost: x\r\n" STAGE_AUTH "\r\n";
    for (int i = 0; i < 5000; i++) {
        nt_buf_reset(&r);
        nt_buf_reset(&b);
        nt_buf_addf(&r, "GET /%d/ HTTP/1.1\r\nHost: x\r\nX-Keep: 1\r\n\r\n", i);
        stage_send(fd, r.data, r.size);
        assert_true(stage_read(fd, &b, "X-Keep: 1\r\n\r\n"));
        nt_buf_reset(&a);
        nt_buf_addf(&a, "\r\n\r\nGET /%d/ ", i);
        assert_has(&b, nt_buf_text(&a));
        nt_buf_reset(&b);
        stage_send(denied, evil, sizeof(evil) - 1);
        assert_true(stage_read(denied, &b, "(--allow-domain evil.test)\n"));
        assert_has(&b, "HTTP/1.1 403 ");
    }
    close(fd);
    close(denied);
    assert_int_equal(denials_at(s.denials, 0)->count, 5000);
    assert_null(denials_at(s.denials, 1));
    stage_stop(&s);
    upstream_free(u);
    nt_buf_done(&a);
    nt_buf_done(&b);
    nt_buf_done(&r);
}

/* A connection of the program that stays open has one to the server that stays open; nobody else
 * uses that one. */
static void upstreams_stay_open_for_their_peer(void **state)
{
    struct stage s = { .policy = { .hosts = local_host, .host_count = 1 } };
    struct nt_buf b = NT_BUF(1 << 20), r = NT_BUF(4096);
    uint16_t port;
    struct upstream *u = upstream_new(upstream_echo, NULL, &port);
    stage_start(&s, 0);
    int fds[2] = { stage_connect(&s), stage_connect(&s) };
    for (int i = 0; i < 20; i++) {
        nt_buf_reset(&r);
        nt_buf_reset(&b);
        nt_buf_addf(&r,
                    "POST http://127.0.0.1:%u/%d/ HTTP/1.1\r\nHost: x\r\nX-Keep: 1\r\n" STAGE_AUTH
                    "Content-Length: 3\r\n\r\nend",
                    (unsigned)port, i);
        stage_send(fds[i % 2], r.data, r.size);
        assert_true(stage_read(fds[i % 2], &b, "\r\n\r\nend"));
        assert_has(&b, "HTTP/1.1 200 ");
    }
    assert_int_equal(upstream_connections(u), 2);
    /* One that the server closes after its answer is not used again. */
    for (int i = 0; i < 2; i++) {
        nt_buf_reset(&r);
        nt_buf_reset(&b);
        nt_buf_addf(&r,
                    "GET http://127.0.0.1:%u/ HTTP/1.1\r\nHost: x\r\n" STAGE_AUTH "X: end\r\n\r\n",
                    (unsigned)port);
        stage_send(fds[0], r.data, r.size);
        assert_true(stage_read(fds[0], &b, "X: end\r\n\r\n"));
        assert_has(&b, "HTTP/1.1 200 ");
    }
    assert_int_equal(upstream_connections(u), 3);
    /* Those of peers that are gone take nobody's place. */
    for (int i = 0; i < 66; i++) {
        stage_askf(&s, &b,
                   "GET http://127.0.0.1:%u/ HTTP/1.1\r\nHost: x\r\nX-Keep: 1\r\n" STAGE_AUTH
                   "Connection: close\r\n\r\n",
                   (unsigned)port);
        assert_has(&b, "HTTP/1.1 200 ");
    }
    for (int i = 0; i < 2; i++) {
        nt_buf_reset(&r);
        nt_buf_reset(&b);
        nt_buf_addf(&r,
                    "GET http://127.0.0.1:%u/ HTTP/1.1\r\nHost: x\r\nX-Keep: 1\r\n" STAGE_AUTH
                    "X: end\r\n\r\n",
                    (unsigned)port);
        stage_send(fds[0], r.data, r.size);
        assert_true(stage_read(fds[0], &b, "X: end\r\n\r\n"));
    }
    assert_int_equal(upstream_connections(u), 3 + 66 + 1);
    close(fds[0]);
    close(fds[1]);
    stage_stop(&s);
    upstream_free(u);
    nt_buf_done(&b);
    nt_buf_done(&r);
}

static unsigned descriptors(void)
{
    unsigned count = 0;
    DIR *folder = opendir("/proc/self/fd");
    assert_non_null(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

/* However requests end, nothing of them stays open. */
static void nothing_is_left_of_requests(void **state)
{
    enum { TIMES = 20 };
    struct stage s = { .policy = { .hosts = local_host, .host_count = 1 } };
    struct nt_buf b = NT_BUF(1 << 20), a = NT_BUF(64);
    uint16_t port, deaf;
    struct upstream *u = upstream_new(upstream_echo, NULL, &port);
    struct upstream *silent = upstream_new(upstream_mirror, NULL, &deaf);
    stage_start(&s, 0);
    nt_buf_addf(&a, "127.0.0.1:%u", (unsigned)deaf);
    ask_connect(&s, nt_buf_text(&a), &b);
    unsigned before = descriptors();
    for (int i = 0; i < TIMES; i++) {
        stage_askf(&s, &b,
                   "GET http://127.0.0.1:%u/ HTTP/1.1\r\nHost: x\r\nX-Keep: 1\r\n" STAGE_AUTH
                   "Connection: close\r\n\r\n",
                   (unsigned)port);
        assert_has(&b, "HTTP/1.1 200 ");
        ask_connect(&s, nt_buf_text(&a), &b); /* given up with the tunnel open */
        assert_has(&b, "HTTP/1.1 200 ");
        ask_connect(&s, "evil.test:443", &b);
        ask_connect(&s, "127.0.0.1:1", &b);
        /* Given up without an answer, and in the middle of a body. */
        for (int j = 0; j < 2; j++) {
            struct nt_buf r = NT_BUF(4096);
            int fd = stage_connect(&s);
            nt_buf_addf(&r, "POST http://127.0.0.1:%u/ HTTP/1.1\r\nHost: x\r\n" STAGE_AUTH,
                        (unsigned)deaf);
            nt_buf_add(&r, j ? "\r\n" : "Content-Length: 9\r\n\r\nhalf");
            stage_send(fd, r.data, r.size);
            close(fd);
            nt_buf_done(&r);
        }
    }
    for (int i = 0; descriptors() > before && i < 3000; i++)
        poll(NULL, 0, 10);
    assert_true(descriptors() <= before);
    stage_stop(&s);
    upstream_free(u);
    upstream_free(silent);
    nt_buf_done(&a);
    nt_buf_done(&b);
}

static void it_ends_with_open_connections(void **state)
{
    struct stage s = { .policy = { .hosts = local_host, .host_count = 1 } };
    struct nt_buf b = NT_BUF(1 << 20), a = NT_BUF(64);
    uint16_t port;
    struct upstream *u = upstream_new(upstream_mirror, NULL, &port);
    stage_start(&s, 0);
    nt_buf_addf(&a, "127.0.0.1:%u", (unsigned)port);
    int tunnel = connect_through(&s, nt_buf_text(&a), &b), idle = stage_connect(&s);
    stage_stop(&s);
    assert_true(recv(tunnel, &(char){ 0 }, 1, 0) <= 0);
    assert_true(recv(idle, &(char){ 0 }, 1, 0) <= 0);
    close(tunnel);
    close(idle);
    upstream_free(u);
    nt_buf_done(&a);
    nt_buf_done(&b);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_token_comes_first),
        cmocka_unit_test(metadata_is_closed_in_every_spelling),
        cmocka_unit_test(only_allowed_names_are_looked_up),
        cmocka_unit_test(addresses_of_allowed_names_are_judged),
        cmocka_unit_test(denied_addresses_have_no_other_name),
        cmocka_unit_test(tunnels_carry_bytes),
        cmocka_unit_test(tunnels_go_through_the_upstream_proxy),
        cmocka_unit_test(requests_are_carried),
        cmocka_unit_test(ambiguous_requests_are_refused),
        cmocka_unit_test(sizes_are_limited),
        cmocka_unit_test(connections_are_limited),
        cmocka_unit_test(it_waits_for_descriptors),
        cmocka_unit_test(many_requests_in_a_row),
        cmocka_unit_test(upstreams_stay_open_for_their_peer),
        cmocka_unit_test(nothing_is_left_of_requests),
        cmocka_unit_test(it_ends_with_open_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
