/* SPDX-License-Identifier: Apache-2.0 */
/* enforce_filter_test.c - the parts of the filter of system calls that not every caller wants:
 * rules in front with a listener, 32-bit programs, datagrams. Tried from inside, as root and as a
 * normal user; every attack is also run unconfined. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

#include "plugins/sandbox-enforce/enforce/enforce.h"

#define CANNOT 99 /* the child could not be confined */

static int reap(pid_t pid)
{
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* What WORK returns in a child, confined as DESCRIBE says; NULL: not confined. */
static int run(void (*describe)(struct enforce *e), int (*work)(void))
{
    struct enforce e;
    enum enforce_layer layer = ENFORCE_LAYERS;
    pid_t pid = fork();
    if (pid)
        return reap(pid);
    enforce_init(&e);
    if (describe) {
        describe(&e);
        if (enforce_prepare(&e, &layer) || enforce_enter(&e, &layer))
            _exit(CANNOT);
    }
    _exit(work());
}

/* WORK returns 0 when it went through and 1 when it was refused. */
static void attacked(void (*describe)(struct enforce *e), int (*work)(void), int line)
{
    int free = run(NULL, work), held = run(describe, work);
    if (free != 0 || held != 1)
        fail_msg("line %d: unconfined %d, confined %d", line, free, held);
}
#define ATTACKED(describe, work) attacked((describe), (work), __LINE__)

/* --- datagrams of the local machine ---------------------------------------------------------- */

static void no_datagrams(struct enforce *e)
{
    e->calls = ENFORCE_CALLS_DATAGRAMS;
}

static int local(int type)
{
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        close(fd);
    return fd < 0;
}

static int pair(int type)
{
    int fds[2];
    if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds) < 0)
        return 1;
    close(fds[0]);
    close(fds[1]);
    return 0;
}

static int datagram(void)
{
    return local(SOCK_DGRAM);
}

static int raw(void) /* another word for datagram */
{
    return local(SOCK_RAW);
}

static int datagram_with_flags(void)
{
    return local(SOCK_DGRAM | SOCK_NONBLOCK);
}

static int datagram_pair(void)
{
    return pair(SOCK_DGRAM);
}

static int datagram_high(void) /* the kernel reads 32 bits */
{
    long fd = syscall(SYS_socket, 0x100000000l | AF_UNIX, 0x700000000l | SOCK_DGRAM, 0);
    if (fd >= 0)
        close((int)fd);
    return fd < 0;
}

static int streams(void)
{
    return local(SOCK_STREAM) || local(SOCK_SEQPACKET) || pair(SOCK_STREAM) || pair(SOCK_SEQPACKET);
}

static int inet(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        close(fd);
    return fd < 0;
}

static void datagrams_are_refused_and_streams_are_not(void **state)
{
    (void)state;
    ATTACKED(no_datagrams, datagram);
    ATTACKED(no_datagrams, raw);
    ATTACKED(no_datagrams, datagram_with_flags);
    ATTACKED(no_datagrams, datagram_pair);
    ATTACKED(no_datagrams, datagram_high);
    assert_int_equal(run(no_datagrams, streams), 0);
    assert_int_equal(run(no_datagrams, inet), 0);
}

/* --- limits of other processes ------------------------------------------------------------------
 */

static void no_limits(struct enforce *e)
{
    e->calls = ENFORCE_CALLS_LIMITS;
}

static int limit_parent(void)
{
    struct rlimit old;
    return syscall(SYS_prlimit64, getppid(), RLIMIT_CPU, NULL, &old) < 0;
}

static int slow_parent(void)
{
    return setpriority(PRIO_PROCESS, (id_t)getppid(), getpriority(PRIO_PROCESS, 0)) < 0;
}

static int limits_itself(void)
{
    struct rlimit old;
    return getrlimit(RLIMIT_NOFILE, &old) < 0 || setrlimit(RLIMIT_NOFILE, &old) < 0
           || setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0)) < 0;
}

static void limits_are_set_for_oneself_only(void **state)
{
    (void)state;
    ATTACKED(no_limits, limit_parent);
    ATTACKED(no_limits, slow_parent);
    assert_int_equal(run(no_limits, limits_itself), 0);
}

/* --- modes, owners and attributes --------------------------------------------------------------
 */

static void no_owners(struct enforce *e)
{
    e->calls = ENFORCE_CALLS_OWNERS;
}

