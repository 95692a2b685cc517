/* SPDX-License-Identifier: Apache-2.0 */
/* serve_data_text_test.c - bytes of programs and files as JSON: pieces that cut characters, invalid
 * bytes, FileInfo. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/stat.h>

#include "plugins/serve/api/file_json.h"
#include "plugins/serve/api/utf8_text.h"

#define FFFD "\xEF\xBF\xBD"

/* The text of `bytes` when it comes in pieces of `step` bytes. */
static void expect_text(const char *bytes, size_t size, size_t step, const char *text,
                        size_t text_size)
{
    struct utf8_text t = { 0 };
    struct nt_buf out = NT_BUF(4096);
    for (size_t at = 0; at < size; at += step) {
        utf8_text_add(&t, bytes + at, size - at < step ? size - at : step, &out);
        /* whatever is sent so far is whole */
        assert_true(utf8_is_valid(nt_buf_text(&out), out.size));
    }
    utf8_text_end(&t, &out);
    assert_true(nt_buf_ok(&out));
    assert_int_equal(out.size, text_size);
    assert_memory_equal(nt_buf_text(&out), text, text_size);
    nt_buf_done(&out);
}

static void any_split_gives_the_same_text(void **state)
{
    static const struct {
        const char *bytes, *text;
    } rows[] = {
        { "plain", "plain" },
        { "gr\xC3\xBC\xC3\x9F \xE2\x82\xAC \xF0\x9F\x98\x80!",
          "gr\xC3\xBC\xC3\x9F \xE2\x82\xAC \xF0\x9F\x98\x80!" },
        { "a\x80z", "a" FFFD "z" },
        { "\xC0\xAF", FFFD FFFD },                   /* overlong */
        { "\xE0\x80\xAF", FFFD FFFD FFFD },          /* overlong */
        { "\xED\xA0\x80", FFFD FFFD FFFD },          /* surrogate */
        { "\xF4\x90\x80\x80", FFFD FFFD FFFD FFFD }, /* beyond U+10FFFF */
        { "\xF5x", FFFD "x" },
        { "\xE2\x82x", FFFD "x" }, /* cut: one for the maximal subpart */
        { "\xF0\x9F\x98", FFFD },  /* cut by the end */
        { "\xF0\x9F\x98\xF0\x9F\x98\x80", FFFD "\xF0\x9F\x98\x80" },
        { "\xE2\xE2\x82\xAC", FFFD "\xE2\x82\xAC" },
        { "\xC3\xC3\xC3\xA4", FFFD FFFD "\xC3\xA4" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        for (size_t step = 1; step <= strlen(rows[i].bytes); step++)
            expect_text(rows[i].bytes, strlen(rows[i].bytes), step, rows[i].text,
                        strlen(rows[i].text));
    expect_text("a\0b", 3, 1, "a\0b", 3);
}

static void every_byte_pair_becomes_valid_text(void **state)
{
    for (int a = 0; a < 256; a++)
        for (int b = 0; b < 256; b++) {
            uint8_t bytes[4] = { 0xF0, (uint8_t)a, (uint8_t)b, 'x' };
            struct utf8_text t = { 0 };
            struct nt_buf out = NT_BUF(64);
            utf8_text_add(&t, bytes, 2, &out);
            utf8_text_add(&t, bytes + 2, 2, &out);
            utf8_text_end(&t, &out);
            assert_true(nt_buf_ok(&out) && utf8_is_valid(out.data, out.size));
            assert_true(out.size <= UTF8_TEXT_MAX(sizeof(bytes)));
            nt_buf_done(&out);
        }
}

static struct guest_fields entry(const char *path, uint64_t mode)
{
    struct guest_fields f = {
        .size = 5, .mode = mode, .mtime_ns = UINT64_C(1704164645000000007), .uid = 3
    };
    f.path = (struct nt_bytes){ path, strlen(path) };
    f.owner = f.group = (struct nt_bytes){ "agent", 5 };
    f.target = (struct nt_bytes){ "x\xFFy", 3 };
    return f;
}

static const char *text_of(json_t *json, const char *key)
{
    return json_string_value(json_object_get(json, key));
}

static void file_info_has_exactly_its_keys(void **state)
{
    static const char *const keys[] = { "name",  "path",          "is_dir",        "size",
                                        "type",  "mode",          "permissions",   "owner",
                                        "group", "modified_time", "symlink_target" };
    struct guest_fields f = entry("/workspace/a.txt", S_IFREG | 0644);
    json_t *j = file_json(&f, false);
    assert_int_equal(json_object_size(j), sizeof(keys) / sizeof(keys[0]));
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        assert_non_null(json_object_get(j, keys[i]));
    assert_string_equal(text_of(j, "name"), "a.txt");
    assert_string_equal(text_of(j, "type"), "file");
    assert_string_equal(text_of(j, "permissions"), "0644");
    assert_string_equal(text_of(j, "modified_time"), "2024-01-02T03:04:05.000000007Z");
    assert_true(json_is_null(json_object_get(j, "symlink_target")));
    json_decref(j);

    j = file_json(&f, true);
    assert_string_equal(text_of(j, "mtime_ns"), "1704164645000000007");
    assert_int_equal(json_integer_value(json_object_get(j, "uid")), 3);
    json_decref(j);
}

static void types_are_of_the_closed_set(void **state)
{
    static const struct {
        uint64_t mode;
        const char *path, *type, *name;
        int is_dir;
    } rows[] = {
        { S_IFDIR | 0755, "/", "dir", "/", 1 },        { S_IFDIR | 01777, "/a/b/", "dir", "b", 1 },
        { S_IFLNK | 0777, "/a/l", "symlink", "l", 0 }, { S_IFIFO | 0600, "p", "file", "p", 0 },
        { S_IFREG | 04755, "/\xFF", "file", FFFD, 0 }, { S_IFREG, "", "file", "", 0 },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct guest_fields f = entry(rows[i].path, rows[i].mode);
        json_t *j = file_json(&f, false);
        assert_string_equal(text_of(j, "type"), rows[i].type);
        assert_string_equal(text_of(j, "name"), rows[i].name);
        assert_int_equal(json_is_true(json_object_get(j, "is_dir")), rows[i].is_dir);
        if (!strcmp(rows[i].type, "symlink"))
            assert_string_equal(text_of(j, "symlink_target"), "x" FFFD "y");
        json_decref(j);
    }
}

static void times_before_1970_and_after_9999(void **state)
{
    char text[40];
    assert_int_equal(file_json_time((uint64_t)INT64_C(-1), text), 0);
    assert_string_equal(text, "1969-12-31T23:59:59.999999999Z");
    assert_int_equal(file_json_time(INT64_MAX, text), 0); /* 2262 */
    /* 1677: before what struct tm's users expect */
    assert_int_equal(file_json_time((uint64_t)INT64_MIN, text), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_split_gives_the_same_text),
        cmocka_unit_test(every_byte_pair_becomes_valid_text),
        cmocka_unit_test(file_info_has_exactly_its_keys),
        cmocka_unit_test(types_are_of_the_closed_set),
        cmocka_unit_test(times_before_1970_and_after_9999),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
