/* SPDX-License-Identifier: Apache-2.0 */
/* net_way_out_test.c - what a workspace may reach, in every spelling, and what is carried. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "plugins/serve/way-out/address.h"
#include "plugins/serve/way-out/way_out.h"
#include "sdk/error.h"
#include "tests/unit/net_peer.h"

static bool is_public(const char *text)
{
    struct sockaddr_in in = { .sin_family = AF_INET };
    struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
    if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
        return address_is_public((struct sockaddr *)&in);
    assert_int_equal(inet_pton(AF_INET6, text, &six.sin6_addr), 1);
    return address_is_public((struct sockaddr *)&six);
}

static void special_ranges_are_closed(void **state)
{
    static const char *const closed[] = {
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.1.1.1",
        "240.0.0.1",
        "255.255.255.255",
        "168.63.129.16",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "3fff::1",
        "4000::1",
    };
    static const char *const open[] = {
        "1.1.1.1",      "8.8.8.8",         "9.255.255.255",  "11.0.0.0",         "100.63.255.255",
        "100.128.0.0",  "172.15.0.1",      "172.32.0.1",     "192.167.1.1",      "198.17.0.1",
        "198.20.0.1",   "223.255.255.255", "::ffff:1.1.1.1", "64:ff9b::101:101", "2606:4700::1111",
        "2a00:1450::1", "2001:4860::8888",
    };
    for (size_t i = 0; i < sizeof(closed) / sizeof(closed[0]); i++) {
        if (is_public(closed[i]))
            print_error("%s is open\n", closed[i]);
        assert_false(is_public(closed[i]));
    }
    for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++) {
        if (!is_public(open[i]))
            print_error("%s is closed\n", open[i]);
        assert_true(is_public(open[i]));
    }
}

struct world {
    struct net_peer_test t; /* of it only loop and descriptor are used */
    struct way_out *out;
    bool internet;
};

static bool has_internet(void *data, const char *workspace_id)
{
    assert_string_equal(workspace_id, "ws_1");
    return ((struct world *)data)->internet;
}

static void world_start(struct world *w, bool internet)
{
    struct nt_error e = NT_ERROR_INIT;
    struct way_out_options o = { .has_internet = has_internet, .data = w };
    w->internet = internet;
    assert_int_equal(uv_loop_init(&w->t.uv), 0);
    assert_int_equal(way_out_new(&w->t.uv, &o, &w->out, &e), 0);
}

static void world_connect(struct world *w)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    w->t.fd = fds[1];
    way_out_accept(w->out, "ws_1", fds[0]);
}

static void on_freed(void *data)
{
    *(bool *)data = true;
}

static void world_stop(struct world *w)
{
    bool freed = false;
    way_out_free(w->out, on_freed, &freed);
    net_run_until(&w->t.uv, &freed);
    uv_run(&w->t.uv, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->t.uv), 0);
}

/* One request to the way out; what it must answer. */
static void assert_answer(struct world *w, const char *request, const char *status,
                          const char *text)
{
    struct nt_buf b = NT_BUF(1 << 20);
    world_connect(w);
    net_peer_send(&w->t, request, strlen(request));
    net_peer_read_until(&w->t, &b, status);
    net_peer_read_until(&w->t, &b, text);
    close(w->t.fd);
    nt_buf_done(&b);
}

static void closed_addresses_are_denied_in_every_spelling(void **state)
{
    static const char *const hosts[] = { "127.0.0.1",
                                         "0x7f.1",
                                         "0x7f000001",
                                         "2130706433",
                                         "0177.0.0.1",
                                         "127.1",
                                         "0",
                                         "localhost",
                                         "[::1]",
                                         "[::ffff:127.0.0.1]",
                                         "[::ffff:7f00:1]",
                                         "169.254.169.254",
                                         "2852039166",
                                         "10.1.2.3",
                                         "[fe80::1]",
                                         "[64:ff9b::7f00:1]" };
    struct world w;
    world_start(&w, true);
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        struct nt_buf r = NT_BUF(1000);
        nt_buf_addf(&r, "CONNECT %s:80 HTTP/1.1\r\nHost: x\r\n\r\n", hosts[i]);
        assert_answer(&w, nt_buf_text(&r), "HTTP/1.1 403 ", "\"way_out_denied\"");
        nt_buf_reset(&r);
        nt_buf_addf(&r, "GET http://%s/ HTTP/1.1\r\nHost: x\r\n\r\n", hosts[i]);
        assert_answer(&w, nt_buf_text(&r), "HTTP/1.1 403 ", "\"way_out_denied\"");
        nt_buf_done(&r);
    }
    world_stop(&w);
}

