/* SPDX-License-Identifier: Apache-2.0 */
/* plugin_shape_test.c - tables copied, written as text, read back and compared; every bound of the
 * copy. */
#include "core/plugin/shape.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "sdk/cleanup.h"

static int run(struct nt_call *call, struct nt_error *reterr)
{
    (void)call;
    (void)reterr;
    return 0;
}

static const struct nt_opt opts[] = {
    { .name = "n",
      .help = "h",
      .arg = "x",
      .fallback = "",
      .env = "N",
      .choices = "a|b",
      .complete = "c",
      .conflicts = "m",
      .min = INT64_MIN,
      .max = INT64_MAX,
      .letter = 'n',
      .type = 5,
      .flags = UINT32_MAX },
};
static const struct nt_arg args[] = {
    { .name = "a", .help = "h", .complete = "c", .type = 1, .flags = 2 }
};
static const struct nt_example examples[] = { { "x", "y" } };
static const struct nt_column columns[] = {
    { .name = "id", .title = "t", .path = "p", .help = "h", .type = 3, .flags = 4 },
};
static const uint32_t codes[] = { 1, UINT32_MAX };
static const struct nt_alias aliases[] = { { .path = "z", .flags = 8 } };
static const struct nt_command commands[] = {
    { .path = "x",
      .summary = "s \303\244",
      .description = "two\nlines",
      .run = run,
      .args = NT_TABLE(args),
      .opts = NT_TABLE(opts),
      .examples = NT_TABLE(examples),
      .columns = NT_TABLE(columns),
      .errors = NT_TABLE(codes),
      .aliases = NT_TABLE(aliases),
      .effects = 1ull << 62,
      .result = 3,
      .flags = 8,
      .timeout_ms = -1 },
    { .path = "y", .summary = "s" },
};
static const struct nt_error_row errors[] = {
    { .text = "v.c", .kind = "k", .help = "h", .number = 0x10000, .exit_status = 1, .retry = 1 },
};
static const struct nt_group groups[] = { { .name = "g", .summary = "s", .flags = 1 } };
static const struct nt_service services[] = { { "s/1", "i", commands } };
static const struct nt_plugin sample = {
    NT_PLUGIN_HEAD,
    .name = "n",
    .version = "v",
    .summary = "s",
    .vendor = "w",
    .groups = NT_TABLE(groups),
    .commands = NT_TABLE(commands),
    .errors = NT_TABLE(errors),
    .services = NT_TABLE(services),
};

static void a_copy_and_a_manifest_say_the_same(void **state)
{
    (void)state;
    nt_auto(arena_done) struct arena arena = ARENA(SHAPE_PLUGIN_MAX);
    struct nt_plugin copy, back;
    struct nt_error e = NT_ERROR_INIT;
    if (shape_adopt(&sample, &arena, &copy, &e) < 0)
        fail_msg("%s", e.message);
    assert_true(shape_is_equal(&sample, &copy));
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(SHAPE_PLUGIN_MAX);
    size_t names = shape_write(&copy, &text);
    assert_true(nt_buf_ok(&text));
    if (shape_read(text.data, text.size, names, &arena, &back, &e) < 0)
        fail_msg("%s", e.message);
    assert_true(shape_is_equal(&copy, &back));
    const struct nt_command *rows = back.commands.rows;
    assert_ptr_equal(rows[0].run, NULL);
    assert_true(rows[0].effects == 1ull << 62 && rows[0].timeout_ms == -1);
    const struct nt_opt *opt = rows[0].opts.rows;
    assert_true(opt->min == INT64_MIN && opt->max == INT64_MAX && opt->flags == UINT32_MAX);
    assert_string_equal(opt->fallback, ""); /* empty is not the same as absent */
    assert_ptr_equal(rows[1].description, NULL);
    shape_take_pointers(&back, &copy);
    assert_ptr_equal(rows[0].run, run);
    const struct nt_service *service = back.services.rows;
    assert_ptr_equal(service->ops, commands);
}

/* A text that ends with its memory, so that the sanitizer finds whoever reads beyond it. */
struct reading {
    char *text;
    struct arena arena;
    struct nt_plugin plugin;
    struct nt_error error;
    int result;
};

