/* SPDX-License-Identifier: Apache-2.0 */
/* guest_attack_test.c - the fast path (nanoterm/local.h) against peers that mean harm: descriptors
 * that nobody asked for, too many of them, what an adopted connection may not do, and peers that
 * leave in the middle. What is no pipe is refused in guest_test.c. */
#include "guest_harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const echo[] = { "/bin/sh", "-c", "echo ran", NULL };

static void still_serves(void)
{
    struct heard h;
    int fd = guest_connect();
    say(fd, frame_new(NT_G_PING));
    hear(fd, &h);
    assert_int_equal(h.last, NT_G_OK);
    heard_done(&h);
}

/* A pipe whose writing end is given away: when nobody has it any more, its reader sees the end. */
struct bait {
    int reader, writer;
};

static struct bait bait_new(void)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    return (struct bait){ ends[0], ends[1] };
}

/* Neither the guest nor a program keeps it. */
static void assert_nobody_has(struct bait *bait)
{
    close(bait->writer);
    struct pollfd end = { .fd = bait->reader };
    assert_int_equal(poll(&end, 1, 20000), 1);
    assert_true(end.revents & POLLHUP);
    char byte;
    assert_int_equal(read(bait->reader, &byte, 1), 0);
    close(bait->reader);
}

/* The connection that the guest has adopted, as a client gets it. */
static int adopted(void)
{
    int pair[2];
    struct heard h;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    int fd = guest_connect();
    say_with(fd, frame_new(NT_G_ADOPT), &pair[1], 1);
    close(pair[1]);
    hear(fd, &h);
    assert_int_equal(h.last, NT_G_OK);
    heard_done(&h);
    struct timeval limit = { .tv_sec = 20 };
    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    return pair[0];
}

/* --- descriptors --------------------------------------------------------------------------- */

static void too_many_descriptors_are_refused_and_closed(void **state)
{
    (void)state;
    for (unsigned count = 2; count <= 8; count++) {
        struct bait baits[8];
        int fds[8];
        struct heard h;
        for (unsigned i = 0; i < count; i++) {
            baits[i] = bait_new();
            fds[i] = baits[i].writer;
        }
        int fd = adopted();
        say_with(fd, exec_frame(NT_GX_FD_STDOUT, 0, echo), fds, count);
        hear(fd, &h);
        assert_int_equal(h.last, NT_G_ERROR);
        assert_int_equal(h.number[NT_GT_CODE], NT_GE_BAD_DESCRIPTOR);
        heard_done(&h);
        for (unsigned i = 0; i < count; i++)
            assert_nobody_has(&baits[i]);
    }
    still_serves();
}

/* Three are taken at the first byte; more come with the rest of the frame. */
static void descriptors_in_the_middle_of_a_frame_are_refused(void **state)
{
    (void)state;
    struct bait first = bait_new(), second = bait_new();
    struct heard h;
    int fd = adopted();
    struct frame *f = exec_frame(NT_GX_FD_STDOUT, 0, echo);
    size_t size = nt_g_done(&f->w);
    for (size_t i = 0; i < size; i++) { /* the head alone, so that the guest begins to read */
        union {
            char space[CMSG_SPACE(sizeof(int))];
            struct cmsghdr align;
        } control = { { 0 } };
        struct iovec iov = { f->memory + i, 1 };
        struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
        if (i == 0 || i == 10) {
            msg.msg_control = control.space;
            msg.msg_controllen = sizeof(control.space);
            struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
            c->cmsg_level = SOL_SOCKET;
            c->cmsg_type = SCM_RIGHTS;
            c->cmsg_len = CMSG_LEN(sizeof(int));
            memcpy(CMSG_DATA(c), i ? &second.writer : &first.writer, sizeof(int));
        }
        assert_int_equal(sendmsg(fd, &msg, MSG_NOSIGNAL), 1);
    }
    free(f);
    hear(fd, &h);
    assert_int_equal(h.number[NT_GT_CODE], NT_GE_BAD_DESCRIPTOR);
    heard_done(&h);
    assert_nobody_has(&first);
    assert_nobody_has(&second);
}

