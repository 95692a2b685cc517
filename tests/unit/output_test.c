/* SPDX-License-Identifier: Apache-2.0 */
/* output_test.c - rows as tables, lines and JSON; messages; a full disk; nobody to ask. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli_table.h"
#include "core/output/output.h"
#include "core/output/progress.h"
#include "core/output/prompt.h"
#include "core/output/width.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

/* An output whose two descriptors are files in memory. */
struct catcher {
    struct output *output;
    int out, err;
    char text[8192];
};

static void catch_begin(struct catcher *c, const struct nt_command *command, uint32_t flags,
                        const char *fields)
{
    struct nt_error e = NT_ERROR_INIT;
    *c = (struct catcher){ .out = memfd_create("out", MFD_CLOEXEC),
                           .err = memfd_create("err", MFD_CLOEXEC) };
    assert_true(c->out >= 0 && c->err >= 0);
    struct output_options options = { c->out, c->err, flags, NULL };
    assert_int_equal(output_new(&options, &c->output, &e), 0);
    if (command)
        assert_int_equal(output_begin(c->output, command, fields, &e), 0);
}

static const char *read_fd(struct catcher *c, int fd)
{
    ssize_t size = pread(fd, c->text, sizeof(c->text) - 1, 0);
    assert_true(size >= 0);
    c->text[size] = '\0';
    return c->text;
}

static void catch_end(struct catcher *c)
{
    output_free(c->output);
    close(c->out);
    close(c->err);
}

static void emit(struct catcher *c, const char *json)
{
    struct nt_error e = NT_ERROR_INIT;
    if (output_emit_json(c->output, (struct nt_bytes){ json, strlen(json) }, &e) < 0)
        fail_msg("%s", e.message);
}

static void finish(struct catcher *c)
{
    struct nt_error e = NT_ERROR_INIT;
    assert_int_equal(output_finish(c->output, &e), 0);
}

static const char two_rows[] =
    "[{\"id\":\"ws_a1b2c3d4\",\"name\":\"my-agent\",\"state\":{\"word\":\"running\"},\"size\":1536}"
    ","
    "{\"id\":\"ws_2\",\"name\":\"\\u4e2d\\u6587\",\"tags\":[\"a\",\"b\"],\"other\":1}]";

static void a_list_is_a_table_with_aligned_columns(void **state)
{
    (void)state;
    struct catcher c;
    catch_begin(&c, &list_command, 0, NULL);
    emit(&c, two_rows);
    assert_string_equal(read_fd(&c, c.out), ""); /* not before the command has succeeded */
    finish(&c);
    assert_string_equal(read_fd(&c, c.out), "ID           NAME      STATUS   SIZE\n"
                                            "ws_a1b2c3d4  my-agent  running  1.5K\n"
                                            "ws_2         中文      -        -\n");
    catch_end(&c);
    catch_begin(&c, &list_command, NT_CALL_COLOR, NULL);
    finish(&c);
    assert_string_equal(read_fd(&c, c.out), "\033[1mID  NAME  STATUS  SIZE\033[0m\n");
    catch_end(&c);
    catch_begin(&c, &list_command, NT_CALL_COLOR, NULL);
    output_set_color(c.output, false);
    finish(&c);
    assert_string_equal(read_fd(&c, c.out), "ID  NAME  STATUS  SIZE\n");
    catch_end(&c);
}

static void a_list_is_one_json_array(void **state)
{
    (void)state;
    struct catcher c;
    catch_begin(&c, &list_command, NT_CALL_JSON, NULL);
    emit(&c, two_rows);
    emit(&c, "{\"id\":\"ws_3\"}");
    finish(&c);
    assert_string_equal(
        read_fd(&c, c.out),
        "[{\"id\":\"ws_a1b2c3d4\",\"name\":\"my-agent\",\"status\":\"running\",\"size\":1536,"
        "\"tags\":null},"
        "{\"id\":\"ws_2\",\"name\":\"中文\",\"status\":null,\"size\":null,\"tags\":[\"a\",\"b\"]},"
        "{\"id\":\"ws_3\",\"name\":null,\"status\":null,\"size\":null,\"tags\":null}]\n");
    catch_end(&c);
    catch_begin(&c, &list_command, NT_CALL_JSON, NULL);
    finish(&c);
    assert_string_equal(read_fd(&c, c.out), "[]\n");
    catch_end(&c);
}

