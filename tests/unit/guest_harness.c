/* SPDX-License-Identifier: Apache-2.0 */
/* guest_harness.c - see guest_harness.h. */
#include "guest_harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

struct harness harness;

static void __attribute__((noreturn))
become_guest(int listener, int ready, int logs, const char *argument, const char *value)
{
    const int fds[4] = { listener, -1, ready, logs };
    int high[4];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 0; i < 4; i++)
        high[i] = fds[i] < 0 ? -1 : fcntl(fds[i], F_DUPFD, 20);
    for (int i = 0; i < 4; i++) {
        close(3 + i);
        if (high[i] >= 0)
            dup2(high[i], 3 + i);
    }
    close_range(7, ~0u, 0);
    if (chdir(harness.dir) < 0)
        _exit(99);
    setenv("PATH", "/usr/local/bin:/usr/bin:/bin", 1);
    execl(NT_TEST_GUEST, "nanoterm-guest", "--test", "--workspace", "ws_test", argument, value,
          (char *)NULL);
    _exit(98);
}

void harness_start_with(const char *argument, const char *value)
{
    snprintf(harness.dir, sizeof(harness.dir), "/tmp/nt-guest-test-XXXXXX");
    assert_non_null(mkdtemp(harness.dir));
    snprintf(harness.socket, sizeof(harness.socket), "%s/socket", harness.dir);
    char logs[96];
    snprintf(logs, sizeof(logs), "%s/logs", harness.dir);
    assert_int_equal(mkdir(logs, 0700), 0);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    memcpy(at.sun_path, harness.socket, strlen(harness.socket) + 1);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(listener, 64), 0);
    int ready[2];
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    int dir = open(logs, O_PATH | O_DIRECTORY | O_CLOEXEC);
    harness.pid = fork();
    if (harness.pid == 0)
        become_guest(listener, ready[1], dir, argument, value);
    close(listener);
    close(ready[1]);
    close(dir);
    char byte = 0;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 'R');
    close(ready[0]);
}

int harness_start(void **state)
{
    (void)state;
    harness_start_with(NULL, NULL);
    return 0;
}

static void remove_all(const char *path)
{
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/rm", "rm", "-rf", path, (char *)NULL);
        _exit(1);
    }
    waitpid(pid, NULL, 0);
}

int harness_exit(void)
{
    int status = 0;
    assert_int_equal(waitpid(harness.pid, &status, 0), harness.pid);
    remove_all(harness.dir);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

int harness_stop(void **state)
{
    (void)state;
    int fd = guest_connect();
    struct heard h;
    say(fd, frame_number(frame_new(NT_G_SHUTDOWN), NT_GT_TIMEOUT_MS, 2000));
    hear(fd, &h);
    int status = harness_exit();
    bool ok = h.last == NT_G_OK && status == 0;
    heard_done(&h);
    return ok ? 0 : -1;
}

struct frame *frame_new(uint16_t type)
{
    struct frame *f = malloc(sizeof(*f));
    assert_non_null(f);
    f->w = nt_g_begin(f->memory, sizeof(f->memory), type);
    return f;
}

struct frame *frame_text(struct frame *f, uint16_t tag, const char *text)
{
    nt_g_add_text(&f->w, tag, text);
    return f;
}

struct frame *frame_number(struct frame *f, uint16_t tag, uint64_t value)
{
    nt_g_add_number(&f->w, tag, value);
    return f;
}

int guest_connect(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    memcpy(at.sun_path, harness.socket, strlen(harness.socket) + 1);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    struct timeval limit = { .tv_sec = 20 };
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    return fd;
}

void say_bytes(int fd, const void *bytes, size_t size)
{
    const char *at = bytes;
    while (size) {
        ssize_t n = send(fd, at, size, MSG_NOSIGNAL);
        if (n <= 0)
            return; /* the guest may have had enough: what it said is checked */
        at += n;
        size -= (size_t)n;
    }
}

void say_with(int fd, struct frame *f, const int *fds, unsigned count)
{
    union {
        char space[CMSG_SPACE(sizeof(int) * 8)];
        struct cmsghdr align;
    } control = { { 0 } };
    size_t size = nt_g_done(&f->w);
    assert_true(size > 0 && count <= 8);
    struct iovec iov = { f->memory, size };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    if (count) {
        msg.msg_control = control.space;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * count);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * count);
    }
    ssize_t n = sendmsg(fd, &msg, MSG_NOSIGNAL);
    assert_true(n == (ssize_t)size || (n < 0 && (errno == EPIPE || errno == ECONNRESET)));
    free(f);
}

