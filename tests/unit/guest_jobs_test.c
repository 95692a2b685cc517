/* SPDX-License-Identifier: Apache-2.0 */
/* guest_jobs_test.c - drives the real guest: programs in the background, files, and the end of the
 * workspace. */
#include "guest_harness.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static uint64_t start_job(const char *script, uint64_t flags)
{
    const char *argv[] = { "/bin/sh", "-c", script, NULL };
    struct heard h;
    run_program(&h, NT_GX_BACKGROUND | flags, 0, argv);
    assert_int_equal(h.last, NT_G_STARTED);
    uint64_t pid = h.number[NT_GT_PID];
    heard_done(&h);
    return pid;
}

static void ask_pid(struct heard *h, uint16_t type, uint64_t pid)
{
    int fd = guest_connect();
    say(fd, frame_number(frame_new(type), NT_GT_PID, pid));
    hear(fd, h);
}

static void output_is_kept_in_order(void **state)
{
    (void)state;
    struct heard h;
    uint64_t pid = start_job("printf a; sleep 0.05; printf b >&2; sleep 0.05; printf c; exit 5", 0);
    for (int i = 0; i < 2; i++) { /* several viewers, live and after the end */
        ask_pid(&h, NT_G_ATTACH, pid);
        assert_int_equal(h.first, NT_G_STARTED);
        assert_int_equal(h.last, NT_G_EXIT);
        assert_int_equal(h.number[NT_GT_STATUS], 5);
        assert_string_equal((char *)h.bytes[0], "ac");
        assert_string_equal((char *)h.bytes[1], "b");
        assert_int_equal(h.frames, 5);
        heard_done(&h);
    }
    ask_pid(&h, NT_G_LOGS, pid);
    assert_int_equal(h.last, NT_G_END);
    assert_int_equal(h.number[NT_GT_RUNNING], 0);
    assert_int_equal(h.number[NT_GT_STATUS], 5);
    assert_string_equal((char *)h.bytes[0], "ac");
    heard_done(&h);
}

static void much_output_is_kept_whole(void **state)
{
    (void)state;
    struct heard h;
    uint64_t pid = start_job("head -c 5000001 /dev/zero", 0);
    ask_pid(&h, NT_G_ATTACH, pid);
    assert_int_equal(h.size[0], 5000001);
    assert_int_equal(h.number[NT_GT_OUT_BYTES], 5000001);
    heard_done(&h);
}

static void a_viewer_that_leaves_kills_nothing(void **state)
{
    (void)state;
    struct heard h = { 0 };
    uint64_t pid = start_job("echo on; sleep 100", 0);
    int fd = guest_connect();
    say(fd, frame_number(frame_new(NT_G_ATTACH), NT_GT_PID, pid));
    while (!h.size[0] && hear_one(fd, &h)) {
    }
    close(fd);
    heard_done(&h);
    ask_pid(&h, NT_G_LOGS, pid);
    assert_int_equal(h.number[NT_GT_RUNNING], 1);
    heard_done(&h);
    fd = guest_connect();
    say(fd,
        frame_number(frame_number(frame_new(NT_G_KILL), NT_GT_PID, pid), NT_GT_FLAGS, NT_GX_TREE));
    hear(fd, &h);
    assert_int_equal(h.last, NT_G_OK);
    heard_done(&h);
    ask_pid(&h, NT_G_LOGS, pid);
    assert_int_equal(h.number[NT_GT_RUNNING], 0);
    assert_int_equal(h.number[NT_GT_STATUS], 137);
    heard_done(&h);
}

static void kill_reaches_daemons(void **state)
{
    (void)state;
    char script[192], text[32];
    int me = (int)getpid();
    snprintf(text, sizeof(text), "8671%d", me);
    /* Quoted, so that only the daemons have the text itself and not the shells before them. */
    snprintf(script, sizeof(script),
             "(setsid sh -c 'sleep 86\"\"71%d & sleep 86\"\"71%d' &) ; exit 0", me, me);
    struct heard h;
    uint64_t pid = start_job(script, 0);
    for (int i = 0; i < 1000 && !has_process(text); i++)
        nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
    assert_true(has_process(text));
    int fd = guest_connect();
    say(fd,
        frame_number(frame_number(frame_new(NT_G_KILL), NT_GT_PID, pid), NT_GT_FLAGS, NT_GX_TREE));
    hear(fd, &h);
    assert_int_equal(h.last, NT_G_OK);
    assert_false(has_process(text));
    heard_done(&h);
}

