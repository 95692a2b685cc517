/* SPDX-License-Identifier: Apache-2.0 */
/* inside.c - messages between the supervisor and those inside; and the end of children. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "inner.h"

int inside_send(int socket, const struct inside_message *message, int fd)
{
    struct iovec bytes = { .iov_len = sizeof(*message) };
    struct inside_message copy = *message;
    bytes.iov_base = &copy;
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = { .bytes = "" };
    struct msghdr head = { .msg_iov = &bytes, .msg_iovlen = 1 };
    if (fd >= 0) {
        head.msg_control = control.bytes;
        head.msg_controllen = sizeof(control.bytes);
        struct cmsghdr *c = CMSG_FIRSTHDR(&head);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(fd));
        memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    }
    ssize_t n;
    do
        n = sendmsg(socket, &head, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof(copy) ? 0 : errno ? errno : EIO;
}

/* Kills every child there is; true while there are some. */
static bool kill_children(void)
{
    char text[4096];
    int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    if (size <= 0)
        return false;
    text[size] = '\0';
    for (char *at = text, *end; *at; at = end) {
        long pid = strtol(at, &end, 10);
        if (end == at || (*end == '\0' && size == (ssize_t)sizeof(text) - 1))
            break; /* a number that was cut */
        if (pid > 0)
            kill((pid_t)pid, SIGKILL);
        end += *end == ' ';
    }
    return true;
}

/* What a killed child leaves behind comes to us: again until nobody is left. */
void inside_kill_children(void)
{
    while (kill_children())
        if (waitpid(-1, NULL, __WALL) < 0 && errno == ECHILD)
            return;
}
