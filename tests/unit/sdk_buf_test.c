/* SPDX-License-Identifier: Apache-2.0 */
/* sdk_buf_test.c - buffers keep their maximum, and foreign text is made safe. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sdk/buf.h"
#include "sdk/cleanup.h"

static void the_maximum_counts_and_failure_sticks(void **state)
{
    (void)state;
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(5);
    assert_string_equal(nt_buf_text(&b), "");
    nt_buf_add(&b, "12345");
    assert_true(nt_buf_ok(&b));
    nt_buf_add_char(&b, '6');
    assert_false(nt_buf_ok(&b));
    nt_buf_add(&b, "");
    assert_false(nt_buf_ok(&b));
    assert_string_equal(nt_buf_text(&b), "12345");
    assert_null(nt_buf_take(&b));
    nt_buf_reset(&b);
    assert_true(nt_buf_ok(&b));
    nt_buf_addf(&b, "%d", 123456);
    assert_false(nt_buf_ok(&b));
    nt_buf_reset(&b);
    assert_null(nt_buf_room(&b, SIZE_MAX));
}

static void bytes_and_the_front(void **state)
{
    (void)state;
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(100);
    nt_buf_add_bytes(&b, "a\0b", 3);
    assert_int_equal(b.size, 3);
    nt_buf_drop(&b, 2);
    assert_string_equal(nt_buf_text(&b), "b");
    nt_buf_drop(&b, 1);
    assert_int_equal(b.size, 0);
    nt_autofree char *text = nt_buf_take(&b);
    assert_string_equal(text, "");
    nt_buf_addf(&b, "%s-%u", "x", 7u);
    assert_string_equal(nt_buf_text(&b), "x-7");
}

static void formatted(struct nt_buf *b, size_t width)
{
    nt_buf_addf(b, "%*d", (int)width, 7);
}

/* Whatever room there is: text that fits, that just fits, that does not. */
static void formatted_text_of_every_size(void **state)
{
    (void)state;
    for (size_t before = 0; before < 300; before++)
        for (size_t width = 250; width < 262; width++) {
            nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(500);
            for (size_t i = 0; i < before; i++)
                nt_buf_add_char(&b, 'x');
            formatted(&b, width);
            if (before + width <= 500) {
                assert_true(nt_buf_ok(&b));
                assert_int_equal(b.size, before + width);
                assert_int_equal(b.data[b.size - 1], '7');
            } else {
                assert_false(nt_buf_ok(&b));
                assert_int_equal(b.size, before);
            }
            assert_int_equal(strlen(nt_buf_text(&b)), b.size);
        }
}

static void numbers(void **state)
{
    (void)state;
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(40);
    nt_buf_add_number(&b, 0);
    nt_buf_add_char(&b, ' ');
    nt_buf_add_number(&b, 1000);
    nt_buf_add_char(&b, ' ');
    nt_buf_add_number(&b, UINT64_MAX);
    assert_string_equal(nt_buf_text(&b), "0 1000 18446744073709551615");
    nt_buf_add_number(&b, UINT64_MAX);
    assert_false(nt_buf_ok(&b));
}

static void a_part_of_a_path_is_escaped(void **state)
{
    (void)state;
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(100);
    nt_buf_add_url_part(&b, "a/b?c#d e%+~.-_\xc3\xa4");
    assert_string_equal(nt_buf_text(&b), "a%2Fb%3Fc%23d%20e%25%2B~.-_%C3%A4");
}

static void printable(const char *text, bool keep_lines, const char *expected)
{
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(200);
    nt_buf_add_printable(&b, text, keep_lines);
    assert_string_equal(nt_buf_text(&b), expected);
}

static void what_moves_a_cursor_becomes_visible(void **state)
{
    (void)state;
    printable("plain \xc3\xa4 \xf0\x9f\x98\x80", false, "plain \xc3\xa4 \xf0\x9f\x98\x80");
    printable("\x1b[31m\x07\r\x7f", false, "\\x1b[31m\\x07\\x0d\\x7f");
    printable("a\nb\tc", false, "a\\x0ab\\x09c");
    printable("a\nb\tc\r", true, "a\nb\tc\\x0d");
    printable("\xc2\x9b"
              "1m",
              true, "\\xc2\\x9b1m");                              /* CSI as C1 */
    printable("\xc0\xaf", false, "\\xc0\\xaf");                   /* overlong */
    printable("\xed\xa0\x80", false, "\\xed\\xa0\\x80");          /* surrogate */
    printable("\xf4\x90\x80\x80", false, "\\xf4\\x90\\x80\\x80"); /* above U+10FFFF */
    printable("\xe4\xb8", false, "\\xe4\\xb8");                   /* cut */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_maximum_counts_and_failure_sticks),
        cmocka_unit_test(bytes_and_the_front),
        cmocka_unit_test(formatted_text_of_every_size),
        cmocka_unit_test(numbers),
        cmocka_unit_test(a_part_of_a_path_is_escaped),
        cmocka_unit_test(what_moves_a_cursor_becomes_visible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
