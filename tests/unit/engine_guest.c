/* SPDX-License-Identifier: Apache-2.0 */
/* engine_guest.c - a guest for the tests of the engine: one connection at a time, EXEC, LISTENER, PING, SHUTDOWN. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nanoterm/guest.h"

static uint8_t in[NT_G_HEAD + NT_G_FRAME_MAX], out[NT_G_HEAD + NT_G_FRAME_MAX];

static void put(int fd, const void *data, size_t size)
{
    const char *p = data;
    while (size > 0) {
        ssize_t n = send(fd, p, size, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        p += n;
        size -= (size_t)n;
    }
}

static void answer(int fd, uint16_t type)
{
    struct nt_g_writer w = nt_g_begin(out, sizeof(out), type);
    if (type == NT_G_HELLO) {
        nt_g_add_number(&w, NT_GT_VERSION, NT_G_VERSION);
        nt_g_add_number(&w, NT_GT_CAPS, NT_GC_EXEC);
        nt_g_add(&w, NT_GT_NONCE, "0123456789abcdef", 16);
        nt_g_add_number(&w, NT_GT_PID, (uint64_t)getpid());
    }
    put(fd, out, nt_g_done(&w));
}

static void run(int fd, const struct nt_g_frame *frame)
{
    static char texts[NT_G_FRAME_MAX];
    char *arguments[64] = { NULL };
    struct nt_g_field field;
    size_t at = 0, used = 0, count = 0;
    int pipes[2], status = 0;
    while (nt_g_each(frame->payload, frame->size, &at, &field) == 1)
        if (field.tag == NT_GT_ARG && count < 63 && used + field.size + 1 <= sizeof(texts)) {
            arguments[count++] = memcpy(texts + used, field.data, field.size);
            texts[used + field.size] = '\0';
            used += field.size + 1;
        }
    if (count == 0 || pipe(pipes) < 0)
        _exit(9);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(pipes[1], 1);
        dup2(pipes[1], 2);
        for (int i = 3; i < 32; i++)
            close(i);
        if (chdir("/workspace") == 0)
            execvp(arguments[0], arguments);
        _exit(127);
    }
    close(pipes[1]);
    answer(fd, NT_G_STARTED);
    ssize_t n;
    while ((n = read(pipes[0], out + NT_G_HEAD, 4096)) > 0) {
        nt_g_head(out, NT_G_STDOUT, (uint32_t)n);
        put(fd, out, (size_t)n + NT_G_HEAD);
    }
    close(pipes[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    struct nt_g_writer w = nt_g_begin(out, sizeof(out), NT_G_EXIT);
    nt_g_add_number(&w, NT_GT_STATUS,
                    (uint64_t)(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status)));
    put(fd, out, nt_g_done(&w));
}

static void give_listener(int fd)
{
    int listener = 4;
    struct nt_g_writer w = nt_g_begin(out, sizeof(out), NT_G_OK);
    struct iovec iov = { out, nt_g_done(&w) };
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
                              .msg_controllen = sizeof(control) };
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &listener, sizeof(int));
    sendmsg(fd, &message, MSG_NOSIGNAL);
}

static void serve(int fd)
{
    size_t have = 0;
    struct nt_g_frame frame;
    answer(fd, NT_G_HELLO);
    while (nt_g_next(in, have, &frame) == 0) {
        ssize_t n = recv(fd, in + have, sizeof(in) - have, 0);
        if (n <= 0)
            return;
        have += (size_t)n;
    }
    if (frame.type == NT_G_EXEC) {
        run(fd, &frame);
    } else if (frame.type == NT_G_LISTENER) {
        give_listener(fd);
    } else {
        answer(fd, NT_G_OK);
        if (frame.type == NT_G_SHUTDOWN)
            exit(0);
    }
}

int main(void)
{
    if (write(5, "R", 1) != 1)
        return 1;
    close(5);
    for (;;) {
        struct pollfd poll_fd = { 3, POLLIN, 0 };
        int fd = poll(&poll_fd, 1, -1) > 0 ? accept(3, NULL, NULL) : -1;
        if (fd < 0)
            continue;
        serve(fd);
        close(fd);
        while (waitpid(-1, NULL, WNOHANG) > 0) {
        }
    }
}
