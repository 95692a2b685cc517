/* SPDX-License-Identifier: Apache-2.0 */
/* serve_data_handlers_test.c - the data handlers between a peer and a guest that do what they
 * like. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugins/serve/api/routes.h"
#include "serve_data_stage.h"

#define SB "/v1/sandboxes/{}"
#define BYTES(text) text, sizeof(text) - 1

static int open_stage(void **state)
{
    stage_open();
    return 0;
}

static int close_stage(void **state)
{
    stage_close();
    return 0;
}

static void json(const char *text)
{
    stage.json = json_loads(text, JSON_ALLOW_NUL, NULL);
    assert_non_null(stage.json);
}

static const char *body_text(const char *key)
{
    return json_string_value(json_object_get(stage.body, key));
}

static json_int_t body_number(const char *key)
{
    assert_true(json_is_integer(json_object_get(stage.body, key)));
    return json_integer_value(json_object_get(stage.body, key));
}

static void expect_answer(uint32_t status, const char *code)
{
    assert_int_equal(stage.answers, 1);
    assert_int_equal(stage.status, status);
    if (code)
        assert_string_equal(body_text("code"), code);
}

static void started_and_exit(uint64_t status)
{
    STAGE_FRAME(NT_G_EXIT, { NT_GT_STATUS, status, NULL }, { NT_GT_REASON, NT_GR_EXITED, NULL },
                { NT_GT_SIGNAL, 0, NULL }, { NT_GT_OUT_BYTES, 3, NULL },
                { NT_GT_ERR_BYTES, 0, NULL });
}

/* --- POST exec ----------------------------------------------------------------------------- */

static void exec_collects_output(void **state)
{
    json("{\"command\":\"x\",\"args\":[\"y\"]}");
    stage_call(&exec_routes, "POST", SB "/exec");
    assert_int_equal(stage_op_type(), NT_G_EXEC);
    assert_string_equal(stage_op_texts(NT_GT_ARG), "x|y|");
    assert_int_equal(stage_op_number(NT_GT_TIMEOUT_MS), 30000);
    STAGE_FRAME(NT_G_STARTED, { NT_GT_PID, 7, NULL });
    stage_bytes(NT_G_STDOUT, BYTES("a\xC3"));
    stage_bytes(NT_G_STDERR, BYTES("\xFF"));
    stage_bytes(NT_G_STDOUT, BYTES("\xBC\xE2"));
    assert_false(stage_op_waits());
    started_and_exit(3);
    stage_end(0, 0, 0);
    expect_answer(200, NULL);
    assert_int_equal(body_number("exit_code"), 3);
    assert_int_equal(body_number("pid"), 7);
    assert_string_equal(body_text("stdout"), "aü\xEF\xBF\xBD");
    assert_string_equal(body_text("stderr"), "\xEF\xBF\xBD");
}

static void a_missing_shell_is_replaced(void **state)
{
    json("{\"command\":\"x\",\"shell\":true}");
    stage_call(&exec_routes, "POST", SB "/exec");
    assert_string_equal(stage_op_texts(NT_GT_ARG), "bash|-c|x|");
    stage_end(NT_E_RUNTIME, NT_GE_NOT_STARTED, ENOENT);
    assert_string_equal(stage_op_texts(NT_GT_ARG), "sh|-c|x|");
    stage_end(NT_E_RUNTIME, NT_GE_NOT_STARTED, ENOENT);
    expect_answer(200, NULL);
    assert_int_equal(body_number("exit_code"), 127);
}

static void a_lost_peer_cancels(void **state)
{
    json("{\"command\":\"x\"}");
    stage_call(&exec_routes, "POST", SB "/exec");
    STAGE_FRAME(NT_G_STARTED, { NT_GT_PID, 7, NULL });
    stage.lost(stage.lost_data);
    assert_true(stage_op_cancelled());
    stage_end(0, 0, 0);
    assert_int_equal(stage.answers, 1); /* the exchange lives until it is answered */
}