static void descriptors_on_other_frames_are_closed(void **state)
{
    (void)state;
    static const uint16_t requests[] = { NT_G_PING, NT_G_STAT, NT_G_METRICS, NT_G_PROCS,
                                         NT_G_KILL, NT_G_LIST, 4711 };
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        struct bait bait = bait_new();
        struct heard h;
        int fd = guest_connect();
        say_with(fd, frame_text(frame_new(requests[i]), NT_GT_PATH, "/"), &bait.writer, 1);
        hear(fd, &h);
        heard_done(&h);
        assert_nobody_has(&bait);
    }
    /* behind the request: with the input, a signal, the end of the input */
    static const char *const cat[] = { "cat", NULL };
    static const uint16_t frames[] = { NT_G_STDIN, NT_G_SIGNAL, NT_G_STDIN_END };
    for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
        struct bait bait = bait_new();
        struct heard h = { 0 };
        int fd = adopted();
        say(fd, exec_frame(NT_GX_STDIN, 0, cat));
        while (h.last != NT_G_STARTED)
            assert_true(hear_one(fd, &h));
        struct frame *f = frame_new(frames[i]);
        if (frames[i] == NT_G_SIGNAL)
            frame_number(f, NT_GT_SIGNAL, 9);
        say_with(fd, f, &bait.writer, 1);
        /* the program is still there or not: it must not have the descriptor */
        say(fd, frame_number(frame_new(NT_G_SIGNAL), NT_GT_FLAGS, NT_GX_TREE));
        while (hear_one(fd, &h)) {
        }
        close(fd);
        heard_done(&h);
        assert_nobody_has(&bait);
    }
    still_serves();
}

static void a_connection_sent_over_itself_is_let_go(void **state)
{
    (void)state;
    int fd = guest_connect();
    struct heard h;
    say_with(fd, frame_new(NT_G_PING), &fd, 1);
    hear(fd, &h);
    heard_done(&h);
    still_serves();
}

static void only_a_connected_stream_is_adopted(void **state)
{
    (void)state;
    int pair[2], listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
    struct sockaddr local = { .sa_family = AF_UNIX };
    assert_int_equal(bind(listener, &local, sizeof(local.sa_family)), 0);
    assert_int_equal(listen(listener, 1), 0);
    struct bait bait = bait_new();
    const int wrong[] = { pair[0], listener, bait.writer,
                          open("/tmp", O_DIRECTORY | O_RDONLY | O_CLOEXEC) };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct heard h;
        int fd = guest_connect();
        say_with(fd, frame_new(NT_G_ADOPT), &wrong[i], 1);
        hear(fd, &h);
        assert_int_equal(h.number[NT_GT_CODE], NT_GE_BAD_DESCRIPTOR);
        heard_done(&h);
    }
    struct heard h;
    int fd = guest_connect();
    say(fd, frame_new(NT_G_ADOPT)); /* none at all */
    hear(fd, &h);
    assert_int_equal(h.number[NT_GT_CODE], NT_GE_BAD_DESCRIPTOR);
    heard_done(&h);
    close(pair[0]);
    close(pair[1]);
    close(listener);
    close(wrong[3]);
    assert_nobody_has(&bait);
    still_serves();
}

/* --- what an adopted connection may not do ------------------------------------------------- */

static void an_adopted_connection_is_no_way_to_the_guest(void **state)
{
    (void)state;
    static const uint16_t types[] = {
        NT_G_LOGS,    NT_G_PROCS,    NT_G_KILL,   NT_G_FEED,     NT_G_STAT,      NT_G_LIST,
        NT_G_MKDIR,   NT_G_REMOVE,   NT_G_RENAME, NT_G_CHMOD,    NT_G_GREP,      NT_G_GLOB,
        NT_G_REPLACE, NT_G_WATCH,    NT_G_PORTS,  NT_G_PUBLISH,  NT_G_UNPUBLISH, NT_G_CONFIGURE,
        NT_G_METRICS, NT_G_SHUTDOWN, NT_G_ADOPT,  NT_G_LISTENER, NT_G_PING,      4711,
    };
    char path[128];
    snprintf(path, sizeof(path), "%s/stays", harness.dir);
    assert_int_equal(mkdir(path, 0700), 0);
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct heard h;
        int fd = adopted();
        struct frame *f = frame_text(frame_new(types[i]), NT_GT_PATH, path);
        frame_number(frame_number(f, NT_GT_PID, (uint64_t)harness.pid), NT_GT_TTL_MS, 1);
        say(fd, f);
        hear(fd, &h);
        if (h.last != NT_G_ERROR || h.number[NT_GT_CODE] != NT_GE_NOT_ALLOWED)
            fail_msg("request %u was not refused", types[i]);
        heard_done(&h);
    }
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    still_serves();
}

