/* SPDX-License-Identifier: Apache-2.0 */
/* sdk_parse_test.c - text to numbers at and beyond every bound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sdk/parse.h"

static struct nt_error e = NT_ERROR_INIT;

static void whole_numbers(void **state)
{
    (void)state;
    uint64_t u = 7;
    int64_t i = 7;
    assert_int_equal(nt_parse_u64("0", 0, UINT64_MAX, &u, &e), 0);
    assert_int_equal(u, 0);
    assert_int_equal(nt_parse_u64("18446744073709551615", 0, UINT64_MAX, &u, &e), 0);
    assert_true(u == UINT64_MAX);
    static const char *const wrong[] = { "",
                                         " 1",
                                         "1 ",
                                         "+1",
                                         "-1",
                                         "0x1",
                                         "1.",
                                         "18446744073709551616",
                                         "99999999999999999999999",
                                         "\xd9\xa1" };
    for (size_t k = 0; k < sizeof(wrong) / sizeof(wrong[0]); k++) {
        assert_int_equal(nt_parse_u64(wrong[k], 0, UINT64_MAX, &u, &e), -1);
        assert_int_equal(e.code, NT_E_USAGE);
    }
    assert_true(u == UINT64_MAX); /* untouched */
    assert_int_equal(nt_parse_u64("5", 6, 7, &u, &e), -1);
    assert_int_equal(nt_parse_u64("8", 6, 7, &u, &e), -1);
    assert_int_equal(nt_parse_i64("-5", -5, 5, &i, &e), 0);
    assert_int_equal(i, -5);
    assert_int_equal(nt_parse_i64("-6", -5, 5, &i, &e), -1);
    assert_int_equal(nt_parse_i64("--5", -5, 5, &i, &e), -1);
    assert_int_equal(nt_parse_i64("-", INT64_MIN, INT64_MAX, &i, &e), -1);
    assert_int_equal(nt_parse_i64("9223372036854775807", INT64_MIN, INT64_MAX, &i, &e), 0);
    assert_true(i == INT64_MAX);
    assert_int_equal(nt_parse_i64("9223372036854775808", INT64_MIN, INT64_MAX, &i, &e), -1);
}

static void durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = { { "0", 0 },       { "10", 10000 },    { "250ms", 250 },   { "10s", 10000 },
                 { "5m", 300000 }, { "2h", 7200000 },  { "1d", 86400000 }, { "1.5s", 1500 },
                 { "0.001", 1 },   { "0.5h", 1800000 } };
    for (size_t k = 0; k < sizeof(good) / sizeof(good[0]); k++) {
        int64_t ms = -1;
        assert_int_equal(nt_parse_duration_ms(good[k].text, 0, INT64_MAX, &ms, &e), 0);
        assert_int_equal(ms, good[k].ms);
    }
    static const char *const wrong[] = { "",
                                         "s",
                                         "-1s",
                                         "1x",
                                         "1.s",
                                         "1 s",
                                         ".5",
                                         "1S",
                                         "1.5.5",
                                         "99999999999999999d",
                                         "9223372036854775807" };
    int64_t ms;
    for (size_t k = 0; k < sizeof(wrong) / sizeof(wrong[0]); k++)
        assert_int_equal(nt_parse_duration_ms(wrong[k], 0, INT64_MAX, &ms, &e), -1);
    assert_int_equal(nt_parse_duration_ms("11s", 0, 10000, &ms, &e), -1);
    assert_int_equal(nt_parse_duration_ms("1ms", 2, 10000, &ms, &e), -1);
}

static void sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = { { "512", 512 },      { "64k", 65536 },        { "64K", 65536 },
                 { "10M", 10485760 }, { "2GiB", 2147483648 },  { "1kB", 1024 },
                 { "7B", 7 },         { "1T", 1099511627776 }, { "16777215T", 16777215ull << 40 } };
    for (size_t k = 0; k < sizeof(good) / sizeof(good[0]); k++) {
        uint64_t bytes = 1;
        assert_int_equal(nt_parse_size(good[k].text, 0, UINT64_MAX, &bytes, &e), 0);
        assert_true(bytes == good[k].bytes);
    }
    static const char *const wrong[] = { "",     "k",   "1kk",       "1Q",  "-1k",
                                         "1.5G", "1 k", "16777216T", "1iB", "1kx" };
    uint64_t bytes;
    for (size_t k = 0; k < sizeof(wrong) / sizeof(wrong[0]); k++)
        assert_int_equal(nt_parse_size(wrong[k], 0, UINT64_MAX, &bytes, &e), -1);
    assert_int_equal(nt_parse_size("2k", 0, 1024, &bytes, &e), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_numbers),
        cmocka_unit_test(durations),
        cmocka_unit_test(sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