static void a_background_start_is_not_cancelled(void **state)
{
    json("{\"command\":\"x\",\"background\":true,\"timeout_secs\":30}");
    stage_call(&exec_routes, "POST", SB "/exec");
    assert_int_equal(stage_op_number(NT_GT_TIMEOUT_MS), 0);
    assert_int_equal(stage_op_number(NT_GT_FLAGS), NT_GX_BACKGROUND | NT_GX_STDIN);
    assert_null(stage.lost);
    STAGE_FRAME(NT_G_STARTED, { NT_GT_PID, 7, NULL });
    stage_end(0, 0, 0);
    expect_answer(200, NULL);
    assert_int_equal(json_object_size(stage.body), 1);
    assert_int_equal(body_number("pid"), 7);
}

static void a_guest_that_ignores_the_limit_is_left(void **state)
{
    json("{\"command\":\"x\",\"timeout_secs\":1}");
    stage_call(&exec_routes, "POST", SB "/exec");
    STAGE_FRAME(NT_G_STARTED, { NT_GT_PID, 7, NULL });
    stage_timers();
    assert_true(stage.held_open && stage_op_cancelled());
    stage_end(0, 0, 0);
    expect_answer(200, NULL);
    assert_int_equal(body_number("exit_code"), 124);
}

static void exec_failed_only_before_the_start(void **state)
{
    json("{\"command\":\"x\"}");
    stage_call(&exec_routes, "POST", SB "/exec");
    stage_end(NT_E_CLOSED, 0, 0);
    expect_answer(503, "exec_failed");
    stage_close();
    stage_open();
    json("{\"command\":\"x\"}");
    stage_call(&exec_routes, "POST", SB "/exec");
    STAGE_FRAME(NT_G_STARTED, { NT_GT_PID, 7, NULL });
    stage_bytes(NT_G_STDOUT, BYTES("some"));
    stage_end(NT_E_CLOSED, 0, 0);
    expect_answer(200, NULL); /* it must not be sent again */
    assert_int_equal(body_number("exit_code"), 255);
    assert_string_equal(body_text("stdout"), "some");
}

static void a_malformed_exit_is_not_success(void **state)
{
    json("{\"command\":\"x\"}");
    stage_call(&exec_routes, "POST", SB "/exec");
    STAGE_FRAME(NT_G_STARTED, { NT_GT_PID, 7, NULL });
    STAGE_FRAME(NT_G_EXIT, { NT_GT_STATUS, 0, "abc" });
    assert_true(stage_op_cancelled());
    stage_end(0, 0, 0);
    assert_int_equal(body_number("exit_code"), 255);
}

static void output_is_bounded(void **state)
{
    size_t size = NT_G_FRAME_MAX;
    char *much = malloc(size);
    memset(much, '\xFF', size); /* each byte becomes three */
    json("{\"command\":\"x\"}");
    stage_call(&exec_routes, "POST", SB "/exec");
    STAGE_FRAME(NT_G_STARTED, { NT_GT_PID, 7, NULL });
    for (int i = 0; i < 40; i++)
        stage_bytes(NT_G_STDOUT, much, size);
    assert_false(stage_op_waits());
    started_and_exit(0);
    stage_end(0, 0, 0);
    free(much);
    expect_answer(200, NULL);
    assert_true(json_is_true(json_object_get(stage.body, "stdout_truncated")));
    assert_null(json_object_get(stage.body, "stderr_truncated"));
    size_t length = json_string_length(json_object_get(stage.body, "stdout"));
    assert_true(length >= 16u << 20 && length < 18u << 20);
}

static void a_stopped_workspace_is_a_conflict(void **state)
{
    stage.is_running = false;
    json("{\"command\":\"x\"}");
    stage_call(&exec_routes, "POST", SB "/exec");
    expect_answer(409, "sandbox_not_ready");
}

/* --- processes ----------------------------------------------------------------------------- */

static void logs_grow_and_keep_a_cut_character(void **state)
{
    stage.params[1] = "9";
    stage_call(&process_routes, "GET", SB "/processes/{}/logs");
    assert_int_equal(stage_op_number(NT_GT_PID), 9);
    stage_bytes(NT_G_STDOUT, BYTES("a\xC3"));
    stage_bytes(NT_G_STDERR, BYTES("e"));
    STAGE_FRAME(NT_G_END, { NT_GT_RUNNING, 1, NULL });
    stage_end(0, 0, 0);
    expect_answer(200, NULL);
    assert_string_equal(body_text("stdout"), "a");
    assert_string_equal(body_text("output"), "ae");
    assert_true(json_is_null(json_object_get(stage.body, "exit_code")));
}

