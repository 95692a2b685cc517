/* SPDX-License-Identifier: Apache-2.0 */
/* serve_http_test.c - targets, routes, JSON texts, and what web pages may not do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "plugins/serve/api/cli_auth.h"
#include "plugins/serve/http/json_text.h"
#include "plugins/serve/http/router.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/json.h"

static struct target parsed(const char *text)
{
    struct target t = { 0 };
    struct nt_error error = NT_ERROR_INIT;
    assert_int_equal(target_parse(text, &t, &error), 0);
    return t;
}

static void a_path_is_split_before_it_is_decoded(void **state)
{
    (void)state;
    struct target t = parsed("/v1/a%2Fb/c%20d+e");
    assert_int_equal(t.count, 3);
    assert_string_equal(t.segments[1], "a/b");
    assert_string_equal(t.segments[2], "c d+e"); /* '+' is itself in a path */
    target_done(&t);
}

static void a_plus_in_a_query_is_a_space(void **state)
{
    (void)state;
    struct target t = parsed("/v1?metadata=%7B%22a%22%3A+1%7D&empty&x=a=b&&x=second");
    assert_string_equal(target_query(&t, "metadata"), "{\"a\": 1}");
    assert_string_equal(target_query(&t, "empty"), "");
    assert_string_equal(target_query(&t, "x"), "a=b");
    assert_null(target_query(&t, "y"));
    target_done(&t);
}

static void broken_targets_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = { "",
                                       "v1",
                                       "http://h/v1",
                                       "*",
                                       "/a%",
                                       "/a%2",
                                       "/a%zz",
                                       "/a%00b",
                                       "/?x=%",
                                       "/?x=%00",
                                       "/?%4=1",
                                       "/a#b",
                                       "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct target t = { 0 };
        struct nt_error error = NT_ERROR_INIT;
        assert_int_equal(target_parse(bad[i], &t, &error), -1);
        assert_int_equal(error.code, NT_E_INVALID);
        assert_null(t.memory);
    }
}

static void a_pattern_takes_one_segment_each(void **state)
{
    (void)state;
    const char *params[TARGET_PARAMS] = { NULL };
    struct target t = parsed("/v1/sandboxes/ws_1/processes/7/kill");
    assert_true(target_matches(&t, "/v1/sandboxes/{}/processes/{}/kill", params));
    assert_string_equal(params[0], "ws_1");
    assert_string_equal(params[1], "7");
    assert_false(target_matches(&t, "/v1/sandboxes/{}/processes/{}", params));
    assert_false(target_matches(&t, "/v1/sandboxes/{}/processes/{}/kill/{}", params));
    target_done(&t);

    t = parsed("/v1/sandboxes//host"); /* an empty segment is nobody's id */
    assert_false(target_matches(&t, "/v1/sandboxes/{}/host", params));
    target_done(&t);
    t = parsed("/v1/sandboxes/"); /* nor is a slash at the end the list */
    assert_false(target_matches(&t, "/v1/sandboxes", params));
    assert_false(target_matches(&t, "/v1/sandboxes/{}", params));
    target_done(&t);
}

static uint32_t find(const char *method, const char *path, const struct route **ret,
                     struct nt_buf *allowed)
{
    const char *params[TARGET_PARAMS] = { NULL };
    struct target t = parsed(path);
    uint32_t status = router_find(method, &t, ret, params, allowed);
    target_done(&t);
    return status;
}

static void routes_are_found_by_method_and_path(void **state)
{
    (void)state;
    nt_auto(nt_buf_done) struct nt_buf allowed = NT_BUF(256);
    const struct route *route = NULL;
    assert_int_equal(find("GET", "/healthz", &route, &allowed), 0);
    assert_true(route->flags & ROUTE_OPEN);
    assert_int_equal(find("HEAD", "/v1/sandboxes", &route, &allowed), 0);
    assert_string_equal(route->method, "GET");
    assert_int_equal(find("GET", "/v1/sandboxes/ws_1%2Fmetrics", &route, &allowed), 0);
    assert_string_equal(route->pattern, "/v1/sandboxes/{}"); /* not the metrics of ws_1 */
    assert_int_equal(find("GET", "/v1/nothing", &route, &allowed), 404);
    assert_int_equal(allowed.size, 0);
    assert_int_equal(find("PUT", "/v1/sandboxes/ws_1", &route, &allowed), 405);
    assert_string_equal(nt_buf_text(&allowed), "GET, DELETE");
}

