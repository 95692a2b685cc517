/* SPDX-License-Identifier: Apache-2.0 */
/* enforce_matches_test.c - what patterns match in granted folders, and how many names are looked at
 * for it. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "nanoterm/error.h"
#include "plugins/sandbox-enforce/supervise/matches.h"
#include "sdk/error.h"

#define FILES 200

static char base[64];

struct text {
    char at[PATH_MAX];
};

static struct text in(const char *name)
{
    struct text text;
    snprintf(text.at, sizeof(text.at), "%s%s%s", base, *name ? "/" : "", name);
    return text;
}

static void make_folder(const char *name)
{
    assert_int_equal(mkdir(in(name).at, 0700), 0);
}

static void make_file(const char *name)
{
    int fd = open(in(name).at, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
}

/* p/.env, p/many/f0 to f199, p/many/.env, p/kept/.env, p/kept/below/.env, p/link -> kept */
static int set_up(void **state)
{
    (void)state;
    snprintf(base, sizeof(base), "/var/tmp/nt-matches-XXXXXX");
    assert_non_null(mkdtemp(base));
    make_folder("p");
    make_folder("p/many");
    make_folder("p/kept");
    make_folder("p/kept/below");
    make_file("p/.env");
    make_file("p/many/.env");
    make_file("p/kept/.env");
    make_file("p/kept/below/.env");
    assert_int_equal(symlink("kept", in("p/link").at), 0);
    for (int i = 0; i < FILES; i++) {
        char name[32];
        snprintf(name, sizeof(name), "p/many/f%d", i);
        make_file(name);
    }
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st, (void)kind, (void)ftw;
    return remove(path);
}

