/* SPDX-License-Identifier: Apache-2.0 */
/* send.c - sendto, sendmsg and sendmmsg of a program that may use sockets of datagrams: each
 * of these can name where it goes, and descriptors to go with it.
 *
 * A message is copied once, with its address and what rides on it, then judged and sent from the
 * copy. Descriptors that it passes on are taken from the program; credentials become those of the
 * supervisor, since the kernel lets nobody send another's pid. Messages that wait for room are
 * tried again (wait.c). Cut at MESSAGE_MAX, which a stream may and a datagram of that size
 * is refused for. */
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/netlink.h>

#include "plugins/sandbox-enforce/notify/inner.h"
#include "plugins/sandbox-enforce/notify/wait.h"
#include "sdk/cleanup.h"

#define MESSAGE_MAX (256u * 1024u)
#define CONTROL_MAX 8192u
#define PASSED_MAX 253u /* SCM_MAX_FD */
#define VECTORS_MAX 1024u
#ifndef MSG_ZEROCOPY
#define MSG_ZEROCOPY 0x4000000
#endif

/* A message on its way. */
struct notify_message {
    struct notify_address address; /* size 0: none */
    int path_fd, flags;
    size_t size, control_size, passed_count;
    int passed[PASSED_MAX];
    unsigned char *bytes;
    _Alignas(struct cmsghdr) unsigned char control[CONTROL_MAX];
    uint64_t count_at; /* where sendmmsg wants to read how much was sent; 0: nowhere */
};

void message_free(struct notify_message *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->passed_count; i++)
        close(m->passed[i]);
    if (m->path_fd >= 0)
        close(m->path_fd);
    free(m->bytes);
    free(m);
}

static void message_freep(struct notify_message **m)
{
    message_free(*m);
}

static struct notify_message *message_new(int flags)
{
    struct notify_message *m = calloc(1, sizeof(*m));
    if (m)
        m->path_fd = -1, m->flags = flags;
    return m;
}

/* --- reading; 0 or -errno ------------------------------------------------------------------ */

/* Room for SIZE bytes more, cut at the maximum for a stream. */
static int64_t make_room(struct notify_message *m, const struct notify_ask *ask, uint64_t *size)
{
    uint64_t room = MESSAGE_MAX - m->size;
    if (*size > room && ask->type != SOCK_STREAM)
        return -EMSGSIZE;
    if (*size > room)
        *size = room;
    unsigned char *grown = realloc(m->bytes, m->size + *size + 1);
    if (!grown)
        return -ENOBUFS;
    m->bytes = grown;
    return 0;
}

static int64_t read_bytes(struct notify_message *m, const struct notify_ask *ask, uint64_t at,
                          uint64_t size)
{
    int64_t answer = make_room(m, ask, &size);
    if (answer)
        return answer;
    int sys = program_read(ask->pid, at, m->bytes + m->size, size);
    if (sys)
        return -sys;
    m->size += size;
    return 0;
}

static int64_t read_vectors(struct notify_message *m, const struct notify_ask *ask,
                            const struct msghdr *head)
{
    if (head->msg_iovlen > VECTORS_MAX)
        return -EMSGSIZE;
    struct iovec vectors[16];
    for (size_t done = 0; done < head->msg_iovlen;) {
        size_t count = head->msg_iovlen - done;
        if (count > sizeof(vectors) / sizeof(vectors[0]))
            count = sizeof(vectors) / sizeof(vectors[0]);
        int sys = program_read(ask->pid, (uintptr_t)(head->msg_iov + done), vectors,
                               count * sizeof(vectors[0]));
        if (sys)
            return -sys;
        for (size_t i = 0; i < count; i++) {
            int64_t answer = read_bytes(m, ask, (uintptr_t)vectors[i].iov_base, vectors[i].iov_len);
            if (answer)
                return answer;
        }
        done += count;
    }
    return 0;
}

