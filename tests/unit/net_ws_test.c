/* SPDX-License-Identifier: Apache-2.0 */
/* net_ws_test.c - WebSocket connections: our client with our server, and raw frames against the
 * server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sdk/error.h"
#include "tests/unit/net_peer.h"

struct side {
    struct net_ws *ws;
    struct nt_buf got;
    uint32_t messages, texts;
    bool echo, closed, failed, got_one;
    uint16_t code;
    uint32_t reason_code; /* NT_E_*; 0: clean */
    uint64_t grant;
    uint64_t bytes;
};

static void side_message(void *data, struct net_ws *ws, struct nt_bytes bytes, bool is_text,
                         bool last)
{
    struct side *s = data;
    nt_buf_add_bytes(&s->got, bytes.data, bytes.size);
    s->bytes += bytes.size;
    net_ws_grant(ws, bytes.size);
    if (!last)
        return;
    s->messages++;
    s->texts += is_text;
    s->got_one = true;
    if (s->echo) {
        net_ws_send(ws, (struct nt_bytes){ s->got.data, s->got.size }, is_text);
        nt_buf_reset(&s->got);
    }
}

static void side_closed(void *data, struct net_ws *ws, uint16_t code, const struct nt_error *reason)
{
    struct side *s = data;
    assert_false(s->closed);
    s->closed = true;
    s->code = code;
    s->failed = reason != NULL;
    s->reason_code = reason ? reason->code : 0;
    s->ws = NULL;
}

static const struct net_ws_events side_events = { .message = side_message, .closed = side_closed };

static void accept_request(void *data, struct net_request *req)
{
    struct side *s = data;
    struct net_request_events events = { 0 };
    net_request_handle(req, &events, NULL);
    if (!net_request_is_websocket(req)) {
        net_respond(req, 426, NULL, 0, (struct nt_bytes){ 0 });
        return;
    }
    s->ws = net_ws_accept(req, &side_events, s);
    assert_non_null(s->ws);
    net_ws_grant(s->ws, s->grant);
}

static struct side side_make(bool echo)
{
    return (struct side){ .got = NT_BUF(8 << 20), .echo = echo, .grant = 100000 };
}

static const char handshake[] =
    "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";

