/* SPDX-License-Identifier: Apache-2.0 */
/* guest_terminal_test.c - drives the real guest: terminals, their viewers, and their end. */
#include "guest_harness.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct frame *tty_frame(uint64_t flags, const char *script, unsigned cols, unsigned rows)
{
    const char *argv[] = { "sh", "-c", script, NULL };
    struct frame *f = exec_frame(flags | NT_GX_TTY, 0, argv);
    frame_number(f, NT_GT_COLS, cols);
    return frame_number(f, NT_GT_ROWS, rows);
}

static int tty_start(uint64_t flags, const char *script)
{
    int fd = guest_connect();
    say(fd, tty_frame(flags, script, 90, 30));
    return fd;
}

static void tty_run(struct heard *h, const char *script)
{
    int fd = tty_start(0, script);
    hear(fd, h);
    assert_int_equal(h->first, NT_G_STARTED);
    assert_int_equal(h->last, NT_G_EXIT);
}

static void hear_until(int fd, struct heard *h, const char *text)
{
    while (!h->bytes[0] || !strstr((char *)h->bytes[0], text))
        assert_true(hear_one(fd, h));
}

static void hear_rest(int fd, struct heard *h)
{
    while (hear_one(fd, h)) {
    }
    close(fd);
}

static void type(int fd, const char *text)
{
    say_raw(fd, NT_G_STDIN, text, strlen(text));
}

static void expect_process(const char *text, bool there)
{
    for (int i = 0; i < 1000 && has_process(text) != there; i++)
        nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
    assert_int_equal(has_process(text), there);
}

static uint64_t start_agent(const char *id, const char *script)
{
    int fd = guest_connect();
    struct heard h;
    say(fd, frame_text(tty_frame(NT_GX_BACKGROUND | NT_GX_AGENT, script, 90, 30), NT_GT_ID, id));
    hear(fd, &h);
    assert_int_equal(h.last, NT_G_STARTED);
    uint64_t pid = h.number[NT_GT_PID];
    heard_done(&h);
    return pid;
}

static int attach(const char *id, uint64_t flags, unsigned cols, struct heard *h)
{
    int fd = guest_connect();
    struct frame *f = frame_number(frame_new(NT_G_ATTACH), NT_GT_FLAGS, flags);
    if (id)
        frame_text(f, NT_GT_ID, id);
    if (cols) {
        frame_number(f, NT_GT_COLS, cols);
        frame_number(f, NT_GT_ROWS, 30);
    }
    say(fd, f);
    memset(h, 0, sizeof(*h));
    while (h->first == 0)
        assert_true(hear_one(fd, h));
    return fd;
}

static void it_is_a_terminal(void **state)
{
    (void)state;
    struct heard h;
    tty_run(&h, "test -t 0 && test -t 1 && test -t 2 && stty size && echo $TERM && ps -o "
                "tpgid=,pgid= -p $$ | "
                "awk '{print $1==$2 ? \"front\" : \"back\"}'; exit 7");
    assert_non_null(strstr((char *)h.bytes[0], "30 90\r\n"));
    assert_non_null(strstr((char *)h.bytes[0], "front"));
    assert_int_equal(h.number[NT_GT_STATUS], 7);
    assert_int_equal(h.number[NT_GT_OUT_BYTES], h.size[0]);
    heard_done(&h);
    tty_run(&h, "kill -TERM $$");
    assert_int_equal(h.number[NT_GT_STATUS], 128 + SIGTERM);
    heard_done(&h);
}

static void every_byte_comes_before_the_end(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        struct heard h;
        tty_run(&h, "stty raw; head -c 1000000 /dev/zero");
        assert_int_equal(h.size[0], 1000000);
        heard_done(&h);
    }
}

static void a_path_is_no_name_of_a_terminal(void **state)
{
    (void)state;
    int fd = guest_connect();
    struct heard h = { 0 };
    say(fd, frame_text(tty_frame(0, "echo \"[$TERM]\"", 90, 30), NT_GT_ENV, "TERM=../../etc/x"));
    hear(fd, &h);
    assert_non_null(strstr((char *)h.bytes[0], "[xterm-256color]"));
    heard_done(&h);
}

static void what_is_typed_arrives(void **state)
{
    (void)state;
    int fd = tty_start(0, "read a; echo got=$a; stty size; read b; echo end=$?");
    struct heard h = { 0 };
    type(fd, "hello\n");
    hear_until(fd, &h, "got=hello");
    hear_until(fd, &h, "30 90");
    say_raw(fd, NT_G_STDIN_END, "", 0);
    hear_until(fd, &h, "end=1");
    hear_rest(fd, &h);
    heard_done(&h);
}