/* Refused before anybody looks at what they ask for. The last four by number: fchmodat2,
 * setxattrat, removexattrat, file_setattr. */
static int change_nothing(void)
{
    static const long calls[] = { SYS_fchmod, SYS_fchown, SYS_fsetxattr, 452, 463, 466, 469 };
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        if (syscall(calls[i], -1, NULL, NULL, NULL, 0, 0) != -1 || errno != EPERM)
            return 1;
    return 0;
}

static void attributes_are_refused_by_the_newest_calls_too(void **state)
{
    (void)state;
    assert_int_equal(run(no_owners, change_nothing), 0);
}

/* --- 32-bit programs ------------------------------------------------------------------------- */

static void both_architectures(struct enforce *e)
{
    e->other_architecture = true;
    e->calls = ENFORCE_CALLS_KERNEL | ENFORCE_CALLS_TERMINAL | ENFORCE_CALLS_URING;
}

static void own_architecture(struct enforce *e)
{
    e->calls = ENFORCE_CALLS_KERNEL;
}

static int native_keyring(void)
{
    return syscall(SYS_keyctl, 0 /* KEYCTL_GET_KEYRING_ID */, -3, 1) < 0;
}

#if defined(__x86_64__)
/* A system call by the gate of 32-bit programs; a negative errno value when it fails. */
static int old_gate(int number, int a, int b, int c)
{
    int r;
    __asm__ volatile("int $0x80"
                     : "=a"(r)
                     : "a"(number), "b"(a), "c"(b), "d"(c)
                     : "memory", "r8", "r9", "r10", "r11");
    return r;
}

static bool has_old_gate(void)
{
    return old_gate(20 /* getpid */, 0, 0, 0) == (int)getpid();
}

static int old_getpid(void)
{
    return !has_old_gate();
}

static int old_keyring(void)
{
    return old_gate(288 /* keyctl */, 0, -3, 1) < 0;
}

/* Of a descriptor that is none: EBADF, unless the kernel was never asked. */
static int old_typing(void)
{
    return old_gate(54 /* ioctl */, -1, TIOCSTI, 0) == -EPERM;
}

static int old_ioctl(void)
{
    return old_gate(54, -1, FIONREAD, 0) != -EBADF;
}

static int old_uring(void)
{
    return old_gate(425 /* io_uring_setup */, 0, 0, 0) == -ENOSYS;
}

static int x32_gate(void)
{
    return syscall(0x40000000 | SYS_getpid) < 0 && errno == ENOSYS;
}
#endif

static void the_other_architecture_is_refused_or_filtered_alike(void **state)
{
    (void)state;
    struct enforce e;
    enum enforce_layer layer;
    ATTACKED(both_architectures, native_keyring);
#if defined(__x86_64__)
    if (run(NULL, old_getpid) == 0) { /* a kernel that runs 32-bit programs */
        ATTACKED(own_architecture, old_getpid);
        ATTACKED(own_architecture, old_keyring);
        assert_int_equal(run(both_architectures, old_getpid), 0);
        ATTACKED(both_architectures, old_keyring);
        ATTACKED(both_architectures, old_typing);
        assert_int_equal(run(both_architectures, old_ioctl), 0);
        assert_int_equal(run(both_architectures, old_uring), 1);
    }
    assert_int_equal(run(both_architectures, x32_gate), 1);
#endif
    /* What has no list for it cannot be asked for together with it. */
    enforce_init(&e);
    both_architectures(&e);
    e.calls |= ENFORCE_CALLS_NAMESPACES;
    assert_int_equal(enforce_prepare(&e, &layer), EINVAL);
    enforce_done(&e);
    enforce_init(&e);
    both_architectures(&e);
    e.network = ENFORCE_NET_NONE;
    assert_int_equal(enforce_prepare(&e, &layer), EINVAL);
    enforce_done(&e);
}

/* --- rules in front, with a listener --------------------------------------------------------- */

static const struct sock_filter ask_about_connect[] = {
    { BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_connect },
    { BPF_RET | BPF_K, 0, 0, SECCOMP_RET_USER_NOTIF },
};

static void asked(struct enforce *e)
{
    e->front = ask_about_connect;
    e->front_count = 2;
    e->notify = true;
    e->calls = ENFORCE_CALLS_CONNECT | ENFORCE_CALLS_URING;
    e->descriptors = true;
}

static int connect_somewhere(void)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons(9),
                              .sin_addr = { htonl(INADDR_LOOPBACK) } };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int r = connect(fd, (struct sockaddr *)&to, sizeof(to)), sys = errno;
    close(fd);
    return r < 0 ? sys : 0;
}