static void raw_start(struct net_peer_test *t, struct side *s, struct nt_buf *b)
{
    struct net_server_options o = { .request = accept_request, .data = s };
    net_peer_start(t, &o);
    net_peer_send(t, handshake, sizeof(handshake) - 1);
    net_peer_read_until(t, b, "\r\n\r\n");
    /* The example of RFC 6455 section 1.3. */
    assert_non_null(
        strstr(nt_buf_text(b), "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    assert_null(strstr(nt_buf_text(b), "permessage-deflate"));
    nt_buf_reset(b);
}

/* A masked frame with the mask 1 2 3 4. */
static void raw_frame(struct nt_buf *b, uint8_t first, const char *payload, size_t size)
{
    static const uint8_t mask[4] = { 1, 2, 3, 4 };
    nt_buf_add_char(b, (char)first);
    if (size < 126) {
        nt_buf_add_char(b, (char)(0x80 | size));
    } else {
        nt_buf_add_char(b, (char)(0x80 | 126));
        nt_buf_add_char(b, (char)(size >> 8));
        nt_buf_add_char(b, (char)size);
    }
    nt_buf_add_bytes(b, mask, 4);
    for (size_t i = 0; i < size; i++)
        nt_buf_add_char(b, (char)(payload[i] ^ mask[i % 4]));
}

/* Sends raw bytes and wants a close frame with this code. */
static void assert_closed_with(const char *bytes, size_t size, uint16_t code)
{
    struct side s = side_make(true);
    struct net_peer_test t;
    struct nt_buf b = NT_BUF(1 << 20);
    raw_start(&t, &s, &b);
    net_peer_send(&t, bytes, size);
    net_peer_read_to_end(&t, &b);
    assert_true(b.size >= 4);
    assert_int_equal((uint8_t)b.data[0], 0x88);
    assert_int_equal((uint8_t)b.data[2] << 8 | (uint8_t)b.data[3], code);
    net_peer_stop(&t);
    assert_true(s.closed);
    assert_true(s.failed);
    nt_buf_done(&b);
    nt_buf_done(&s.got);
}

static void broken_frames_are_closed_with_the_right_code(void **state)
{
    struct nt_buf f = NT_BUF(1 << 20);
    assert_closed_with("\x81\x02hi", 4, 1002); /* unmasked */
#define ROW(code, ...)                                                                             \
    do {                                                                                           \
        nt_buf_reset(&f);                                                                          \
        __VA_ARGS__;                                                                               \
        assert_closed_with(f.data, f.size, code);                                                  \
    } while (0)
    ROW(1002, raw_frame(&f, 0xc1, "hi", 2)); /* a reserved bit */
    ROW(1002, raw_frame(&f, 0x83, "hi", 2)); /* an unknown opcode */
    ROW(1002, raw_frame(&f, 0x80, "hi", 2)); /* continues nothing */
    /* a message in a message */
    ROW(1002, raw_frame(&f, 0x01, "a", 1); raw_frame(&f, 0x81, "b", 1));
    ROW(1002, raw_frame(&f, 0x09, "a", 1));        /* a ping in parts */
    ROW(1002, raw_frame(&f, 0x88, "a", 1));        /* half a close code */
    ROW(1002, raw_frame(&f, 0x88, "\x03\xed", 2)); /* 1005 is never sent */
    ROW(1007, raw_frame(&f, 0x81, "\xff", 1));
    /* ends inside a character */
    ROW(1007, raw_frame(&f, 0x81, "\xe2\x82", 2));
    ROW(1007, raw_frame(&f, 0x81, "\xed\xa0\x80", 3)); /* a surrogate */
    ROW(1007, raw_frame(&f, 0x01, "\xc0", 1));
    char *large = calloc(1, 60000);
    ROW(1002, raw_frame(&f, 0x89, large, 126)); /* a ping too long */
    nt_buf_reset(&f);
    for (int i = 0; i < 18; i++)
        raw_frame(&f, i ? 0x00 : 0x02, large, 60000);
    struct nt_buf all = NT_BUF(4 << 20);
    nt_buf_reset(&f);
    for (int i = 0; i < 18; i++) {
        nt_buf_reset(&f);
        raw_frame(&f, i ? 0x00 : 0x02, large, 60000);
        nt_buf_add_bytes(&all, f.data, f.size);
    }
    assert_closed_with(all.data, all.size, 1009);
    nt_buf_done(&all);
    nt_buf_done(&f);
    free(large);
}

static void parts_and_pings_make_one_message(void **state)
{
    struct side s = side_make(true);
    struct net_peer_test t;
    struct nt_buf b = NT_BUF(1 << 20), f = NT_BUF(1 << 20);
    raw_start(&t, &s, &b);
    raw_frame(&f, 0x01, "h\xc3", 2);
    raw_frame(&f, 0x89, "ping", 4);
    raw_frame(&f, 0x00, "", 0);
    raw_frame(&f, 0x80, "\xa4llo", 4);
    for (size_t i = 0; i < f.size; i++)
        net_peer_send(&t, f.data + i, 1);
    net_peer_read_until(&t, &b, "\x81\x06h\xc3\xa4llo");
    assert_int_equal(memcmp(b.data, "\x8a\x04ping", 6), 0);
    assert_int_equal(s.messages, 1);
    assert_int_equal(s.texts, 1);
    nt_buf_reset(&f);
    raw_frame(&f, 0x88,
              "\x03\xe8"
              "bye",
              5);
    nt_buf_reset(&b);
    net_peer_send(&t, f.data, f.size);
    net_peer_read_to_end(&t, &b);
    assert_int_equal(b.size, 4);
    assert_int_equal(memcmp(b.data, "\x88\x02\x03\xe8", 4), 0);
    net_peer_stop(&t);
    assert_int_equal(s.code, 1000);
    assert_false(s.failed);
    nt_buf_done(&b);
    nt_buf_done(&f);
    nt_buf_done(&s.got);
}

static void bytes_behind_the_handshake_belong_to_it(void **state)
{
    struct side s = side_make(true);
    struct net_server_options o = { .request = accept_request, .data = &s };
    struct net_peer_test t;
    struct nt_buf b = NT_BUF(1 << 20), f = NT_BUF(1 << 20);
    net_peer_start(&t, &o);
    nt_buf_add(&f, handshake);
    raw_frame(&f, 0x82, "early", 5);
    net_peer_send(&t, f.data, f.size);
    net_peer_read_until(&t, &b,
                        "\x82\x05"
                        "early");
    net_peer_stop(&t);
    assert_true(s.closed);
    assert_int_equal(s.code, 1006);
    nt_buf_done(&b);
    nt_buf_done(&f);
    nt_buf_done(&s.got);
}

static void wrong_handshakes_are_no_websocket(void **state)
{
    static const char *const rows[] = {
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: "
        "Upgrade\r\nSec-WebSocket-Version: 12\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: "
        "Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: short\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: "
        "Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct side s = side_make(true);
        struct net_server_options o = { .request = accept_request, .data = &s };
        struct net_peer_test t;
        struct nt_buf b = NT_BUF(1 << 20);
        net_peer_start(&t, &o);
        net_peer_send(&t, rows[i], strlen(rows[i]));
        net_peer_read_until(&t, &b, "HTTP/1.1 426 ");
        net_peer_stop(&t);
        nt_buf_done(&b);
        nt_buf_done(&s.got);
    }
}

/* --- our client ---------------------------------------------------------------------------- */

static void client_head(void *data, struct net_client *client, uint32_t status)
{
    assert_int_equal(status, 101);
    *(bool *)data = true;
}

static void client_closed(void *data, struct net_client *client, const struct nt_error *reason)
{
    fail_msg("the connection is the WebSocket's now: %s", reason->message);
}

static void on_freed(void *data)
{
    *(bool *)data = true;
}

static int sent_calls;

static void on_sent(void *data)
{
    sent_calls++;
}

static void client_and_server_talk(void **state)
{
    struct side server_side = side_make(true), client_side = side_make(false);
    struct net_server_options o = { .request = accept_request, .data = &server_side };
    struct net_client_events events = { .head = client_head, .closed = client_closed };
    struct net_server *server;
    struct net_client *client;
    struct nt_error e = NT_ERROR_INIT;
    uv_loop_t uv;
    char path[64] = "/tmp/nt-ws-XXXXXX";
    assert_int_equal(uv_loop_init(&uv), 0);
    assert_non_null(mkdtemp(path));
    struct nt_buf file = NT_BUF(200);
    nt_buf_addf(&file, "%s/s", path);
    int fd = net_unix_listen(nt_buf_text(&file), &e);
    assert_true(fd >= 0);
    assert_int_equal(net_server_new(&uv, fd, &o, &server, &e), 0);
    struct net_address a = { .kind = NET_UNIX, .host = nt_buf_text(&file) };
    bool is_open = false;
    assert_int_equal(net_client_new(&uv, &a, NULL, 0, &events, &is_open, &client, &e), 0);
    struct net_client_request q = { .method = "GET", .target = "/ws" };
    assert_int_equal(net_client_ws(client, &q, &side_events, &client_side, &client_side.ws, &e), 0);
    net_ws_grant(client_side.ws, 1000000);
    net_run_until(&uv, &is_open);
    /* Sizes around the borders of the length field; answers come back whole. */
    static const size_t sizes[] = { 0, 1, 125, 126, 65535, 65536, 300000 };
    char *payload = malloc(300000);
    for (size_t i = 0; i < 300000; i++)
        payload[i] = (char)(i * 7);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        client_side.got_one = false;
        nt_buf_reset(&client_side.got);
        net_ws_send(client_side.ws, (struct nt_bytes){ payload, sizes[i] }, false);
        net_run_until(&uv, &client_side.got_one);
        assert_int_equal(client_side.got.size, sizes[i]);
        if (sizes[i])
            assert_memory_equal(client_side.got.data, payload, sizes[i]);
    }
    /* Borrowed, from both sides. */
    client_side.got_one = false;
    nt_buf_reset(&client_side.got);
    sent_calls = 0;
    net_ws_send_borrowed(client_side.ws, 7, (struct nt_bytes){ payload, 200000 }, on_sent, NULL);
    net_run_until(&uv, &client_side.got_one);
    assert_int_equal(client_side.got.size, 200001);
    assert_int_equal(client_side.got.data[0], 7);
    assert_memory_equal(client_side.got.data + 1, payload, 200000);
    client_side.got_one = false;
    nt_buf_reset(&client_side.got);
    net_ws_send_borrowed(server_side.ws, 9, (struct nt_bytes){ payload, 200000 }, on_sent, NULL);
    net_run_until(&uv, &client_side.got_one);
    assert_int_equal(client_side.got.size, 200001);
    assert_int_equal(client_side.got.data[0], 9);
    assert_memory_equal(client_side.got.data + 1, payload, 200000);
    assert_int_equal(sent_calls, 2);

    net_ws_close(client_side.ws, 1001, "done");
    net_ws_close(client_side.ws, 1002, "twice is nothing");
    net_run_until(&uv, &client_side.closed);
    net_run_until(&uv, &server_side.closed);
    assert_int_equal(client_side.code, 1001);
    assert_int_equal(server_side.code, 1001);
    assert_false(client_side.failed);
    assert_false(server_side.failed);
    bool freed = false;
    net_server_free(server, on_freed, &freed);
    net_run_until(&uv, &freed);
    uv_run(&uv, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&uv), 0);
    unlink(nt_buf_text(&file));
    rmdir(path);
    free(payload);
    nt_buf_done(&file);
    nt_buf_done(&server_side.got);
    nt_buf_done(&client_side.got);
}