static void a_new_size_is_a_signal(void **state)
{
    (void)state;
    int fd =
        tty_start(0, "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.05; done");
    struct heard h = { 0 };
    hear_until(fd, &h, "ready");
    struct frame *f = frame_number(frame_new(NT_G_RESIZE), NT_GT_COLS, 101);
    say(fd, frame_number(f, NT_GT_ROWS, 41));
    hear_until(fd, &h, "41 101");
    hear_rest(fd, &h);
    heard_done(&h);
}

/* A viewer that has lost its screen asks so: every program draws, and has its own size again. */
static void the_same_size_again_makes_it_draw(void **state)
{
    (void)state;
    int fd = tty_start(0, "trap 'echo [$(stty size)]' WINCH; echo ready; while :; do sleep 0.05; "
                          "done");
    struct heard h = { 0 };
    hear_until(fd, &h, "ready");
    struct frame *f = frame_number(frame_new(NT_G_RESIZE), NT_GT_COLS, 90);
    say(fd, frame_number(f, NT_GT_ROWS, 30));
    hear_until(fd, &h, "[30 90]");
    close(fd);
    heard_done(&h);
}

static void control_c_is_a_signal(void **state)
{
    (void)state;
    int fd =
        tty_start(0, "trap 'echo caught; exit 3' INT; echo ready; while :; do sleep 0.05; done");
    struct heard h = { 0 };
    hear_until(fd, &h, "ready");
    type(fd, "\003");
    hear_rest(fd, &h);
    assert_non_null(strstr((char *)h.bytes[0], "caught"));
    assert_int_equal(h.number[NT_GT_STATUS], 3);
    heard_done(&h);
}

static void a_lost_line_hangs_up_and_takes_the_tree(void **state)
{
    (void)state;
    char mark[64], script[256];
    snprintf(mark, sizeof(mark), "/tmp/nt-hup-%d", (int)getpid());
    snprintf(script, sizeof(script),
             "trap 'echo hup > %s; exit' HUP; setsid sleep 86.5 & echo ready; while :; do sleep "
             "0.05; done",
             mark);
    int fd = tty_start(0, script);
    struct heard h = { 0 };
    hear_until(fd, &h, "ready");
    expect_process("sleep 86.5", true);
    close(fd);
    expect_process("sleep 86.5", false);
    assert_int_equal(access(mark, F_OK), 0);
    unlink(mark);
    heard_done(&h);
}

static void one_that_ignores_the_hang_up_is_killed(void **state)
{
    (void)state;
    int fd = tty_start(0, "trap '' HUP; echo ready; while :; do sleep 86.6; done");
    struct heard h = { 0 };
    hear_until(fd, &h, "ready");
    expect_process("sleep 86.6", true);
    close(fd);
    expect_process("sleep 86.6", false);
    heard_done(&h);
}

static void a_kept_one_outlives_its_line(void **state)
{
    (void)state;
    int fd = guest_connect();
    struct heard h = { 0 }, again;
    say(fd, frame_text(tty_frame(NT_GX_KEEP, "echo ready; read a; echo got=$a; exit 5", 90, 30),
                       NT_GT_ID, "pty_kept"));
    hear_until(fd, &h, "ready");
    close(fd);
    fd = attach("pty_kept", 0, 70, &again);
    assert_int_equal(again.first, NT_G_STARTED);
    assert_int_equal(again.number[NT_GT_COLS], 70);
    hear_until(fd, &again, "ready");
    type(fd, "x\n");
    hear_rest(fd, &again);
    assert_non_null(strstr((char *)again.bytes[0], "got=x"));
    assert_int_equal(again.number[NT_GT_STATUS], 5);
    heard_done(&h);
    heard_done(&again);
}

static void say_hang_up(int fd)
{
    say(fd, frame_number(frame_new(NT_G_SIGNAL), NT_GT_FLAGS, NT_GX_HANG_UP));
}

/* A server that lost its client says so; its own loss would have kept the program. */
static void a_kept_one_is_hung_up_on_request(void **state)
{
    (void)state;
    struct heard h = { 0 }, other;
    int fd = tty_start(NT_GX_KEEP, "setsid sleep 86.7 & trap 'exit 9' HUP; echo ready; while :; do "
                                   "sleep 0.05; done");
    hear_until(fd, &h, "ready");
    expect_process("sleep 86.7", true);
    say_hang_up(fd);
    hear_rest(fd, &h);
    assert_int_equal(h.last, NT_G_EXIT);
    expect_process("sleep 86.7", false);
    heard_done(&h);

    /* nobody else's right */
    memset(&h, 0, sizeof(h));
    fd = guest_connect();
    say(fd, frame_text(tty_frame(NT_GX_KEEP, "echo ready; read a; echo got=$a", 90, 30), NT_GT_ID,
                       "pty_theirs"));
    hear_until(fd, &h, "ready");
    int viewer = attach("pty_theirs", 0, 0, &other);
    say_hang_up(viewer);
    hear_rest(viewer, &other);
    assert_int_not_equal(other.last, NT_G_EXIT);
    heard_done(&other);
    type(fd, "x\n");
    hear_rest(fd, &h);
    assert_non_null(strstr((char *)h.bytes[0], "got=x"));
    heard_done(&h);
}

