/* SPDX-License-Identifier: Apache-2.0 */
/* guest_kept_test.c - drives the real guest: names of jobs, output by offsets, programs that
 * outlive their stream, and signs of life. */
#include "guest_harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static struct frame *shell_frame(uint64_t flags, const char *id, const char *script)
{
    const char *argv[] = { "/bin/sh", "-c", script, NULL };
    struct frame *f = exec_frame(flags, 0, argv);
    return id ? frame_text(f, NT_GT_ID, id) : f;
}

static void start(struct heard *h, uint64_t flags, const char *id, const char *script)
{
    int fd = guest_connect();
    say(fd, shell_frame(NT_GX_BACKGROUND | flags, id, script));
    hear(fd, h);
}

/* fields: pairs of tag and number, ended by 0 */
static void ask(struct heard *h, uint16_t type, const char *id, const uint64_t *fields)
{
    int fd = guest_connect();
    struct frame *f = frame_text(frame_new(type), NT_GT_ID, id);
    for (; fields && *fields; fields += 2)
        frame_number(f, (uint16_t)fields[0], fields[1]);
    say(fd, f);
    hear(fd, h);
}

static void wait_for_end(const char *id)
{
    struct heard h;
    ask(&h, NT_G_ATTACH, id, NULL);
    assert_int_equal(h.last, NT_G_EXIT);
    heard_done(&h);
}

static void a_job_has_the_id_that_was_given(void **state)
{
    (void)state;
    struct heard h;
    start(&h, 0, "job_mine", "echo it; exit 4");
    assert_int_equal(h.last, NT_G_STARTED);
    assert_string_equal(h.id, "job_mine");
    heard_done(&h);
    ask(&h, NT_G_ATTACH, "job_mine", NULL);
    assert_string_equal((char *)h.bytes[0], "it\n");
    assert_int_equal(h.number[NT_GT_STATUS], 4);
    heard_done(&h);
    start(&h, 0, "job_mine", "true"); /* also an ended one keeps its name */
    assert_int_equal(h.number[NT_GT_CODE], NT_GE_INVALID);
    heard_done(&h);
    static const char *const bad[] = { "job-x", "../x", "",
                                       "job_12345678901234567890123456789012345678901" };
    for (size_t i = 0; i < 4; i++) {
        start(&h, 0, bad[i], "true");
        assert_int_equal(h.number[NT_GT_CODE], NT_GE_INVALID);
        heard_done(&h);
    }
    ask(&h, NT_G_LOGS, "job_another", NULL);
    assert_int_equal(h.number[NT_GT_CODE], NT_GE_NOT_FOUND);
    heard_done(&h);
}

static void ids_that_the_guest_makes_differ(void **state)
{
    (void)state;
    struct heard h, other;
    run_shell(&h, "true");
    run_shell(&other, "true");
    assert_true(strncmp(h.id, "job_", 4) == 0);
    assert_string_not_equal(h.id, other.id);
    heard_done(&h);
    heard_done(&other);
}

/* 3,000,000 bytes in small writes to both outputs in turn: every offset gives the very same rest.
 */
static void output_can_be_read_from_any_offset(void **state)
{
    (void)state;
    struct heard h, all;
    start(&h, 0, "job_long",
          "i=0; while [ $i -lt 3000 ]; do printf %0500d $i; printf %0500d $i >&2; i=$((i+1)); "
          "done");
    heard_done(&h);
    wait_for_end("job_long");
    ask(&all, NT_G_LOGS, "job_long", NULL);
    assert_int_equal(all.size[0] + all.size[1], 3000000);
    assert_int_equal(all.number[NT_GT_OFFSET], 3000000);
    assert_int_equal(all.number[NT_GT_OUT_BYTES], 1500000);
    static const uint64_t offsets[] = { 0,       1,       499,     500,       501,    65535,
                                        65536,   262144,  262145,  1048577,   262743, 2999999,
                                        2999500, 3000000, 3000001, UINT64_MAX };
    for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
        uint64_t left = offsets[i] < 3000000 ? 3000000 - offsets[i] : 0;
        ask(&h, NT_G_LOGS, "job_long", (const uint64_t[]){ NT_GT_OFFSET, offsets[i], 0 });
        assert_int_equal(h.size[0] + h.size[1], left);
        for (int j = 0; j < 2; j++)
            if (h.size[j])
                assert_memory_equal(h.bytes[j], all.bytes[j] + all.size[j] - h.size[j], h.size[j]);
        assert_int_equal(h.number[NT_GT_OFFSET], 3000000);
        heard_done(&h);
        ask(&h, NT_G_ATTACH, "job_long", (const uint64_t[]){ NT_GT_OFFSET, offsets[i], 0 });
        assert_int_equal(h.size[0] + h.size[1], left);
        assert_int_equal(h.number[NT_GT_OFFSET], 3000000 - left);
        heard_done(&h);
    }
    heard_done(&all);
}

