/* SPDX-License-Identifier: Apache-2.0 */
/* guest_test.c - drives the real guest: programs, their bytes, their end, and descriptors. */
#include "guest_harness.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Waits until a process has gone (or come), at most 10 s. */
static void expect_process(const char *text, bool there)
{
    for (int i = 0; i < 1000 && has_process(text) != there; i++)
        nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
    assert_int_equal(has_process(text), there);
}

static void exits_with(const char *script, uint64_t status, uint64_t reason)
{
    struct heard h;
    run_shell(&h, script);
    assert_int_equal(h.first, NT_G_STARTED);
    assert_int_equal(h.last, NT_G_EXIT);
    assert_int_equal(h.number[NT_GT_STATUS], status);
    assert_int_equal(h.number[NT_GT_REASON], reason);
    heard_done(&h);
}

static void statuses_are_exact(void **state)
{
    (void)state;
    static const uint64_t all[] = { 0, 1, 2, 125, 126, 127, 255 };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        char script[32];
        snprintf(script, sizeof(script), "exit %d", (int)all[i]);
        exits_with(script, all[i], NT_GR_EXITED);
    }
    exits_with("kill -TERM $$", 128 + SIGTERM, NT_GR_SIGNALED);
    exits_with("kill -KILL $$", 128 + SIGKILL, NT_GR_SIGNALED);
    exits_with("kill -SEGV $$", 128 + SIGSEGV, NT_GR_SIGNALED);
}

static void arguments_arrive_as_they_are(void **state)
{
    (void)state;
    const char *argv[] = { "printf",     "%s|", "a b",      "",  "q'\"`$x",
                           "line\nline", "-n",  "\xff\xfe", "*", NULL };
    struct heard h;
    run_program(&h, 0, 0, argv);
    static const char expected[] = "a b||q'\"`$x|line\nline|-n|\xff\xfe|*|";
    assert_int_equal(h.size[0], sizeof(expected) - 1);
    assert_memory_equal(h.bytes[0], expected, h.size[0]);
    assert_int_equal(h.number[NT_GT_OUT_BYTES], h.size[0]);
    heard_done(&h);
}

/* A child writes, so that neither side waits for the other. */
static void round_trip(size_t size)
{
    uint8_t *data = malloc(size + 1);
    uint32_t seed = 12345;
    for (size_t i = 0; i < size; i++) {
        seed = seed * 1664525u + 1013904223u;
        data[i] = (uint8_t)(seed >> 24);
    }
    int fd = guest_connect();
    const char *argv[] = { "cat", NULL };
    say(fd, exec_frame(NT_GX_STDIN, 0, argv));
    pid_t writer = fork();
    if (writer == 0) {
        if (size)
            say_raw(fd, NT_G_STDIN, data, size);
        say_raw(fd, NT_G_STDIN_END, "", 0);
        _exit(0);
    }
    struct heard h;
    hear(fd, &h);
    waitpid(writer, NULL, 0);
    assert_int_equal(h.last, NT_G_EXIT);
    assert_int_equal(h.number[NT_GT_STATUS], 0);
    assert_int_equal(h.number[NT_GT_OUT_BYTES], size);
    assert_int_equal(h.size[0], size);
    if (size)
        assert_memory_equal(h.bytes[0], data, size);
    heard_done(&h);
    free(data);
}

static void bytes_are_exact(void **state)
{
    (void)state;
    round_trip(0);
    for (size_t bits = 0; bits <= 22; bits += bits < 12 ? 4 : 1) {
        size_t size = (size_t)1 << bits;
        round_trip(size - 1);
        round_trip(size);
        round_trip(size + 1);
    }
}

static void standard_error_is_apart(void **state)
{
    (void)state;
    struct heard h;
    run_shell(&h, "printf out; printf wrong >&2; exit 3");
    assert_string_equal((char *)h.bytes[0], "out");
    assert_string_equal((char *)h.bytes[1], "wrong");
    assert_int_equal(h.number[NT_GT_ERR_BYTES], 5);
    assert_int_equal(h.number[NT_GT_STATUS], 3);
    heard_done(&h);
}

static void input_is_empty_when_none_comes(void **state)
{
    (void)state;
    struct heard h;
    run_shell(&h, "cat; echo $?");
    assert_string_equal((char *)h.bytes[0], "0\n");
    heard_done(&h);
}