/* --- peers that are dead, or only busy ----------------------------------------------------- */

static void a_silent_peer_is_lost(void **state)
{
    struct side s = side_make(false);
    struct net_peer_test t;
    struct nt_buf b = NT_BUF(1 << 20);
    raw_start(&t, &s, &b);
    net_ws_keepalive(s.ws, 30);
    net_run_until(&t.uv, &s.closed);
    assert_int_equal(s.code, 1006);
    assert_int_equal(s.reason_code, NT_E_TIMEOUT);
    net_peer_read_to_end(&t, &b);
    assert_true(b.size >= 2 && memcmp(nt_buf_text(&b), "\x89\0", 2) == 0); /* it was asked */
    net_peer_stop(&t);
    nt_buf_done(&b);
    nt_buf_done(&s.got);
}

/* It also takes nothing: what was sent before stays in the queue, and pings are no longer made. */
static void a_silent_peer_with_a_full_queue_is_lost(void **state)
{
    struct side s = side_make(false);
    struct net_peer_test t;
    struct nt_buf b = NT_BUF(1 << 20);
    raw_start(&t, &s, &b);
    char *much = calloc(1, 4 << 20);
    while (net_ws_send(s.ws, (struct nt_bytes){ much, 4 << 20 }, false))
        uv_run(&t.uv, UV_RUN_NOWAIT);
    net_ws_keepalive(s.ws, 30);
    net_run_until(&t.uv, &s.closed);
    assert_int_equal(s.reason_code, NT_E_TIMEOUT);
    net_peer_stop(&t);
    free(much);
    nt_buf_done(&b);
    nt_buf_done(&s.got);
}