/* A client that asks for a feature of others learns that it is missing, not that its thing is. */
static void what_only_others_have_is_not_implemented(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "/v1/volumes",
        "/v1/snapshots/snap_1",
        "/v1/monitor/ws",
        "/v1/sandboxes/ws_1/volumes",
        "/v1/sandboxes/ws_1/volumes/vol_1/attach",
        "/v1/sandboxes/ws_1/ports/80/preview-url",
    };
    nt_auto(nt_buf_done) struct nt_buf allowed = NT_BUF(256);
    const struct route *route = NULL;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        assert_int_equal(find("POST", paths[i], &route, &allowed), 501);
    assert_int_equal(find("POST", "/v1/sandboxes/ws_1/volumesx", &route, &allowed), 404);
    assert_int_equal(find("POST", "/v1/sandboxes/ws_1%2Fvolumes", &route, &allowed), 405);
    assert_int_equal(find("POST", "/v1", &route, &allowed), 404);
    assert_int_equal(find("POST", "/", &route, &allowed), 404);
}

static void only_routes_without_secrets_need_no_credential(void **state)
{
    (void)state;
    for (const struct routes *const *table = router_tables; *table; table++)
        for (size_t i = 0; i < (*table)->count; i++)
            if ((*table)->rows[i].flags & ROUTE_OPEN)
                assert_true(strcmp((*table)->rows[i].pattern, "/healthz") == 0
                            || strcmp((*table)->rows[i].pattern, "/v1/openapi.json") == 0
                            || strcmp((*table)->rows[i].pattern, "/cli-auth") == 0
                            || strcmp((*table)->rows[i].pattern, "/cli-auth/token") == 0);
}

static void joined(const char *in, const char *out)
{
    char text[128];
    snprintf(text, sizeof(text), "%s", in);
    json_text_join_surrogates(text, strlen(text));
    assert_string_equal(text, out);
}

static void lone_surrogates_become_replacement_characters(void **state)
{
    (void)state;
    joined("\"\\udc80\"", "\"\\ufffd\"");
    joined("\"\\ud83d\"", "\"\\ufffd\"");
    joined("\"\\ud83d\\u0041\"", "\"\\ufffd\\u0041\"");
    joined("\"\\ud83d\\ud83d\\ude00\"", "\"\\ufffd\\ud83d\\ude00\"");
    joined("\"\\uDE00\\uD83D\"", "\"\\ufffd\\ufffd\"");
    joined("\"\\ud83d\\ude00\"", "\"\\ud83d\\ude00\""); /* a pair stays */
    joined("\"\\\\udc80\"", "\"\\\\udc80\"");           /* an escaped backslash, then text */
    joined("\"\\\\\\udc80\"", "\"\\\\\\ufffd\"");
    joined("\\u", "\\u");
    joined("\\ud8", "\\ud8");
    joined("\\", "\\");
}

static void bodies_with_lone_surrogates_parse(void **state)
{
    (void)state;
    char text[] = "{\"a\":\"x\\udc80y\",\"n\":\"\\u0000\"}";
    nt_auto_json json_t *body = json_text_parse(text, sizeof(text) - 1);
    assert_non_null(body);
    assert_string_equal(nt_json_text(body, "a"), "x\xef\xbf\xbdy");
    char twice[] = "{\"a\":1,\"a\":2}";
    assert_null(json_text_parse(twice, sizeof(twice) - 1));
    char rest[] = "{} x";
    assert_null(json_text_parse(rest, sizeof(rest) - 1));
}