static void without_permission_nothing_is_reached(void **state)
{
    struct world w;
    world_start(&w, false);
    assert_answer(&w, "CONNECT 1.1.1.1:443 HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 403 ",
                  "\"way_out_denied\"");
    assert_answer(&w, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400 ",
                  "not a request to a proxy");
    assert_answer(&w, "GET http://u@1.1.1.1/ HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400 ",
                  "not a request");
    assert_answer(&w, "CONNECT 1.1.1.1 HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400 ",
                  "not a request");
    world_stop(&w);
}

/* --- a server outside ---------------------------------------------------------------------- */

static int listen_loopback(uint16_t *ret_port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(in);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &size), 0);
    *ret_port = ntohs(in.sin_port);
    return fd;
}

static void outside_body_end(void *data, struct net_request *req)
{
    net_respond(req, 200, NULL, 0, (struct nt_bytes){ "stored", 6 });
}

static void outside_body(void *data, struct net_request *req, struct nt_bytes bytes)
{
    *(uint64_t *)data += bytes.size;
    net_request_grant(req, bytes.size);
}

static void outside_request(void *data, struct net_request *req)
{
    static const struct net_request_events events = { .body = outside_body,
                                                      .body_end = outside_body_end };
    net_request_handle(req, &events, data);
    if (net_request_length(req) != 0) {
        net_request_grant(req, 65536);
        return;
    }
    struct nt_buf b = NT_BUF(10000);
    struct net_header h;
    nt_buf_addf(&b, "target=%s", net_request_target(req));
    for (uint32_t i = 0; net_request_header_at(req, i, &h); i++)
        nt_buf_addf(&b, " <%s=%s>", h.name, h.value);
    net_respond(req, 200, NULL, 0, (struct nt_bytes){ b.data, b.size });
    nt_buf_done(&b);
}

int __real_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **ret);
int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **ret);

/* both.test is ::1 and then 127.0.0.1; freeaddrinfo takes such a list apart like any other. */
int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **ret)
{
    struct addrinfo *second;
    if (!node || strcmp(node, "both.test") != 0)
        return __real_getaddrinfo(node, service, hints, ret);
    int status = __real_getaddrinfo("::1", service, hints, ret);
    if (status == 0)
        status = __real_getaddrinfo("127.0.0.1", service, hints, &second);
    struct addrinfo *last = *ret;
    while (status == 0 && last->ai_next)
        last = last->ai_next;
    if (status == 0)
        last->ai_next = second;
    return status;
}

static void every_address_of_a_name_is_tried(void **state)
{
    struct world w;
    struct nt_error e = NT_ERROR_INIT;
    struct net_server *outside;
    uint64_t stored = 0;
    uint16_t port;
    world_start(&w, false);
    struct net_server_options o = { .request = outside_request, .data = &stored };
    assert_int_equal(net_server_new(&w.t.uv, listen_loopback(&port), &o, &outside, &e), 0);
    struct way_out_rule *rule = way_out_allow(w.out, "ws_1", "both.test", port, true, &e);
    assert_non_null(rule);
    struct nt_buf r = NT_BUF(1000);
    nt_buf_addf(&r, "GET http://both.test:%u/x HTTP/1.1\r\nHost: y\r\n\r\n", port);
    assert_answer(&w, nt_buf_text(&r), "HTTP/1.1 200 ", "target=/x");
    nt_buf_reset(&r);
    nt_buf_addf(&r, "CONNECT both.test:%u HTTP/1.1\r\nHost: y\r\n\r\n", port);
    assert_answer(&w, nt_buf_text(&r), "HTTP/1.1 200 ", "\r\n\r\n");
    nt_buf_done(&r);
    way_out_forget(rule);
    bool freed = false;
    net_server_stop(outside, false);
    net_server_free(outside, on_freed, &freed);
    net_run_until(&w.t.uv, &freed);
    world_stop(&w);
}