static void viewers_share_one_terminal(void **state)
{
    (void)state;
    start_agent("pty_shared", "while read a; do stty size; echo got=$a; done; exit 4");
    struct heard a, b, c;
    int first = attach("pty_shared", 0, 70, &a), second = attach(NULL, 0, 60, &b);
    int looker = attach("pty_shared", NT_GX_READ_ONLY, 50, &c);
    assert_int_equal(c.number[NT_GT_COLS], 60); /* it changes nothing */
    type(looker, "mine\n");
    type(first, "one\n");
    hear_until(first, &a, "30 70");
    hear_until(second, &b, "got=one");
    hear_until(looker, &c, "got=one");
    type(second, "two\n");
    hear_until(first, &a, "30 60");
    hear_until(first, &a, "got=two");
    type(second, "\004");
    hear_rest(first, &a);
    hear_rest(second, &b);
    hear_rest(looker, &c);
    assert_null(strstr((char *)a.bytes[0], "mine"));
    assert_int_equal(a.number[NT_GT_STATUS], 4);
    assert_int_equal(c.number[NT_GT_STATUS], 4);
    heard_done(&a);
    heard_done(&b);
    heard_done(&c);
}

static void no_agent_is_an_error(void **state)
{
    (void)state;
    struct heard h;
    int fd = attach(NULL, 0, 80, &h);
    assert_int_equal(h.first, NT_G_ERROR);
    assert_int_equal(h.number[NT_GT_CODE], NT_GE_NOT_FOUND);
    close(fd);
    heard_done(&h);
}

/* Nobody reads on the first connection: the program ends all the same, and the other viewer sees
 * that. */
static void a_viewer_that_does_not_read_blocks_nobody(void **state)
{
    (void)state;
    start_agent("pty_flood",
                "stty raw -echo; head -c 1; head -c 20000000 /dev/zero; echo fin; exit 6");
    struct heard a, b;
    int other = attach("pty_flood", NT_GX_READ_ONLY, 0, &b);
    int stuck =
        attach("pty_flood", 0, 80, &a); /* wrote last, so it may hold the program for a while */
    type(stuck, "x");
    hear_rest(other, &b);
    assert_int_equal(b.last, NT_G_EXIT);
    assert_int_equal(b.number[NT_GT_STATUS], 6);
    assert_non_null(memmem(b.bytes[0] + b.size[0] - 8, 8, "fin", 3));
    /* it was brought to what is kept, with a new screen */
    hear_rest(stuck, &a);
    assert_int_equal(a.last, NT_G_EXIT);
    assert_in_range(a.size[0], 200000, 10000000);
    assert_non_null(memmem(a.bytes[0], a.size[0], "\033[H\033[2J", 7));
    assert_non_null(memmem(a.bytes[0] + a.size[0] - 8, 8, "fin", 3));
    heard_done(&a);
    heard_done(&b);
}

static void modes_from_before_come_first(void **state)
{
    (void)state;
    start_agent("pty_modes", "printf '\\033[?1049h\\033[?25l\\033[?1002h'; stty raw; head -c "
                             "600000 /dev/zero | tr '\\0' x; "
                             "printf END; sleep 87.5");
    struct heard h;
    int fd = attach("pty_modes", NT_GX_READ_ONLY, 0, &h);
    hear_until(fd, &h, "END");
    close(fd);
    heard_done(&h);
    fd = attach("pty_modes", NT_GX_READ_ONLY, 0, &h);
    hear_until(fd, &h, "END");
    const char *text = (char *)h.bytes[0];
    const char *clear = strstr(text, "\033[2J"), *alternate = strstr(text, "\033[?1049h");
    assert_true(alternate && clear && alternate < clear);
    assert_non_null(strstr(text, "\033[?25l"));
    assert_non_null(strstr(text, "\033[?1002h"));
    assert_in_range(h.size[0], 256 * 1024, 256 * 1024 + 512);
    close(fd);
    heard_done(&h);
    fd = guest_connect();
    memset(&h, 0, sizeof(h));
    say(fd, frame_number(frame_text(frame_number(frame_new(NT_G_KILL), NT_GT_FLAGS, NT_GX_TREE),
                                    NT_GT_ID, "pty_modes"),
                         NT_GT_SIGNAL, SIGKILL));
    hear_rest(fd, &h);
    assert_int_equal(h.last, NT_G_OK);
    heard_done(&h);
}