static void input_can_be_fed(void **state)
{
    (void)state;
    struct heard h;
    uint64_t pid = start_job("cat", NT_GX_STDIN);
    for (int i = 0; i < 2; i++) {
        int fd = guest_connect();
        say(fd, frame_number(frame_new(NT_G_FEED), NT_GT_PID, pid));
        say_raw(fd, NT_G_STDIN, i ? "two" : "one ", i ? 3 : 4);
        if (i)
            say_raw(fd, NT_G_STDIN_END, "", 0);
        say(fd, frame_new(NT_G_END));
        hear(fd, &h);
        assert_int_equal(h.last, NT_G_OK);
        heard_done(&h);
    }
    ask_pid(&h, NT_G_ATTACH, pid);
    assert_string_equal((char *)h.bytes[0], "one two");
    heard_done(&h);
    ask_pid(&h, NT_G_FEED, pid);
    assert_int_equal(h.last, NT_G_ERROR);
    heard_done(&h);
}

static void only_our_programs_are_known(void **state)
{
    (void)state;
    static const uint16_t types[] = { NT_G_KILL, NT_G_LOGS, NT_G_ATTACH, NT_G_FEED };
    for (size_t i = 0; i < 4; i++) {
        struct heard h;
        ask_pid(&h, types[i], (uint64_t)getpid());
        assert_int_equal(h.number[NT_GT_CODE], NT_GE_NOT_FOUND);
        heard_done(&h);
    }
}

static void ended_programs_are_listed(void **state)
{
    (void)state;
    struct heard h;
    start_job("exit 3", 0);
    int fd = guest_connect();
    say(fd, frame_new(NT_G_PROCS));
    hear(fd, &h);
    assert_int_equal(h.last, NT_G_END);
    assert_true(h.entries >= 1);
    heard_done(&h);
}

/* --- files --------------------------------------------------------------------------------- */

static void path_request(struct heard *h, uint16_t type, const char *path)
{
    int fd = guest_connect();
    say(fd, frame_text(frame_new(type), NT_GT_PATH, path));
    hear(fd, h);
}

static void write_file(struct heard *h, const char *path, const uint8_t *data, size_t size,
                       uint64_t count, uint64_t mode)
{
    int fd = guest_connect();
    struct frame *f = frame_number(frame_text(frame_new(NT_G_WRITE), NT_GT_PATH, path), NT_GT_FLAGS,
                                   NT_GF_PARENTS);
    if (mode)
        frame_number(f, NT_GT_MODE, mode);
    say(fd, f);
    if (size)
        say_raw(fd, NT_G_DATA, data, size);
    say(fd, frame_number(frame_new(NT_G_END), NT_GT_COUNT, count));
    hear(fd, h);
}

static void files_come_back_as_they_went(void **state)
{
    (void)state;
    static const size_t sizes[] = { 0, 1, 4095, 65536, 65537, 3000001 };
    uint8_t *data = malloc(3000001);
    for (size_t i = 0; i < 3000001; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct heard h;
        write_file(&h, "deep/er/file", data, sizes[i], sizes[i], 0);
        assert_int_equal(h.last, NT_G_OK);
        assert_int_equal(h.number[NT_GT_SIZE], sizes[i]);
        heard_done(&h);
        path_request(&h, NT_G_READ, "deep/er/file");
        assert_int_equal(h.last, NT_G_END);
        assert_int_equal(h.number[NT_GT_OUT_BYTES], sizes[i]);
        assert_int_equal(h.size[0], sizes[i]);
        if (sizes[i])
            assert_memory_equal(h.bytes[0], data, sizes[i]);
        heard_done(&h);
    }
    free(data);
    struct heard h;
    int fd = guest_connect();
    struct frame *f = frame_text(frame_new(NT_G_READ), NT_GT_PATH, "deep/er/file");
    say(fd, frame_number(frame_number(f, NT_GT_OFFSET, 3000000), NT_GT_SIZE, 10));
    hear(fd, &h);
    assert_int_equal(h.size[0], 1);
    heard_done(&h);
}

static void a_failed_write_leaves_the_old_file(void **state)
{
    (void)state;
    struct heard h;
    write_file(&h, "kept", (const uint8_t *)"old", 3, 3, 0640);
    assert_int_equal(h.number[NT_GT_MODE], S_IFREG | 0640);
    heard_done(&h);
    write_file(&h, "kept", (const uint8_t *)"newer", 5, 6, 0);
    assert_int_equal(h.number[NT_GT_CODE], NT_GE_MISMATCH);
    heard_done(&h);
    int fd = guest_connect();
    say(fd, frame_text(frame_new(NT_G_WRITE), NT_GT_PATH, "kept"));
    say_raw(fd, NT_G_DATA, "cut", 3);
    close(fd); /* the peer is lost in the middle */
    path_request(&h, NT_G_READ, "kept");
    assert_string_equal((char *)h.bytes[0], "old");
    heard_done(&h);
    write_file(&h, "kept", (const uint8_t *)"new", 3, 3, 0);
    assert_int_equal(h.number[NT_GT_MODE], S_IFREG | 0640); /* that of the old one */
    heard_done(&h);
}

