/* SPDX-License-Identifier: Apache-2.0 */
/* confine_test.c - the pieces of core/confine that need no process: which request is declared, what
 * is a secret variable, and frames that do not fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/confine/dial.h"
#include "core/confine/routes.h"
#include "core/confine/rules.h"
#include "core/confine/wire.h"
#include "sdk/error.h"

static const struct nt_need rows[] = {
    { "GET /v1/things/{}", "w", NT_NEED_ROUTE, 0 },
    { "ANY /v1/tree/{...}", "w", NT_NEED_ROUTE, 0 },
    { "UPGRADE /v1/guest", "w", NT_NEED_ROUTE, 0 },
    { "POST /v1/with space", "w", 99, 0 },
    { "api.example.com:443", "w", NT_NEED_HOST, 0 },
    { "[2001:db8::1]:80", "w", NT_NEED_HOST, 0 },
};
static const struct nt_table needs = NT_TABLE(rows);

static void requests_fit_in_one_reading_only(void **state)
{
    (void)state;
    static const struct {
        const char *method, *path;
        bool allowed;
    } cases[] = {
        { "GET", "/v1/things/a", true },
        { "GET", "/v1/things/a%20b", true },
        { "GET", "/v1/%74hings/a", true }, /* servers decode */
        { "GET", "/v1/things/a?to=../x&y=%2f", true },
        { "DELETE", "/v1/tree/a/b", true },
        { "DELETE", "/v1/tree", true },
        { "UPGRADE", "/v1/guest", true },
        { "get", "/v1/things/a", false },
        { "POST", "/v1/things/a", false },
        { "GET", "/v1/things", false },
        { "GET", "/v1/things/", false },
        { "GET", "/v1/things/a/", false },
        { "GET", "/v1/things/a/b", false },
        { "GET", "/v1/things/..", false },
        { "GET", "/v1/things/%2e%2e", false },
        { "GET", "/v1/things/a%2fb", false },
        { "GET", "/v1/things/a%5cb", false },
        { "GET", "/v1/things/%25", false },
        { "GET", "/v1/things/%4", false },
        { "GET", "/v1/things/%", false },
        { "GET", "/v1/things/%zz", false },
        { "GET", "/v1/things/%00", false },
        { "GET", "/v1/things/a%0d%0aHost:x", false },
        { "GET", "/v1/things/a?x y", false },
        { "GET", "/v1/things/a?x\r\n", false },
        { "GET", "/v1/things/a;x=1", false },
        { "GET", "/v1//things/a", false },
        { "GET", "/v1/tree/a/../../secret", false },
        { "GET", "/v1/tree/", false },
        { "GET", "", false },
        { "GET", "?", false },
        { "UPGRADE", "/v1/tree/a", false }, /* ANY does not give a connection away */
        { "GET", "/v1/guest", false },
        { "POST", "/v1/with space", false },
        { "", "/v1/things/a", false },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (routes_allow(&needs, cases[i].method, cases[i].path) != cases[i].allowed)
            fail_msg("%s %s", cases[i].method, cases[i].path);
    char path[4096] = "/v1/things/";
    memset(path + strlen(path), 'a', 3000);
    assert_false(routes_allow(&needs, "GET", path)); /* longer than any segment */
}

static void hosts_and_headers_are_those_that_were_named(void **state)
{
    (void)state;
    assert_true(routes_allow_host(&needs, "api.example.com", 443));
    assert_true(routes_allow_host(&needs, "API.example.com", 443));
    assert_true(routes_allow_host(&needs, "2001:db8::1", 80));
    assert_false(routes_allow_host(&needs, "api.example.com", 80));
    assert_false(routes_allow_host(&needs, "api.example.com.", 443));
    assert_false(routes_allow_host(&needs, "evil.example.com", 443));
    assert_false(routes_allow_host(&needs, "", 443));
    assert_true(routes_allow_header("accept", "text/plain"));
    assert_false(routes_allow_header("Accept", "x\r\nHost: y"));
    assert_false(routes_allow_header("Authorization", "x"));
    assert_false(routes_allow_header("Host", "x"));
    assert_false(routes_allow_header("", "x"));
}

static int dial_to(const char *host, uint32_t port, struct nt_error *ret)
{
    int fd = -1;
    *ret = (struct nt_error)NT_ERROR_INIT;
    int result = dial(host, port, 5000, &fd, ret);
    if (result == 0)
        assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) && !(fcntl(fd, F_GETFL) & O_NONBLOCK));
    if (fd >= 0)
        close(fd);
    return result;
}

/* Whoever owns a name decides where it leads: not to this machine. */
static void a_name_does_not_lead_to_this_machine(void **state)
{
    (void)state;
    struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t size = sizeof(any);
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server, (struct sockaddr *)&any, size), 0);
    assert_int_equal(listen(server, 8), 0);
    assert_int_equal(getsockname(server, (struct sockaddr *)&any, &size), 0);
    uint32_t port = ntohs(any.sin_port);
    struct nt_error e;
    assert_int_equal(dial_to("127.0.0.1", port, &e), 0); /* an address that was written out */
    /* Not written as one, but resolved to it, as a name would be. */
    static const char *const names[] = { "127.1", "2130706433", "0x7f000001", "0",
                                         "169.254.43518" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_int_equal(dial_to(names[i], port, &e), -1);
        if (e.code != NT_E_FORBIDDEN)
            fail_msg("%s: %s", names[i], e.message);
    }
    close(server);
    assert_int_equal(dial_to("127.0.0.1", port, &e), -1);
    assert_int_equal(e.code, NT_E_CONNECT);
}