static void processes_have_three_keys(void **state)
{
    stage_call(&process_routes, "GET", SB "/processes");
    STAGE_FRAME(NT_G_ENTRY, { NT_GT_PID, 9, NULL }, { NT_GT_COMMAND, 0, "x \xFF" },
                { NT_GT_RUNNING, 1, NULL }, { NT_GT_STATUS, 0, NULL });
    stage_end(0, 0, 0);
    expect_answer(200, NULL);
    assert_int_equal(json_object_size(json_array_get(stage.body, 0)), 3);
}

static void stdin_text_may_hold_anything(void **state)
{
    stage.params[1] = "9";
    json("{\"data\":\"a\\u0000b\"}");
    stage_call(&process_routes, "POST", SB "/processes/{}/stdin");
    assert_int_equal(stage_op_type(), NT_G_FEED);
    assert_memory_equal(stage_op_sent(), "18:a\0b 4: ", 10);
    stage_end(0, 0, 0);
    expect_answer(204, NULL);
}

static void process_ids_are_numbers(void **state)
{
    static const char *const ids[] = { "", "0", "-1", "1x", "99999999999999999999", "2147483648" };
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        stage.answers = 0;
        stage.params[1] = ids[i];
        stage_call(&process_routes, "POST", SB "/processes/{}/kill");
        expect_answer(400, "invalid_request");
    }
}

/* --- files --------------------------------------------------------------------------------- */

static const struct stage_field entry[] = {
    { NT_GT_PATH, 0, "/workspace/f" },
    { NT_GT_MODE, S_IFREG | 0644, NULL },
    { NT_GT_SIZE, 3, NULL },
    { NT_GT_MTIME_NS, 5, NULL },
};

static void file_ok(void)
{
    stage_frame(NT_G_OK, entry, 4);
}

static void a_write_waits_for_room(void **state)
{
    json("{\"path\":\"f\",\"content\":\"AAECAw==\",\"encoding\":\"base64\",\"user\":null}");
    stage_call(&files_routes, "POST", SB "/files/write");
    assert_string_equal(stage_op_sent(), "");
    stage_op_full(true);
    file_ok();
    assert_memory_equal(stage_op_sent(), "6:\0\1\2\3 ", 8);
    assert_null(strstr(stage_op_sent() + 7, "4:")); /* the end waits */
    stage_sent();
    assert_string_equal(stage_op_sent() + 7, "4: ");
    file_ok();
    stage_end(0, 0, 0);
    expect_answer(200, NULL);
    assert_string_equal(body_text("name"), "f");
    assert_int_equal(json_object_size(stage.body), 11);
}

static void read_refuses_what_is_not_text(void **state)
{
    json("{\"path\":\"f\",\"encoding\":\"utf8\",\"user\":\"agent\"}");
    stage_call(&files_routes, "POST", SB "/files/read");
    file_ok();
    stage_bytes(NT_G_DATA, BYTES("a\xFF"));
    STAGE_FRAME(NT_G_END, { NT_GT_OUT_BYTES, 2, NULL });
    stage_end(0, 0, 0);
    expect_answer(400, "file_error");
}

static void read_is_bounded_by_what_comes(void **state)
{
    static char much[NT_G_FRAME_MAX];
    memset(much, 'x', sizeof(much));
    json("{\"path\":\"f\"}");
    stage_call(&files_routes, "POST", SB "/files/read");
    file_ok(); /* says 3 bytes */
    for (int i = 0; i < 33 && !stage_op_cancelled(); i++)
        stage_bytes(NT_G_DATA, much, sizeof(much));
    assert_true(stage_op_cancelled());
    stage_end(0, 0, 0);
    expect_answer(400, "file_error");
}

static void wrong_file_requests(void **state)
{
    static const char *const bodies[] = { "{}",
                                          "{\"path\":\"\"}",
                                          "{\"path\":\"a\\u0000\"}",
                                          "{\"path\":1}",
                                          "[]",
                                          "{\"path\":\"a\",\"user\":\"root\"}",
                                          "{\"path\":\"a\",\"encoding\":\"latin1\"}" };
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        stage.answers = 0;
        json_decref(stage.json);
        json(bodies[i]);
        stage_call(&files_routes, "POST", SB "/files/read");
        expect_answer(400, "invalid_request");
    }
    json_decref(stage.json);
    json("{\"path\":\"a\",\"content\":\"*\",\"encoding\":\"base64\"}");
    stage.answers = 0;
    stage_call(&files_routes, "POST", SB "/files/write");
    expect_answer(400, "invalid_request");
}