/* In pieces of every size, joined again by the offset that each answer names. */
static void output_can_be_read_in_pieces(void **state)
{
    (void)state;
    struct heard h;
    start(&h, 0, "job_pieces", "head -c 300000 /dev/zero | tr '\\0' a; printf bcd >&2");
    heard_done(&h);
    wait_for_end("job_pieces");
    static const uint64_t sizes[] = { 7, 70000, 65536, 1, 131072 };
    uint64_t offset = 0, sum[2] = { 0 };
    for (size_t i = 0; offset < 300003; i = (i + 1) % 5) {
        ask(&h, NT_G_LOGS, "job_pieces",
            (const uint64_t[]){ NT_GT_OFFSET, offset, NT_GT_SIZE, sizes[i], 0 });
        uint64_t want = 300003 - offset < sizes[i] ? 300003 - offset : sizes[i];
        assert_int_equal(h.size[0] + h.size[1], want);
        assert_int_equal(h.number[NT_GT_OFFSET], offset + want);
        offset += want;
        sum[0] += h.size[0];
        sum[1] += h.size[1];
        heard_done(&h);
    }
    assert_int_equal(sum[0], 300000);
    assert_int_equal(sum[1], 3);
}

static void a_kept_program_outlives_its_stream(void **state)
{
    (void)state;
    char path[96], script[256];
    snprintf(path, sizeof(path), "%s/go-on", harness.dir);
    snprintf(script, sizeof(script),
             "echo before; until [ -e %s ]; do sleep 0.02; done; echo after; exit 9", path);
    struct heard h = { 0 };
    int fd = guest_connect();
    say(fd, shell_frame(NT_GX_KEEP, "job_kept", script));
    while (!h.size[0] && hear_one(fd, &h)) {
    }
    assert_string_equal(h.id, "job_kept");
    close(fd); /* the client is lost */
    heard_done(&h);
    ask(&h, NT_G_LOGS, "job_kept", NULL);
    assert_int_equal(h.number[NT_GT_RUNNING], 1);
    heard_done(&h);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);
    ask(&h, NT_G_ATTACH, "job_kept", NULL);
    assert_string_equal((char *)h.bytes[0], "before\nafter\n");
    assert_int_equal(h.number[NT_GT_STATUS], 9);
    heard_done(&h);
}

/* While its stream lives, it is an ordinary program in the foreground. */
static void a_kept_program_ends_on_its_stream(void **state)
{
    (void)state;
    struct heard h;
    const char *argv[] = { "/bin/sh", "-c", "head -c 2500000 /dev/zero; echo e >&2; exit 3", NULL };
    run_program(&h, NT_GX_KEEP, 0, argv);
    assert_int_equal(h.last, NT_G_EXIT);
    assert_int_equal(h.number[NT_GT_STATUS], 3);
    assert_int_equal(h.size[0], 2500000);
    assert_int_equal(h.number[NT_GT_OUT_BYTES], 2500000);
    char id[64];
    memcpy(id, h.id, sizeof(id));
    heard_done(&h);
    ask(&h, NT_G_LOGS, id, NULL);
    assert_int_equal(h.size[0], 2500000);
    assert_string_equal((char *)h.bytes[1], "e\n");
    heard_done(&h);
    run_program(&h, NT_GX_KEEP | NT_GX_FD_STDOUT, 0, argv);
    assert_int_equal(h.number[NT_GT_CODE], NT_GE_INVALID);
    heard_done(&h);
}

/* Without KEEP the tree dies with the stream, whatever it has made of itself. */
static void a_program_that_is_not_kept_dies_with_its_stream(void **state)
{
    (void)state;
    char script[256], text[32];
    int me = (int)getpid();
    snprintf(text, sizeof(text), "8711%d", me);
    snprintf(script, sizeof(script),
             "trap '' TERM HUP; (setsid sh -c 'trap \"\" TERM HUP; sleep 87\"\"11%d' &); echo; "
             "sleep 100",
             me);
    struct heard h = { 0 };
    int fd = guest_connect();
    say(fd, shell_frame(0, NULL, script));
    while (!h.size[0] && hear_one(fd, &h)) {
    }
    close(fd);
    heard_done(&h);
    for (int i = 0; i < 2000 && has_process(text); i++)
        nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
    assert_false(has_process(text));
}

