/* SPDX-License-Identifier: Apache-2.0 */
/* sdk_term_modes_test.c - modes left on, and places where a stream may be cut, also when sequences
 * come in pieces. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "sdk/term_modes.h"

static const char *undo_of(const char *output)
{
    static char text[NT_TERM_TEXT_MAX + 1];
    struct nt_term t;
    nt_term_init(&t);
    nt_term_feed(&t, output, strlen(output));
    text[nt_term_undo(&t, text)] = '\0';
    return text;
}

static void what_was_cleaned_up_needs_nothing(void **state)
{
    (void)state;
    assert_string_equal(undo_of("plain text\r\n\ttabs \xc3\xa9\n"), "");
    assert_string_equal(undo_of("\033[?1049h\033[?25l\033[1;5r\033[r\033[?25h\033[?1049l"), "");
    assert_string_equal(undo_of("\033[31mred\033[0m \033[1m\033[m"), "");
    assert_string_equal(undo_of("\033[?1000;1006h\033[?1000;1006l\033=\033>"), "");
    assert_string_equal(undo_of("\033[?2004h\033c"), "");
    assert_string_equal(undo_of("\033]0;title\007\033P1$r\033\\"), "");
    assert_string_equal(undo_of("\033[4h\033[!p"), "");
}

static void what_was_left_on_is_undone(void **state)
{
    (void)state;
    assert_string_equal(undo_of("\033[?1049h"), "\033[?1049l");
    assert_string_equal(undo_of("\033[?25l"), "\033[?25h");
    assert_string_equal(undo_of("\033[?2004h"), "\033[?2004l");
    assert_string_equal(undo_of("\033[?1002h\033[?1006h"), "\033[?1002l\033[?1006l");
    assert_string_equal(undo_of("\033[1;31m"), "\033[0m");
    assert_string_equal(undo_of("\033="), "\033>");
    assert_string_equal(undo_of("\033[2;10r"), "\0337\033[r\0338");
    assert_string_equal(undo_of("\033(0"), "\033(B\033)B\017");
    assert_string_equal(undo_of("\033[5 q"), "\033[0 q");
    assert_string_equal(undo_of("\033]0;never ended"), "\030\033\\");
    /* a control sequence that was aborted sets nothing */
    assert_string_equal(undo_of("\033[?25\030l"), "");
    /* numbers that are too large or too many */
    assert_string_equal(undo_of("\033[?99999999999999h"), "");
    assert_string_equal(undo_of("\033[?1;2;3;4;5;6;7;8;9;10;11;12;13;14;15;16;17;18;19;20l"),
                        "\033[?7h");
}

/* Suspended and taken up again: the terminal is as before, and a second redo changes nothing. */
static void what_was_undone_is_redone(void **state)
{
    (void)state;
    static const char *const outputs[] = {
        "plain",
        "\033[?1049h\033[?25l\033[?2004h",
        "\033[?7l\033[4h\033=",
        "\033[3;20r",
        "\033[5r",
        "\033(0\033)0\016",
        "\033[4 q",
        "\033[?1000;1006h\033[?47h",
    };
    for (size_t i = 0; i < sizeof(outputs) / sizeof(outputs[0]); i++) {
        struct nt_term a, b;
        char text[NT_TERM_TEXT_MAX];
        nt_term_init(&a);
        nt_term_feed(&a, outputs[i], strlen(outputs[i]));
        b = a;
        nt_term_feed(&b, text, nt_term_undo(&a, text));
        for (int times = 0; times < 2; times++) {
            nt_term_feed(&b, text, nt_term_redo(&a, text));
            assert_int_equal(a.modes, b.modes);
            assert_int_equal(a.top, b.top);
            assert_int_equal(a.bottom, b.bottom);
            assert_memory_equal(a.charsets, b.charsets, sizeof(a.charsets));
            assert_int_equal(a.is_shifted, b.is_shifted);
            assert_int_equal(a.shape, b.shape);
        }
    }
}