static void exists_is_an_answer_not_an_error(void **state)
{
    json("{\"path\":\"f/x\"}");
    stage_call(&files_routes, "POST", SB "/files/exists");
    stage_end(NT_E_SYSTEM, NT_GE_SYSTEM, ENOTDIR);
    expect_answer(200, NULL);
    assert_true(json_is_false(json_object_get(stage.body, "exists")));
}

/* --- raw files ----------------------------------------------------------------------------- */

static void upload(const char *body, size_t size)
{
    stage.req_events.body(stage.req_data, NULL, (struct nt_bytes){ body, size });
}

static void done(void)
{
    stage.req_events.done(stage.req_data, NULL, NULL);
}

static void an_upload_keeps_to_its_window(void **state)
{
    stage.query_path = "/workspace/f";
    stage_call(&file_routes, "PUT", SB "/file");
    assert_int_equal(stage.granted, 0); /* nothing before the guest can take it */
    file_ok();
    uint64_t window = stage.granted;
    assert_true(window > 0);
    upload(BYTES("abc"));
    assert_int_equal(stage.granted, window + 3);
    stage_op_full(true);
    upload(BYTES("def"));
    assert_int_equal(stage.granted, window + 3);
    stage_sent();
    assert_int_equal(stage.granted, window + 6);
    stage.req_events.body_end(stage.req_data, NULL);
    assert_string_equal(stage_op_sent(), "6:abc 6:def 4: ");
    file_ok();
    assert_int_equal(stage.raw_status, 204);
    stage_end(0, 0, 0);
    done();
}

static void an_upload_cut_short_is_cancelled(void **state)
{
    stage.query_path = "/workspace/f";
    stage_call(&file_routes, "PUT", SB "/file");
    file_ok();
    upload(BYTES("abc"));
    done(); /* without body_end */
    assert_true(stage_op_cancelled());
    assert_null(strstr(stage_op_sent(), "4:"));
    stage_end(0, 0, 0);
    assert_int_equal(stage.raw_status, 0);
}

static void an_upload_that_fails_says_why(void **state)
{
    stage.query_path = "/workspace/f";
    stage.wide = true;
    stage_call(&file_routes, "PUT", SB "/file");
    file_ok();
    upload(BYTES("abc"));
    stage_end(NT_E_SYSTEM, NT_GE_SYSTEM, ENOSPC);
    assert_int_equal(stage.raw_status, 400);
    assert_non_null(strstr(nt_buf_text(&stage.raw), "file_error"));
    upload(BYTES("more")); /* what was on its way */
    stage.req_events.body_end(stage.req_data, NULL);
    done();
}

static void an_empty_upload(void **state)
{
    stage.query_path = "/workspace/f";
    stage.wide = true;
    stage.length = 0;
    stage_call(&file_routes, "PUT", SB "/file");
    file_ok();
    assert_string_equal(stage_op_sent(), "4: ");
    file_ok();
    stage_end(0, 0, 0);
    assert_int_equal(stage.raw_status, 200);
    assert_non_null(strstr(nt_buf_text(&stage.raw), "\"bytes\":3"));
    done();
}

static void a_download_lends_one_piece_at_a_time(void **state)
{
    stage.query_path = "/workspace/f";
    stage_call(&file_routes, "GET", SB "/file");
    file_ok();
    assert_int_equal(stage.raw_length, 3);
    stage_bytes(NT_G_DATA, BYTES("ab"));
    assert_true(stage_op_waits());
    stage_lent_back();
    assert_false(stage_op_waits());
    stage_bytes(NT_G_DATA, BYTES("cdef")); /* it has grown */
    stage_lent_back();
    stage_bytes(NT_G_DATA, BYTES("gh"));
    assert_false(stage_op_waits());
    stage_end(0, 0, 0);
    assert_true(stage.raw_ended && !stage.raw_aborted);
    assert_string_equal(nt_buf_text(&stage.raw), "abc");
    done();
}

