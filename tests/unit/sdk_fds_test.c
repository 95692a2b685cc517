/* SPDX-License-Identifier: Apache-2.0 */
/* sdk_fds_test.c - descriptors over a socket: as many as are wanted, and never one that nobody
 * knows of. */
#include "sdk/fds.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "sdk/cleanup.h"

static unsigned open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;
    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

struct pair {
    int ends[2];
    int sent[8]; /* different files, to tell them apart */
    unsigned before;
};

static int set_up(void **state)
{
    struct pair *p = calloc(1, sizeof(*p));
    assert_non_null(p);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p->ends), 0);
    for (unsigned i = 0; i < 8; i += 2)
        assert_int_equal(pipe2(p->sent + i, O_CLOEXEC), 0);
    p->before = open_fds();
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct pair *p = *state;
    close(p->ends[0]);
    close(p->ends[1]);
    for (unsigned i = 0; i < 8; i++)
        close(p->sent[i]);
    free(p);
    return 0;
}

/* Sends more than nt_send_fds would: as somebody hostile does. */
static void send_many(const struct pair *p, unsigned count)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(8 * sizeof(int))];
    } room = { .bytes = { 0 } };
    char byte = 'x';
    struct iovec part = { &byte, 1 };
    struct msghdr message = { .msg_iov = &part,
                              .msg_iovlen = 1,
                              .msg_control = &room,
                              .msg_controllen = CMSG_SPACE(count * sizeof(int)) };
    room.head.cmsg_level = SOL_SOCKET;
    room.head.cmsg_type = SCM_RIGHTS;
    room.head.cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(&room.head), p->sent, count * sizeof(int));
    assert_int_equal(sendmsg(p->ends[0], &message, MSG_NOSIGNAL), 1);
}

static void what_is_sent_arrives_in_order(void **state)
{
    const struct pair *p = *state;
    for (unsigned count = 0; count <= NT_FDS_MAX; count++) {
        char text[8];
        int fds[NT_FDS_MAX] = { -1, -1, -1, -1 }, got = -7;
        assert_int_equal(nt_send_fds(p->ends[0], "abc", 3, count ? p->sent : NULL, count, 0), 3);
        assert_int_equal(
            nt_recv_fds(p->ends[1], text, sizeof(text), fds, NT_FDS_MAX, &got, MSG_DONTWAIT), 3);
        assert_memory_equal(text, "abc", 3);
        assert_int_equal(got, count);
        for (unsigned i = 0; i < NT_FDS_MAX; i++) {
            struct stat a, b;
            if (i >= count) {
                assert_int_equal(fds[i], -1);
                continue;
            }
            assert_int_equal(fstat(fds[i], &a) | fstat(p->sent[i], &b), 0);
            assert_true(a.st_dev == b.st_dev && a.st_ino == b.st_ino);
            assert_true(fcntl(fds[i], F_GETFL) == fcntl(p->sent[i], F_GETFL));
            assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
            close(fds[i]);
        }
        assert_int_equal(open_fds(), p->before);
    }
}

static void one_too_many_closes_all(void **state)
{
    const struct pair *p = *state;
    /* The room for one has padding into which a second fits: it must not stay open, unknown. */
    for (unsigned max = 0; max <= NT_FDS_MAX; max++)
        for (unsigned count = max + 1; count <= 8; count++) {
            char byte;
            int fds[NT_FDS_MAX] = { -1, -1, -1, -1 }, got = -7;
            send_many(p, count);
            assert_int_equal(
                nt_recv_fds(p->ends[1], &byte, 1, max ? fds : NULL, max, &got, MSG_DONTWAIT), 1);
            assert_int_equal(got, -1);
            for (unsigned i = 0; i < NT_FDS_MAX; i++)
                assert_int_equal(fds[i], -1);
            assert_int_equal(open_fds(), p->before);
        }
}