static void fields_pick_and_order(void **state)
{
    (void)state;
    struct catcher c;
    catch_begin(&c, &list_command, 0, "tags,id");
    emit(&c, two_rows);
    finish(&c);
    assert_string_equal(read_fd(&c, c.out), "TAGS  ID\n-     ws_a1b2c3d4\na,b   ws_2\n");
    catch_end(&c);
    catch_begin(&c, &list_command, NT_CALL_JSON, "status");
    emit(&c, two_rows);
    finish(&c);
    assert_string_equal(read_fd(&c, c.out), "[{\"status\":\"running\"},{\"status\":null}]\n");
    catch_end(&c);

    static const struct {
        const char *fields, *part;
    } wrong[] = { { "id,nope", "no column 'nope'; known: id, name, status, size, tags" },
                  { "", "no column ''" },
                  { "id,", "no column ''" },
                  { "id,id", "'id' is named twice" } };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct nt_error e = NT_ERROR_INIT;
        catch_begin(&c, NULL, 0, NULL);
        assert_int_equal(output_begin(c.output, &list_command, wrong[i].fields, &e), -1);
        assert_int_equal(e.code, NT_E_USAGE);
        assert_non_null(strstr(e.message, wrong[i].part));
        catch_end(&c);
    }
    struct nt_error e = NT_ERROR_INIT;
    catch_begin(&c, NULL, 0, NULL);
    assert_int_equal(output_begin(c.output, &exec_command, "id", &e), -1);
    assert_int_equal(e.code, NT_E_USAGE);
    catch_end(&c);
}

static void one_result_is_lines_or_one_object(void **state)
{
    (void)state;
    const struct nt_value values[] = { { .type = NT_TEXT, .text = "ws_1" },
                                       { .type = NT_TEXT, .is_null = 1 },
                                       { .type = NT_BOOL, .number = 1 },
                                       { .type = NT_INT, .number = -5 } };
    struct nt_error e = NT_ERROR_INIT;
    struct catcher c;
    catch_begin(&c, &create_command, 0, NULL);
    assert_int_equal(output_emit(c.output, values, 4, &e), 0);
    finish(&c);
    assert_string_equal(read_fd(&c, c.out), "id: ws_1\nname: -\nstatus: yes\nsize: -5\n");
    /* a second one breaks the promise of the table */
    assert_int_equal(output_emit(c.output, values, 4, &e), -1);
    assert_int_equal(e.code, NT_E_INTERNAL);
    catch_end(&c);

    catch_begin(&c, &create_command, NT_CALL_JSON, NULL);
    assert_int_equal(output_emit(c.output, values, 4, &e), 0);
    assert_string_equal(
        read_fd(&c, c.out),
        "{\"id\":\"ws_1\",\"name\":null,\"status\":true,\"size\":-5,\"tags\":null}\n");
    catch_end(&c);

    catch_begin(&c, &create_command, NT_CALL_JSON, NULL);
    assert_int_equal(output_emit(c.output, values, 99, &e), -1);
    assert_int_equal(e.code, NT_E_INTERNAL);
    catch_end(&c);
    catch_begin(&c, &exec_command, NT_CALL_JSON, NULL);
    assert_int_equal(output_emit(c.output, values, 0, &e), -1);
    catch_end(&c);
}

static void a_stream_is_written_as_it_comes(void **state)
{
    (void)state;
    struct nt_command stream = list_command;
    stream.result = NT_RESULT_STREAM;
    struct catcher c;
    catch_begin(&c, &stream, NT_CALL_JSON, "id");
    emit(&c, "{\"id\":\"a\"}");
    assert_string_equal(read_fd(&c, c.out), "{\"id\":\"a\"}\n");
    emit(&c, "{\"id\":\"b\"}");
    finish(&c);
    assert_string_equal(read_fd(&c, c.out), "{\"id\":\"a\"}\n{\"id\":\"b\"}\n");
    catch_end(&c);
    catch_begin(&c, &stream, 0, "id,name");
    emit(&c, "{\"id\":\"long-one\",\"name\":\"x\"}");
    assert_string_equal(read_fd(&c, c.out), "ID        NAME\nlong-one  x\n");
    emit(&c, "{\"id\":\"b\",\"name\":\"y\"}");
    assert_string_equal(read_fd(&c, c.out), "ID        NAME\nlong-one  x\nb         y\n");
    catch_end(&c);
}

