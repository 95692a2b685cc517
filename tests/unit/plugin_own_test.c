/* SPDX-License-Identifier: Apache-2.0 */
/* plugin_own_test.c - the words that are ours, and the table of claims. */
#include "core/plugin/claims.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "core/plugin/reserved.h"

/* The first words of the three command references. */
static const char *const words[] = {
    "agent",      "attach",  "audit",
    "auth",       "billing", "commands",
    "completion", "cp",      "docs",
    "doctor",     "enforce", "exec",
    "exec-wait",  "files",   "inspect",
    "keys",       "learn",   "lifecycle",
    "logs",       "mcp",     "members",
    "monitor",    "org",     "policy",
    "profile",    "proxy",   "ps",
    "plugin",     "config",  "serve",
    "quickstart", "run",     "sandbox-enforce",
    "sandbox",    "schema",  "secrets",
    "setup",      "shell",   "snapshot",
    "ssh",        "stop",    "tail",
    "template",   "trust",   "volume",
    "why",        "wrap",    "ws",
    "enforce",    "guest",   "engine-native",
    "engine-lxd", "update",  "engine-podman",
};

static void the_words_of_the_trees_are_reserved(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (!reserved_is_word(words[i], strlen(words[i])))
            fail_msg("%s is free", words[i]);
        char path[64]; /* only the first word counts */
        snprintf(path, sizeof(path), "%s more", words[i]);
        assert_true(reserved_is_word(path, strlen(words[i])));
    }
    static const char *const others[] = { "",    "w",   "wsx",      "hello",
                                          "zzz", "aaa", "exec-wai", "sandbox-" };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_false(reserved_is_word(others[i], strlen(others[i])));
    assert_true(reserved_is_instance("nanoterm.engine/1", "native"));
    assert_false(reserved_is_instance("nanoterm.engine/1", "theirs"));
    assert_false(reserved_is_instance("vendor.engine/1", "native"));
}

static void the_first_claim_stays(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    static char names[COUNT][16];
    struct claims claims = { .slots = NULL };
    assert_null(claims_find(&claims, CLAIM_PATH, "x", 1));
    for (uint32_t i = 0; i < COUNT; i++) {
        int n = snprintf(names[i], sizeof(names[i]), "name%u", i);
        struct claim claim = {
            .text = names[i], .length = (size_t)n, .kind = CLAIM_PATH, .owner = i
        };
        assert_int_equal(claims_add(&claims, &claim), 0);
        claim.owner = COUNT;
        assert_int_equal(claims_add(&claims, &claim), 0);
    }
    assert_int_equal(claims.count, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        const struct claim *claim = claims_find(&claims, CLAIM_PATH, names[i], strlen(names[i]));
        assert_non_null(claim);
        assert_int_equal(claim->owner, i);
        assert_null(claims_find(&claims, CLAIM_GROUP, names[i], strlen(names[i])));
    }
    claims_done(&claims);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_words_of_the_trees_are_reserved),
        cmocka_unit_test(the_first_claim_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
