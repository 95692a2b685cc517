/* SPDX-License-Identifier: Apache-2.0 */
/* sdk_error_test.c - errors carry one line, keep their size and map to the exit statuses of the
 * contract. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sdk/error.h"

static void a_failure_is_one_line_with_its_row(void **state)
{
    (void)state;
    struct nt_error e = NT_ERROR_INIT;
    nt_hint(&e, "old");
    assert_int_equal(nt_fail(&e, NT_E_CONNECT, "a\nb %d", 7), -1);
    assert_string_equal(e.message, "a b 7");
    assert_int_equal(e.retryable, 1);
    assert_int_equal(e.request_sent, 0);
    assert_string_equal(e.hint, ""); /* what was there before is lost */
    nt_wrap(&e, "opening %s", "x");
    assert_string_equal(e.message, "opening x: a b 7");
    assert_int_equal(e.code, NT_E_CONNECT);
    nt_fail_sys(&e, ENOENT, "cannot open %s", "f");
    assert_string_equal(e.message, "cannot open f: No such file or directory");
    assert_int_equal(e.sys, ENOENT);
    assert_int_equal(e.code, NT_E_SYSTEM);
}

static void long_text_is_cut_between_characters(void **state)
{
    (void)state;
    struct nt_error e = NT_ERROR_INIT;
    char text[600];
    for (size_t i = 0; i + 2 < sizeof(text); i += 2)
        memcpy(text + i, "\xc3\xa4", 3);
    nt_fail(&e, NT_E_USAGE, "x%s", text);
    size_t size = strlen(e.message);
    assert_true(size < sizeof(e.message));
    assert_int_equal(size % 2, 1); /* "x" and whole characters */
    char small[4];
    nt_copy_text(small, sizeof(small), "\xe4\xb8\xad\xe6");
    assert_string_equal(small, "\xe4\xb8\xad");
    nt_copy_text(small, 3, "\xe4\xb8\xad");
    assert_string_equal(small, "");
}

static void a_caller_of_an_older_version_keeps_its_memory(void **state)
{
    (void)state;
    struct {
        struct nt_error e;
        char newer[16];
    } longer;
    memset(&longer, 'n', sizeof(longer));
    longer.e.size = sizeof(longer);
    nt_fail(&longer.e, NT_E_USAGE, "x");
    assert_int_equal(longer.e.size, sizeof(longer));
    assert_int_equal(longer.newer[0], 'n');
}

static void statuses_and_codes_map_to_rows(void **state)
{
    (void)state;
    static const struct {
        uint32_t status;
        const char *code;
        uint32_t exit_status;
    } cases[] = {
        { 404, NULL, 3 },
        { 404, "sandbox_not_found", 3 },
        { 401, NULL, 4 },
        { 400, "missing_api_key", 4 },
        { 403, NULL, 5 },
        { 403, "volume_read_only", 5 },
        { 429, NULL, 6 },
        { 400, "volume_limit_exceeded", 6 },
        { 403, "org_quota_x", 6 },
        { 409, NULL, 7 },
        { 400, "upload_conflict", 7 },
        { 502, "exec_failed", 8 },
        { 504, "exec_timeout", 8 },
        { 504, NULL, 8 },
        { 400, "invalid_request", 2 },
        { 500, "no_idea", 1 },
        { 501, NULL, 1 },
        { 422, NULL, 2 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t code = nt_error_code_of_status(cases[i].status, cases[i].code);
        const struct nt_error_info *row = nt_error_row_of(code);
        assert_non_null(row);
        if (row->exit_status != cases[i].exit_status)
            fail_msg("%u %s: exit status %u", cases[i].status, cases[i].code ? cases[i].code : "-",
                     row->exit_status);
    }
    assert_null(nt_error_row_of(0));
    assert_null(nt_error_row_of(NT_E_PLUGIN_FIRST));
}

static void errno_values_have_names(void **state)
{
    (void)state;
    char buffer[32];
    assert_string_equal(nt_errno_name(ECONNREFUSED, buffer, sizeof(buffer)), "ECONNREFUSED");
    assert_string_equal(nt_errno_name(99999, buffer, sizeof(buffer)), "errno 99999");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_is_one_line_with_its_row),
        cmocka_unit_test(long_text_is_cut_between_characters),
        cmocka_unit_test(a_caller_of_an_older_version_keeps_its_memory),
        cmocka_unit_test(statuses_and_codes_map_to_rows),
        cmocka_unit_test(errno_values_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
