/* SPDX-License-Identifier: Apache-2.0 */
/* enforce_endpoint_test.c - what a path means, and which rules it meets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "plugins/sandbox-enforce/proxy/endpoint.h"

static void assert_path(const char *target, bool is_strict, const char *plain, const char *wire)
{
    struct nt_buf p = NT_BUF(4096), w = NT_BUF(4096);
    const char *why = endpoint_path(target, is_strict, &p, &w);
    if (why)
        print_error("%s: %s\n", target, why);
    assert_null(why);
    assert_string_equal(nt_buf_text(&p), plain);
    assert_string_equal(nt_buf_text(&w), wire);
    nt_buf_done(&p);
    nt_buf_done(&w);
}

static void assert_refused(const char *target, bool is_strict)
{
    struct nt_buf p = NT_BUF(4096), w = NT_BUF(4096);
    if (!endpoint_path(target, is_strict, &p, &w))
        print_error("%s is accepted as %s\n", target, nt_buf_text(&w));
    nt_buf_reset(&p);
    nt_buf_reset(&w);
    assert_non_null(endpoint_path(target, is_strict, &p, &w));
    nt_buf_done(&p);
    nt_buf_done(&w);
}

static void paths_have_one_spelling(void **state)
{
    assert_path("/v1/models", true, "/v1/models", "/v1/models");
    assert_path("/v1/models?x=/../y", true, "/v1/models", "/v1/models");
    assert_path("/%761/%6Dodels", true, "/v1/models", "/v1/models");
    assert_path("/a%20b/%c3%a9", true, "/a b/\xc3\xa9", "/a%20b/%C3%A9");
    assert_path("//v1///models", true, "/v1/models", "/v1/models");
    assert_path("//v1", false, "//v1", "//v1");
    assert_path("/projects/a%2fb", false, "/projects/a/b", "/projects/a%2Fb");
    assert_path("/100%25", true, "/100%", "/100%25");
    assert_path("/...", true, "/...", "/...");
    assert_path("/.well-known/x", true, "/.well-known/x", "/.well-known/x");
}

static void what_can_be_read_twice_is_refused(void **state)
{
    static const char *const always[] = {
        "",          "x",         "/a/../b", "/a/%2e%2e/b", "/a/.%2E", "/./a",        "/a/.",
        "/a/%2e",    "/a\\..\\b", "/%00",    "/a%0d%0ab",   "/%7f",    "/%zz",        "/%1",
        "/a/..?b=c", "/%",        "/..;x/b", "/.;/b",       "/..%5cb", "/a%5c..%5cb", "/a%5c..",
    };
    static const char *const with_rules[] = {
        "/a%2fb",          "/a%2F..%2fb",
        "/a%5cb",          "/%252e%252e/",
        "/%252F",          "/%25%32e%25%32%65/",
        "/%c0%ae%c0%ae/b", "/a%c0%afb",
        "/%e0%80%ae",      "/%ff",
    };
    for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++) {
        assert_refused(always[i], true);
        assert_refused(always[i], false);
    }
    for (size_t i = 0; i < sizeof(with_rules) / sizeof(with_rules[0]); i++)
        assert_refused(with_rules[i], true);
    /* Without rules an encoded slash is data, but never one of a dot segment. */
    assert_refused("/a/..%2f..%2fb", false);
}

static bool meets(const char *method, const char *rule, const char *asked, const char *path)
{
    struct policy_endpoint one = { method, rule };
    return endpoint_allows(&one, 1, asked, path);
}