/* names: how many bytes of it they are. */
static struct reading read_text(const char *text, size_t size, size_t names)
{
    struct reading r = { .arena = ARENA(SHAPE_PLUGIN_MAX), .error = NT_ERROR_INIT };
    r.text = malloc(size ? size : 1);
    assert_non_null(r.text);
    memcpy(r.text, text, size);
    r.result = shape_read(r.text, size, names, &r.arena, &r.plugin, &r.error);
    return r;
}

static void reading_done(struct reading *r)
{
    arena_done(&r->arena);
    free(r->text);
}

/* Every line of the text is one that can differ: change the last character of each in turn. */
static void no_difference_is_missed(void **state)
{
    (void)state;
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(SHAPE_PLUGIN_MAX);
    size_t names = shape_write(&sample, &text);
    unsigned count = 0;
    for (char *at = text.data; (at = strchr(at, '\n')); at++) {
        char old = at[-1];
        at[-1] = old == '1' ? '2' : '1';
        nt_auto(reading_done) struct reading r = read_text(text.data, text.size, names);
        if (r.result == 0)
            assert_false(shape_is_equal(&sample, &r.plugin));
        at[-1] = old;
        count++;
    }
    assert_true(count > 60);
}

static void no_text_that_is_cut_off_passes(void **state)
{
    (void)state;
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(SHAPE_PLUGIN_MAX);
    size_t names = shape_write(&sample, &text);
    for (size_t size = 0; size < text.size; size++) {
        nt_auto(reading_done) struct reading r = read_text(text.data, size, names);
        assert_int_equal(r.result, -1);
        assert_int_equal(r.error.code, NT_E_PLUGIN_FAILED);
    }
}

/* The names are read alone, then a command at its place; together they are what was written. */
static void names_and_a_command_are_read_apart(void **state)
{
    (void)state;
    nt_auto(arena_done) struct arena arena = ARENA(SHAPE_PLUGIN_MAX);
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(SHAPE_PLUGIN_MAX);
    struct nt_plugin names, copy;
    struct shape_place *places = NULL;
    struct nt_error e = NT_ERROR_INIT;
    size_t size = shape_write(&sample, &text);
    if (shape_read_names(text.data, size, &arena, &names, &places, &e) < 0)
        fail_msg("%s", e.message);
    assert_true(shape_has_equal_names(&sample, &names));
    assert_false(shape_is_equal(&sample, &names));
    const struct nt_command *rows = names.commands.rows;
    assert_int_equal(names.commands.count, 2);
    assert_string_equal(rows[1].path, "y");
    assert_int_equal(rows[0].opts.count + rows[0].args.count + rows[0].examples.count, 0);
    for (uint32_t i = 0; i < 2; i++) {
        struct nt_command command, adopted;
        if (shape_read_command(text.data + size + places[i].at, (size_t)places[i].size, &arena,
                               &command, &e)
                < 0
            || shape_adopt_command(&sample, i, &arena, &adopted, &e) < 0)
            fail_msg("%s", e.message);
        assert_true(shape_is_equal_command(&commands[i], &command));
        assert_true(shape_is_equal_command(&commands[i], &adopted));
        assert_true(shape_is_equal_name(&rows[i], &command));
        assert_false(shape_is_equal_name(&rows[1 - i], &command));
    }
    assert_int_equal(shape_adopt_command(&sample, 2, &arena, &(struct nt_command){ 0 }, &e), -1);
    assert_int_equal(shape_adopt_names(&sample, &arena, &copy, &e), 0);
    assert_true(shape_has_equal_names(&copy, &names));
    rows = copy.commands.rows;
    assert_ptr_equal(rows[0].run, run);
    assert_int_equal(rows[0].opts.count, 0);
}