static void a_download_that_becomes_shorter_is_broken(void **state)
{
    stage.query_path = "/workspace/f";
    stage_call(&file_routes, "GET", SB "/file");
    file_ok();
    stage_bytes(NT_G_DATA, BYTES("ab"));
    stage_lent_back();
    stage_end(0, 0, 0);
    assert_true(stage.raw_aborted);
    done();
}

static void lent_bytes_stay_when_the_peer_leaves(void **state)
{
    stage.query_path = "/workspace/f";
    stage_call(&file_routes, "GET", SB "/file");
    file_ok();
    stage_bytes(NT_G_DATA, BYTES("ab"));
    done();
    assert_false(stage_op_cancelled());
    stage_lent_back();
    assert_true(stage_op_cancelled());
    stage_end(0, 0, 0);
}

static void a_head_has_no_body(void **state)
{
    stage.query_path = "/workspace/f";
    stage_call(&file_routes, "HEAD", SB "/file");
    assert_int_equal(stage_op_type(), NT_G_READ);
    file_ok();
    stage_end(0, 0, 0);
    assert_int_equal(stage.raw_length, 3);
    assert_true(stage.raw_ended && !stage.raw_aborted && stage.raw.size == 0);
    done();
}

/* --- narrow exec --------------------------------------------------------------------------- */

static void open_ws(void)
{
    stage.query_channel = "exec";
    stage_call(&exec_ws_routes, "GET", SB "/ws");
    assert_int_equal(stage.raw_status, 101);
}

static void exec_start_is_start_and_attach(void **state)
{
    open_ws();
    stage_message(BYTES("{\"type\":\"exec_start\",\"id\":\"e\",\"comm"), true, false);
    stage_message(BYTES("and\":\"x\",\"args\":[\"\\udc80\"],\"timeout_secs\":30}"), true, true);
    assert_int_equal(stage_op_type(), NT_G_EXEC);
    assert_string_equal(stage_op_texts(NT_GT_ARG), "x|\xEF\xBF\xBD|");
    assert_int_equal(stage_op_number(NT_GT_TIMEOUT_MS), 0);
    STAGE_FRAME(NT_G_STARTED, { NT_GT_PID, 7, NULL });
    stage_end(0, 0, 0);
    assert_int_equal(stage_op_type(), NT_G_ATTACH);
    assert_int_equal(stage_op_number(NT_GT_PID), 7);
    STAGE_FRAME(NT_G_STARTED, { NT_GT_PID, 7, NULL });
    stage.credit = 0;
    stage_bytes(NT_G_STDOUT, BYTES("\xC3\xBC\xE2"));
    assert_true(stage_op_waits());
    stage.ws_events.writable(stage.ws_data, NULL, 1);
    assert_false(stage_op_waits());
    started_and_exit(3);
    assert_int_equal(stage.ws_close_code, 1000);
    stage_end(0, 0, 0);
    assert_string_equal(
        nt_buf_text(&stage.texts),
        "{\"type\":\"exec_started\",\"id\":\"e\",\"pid\":7}\n"
        "{\"type\":\"exec_stdout\",\"id\":\"e\",\"pid\":7,\"data\":\"ü\"}\n"
        "{\"type\":\"exec_stdout\",\"id\":\"e\",\"pid\":7,\"data\":\"\xEF\xBF\xBD\"}\n"
        "{\"type\":\"exec_exit\",\"id\":\"e\",\"pid\":7,\"exit_code\":3}\n");
    stage_ws_closed();
}

static void leaving_during_the_start_sees_it_through(void **state)
{
    open_ws();
    stage_message(BYTES("{\"type\":\"exec_start\",\"command\":\"x\"}"), true, true);
    stage_ws_closed();
    assert_false(stage_op_cancelled());
    STAGE_FRAME(NT_G_STARTED, { NT_GT_PID, 7, NULL });
    stage_end(0, 0, 0);
    assert_null(stage_op());
}

static void an_unknown_process_is_an_error_message(void **state)
{
    open_ws();
    stage_message(BYTES("{\"type\":\"exec_connect\",\"id\":\"e\",\"pid\":5}"), true, true);
    stage_end(NT_E_NOT_FOUND, NT_GE_NOT_FOUND, 0);
    assert_non_null(strstr(nt_buf_text(&stage.texts), "\"type\":\"error\""));
    assert_int_not_equal(stage.ws_close_code, 0);
    stage_ws_closed();
}