static void without_room_in_the_process_none_stays(void **state)
{
    const struct pair *p = *state;
    struct rlimit old, few;
    char byte;
    int fds[NT_FDS_MAX] = { -1, -1, -1, -1 }, got = -7;
    send_many(p, 3);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    int next = dup(p->ends[0]); /* the lowest free number: one fits, three do not */
    assert_true(next >= 0);
    close(next);
    few = old;
    few.rlim_cur = (rlim_t)next + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    ssize_t n = nt_recv_fds(p->ends[1], &byte, 1, fds, 3, &got, MSG_DONTWAIT);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(n, 1);
    assert_int_equal(got, -1);
    assert_int_equal(fds[0], -1);
    assert_int_equal(open_fds(), p->before);
}

static void ends_and_failures_are_told(void **state)
{
    struct pair *p = *state;
    char byte;
    int fds[NT_FDS_MAX + 1], got = -7;
    assert_int_equal(nt_recv_fds(p->ends[1], &byte, 1, fds, 1, &got, MSG_DONTWAIT), -1);
    assert_true(errno == EAGAIN && got == 0);
    assert_int_equal(nt_recv_fds(p->ends[1], &byte, 1, fds, NT_FDS_MAX + 1, &got, 0), -1);
    assert_true(errno == EINVAL && got == 0);
    assert_int_equal(nt_send_fds(p->ends[0], "x", 1, p->sent, NT_FDS_MAX + 1, 0), -1);
    assert_int_equal(errno, EINVAL);
    close(p->ends[0]);
    assert_int_equal(nt_recv_fds(p->ends[1], &byte, 1, fds, 1, &got, 0), 0);
    assert_int_equal(got, 0);
    /* no SIGPIPE */
    assert_int_equal(nt_send_fds(p->ends[1], "x", 1, p->sent, 1, 0), -1);
    assert_int_equal(errno, EPIPE);
    p->ends[0] = dup(p->ends[1]);
}

static void the_whole_size_of_a_packet_is_known(void **state)
{
    (void)state;
    int ends[2], fd = -1, got;
    char few[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(nt_send_fds(ends[0], "abcdef", 6, &ends[1], 1, 0), 6);
    assert_int_equal(nt_recv_fds(ends[1], few, sizeof(few), &fd, 1, &got, MSG_TRUNC), 6);
    assert_int_equal(got, 1);
    close(fd);
    close(ends[0]);
    close(ends[1]);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

static void the_sender_is_told(void **state)
{
    struct pair *p = *state;
    const int on = 1;
    int fds[2] = { -1, -1 }, count;
    pid_t pid = -1;
    char byte;
    assert_int_equal(setsockopt(p->ends[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
    assert_int_equal(nt_send_fds(p->ends[0], "x", 1, p->sent, 1, 0), 1);
    assert_int_equal(nt_recv_fds_from(p->ends[1], &byte, 1, fds, 1, &count, &pid, 0), 1);
    assert_int_equal(count, 1);
    assert_int_equal(pid, getpid());
    close(fds[0]);
    /* Without descriptors, and with more than are wanted. */
    assert_int_equal(nt_send_fds(p->ends[0], "x", 1, NULL, 0, 0), 1);
    assert_int_equal(nt_recv_fds_from(p->ends[1], &byte, 1, fds, 1, &count, &pid, 0), 1);
    assert_int_equal(count, 0);
    assert_int_equal(pid, getpid());
    send_many(p, 8);
    assert_int_equal(nt_recv_fds_from(p->ends[1], &byte, 1, fds, 1, &count, &pid, 0), 1);
    assert_int_equal(count, -1);
    assert_int_equal(open_fds(), p->before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_sent_arrives_in_order),
        TEST(one_too_many_closes_all),
        TEST(without_room_in_the_process_none_stays),
        TEST(ends_and_failures_are_told),
        TEST(the_sender_is_told),
        cmocka_unit_test(the_whole_size_of_a_packet_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