static void foreign_text_moves_no_cursor(void **state)
{
    (void)state;
    struct catcher c;
    catch_begin(&c, &list_command, 0, "id,name");
    emit(&c, "{\"id\":\"a\\u001b]0;x\\u0007\",\"name\":\"l1\\nID  forged\\u009b1m\\r\\u007f\"}");
    finish(&c);
    const char *text = read_fd(&c, c.out);
    assert_null(strchr(text, 0x1b));
    assert_null(strchr(text, 0x07));
    assert_null(strchr(text, '\r'));
    assert_null(strchr(text, 0x7f));
    assert_null(strstr(text, "\xc2\x9b"));
    assert_non_null(strstr(text, "a\\x1b]0;x\\x07"));
    unsigned lines = 0;
    for (; *text; text++)
        lines += *text == '\n';
    assert_int_equal(lines, 2);
    catch_end(&c);

    /* JSON on a terminal is ASCII: a C1 control character is legal in JSON text. */
    catch_begin(&c, &create_command, NT_CALL_JSON | NT_CALL_STDOUT_TTY, "id");
    emit(&c, "{\"id\":\"\\u009b1m\xc3\xa4\"}");
    assert_string_equal(read_fd(&c, c.out), "{\"id\":\"\\u009B1m\\u00E4\"}\n");
    catch_end(&c);

    const struct nt_value broken = { .type = NT_TEXT, .text = "\xff\xfe\xc3" };
    struct nt_error e = NT_ERROR_INIT;
    catch_begin(&c, &create_command, NT_CALL_JSON, "id");
    assert_int_equal(output_emit(c.output, &broken, 1, &e), 0);
    assert_string_equal(read_fd(&c, c.out), "{\"id\":\"\\\\xff\\\\xfe\\\\xc3\"}\n");
    catch_end(&c);
}

static void an_answer_that_is_no_object_is_an_error(void **state)
{
    (void)state;
    static const char *const texts[] = { "",    "nonsense", "{\"id\":",       "\"text\"",
                                         "[1]", "12",       "{\"id\":\"a\"}x" };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct nt_error e = NT_ERROR_INIT;
        struct catcher c;
        catch_begin(&c, &list_command, NT_CALL_JSON, NULL);
        assert_int_equal(
            output_emit_json(c.output, (struct nt_bytes){ texts[i], strlen(texts[i]) }, &e), -1);
        assert_int_equal(e.code, NT_E_RESPONSE);
        assert_string_equal(read_fd(&c, c.out), "");
        catch_end(&c);
    }
}

static void messages_go_to_stderr_and_obey_the_flags(void **state)
{
    (void)state;
    struct catcher c;
    catch_begin(&c, NULL, 0, NULL);
    output_message(c.output, NT_SAY_DONE, "Workspace removed");
    output_message(c.output, NT_SAY_NOTE, "a \x1b[2J note");
    output_message(c.output, NT_SAY_WARN, "careful");
    assert_string_equal(read_fd(&c, c.err),
                        "✓ Workspace removed\na \\x1b[2J note\nnanoterm: warning: careful\n");
    assert_string_equal(read_fd(&c, c.out), "");
    catch_end(&c);
    catch_begin(&c, NULL, NT_CALL_QUIET, NULL);
    output_message(c.output, NT_SAY_DONE, "x");
    output_message(c.output, NT_SAY_NOTE, "x");
    output_message(c.output, NT_SAY_WARN, "w");
    assert_string_equal(read_fd(&c, c.err), "nanoterm: warning: w\n");
    catch_end(&c);
    catch_begin(&c, NULL, NT_CALL_JSON, NULL);
    output_message(c.output, NT_SAY_DONE, "x");
    output_message(c.output, NT_SAY_WARN, "w \"q\"");
    assert_string_equal(read_fd(&c, c.err),
                        "{\"level\":\"warning\",\"message\":\"w \\\"q\\\"\"}\n");
    catch_end(&c);
}

static void progress_is_for_a_terminal_only(void **state)
{
    (void)state;
    struct catcher c;
    catch_begin(&c, NULL, 0, NULL);
    output_progress(c.output, "copy", 1, 2);
    assert_string_equal(read_fd(&c, c.err), "");
    catch_end(&c);
    catch_begin(&c, NULL, NT_CALL_STDERR_TTY, NULL);
    output_progress(c.output, "copy", 1, 2);
    output_message(c.output, NT_SAY_NOTE, "n");
    assert_string_equal(read_fd(&c, c.err), "\rcopy  50%\033[K\r\033[Kn\n");
    catch_end(&c);
}