void say(int fd, struct frame *f)
{
    say_with(fd, f, NULL, 0);
}

void say_raw(int fd, uint16_t type, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    do {
        uint8_t head[NT_G_HEAD];
        size_t n = size < NT_G_CHUNK ? size : NT_G_CHUNK;
        nt_g_head(head, type, (uint32_t)n);
        say_bytes(fd, head, sizeof(head));
        say_bytes(fd, at, n);
        at += n;
        size -= n;
    } while (size);
}

static bool read_all(int fd, uint8_t *ret, size_t size)
{
    while (size) {
        ssize_t n = recv(fd, ret, size, 0);
        if (n < 0)
            /* anything else is the time limit: a hanging guest */
            assert_int_equal(errno, ECONNRESET);
        if (n <= 0)
            return false;
        ret += n;
        size -= (size_t)n;
    }
    return true;
}

static void take_fields(struct heard *h, const uint8_t *payload, size_t size)
{
    struct nt_g_field f;
    size_t at = 0;
    int rc;
    while ((rc = nt_g_each(payload, size, &at, &f)) > 0) {
        assert_in_range(f.tag, 1, 63);
        h->has[f.tag] = true;
        int ok = 1;
        h->number[f.tag] = nt_g_number(&f, &ok);
        if (f.tag == NT_GT_ID)
            snprintf(h->id, sizeof(h->id), "%.*s", (int)f.size, (const char *)f.data);
        if (f.tag == NT_GT_MESSAGE)
            snprintf(h->message, sizeof(h->message), "%.*s", (int)f.size, (const char *)f.data);
    }
    assert_int_equal(rc, 0);
}

bool hear_one(int fd, struct heard *h)
{
    static uint8_t payload[NT_G_FRAME_MAX];
    uint8_t head[NT_G_HEAD];
    if (!read_all(fd, head, sizeof(head)))
        return false;
    uint32_t size = (uint32_t)nt_g_load(head, 4);
    uint16_t type = (uint16_t)nt_g_load(head + 4, 2);
    assert_in_range(size, 0, NT_G_FRAME_MAX);
    if (!read_all(fd, payload, size))
        return false;
    if (type == NT_G_HELLO)
        return true;
    if (!h->frames++)
        h->first = type;
    h->last = type;
    h->entries += type == NT_G_ENTRY;
    int i = type == NT_G_STDERR;
    if (type == NT_G_STDOUT || type == NT_G_STDERR || type == NT_G_DATA) {
        h->bytes[i] = realloc(h->bytes[i], h->size[i] + size + 1);
        memcpy(h->bytes[i] + h->size[i], payload, size);
        h->size[i] += size;
        h->bytes[i][h->size[i]] = 0;
    } else {
        take_fields(h, payload, size);
    }
    return true;
}

void hear(int fd, struct heard *h)
{
    *h = (struct heard){ 0 };
    while (hear_one(fd, h)) {
    }
    close(fd);
}

void heard_done(struct heard *h)
{
    free(h->bytes[0]);
    free(h->bytes[1]);
    *h = (struct heard){ 0 };
}

struct frame *exec_frame(uint64_t flags, uint64_t timeout_ms, const char *const *argv)
{
    struct frame *f = frame_new(NT_G_EXEC);
    for (; *argv; argv++)
        frame_text(f, NT_GT_ARG, *argv);
    if (flags)
        frame_number(f, NT_GT_FLAGS, flags);
    if (timeout_ms)
        frame_number(f, NT_GT_TIMEOUT_MS, timeout_ms);
    return f;
}

void run_program(struct heard *h, uint64_t flags, uint64_t timeout_ms, const char *const *argv)
{
    int fd = guest_connect();
    say(fd, exec_frame(flags, timeout_ms, argv));
    hear(fd, h);
}

void run_shell(struct heard *h, const char *script)
{
    const char *argv[] = { "/bin/sh", "-c", script, NULL };
    run_program(h, 0, 0, argv);
}

bool has_process(const char *text)
{
    DIR *dir = opendir("/proc");
    bool found = false;
    for (struct dirent *d; !found && (d = readdir(dir));) {
        char path[300], line[4096];
        snprintf(path, sizeof(path), "/proc/%s/cmdline", d->d_name);
        int fd = d->d_name[0] > '0' && d->d_name[0] <= '9' ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        ssize_t n = fd < 0 ? 0 : read(fd, line, sizeof(line) - 1);
        if (fd >= 0)
            close(fd);
        found = n > 0 && memmem(line, (size_t)n, text, strlen(text));
    }
    closedir(dir);
    return found;
}
