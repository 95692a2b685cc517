/* SPDX-License-Identifier: Apache-2.0 */
/* serve_monitor_test.c - root's monitor against an API process that means harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "core/net/net.h"
#include "plugins/serve/monitor/channel.h"
#include "sdk/error.h"
#include "serve_monitor_fake.h"

static struct fake_monitor f;

static int setup(void **state)
{
    (void)state;
    fake_monitor_begin(&f);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_monitor_end(&f);
    return 0;
}

static const char *say(uint32_t kind, uint64_t number)
{
    struct wire_head m = { .kind = kind, .number = number };
    return monitor_message(f.monitor, &m, sizeof(m));
}

static struct wire_call call_of(uint32_t kind, uint64_t number, const char *id)
{
    struct wire_call m = { .head = { .kind = kind, .number = number } };
    snprintf(m.id, sizeof(m.id), "%s", id);
    snprintf(m.key, sizeof(m.key), "key");
    return m;
}

static const char *call(uint32_t kind, uint64_t number, const char *id)
{
    struct wire_call m = call_of(kind, number, id);
    return monitor_message(f.monitor, &m, sizeof(m));
}

static struct wire_create create_of(uint64_t number)
{
    struct wire_create m = { .call = call_of(WIRE_CREATE, number, "ws_new") };
    snprintf(m.hostname, sizeof(m.hostname), "ws-new");
    snprintf(m.image, sizeof(m.image), "host");
    return m;
}

static void a_create_reaches_the_engine_and_its_end_comes_back(void **state)
{
    (void)state;
    assert_null(say(WIRE_READY, 0));
    struct wire_create m = create_of(7);
    m.memory_bytes = 1 << 20;
    assert_null(monitor_message(f.monitor, &m, sizeof(m)));
    assert_string_equal(f.id, "ws_new");
    assert_int_equal(f.spec.memory_bytes, 1 << 20);
    fake_monitor_end_call(&f, NT_OP_DONE);
    struct wire_result result;
    assert_int_equal(f.last_size, sizeof(result));
    memcpy(&result, f.last, sizeof(result));
    assert_int_equal(result.head.kind, WIRE_RESULT);
    assert_int_equal(result.head.number, 7);
    assert_int_equal(result.outcome, NT_OP_DONE);
}

static void every_size_but_its_own_is_refused(void **state)
{
    (void)state;
    _Alignas(16) static uint8_t bytes[WIRE_MAX];
    for (uint32_t kind = 0; kind < WIRE_REQUESTS + 3; kind++) {
        unsigned good = 0;
        for (size_t size = 0; size < sizeof(bytes); size++) {
            struct wire_head head = { .kind = kind, .number = 1 };
            memset(bytes, 0, sizeof(bytes));
            memcpy(bytes, &head, sizeof(head));
            const char *wrong = wire_request(bytes, size);
            if (!wrong
                || (strcmp(wrong, "a request of the wrong size") != 0
                    && strcmp(wrong, "an unknown request") != 0
                    && strcmp(wrong, "a message without a head") != 0))
                good++;
        }
        assert_int_equal(good, kind > 0 && kind < WIRE_REQUESTS ? 1 : 0);
    }
}

static void an_id_is_never_a_path(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",     "..",   ".",      "ws/1",   "../ws_1", "_ws",
        "WS_1", "ws-1", "ws_1\n", "ws\x80", "ws 1",    "a23456789012345678901234567890123456789ab"
    };
    static const uint32_t kinds[] = { WIRE_REMOVE, WIRE_INSPECT };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        for (size_t k = 0; k < 2; k++)
            assert_non_null(call(kinds[k], 1, bad[i]));
    struct wire_call m = call_of(WIRE_REMOVE, 1, "ws_1");
    memset(m.id, 'a', sizeof(m.id)); /* a text that does not end */
    assert_non_null(monitor_message(f.monitor, &m, sizeof(m)));
    assert_int_equal(f.begun, 0);
    assert_null(call(WIRE_REMOVE, 1, "ws_1"));
    assert_int_equal(f.begun, 1);
}