static void progress_is_drawn_ten_times_a_second(void **state)
{
    (void)state;
    nt_auto(nt_buf_done) struct nt_buf b = NT_BUF(4096);
    struct progress p = { .is_shown = false };
    assert_true(progress_step(&p, "x", 1, 0, 1000, &b));
    assert_false(progress_step(&p, "x", 2, 0, 1099, &b));
    assert_true(progress_step(&p, "x", 3, 0, 1100, &b));
    assert_true(progress_step(&p, "x", 4, 4, 1101, &b)); /* the end is never too soon */
    assert_false(progress_clear(&p, &b));
}

static void a_full_disk_is_an_error(void **state)
{
    (void)state;
    nt_autoclose int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (full < 0)
        skip();
    struct nt_error e = NT_ERROR_INIT;
    struct output *output;
    struct output_options options = { full, full, NT_CALL_JSON, NULL };
    assert_int_equal(output_new(&options, &output, &e), 0);
    assert_int_equal(output_begin(output, &list_command, NULL, &e), 0);
    assert_int_equal(output_finish(output, &e), -1);
    assert_int_equal(e.code, NT_E_SYSTEM);
    assert_int_equal(e.sys, ENOSPC);
    assert_false(output_is_closed(output));
    output_free(output);
}

static void a_closed_reader_is_noticed(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    close(ends[0]);
    signal(SIGPIPE, SIG_IGN);
    struct nt_error e = NT_ERROR_INIT;
    struct output *output;
    struct output_options options = { ends[1], ends[1], 0, NULL };
    assert_int_equal(output_new(&options, &output, &e), 0);
    assert_int_equal(output_write(output, "x", 1, &e), -1);
    assert_true(output_is_closed(output));
    output_free(output);
    close(ends[1]);
}

static void nobody_is_asked_without_a_terminal(void **state)
{
    (void)state;
    nt_auto(nt_buf_done) struct nt_buf answer = NT_BUF(PROMPT_MAX);
    struct nt_error e = NT_ERROR_INIT;
    assert_int_equal(prompt_ask("API key?", "--key-stdin", false, true, -1, &answer, &e), -1);
    assert_int_equal(e.code, NT_E_USAGE);
    assert_string_equal(e.hint, "give --key-stdin");
    /* A session without a terminal has no /dev/tty even if stdin looked like one. */
    pid_t child = fork();
    if (child == 0) {
        setsid();
        int status = prompt_ask("API key?", "--key-stdin", true, true, -1, &answer, &e);
        _exit(status == -1 && e.code == NT_E_USAGE ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void widths_are_those_of_a_terminal(void **state)
{
    (void)state;
    assert_int_equal(width_of(""), 0);
    assert_int_equal(width_of("abc"), 3);
    assert_int_equal(width_of_bytes("abcd", 3), 3);
    assert_int_equal(width_of_bytes("\xc3\xa4", 1), 1);        /* cut off: a stray byte */
    assert_int_equal(width_of("\xc3\xa4\xc3\xb6"), 2);         /* ä ö */
    assert_int_equal(width_of("e\xcc\x81"), 1);                /* combining acute */
    assert_int_equal(width_of("\xe4\xb8\xad\xe6\x96\x87"), 4); /* Chinese */
    assert_int_equal(width_of("\xf0\x9f\x98\x80"), 2);         /* emoji */
    assert_int_equal(width_of("\xe2\x9c\x93"), 1);             /* check mark */
    assert_int_equal(width_of("a\xe2\x80\x8b"
                              "b"),
                     2);                           /* zero width space */
    assert_int_equal(width_of("\xff\xe4\xb8"), 2); /* stray bytes end in time */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_is_a_table_with_aligned_columns),
        cmocka_unit_test(a_list_is_one_json_array),
        cmocka_unit_test(fields_pick_and_order),
        cmocka_unit_test(one_result_is_lines_or_one_object),
        cmocka_unit_test(a_stream_is_written_as_it_comes),
        cmocka_unit_test(foreign_text_moves_no_cursor),
        cmocka_unit_test(an_answer_that_is_no_object_is_an_error),
        cmocka_unit_test(messages_go_to_stderr_and_obey_the_flags),
        cmocka_unit_test(progress_is_for_a_terminal_only),
        cmocka_unit_test(progress_is_drawn_ten_times_a_second),
        cmocka_unit_test(a_full_disk_is_an_error),
        cmocka_unit_test(a_closed_reader_is_noticed),
        cmocka_unit_test(nobody_is_asked_without_a_terminal),
        cmocka_unit_test(widths_are_those_of_a_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
