/* SPDX-License-Identifier: Apache-2.0 */
/* sdk_fake_host_test.c - the host for tests of plugins holds a plugin to its own tables. */
#include "sdk/fake_host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sdk/error.h"

static const struct nt_host *started;

static int start(const struct nt_host *host, struct nt_error *reterr)
{
    (void)reterr;
    started = host;
    return 0;
}

/* Sends what it was given, says what came back, and counts its words. */
static int run(struct nt_call *call, struct nt_error *reterr)
{
    const struct nt_host *host = call->host;
    const char *body = host->text(call, "body");
    struct nt_request request = { .size = sizeof(request),
                                  .method = "POST",
                                  .path = "/v1/things",
                                  .body = { body, strlen(body) } };
    struct nt_response answer = { .size = sizeof(answer) };
    if (host->request(call, &request, &answer, reterr) < 0)
        return -1;
    const struct nt_value row[] = {
        { .type = NT_INT, .number = host->number(call, "wait") },
        { .type = NT_BOOL, .number = host->is_given(call, "tag") },
        { .type = NT_TEXT, .is_null = 1 },
    };
    for (uint32_t i = 0; i < host->count(call, "tag"); i++)
        host->message(call, NT_SAY_NOTE, host->text_at(call, "tag", i));
    host->set_status(call, 7, NT_BY_PROGRAM);
    if (host->emit(call, row, 3, reterr) < 0 || host->emit(call, row, 2, reterr) == 0)
        return -1;
    return host->emit_json(call, answer.body, reterr);
}

static const struct nt_arg args[] = { { .name = "body", .help = "x" } };
static const struct nt_opt opts[] = {
    { .name = "wait",
      .type = NT_DURATION_MS,
      .fallback = "2s",
      .min = 0,
      .max = 5000,
      .help = "x" },
    { .name = "tag", .type = NT_CHOICE, .choices = "red|green", .flags = NT_MANY, .help = "x" },
};
static const struct nt_column columns[] = { { .name = "wait" },
                                            { .name = "tagged" },
                                            { .name = "no" } };
static const struct nt_command commands[] = { { .path = "thing add",
                                                .run = run,
                                                .args = NT_TABLE(args),
                                                .opts = NT_TABLE(opts),
                                                .columns = NT_TABLE(columns) } };
static const struct nt_need needs[] = {
    { .value = "api.example.com:443", .why = "x", .kind = NT_NEED_HOST },
    { .value = "[2001:db8::1]:80", .why = "x", .kind = NT_NEED_HOST },
};
static const struct nt_plugin plugin = { NT_PLUGIN_HEAD, .name = "thing",
                                         .commands = NT_TABLE(commands), .start = start,
                                         .needs = NT_TABLE(needs) };

static struct fake_host *fake_new(struct nt_error *error)
{
    *error = (struct nt_error)NT_ERROR_INIT;
    struct fake_host *fake = fake_host_new(&plugin, "thing add", error);
    assert_non_null(fake);
    assert_non_null(started);
    return fake;
}

static void a_command_gets_words_and_answers(void **state)
{
    (void)state;
    struct nt_error e;
    struct fake_host *fake = fake_new(&e);
    assert_int_equal(fake_host_set(fake, "body", "{}", &e), 0);
    assert_int_equal(fake_host_set(fake, "tag", "red", &e), 0);
    assert_int_equal(fake_host_set(fake, "tag", "green", &e), 0);
    assert_int_equal(fake_host_answer(fake, "POST", "/v1/things", 201, "{\"id\":1}"), 0);
    assert_int_equal(fake_host_unasked(fake), 1);
    assert_int_equal(fake_host_run(fake, &e), 0);
    assert_int_equal(fake_host_unasked(fake), 0);
    assert_string_equal(fake_host_sent(fake, 0), "{}");
    assert_null(fake_host_sent(fake, 1));
    assert_int_equal(fake_host_rows(fake), 2); /* the row of two cells was refused */
    assert_string_equal(fake_host_cell(fake, 0, "wait"), "2000");
    assert_string_equal(fake_host_cell(fake, 0, "tagged"), "true");
    assert_null(fake_host_cell(fake, 0, "no"));
    assert_null(fake_host_cell(fake, 0, "other"));
    assert_string_equal(fake_host_json(fake, 1), "{\"id\":1}");
    assert_string_equal(fake_host_messages(fake), "red\ngreen\n");
    assert_int_equal(fake_host_status(fake), 7);
    fake_host_free(fake);
}