static void not_started(const char *program, const char *cwd, int sys, const char *word)
{
    const char *argv[] = { program, NULL };
    struct frame *f = exec_frame(0, 0, argv);
    if (cwd)
        frame_text(f, NT_GT_CWD, cwd);
    struct heard h;
    int fd = guest_connect();
    say(fd, f);
    hear(fd, &h);
    assert_int_equal(h.frames, 1);
    assert_int_equal(h.last, NT_G_ERROR);
    assert_int_equal(h.number[NT_GT_CODE], NT_GE_NOT_STARTED);
    assert_int_equal(h.number[NT_GT_ERRNO], sys);
    assert_non_null(strstr(h.message, word));
    heard_done(&h);
}

static void a_program_that_cannot_start_says_why(void **state)
{
    (void)state;
    not_started("no-such-program-here", NULL, ENOENT, "program");
    not_started("/no/such/program", NULL, ENOENT, "program");
    not_started("/etc/passwd", NULL, EACCES, "program");
    not_started("/", NULL, EACCES, "program");
    not_started("true", "/no/such/folder", ENOENT, "working directory");
    not_started("true", "/etc/passwd", ENOTDIR, "working directory");
    char path[96];
    snprintf(path, sizeof(path), "%s/text", harness.dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
    assert_int_equal(write(fd, "echo hi\n", 8), 8);
    close(fd);
    not_started(path, NULL, ENOEXEC, "program");
}

static void the_environment_has_three_layers(void **state)
{
    (void)state;
    struct heard h;
    int fd = guest_connect();
    say(fd, frame_text(frame_text(frame_new(NT_G_CONFIGURE), NT_GT_ENV, "NT_A=configured"),
                       NT_GT_ENV, "NT_B=b"));
    hear(fd, &h);
    assert_int_equal(h.last, NT_G_OK);
    heard_done(&h);
    const char *argv[] = { "/bin/sh", "-c", "echo $NT_A $NT_B ${PATH:+path}", NULL };
    fd = guest_connect();
    say(fd, frame_text(exec_frame(0, 0, argv), NT_GT_ENV, "NT_A=own"));
    hear(fd, &h);
    assert_string_equal((char *)h.bytes[0], "own b path\n");
    heard_done(&h);
}

static void programs_start_clean(void **state)
{
    (void)state;
    struct heard h;
    /* Only 0, 1, 2 (and what ls itself opens); a session of its own; no signal ignored or blocked;
     * dumpable. */
    run_shell(&h, "ls /proc/self/fd | tr '\\n' ' '; grep -E '^Sig(Blk|Ign)' /proc/self/status | "
                  "cut -f2 | tr '\\n' ' ';"
                  "test -w /proc/self/mem && echo own; cat /proc/self/oom_score_adj");
    assert_string_equal((char *)h.bytes[0], "0 1 2 3 0000000000000000 0000000000000000 own\n300\n");
    heard_done(&h);
    char path[64], text[16] = "";
    snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", (int)harness.pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(read(fd, text, sizeof(text) - 1) > 0);
    close(fd);
    assert_string_not_equal(text, "300\n");
}

static void a_time_limit_ends_the_whole_tree(void **state)
{
    (void)state;
    char script[160];
    snprintf(script, sizeof(script),
             "(setsid sh -c 'exec sleep 8641%d' &) ; sleep 8642%d & trap '' TERM; sleep 8643%d",
             (int)getpid(), (int)getpid(), (int)getpid());
    const char *argv[] = { "/bin/sh", "-c", script, NULL };
    struct heard h;
    run_program(&h, 0, 300, argv);
    assert_int_equal(h.last, NT_G_EXIT);
    assert_int_equal(h.number[NT_GT_STATUS], 124);
    assert_int_equal(h.number[NT_GT_REASON], NT_GR_TIMEOUT);
    heard_done(&h);
    for (int i = 1; i <= 3; i++) { /* at once: EXIT comes only when all are gone */
        char text[32];
        snprintf(text, sizeof(text), "864%d%d", i, (int)getpid());
        assert_false(has_process(text));
    }
}

static void a_lost_peer_ends_the_whole_tree(void **state)
{
    (void)state;
    char script[96], text[32];
    snprintf(text, sizeof(text), "8651%d", (int)getpid());
    snprintf(script, sizeof(script), "(setsid sleep %s &); echo; sleep %s", text, text);
    const char *argv[] = { "/bin/sh", "-c", script, NULL };
    int fd = guest_connect();
    say(fd, exec_frame(0, 0, argv));
    struct heard h = { 0 };
    while (!h.size[0] && hear_one(fd, &h)) {
    }
    expect_process(text, true);
    close(fd);
    expect_process(text, false);
    heard_done(&h);
}

static void a_killed_supervisor_saves_nobody(void **state)
{
    (void)state;
    char script[128], text[32];
    snprintf(text, sizeof(text), "8661%d", (int)getpid());
    snprintf(script, sizeof(script), "(setsid sleep %s &); sleep 0.1; kill -9 $PPID; sleep %s",
             text, text);
    struct heard h;
    run_shell(&h, script);
    assert_int_equal(h.last, NT_G_EXIT);
    assert_int_equal(h.number[NT_GT_REASON], NT_GR_LOST);
    heard_done(&h);
    expect_process(text, false);
}

static void a_stopped_supervisor_delays_nothing_for_ever(void **state)
{
    (void)state;
    const char *argv[] = { "/bin/sh", "-c", "while :; do kill -STOP $PPID; done", NULL };
    /* together: the race between the supervisor's first word and its stop goes both ways */
    int fds[5];
    for (int i = 0; i < 5; i++) {
        fds[i] = guest_connect();
        say(fds[i], exec_frame(0, 100, argv));
    }
    for (int i = 0; i < 5; i++) {
        struct heard h;
        hear(fds[i], &h);
        assert_int_equal(h.first, NT_G_STARTED);
        assert_int_equal(h.last, NT_G_EXIT);
        assert_int_equal(h.number[NT_GT_STATUS], 124);
        heard_done(&h);
    }
}

static void what_is_left_behind_is_not_awaited(void **state)
{
    (void)state;
    struct heard h;
    int64_t before = time(NULL);
    run_shell(&h, "sleep 20 & echo done");
    assert_int_equal(h.last, NT_G_EXIT);
    assert_string_equal((char *)h.bytes[0], "done\n");
    heard_done(&h);
    run_shell(&h, "yes & printf first; exit 4"); /* one that never stops writing */
    assert_int_equal(h.number[NT_GT_STATUS], 4);
    assert_int_equal(h.number[NT_GT_OUT_BYTES], h.size[0]);
    assert_true(time(NULL) - before < 15);
    heard_done(&h);
}

static void signals_reach_the_group(void **state)
{
    (void)state;
    const char *argv[] = {
        "/bin/sh", "-c",
        "trap 'echo caught; exit 9' USR1; echo ready; while :; do sleep 0.05; done", NULL
    };
    int fd = guest_connect();
    say(fd, exec_frame(0, 0, argv));
    struct heard h = { 0 };
    while (!h.size[0] && hear_one(fd, &h)) {
    }
    say(fd, frame_number(frame_new(NT_G_SIGNAL), NT_GT_SIGNAL, SIGUSR1));
    while (hear_one(fd, &h)) {
    }
    close(fd);
    assert_int_equal(h.number[NT_GT_STATUS], 9);
    heard_done(&h);
    const char *sleeper[] = { "sleep", "100", NULL };
    fd = guest_connect();
    say(fd, exec_frame(0, 0, sleeper));
    say(fd, frame_number(frame_new(NT_G_SIGNAL), NT_GT_FLAGS, NT_GX_TREE));
    hear(fd, &h);
    assert_int_equal(h.number[NT_GT_STATUS], 137);
    assert_int_equal(h.number[NT_GT_REASON], NT_GR_KILLED);
    heard_done(&h);
}

/* --- descriptors --------------------------------------------------------------------------- */

static void refused(int bad, uint64_t flag)
{
    const char *argv[] = { "true", NULL };
    struct heard h;
    int fd = guest_connect();
    assert_true(bad >= 0);
    say_with(fd, exec_frame(flag, 0, argv), &bad, 1);
    hear(fd, &h);
    close(bad);
    assert_int_equal(h.last, NT_G_ERROR);
    assert_int_equal(h.number[NT_GT_CODE], NT_GE_BAD_DESCRIPTOR);
    heard_done(&h);
}

static void only_pipes_go_in(void **state)
{
    (void)state;
    char path[96];
    snprintf(path, sizeof(path), "%s/fifo", harness.dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    int ends[2], pair[2];
    refused(open("/etc/passwd", O_RDONLY | O_CLOEXEC), NT_GX_FD_STDIN);
    refused(open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC), NT_GX_FD_STDIN);
    refused(open("/dev/null", O_RDONLY | O_CLOEXEC), NT_GX_FD_STDIN);
    refused(open("/dev/null", O_WRONLY | O_CLOEXEC), NT_GX_FD_STDOUT);
    refused(posix_openpt(O_RDWR | O_NOCTTY), NT_GX_FD_STDIN);
    refused(open(path, O_RDWR | O_CLOEXEC), NT_GX_FD_STDIN);
    refused(open(path, O_RDWR | O_CLOEXEC), NT_GX_FD_STDERR);
    refused(open(path, O_PATH | O_CLOEXEC), NT_GX_FD_STDIN);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    refused(pair[0], NT_GX_FD_STDIN);
    refused(pair[1], NT_GX_FD_STDOUT);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    refused(ends[1], NT_GX_FD_STDIN);
    refused(ends[0], NT_GX_FD_STDOUT);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    refused(ends[0], 0); /* one that no flag names */
    close(ends[1]);
}

static void missing_descriptors_are_refused(void **state)
{
    (void)state;
    const char *argv[] = { "true", NULL };
    struct heard h;
    run_program(&h, NT_GX_FD_STDIN | NT_GX_FD_STDOUT, 0, argv);
    assert_int_equal(h.number[NT_GT_CODE], NT_GE_BAD_DESCRIPTOR);
    heard_done(&h);
}

static void passed_pipes_carry_the_bytes(void **state)
{
    (void)state;
    const char *argv[] = { "/bin/sh", "-c", "cat; echo to-stderr >&2", NULL };
    int in[2], out[2];
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    int fd = guest_connect();
    const int fds[2] = { in[0], out[1] };
    say_with(fd, exec_frame(NT_GX_FD_STDIN | NT_GX_FD_STDOUT, 0, argv), fds, 2);
    close(in[0]);
    close(out[1]);
    assert_int_equal(write(in[1], "through", 7), 7);
    close(in[1]);
    char text[32] = "";
    size_t size = 0;
    for (ssize_t n;
         size < sizeof(text) && (n = read(out[0], text + size, sizeof(text) - size)) > 0;)
        size += (size_t)n; /* to its end: neither guest nor supervisor keeps it open */
    close(out[0]);
    assert_string_equal(text, "through");
    struct heard h;
    hear(fd, &h);
    assert_int_equal(h.last, NT_G_EXIT);
    assert_int_equal(h.number[NT_GT_OUT_BYTES], 0);
    assert_int_equal(h.number[NT_GT_ERR_BYTES], 10);
    heard_done(&h);
}

static void an_adopted_connection_runs_one_program(void **state)
{
    (void)state;
    const char *argv[] = { "echo", "adopted", NULL };
    for (int round = 0; round < 3; round++) {
        int pair[2];
        struct heard h;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        int fd = guest_connect();
        say_with(fd, frame_new(NT_G_ADOPT), &pair[1], 1);
        close(pair[1]);
        hear(fd, &h);
        assert_int_equal(h.last, NT_G_OK);
        heard_done(&h);
        if (round == 0)
            say(pair[0], exec_frame(0, 0, argv));
        else if (round == 1)
            say(pair[0], exec_frame(NT_GX_BACKGROUND, 0, argv));
        else
            say(pair[0], frame_text(frame_new(NT_G_REMOVE), NT_GT_PATH, "/etc/passwd"));
        hear(pair[0], &h);
        if (round == 0)
            assert_string_equal((char *)h.bytes[0], "adopted\n");
        else
            assert_int_equal(h.number[NT_GT_CODE], NT_GE_NOT_ALLOWED);
        heard_done(&h);
    }
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct heard h;
    int fd = guest_connect();
    say_with(fd, frame_new(NT_G_ADOPT), &null, 1);
    close(null);
    hear(fd, &h);
    assert_int_equal(h.number[NT_GT_CODE], NT_GE_BAD_DESCRIPTOR);
    heard_done(&h);
}

/* --- hostile peers ------------------------------------------------------------------------- */

static void still_serves(void)
{
    struct heard h;
    int fd = guest_connect();
    say(fd, frame_new(NT_G_PING));
    hear(fd, &h);
    assert_int_equal(h.last, NT_G_OK);
    heard_done(&h);
}

static void hostile_frames_end_the_connection(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
    } rows[] = {
        /* larger than a frame may be */
        { "\xff\xff\xff\xff\x10\x00\x00\x00", 8 },
        /* a field over its frame */
        { "\x08\x00\x00\x00\x10\x00\x00\x00\x08\x00\x00\x00\xff\x00\x00\x00", 16 },
        { "\x04\x00\x00\x00\x10\x00\x00\x00\x08\x00\x00\x00", 12 }, /* half a field */
        /* NUL in an argument */
        { "\x09\x00\x00\x00\x10\x00\x00\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00", 17 },
        /* a number of one byte */
        { "\x09\x00\x00\x00\x1b\x00\x00\x00\x04\x00\x00\x00\x01\x00\x00\x00\x01", 17 },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct heard h;
        int fd = guest_connect();
        say_bytes(fd, rows[i].bytes, rows[i].size);
        hear(fd, &h);
        assert_int_equal(h.frames, 0);
        heard_done(&h);
    }
    still_serves();
}