static void requests_are_carried_to_what_was_allowed(void **state)
{
    struct world w;
    struct nt_error e = NT_ERROR_INIT;
    struct net_server *outside;
    uint64_t stored = 0;
    uint16_t port;
    world_start(&w, false);
    struct net_server_options o = { .request = outside_request, .data = &stored };
    assert_int_equal(net_server_new(&w.t.uv, listen_loopback(&port), &o, &outside, &e), 0);
    struct way_out_rule *rule = way_out_allow(w.out, "ws_1", "127.0.0.1", port, true, &e);
    assert_non_null(rule);

    struct nt_buf r = NT_BUF(1 << 20), b = NT_BUF(1 << 20);
    world_connect(&w);
    nt_buf_addf(&r,
                "GET http://127.0.0.1:%u/a%%2Fb?q=1 HTTP/1.1\r\nHost: lies\r\nConnection: "
                "X-Hop\r\nX-Hop: 1\r\n"
                "Proxy-Authorization: secret\r\nX-Stays: 2\r\n\r\n",
                port);
    net_peer_send(&w.t, r.data, r.size);
    net_peer_read_until(&w.t, &b, "<X-Stays=2>");
    assert_non_null(strstr(nt_buf_text(&b), "target=/a%2Fb?q=1 "));
    assert_null(strstr(nt_buf_text(&b), "lies"));
    assert_null(strstr(nt_buf_text(&b), "X-Hop"));
    assert_null(strstr(nt_buf_text(&b), "secret"));

    /* A body larger than all credits, on the same connection. */
    nt_buf_reset(&r);
    nt_buf_reset(&b);
    nt_buf_addf(
        &r, "PUT http://127.0.0.1:%u/put HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n",
        port);
    net_peer_send(&w.t, r.data, r.size);
    char *body = calloc(1, 5000000);
    net_peer_send(&w.t, body, 5000000);
    free(body);
    net_peer_read_until(&w.t, &b, "stored");
    assert_int_equal(stored, 5000000);
    close(w.t.fd);

    /* A tunnel to the same server. */
    nt_buf_reset(&r);
    nt_buf_reset(&b);
    world_connect(&w);
    nt_buf_addf(&r, "CONNECT 127.0.0.1:%u HTTP/1.1\r\nHost: x\r\n\r\n", port);
    net_peer_send(&w.t, r.data, r.size);
    net_peer_read_until(&w.t, &b, "HTTP/1.1 200 OK\r\n");
    net_peer_read_until(&w.t, &b, "\r\n\r\n");
    static const char inner[] = "GET /inner HTTP/1.0\r\n\r\n";
    net_peer_send(&w.t, inner, sizeof(inner) - 1);
    net_peer_read_to_end(&w.t, &b);
    assert_non_null(strstr(nt_buf_text(&b), "target=/inner"));
    close(w.t.fd);

    /* The permission ends: nothing new gets through. */
    way_out_forget(rule);
    assert_answer(&w, nt_buf_text(&r), "HTTP/1.1 403 ", "\"way_out_denied\"");

    bool freed = false;
    net_server_free(outside, on_freed, &freed);
    net_run_until(&w.t.uv, &freed);

    /* Nobody listens any more: 502. */
    assert_non_null(way_out_allow(w.out, "ws_1", "127.0.0.1", port, true, &e));
    assert_answer(&w, nt_buf_text(&r), "HTTP/1.1 502 ", "\"way_out_failed\"");
    nt_buf_reset(&r);
    nt_buf_addf(&r, "GET http://127.0.0.1:%u/ HTTP/1.1\r\nHost: x\r\n\r\n", port);
    assert_answer(&w, nt_buf_text(&r), "HTTP/1.1 502 ", "\"way_out_failed\"");
    nt_buf_done(&r);
    nt_buf_done(&b);
    world_stop(&w);
}

static void an_open_tunnel_ends_with_the_way_out(void **state)
{
    struct world w;
    struct nt_error e = NT_ERROR_INIT;
    uint16_t port;
    int listener = listen_loopback(&port);
    struct nt_buf r = NT_BUF(1000), b = NT_BUF(1 << 20);
    world_start(&w, false);
    assert_non_null(way_out_allow(w.out, "ws_1", "127.0.0.1", port, true, &e));
    world_connect(&w);
    nt_buf_addf(&r, "CONNECT 127.0.0.1:%u HTTP/1.1\r\nHost: x\r\n\r\n", port);
    net_peer_send(&w.t, r.data, r.size);
    net_peer_read_until(&w.t, &b, "\r\n\r\n");
    assert_int_equal(way_out_connections(w.out), 1);
    /* More than the buffers hold, to one that reads nothing: it stops, and the memory is
     * bounded. */
    char *piece = calloc(1, 65536);
    size_t total = 0;
    for (int refused = 0; refused < 200;) {
        ssize_t n = send(w.t.fd, piece, 65536, MSG_NOSIGNAL);
        if (n > 0)
            total += (size_t)n;
        else
            refused++;
        uv_run(&w.t.uv, UV_RUN_NOWAIT);
        assert_true(total < (64u << 20));
    }
    free(piece);
    world_stop(&w);
    close(w.t.fd);
    close(listener);
    nt_buf_done(&r);
    nt_buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(special_ranges_are_closed),
        cmocka_unit_test(closed_addresses_are_denied_in_every_spelling),
        cmocka_unit_test(without_permission_nothing_is_reached),
        cmocka_unit_test(requests_are_carried_to_what_was_allowed),
        cmocka_unit_test(every_address_of_a_name_is_tried),
        cmocka_unit_test(an_open_tunnel_ends_with_the_way_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