static void a_request_that_nobody_expects_fails(void **state)
{
    (void)state;
    struct nt_error e;
    struct fake_host *fake = fake_new(&e);
    assert_int_equal(fake_host_set(fake, "body", "{}", &e), 0);
    assert_int_equal(fake_host_run(fake, &e), -1);
    assert_int_equal(e.code, NT_E_INTERNAL);
    assert_int_equal(fake_host_answer(fake, "GET", "/v1/things", 200, ""), 0);
    assert_int_equal(fake_host_run(fake, &e), -1);
    assert_non_null(strstr(e.message, "GET /v1/things"));
    fake_host_free(fake);
}

static void a_refusal_is_the_error_of_its_status(void **state)
{
    (void)state;
    struct nt_error e;
    struct fake_host *fake = fake_new(&e);
    assert_int_equal(fake_host_set(fake, "body", "{}", &e), 0);
    assert_int_equal(fake_host_answer(fake, "POST", "/v1/things", 404, "no such thing"), 0);
    assert_int_equal(fake_host_run(fake, &e), -1);
    assert_int_equal(e.code, NT_E_NOT_FOUND);
    assert_int_equal(e.status, 404);
    assert_string_equal(e.message, "no such thing");
    fake_host_free(fake);
}

static void a_connection_is_to_a_declared_host(void **state)
{
    (void)state;
    struct nt_error e;
    struct fake_host *fake = fake_new(&e);
    int fd = -1, pair[2];
    struct nt_call *call = (struct nt_call *)(void *)fake; /* the call is its first member */
    assert_int_equal(call->host->connect(call, "api.example.com", 80, &fd, &e), -1);
    assert_int_equal(e.code, NT_E_UNDECLARED);
    assert_int_equal(call->host->connect(call, "api.example.com", 443, &fd, &e), -1);
    assert_int_equal(e.code, NT_E_CONNECT); /* the test has nobody there */
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    fake_host_connection(fake, pair[0]);
    assert_int_equal(call->host->connect(call, "2001:db8::1", 80, &fd, &e), 0);
    assert_int_equal(fd, pair[0]);
    close(fd);
    fake_host_connection(fake, pair[1]); /* closed with the host, as nobody took it */
    fake_host_free(fake);
    assert_int_equal(fcntl(pair[1], F_GETFD), -1);
}

static void words_are_held_to_the_table(void **state)
{
    (void)state;
    struct nt_error e;
    struct fake_host *fake = fake_new(&e);
    assert_int_equal(fake_host_set(fake, "wait", "6s", &e), -1);
    assert_int_equal(e.code, NT_E_USAGE);
    assert_int_equal(fake_host_set(fake, "tag", "blue", &e), -1);
    assert_int_equal(fake_host_set(fake, "tag", "re", &e), -1);
    assert_int_equal(fake_host_set(fake, "none", "x", &e), -1);
    assert_int_equal(fake_host_run(fake, &e), -1); /* body is missing */
    assert_int_equal(e.code, NT_E_USAGE);
    assert_int_equal(fake_host_set(fake, "body", "a", &e), 0);
    assert_int_equal(fake_host_set(fake, "body", "b", &e), -1);
    fake_host_free(fake);
    assert_null(fake_host_new(&plugin, "thing", &e));
    assert_int_equal(e.code, NT_E_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_gets_words_and_answers),
        cmocka_unit_test(a_request_that_nobody_expects_fails),
        cmocka_unit_test(a_refusal_is_the_error_of_its_status),
        cmocka_unit_test(a_connection_is_to_a_declared_host),
        cmocka_unit_test(words_are_held_to_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
