/* SPDX-License-Identifier: Apache-2.0 */
/* ws_silence_test.c - when a stream counts as dead. The loop is a fake that keeps one timer, which
 * the test fires when its time has come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <time.h>

#include "plugins/ws/silence.h"

struct nt_timer {
    void (*fn)(void *data);
    void *data;
    int64_t delay_ms;
    bool is_set;
};

static struct nt_timer only;
static int fired;

static struct nt_timer *fake_timer(struct nt_loop *loop, int64_t delay_ms, int64_t repeat_ms,
                                   void (*fn)(void *data), void *data)
{
    (void)loop;
    assert_int_equal(repeat_ms, 0);
    assert_true(delay_ms > 0);
    assert_false(only.is_set); /* never two at a time */
    only = (struct nt_timer){ fn, data, delay_ms, true };
    return &only;
}

static void fake_end(struct nt_timer *timer)
{
    if (timer)
        timer->is_set = false;
}

static const struct nt_loop_ops ops = { .size = sizeof(ops),
                                        .timer = fake_timer,
                                        .timer_end = fake_end };
static struct nt_loop loop = { .size = sizeof(loop), .ops = &ops };

static void on_silent(void *data)
{
    (void)data;
    fired++;
}

static void pass(int64_t ms)
{
    nanosleep(&(struct timespec){ ms / 1000, (ms % 1000) * 1000000 }, NULL);
}

/* Lets its time pass, and a little more. */
static void fire(void)
{
    assert_true(only.is_set);
    pass(only.delay_ms + 2);
    only.fn(only.data);
}

static void nothing_heard_is_told_once(void **state)
{
    (void)state;
    struct silence s;
    fired = 0;
    silence_start(&s, &loop, 20, on_silent, NULL);
    fire(); /* only a suspicion: what came may not have been read yet */
    assert_int_equal(fired, 0);
    fire();
    assert_int_equal(fired, 1);
    assert_false(only.is_set);
    silence_end(&s);
}

static void what_was_heard_puts_it_off(void **state)
{
    (void)state;
    struct silence s;
    fired = 0;
    silence_start(&s, &loop, 60, on_silent, NULL);
    pass(30);
    silence_heard(&s);
    only.fn(only.data); /* early or late: only the time since then counts */
    assert_in_range(only.delay_ms, 1, 60);
    assert_int_equal(fired, 0);
    silence_end(&s);
    assert_false(only.is_set);
}

/* We were stopped ourselves: the timer is long over, and the signs of life wait to be read. */
static void who_was_away_reads_first(void **state)
{
    (void)state;
    struct silence s;
    fired = 0;
    silence_start(&s, &loop, 200, on_silent, NULL);
    fire();
    silence_heard(&s);
    only.fn(only.data);
    assert_int_equal(fired, 0);
    assert_true(only.is_set);
    fire();
    assert_int_equal(fired, 0); /* suspicion, anew */
    fire();
    assert_int_equal(fired, 1);
}

static void one_that_was_never_started_is_nothing(void **state)
{
    (void)state;
    struct silence s = { 0 };
    silence_heard(&s);
    silence_end(&s);
    assert_false(only.is_set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_heard_is_told_once),
        cmocka_unit_test(what_was_heard_puts_it_off),
        cmocka_unit_test(who_was_away_reads_first),
        cmocka_unit_test(one_that_was_never_started_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