static void links_are_followed_by_write_only(void **state)
{
    (void)state;
    struct heard h;
    char link[96];
    snprintf(link, sizeof(link), "%s/link", harness.dir);
    assert_int_equal(symlink("target", link), 0);
    write_file(&h, "link", (const uint8_t *)"x", 1, 1, 0);
    assert_int_equal(h.last, NT_G_OK);
    heard_done(&h);
    path_request(&h, NT_G_STAT, "link");
    assert_int_equal(h.number[NT_GT_MODE] & S_IFMT, S_IFLNK);
    assert_true(h.has[NT_GT_TARGET]);
    heard_done(&h);
    path_request(&h, NT_G_REMOVE, "link");
    assert_int_equal(h.last, NT_G_OK);
    heard_done(&h);
    path_request(&h, NT_G_STAT, "target");
    assert_int_equal(h.number[NT_GT_SIZE], 1);
    heard_done(&h);
    assert_int_equal(symlink("loop", link), 0);
    char loop[96];
    snprintf(loop, sizeof(loop), "%s/loop", harness.dir);
    assert_int_equal(symlink("link", loop), 0);
    write_file(&h, "loop", (const uint8_t *)"x", 1, 1, 0);
    assert_int_equal(h.last, NT_G_ERROR);
    heard_done(&h);
}

static void special_files_are_refused(void **state)
{
    (void)state;
    static const char *const paths[] = { "/dev/zero", "special", "/tmp" };
    char fifo[96];
    snprintf(fifo, sizeof(fifo), "%s/special", harness.dir);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    for (size_t i = 0; i < 3; i++) {
        struct heard h;
        path_request(&h, NT_G_READ, paths[i]);
        assert_int_equal(h.number[NT_GT_CODE], NT_GE_INVALID);
        heard_done(&h);
        write_file(&h, paths[i], NULL, 0, 0, 0);
        assert_int_equal(h.number[NT_GT_CODE], NT_GE_INVALID);
        heard_done(&h);
    }
    struct heard h;
    path_request(&h, NT_G_READ, "/proc/version"); /* of size 0, but not empty */
    assert_int_equal(h.last, NT_G_END);
    assert_true(h.size[0] > 10);
    heard_done(&h);
}

static void folders_are_made_listed_and_removed(void **state)
{
    (void)state;
    struct heard h;
    for (int i = 0; i < 2; i++) { /* done when it is there */
        path_request(&h, NT_G_MKDIR, "f/g/h");
        assert_int_equal(h.last, NT_G_OK);
        heard_done(&h);
    }
    write_file(&h, "f/g/file", (const uint8_t *)"1", 1, 1, 0);
    heard_done(&h);
    int fd = guest_connect();
    say(fd, frame_number(frame_text(frame_new(NT_G_LIST), NT_GT_PATH, "f"), NT_GT_DEPTH, 9));
    hear(fd, &h);
    assert_int_equal(h.entries, 3);
    heard_done(&h);
    path_request(&h, NT_G_LIST, "f");
    assert_int_equal(h.entries, 1);
    heard_done(&h);
    fd = guest_connect();
    say(fd, frame_text(frame_text(frame_new(NT_G_RENAME), NT_GT_PATH, "f/g"), NT_GT_PATH2, "f/i"));
    hear(fd, &h);
    assert_int_equal(h.last, NT_G_OK);
    heard_done(&h);
    path_request(&h, NT_G_REMOVE, "f");
    assert_int_equal(h.last, NT_G_OK);
    heard_done(&h);
    path_request(&h, NT_G_STAT, "f");
    assert_int_equal(h.number[NT_GT_CODE], NT_GE_NOT_FOUND);
    assert_int_equal(h.number[NT_GT_ERRNO], 2);
    heard_done(&h);
}

static void a_very_deep_folder_can_be_removed(void **state)
{
    (void)state;
    struct heard h;
    run_shell(&h, "i=0; mkdir deepest; cd deepest; while [ $i -lt 700 ]; do mkdir d; cd -P d; "
                  "i=$((i+1)); done; touch f");
    assert_int_equal(h.number[NT_GT_STATUS], 0);
    heard_done(&h);
    path_request(&h, NT_G_REMOVE, "deepest");
    assert_int_equal(h.last, NT_G_OK);
    heard_done(&h);
    path_request(&h, NT_G_STAT, "deepest");
    assert_int_equal(h.number[NT_GT_CODE], NT_GE_NOT_FOUND);
    heard_done(&h);
}

