/* SPDX-License-Identifier: Apache-2.0 */
/* enforce_commands_test.c - commands with sandboxes of their own: requests as hostile as they may
 * be, and rules for words, variables and callers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/sandbox-enforce/mediate/mediate.h"
#include "plugins/sandbox-enforce/mediate/protocol.h"

/* --- requests ------------------------------------------------------------------------------ */

/* Parses a copy of exactly SIZE bytes, so that a sanitizer sees each step beyond them. */
static int parse(struct mediate_head head, const char *text, size_t size,
                 struct mediate_request *ret, char **ret_bytes)
{
    *ret_bytes = malloc(size ? size : 1);
    assert_non_null(*ret_bytes);
    memcpy(*ret_bytes, text, size);
    head.magic = head.magic ? head.magic : MEDIATE_MAGIC;
    head.size = (uint32_t)size;
    return mediate_parse(&head, *ret_bytes, ret);
}

static void test_a_request(void **state)
{
    static const char text[] = "/bin/x\0/home\0-a\0\0A=1\0B="; /* and the NUL of the literal */
    const struct mediate_head head = { .words = 2, .variables = 2 };
    struct mediate_request request;
    char *bytes;
    (void)state;
    assert_int_equal(parse(head, text, sizeof(text), &request, &bytes), 0);
    assert_string_equal(request.file, "/bin/x");
    assert_string_equal(request.folder, "/home");
    assert_string_equal(request.words[0], "-a");
    assert_string_equal(request.words[1], "");
    assert_null(request.words[2]);
    assert_string_equal(request.variables[1], "B=");
    assert_null(request.variables[2]);
    mediate_request_done(&request);
    free(bytes);
}

