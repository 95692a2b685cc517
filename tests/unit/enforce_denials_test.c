/* SPDX-License-Identifier: Apache-2.0 */
/* enforce_denials_test.c - the list of denials: what is kept, what is only counted, and that
 * several threads may add. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "plugins/sandbox-enforce/explain/denials.h"

static void add(struct denials *d, const char *act, const char *target)
{
    struct denial denial = { .source = DENIAL_NOTIFIED,
                             .act = act,
                             .target = target,
                             .layer = "notification",
                             .rule = "network is blocked",
                             .grant = "--allow-net" };
    denials_add(d, &denial);
}

static void equal_ones_are_counted_in_the_order_of_the_first(void **state)
{
    (void)state;
    struct denials *d = denials_new();
    add(d, "connect", "192.0.2.1:80");
    add(d, "bind", "0.0.0.0:80");
    add(d, "connect", "192.0.2.1:80");
    const struct denial *first = denials_at(d, 0);
    assert_string_equal(first->act, "connect");
    assert_string_equal(first->target, "192.0.2.1:80");
    assert_string_equal(first->layer, "notification");
    assert_string_equal(first->rule, "network is blocked");
    assert_string_equal(first->grant, "--allow-net");
    assert_int_equal(first->count, 2);
    assert_string_equal(denials_at(d, 1)->act, "bind");
    assert_null(denials_at(d, 2));
    assert_int_equal(denials_dropped(d), 0);
    denials_free(d);
}

/* An inferred denial is a guess: it never adds to one that was seen. */
static void sources_are_not_mixed(void **state)
{
    (void)state;
    struct denials *d = denials_new();
    struct denial denial = { .source = DENIAL_KERNEL, .act = "read", .target = "/etc/shadow" };
    denials_add(d, &denial);
    denial.source = DENIAL_INFERRED;
    denials_add(d, &denial);
    assert_int_equal(denials_at(d, 0)->count, 1);
    assert_int_equal(denials_at(d, 1)->source, DENIAL_INFERRED);
    assert_string_equal(denials_at(d, 1)->grant, ""); /* none given */
    denials_free(d);
}

static void more_than_the_maximum_are_only_counted(void **state)
{
    (void)state;
    struct denials *d = denials_new();
    char target[32];
    for (unsigned i = 0; i < DENIALS_MAX + 10; i++) {
        snprintf(target, sizeof(target), "192.0.2.1:%u", i);
        add(d, "connect", target);
    }
    assert_non_null(denials_at(d, DENIALS_MAX - 1));
    assert_null(denials_at(d, DENIALS_MAX));
    assert_int_equal(denials_dropped(d), 10);
    add(d, "connect", "192.0.2.1:0"); /* one that is known still counts */
    assert_int_equal(denials_at(d, 0)->count, 2);
    assert_int_equal(denials_dropped(d), 10);
    denials_free(d);
}

#define THREADS 8
#define EACH 500

static void *add_many(void *list)
{
    char target[32];
    for (unsigned i = 0; i < EACH; i++) {
        snprintf(target, sizeof(target), "192.0.2.%u:80", i % 10);
        add(list, "connect", target);
    }
    return NULL;
}

static void threads_add_at_the_same_time(void **state)
{
    (void)state;
    struct denials *d = denials_new();
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, d), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(denials_at(d, i)->count, THREADS * EACH / 10);
    assert_null(denials_at(d, 10));
    denials_free(d);
}

static void nothing_is_no_list(void **state)
{
    (void)state;
    add(NULL, "connect", "192.0.2.1:80");
    assert_null(denials_at(NULL, 0));
    assert_int_equal(denials_dropped(NULL), 0);
    denials_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_ones_are_counted_in_the_order_of_the_first),
        cmocka_unit_test(sources_are_not_mixed),
        cmocka_unit_test(more_than_the_maximum_are_only_counted),
        cmocka_unit_test(threads_add_at_the_same_time),
        cmocka_unit_test(nothing_is_no_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