/* The program's numbers in ITEM become ours. */
static int64_t take_passed(struct notify_message *m, const struct notify_ask *ask,
                           unsigned char *item, size_t size)
{
    for (size_t at = 0; at + sizeof(int) <= size; at += sizeof(int)) {
        int number;
        if (m->passed_count == PASSED_MAX)
            return -EINVAL;
        memcpy(&number, item + at, sizeof(number));
        int fd = (int)syscall(SYS_pidfd_getfd, ask->pidfd, number, 0u);
        if (fd < 0)
            return errno == EMFILE ? -ETOOMANYREFS : -EBADF;
        m->passed[m->passed_count++] = fd;
        memcpy(item + at, &fd, sizeof(fd));
    }
    return 0;
}

static int64_t read_control(struct notify_message *m, const struct notify_ask *ask, uint64_t at,
                            uint64_t size)
{
    if (size == 0)
        return 0;
    if (size > CONTROL_MAX)
        return -ENOBUFS;
    int sys = program_read(ask->pid, at, m->control, size);
    if (sys)
        return -sys;
    m->control_size = size;
    struct msghdr head = { .msg_control = m->control, .msg_controllen = size };
    for (struct cmsghdr *item = CMSG_FIRSTHDR(&head); item; item = CMSG_NXTHDR(&head, item)) {
        size_t offset = (size_t)((unsigned char *)item - m->control);
        if (item->cmsg_len < CMSG_LEN(0) || item->cmsg_len > size - offset)
            return -EINVAL;
        size_t length = item->cmsg_len - CMSG_LEN(0);
        int64_t answer = 0;
        if (item->cmsg_level == SOL_SOCKET && item->cmsg_type == SCM_RIGHTS) {
            answer = take_passed(m, ask, CMSG_DATA(item), length);
        } else if (item->cmsg_level == SOL_SOCKET && item->cmsg_type == SCM_CREDENTIALS) {
            struct ucred own = { .pid = getpid(), .uid = geteuid(), .gid = getegid() };
            if (length != sizeof(own))
                return -EINVAL;
            memcpy(CMSG_DATA(item), &own, sizeof(own));
        } else if (item->cmsg_level == SOL_SOCKET && ask->domain == AF_UNIX) {
            answer = -EINVAL; /* a pidfd and what else may come: not ours to speak for */
        }
        if (answer)
            return answer;
    }
    return 0;
}

/* --- judging ------------------------------------------------------------------------------- */

static int64_t judge_netlink(const struct notify_ask *ask, const struct notify_address *address)
{
    struct sockaddr_nl to;
    memcpy(&to, address->bytes, sizeof(to));
    return to.nl_pid == 0 && to.nl_groups == 0
               ? 0
               : notify_deny(ask->n, "send", "netlink", "only to the kernel", "");
}

/* Whether it may go to the address that it names, which is changed to what was checked. */
static int64_t judge(struct notify_message *m, const struct notify_ask *ask)
{
    if (m->address.size == 0)
        return 0;
    bool is_datagram = ask->type != SOCK_STREAM && ask->type != SOCK_SEQPACKET;
    if (ask->domain == AF_UNIX && ask->type == SOCK_STREAM)
        return -EISCONN;
    if (!is_datagram) { /* where it goes is settled: the kernel does not look either */
        m->address.size = 0;
        return 0;
    }
    switch (ask->domain) {
    case AF_UNIX:
        return unix_may_send(ask, &m->address, &m->path_fd);
    case AF_INET:
    case AF_INET6:
        return inet_may_send(ask, &m->address);
    case AF_NETLINK:
        return judge_netlink(ask, &m->address);
    default:
        return notify_deny(ask->n, "send", "a socket of another family",
                           "only local and IP sockets", "");
    }
}

/* --- sending ------------------------------------------------------------------------------- */