static void a_peer_that_answers_pings_stays(void **state)
{
    struct side s = side_make(true);
    struct net_peer_test t;
    struct nt_buf b = NT_BUF(1 << 20), pong = NT_BUF(64), hi = NT_BUF(64);
    raw_frame(&pong, 0x8A, "", 0);
    raw_frame(&hi, 0x81, "hi", 2);
    raw_start(&t, &s, &b);
    net_ws_keepalive(s.ws, 200);
    for (int i = 0; i < 5; i++) { /* longer than a silent one lives */
        net_peer_read_until(&t, &b, "\x89");
        nt_buf_reset(&b);
        net_peer_send(&t, pong.data, pong.size);
    }
    assert_false(s.closed);
    net_peer_send(&t, hi.data, hi.size);
    net_peer_read_until(&t, &b, "hi");
    net_peer_stop(&t);
    nt_buf_done(&b);
    nt_buf_done(&hi);
    nt_buf_done(&pong);
    nt_buf_done(&s.got);
}

/* What it has sent waits for our credit: it is us who are silent. */
static void a_peer_whose_bytes_wait_is_not_silent(void **state)
{
    struct side s = side_make(false);
    struct net_peer_test t;
    struct nt_buf b = NT_BUF(1 << 20), hi = NT_BUF(64);
    s.grant = 0;
    raw_frame(&hi, 0x81, "hi", 2);
    raw_start(&t, &s, &b);
    net_peer_send(&t, hi.data, hi.size);
    net_ws_keepalive(s.ws, 20);
    for (int i = 0; i < 6; i++) {
        net_peer_read_until(&t, &b, "\x89");
        nt_buf_reset(&b);
    }
    assert_false(s.closed);
    net_ws_grant(s.ws, 100);
    net_run_until(&t.uv, &s.got_one);
    assert_int_equal(s.got.size, 2);
    net_run_until(&t.uv, &s.closed); /* from here on it is the peer's silence */
    assert_int_equal(s.reason_code, NT_E_TIMEOUT);
    net_peer_stop(&t);
    nt_buf_done(&b);
    nt_buf_done(&hi);
    nt_buf_done(&s.got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broken_frames_are_closed_with_the_right_code),
        cmocka_unit_test(parts_and_pings_make_one_message),
        cmocka_unit_test(bytes_behind_the_handshake_belong_to_it),
        cmocka_unit_test(wrong_handshakes_are_no_websocket),
        cmocka_unit_test(client_and_server_talk),
        cmocka_unit_test(a_silent_peer_is_lost),
        cmocka_unit_test(a_silent_peer_with_a_full_queue_is_lost),
        cmocka_unit_test(a_peer_that_answers_pings_stays),
        cmocka_unit_test(a_peer_whose_bytes_wait_is_not_silent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
