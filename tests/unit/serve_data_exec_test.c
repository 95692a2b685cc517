/* SPDX-License-Identifier: Apache-2.0 */
/* serve_data_exec_test.c - from a client's exec request to the guest's frame, and back from the
 * guest's answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/serve/api/exec_spec.h"
#include "plugins/serve/api/guest_fields.h"
#include "plugins/serve/server.h"
#include "sdk/buf.h"

static struct workspace ws = { .id = "ws_1", .cwd = "/srv" };
static struct principal principal;

/* The frame's texts, one per line with their tags: "8:ls 8:-l 10:/srv ". */
static void texts_of(struct nt_bytes frame, struct nt_buf *ret)
{
    struct nt_g_frame f = { 0 };
    assert_int_equal(nt_g_next(frame.data, frame.size, &f), (int64_t)frame.size);
    assert_int_equal(f.type, NT_G_EXEC);
    struct nt_g_field field;
    for (size_t at = 0; nt_g_each(f.payload, f.size, &at, &field) > 0;) {
        if (field.tag == NT_GT_FLAGS || field.tag == NT_GT_TIMEOUT_MS) {
            int ok = 1;
            nt_buf_addf(ret, "%u=%llu ", field.tag, (unsigned long long)nt_g_number(&field, &ok));
            assert_true(ok);
            continue;
        }
        nt_buf_addf(ret, "%u:", field.tag);
        nt_buf_add_bytes(ret, field.data, field.size);
        nt_buf_add_char(ret, ' ');
    }
}

static void expect_frame(const char *text, bool wide, const char *shell, const char *frame_texts)
{
    struct nt_error error = NT_ERROR_INIT;
    struct exec_spec spec;
    struct nt_bytes frame;
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    assert_int_equal((wide ? exec_spec_read_wide : exec_spec_read)(json, &spec, &error), 0);
    assert_int_equal(exec_spec_frame(&spec, NULL, &ws, &principal, shell, 3, &frame, &error), 0);
    struct nt_buf out = NT_BUF(4096);
    texts_of(frame, &out);
    assert_string_equal(nt_buf_text(&out), frame_texts);
    nt_buf_done(&out);
    free((void *)(uintptr_t)frame.data);
    json_decref(json);
}

static void arguments_stay_arguments(void **state)
{
    expect_frame("{\"command\":\"ls -l\",\"args\":[\"a "
                 "b\",\"\",\"$x\"],\"timeout_secs\":1.5,\"background\":false}",
                 false, "bash", "8:ls -l 8:a b 8: 8:$x 10:/srv 11=3 12=1500 ");
    expect_frame("{\"command\":\"a | b\",\"shell\":true,\"timeout_secs\":0}", false, "bash",
                 "8:bash 8:-c 8:a | b 10:/srv 11=3 ");
    expect_frame("{\"command\":\"echo $1\",\"shell\":true,\"args\":[\"x\"],\"timeout_secs\":0}",
                 false, "sh", "8:sh 8:-c 8:echo $1 8:sh 8:x 10:/srv 11=3 ");
    expect_frame(
        "{\"command\":\"c\",\"cwd\":\"/t\",\"envs\":{\"A\":\"1=2\"},\"args\":null,\"shell\":null}",
        false, "bash", "8:c 9:A=1=2 10:/t 11=3 12=30000 ");
    expect_frame("{\"type\":\"exec\",\"argv\":[\"c\",\"d\"],\"env\":{\"B\":\"\"},\"timeout_ms\":7}",
                 true, NULL, "8:c 8:d 9:B= 10:/srv 11=3 12=7 ");
}

static void wrong_requests_are_refused(void **state)
{
    static const char *const bodies[] = {
        "[]",
        "{}",
        "{\"command\":\"\"}",
        "{\"command\":7}",
        "{\"command\":\"a\\u0000b\"}",
        "{\"command\":\"a\",\"args\":\"b\"}",
        "{\"command\":\"a\",\"args\":[1]}",
        "{\"command\":\"a\",\"args\":[\"\\u0000\"]}",
        "{\"command\":\"a\",\"cwd\":1}",
        "{\"command\":\"a\",\"envs\":[]}",
        "{\"command\":\"a\",\"envs\":{\"\":\"x\"}}",
        "{\"command\":\"a\",\"envs\":{\"A=B\":\"x\"}}",
        "{\"command\":\"a\",\"envs\":{\"A\":1}}",
        "{\"command\":\"a\",\"envs\":{\"A\":\"\\u0000\"}}",
        "{\"command\":\"a\",\"shell\":\"yes\"}",
        "{\"command\":\"a\",\"background\":1}",
        "{\"command\":\"a\",\"timeout_secs\":-1}",
        "{\"command\":\"a\",\"timeout_secs\":\"3\"}",
        "{\"command\":\"a\",\"timeout_secs\":1e300}",
    };
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct nt_error error = NT_ERROR_INIT;
        struct exec_spec spec;
        json_t *json = json_loads(bodies[i], JSON_ALLOW_NUL, NULL);
        assert_non_null(json);
        if (exec_spec_read(json, &spec, &error) == 0)
            fail_msg("accepted: %s", bodies[i]);
        assert_int_equal(error.code, NT_E_INVALID);
        json_decref(json);
    }
    struct nt_error error = NT_ERROR_INIT;
    struct exec_spec spec;
    assert_int_equal(exec_spec_read(NULL, &spec, &error), -1);
    assert_int_equal(exec_spec_read_wide(NULL, &spec, &error), -1);
    json_t *json = json_loads("{\"argv\":[]}", 0, NULL);
    assert_int_equal(exec_spec_read_wide(json, &spec, &error), -1);
    json_decref(json);
}