static const char *want_port(const char *address, uint32_t port)
{
    struct wire_listen m = { .head = { .kind = WIRE_LISTEN, .number = 9 }, .port = port };
    snprintf(m.address, sizeof(m.address), "%s", address);
    return monitor_message(f.monitor, &m, sizeof(m));
}

static void only_low_ports_of_addresses_are_made(void **state)
{
    (void)state;
    static const char *const bad[] = { "",           "localhost", "127.0.0.1:80", "127.0.0.1\n",
                                       "127.0.0.1 ", "/run/x",    "::1%lo",       "0x7f.1" };
    assert_null(say(WIRE_READY, 0));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_non_null(want_port(bad[i], 80));
    static const uint32_t ports[] = { 0, 1024, 8080, 65535, 65536 + 80 };
    for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
        assert_non_null(want_port("127.0.0.1", ports[i]));
    struct wire_listen m = { .head = { .kind = WIRE_LISTEN, .number = 9 }, .port = 80 };
    memset(m.address, '1', sizeof(m.address)); /* a text that does not end */
    assert_non_null(monitor_message(f.monitor, &m, sizeof(m)));
    m = (struct wire_listen){ .head = { .kind = WIRE_LISTEN }, .port = 80, .address = "127.0.0.1" };
    assert_non_null(monitor_message(f.monitor, &m, sizeof(m)));
    assert_int_equal(f.listens, 0);

    assert_null(want_port("127.0.0.1", 80));
    struct wire_error answer;
    assert_int_equal(f.last_size, sizeof(answer));
    memcpy(&answer, f.last, sizeof(answer));
    assert_int_equal(answer.head.kind, WIRE_SOCKET);
    assert_int_equal(answer.head.number, 9);
    assert_true(f.last_fd >= 0);
    assert_null(want_port("::1", 1023));
    memcpy(&answer, f.last, sizeof(answer));
    assert_int_equal(answer.error.sys, EADDRINUSE);
    assert_int_equal(f.last_fd, -1);
    assert_null(say(WIRE_LEAVE, 0));
    assert_non_null(want_port("127.0.0.1", 80)); /* it drains: nothing new begins */
    assert_int_equal(f.listens, 2);
}

static void a_create_is_bounded(void **state)
{
    (void)state;
    assert_null(say(WIRE_READY, 0));
    static const char *const images[] = {
        "", "Host", "file:", "file:rootfs.tar", "/etc/shadow", "file:/a\nb", "http://x/y"
    };
    for (size_t i = 0; i < sizeof(images) / sizeof(images[0]); i++) {
        struct wire_create m = create_of(1);
        snprintf(m.image, sizeof(m.image), "%s", images[i]);
        assert_non_null(monitor_message(f.monitor, &m, sizeof(m)));
    }
    struct wire_create m = create_of(1);
    m.flags = 0x80;
    assert_non_null(monitor_message(f.monitor, &m, sizeof(m)));
    m = create_of(1);
    snprintf(m.hostname, sizeof(m.hostname), "a.b/c");
    assert_non_null(monitor_message(f.monitor, &m, sizeof(m)));
    m = create_of(1);
    m.call.wait_ms = -1;
    assert_non_null(monitor_message(f.monitor, &m, sizeof(m)));
    m = create_of(1);
    memset(m.image, 'a', sizeof(m.image));
    assert_non_null(monitor_message(f.monitor, &m, sizeof(m)));
    assert_int_equal(f.begun, 0);
}

static struct wire_keep keep_of(uint64_t number, const char *id, const char *record)
{
    struct wire_keep m = { .call = call_of(WIRE_KEEP, number, id) };
    snprintf(m.record, sizeof(m.record), "%s", record);
    return m;
}