static void metrics_are_plausible(void **state)
{
    (void)state;
    struct heard h;
    int fd = guest_connect();
    say(fd, frame_new(NT_G_METRICS));
    hear(fd, &h);
    assert_int_equal(h.last, NT_G_OK);
    assert_true(h.number[NT_GT_MEM_TOTAL] >= h.number[NT_GT_MEM_USED]
                && h.number[NT_GT_MEM_USED] > 0);
    assert_true(h.number[NT_GT_CPU_COUNT] >= 1 && h.number[NT_GT_DISK_TOTAL] > 0);
    heard_done(&h);
}

/* --- the end ------------------------------------------------------------------------------- */

static void a_time_to_live_ends_the_guest(void **state)
{
    (void)state;
    struct harness running = harness;
    char text[32];
    snprintf(text, sizeof(text), "8681%d", (int)getpid());
    harness_start_with("--ttl-ms", "300");
    char script[64];
    snprintf(script, sizeof(script), "exec sleep %s", text);
    start_job(script, 0);
    assert_int_equal(harness_exit(), 90);
    assert_false(has_process(text));
    harness = running;
}

static void an_idle_limit_ends_the_guest(void **state)
{
    (void)state;
    struct harness running = harness;
    harness_start_with(NULL, NULL);
    struct heard h;
    int fd = guest_connect();
    say(fd, frame_number(frame_new(NT_G_CONFIGURE), NT_GT_IDLE_MS, 200));
    hear(fd, &h);
    heard_done(&h);
    assert_int_equal(harness_exit(), 91);
    harness = running;
}

static void shutdown_waits_and_then_kills(void **state)
{
    (void)state;
    struct harness running = harness;
    harness_start_with(NULL, NULL);
    char script[256], text[32], path[96];
    snprintf(text, sizeof(text), "8691%d", (int)getpid());
    snprintf(path, sizeof(path), "/tmp/nt-guest-term-%d", (int)getpid());
    snprintf(script, sizeof(script), "trap 'echo > %s; exit' TERM; echo; sleep 5%s & wait", path,
             text);
    uint64_t pid = start_job(script, 0);
    snprintf(script, sizeof(script), "trap '' TERM; echo; sleep 5%s; sleep 6%s", text, text);
    uint64_t deaf = start_job(script, 0);
    struct heard h = { 0 };
    const uint64_t both[2] = { pid, deaf };
    for (int i = 0; i < 2; i++) { /* until the traps are set */
        int fd = guest_connect();
        say(fd, frame_number(frame_new(NT_G_ATTACH), NT_GT_PID, both[i]));
        while (!h.size[0] && hear_one(fd, &h)) {
        }
        close(fd);
        heard_done(&h);
    }
    int fd = guest_connect();
    say(fd, frame_number(frame_new(NT_G_SHUTDOWN), NT_GT_TIMEOUT_MS, 300));
    hear(fd, &h);
    assert_int_equal(h.last, NT_G_OK);
    heard_done(&h);
    assert_int_equal(harness_exit(), 0);
    assert_false(has_process(text));
    assert_int_equal(unlink(path), 0); /* it was asked first */
    harness = running;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(output_is_kept_in_order),
        cmocka_unit_test(much_output_is_kept_whole),
        cmocka_unit_test(a_viewer_that_leaves_kills_nothing),
        cmocka_unit_test(kill_reaches_daemons),
        cmocka_unit_test(input_can_be_fed),
        cmocka_unit_test(only_our_programs_are_known),
        cmocka_unit_test(ended_programs_are_listed),
        cmocka_unit_test(files_come_back_as_they_went),
        cmocka_unit_test(a_failed_write_leaves_the_old_file),
        cmocka_unit_test(links_are_followed_by_write_only),
        cmocka_unit_test(special_files_are_refused),
        cmocka_unit_test(folders_are_made_listed_and_removed),
        cmocka_unit_test(a_very_deep_folder_can_be_removed),
        cmocka_unit_test(metrics_are_plausible),
        cmocka_unit_test(a_time_to_live_ends_the_guest),
        cmocka_unit_test(an_idle_limit_ends_the_guest),
        cmocka_unit_test(shutdown_waits_and_then_kills),
    };
    return cmocka_run_group_tests(tests, harness_start, harness_stop);
}