static void frames_out_of_order_end_the_program(void **state)
{
    (void)state;
    const char *argv[] = { "sleep", "100", NULL };
    static const uint16_t types[] = { NT_G_DATA, NT_G_EXEC, NT_G_HELLO, NT_G_PING, 4711 };
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct heard h;
        int fd = guest_connect();
        say(fd, exec_frame(0, 0, argv));
        say(fd, frame_new(types[i]));
        hear(fd, &h);
        assert_int_not_equal(h.last, NT_G_EXIT);
        heard_done(&h);
    }
    still_serves();
}

static void unknown_requests_are_unsupported(void **state)
{
    (void)state;
    struct heard h;
    int fd = guest_connect();
    say(fd, frame_text(frame_new(4711), 4000, "of a newer version"));
    hear(fd, &h);
    assert_int_equal(h.number[NT_GT_CODE], NT_GE_UNSUPPORTED);
    heard_done(&h);
}

static void a_truncated_request_harms_nobody(void **state)
{
    (void)state;
    int fd = guest_connect();
    say_bytes(fd, "\x10\x00\x00\x00\x10\x00\x00\x00half", 12);
    still_serves();
    close(fd);
    still_serves();
}

static void a_peer_that_does_not_read_stops_its_program_only(void **state)
{
    (void)state;
    const char *argv[] = { "yes", NULL };
    int fd = guest_connect();
    say(fd, exec_frame(0, 0, argv));
    round_trip(100000);
    still_serves();
    close(fd);
}