static void rules_allow_what_they_say(void **state)
{
    assert_true(endpoint_allows(NULL, 0, "GET", "/x"));
    assert_true(meets("GET", "/v1/models", "GET", "/v1/models"));
    assert_true(meets("get", "/v1/models", "GET", "/v1/models/"));
    assert_false(meets("GET", "/v1/models", "POST", "/v1/models"));
    assert_true(meets("*", "/v1/models", "POST", "/v1/models"));
    assert_false(meets("*", "/v1/models", "GET", "/v1/modelsx"));
    assert_false(meets("*", "/v1/models", "GET", "/v1"));
    assert_true(meets("*", "/repos/*/issues", "GET", "/repos/a/issues"));
    assert_false(meets("*", "/repos/*/issues", "GET", "/repos/a/b/issues"));
    assert_true(meets("*", "/repos/**/issues", "GET", "/repos/a/b/issues"));
    assert_true(meets("*", "/repos/**/issues", "GET", "/repos/issues"));
    assert_false(meets("*", "/repos/**/issues", "GET", "/repos/a/issues/1"));
    assert_true(meets("*", "/**", "GET", "/a/b/c"));
    assert_true(meets("*", "/v1/**", "GET", "/v1"));
    assert_true(meets("*", "/a/**/b/**/c", "GET", "/a/x/b/y/b/z/c"));
    assert_false(meets("*", "/a/**/b/**/c", "GET", "/a/x/b/y/b/z/d"));
    assert_true(meets("*", "/bot*/send*Message", "GET", "/bot12/sendTextMessage"));
    assert_false(meets("*", "/bot*/x", "GET", "/bo/x"));
    assert_false(meets("*", "v1", "GET", "/v1"));
    assert_true(meets("*", "/", "GET", "/"));
    assert_false(meets("*", "/", "GET", "/a"));
}

static void denied_comes_before_allowed_and_allowed_before_the_rest(void **state)
{
    (void)state;
    struct policy_endpoint denied[] = { { "*", "/admin/**" }, { "DELETE", "/**" } };
    struct policy_endpoint allowed[] = { { "GET", "/admin/me" }, { "*", "/items/*" } };
    struct policy_route r = { .denied = denied,
                              .denied_count = 2,
                              .endpoints = allowed,
                              .endpoint_count = 2,
                              .others = POLICY_OTHERS_REFUSED };
    assert_non_null(endpoint_refuses(&r, "GET", "/admin/me"));
    assert_non_null(endpoint_refuses(&r, "delete", "/items/1"));
    assert_null(endpoint_refuses(&r, "POST", "/items/1"));
    assert_non_null(endpoint_refuses(&r, "GET", "/other"));
    r.others = POLICY_OTHERS_CARRIED;
    assert_null(endpoint_refuses(&r, "GET", "/other"));
    assert_non_null(endpoint_refuses(&r, "GET", "/admin"));
    /* For whoever reads it: without case, without parameters, with a slash more. */
    static const char *const shut[] = { "/ADMIN/x",     "/Admin",   "/admin;x=1/x", "/;x/admin/x",
                                        "/admin/x;y=1", "/admin/;", "/admin;" };
    for (size_t i = 0; i < sizeof(shut) / sizeof(shut[0]); i++)
        assert_string_equal(endpoint_refuses(&r, "GET", shut[i]),
                            "one of the route's denied endpoints");
    assert_null(endpoint_refuses(&r, "GET", "/administrators"));
    assert_null(endpoint_refuses(&r, "GET", "/x;admin"));
    struct policy_endpoint capital = { "*", "/Admin/**" };
    struct policy_route other = { .denied = &capital,
                                  .denied_count = 1,
                                  .others = POLICY_OTHERS_CARRIED };
    assert_non_null(endpoint_refuses(&other, "GET", "/Admin/x"));
    assert_non_null(endpoint_refuses(&other, "GET", "/admin/x"));
    /* Rules of one kind only: what there is at least decides. */
    r = (struct policy_route){ .others = POLICY_OTHERS_REFUSED };
    assert_true(endpoint_has_rules(&r));
    assert_non_null(endpoint_refuses(&r, "GET", "/"));
    r = (struct policy_route){ .others = POLICY_OTHERS_BY_RULES };
    assert_false(endpoint_has_rules(&r));
    assert_null(endpoint_refuses(&r, "GET", "/"));
    r = (struct policy_route){ .endpoints = allowed, .endpoint_count = 2 };
    assert_non_null(endpoint_refuses(&r, "GET", "/other"));
    assert_null(endpoint_refuses(&r, "GET", "/items/1"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_have_one_spelling),
        cmocka_unit_test(what_can_be_read_twice_is_refused),
        cmocka_unit_test(rules_allow_what_they_say),
        cmocka_unit_test(denied_comes_before_allowed_and_allowed_before_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
