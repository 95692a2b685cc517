/* SPDX-License-Identifier: Apache-2.0 */
/* output_error_test.c - an error as text and as one JSON line; the line for --status-fd. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/output/error_line.h"
#include "nanoterm/host.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

static void the_json_line_has_exactly_the_agreed_members(void **state)
{
    (void)state;
    struct nt_error e = NT_ERROR_INIT;
    nt_fail(&e, NT_E_CONNECT, "cannot reach 'x'");
    nt_copy_text(e.upstream, sizeof(e.upstream), "ECONNREFUSED");
    e.attempt = 3;
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(8192);
    struct nt_error_row row = error_line_row(e.code, NULL);
    error_line_add_json(&b, &e, &row);
    assert_string_equal(
        nt_buf_text(&b),
        "{\"level\":\"error\",\"kind\":\"network\",\"code\":\"connect_failed\","
        "\"message\":\"cannot reach 'x'\",\"retryable\":true,\"request_sent\":false,\"attempt\":3,"
        "\"status\":null,\"upstream\":\"ECONNREFUSED\",\"request_id\":null,\"hint\":null}\n");

    nt_fail(&e, NT_E_NOT_FOUND, "no such workspace");
    nt_copy_text(e.server_code, sizeof(e.server_code), "sandbox_not_found");
    nt_copy_text(e.request_id, sizeof(e.request_id), "req_1");
    nt_hint(&e, "see nanoterm ws list");
    e.status = 404;
    e.request_sent = 1;
    e.attempt = 1;
    nt_buf_reset(&b);
    row = error_line_row(e.code, NULL);
    error_line_add_json(&b, &e, &row);
    assert_string_equal(
        nt_buf_text(&b),
        "{\"level\":\"error\",\"kind\":\"api\",\"code\":\"sandbox_not_found\","
        "\"message\":\"no such workspace\",\"retryable\":false,\"request_sent\":true,\"attempt\":1,"
        "\"status\":404,\"upstream\":null,\"request_id\":\"req_1\",\"hint\":\"see nanoterm ws "
        "list\"}\n");
    assert_int_equal(row.exit_status, 3);
}

static void the_text_is_a_line_and_a_hint_and_safe(void **state)
{
    (void)state;
    struct nt_error e = NT_ERROR_INIT;
    nt_fail(&e, NT_E_SERVER,
            "the server said '\xc2\x9b"
            "2J'");
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(8192);
    struct nt_error_row row = error_line_row(e.code, NULL);
    error_line_add_text(&b, &e, &row, "nanoterm", false);
    assert_string_equal(nt_buf_text(&b), "nanoterm: the server said '\\xc2\\x9b2J'\n");
    nt_hint(&e, "ask it");
    nt_buf_reset(&b);
    error_line_add_text(&b, &e, &row, "nanoterm", true);
    assert_string_equal(
        nt_buf_text(&b),
        "\033[31;1mnanoterm:\033[0m the server said '\\xc2\\x9b2J'\nhint: ask it\n");
}

static void a_plugin_has_rows_of_its_own(void **state)
{
    (void)state;
    const struct nt_error_row own = { .text = "acme.out_of_paint",
                                      .kind = "acme",
                                      .help = "buy paint",
                                      .number = NT_E_PLUGIN_FIRST,
                                      .exit_status = 9 };
    struct nt_error e = NT_ERROR_INIT;
    nt_fail(&e, NT_E_PLUGIN_FIRST, "no blue");
    struct nt_error_row row = error_line_row(e.code, &own);
    assert_int_equal(row.exit_status, 9);
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(8192);
    error_line_add_text(&b, &e, &row, "nanoterm", false);
    assert_string_equal(nt_buf_text(&b), "nanoterm: no blue\nhint: buy paint\n");
    nt_buf_reset(&b);
    error_line_add_json(&b, &e, &row);
    assert_non_null(strstr(nt_buf_text(&b), "\"code\":\"acme.out_of_paint\""));
    row = error_line_row(NT_E_PLUGIN_FIRST + 7, NULL); /* a number that nobody knows */
    assert_string_equal(row.text, "internal");
    assert_int_equal(row.exit_status, 1);
}

static void the_status_line_says_whose_it_is(void **state)
{
    (void)state;
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(1024);
    error_line_add_status(&b, NT_BY_PROGRAM, 3, NULL, NT_LIMIT_DISK | NT_LIMIT_MEMORY);
    error_line_add_status(&b, NT_BY_RUNTIME, 127, NULL, 0);
    error_line_add_status(&b, NT_BY_TOOL, 3, "not_found", 0);
    error_line_add_status(&b, 99, 1, NULL, NT_LIMIT_PIDS);
    assert_string_equal(
        nt_buf_text(&b),
        "{\"by\":\"program\",\"status\":3,\"code\":null,\"limits_hit\":[\"memory\",\"disk\"]}\n"
        "{\"by\":\"runtime\",\"status\":127,\"code\":null,\"limits_hit\":[]}\n"
        "{\"by\":\"tool\",\"status\":3,\"code\":\"not_found\",\"limits_hit\":[]}\n"
        "{\"by\":\"tool\",\"status\":1,\"code\":null,\"limits_hit\":[\"pids\"]}\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_json_line_has_exactly_the_agreed_members),
        cmocka_unit_test(the_text_is_a_line_and_a_hint_and_safe),
        cmocka_unit_test(a_plugin_has_rows_of_its_own),
        cmocka_unit_test(the_status_line_says_whose_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
