/* SPDX-License-Identifier: Apache-2.0 */
/* nono_config_test.c - single settings out of the text of a config.toml. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "sdk/nono_config.h"

struct row {
    const char *text;
    const char *value; /* of [updates] check; NULL: none */
};

static const struct row rows[] = {
    { "", NULL },
    { "[updates]\ncheck = false\n", "false" },
    { "[updates]\ncheck=true", "true" },
    { "[updates]\r\ncheck = true\r\n", "true" },
    { "\t[ updates ]  # here\n  check\t=  'a b' # there\n", "a b" },
    { "[\"updates\"]\n\"check\" = \"no\"\n", "no" },
    { "updates.check = 1\n", "1" },
    { "updates . check = 1\n", "1" },
    { "updates = { other = \"x, check = 2\", check = 3 }\n", "3" },
    { "updates = { check = 4, other = 5 }\n", "4" },
    { "[updates]\nchecks = 1\nnocheck = 1\n# check = 1\n", NULL },
    { "[other]\ncheck = 1\nupdates.check = 1\n[updates]\nupdates.check = 1\n", NULL },
    { "check = 1\n[updates.more]\ncheck = 1\n[[updates]]\ncheck = 1\n", NULL },
    { "[updates]\n[other]\ncheck = 1\n", NULL },
    { "[updates]\ncheck = \"no end\ncheck =\ncheck", NULL },
    { "[updates]\ncheck = 'longer than what fits'\n", NULL },
    { "updates = {", NULL },
    { "updates = 'check = 1'\nupdates\n=\n[", NULL },
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[256], value[8] = "before";
        snprintf(text, sizeof(text), "%s", rows[i].text);
        bool is_found = nt_nono_config_in(text, "updates", "check", value, sizeof(value));
        if (is_found != (rows[i].value != NULL))
            fail_msg("row %zu: %s", i, is_found ? value : "not found");
        assert_string_equal(value, is_found ? rows[i].value : "before");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_rows) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