static void a_program_that_is_not_there_ends_with_127(void **state)
{
    open_ws();
    stage_message(BYTES("{\"type\":\"exec_start\",\"command\":\"x\"}"), true, true);
    stage_end(NT_E_RUNTIME, NT_GE_NOT_STARTED, ENOENT);
    assert_non_null(strstr(nt_buf_text(&stage.texts), "\"exit_code\":127"));
    assert_non_null(strstr(nt_buf_text(&stage.texts), "\"type\":\"error\""));
    stage_ws_closed();
}

static void a_silent_peer_is_closed(void **state)
{
    open_ws();
    stage_timers();
    assert_int_equal(stage.ws_close_code, 1008);
    stage_ws_closed();
}

static void other_channels_are_not_there(void **state)
{
    stage.query_channel = "desktop";
    stage_call(&exec_ws_routes, "GET", SB "/ws");
    expect_answer(501, "not_implemented");
}

/* --- watching files ------------------------------------------------------------------------ */

static void open_watch(uint64_t caps)
{
    stage_call(&exec_ws_routes, "GET", SB "/ws");
    assert_int_equal(stage.raw_status, 101);
    stage_message(BYTES("{\"type\":\"file_watch\",\"id\":\"w1\",\"path\":\"/w\"}"), true, true);
    assert_int_equal(stage_op_type(), NT_G_WATCH);
    stage_hello(caps);
    STAGE_FRAME(NT_G_OK, { NT_GT_COUNT, 0, NULL });
}

static void a_watch_of_a_frozen_guest_ends(void **state)
{
    open_watch(NT_GC_SEARCH | NT_GC_BEAT);
    uint64_t beat_ms = stage_op_number(NT_GT_BEAT_MS);
    assert_true(beat_ms > 0 && stage_op_beats_ms() >= 2 * beat_ms);
    assert_true(stage_op_beats_ms() <= 30000);
    STAGE_FRAME(NT_G_BEAT, { NT_GT_COUNT, 0, NULL });
    assert_string_equal(nt_buf_text(&stage.texts),
                        "{\"type\":\"file_watch_started\",\"id\":\"w1\"}\n");
    nt_buf_reset(&stage.texts);
    stage_end(NT_E_TIMEOUT, 0, 0);
    assert_string_equal(nt_buf_text(&stage.texts),
                        "{\"type\":\"error\",\"id\":\"w1\",\"message\":\"the guest's reason\","
                        "\"code\":\"timeout\"}\n");
    assert_int_equal(stage.ws_close_code, 1011);
    stage_ws_closed();
}

static void an_old_guest_owes_no_heartbeats(void **state)
{
    open_watch(NT_GC_SEARCH);
    assert_int_equal(stage_op_beats_ms(), 0);
    stage_ws_closed();
    assert_true(stage_op_cancelled());
    stage_end(0, 0, 0);
}

/* --- wide exec ----------------------------------------------------------------------------- */

static void open_wire(const char *first)
{
    stage.wide = true;
    open_ws();
    stage_message(first, strlen(first), true, true);
}

static void wire_passes_bytes_both_ways(void **state)
{
    open_wire("{\"type\":\"exec\",\"argv\":[\"cat\"],\"stdin\":true,\"timeout_ms\":5}");
    assert_int_equal(stage_op_number(NT_GT_FLAGS), NT_GX_STDIN);
    stage_message(BYTES("\0ab"), false, false);
    stage_message(BYTES("cd"), false, true);
    stage_message(BYTES("\0"), false, true);
    stage_message(BYTES("\0e"), false, true);
    stage_message(BYTES("{\"type\":\"signal\",\"signal\":2}"), true, true);
    stage_message(BYTES("{\"type\":\"stdin_end\"}"), true, true);
    stage_message(BYTES("\0late"), false, true);
    stage_message(BYTES("{\"type\":\"kill\"}"), true, true);
    stage_message(BYTES("{\"type\":\"of a newer version\"}"), true, true);
    assert_string_equal(stage_op_sent(), "18:ab 18:cd 18:e 22: 19: 22: ");
    STAGE_FRAME(NT_G_STARTED, { NT_GT_PID, 7, NULL });
    stage_bytes(NT_G_STDOUT, BYTES("o\xFF"));
    assert_true(stage_op_waits());
    stage_lent_back();
    assert_false(stage_op_waits());
    stage_bytes(NT_G_STDERR, BYTES("e"));
    stage_lent_back();
    assert_string_equal(nt_buf_text(&stage.binary), "\1o\xFF\2e");
    started_and_exit(3);
    stage_end(0, 0, 0);
    assert_string_equal(
        nt_buf_text(&stage.texts),
        "{\"type\":\"started\",\"pid\":7}\n{\"type\":\"exit\",\"status\":3,\"reason\":1,"
        "\"signal\":0,\"stdout_bytes\":3,\"stderr_bytes\":0,\"limits_hit\":[]}\n");
    assert_int_equal(stage.ws_close_code, 1000);
    stage_ws_closed();
}