static int tear_down(void **state)
{
    (void)state;
    return nftw(base, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* What was found, in lines without the base. */
struct found {
    char text[4096];
};

static int note(void *context, const char *path, struct nt_error *reterr)
{
    struct found *found = context;
    size_t had = strlen(found->text), size = strlen(base);
    (void)reterr;
    assert_memory_equal(path, base, size);
    snprintf(found->text + had, sizeof(found->text) - had, "%s\n", path + size);
    return 0;
}

static bool has(const struct found *found, const char *line)
{
    const char *at = strstr(found->text, line);
    return at && (at == found->text || at[-1] == '\n') && at[strlen(line)] == '\n';
}

static size_t lines_of(const struct found *found)
{
    size_t count = 0;
    for (const char *at = found->text; *at; at++)
        count += *at == '\n';
    return count;
}

/* With GRANTS and PATTERN, both beneath the base where they begin with "/"; ended by NULL. */
static int look(const char *const *grants, const char *pattern, struct matches_bounds bounds,
                struct found *ret, size_t *ret_seen, struct nt_error *reterr)
{
    struct policy_grant rows[4] = { 0 };
    struct text paths[4], whole = *pattern == '/' ? in(pattern + 1) : (struct text){ 0 };
    struct policy_pattern row = { *pattern == '/' ? whole.at : pattern, "test" };
    struct policy policy = { .grants = rows, .patterns = &row, .pattern_count = 1 };
    for (; grants[policy.grant_count]; policy.grant_count++) {
        paths[policy.grant_count] = in(grants[policy.grant_count]);
        rows[policy.grant_count].path = paths[policy.grant_count].at;
        rows[policy.grant_count].access = POLICY_READ;
        rows[policy.grant_count].fd = -1;
    }
    *ret = (struct found){ 0 };
    return matches_find(&policy, &bounds, note, ret, ret_seen, reterr);
}

static const char *const all[] = { "p", NULL };
static const struct matches_bounds ample = { 10000, INT64_MAX / 2 };

static void test_every_match_is_found_once(void **state)
{
    static const char *const twice[] = { "p/kept", "p", "p/kept/below", NULL };
    static const char *const patterns[] = { "**/.env", ".env", "/p/**/.env", "/**/.e?v" };
    struct nt_error error = NT_ERROR_INIT;
    struct found found;
    size_t once, seen;
    (void)state;
    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
        assert_int_equal(look(all, patterns[i], ample, &found, &once, &error), 0);
        assert_true(has(&found, "/p/.env") && has(&found, "/p/many/.env"));
        assert_true(has(&found, "/p/kept/.env") && has(&found, "/p/kept/below/.env"));
        assert_int_equal(lines_of(&found), 4);
        assert_int_equal(once,
                         4 + 1 + FILES + 3); /* p, many, kept and below; no link is followed */
        assert_int_equal(look(twice, patterns[i], ample, &found, &seen, &error), 0);
        assert_int_equal(seen, once); /* a grant within another costs nothing */
        assert_int_equal(lines_of(&found), 4);
    }
}

static void test_a_folder_that_matches_is_not_looked_into(void **state)
{
    struct nt_error error = NT_ERROR_INIT;
    struct found found;
    size_t seen;
    (void)state;
    assert_int_equal(look(all, "**/m*y/**", ample, &found, &seen, &error), 0);
    assert_true(has(&found, "/p/many") && lines_of(&found) == 1);
    assert_int_equal(look(all, "**/many", ample, &found, &seen, &error), 0);
    assert_true(has(&found, "/p/many") && lines_of(&found) == 1);
    assert_true(seen < FILES);
}

static void test_only_where_a_pattern_can_match(void **state)
{
    struct nt_error error = NT_ERROR_INIT;
    struct found found;
    size_t seen;
    (void)state;
    assert_int_equal(look(all, "/p/kept/**/.env", ample, &found, &seen, &error), 0);
    assert_true(has(&found, "/p/kept/.env") && has(&found, "/p/kept/below/.env"));
    assert_true(lines_of(&found) == 2 && seen < FILES);
    assert_int_equal(look(all, "/elsewhere/**/.env", ample, &found, &seen, &error), 0);
    assert_true(lines_of(&found) == 0 && seen == 0);
}

static void test_no_more_names_than_the_limit(void **state)
{
    struct nt_error error = NT_ERROR_INIT;
    struct found found;
    size_t seen;
    (void)state;
    assert_int_equal(look(all, "**/.env", (struct matches_bounds){ FILES + 8, INT64_MAX / 2 },
                          &found, &seen, &error),
                     0);
    assert_int_equal(look(all, "**/.env", (struct matches_bounds){ FILES / 2, INT64_MAX / 2 },
                          &found, &seen, &error),
                     -1);
    assert_int_equal(error.code, NT_E_LIMIT);
    assert_non_null(strstr(error.hint, "begin the pattern"));
    assert_int_equal(seen, FILES / 2);
}

static void test_no_more_time_than_the_limit(void **state)
{
    struct nt_error error = NT_ERROR_INIT;
    struct found found;
    size_t seen;
    (void)state;
    int result = look(all, "**/.env", (struct matches_bounds){ 10000, 0 }, &found, &seen, &error);
    assert_int_equal(result, -1);
    assert_int_equal(error.code, NT_E_TIMEOUT);
    assert_non_null(strstr(error.hint, "begin the pattern"));
    assert_int_equal(seen, 0);
}

/* The program could open it with chmod. Root needs no chmod, so nothing is closed to it. */
static void test_a_folder_of_ours_that_is_closed_counts_as_a_match(void **state)
{
    static const char *const inner[] = { "p", "p/kept/below", NULL };
    struct nt_error error = NT_ERROR_INIT;
    struct found found;
    size_t seen;
    (void)state;
    if (geteuid() == 0)
        skip();
    assert_int_equal(chmod(in("p/kept").at, 0100), 0);
    int result = look(inner, "**/.env", ample, &found, &seen, &error);
    assert_int_equal(chmod(in("p/kept").at, 0700), 0);
    assert_int_equal(result, 0);
    assert_true(has(&found, "/p/kept") && !has(&found, "/p/kept/.env"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_match_is_found_once),
        cmocka_unit_test(test_a_folder_that_matches_is_not_looked_into),
        cmocka_unit_test(test_only_where_a_pattern_can_match),
        cmocka_unit_test(test_no_more_names_than_the_limit),
        cmocka_unit_test(test_no_more_time_than_the_limit),
        cmocka_unit_test(test_a_folder_of_ours_that_is_closed_counts_as_a_match),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