static int connect_by_sending(void)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons(9),
                              .sin_addr = { htonl(INADDR_LOOPBACK) } };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ssize_t n = sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&to, sizeof(to));
    return n < 0 ? errno : 0;
}

static int send_descriptor(int way, int fd)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct iovec iov = { (char[]){ "" }, 1 };
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
    };
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(int));
    return sendmsg(way, &message, 0) == 1 ? 0 : errno;
}

static int receive_descriptor(int way)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    char byte;
    struct iovec iov = { &byte, 1 };
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
    };
    int fd = -1;
    if (recvmsg(way, &message, MSG_CMSG_CLOEXEC) == 1 && CMSG_FIRSTHDR(&message))
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
    return fd;
}

static int asks_through(int way)
{
    struct enforce e;
    enum enforce_layer layer;
    enforce_init(&e);
    asked(&e);
    e.keep[e.keep_count++] = way;
    if (enforce_prepare(&e, &layer) || enforce_enter(&e, &layer) || e.listener < 0)
        return CANNOT;
    if (send_descriptor(way, e.listener))
        return 2;
    enforce_done(&e);
    if (connect_somewhere() != EHOSTDOWN) /* what the answer says, and no rule of ours */
        return 3;
    return connect_by_sending() == EOPNOTSUPP ? 0 : 4;
}

/* Answers one question about a connection. */
static void answer_one(int listener, pid_t pid)
{
    struct seccomp_notif question = { 0 };
    assert_int_equal(ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &question), 0);
    assert_int_equal(question.pid, pid);
    assert_int_equal(question.data.nr, SYS_connect);
    struct seccomp_notif_resp answer = { .id = question.id, .error = -EHOSTDOWN };
    assert_int_equal(ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer), 0);
}

static void the_listener_goes_to_whoever_answers(void **state)
{
    (void)state;
    int ways[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ways), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(ways[0]);
        _exit(asks_through(ways[1]));
    }
    close(ways[1]);
    int listener = receive_descriptor(ways[0]);
    if (listener >= 0)
        answer_one(listener, pid);
    assert_int_equal(reap(pid), 0);
    assert_true(listener >= 0);
    close(listener);
    close(ways[0]);
}

/* Within a sandbox that asks already. */
static int asks_twice(void)
{
    struct enforce outer, inner;
    enum enforce_layer layer = ENFORCE_LAYERS;
    enforce_init(&outer);
    asked(&outer);
    outer.descriptors = false;
    if (enforce_prepare(&outer, &layer) || enforce_enter(&outer, &layer))
        return CANNOT;
    enforce_init(&inner);
    asked(&inner);
    if (enforce_prepare(&inner, &layer))
        return 2;
    if (enforce_enter(&inner, &layer) != EBUSY || layer != ENFORCE_CALLS || inner.listener != -1)
        return 3;
    enforce_done(&inner);
    enforce_init(&inner);
    asked(&inner);
    inner.notify_weaker = true;
    if (enforce_prepare(&inner, &layer) || enforce_enter(&inner, &layer) || inner.listener != -1)
        return 4;
    /* The rules behind the front hold as they are. */
    return syscall(SYS_io_uring_setup, 0, NULL) < 0 && errno == ENOSYS
                   && connect_somewhere() == EPERM
               ? 0
               : 5;
}

static void where_somebody_listens_already_it_is_told(void **state)
{
    (void)state;
    assert_int_equal(run(NULL, asks_twice), 0);
}

/* --- audit ------------------------------------------------------------------------------------ */

static void audited(struct enforce *e)
{
    e->files = e->audit = true;
}

static int list_root(void)
{
    int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return fd < 0;
}

static void what_is_audited_is_refused_all_the_same(void **state)
{
    (void)state;
    if (enforce_landlock_version() == 0)
        skip();
    ATTACKED(audited, list_root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(datagrams_are_refused_and_streams_are_not),
        cmocka_unit_test(limits_are_set_for_oneself_only),
        cmocka_unit_test(attributes_are_refused_by_the_newest_calls_too),
        cmocka_unit_test(the_other_architecture_is_refused_or_filtered_alike),
        cmocka_unit_test(the_listener_goes_to_whoever_answers),
        cmocka_unit_test(where_somebody_listens_already_it_is_told),
        cmocka_unit_test(what_is_audited_is_refused_all_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
