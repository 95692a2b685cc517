/* SPDX-License-Identifier: Apache-2.0 */
/* guest_ring_test.c - the output kept of a terminal: its offsets, its bytes, and where it may be
 * cut. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "plugins/guest/ring.h"

static uint8_t byte_at(uint64_t offset)
{
    return (uint8_t)('a' + offset % 23);
}

static void add_plain(struct ring *ring, size_t size)
{
    uint8_t bytes[70000];
    assert_in_range(size, 0, sizeof(bytes));
    for (size_t i = 0; i < size; i++)
        bytes[i] = byte_at(ring->end + i);
    assert_int_equal(ring_add(ring, bytes, size), 0);
}

static void check_all(const struct ring *ring)
{
    const uint8_t *p;
    uint64_t at = ring->first;
    for (size_t n; (n = ring_at(ring, at, &p)); at += n)
        for (size_t i = 0; i < n; i++)
            assert_int_equal(p[i], byte_at(at + i));
    assert_int_equal(at, ring->end);
}

static void the_last_bytes_are_kept(void **state)
{
    (void)state;
    static const size_t sizes[] = { 0, 1, 4095, 4096, 1, 65536, 3, 70000, 8191 };
    struct ring ring;
    ring_init(&ring);
    uint64_t total = 0;
    for (int round = 0; round < 40; round++) {
        size_t size = sizes[(size_t)round % (sizeof(sizes) / sizeof(sizes[0]))];
        add_plain(&ring, size);
        total += size;
        assert_int_equal(ring.end, total);
        assert_int_equal(ring.first, total > RING_MAX ? total - RING_MAX : 0);
        check_all(&ring);
    }
    ring_done(&ring);
}

static void little_output_takes_little_memory(void **state)
{
    (void)state;
    struct ring ring;
    ring_init(&ring);
    add_plain(&ring, 100);
    assert_in_range(ring.cap, 1, 8192);
    ring_done(&ring);
}

/* One sequence moves over the edge byte by byte: the start is never inside of it, and the modes are
 * those before it or behind it. */
static void the_start_cuts_nothing(void **state)
{
    (void)state;
    static const char sequence[] = "\033[?1049h\xf0\x9f\x98\x80";
    static const char *const bounds = "\0\x08\x0c"; /* where it may be cut */
    for (size_t inside = 0; inside <= sizeof(sequence) - 1; inside++) {
        struct ring ring;
        struct nt_term modes;
        ring_init(&ring);
        ring_add(&ring, sequence, sizeof(sequence) - 1);
        for (size_t left = RING_MAX - (sizeof(sequence) - 1) + inside, n; left; left -= n) {
            n = left < 70000 ? left : 70000;
            add_plain(&ring, n);
        }
        assert_int_equal(ring.first, inside);
        uint64_t start = ring_start(&ring, &modes);
        assert_non_null(memchr(bounds, (int)start, 3));
        assert_true(start >= inside);
        assert_true(nt_term_is_clear(&modes));
        assert_int_equal(modes.modes != 0, start >= 8);
        ring_done(&ring);
    }
}

static void a_string_without_end_has_no_start(void **state)
{
    (void)state;
    struct ring ring;
    struct nt_term modes;
    ring_init(&ring);
    ring_add(&ring, "\033]0;", 4);
    for (int i = 0; i < 5; i++)
        add_plain(&ring, 70000);
    assert_int_equal(ring_start(&ring, &modes), ring.end);
    ring_done(&ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_bytes_are_kept),
        cmocka_unit_test(little_output_takes_little_memory),
        cmocka_unit_test(the_start_cuts_nothing),
        cmocka_unit_test(a_string_without_end_has_no_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
