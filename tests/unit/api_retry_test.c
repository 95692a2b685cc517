/* SPDX-License-Identifier: Apache-2.0 */
/* api_retry_test.c - when a failed request is sent again, and which build is older. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "core/api/retry.h"
#include "core/api/version.h"

static struct retry of(const struct nt_error *e, uint32_t attempt)
{
    return (struct retry){
        .error = e, .attempt = attempt, .retry_after_ms = RETRY_AFTER_NONE, .left_ms = -1
    };
}

static void a_request_never_sent_may_be_repeated(void **state)
{
    (void)state;
    struct nt_error e = { .size = sizeof(e), .code = NT_E_CONNECT, .retryable = 1 };
    struct retry r = of(&e, 1);
    assert_int_equal(retry_delay_ms(&r), 250);
    r.attempt = 3;
    assert_int_equal(retry_delay_ms(&r), 1000);
    r.random = 255;
    assert_in_range(retry_delay_ms(&r), 1001, 1250);
    r.attempt = 4;
    assert_int_equal(retry_delay_ms(&r), RETRY_STOP);
}

static void a_sent_one_only_when_it_is_safe(void **state)
{
    (void)state;
    struct nt_error e = {
        .size = sizeof(e), .code = NT_E_CLOSED, .retryable = 1, .request_sent = 1
    };
    struct retry r = of(&e, 1);
    assert_int_equal(retry_delay_ms(&r), RETRY_STOP);
    r.is_idempotent = true;
    assert_int_equal(retry_delay_ms(&r), 250);
    r.is_reused = true;
    assert_int_equal(retry_delay_ms(&r), 0);
    e.retryable = 0;
    assert_int_equal(retry_delay_ms(&r), RETRY_STOP);
}

static void the_end_of_time_is_the_end(void **state)
{
    (void)state;
    struct nt_error e = { .size = sizeof(e), .code = NT_E_CONNECT, .retryable = 1 };
    struct retry r = of(&e, 1);
    r.left_ms = 250;
    assert_int_equal(retry_delay_ms(&r), RETRY_STOP);
    r.left_ms = 251;
    assert_int_equal(retry_delay_ms(&r), 250);
    r.left_ms = 0;
    assert_int_equal(retry_delay_ms(&r), RETRY_STOP);
    e.code = NT_E_TIMEOUT;
    r.left_ms = -1;
    assert_int_equal(retry_delay_ms(&r), RETRY_STOP);
    e.code = NT_E_CANCELLED;
    assert_int_equal(retry_delay_ms(&r), RETRY_STOP);
}

static void a_rate_limit_is_waited_out(void **state)
{
    (void)state;
    struct nt_error e = {
        .size = sizeof(e), .code = NT_E_RATE_LIMIT, .status = 429, .request_sent = 1
    };
    struct retry r = of(&e, 1);
    r.rate_limited = 1;
    assert_int_equal(retry_delay_ms(&r), 1000);
    r.retry_after_ms = 0;
    assert_int_equal(retry_delay_ms(&r), 0);
    r.rate_limited = 4;
    assert_int_equal(retry_delay_ms(&r), RETRY_STOP);
    r.rate_limited = 1;
    snprintf(e.server_code, sizeof(e.server_code), "quota_exceeded");
    assert_int_equal(retry_delay_ms(&r), RETRY_STOP);
}

static void statuses(void **state)
{
    (void)state;
    struct nt_error e = {
        .size = sizeof(e), .code = NT_E_SERVER, .retryable = 1, .request_sent = 1, .status = 503
    };
    struct retry r = of(&e, 1);
    assert_int_equal(retry_delay_ms(&r), RETRY_STOP);
    r.is_idempotent = true;
    assert_int_equal(retry_delay_ms(&r), 250);
    r.retry_after_ms = 1500;
    assert_int_equal(retry_delay_ms(&r), 1500);
    for (uint16_t status = 400; status < 502; status++) {
        e.status = status;
        if (status != 429)
            assert_int_equal(retry_delay_ms(&r), RETRY_STOP);
    }
}

static void retry_after(void **state)
{
    (void)state;
    assert_int_equal(retry_after_ms("0"), 0);
    assert_int_equal(retry_after_ms("1.5"), 1500);
    assert_int_equal(retry_after_ms(NULL), RETRY_AFTER_NONE);
    static const char *const bad[] = {
        "", "-1", "5m", "1e3", "Wed, 21 Oct 2015 07:28:00 GMT", "99999999999999999999", "."
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(retry_after_ms(bad[i]), RETRY_AFTER_NONE);
}

static void methods(void **state)
{
    (void)state;
    assert_true(retry_is_idempotent("GET") && retry_is_idempotent("PUT")
                && retry_is_idempotent("DELETE"));
    assert_false(retry_is_idempotent("POST") || retry_is_idempotent("PATCH")
                 || retry_is_idempotent("get"));
}

static void builds(void **state)
{
    (void)state;
    assert_true(version_is_older("0.1.0", "0.2.0") && version_is_older("0.9.9", "0.10.0")
                && version_is_older("1.2.3", "2.0.0"));
    assert_false(version_is_older("0.1.0", "0.1.0") || version_is_older("1.0.0", "0.9.9"));
    assert_false(version_is_older("", "1.0.0") || version_is_older("1.0", "2.0.0")
                 || version_is_older("x", "y"));
    assert_false(version_is_older("99999999999.0.0", "1.0.0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_never_sent_may_be_repeated),
        cmocka_unit_test(a_sent_one_only_when_it_is_safe),
        cmocka_unit_test(the_end_of_time_is_the_end),
        cmocka_unit_test(a_rate_limit_is_waited_out),
        cmocka_unit_test(statuses),
        cmocka_unit_test(retry_after),
        cmocka_unit_test(methods),
        cmocka_unit_test(builds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
