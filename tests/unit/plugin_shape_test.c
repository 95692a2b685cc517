/* SPDX-License-Identifier: Apache-2.0 */
/* plugin_shape_test.c - tables copied, written as JSON, read back and compared; every bound of the
 * copy. */
#include "core/plugin/shape.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "sdk/json.h"

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
    nt_auto_json json_t *json = shape_to_json(&copy);
    assert_non_null(json);
    if (shape_from_json(json, &arena, &back, &e) < 0)
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

/* Every member of JSON is one that can differ: change each in turn. */
static unsigned change_each(json_t *value, json_t *root, const struct nt_plugin *original);

static void compare_changed(json_t *root, const struct nt_plugin *original)
{
    nt_auto(arena_done) struct arena arena = ARENA(SHAPE_PLUGIN_MAX);
    struct nt_plugin changed;
    struct nt_error e = NT_ERROR_INIT;
    if (shape_from_json(root, &arena, &changed, &e) == 0)
        assert_false(shape_is_equal(original, &changed));
}

static unsigned change_one(json_t *value, json_t *root, const struct nt_plugin *original)
{
    if (json_is_integer(value)) {
        json_int_t old = json_integer_value(value);
        json_integer_set(value, old ^ 1);
        compare_changed(root, original);
        json_integer_set(value, old);
        return 1;
    }
    if (json_is_string(value)) {
        nt_autofree char *old = strdup(json_string_value(value));
        assert_non_null(old);
        json_string_set(value, "other");
        compare_changed(root, original);
        json_string_set(value, old);
        return 1;
    }
    return change_each(value, root, original);
}

static unsigned change_each(json_t *value, json_t *root, const struct nt_plugin *original)
{
    unsigned count = 0;
    const char *key;
    json_t *child;
    size_t i;
    json_object_foreach(value, key, child) count += change_one(child, root, original);
    json_array_foreach(value, i, child) count += change_one(child, root, original);
    return count;
}

static void no_difference_is_missed(void **state)
{
    (void)state;
    nt_auto_json json_t *json = shape_to_json(&sample);
    assert_non_null(json);
    assert_true(change_each(json, json, &sample) > 45);
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
        cmocka_unit_test(bounds_of_rows_hold),
        cmocka_unit_test(texts_are_bounded_and_clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