static void leaving_kills_but_not_under_lent_bytes(void **state)
{
    open_wire("{\"type\":\"exec\",\"argv\":[\"yes\"]}");
    stage_bytes(NT_G_STDOUT, BYTES("yyy"));
    stage_ws_closed();
    assert_false(stage_op_cancelled());
    stage_lent_back();
    assert_true(stage_op_cancelled());
    stage_end(0, 0, 0);
}

static void a_program_that_does_not_read_stops_the_client(void **state)
{
    static char piece[65537];
    open_wire("{\"type\":\"exec\",\"argv\":[\"sleep\"],\"stdin\":true}");
    uint64_t before = stage.ws_granted, sent = 0;
    stage_op_full(true);
    while (stage.ws_granted == before + sent && sent < 64u << 20) {
        stage_message(piece, sizeof(piece), false, true);
        sent += sizeof(piece);
    }
    assert_true(sent > 1u << 20 && sent < 8u << 20);
    stage_sent();
    assert_int_equal(stage.ws_granted, before + sent);
    stage_ws_closed();
    stage_end(0, 0, 0);
}

static void violations_end_the_connection(void **state)
{
    static const struct {
        const char *text;
        size_t size;
        bool is_text;
    } rows[] = {
        { BYTES("x"), true },
        { BYTES("[]"), true },
        { BYTES("{\"type\":\"kill\"}"), true },
        { BYTES("\0"), false },
        { BYTES("\1x"), false },
        { BYTES("{\"type\":\"exec\",\"argv\":[1]}"), true },
        { "", 0, false },
        { BYTES("{\"type\":7}"), true },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        stage.wide = true;
        open_ws();
        stage_message(rows[i].text, rows[i].size, rows[i].is_text, true);
        assert_int_not_equal(stage.ws_close_code, 0);
        assert_non_null(strstr(nt_buf_text(&stage.texts), "\"type\":\"error\""));
        stage_message(BYTES("\0x"), false, true); /* what was on its way is dropped */
        stage_ws_closed();
        stage_close();
        stage_open();
    }
}

static void not_started_carries_status_and_errno(void **state)
{
    open_wire("{\"type\":\"exec\",\"argv\":[\"x\"]}");
    stage_end(NT_E_RUNTIME, NT_GE_NOT_STARTED, EACCES);
    assert_string_equal(nt_buf_text(&stage.texts),
                        "{\"type\":\"error\",\"code\":\"not_executable\",\"message\":"
                        "\"the guest's reason\",\"errno\":13,\"status\":126}\n");
    stage_ws_closed();
}

/* --- fd and clone -------------------------------------------------------------------------- */

static void only_a_local_peer_is_handed_over(void **state)
{
    stage.upgrade = "nanoterm-fd/1";
    stage_call(&fd_routes, "GET", SB "/fd");
    expect_answer(403, "forbidden");
    stage.local = true;
    stage.answers = 0;
    stage.upgrade = "websocket";
    stage_call(&fd_routes, "GET", SB "/fd");
    expect_answer(426, NULL);
    stage.answers = 0;
    stage.upgrade = "nanoterm-fd/1";
    stage.upgraded_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    stage_call(&fd_routes, "GET", SB "/fd");
    assert_int_equal(stage.answers, 0);
    assert_int_equal(stage_op_type(), NT_G_ADOPT);
    stage_end(NT_E_CLOSED, 0, 0); /* the guest did not take it */
    assert_int_equal(fcntl(stage.upgraded_fd, F_GETFD), -1);
}