static void a_record_is_kept_and_comes_back_before_its_result(void **state)
{
    (void)state;
    struct wire_keep m = keep_of(1, "ws_1", "{\"name\":\"otter\"}");
    assert_null(monitor_message(f.monitor, &m, sizeof(m)));
    assert_string_equal(f.record, "{\"name\":\"otter\"}");
    fake_monitor_end_call(&f, NT_OP_FAILED);
    unsigned sent = f.sent;
    assert_null(call(WIRE_RECALL, 2, "ws_1"));
    fake_monitor_end_call(&f, NT_OP_DONE);
    assert_int_equal(f.sent, sent + 2);
    struct wire_record word;
    assert_int_equal(f.before_size, sizeof(word));
    memcpy(&word, f.before, sizeof(word));
    assert_int_equal(word.head.kind, WIRE_RECORD);
    assert_int_equal(word.head.number, 2);
    assert_string_equal(word.record, "{\"name\":\"otter\"}");
    struct wire_head head;
    memcpy(&head, f.last, sizeof(head));
    assert_int_equal(head.kind, WIRE_RESULT);
    assert_int_equal(head.number, 2);
}

static void a_record_is_a_text_that_ends(void **state)
{
    (void)state;
    struct wire_keep m = keep_of(1, "ws_1", "");
    assert_non_null(monitor_message(f.monitor, &m, sizeof(m)));
    memset(m.record, 'a', sizeof(m.record));
    assert_non_null(monitor_message(f.monitor, &m, sizeof(m)));
    m = keep_of(1, "../ws_1", "{}");
    assert_non_null(monitor_message(f.monitor, &m, sizeof(m)));
    struct wire_create create = create_of(1);
    memset(create.record, 'a', sizeof(create.record));
    assert_non_null(monitor_message(f.monitor, &create, sizeof(create)));
    assert_int_equal(f.begun, 0);
}

static void a_request_counts_in_its_state_only(void **state)
{
    (void)state;
    struct wire_create m = create_of(1);
    assert_non_null(monitor_message(f.monitor, &m, sizeof(m))); /* nobody is served yet */
    assert_non_null(call(WIRE_OPEN_STREAM, 2, "ws_1"));
    assert_non_null(say(WIRE_LEAVE, 0));
    assert_null(call(WIRE_LIST, 3, ""));
    assert_null(say(WIRE_OWNER_KEY, 4));
    assert_non_null(say(WIRE_OWNER_KEY, 5)); /* once */
    assert_null(say(WIRE_READY, 0));
    assert_non_null(say(WIRE_READY, 0));
    assert_non_null(say(WIRE_OWNER_KEY, 6));
    assert_null(say(WIRE_LEAVE, 0));
    assert_non_null(say(WIRE_LEAVE, 0));
    assert_int_equal(f.keys, 1);
    assert_int_equal(f.readies, 1);
    assert_int_equal(f.leaves, 1);
    assert_null(monitor_message(f.monitor, &m, sizeof(m))); /* what was accepted is finished */
}

static void the_answer_has_the_keys_hash_and_no_more(void **state)
{
    (void)state;
    struct wire_answer answer;
    assert_null(say(WIRE_OWNER_KEY, 9));
    assert_int_equal(f.last_size, sizeof(answer));
    memcpy(&answer, f.last, sizeof(answer));
    assert_int_equal(answer.head.number, 9);
    assert_int_equal(answer.hash[31], 7);
    assert_int_equal(answer.made, 1);
}

static void numbers_are_not_used_twice(void **state)
{
    (void)state;
    assert_null(call(WIRE_INSPECT, 5, "ws_1"));
    assert_non_null(call(WIRE_INSPECT, 5, "ws_2"));
    assert_non_null(call(WIRE_INSPECT, 0, "ws_2"));
    assert_int_equal(f.begun, 1);
    assert_null(call(WIRE_CANCEL, 6, "")); /* it had ended already, perhaps */
    assert_int_equal(f.cancelled, 0);
    assert_null(call(WIRE_CANCEL, 5, ""));
    assert_int_equal(f.cancelled, 1);
}