static void rows_of_wrong_length_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *names, *rows, *why;
    } bad[] = {
        { "=n\n=v\n=s\n-\n-\n*1\n=a\n=s\n.\n.\n", "", "how long its command 0" },
        { "=n\n=v\n=s\n-\n-\n*1\n=a\n=s\n.\n.\n#0\n", "", "how long its command 0" },
        { "=n\n=v\n=s\n-\n-\n*1\n=a\n=s\n.\n.\n#-8\n", "", "how long its command 0" },
        { "=n\n=v\n=s\n-\n-\n*1\n=a\n=s\n.\n.\n#99999999999\n", "", "how long its command 0" },
        { "=n\n=v\n=s\n-\n-\n*1\n=a\n=s\n.\n.\n#8\n#8\n", "=a\n=s\n.\n", "something follows" },
        { "=n\n=v\n=s\n-\n-\n*1\n=a\n=s\n.\n.\n#9\n", "=a\n=s\n.\n", "cut off" },
        { "=n\n=v\n=s\n-\n-\n*1\n=a\n=s\n.\n.\n#6\n", "=a\n=s\n.\n", "cut off" },
        { "=n\n=v\n=s\n-\n-\n*1\n=a\n=s\n.\n.\n#8\n", "=a\n=s\n.\n.\n", "something follows" },
        { "=n\n=v\n=s\n-\n-\n*1\n=a\n=s\n.\n.\n#10\n", "=a\n=s\n.\n.\n", "something follows" },
        { "=n\n=v\n=s\n-\n-\n*1\n=a\n=s\n.\n.\n#8\n", "=b\n=s\n.\n", "two names" },
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(1024);
        nt_buf_addf(&text, "%s%s", bad[i].names, bad[i].rows);
        nt_auto(reading_done) struct reading r =
            read_text(text.data, text.size, strlen(bad[i].names));
        if (r.result == 0)
            fail_msg("text %zu passed", i);
        if (!strstr(r.error.message, bad[i].why))
            fail_msg("text %zu: %s", i, r.error.message);
    }
}

/* name, version, summary, vendor; groups, commands, errors, services; start; needs; and more. */
static void members_of_a_newer_one_are_passed_over(void **state)
{
    (void)state;
    static const char newer[] = "=n\n=v\n=s\n-\n*1\n=g\n=s\n-\n=new\n.\n-\n-\n-\n-\n-\n"
                                "*2\n=a\n*1\n=b\n.\n.\n.\n#7\n=new\n.\n";
    nt_auto(reading_done) struct reading r = read_text(newer, strlen(newer), strlen(newer));
    if (r.result < 0)
        fail_msg("%s", r.error.message);
    const struct nt_group *group = r.plugin.groups.rows;
    assert_int_equal(r.plugin.groups.count, 1);
    assert_string_equal(group->name, "g");
    assert_int_equal(r.plugin.needs.count, 0);
}

static void wrong_lines_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } bad[] = {
        { "#1\n.\n", "name is not a text" },
        { "=n\n=v\n=\n.\n", "summary is missing" },
        { "=n\n=v\n-\n.\n", "summary is missing" },
        { "=n\n=v\n.\n", "summary is missing" },
        { "=n\n=v\n=two\tlines\n.\n", "not clean UTF-8" },
        { "=n\n=v\n=\xff\n.\n", "not clean UTF-8" },
        { "=n\n=v\n=1234567\x1b[2J\n.\n", "not clean UTF-8" },
        { "=n\n=v\n=1234567\x7f\n.\n", "not clean UTF-8" },
        { "=n\n=v\n=s\n-\n=g\n.\n", "groups is not a list" },
        { "=n\n=v\n=s\n-\n*-1\n.\n", "groups is not a list" },
        { "=n\n=v\n=s\n-\n*65\n.\n", "groups is not a list of at most 64" },
        { "=n\n=v\n=s\n-\n*\n.\n", "groups is not a list" },
        { "=n\n=v\n=s\n-\n*2\n=g\n=s\n.\n.\n", "group 1 (?)" },
        { "=n\n=v\n=s\n-\n*1\n=g\n=s\n#4294967296\n.\n.\n", "flags is not a number that fits" },
        { "=n\n=v\n=s\n-\n*1\n=g\n=s\n#-1\n.\n.\n", "flags is not a number that fits" },
        { "=n\n=v\n=s\n-\n*1\n=g\n=s\n#1x\n.\n.\n", "flags is not a number that fits" },
        { "=n\n=v\n=s\n-\n*1\n=g\n=s\n#99999999999999999999\n.\n.\n", "a number that fits" },
        { "=n\n=v\n=s\n-\n-\n-\n-\n-\n=start\n.\n", "start is never written" },
        { "=n\n=v\n=s\n-\n-\n-\n-\n-\n-\n-\n*99999999\n.\n", "a list is not one of" },
        { "=n\n=v\n=s\n-x\n.\n", "vendor is not a text" },
        { "=n\n=v\n=s\n\n.\n", "cut off" },
        { "=n\n=v\n=s\n.\n.\n", "something follows" },
        { "=n\n=v\n=s\n.\n\n", "something follows" },
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        nt_auto(reading_done) struct reading r =
            read_text(bad[i].text, strlen(bad[i].text), strlen(bad[i].text));
        if (r.result == 0)
            fail_msg("text %zu passed", i);
        if (!strstr(r.error.message, bad[i].why))
            fail_msg("text %zu: %s", i, r.error.message);
    }
    /* A NUL cannot hide what follows. */
    static const char hidden[] = "=n\n=v\n=s\0hidden\n.\n";
    nt_auto(reading_done) struct reading r =
        read_text(hidden, sizeof(hidden) - 1, sizeof(hidden) - 1);
    assert_int_equal(r.result, -1);
}