/* With a daemon that has its own session and ignores signals: gone before the end is told. */
static void a_time_limit_proves_the_tree_gone(void **state)
{
    (void)state;
    char script[256], text[32];
    int me = (int)getpid();
    snprintf(text, sizeof(text), "8721%d", me);
    snprintf(script, sizeof(script),
             "trap '' TERM HUP; (setsid sh -c 'trap \"\" TERM HUP; (sleep 87\"\"21%d &)' &); "
             "sleep 100",
             me);
    const char *argv[] = { "/bin/sh", "-c", script, NULL };
    struct heard h;
    run_program(&h, 0, 400, argv);
    assert_int_equal(h.last, NT_G_EXIT);
    assert_int_equal(h.number[NT_GT_REASON], NT_GR_TIMEOUT);
    assert_int_equal(h.number[NT_GT_STATUS], 124);
    assert_false(has_process(text));
    heard_done(&h);
}

static void signs_of_life_come_only_when_asked_for(void **state)
{
    (void)state;
    struct heard h = { 0 };
    int fd = guest_connect();
    say(fd, frame_number(shell_frame(NT_GX_KEEP, "job_beat", "sleep 100"), NT_GT_BEAT_MS, 50));
    while (h.last != NT_G_BEAT && hear_one(fd, &h)) {
    }
    assert_int_equal(h.last, NT_G_BEAT);
    heard_done(&h);
    close(fd);
    fd = guest_connect();
    say(fd,
        frame_number(frame_text(frame_new(NT_G_ATTACH), NT_GT_ID, "job_beat"), NT_GT_BEAT_MS, 50));
    for (int i = 0; i < 3;) {
        assert_true(hear_one(fd, &h));
        i += h.last == NT_G_BEAT;
    }
    close(fd);
    heard_done(&h);
    ask(&h, NT_G_KILL, "job_beat", (const uint64_t[]){ NT_GT_FLAGS, NT_GX_TREE, 0 });
    assert_int_equal(h.last, NT_G_OK);
    heard_done(&h);
    run_shell(&h, "sleep 0.3");
    assert_int_equal(h.frames, 2); /* STARTED EXIT */
    heard_done(&h);
}

static void the_list_says_all_of_a_job(void **state)
{
    (void)state;
    struct heard h;
    start(&h, 0, "job_listed", "echo 12345; echo 123 >&2; kill -9 $$");
    heard_done(&h);
    wait_for_end("job_listed");
    int fd = guest_connect();
    say(fd, frame_new(NT_G_PROCS));
    h = (struct heard){ 0 };
    while (!h.entries && hear_one(fd, &h)) { /* the newest comes first */
    }
    close(fd);
    assert_string_equal(h.id, "job_listed");
    assert_int_equal(h.number[NT_GT_OUT_BYTES], 6);
    assert_int_equal(h.number[NT_GT_ERR_BYTES], 4);
    assert_int_equal(h.number[NT_GT_STATUS], 137);
    assert_int_equal(h.number[NT_GT_SIGNAL], 9);
    assert_int_equal(h.number[NT_GT_REASON], NT_GR_SIGNALED);
    assert_int_equal(h.number[NT_GT_FLAGS], NT_GX_BACKGROUND);
    assert_true(h.number[NT_GT_STARTED_MS] > 0
                && h.number[NT_GT_ENDED_MS] >= h.number[NT_GT_STARTED_MS]);
    heard_done(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_has_the_id_that_was_given),
        cmocka_unit_test(ids_that_the_guest_makes_differ),
        cmocka_unit_test(output_can_be_read_from_any_offset),
        cmocka_unit_test(output_can_be_read_in_pieces),
        cmocka_unit_test(a_kept_program_outlives_its_stream),
        cmocka_unit_test(a_kept_program_ends_on_its_stream),
        cmocka_unit_test(a_program_that_is_not_kept_dies_with_its_stream),
        cmocka_unit_test(a_time_limit_proves_the_tree_gone),
        cmocka_unit_test(signs_of_life_come_only_when_asked_for),
        cmocka_unit_test(the_list_says_all_of_a_job),
    };
    return cmocka_run_group_tests(tests, harness_start, harness_stop);
}