static void a_stream_comes_as_a_descriptor(void **state)
{
    (void)state;
    assert_null(say(WIRE_READY, 0));
    assert_null(call(WIRE_OPEN_STREAM, 8, "ws_1"));
    fake_monitor_open_stream(&f);
    struct wire_error word;
    memcpy(&word, f.last, sizeof(word));
    assert_int_equal(word.head.kind, WIRE_STREAM);
    assert_int_equal(word.head.number, 8);
    assert_true(f.last_fd >= 0);
    /* left open at the end: teardown closes it */
    assert_null(call(WIRE_OPEN_STREAM, 9, "ws_1"));
}

static void more_calls_than_fit_are_refused_one_by_one(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 2000; i++)
        assert_null(call(WIRE_INSPECT, i, "ws_1"));
    assert_int_equal(f.begun, FAKE_OPS);
    struct wire_result result;
    memcpy(&result, f.last, sizeof(result));
    assert_int_equal(result.outcome, NT_OP_FAILED);
    assert_int_equal(result.head.number, 2000);
}

static void a_handover_names_a_program(void **state)
{
    (void)state;
    struct wire_handover m = { .head = { WIRE_HANDOVER, 0, 1 }, .program = "nanoterm" };
    assert_null(say(WIRE_READY, 0));
    assert_non_null(monitor_message(f.monitor, &m, sizeof(m)));
    snprintf(m.program, sizeof(m.program), "/bad/nanoterm");
    assert_null(monitor_message(f.monitor, &m, sizeof(m)));
    struct wire_answer answer;
    memcpy(&answer, f.last, sizeof(answer));
    assert_int_equal(answer.error.code, NT_E_FORBIDDEN);
    snprintf(m.program, sizeof(m.program), "/good/nanoterm");
    assert_null(monitor_message(f.monitor, &m, sizeof(m)));
    assert_non_null(monitor_message(f.monitor, &m, sizeof(m))); /* it drains */
}

/* --- the channel --------------------------------------------------------------------------- */

struct end {
    uv_loop_t uv;
    struct nt_loop *loop;
    struct channel *channel;
    int peer;
    unsigned messages, closed;
    bool is_freed;
};

static bool on_message(void *data, const void *message, size_t size, int fd)
{
    struct end *e = data;
    (void)message;
    assert_true(size > 0);
    assert_int_equal(fd, -1);
    e->messages++;
    return true;
}

static void on_closed(void *data)
{
    ((struct end *)data)->closed++;
}

static void on_freed(void *data)
{
    ((struct end *)data)->is_freed = true;
}

static void end_begin(struct end *e)
{
    static const struct channel_events events = { on_message, on_closed };
    struct nt_error error = NT_ERROR_INIT;
    int fds[2];
    *e = (struct end){ .peer = -1 };
    assert_int_equal(uv_loop_init(&e->uv), 0);
    e->loop = net_loop_new(&e->uv, &error);
    assert_non_null(e->loop);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    e->peer = fds[1];
    e->channel = channel_new(e->loop, fds[0], false, &events, e, &error);
    assert_non_null(e->channel);
}

static void end_end(struct end *e)
{
    channel_free(e->channel);
    if (e->peer >= 0)
        close(e->peer);
    net_loop_free(e->loop, on_freed, e);
    while (!e->is_freed)
        uv_run(&e->uv, UV_RUN_ONCE);
    uv_run(&e->uv, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&e->uv), 0);
}

/* Sends with `count` descriptors. */
static void send_fds(int to, const void *bytes, size_t size, unsigned count)
{
    struct iovec iov = { .iov_len = size };
    memcpy(&iov.iov_base, &bytes, sizeof(bytes));
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(8 * sizeof(int))];
    } control = { .bytes = { 0 } };
    struct msghdr m = { .msg_iov = &iov,
                        .msg_iovlen = 1,
                        .msg_control = &control,
                        .msg_controllen = CMSG_SPACE(count * sizeof(int)) };
    struct cmsghdr *head = CMSG_FIRSTHDR(&m);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(count * sizeof(int));
    for (unsigned i = 0; i < count; i++) {
        int fd = STDERR_FILENO;
        memcpy(CMSG_DATA(head) + i * sizeof(int), &fd, sizeof(fd));
    }
    assert_int_equal(sendmsg(to, &m, MSG_NOSIGNAL), size);
}