static void a_descriptor_for_nobody_is_closed(void **state)
{
    stage.local = true;
    stage.upgrade = "nanoterm-fd/1";
    stage.is_running = false;
    stage_call(&fd_routes, "GET", SB "/fd");
    expect_answer(409, "sandbox_not_ready");
}

static void a_clone_has_one_rule_until_its_end(void **state)
{
    stage.wide = true;
    json("{\"url\":\"https://example.com/r.git\",\"branch\":\"main\"}");
    stage_call(&clone_routes, "POST", SB "/clone");
    assert_int_equal(stage.rules, 1);
    assert_string_equal(stage_op_texts(NT_GT_ARG),
                        "git|clone|--progress|-b|main|--|https://example.com/r.git|/workspace|");
    STAGE_FRAME(NT_G_STARTED, { NT_GT_PID, 7, NULL });
    stage.credit = 0;
    stage_bytes(NT_G_STDERR, BYTES("50%"));
    assert_true(stage_op_waits());
    stage.req_events.writable(stage.req_data, NULL, 1);
    started_and_exit(0);
    stage_end(0, 0, 0);
    assert_int_equal(stage.forgotten, 1);
    assert_string_equal(nt_buf_text(&stage.raw),
                        "{\"type\":\"output\",\"stream\":\"stderr\",\"data\":\"50%\"}\n"
                        "{\"type\":\"exit\",\"exit_code\":0}\n");
    done();
}

static void a_clone_nobody_waits_for_is_cancelled(void **state)
{
    stage.wide = true;
    json("{\"url\":\"https://example.com/r.git\"}");
    stage_call(&clone_routes, "POST", SB "/clone");
    done();
    assert_true(stage_op_cancelled());
    stage_end(0, 0, 0);
    assert_int_equal(stage.forgotten, 1);
}

static void a_clone_that_cannot_start_opens_nothing(void **state)
{
    stage.wide = true;
    stage.is_running = false;
    json("{\"url\":\"https://example.com/r.git\"}");
    stage_call(&clone_routes, "POST", SB "/clone");
    expect_answer(409, "sandbox_not_ready");
    assert_int_equal(stage.rules, stage.forgotten);
}

#define T(name) cmocka_unit_test_setup_teardown(name, open_stage, close_stage)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(exec_collects_output),
        T(a_missing_shell_is_replaced),
        T(a_lost_peer_cancels),
        T(a_background_start_is_not_cancelled),
        T(a_guest_that_ignores_the_limit_is_left),
        T(exec_failed_only_before_the_start),
        T(a_malformed_exit_is_not_success),
        T(output_is_bounded),
        T(a_stopped_workspace_is_a_conflict),
        T(logs_grow_and_keep_a_cut_character),
        T(processes_have_three_keys),
        T(stdin_text_may_hold_anything),
        T(process_ids_are_numbers),
        T(a_write_waits_for_room),
        T(read_refuses_what_is_not_text),
        T(read_is_bounded_by_what_comes),
        T(wrong_file_requests),
        T(exists_is_an_answer_not_an_error),
        T(an_upload_keeps_to_its_window),
        T(an_upload_cut_short_is_cancelled),
        T(an_upload_that_fails_says_why),
        T(an_empty_upload),
        T(a_download_lends_one_piece_at_a_time),
        T(a_download_that_becomes_shorter_is_broken),
        T(lent_bytes_stay_when_the_peer_leaves),
        T(a_head_has_no_body),
        T(exec_start_is_start_and_attach),
        T(leaving_during_the_start_sees_it_through),
        T(an_unknown_process_is_an_error_message),
        T(a_program_that_is_not_there_ends_with_127),
        T(a_silent_peer_is_closed),
        T(other_channels_are_not_there),
        T(a_watch_of_a_frozen_guest_ends),
        T(an_old_guest_owes_no_heartbeats),
        T(wire_passes_bytes_both_ways),
        T(leaving_kills_but_not_under_lent_bytes),
        T(a_program_that_does_not_read_stops_the_client),
        T(violations_end_the_connection),
        T(not_started_carries_status_and_errno),
        T(only_a_local_peer_is_handed_over),
        T(a_descriptor_for_nobody_is_closed),
        T(a_clone_has_one_rule_until_its_end),
        T(a_clone_nobody_waits_for_is_cancelled),
        T(a_clone_that_cannot_start_opens_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
