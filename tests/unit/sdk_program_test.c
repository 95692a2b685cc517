/* SPDX-License-Identifier: Apache-2.0 */
/* sdk_program_test.c - which file a name means, and that the current folder never counts. */
#include "sdk/program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char home[] = "/tmp/nt-program-XXXXXX";

static const char *at(const char *name)
{
    static char paths[8][PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 8];
    assert_true(snprintf(path, PATH_MAX, "%s/%s", home, name) < PATH_MAX);
    return path;
}

static void put(const char *name, mode_t mode)
{
    int fd = open(at(name), O_CREAT | O_WRONLY | O_CLOEXEC, mode);
    assert_true(fd >= 0 && fchmod(fd, mode) == 0);
    close(fd);
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(home) || mkdir(at("a"), 0700) + mkdir(at("b"), 0700) + mkdir(at("a/tool"), 0700))
        return -1;
    put("b/tool", 0700);
    put("b/plain", 0600);
    put("tool", 0700);
    put("a/both", 0755);
    put("b/both", 0755);
    return chdir(home) + symlink("b", at("link"));
}

static int tear_down(void **state)
{
    static const char *const names[] = { "a/tool", "b/tool", "b/plain", "tool", "a/both",
                                         "b/both", "link",   "a",       "b",    "" };
    (void)state;
    int result = 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        result += remove(at(names[i]));
    return result;
}

/* What NAME is in the folders FORMAT, in which ~ is the home. */
static int find(const char *format, const char *name, char ret[PATH_MAX])
{
    char list[4 * PATH_MAX];
    int size = 0;
    for (; *format; format++)
        if (format[0] == '~')
            size += snprintf(list + size, sizeof(list) - (size_t)size, "%s", home);
        else
            list[size++] = *format;
    list[size] = '\0';
    const char *path = list;
    return nt_program_next(&path, name, ret);
}

static void a_name_means_the_first_file_that_can_be_executed(void **state)
{
    (void)state;
    char found[PATH_MAX];
    assert_int_equal(find("~/none:~/a:~/b", "tool", found), 0); /* in a it is a folder */
    assert_string_equal(found, at("b/tool"));
    assert_int_equal(find("~/link:~/b", "tool", found), 0);
    assert_string_equal(found, at("link/tool"));
    assert_int_equal(find("~/a:~/b", "nothing", found), ENOENT);
    assert_int_equal(find("~/a", "tool", found), EACCES);
    assert_int_equal(find("~/b:~/none", "plain", found), EACCES);
    const char *none = NULL;
    assert_int_equal(nt_program_next(&none, "tool", found), ENOENT);
}

static void the_current_folder_never_counts(void **state)
{
    static const char *const lists[] = { "", ":", "::", ".", "./", "b", "..", ".:b", ":b:" };
    (void)state;
    char found[PATH_MAX], list[64];
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        assert_int_equal(find(lists[i], "tool", found), ENOENT);
        snprintf(list, sizeof(list), "%s:~/b", lists[i]);
        assert_int_equal(find(list, "tool", found), 0);
        assert_string_equal(found, at("b/tool"));
    }
}

static void all_of_a_name_come_one_after_another(void **state)
{
    (void)state;
    char list[3 * PATH_MAX], found[PATH_MAX];
    snprintf(list, sizeof(list), "%s/a::%s/none:%s/b:", home, home, home);
    const char *path = list;
    assert_int_equal(nt_program_next(&path, "both", found), 0);
    assert_string_equal(found, at("a/both"));
    assert_int_equal(nt_program_next(&path, "both", found), 0);
    assert_string_equal(found, at("b/both"));
    assert_int_equal(nt_program_next(&path, "both", found), ENOENT);
    assert_null(path);
}

static void what_is_too_long_is_not_there(void **state)
{
    (void)state;
    char list[PATH_MAX + 64], found[PATH_MAX];
    memset(list, 'x', sizeof(list));
    list[0] = '/';
    snprintf(list + PATH_MAX, sizeof(list) - PATH_MAX, ":%s/b", home);
    const char *path = list;
    assert_int_equal(nt_program_next(&path, "tool", found), 0);
    assert_string_equal(found, at("b/tool"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_means_the_first_file_that_can_be_executed),
        cmocka_unit_test(the_current_folder_never_counts),
        cmocka_unit_test(all_of_a_name_come_one_after_another),
        cmocka_unit_test(what_is_too_long_is_not_there),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