static void the_restored_terminal_has_the_same_modes(void **state)
{
    (void)state;
    static const char *const outputs[] = {
        "",
        "\033[?1049h\033[?25l\033[?1006;1003h",
        "\033[?7l\033[4h\033=",
        "\033[3;20r",
        "\033(0x",
        "\033)0\016",
        "\033[4 q",
        "\033[5r",
    };
    for (size_t i = 0; i < sizeof(outputs) / sizeof(outputs[0]); i++) {
        struct nt_term a, b;
        char text[NT_TERM_TEXT_MAX];
        nt_term_init(&a);
        nt_term_feed(&a, outputs[i], strlen(outputs[i]));
        nt_term_init(&b); /* whatever there was: in the middle of a title, all modes wrong */
        static const char wrong[] =
            "\033[?1047h\033[?1;9;1000;2004h\033[?7;25l\033[4;7r\033(0\033]0;x";
        nt_term_feed(&b, wrong, sizeof(wrong) - 1);
        size_t size = nt_term_restore(&a, text);
        assert_in_range(size, 1, sizeof(text) - 1);
        nt_term_feed(&b, text, size);
        assert_true(nt_term_is_clear(&b));
        assert_int_equal(a.modes, b.modes);
        assert_int_equal(a.top, b.top);
        assert_int_equal(a.bottom, b.bottom);
        assert_int_equal(a.shape, b.shape);
        assert_int_equal(a.is_shifted, b.is_shifted);
        assert_memory_equal(a.charsets, b.charsets, 2);
    }
}

/* The same sequence, cut at every place, ends in the same state. */
static void pieces_make_no_difference(void **state)
{
    (void)state;
    static const char output[] =
        "a\033[?1049;2004h\033]0;t\xc3\xa9\033\\\xf0\x9f\x98\x80\033(0\033[3;9r\033[38;5;1m";
    struct nt_term whole;
    nt_term_init(&whole);
    nt_term_feed(&whole, output, sizeof(output) - 1);
    for (size_t cut = 0; cut < sizeof(output); cut++) {
        struct nt_term t;
        nt_term_init(&t);
        nt_term_feed(&t, output, cut);
        nt_term_feed(&t, output + cut, sizeof(output) - 1 - cut);
        assert_int_equal(t.modes, whole.modes);
        assert_int_equal(t.state, whole.state);
        assert_int_equal(t.top, whole.top);
        assert_int_equal(t.is_coloured, whole.is_coloured);
        assert_memory_equal(t.charsets, whole.charsets, 2);
    }
}

static size_t to_clear(const char *before, const char *after)
{
    struct nt_term t;
    nt_term_init(&t);
    nt_term_feed(&t, before, strlen(before));
    return nt_term_feed_to_clear(&t, after, strlen(after));
}

static void the_next_safe_place_is_found(void **state)
{
    (void)state;
    assert_int_equal(to_clear("x", "yz"), 0);
    assert_int_equal(to_clear("\033", "[31mred"), 4);
    assert_int_equal(to_clear("\033[3", "1mred"), 2);
    assert_int_equal(to_clear("\xf0\x9f", "\x98\x80ok"), 2);
    assert_int_equal(to_clear("\xf0\x9f", "ok"), 0); /* the character was cut for good */
    assert_int_equal(to_clear("\033]0;ti", "tle\007ok"), 4);
    assert_int_equal(to_clear("\033Pdcs", "\007more\033\\ok"), 7);
    assert_int_equal(to_clear("\033]0;ti", "tle"), 3); /* none */
}

static void no_bytes_do_harm(void **state)
{
    (void)state;
    struct nt_term t;
    uint32_t seed = 1;
    uint8_t bytes[4096];
    char text[NT_TERM_TEXT_MAX];
    nt_term_init(&t);
    for (int round = 0; round < 400; round++) {
        for (size_t i = 0; i < sizeof(bytes); i++) {
            static const uint8_t often[] = "\033[?;0123456789hlr()= !pqm";
            seed = seed * 1664525u + 1013904223u;
            bytes[i] =
                seed >> 31 ? (uint8_t)(seed >> 16) : often[(seed >> 16) % (sizeof(often) - 1)];
        }
        nt_term_feed(&t, bytes, sizeof(bytes));
        assert_in_range(nt_term_restore(&t, text), 1, sizeof(text));
        assert_in_range(nt_term_undo(&t, text), 0, sizeof(text));
        assert_in_range(nt_term_redo(&t, text), 0, sizeof(text));
        nt_term_feed_to_clear(&t, bytes, sizeof(bytes));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_cleaned_up_needs_nothing),
        cmocka_unit_test(what_was_left_on_is_undone),
        cmocka_unit_test(what_was_undone_is_redone),
        cmocka_unit_test(the_restored_terminal_has_the_same_modes),
        cmocka_unit_test(pieces_make_no_difference),
        cmocka_unit_test(the_next_safe_place_is_found),
        cmocka_unit_test(no_bytes_do_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