static void test_requests_that_are_none(void **state)
{
    static const struct {
        struct mediate_head head;
        const char *text;
        size_t size;
    } rows[] = {
        { { .words = 0 }, "", 0 },
        { { .words = 0 }, "/bin/x", 6 },
        { { .words = 0 }, "/bin/x\0/home", 12 },          /* no end */
        { { .words = 1 }, "/bin/x\0/home\0", 13 },        /* fewer than it says */
        { { .words = 0 }, "/bin/x\0/home\0a\0", 15 },     /* more */
        { { .variables = 1 }, "/bin/x\0/home\0A\0", 15 }, /* no variable */
        { { .variables = 1 }, "/bin/x\0/home\0=A\0", 16 },
        { { .words = UINT32_MAX }, "/bin/x\0/home\0", 13 },
        { { .variables = UINT32_MAX }, "/bin/x\0/home\0", 13 },
        { { .words = MEDIATE_WORDS_MAX, .variables = MEDIATE_VARIABLES_MAX }, "a\0b\0", 4 },
        { { .magic = 1 }, "/bin/x\0/home\0", 13 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct mediate_request request = { 0 };
        char *bytes;
        assert_int_equal(parse(rows[i].head, rows[i].text, rows[i].size, &request, &bytes), -1);
        assert_null(request.words);
        free(bytes);
    }
}

/* --- rules ----------------------------------------------------------------------------------- */

#define LIST(...) ((char *[]){ __VA_ARGS__, NULL })
#define TEXTS(...)                                                                                 \
    {                                                                                              \
        (const char *[]){ __VA_ARGS__ },                                                           \
            sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(const char *)                         \
    }

static void test_words(void **state)
{
    const struct command_match exact = { .how = COMMAND_EXACT, .words = TEXTS("a", "b") };
    const struct command_match prefix = { .how = COMMAND_PREFIX, .words = TEXTS("a", "b") };
    const struct command_match contains = { .how = COMMAND_CONTAINS, .words = TEXTS("a", "b") };
    const struct command_match none = { .how = COMMAND_EXACT };
    const struct command_match any = { .how = COMMAND_ANY };
    char *empty[] = { NULL };
    (void)state;
    assert_true(command_matches(&exact, LIST("a", "b"), empty));
    assert_false(command_matches(&exact, LIST("a", "b", "c"), empty));
    assert_false(command_matches(&exact, LIST("a"), empty));
    assert_true(command_matches(&prefix, LIST("a", "b", "c"), empty));
    assert_false(command_matches(&prefix, LIST("c", "a", "b"), empty));
    assert_false(command_matches(&prefix, empty, empty));
    assert_true(command_matches(&contains, LIST("x", "a", "b"), empty));
    assert_true(command_matches(&contains, LIST("a", "a", "b", "x"), empty));
    assert_false(command_matches(&contains, LIST("a", "x", "b"), empty));
    assert_false(command_matches(&contains, LIST("b"), empty));
    assert_true(command_matches(&none, empty, empty));
    assert_false(command_matches(&none, LIST("x"), empty));
    assert_true(command_matches(&any, LIST("x"), empty));
}

static void test_variables(void **state)
{
    struct command_variable both[] = { { "MODE", TEXTS("a", "b") }, { "X", TEXTS("") } };
    const struct command_match match = { .variables = both, .variable_count = 2 };
    const struct policy_texts list = TEXTS("ONE", "TWO_*");
    char *empty[] = { NULL };
    (void)state;
    assert_true(command_matches(&match, empty, LIST("X=", "MODE=b")));
    assert_false(command_matches(&match, empty, LIST("X=1", "MODE=b")));
    assert_false(command_matches(&match, empty, LIST("X=", "MODE=c", "MODE2=a")));
    assert_false(command_matches(&match, empty, empty));
    assert_true(command_passes(&list, "ONE=1"));
    assert_false(command_passes(&list, "ONE_MORE=1"));
    assert_true(command_passes(&list, "TWO_=1"));
    assert_false(command_passes(&list, "TWO=TWO_X"));
}

static void test_callers(void **state)
{
    struct profile sandbox = { 0 };
    struct command_edge of_git[] = { { .caller = "session", .sandbox = &sandbox } };
    struct command_edge of_ssh[] = { { .caller = "git", .sandbox = &sandbox },
                                     { .caller = "session" } };
    struct command commands[] = {
        { .name = "git", .can_use = TEXTS("ssh"), .edges = of_git, .edge_count = 1 },
        { .name = "ssh", .edges = of_ssh, .edge_count = 2 },
        { .name = "gpg", .can_use = TEXTS("git") },
    };
    const struct command_policies all = { .commands = commands, .count = 3 };
    struct command_refusal refusal;
    (void)state;
    assert_ptr_equal(command_find_by_name(&all, "sshd", 3), &commands[1]);
    assert_null(command_find_by_name(&all, "sshd", 4));
    assert_ptr_equal(command_edge_of(&all, &commands[0], "session", &refusal), &of_git[0]);
    assert_ptr_equal(command_edge_of(&all, &commands[1], "git", &refusal), &of_ssh[0]);
    assert_null(command_edge_of(&all, &commands[1], "session", &refusal));
    assert_non_null(strstr(refusal.rule, "deny"));
    assert_null(command_edge_of(&all, &commands[1], "gpg", &refusal)); /* not in its can_use */
    assert_null(command_edge_of(&all, &commands[0], "gpg", &refusal)); /* not in git's from */
    assert_null(command_edge_of(&all, &commands[2], "session", &refusal));
}

static void test_an_invocation_policy(void **state)
{
    struct command_match denied[] = { { .how = COMMAND_CONTAINS, .words = TEXTS("-f") } };
    struct command_match allowed[] = { { .how = COMMAND_PREFIX, .words = TEXTS("push") } };
    struct command_edge edge = { .place = "here",
                                 .denied = { denied, 1 },
                                 .allowed = { allowed, 1 } };
    struct command_refusal refusal;
    char *empty[] = { NULL };
    (void)state;
    assert_true(command_may_start(&edge, LIST("-f"), empty, &refusal)); /* there is none */
    edge.is_judged = true;
    assert_true(command_may_start(&edge, LIST("push"), empty, &refusal));
    assert_false(command_may_start(&edge, LIST("push", "-f"), empty, &refusal));
    assert_string_equal(refusal.rule, "here.invocation_policy.deny[0]");
    assert_false(command_may_start(&edge, LIST("pull"), empty, &refusal));
    edge.is_allowed = true;
    assert_true(command_may_start(&edge, LIST("pull"), empty, &refusal));
    assert_false(command_may_start(&edge, LIST("pull", "-f"), empty, &refusal));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request), cmocka_unit_test(test_requests_that_are_none),
        cmocka_unit_test(test_words),     cmocka_unit_test(test_variables),
        cmocka_unit_test(test_callers),   cmocka_unit_test(test_an_invocation_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
