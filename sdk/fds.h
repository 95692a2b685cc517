/* SPDX-License-Identifier: Apache-2.0 */
/* fds.h - bytes with descriptors on a Unix socket. No library: also for the guest. */
#ifndef NT_SDK_FDS_H
#define NT_SDK_FDS_H

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Most descriptors that go with one message. */
#define NT_FDS_MAX 4u

/* The room for them, and for who has sent them (struct ucred: three numbers). The union aligns it.
 */
union nt_fds_room {
    struct cmsghdr head;
    char bytes[CMSG_SPACE(NT_FDS_MAX * sizeof(int)) + CMSG_SPACE(3 * sizeof(int))];
};

/**
 * Sends bytes once, with descriptors at the first of them.
 *
 * @param fds    borrowed: they stay open here; `count` 0: none, and fds may be NULL
 * @param flags  of sendmsg(2): MSG_DONTWAIT where it must not wait. No SIGPIPE comes
 * @return as sendmsg: how many bytes have left, with all descriptors as soon as that is one; or -1
 *         with errno (EINTR is not tried again), EINVAL for more than NT_FDS_MAX
 */
static inline ssize_t nt_send_fds(int sock, const void *bytes, size_t size, const int *fds,
                                  unsigned count, int flags)
{
    union nt_fds_room room;
    struct iovec part = { .iov_len = size };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
    memcpy(&part.iov_base, &bytes, sizeof(bytes)); /* sendmsg only reads it */
    if (count > NT_FDS_MAX) {
        errno = EINVAL;
        return -1;
    }
    if (count) {
        memset(&room, 0, sizeof(room));
        message.msg_control = &room;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        room.head.cmsg_level = SOL_SOCKET;
        room.head.cmsg_type = SCM_RIGHTS;
        room.head.cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(&room.head), fds, count * sizeof(int));
    }
    return sendmsg(sock, &message, flags | MSG_NOSIGNAL);
}

/* Keeps the descriptors of a message when there are at most `max`; else closes all. */
static inline int nt_fds_keep(struct msghdr *message, int *ret_fds, unsigned max)
{
    unsigned kept = 0;
    int is_too_many = (message->msg_flags & MSG_CTRUNC) != 0;
    for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head; head = CMSG_NXTHDR(message, head)) {
        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(head) + i * sizeof(int), sizeof(fd));
            if (kept < max) {
                ret_fds[kept++] = fd;
            } else {
                close(fd);
                is_too_many = 1;
            }
        }
    }
    while (is_too_many && kept) {
        close(ret_fds[--kept]);
        ret_fds[kept] = -1;
    }
    return is_too_many ? -1 : (int)kept;
}

/* The process that has sent the message, as this process numbers it; 0: not known. Needs
 * _GNU_SOURCE. */
static inline pid_t nt_fds_sender(struct msghdr *message)
{
    pid_t pid = 0;
#ifdef SCM_CREDENTIALS
    for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head; head = CMSG_NXTHDR(message, head))
        if (head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_CREDENTIALS)
            memcpy(&pid, CMSG_DATA(head), sizeof(pid)); /* the first member of struct ucred */
#else
    (void)message;
#endif
    return pid;
}

/**
 * Receives bytes once, the descriptors that came with them, close-on-exec, and from whom.
 *
 * @param max    most descriptors that are wanted, at most NT_FDS_MAX; 0: none, and ret_fds may be
 *               NULL
 * @param flags  of recvmsg(2): MSG_DONTWAIT, and MSG_TRUNC to learn the whole size of a packet
 * @param ret_fds  written as far as descriptors came, to be closed by the caller
 * @param ret_count  how many came; -1: more than were wanted or than this process can hold: all are
 *               closed again, and what was written is -1. 0 when the call fails
 * @param ret_pid  as of nt_fds_sender, when the socket has SO_PASSCRED; NULL: nobody asks, and
 *               the socket must not have it when descriptors are wanted
 * @return as recvmsg: how many bytes came, 0 at the end, or -1 with errno (EINTR is not tried
 * again)
 */
static inline ssize_t nt_recv_fds_from(int sock, void *bytes, size_t size, int *ret_fds,
                                       unsigned max, int *ret_count, pid_t *ret_pid, int flags)
{
    union nt_fds_room room;
    struct iovec part = { bytes, size };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
    *ret_count = 0;
    if (ret_pid)
        *ret_pid = 0;
    if (max > NT_FDS_MAX) {
        errno = EINVAL;
        return -1;
    }
    if (max || ret_pid) { /* without room the kernel lets none in */
        message.msg_control = &room;
        message.msg_controllen =
            (max ? CMSG_SPACE(max * sizeof(int)) : 0) + (ret_pid ? CMSG_SPACE(3 * sizeof(int)) : 0);
    }
    ssize_t got = recvmsg(sock, &message, flags | MSG_CMSG_CLOEXEC);
    if (got >= 0)
        *ret_count = nt_fds_keep(&message, ret_fds, max);
    if (got >= 0 && ret_pid)
        *ret_pid = nt_fds_sender(&message);
    return got;
}

/* The same from anybody. */
static inline ssize_t nt_recv_fds(int sock, void *bytes, size_t size, int *ret_fds, unsigned max,
                                  int *ret_count, int flags)
{
    return nt_recv_fds_from(sock, bytes, size, ret_fds, max, ret_count, NULL, flags);
}

#endif