static void one_connection_is_one_program(void **state)
{
    (void)state;
    static const char *const sleeper[] = { "sleep", "8671", NULL };
    static const uint16_t seconds[] = { NT_G_EXEC, NT_G_ATTACH, NT_G_CONNECT, NT_G_SHUTDOWN };
    for (size_t i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++) {
        struct heard h = { 0 };
        int fd = adopted();
        say(fd, exec_frame(0, 0, sleeper));
        while (h.last != NT_G_STARTED)
            assert_true(hear_one(fd, &h));
        say(fd, seconds[i] == NT_G_EXEC ? exec_frame(0, 0, echo) : frame_new(seconds[i]));
        while (hear_one(fd, &h)) {
        }
        close(fd);
        assert_int_not_equal(h.last, NT_G_EXIT); /* it is lost with its connection */
        assert_int_equal(h.size[0], 0);          /* and the second never ran */
        heard_done(&h);
    }
    /* both at once, before the first was read */
    struct heard h;
    int fd = adopted();
    struct frame *one = exec_frame(0, 0, echo), *two = exec_frame(0, 0, echo);
    uint8_t bytes[1024];
    size_t size = nt_g_done(&one->w), more = nt_g_done(&two->w);
    assert_true(size + more < sizeof(bytes));
    memcpy(bytes, one->memory, size);
    memcpy(bytes + size, two->memory, more);
    say_bytes(fd, bytes, size + more);
    free(one);
    free(two);
    hear(fd, &h);
    assert_true(h.size[0] <= 4); /* "ran\n" once, or not at all */
    heard_done(&h);
    still_serves();
}

/* --- peers that leave ---------------------------------------------------------------------- */

static void leave_after(const void *bytes, size_t size, int given)
{
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = { { 0 } };
    struct iovec iov = { (void *)(uintptr_t)bytes, size };
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = control.space,
                          .msg_controllen = sizeof(control.space) };
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &given, sizeof(int));
    int fd = adopted();
    assert_int_equal(sendmsg(fd, &msg, MSG_NOSIGNAL), (ssize_t)size);
    close(fd);
}

static void a_request_cut_anywhere_runs_nothing(void **state)
{
    (void)state;
    char path[128], script[160];
    snprintf(path, sizeof(path), "%s/it-ran", harness.dir);
    snprintf(script, sizeof(script), "echo > %s", path);
    const char *argv[] = { "/bin/sh", "-c", script, NULL };
    struct frame *f = exec_frame(NT_GX_FD_STDOUT, 0, argv);
    size_t size = nt_g_done(&f->w);
    for (size_t cut = 1; cut < size; cut++) {
        struct bait bait = bait_new();
        leave_after(f->memory, cut, bait.writer);
        assert_nobody_has(&bait);
    }
    free(f);
    struct stat st;
    assert_int_equal(stat(path, &st), -1);
    assert_int_equal(errno, ENOENT);
    still_serves();
}

/* Each frame that a client may send, cut at each of its bytes: the program goes, and what it was
 * given is closed. */
static void a_program_dies_with_a_peer_that_leaves_in_a_frame(void **state)
{
    (void)state;
    static const char *const sleeper[] = { "sleep", "8672", NULL };
    static const uint16_t types[] = { NT_G_STDIN, NT_G_STDIN_END, NT_G_SIGNAL, NT_G_RESIZE };
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct frame *f = frame_number(frame_new(types[i]), NT_GT_SIGNAL, 10);
        size_t size = nt_g_done(&f->w);
        for (size_t cut = 1; cut < size; cut++) {
            struct bait bait = bait_new();
            struct heard h = { 0 };
            int fd = adopted();
            say_with(fd, exec_frame(NT_GX_STDIN | NT_GX_FD_STDOUT, 0, sleeper), &bait.writer, 1);
            while (h.last != NT_G_STARTED)
                assert_true(hear_one(fd, &h));
            say_bytes(fd, f->memory, cut);
            close(fd);
            heard_done(&h);
            assert_nobody_has(&bait); /* the sleeper had it */
        }
        free(f);
    }
    still_serves();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(too_many_descriptors_are_refused_and_closed),
        cmocka_unit_test(descriptors_in_the_middle_of_a_frame_are_refused),
        cmocka_unit_test(descriptors_on_other_frames_are_closed),
        cmocka_unit_test(a_connection_sent_over_itself_is_let_go),
        cmocka_unit_test(only_a_connected_stream_is_adopted),
        cmocka_unit_test(an_adopted_connection_is_no_way_to_the_guest),
        cmocka_unit_test(one_connection_is_one_program),
        cmocka_unit_test(a_request_cut_anywhere_runs_nothing),
        cmocka_unit_test(a_program_dies_with_a_peer_that_leaves_in_a_frame),
    };
    return cmocka_run_group_tests(tests, harness_start, harness_stop);
}