static void secret_variables_are_known_by_their_names(void **state)
{
    (void)state;
    static const char *const secret[] = {
        "NANOTERM_API_KEY=x",
        "NULLSPACE_API_KEY",
        "GITHUB_TOKEN=1",
        "AWS_SECRET_ACCESS_KEY=x",
        "NPM_TOKEN",
        "DB_PASSWORD=x",
        "SSH_AUTH_SOCK=/x",
        "aws_session_token=x",
        "PGPASSWORD=x",
        "SENTRY_DSN=x",
        "MY_CREDENTIALS=x",
        "COOKIES",
        "TOKEN",
        "OPENAI_API_KEY=x",
        "http_proxy=http://me:pass@proxy:3128",
        "URLS=a://b c://me@d",
        "KEY=x",
    };
    static const char *const plain[] = { "PATH=/bin",
                                         "HOME=/x",
                                         "KEYBOARD=us",
                                         "MONKEY=1",
                                         "LANG=C",
                                         "XDG_SESSION_TYPE",
                                         "TERM=x",
                                         "",
                                         "=KEY",
                                         "EDITOR=TOKEN",
                                         "http_proxy=http://proxy:3128/a@b",
                                         "AUTHOR=me" };
    for (size_t i = 0; i < sizeof(secret) / sizeof(secret[0]); i++)
        if (!rules_is_secret(secret[i]))
            fail_msg("%s passes", secret[i]);
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
        if (rules_is_secret(plain[i]))
            fail_msg("%s does not pass", plain[i]);
}

static void layers_are_read_by_name(void **state)
{
    (void)state;
    assert_true(rules_are_layers(NULL) && rules_are_layers("") && rules_are_layers("files")
                && rules_are_layers("scopes,files"));
    assert_false(rules_are_layers("calls") || rules_are_layers("all")
                 || rules_are_layers("files,,scopes") || rules_are_layers("file"));
}

/* Every cut of a good frame, and sizes that lie, give zeroes and fail; nothing is read beyond. */
static void frames_that_do_not_fit_fail(void **state)
{
    (void)state;
    struct nt_buf b = NT_BUF(4096);
    wire_begin(&b, WIRE_EMIT);
    wire_u32(&b, 7);
    wire_text(&b, "hello");
    wire_text(&b, NULL);
    wire_bytes(&b, (struct nt_bytes){ "a\0b", 3 });
    wire_u64(&b, UINT64_MAX);
    wire_end(&b);
    assert_true(nt_buf_ok(&b));
    struct wire_head head;
    memcpy(&head, b.data, sizeof(head));
    assert_int_equal(head.type, WIRE_EMIT);
    assert_int_equal(head.size, b.size - sizeof(head));
    for (size_t cut = 0; cut <= head.size; cut++) {
        char *copy = test_malloc(cut ? cut : 1); /* of that very size: a sanitizer sees more */
        memcpy(copy, b.data + sizeof(head), cut);
        struct wire_reader r = { copy, cut, false };
        uint32_t number = wire_get_u32(&r);
        const char *text = wire_get_text(&r, 16), *none = wire_get_text(&r, 16);
        struct nt_bytes bytes = wire_get_bytes(&r);
        uint64_t wide = wire_get_u64(&r);
        assert_int_equal(wire_is_whole(&r), cut == head.size);
        if (cut == head.size) {
            assert_int_equal(number, 7);
            assert_string_equal(text, "hello");
            assert_null(none);
            assert_memory_equal(bytes.data, "a\0b", 3);
            assert_true(wide == UINT64_MAX);
        }
        test_free(copy);
    }
    struct wire_reader r = { b.data + sizeof(head) + 4, head.size - 4, false };
    assert_null(wire_get_text(&r, 4)); /* longer than allowed */
    assert_true(r.failed);
    const char inner[] = "\3\0\0\0a\0";
    r = (struct wire_reader){ inner, 7, false };
    assert_null(wire_get_text(&r, 16)); /* a NUL inside */
    assert_true(r.failed);
    const char open_end[] = "\2\0\0\0ab";
    r = (struct wire_reader){ open_end, 6, false };
    assert_null(wire_get_text(&r, 16)); /* none at the end */
    nt_buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_fit_in_one_reading_only),
        cmocka_unit_test(hosts_and_headers_are_those_that_were_named),
        cmocka_unit_test(a_name_does_not_lead_to_this_machine),
        cmocka_unit_test(secret_variables_are_known_by_their_names),
        cmocka_unit_test(layers_are_read_by_name),
        cmocka_unit_test(frames_that_do_not_fit_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