static void bounds_of_rows_hold(void **state)
{
    (void)state;
    static const struct {
        struct nt_table table;
        const char *text;
    } bad[] = {
        { { NULL, 1, sizeof(struct nt_command) }, "at NULL" },
        { { commands, 1, 0 }, "row stride of 0" },
        { { commands, 1, 144 }, "row stride of 144" },
        { { commands, 1, 153 }, "row stride of 153" },
        { { commands, 1, 8192 }, "row stride of 8192" },
        { { commands, UINT32_MAX, sizeof(struct nt_command) }, "more than" },
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        nt_auto(arena_done) struct arena arena = ARENA(SHAPE_PLUGIN_MAX);
        struct nt_plugin plugin = sample, copy;
        struct nt_error e = NT_ERROR_INIT;
        plugin.commands = bad[i].table;
        assert_int_equal(shape_adopt(&plugin, &arena, &copy, &e), -1);
        assert_int_equal(e.code, NT_E_PLUGIN_ABI);
        if (!strstr(e.message, bad[i].text))
            fail_msg("%s", e.message);
    }
    static const struct {
        uint32_t size, abi;
    } heads[] = { { 0, 1 }, { 104, 1 }, { 113, 1 }, { 1u << 20, 1 }, { 112, 0 }, { 112, 2 } };
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        nt_auto(arena_done) struct arena arena = ARENA(SHAPE_PLUGIN_MAX);
        struct nt_plugin plugin = sample, copy;
        struct nt_error e = NT_ERROR_INIT;
        plugin.size = heads[i].size;
        plugin.abi = heads[i].abi;
        assert_int_equal(shape_adopt(&plugin, &arena, &copy, &e), -1);
        assert_int_equal(e.code, NT_E_PLUGIN_ABI);
    }
}

static void texts_are_bounded_and_clean(void **state)
{
    (void)state;
    static char long_text[2000];
    memset(long_text, 'x', sizeof(long_text) - 1);
    static const char *const bad[] = { "",         "a\033[2J",     "two\nlines",       "\xff",
                                       "\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\xe2\x82",
                                       "\xc2\x9b", "\x7f",         long_text };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        nt_auto(arena_done) struct arena arena = ARENA(SHAPE_PLUGIN_MAX);
        struct nt_plugin plugin = sample, copy;
        struct nt_error e = NT_ERROR_INIT;
        plugin.summary = bad[i];
        if (shape_adopt(&plugin, &arena, &copy, &e) == 0)
            fail_msg("text %zu passed", i);
    }
    nt_auto(arena_done) struct arena small = ARENA(300);
    struct nt_plugin copy;
    struct nt_error e = NT_ERROR_INIT;
    assert_int_equal(shape_adopt(&sample, &small, &copy, &e), -1);
    assert_int_equal(e.code, NT_E_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_and_a_manifest_say_the_same),
        cmocka_unit_test(no_difference_is_missed),
        cmocka_unit_test(no_text_that_is_cut_off_passes),
        cmocka_unit_test(names_and_a_command_are_read_apart),
        cmocka_unit_test(rows_of_wrong_length_are_refused),
        cmocka_unit_test(members_of_a_newer_one_are_passed_over),
        cmocka_unit_test(wrong_lines_are_refused),
        cmocka_unit_test(bounds_of_rows_hold),
        cmocka_unit_test(texts_are_bounded_and_clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