static void words_that_are_not_utf8_come_as_latin1(void **state)
{
    (void)state;
    expect_frame("{\"argv_latin1\":[\"ls\",\"a\\u00ff\\u0080\\u00c3b\",\"\"]}", true, NULL,
                 "8:ls 8:a\xff\x80\xc3"
                 "b 8: 10:/srv 11=3 ");
    struct nt_error error = NT_ERROR_INIT;
    struct exec_spec spec;
    json_t *json = json_loads("{\"argv_latin1\":[\"\\u0100\"]}", 0, NULL);
    assert_int_equal(exec_spec_read_wide(json, &spec, &error), -1);
    assert_int_equal(error.code, NT_E_INVALID);
    json_decref(json);
}

static void a_frame_too_long_is_an_error(void **state)
{
    struct nt_error error = NT_ERROR_INIT;
    struct nt_bytes frame;
    char *text = calloc(1, 300000);
    memset(text, 'x', 299999);
    json_t *json = json_pack("{s:s}", "command", text);
    struct exec_spec spec;
    assert_int_equal(exec_spec_read(json, &spec, &error), 0);
    assert_int_equal(exec_spec_frame(&spec, NULL, &ws, &principal, NULL, 0, &frame, &error), -1);
    assert_int_equal(error.code, NT_E_INVALID);
    json_decref(json);
    free(text);
}

static void the_next_shell_only_when_one_is_missing(void **state)
{
    struct exec_spec spec = { .shell = true };
    struct nt_error error = { .size = sizeof(error), .attempt = NT_GE_NOT_STARTED, .sys = ENOENT };
    assert_true(exec_shell_is_missing(&spec, &error));
    error.sys = EACCES;
    assert_false(exec_shell_is_missing(&spec, &error));
    spec.shell = false;
    error.sys = ENOENT;
    assert_false(exec_shell_is_missing(&spec, &error));
    assert_false(exec_shell_is_missing(&spec, NULL));
    assert_null(exec_shell(2));
}

static void exit_codes_are_what_a_shell_says(void **state)
{
    static const struct {
        uint64_t reason, status, signal;
        int code;
    } rows[] = {
        { NT_GR_EXITED, 0, 0, 0 },        { NT_GR_EXITED, 255, 0, 255 },
        { NT_GR_SIGNALED, 0, 15, 143 },   { NT_GR_TIMEOUT, 0, 9, 124 },
        { NT_GR_KILLED, 0, 9, 137 },      { NT_GR_MEMORY, 0, 0, 137 },
        { NT_GR_LOST, 0, 0, 255 },        { 99, 0, 0, 255 },
        { NT_GR_SIGNALED, 0, 1000, 137 },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct guest_fields f = { .reason = rows[i].reason,
                                  .status = rows[i].status,
                                  .signal = rows[i].signal };
        assert_int_equal(guest_exit_code(&f), rows[i].code);
    }
}

static void malformed_frames_are_refused(void **state)
{
    struct nt_error error = NT_ERROR_INIT;
    struct guest_fields f;
    uint8_t memory[64];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_STARTED);
    nt_g_add(&w, NT_GT_PID, "123", 3); /* not a number of 8 bytes */
    size_t size = nt_g_done(&w);
    struct nt_g_frame frame;
    assert_int_equal(nt_g_next(memory, size, &frame), (int64_t)size);
    assert_int_equal(guest_fields_read(&frame, &f, &error), -1);
    frame.size = 4; /* a field cut short */
    assert_int_equal(guest_fields_read(&frame, &f, &error), -1);
    frame.size = 0;
    assert_int_equal(guest_fields_read(&frame, &f, &error), 0);
    assert_false(guest_fields_has(&f, NT_GT_PID));
}

static void errors_get_their_codes(void **state)
{
    struct nt_error e = {
        .size = sizeof(e), .code = NT_E_NOT_FOUND, .attempt = NT_GE_NOT_FOUND, .sys = ENOENT
    };
    assert_string_equal(guest_failure_of(&e, GUEST_FILE).code, "file_not_found");
    assert_string_equal(guest_failure_of(&e, GUEST_PROCESS).code, "process_not_found");
    e.attempt = NT_GE_SYSTEM;
    e.sys = EISDIR;
    assert_string_equal(guest_failure_of(&e, GUEST_FILE).code, "file_error");
    e = (struct nt_error){ .size = sizeof(e), .code = NT_E_CONFLICT };
    assert_string_equal(guest_failure_of(&e, GUEST_FILE).code, "sandbox_not_ready");
    assert_int_equal(guest_failure_of(&e, GUEST_EXEC).status, 409);
    e = (struct nt_error){
        .size = sizeof(e), .code = NT_E_RUNTIME, .attempt = NT_GE_NOT_STARTED, .sys = EACCES
    };
    assert_int_equal(guest_not_started_status(&e), 126);
    /* clients would send it again */
    assert_string_not_equal(guest_failure_of(&e, GUEST_EXEC).code, "exec_failed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments_stay_arguments),
        cmocka_unit_test(wrong_requests_are_refused),
        cmocka_unit_test(words_that_are_not_utf8_come_as_latin1),
        cmocka_unit_test(a_frame_too_long_is_an_error),
        cmocka_unit_test(the_next_shell_only_when_one_is_missing),
        cmocka_unit_test(exit_codes_are_what_a_shell_says),
        cmocka_unit_test(malformed_frames_are_refused),
        cmocka_unit_test(errors_get_their_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