static void too_many_connections_are_refused(void **state)
{
    (void)state;
    static int fds[1030];
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < 1100)
        skip();
    for (int i = 0; i < 1030; i++)
        fds[i] = guest_connect();
    struct heard h;
    hear(fds[1029], &h); /* closed at once */
    assert_int_equal(h.frames, 0);
    heard_done(&h);
    for (int i = 0; i < 1029; i++)
        close(fds[i]);
    for (int i = 0; i < 1000; i++) { /* until the guest has seen that they are gone */
        int fd = guest_connect();
        say(fd, frame_new(NT_G_PING));
        hear(fd, &h);
        if (h.last == NT_G_OK)
            return;
        nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
    }
    fail();
}

static int not_ours(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    struct stat st;
    return stat(path, &st) == 0 && st.st_uid == 0;
}

static void the_guest_cannot_be_traced(void **state)
{
    (void)state;
    /* as the tests may run as root, the owner of the file is what tells */
    assert_true(not_ours(harness.pid));
    if (geteuid() == 0)
        return;
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/mem", (int)harness.pid);
    assert_int_equal(open(path, O_RDONLY | O_CLOEXEC), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statuses_are_exact),
        cmocka_unit_test(arguments_arrive_as_they_are),
        cmocka_unit_test(bytes_are_exact),
        cmocka_unit_test(standard_error_is_apart),
        cmocka_unit_test(input_is_empty_when_none_comes),
        cmocka_unit_test(a_program_that_cannot_start_says_why),
        cmocka_unit_test(the_environment_has_three_layers),
        cmocka_unit_test(programs_start_clean),
        cmocka_unit_test(a_time_limit_ends_the_whole_tree),
        cmocka_unit_test(a_lost_peer_ends_the_whole_tree),
        cmocka_unit_test(a_killed_supervisor_saves_nobody),
        cmocka_unit_test(a_stopped_supervisor_delays_nothing_for_ever),
        cmocka_unit_test(what_is_left_behind_is_not_awaited),
        cmocka_unit_test(signals_reach_the_group),
        cmocka_unit_test(only_pipes_go_in),
        cmocka_unit_test(missing_descriptors_are_refused),
        cmocka_unit_test(passed_pipes_carry_the_bytes),
        cmocka_unit_test(an_adopted_connection_runs_one_program),
        cmocka_unit_test(hostile_frames_end_the_connection),
        cmocka_unit_test(frames_out_of_order_end_the_program),
        cmocka_unit_test(unknown_requests_are_unsupported),
        cmocka_unit_test(a_truncated_request_harms_nobody),
        cmocka_unit_test(a_peer_that_does_not_read_stops_its_program_only),
        cmocka_unit_test(too_many_connections_are_refused),
        cmocka_unit_test(the_guest_cannot_be_traced),
    };
    return cmocka_run_group_tests(tests, harness_start, harness_stop);
}
