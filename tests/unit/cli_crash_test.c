/* SPDX-License-Identifier: Apache-2.0 */
/* cli_crash_test.c - a crash is named in one line and still ends the process. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/cli/crash.h"

static int (*volatile deeper)(int depth);

static int recurse(int depth)
{
    volatile char frame[4096];
    frame[0] = (char)depth;
    return deeper(depth + 1) + frame[0];
}

/* Runs what in a child and returns its wait status and the first line that it wrote to stderr. */
static int crash(bool is_json, void (*what)(void), char line[1024])
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
        for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
            signal(faults[i], SIG_DFL); /* the test library has its own */
        dup2(ends[1], 2);
        crash_watch("acme", "/x/acme.so", is_json);
        what();
        _exit(0);
    }
    close(ends[1]);
    size_t size = 0;
    char c;
    while (read(ends[0], &c, 1) == 1)
        if (size < 1023 && !memchr(line, '\n', size))
            line[size++] = c;
    line[size] = '\0';
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void fault(void)
{
    raise(SIGSEGV);
}

static void give_up(void)
{
    abort();
}

static void overflow(void)
{
    deeper = recurse;
    recurse(0);
}

static void leave_early(void)
{
    crash_unwatch();
    raise(SIGUSR1);
}

static void fork_and_fault(void)
{
    pid_t child = fork();
    if (child == 0)
        raise(SIGILL);
    waitpid(child, NULL, 0);
}

static void ended_by(int status, int signo)
{
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), signo);
    assert_false(WCOREDUMP(status));
}

static void a_crash_is_named_and_goes_on(void **state)
{
    (void)state;
    char line[1024];
    ended_by(crash(false, fault, line), SIGSEGV);
    assert_string_equal(line, "nanoterm: the plugin 'acme' (/x/acme.so) crashed: SIGSEGV\n");
    ended_by(crash(false, give_up, line), SIGABRT);
    assert_string_equal(line, "nanoterm: the plugin 'acme' (/x/acme.so) crashed: SIGABRT\n");
}

static void a_stack_that_is_full_is_named_too(void **state)
{
    (void)state;
    char line[1024];
    ended_by(crash(false, overflow, line), SIGSEGV);
    assert_string_equal(line, "nanoterm: the plugin 'acme' (/x/acme.so) crashed: SIGSEGV\n");
}

static void a_program_reads_one_json_line(void **state)
{
    (void)state;
    char line[1024];
    crash(true, fault, line);
    json_t *object = json_loads(line, 0, NULL);
    assert_non_null(object);
    assert_string_equal(json_string_value(json_object_get(object, "code")), "plugin_failed");
    assert_true(json_is_true(json_object_get(object, "request_sent")));
    json_decref(object);
}

static void nothing_is_said_when_the_command_is_over(void **state)
{
    (void)state;
    char line[1024];
    int status = crash(false, leave_early, line);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1);
    assert_string_equal(line, "");
}

static void a_child_of_the_plugin_is_not_the_command(void **state)
{
    (void)state;
    char line[1024];
    int status = crash(false, fork_and_fault, line);
    assert_int_equal(status, 0);
    assert_null(strstr(line, "acme"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crash_is_named_and_goes_on),
        cmocka_unit_test(a_stack_that_is_full_is_named_too),
        cmocka_unit_test(a_program_reads_one_json_line),
        cmocka_unit_test(nothing_is_said_when_the_command_is_over),
        cmocka_unit_test(a_child_of_the_plugin_is_not_the_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