static unsigned open_fds(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void a_descriptor_from_the_api_process_breaks_the_rules(void **state)
{
    (void)state;
    struct end e;
    for (unsigned count = 1; count <= 8; count += 7) {
        end_begin(&e);
        unsigned before = open_fds();
        send_fds(e.peer, "0123456789abcdef", 16, count);
        while (!e.closed)
            uv_run(&e.uv, UV_RUN_ONCE);
        assert_int_equal(e.messages, 0);
        assert_int_equal(open_fds(), before);
        end_end(&e);
    }
}

static void a_message_too_long_breaks_the_rules(void **state)
{
    (void)state;
    static uint8_t bytes[WIRE_MAX + 1];
    struct end e;
    end_begin(&e);
    assert_int_equal(send(e.peer, bytes, WIRE_MAX, 0), WIRE_MAX);
    assert_int_equal(send(e.peer, bytes, sizeof(bytes), 0), sizeof(bytes));
    while (!e.closed)
        uv_run(&e.uv, UV_RUN_ONCE);
    assert_int_equal(e.messages, 1);
    end_end(&e);
}

static void a_peer_that_does_not_read_is_given_up(void **state)
{
    (void)state;
    static uint8_t bytes[WIRE_MAX];
    struct end e;
    end_begin(&e);
    unsigned sent = 0;
    while (channel_send(e.channel, bytes, sizeof(bytes), -1) == 0)
        assert_true(++sent < 4096);
    assert_true(sent > 64);
    while (!e.closed)
        uv_run(&e.uv, UV_RUN_ONCE);
    end_end(&e);
}

static void an_answer_is_waited_for_and_the_rest_comes_later(void **state)
{
    (void)state;
    struct end e;
    end_begin(&e);
    struct wire_head other = { .kind = WIRE_EVENT }, answer = { WIRE_ANSWER, 0, 3 }, got;
    for (int i = 0; i < 3; i++)
        assert_int_equal(send(e.peer, &other, sizeof(other), 0), sizeof(other));
    assert_int_equal(send(e.peer, &answer, sizeof(answer), 0), sizeof(answer));
    assert_int_equal(channel_wait(e.channel, WIRE_ANSWER, 3, &got, sizeof(got), NULL, 5000), 0);
    assert_int_equal(got.number, 3);
    assert_int_equal(e.messages, 0);
    while (e.messages < 3)
        uv_run(&e.uv, UV_RUN_ONCE);
    close(e.peer);
    e.peer = -1;
    assert_int_equal(channel_wait(e.channel, WIRE_ANSWER, 4, &got, sizeof(got), NULL, 5000), -1);
    end_end(&e);
}

int main(void)
{
#define WITH_MONITOR(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_MONITOR(a_create_reaches_the_engine_and_its_end_comes_back),
        cmocka_unit_test(every_size_but_its_own_is_refused),
        WITH_MONITOR(an_id_is_never_a_path),
        WITH_MONITOR(only_low_ports_of_addresses_are_made),
        WITH_MONITOR(a_create_is_bounded),
        WITH_MONITOR(a_record_is_kept_and_comes_back_before_its_result),
        WITH_MONITOR(a_record_is_a_text_that_ends),
        WITH_MONITOR(a_request_counts_in_its_state_only),
        WITH_MONITOR(the_answer_has_the_keys_hash_and_no_more),
        WITH_MONITOR(numbers_are_not_used_twice),
        WITH_MONITOR(a_stream_comes_as_a_descriptor),
        WITH_MONITOR(more_calls_than_fit_are_refused_one_by_one),
        WITH_MONITOR(a_handover_names_a_program),
        cmocka_unit_test(a_descriptor_from_the_api_process_breaks_the_rules),
        cmocka_unit_test(a_message_too_long_breaks_the_rules),
        cmocka_unit_test(a_peer_that_does_not_read_is_given_up),
        cmocka_unit_test(an_answer_is_waited_for_and_the_rest_comes_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