static void an_offset_goes_on_where_it_was(void **state)
{
    (void)state;
    start_agent("pty_offset", "stty -echo -onlcr; echo 0123456789; read a; exit 0");
    struct heard h;
    int fd = attach("pty_offset", 0, 80, &h);
    hear_until(fd, &h, "0123456789");
    close(fd);
    heard_done(&h);
    fd = guest_connect();
    memset(&h, 0, sizeof(h));
    say(fd,
        frame_number(frame_text(frame_new(NT_G_ATTACH), NT_GT_ID, "pty_offset"), NT_GT_OFFSET, 4));
    hear_until(fd, &h, "6789");
    assert_int_equal(h.number[NT_GT_OFFSET], 4);
    assert_memory_equal(h.bytes[0], "456789", 6);
    type(fd, "\n");
    hear_rest(fd, &h);
    assert_int_equal(h.last, NT_G_EXIT);
    heard_done(&h);
}

static void what_is_left_in_the_background_does_not_hold_it(void **state)
{
    (void)state;
    struct heard h;
    tty_run(
        &h,
        "nohup sleep 88.5 & (trap '' HUP; while :; do echo noise; done) & echo started; exit 2");
    assert_int_equal(h.number[NT_GT_STATUS], 2);
    assert_non_null(strstr((char *)h.bytes[0], "started"));
    heard_done(&h);
    run_shell(&h, "pkill -f 'sleep 88\\.5'; pkill -f 'echo nois[e]'; true");
    heard_done(&h);
    expect_process("sleep 88.5", false);
}

static void a_terminal_is_hard_to_break(void **state)
{
    (void)state;
    struct heard h;
    /* closes its terminal and lives on */
    tty_run(&h,
            "echo one; exec </dev/null >/dev/null 2>&1; sleep 0.2; echo two > /dev/tty; exit 8");
    assert_int_equal(h.number[NT_GT_STATUS], 8);
    assert_non_null(strstr((char *)h.bytes[0], "two"));
    heard_done(&h);
    /* never reads, and much is typed */
    int fd = tty_start(0, "stty raw -echo; echo ready; sleep 89.5");
    memset(&h, 0, sizeof(h));
    hear_until(fd, &h, "ready");
    static uint8_t much[NT_G_CHUNK];
    memset(much, 'x', sizeof(much));
    for (int i = 0; i < 2; i++)
        say_raw(fd, NT_G_STDIN, much, sizeof(much));
    close(fd);
    heard_done(&h);
    expect_process("sleep 89.5", false);
    /* descriptors do not go in beside it */
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fd = guest_connect();
    memset(&h, 0, sizeof(h));
    say_with(fd, tty_frame(NT_GX_FD_STDOUT, "true", 80, 24), &ends[1], 1);
    hear_rest(fd, &h);
    assert_int_equal(h.number[NT_GT_CODE], NT_GE_BAD_DESCRIPTOR);
    heard_done(&h);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_a_terminal),
        cmocka_unit_test(every_byte_comes_before_the_end),
        cmocka_unit_test(a_path_is_no_name_of_a_terminal),
        cmocka_unit_test(what_is_typed_arrives),
        cmocka_unit_test(a_new_size_is_a_signal),
        cmocka_unit_test(the_same_size_again_makes_it_draw),
        cmocka_unit_test(control_c_is_a_signal),
        cmocka_unit_test(a_lost_line_hangs_up_and_takes_the_tree),
        cmocka_unit_test(one_that_ignores_the_hang_up_is_killed),
        cmocka_unit_test(a_kept_one_outlives_its_line),
        cmocka_unit_test(a_kept_one_is_hung_up_on_request),
        cmocka_unit_test(no_agent_is_an_error),
        cmocka_unit_test(viewers_share_one_terminal),
        cmocka_unit_test(a_viewer_that_does_not_read_blocks_nobody),
        cmocka_unit_test(modes_from_before_come_first),
        cmocka_unit_test(an_offset_goes_on_where_it_was),
        cmocka_unit_test(what_is_left_in_the_background_does_not_hold_it),
        cmocka_unit_test(a_terminal_is_hard_to_break),
    };
    return cmocka_run_group_tests(tests, harness_start, harness_stop);
}