static void only_names_of_its_own_are_answered(void **state)
{
    (void)state;
    static const char *const names[] = { "box.example" };
    struct listener here = { .is_loopback = true, .port = 8080, .names = names, .name_count = 1 };
    static const char *const good[] = { "localhost:8080", "LocalHost:8080", "127.0.0.1:8080",
                                        "127.0.0.2:8080", "[::1]:8080",     "box.example:8080",
                                        "BOX.example",    "box.example:443" };
    static const char *const bad[] = { "localhost",
                                       "localhost:8081",
                                       "localhost.evil.example:8080",
                                       "127.0.0.1.evil.example:8080",
                                       "evil.example:8080",
                                       "localhost:8080:8080",
                                       "",
                                       ":8080",
                                       "[::1:8080",
                                       "[]:8080",
                                       "[localhost]:8080",
                                       "[box.example]",
                                       "192.0.2.1:8080",
                                       "[2001:db8::1]:8080",
                                       "localhost:0",
                                       "localhost:",
                                       "localhost:+8080",
                                       "0x7f000001:8080",
                                       "2130706433:8080",
                                       "box.example.evil.example",
                                       "x.box.example",
                                       "::1" };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(browser_host_is_ours(&here, good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(browser_host_is_ours(&here, bad[i]));
    assert_false(browser_host_is_ours(&here, NULL));
    here.port = 80;
    assert_true(browser_host_is_ours(&here, "localhost"));
    here.tls = true;
    assert_false(browser_host_is_ours(&here, "localhost"));
    here.port = 443;
    assert_true(browser_host_is_ours(&here, "localhost"));
}

/* No name can be rebound to an address that is its own name. */
static void beyond_this_machine_addresses_are_answered(void **state)
{
    (void)state;
    struct listener there = { .port = 8443, .tls = true };
    assert_true(browser_host_is_ours(&there, "192.0.2.1:8443"));
    assert_true(browser_host_is_ours(&there, "192.0.2.1"));
    assert_true(browser_host_is_ours(&there, "[2001:db8::1]:9000"));
    assert_true(browser_host_is_ours(&there, "localhost:8443"));
    assert_false(browser_host_is_ours(&there, "evil.example:8443"));
    assert_false(browser_host_is_ours(&there, "192.0.2.1.evil.example"));
    assert_false(browser_host_is_ours(&there, "3221225985"));
    assert_false(browser_host_is_ours(&there, NULL));
}

/* A page is good for five minutes, the code that it gives for one. */
static void logins_expire(void **state)
{
    (void)state;
    static const char text[] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    /* SHA-256 of the text above, in base64url */
    static const char challenge[] = "DwBzhbb51LfusnSGBa_hqYSgo7-j8BTQnip4TOnlzRo";
    static struct cli_auth auth; /* the key of the seals is all zeros */
    struct cli_auth_wish wish, other;
    char seal[CLI_AUTH_TEXT], code[CLI_AUTH_TEXT], name[68];
    assert_true(cli_auth_read("4321", text, challenge, "box", &wish));
    cli_auth_seal(&auth, &wish, 1000, seal);
    assert_true(cli_auth_is_sealed(&auth, &wish, 1000, seal, 1000 + CLI_AUTH_SEAL_S - 1));
    assert_false(cli_auth_is_sealed(&auth, &wish, 1000, seal, 1000 + CLI_AUTH_SEAL_S));
    assert_false(cli_auth_is_sealed(&auth, &wish, 1000, seal, 999)); /* of the future */
    assert_false(cli_auth_is_sealed(&auth, &wish, 1001, seal, 1001));
    assert_true(cli_auth_read("4322", text, challenge, "box", &other));
    assert_false(cli_auth_is_sealed(&auth, &other, 1000, seal, 1000));

    assert_true(cli_auth_grant(&auth, &wish, 5000, code));
    assert_false(cli_auth_take(&auth, code, text, 5000 + CLI_AUTH_GRANT_MS, name));
    assert_true(cli_auth_take(&auth, code, text, 5000 + CLI_AUTH_GRANT_MS - 1, name));
    assert_string_equal(name, "box");
    assert_false(cli_auth_take(&auth, code, text, 5000, name));
    /* Room is limited; what is too old makes room. */
    for (unsigned i = 0; i < CLI_AUTH_GRANTS; i++)
        assert_true(cli_auth_grant(&auth, &wish, 5000, code));
    assert_false(cli_auth_grant(&auth, &wish, 5000, code));
    assert_true(cli_auth_grant(&auth, &wish, 5000 + CLI_AUTH_GRANT_MS, code));
}

static void only_the_same_origin_is_fine(void **state)
{
    (void)state;
    assert_true(browser_is_same_origin("http://localhost:8080", "localhost:8080"));
    assert_false(browser_is_same_origin("http://evil.example", "localhost:8080"));
    assert_false(browser_is_same_origin("http://localhost:8081", "localhost:8080"));
    assert_false(browser_is_same_origin("null", "localhost:8080"));
    assert_false(browser_is_same_origin("null", "null"));
    assert_false(browser_is_same_origin("http://localhost:8080", NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_is_split_before_it_is_decoded),
        cmocka_unit_test(a_plus_in_a_query_is_a_space),
        cmocka_unit_test(broken_targets_are_refused),
        cmocka_unit_test(a_pattern_takes_one_segment_each),
        cmocka_unit_test(routes_are_found_by_method_and_path),
        cmocka_unit_test(what_only_others_have_is_not_implemented),
        cmocka_unit_test(only_routes_without_secrets_need_no_credential),
        cmocka_unit_test(lone_surrogates_become_replacement_characters),
        cmocka_unit_test(bodies_with_lone_surrogates_parse),
        cmocka_unit_test(only_names_of_its_own_are_answered),
        cmocka_unit_test(beyond_this_machine_addresses_are_answered),
        cmocka_unit_test(logins_expire),
        cmocka_unit_test(only_the_same_origin_is_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