int64_t message_try(struct notify_message *m, int socket)
{
    struct iovec vector = { .iov_base = m->bytes, .iov_len = m->size };
    struct msghdr head = { .msg_name = m->address.size ? m->address.bytes : NULL,
                           .msg_namelen = m->address.size,
                           .msg_iov = &vector,
                           .msg_iovlen = 1,
                           .msg_control = m->control_size ? m->control : NULL,
                           .msg_controllen = m->control_size };
    ssize_t sent = sendmsg(socket, &head, m->flags | MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? -errno : sent;
}

int64_t message_end(const struct notify_message *m, pid_t pid, int pidfd, int64_t answer)
{
    if (answer == -EPIPE && !(m->flags & MSG_NOSIGNAL) && pidfd >= 0)
        (void)syscall(SYS_pidfd_send_signal, pidfd, SIGPIPE, NULL, 0u);
    if (answer < 0 || !m->count_at)
        return answer;
    uint32_t count = (uint32_t)answer;
    return program_write(pid, m->count_at, &count, sizeof(count)) == 0 ? 1 : -EFAULT;
}

/* The name is the program's own size here, not one that connect would refuse. */
static int64_t read_address(struct notify_message *m, const struct notify_ask *ask, uint64_t at,
                            uint64_t size)
{
    if (!at || !size)
        return 0;
    return -program_address(ask->pid, at, size, &m->address);
}

static int64_t read_head(struct notify_message *m, const struct notify_ask *ask, uint64_t at)
{
    struct msghdr head;
    int sys = program_read(ask->pid, at, &head, sizeof(head));
    if (sys)
        return -sys;
    int64_t answer = read_address(m, ask, (uintptr_t)head.msg_name, head.msg_namelen);
    if (!answer)
        answer = read_vectors(m, ask, &head);
    return answer ? answer : read_control(m, ask, (uintptr_t)head.msg_control, head.msg_controllen);
}

/* One message: what it came to, or NOTIFY_LATER when it waits. */
static int64_t send_one(const struct notify_ask *ask, int flags, uint64_t head_at, bool may_wait)
{
    nt_auto(message_freep) struct notify_message *m = message_new(flags);
    if (!m)
        return -ENOBUFS;
    int64_t answer;
    if (ask->call == SYS_sendto) {
        answer = read_address(m, ask, ask->args[4], ask->args[5]);
        if (!answer)
            answer = read_bytes(m, ask, ask->args[1], ask->args[2]);
    } else {
        answer = read_head(m, ask, head_at);
    }
    if (!notify_is_valid(ask->n, ask->id))
        return NOTIFY_NOBODY;
    if (!answer)
        answer = judge(m, ask);
    if (answer)
        return answer;
    if (ask->call == SYS_sendmmsg)
        m->count_at = head_at + sizeof(struct msghdr);
    answer = message_try(m, ask->socket);
    if (answer == -EAGAIN && may_wait)
        return wait_send(ask, nt_take(m));
    return message_end(m, ask->pid, ask->pidfd, answer);
}

int64_t send_answer(const struct notify_ask *ask)
{
    unsigned at = ask->call == SYS_sendmsg ? 2 : 3;
    int flags = (int)(uint32_t)ask->args[at];
    if (flags & MSG_ZEROCOPY)
        return -ENOBUFS; /* the program then sends without */
    bool may_wait = !(flags & MSG_DONTWAIT) && !notify_is_nonblocking(ask->socket);
    if (ask->call != SYS_sendmmsg)
        return send_one(ask, flags, ask->args[1], may_wait);
    uint64_t count = (uint32_t)ask->args[2];
    if (count > VECTORS_MAX)
        count = VECTORS_MAX;
    int64_t done = 0;
    for (; (uint64_t)done < count; done++) {
        uint64_t head = ask->args[1] + (uint64_t)done * sizeof(struct mmsghdr);
        int64_t answer = send_one(ask, flags, head, may_wait && done == 0);
        if (answer == NOTIFY_LATER || answer == NOTIFY_NOBODY)
            return answer;
        if (answer < 0)
            return done ? done : answer;
    }
    return done;
}
