/* SPDX-License-Identifier: Apache-2.0 */
/* inside.c - messages between the supervisor and those inside. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

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
