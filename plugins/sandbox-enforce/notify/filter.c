/* SPDX-License-Identifier: Apache-2.0 */
/* filter.c - which calls of the program wait for an answer: connect, bind, and what belongs
 * to them. A filter sees numbers only, never what a pointer points to; so all of a kind wait. */
#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <linux/seccomp.h>

#include "plugins/sandbox-enforce/notify/notify.h"
#include "plugins/sandbox-enforce/notify/inner.h"

struct writer {
    struct sock_filter *at;
    size_t size, max; /* size goes on beyond max */
};

static void emit(struct writer *w, uint16_t code, uint8_t jt, uint8_t jf, uint32_t k)
{
    if (w->size < w->max)
        w->at[w->size] = (struct sock_filter){ code, jt, jf, k };
    w->size++;
}

static void load_number(struct writer *w)
{
    emit(w, BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr));
}

/* Half of an argument; the machines that the filter knows are little-endian. */
static void load_argument(struct writer *w, unsigned index, bool high)
{
    emit(w, BPF_LD | BPF_W | BPF_ABS, 0, 0,
         (uint32_t)(offsetof(struct seccomp_data, args) + 8u * index + (high ? 4u : 0u)));
}

static void answer(struct writer *w, uint32_t action)
{
    emit(w, BPF_RET | BPF_K, 0, 0, action);
}

static void ask_for(struct writer *w, long number)
{
    emit(w, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, (uint32_t)number);
    answer(w, SECCOMP_RET_USER_NOTIF);
}

/* What follows is for this call only, and answers or falls through to the next load_number. */
static size_t open_block(struct writer *w, long number)
{
    emit(w, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, (uint32_t)number);
    return w->size;
}

static void close_block(struct writer *w, size_t start)
{
    if (start <= w->max)
        w->at[start - 1].jf = (uint8_t)(w->size - start);
    load_number(w);
}

/* Fast open connects while it sends: past connect, and past Landlock. Programs fall back. */
static void write_fast_open(struct writer *w, unsigned flags)
{
    load_argument(w, flags, false);
    emit(w, BPF_JMP | BPF_JSET | BPF_K, 0, 1, MSG_FASTOPEN);
    answer(w, SECCOMP_RET_ERRNO | EOPNOTSUPP);
}

static void write_sends(struct writer *w, bool are_asked)
{
    size_t start = open_block(w, SYS_sendto);
    write_fast_open(w, 3);
    if (are_asked) { /* without an address it goes where connect led to */
        load_argument(w, 4, false);
        emit(w, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 0);
        answer(w, SECCOMP_RET_USER_NOTIF);
        load_argument(w, 4, true);
        emit(w, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 0);
        answer(w, SECCOMP_RET_USER_NOTIF);
    }
    close_block(w, start);
    static const struct {
        long number;
        unsigned flags;
    } calls[] = { { SYS_sendmsg, 2 }, { SYS_sendmmsg, 3 } };
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        start = open_block(w, calls[i].number);
        write_fast_open(w, calls[i].flags);
        if (are_asked)
            answer(w, SECCOMP_RET_USER_NOTIF);
        close_block(w, start);
    }
}

/* A socket of datagrams that the program inherits sends to any address, without connect. */
static bool inherits_datagrams(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        int type = 0;
        socklen_t size = sizeof(type);
        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type != SOCK_STREAM
            && type != SOCK_SEQPACKET)
            return true;
    }
    return false;
}

int notify_filter(const struct policy *policy, struct sock_filter *ret, size_t max,
                  size_t *ret_count)
{
    struct writer w = { .at = ret, .max = max };
    load_number(&w);
    ask_for(&w, SYS_connect);
    ask_for(&w, SYS_bind);
    ask_for(&w, SYS_getsockname);
    ask_for(&w, SYS_landlock_create_ruleset);
    if (policy->network != POLICY_NET_OPEN)
        ask_for(&w, SYS_listen); /* it binds when nothing else has */
    write_sends(&w, policy->unix_count || inherits_datagrams());
    if (w.size > max)
        return ENOSPC;
    *ret_count = w.size;
    return 0;
}

/* All requests but some, which go on to the rules behind these: so that what is refused there is
 * not let through here. The kernel reads the request as 32 bits. */
static void write_ioctl(struct writer *w)
{
    size_t start = open_block(w, SYS_ioctl), count = 0;
    while (ioctl_never_asked(count))
        count++;
    load_argument(w, 1, false);
    for (size_t i = 0; i < count; i++)
        emit(w, BPF_JMP | BPF_JEQ | BPF_K, (uint8_t)(count - i), 0, ioctl_never_asked(i));
    answer(w, SECCOMP_RET_USER_NOTIF);
    close_block(w, start);
}

int notify_file_filter(struct sock_filter *ret, size_t max, size_t *ret_count)
{
    struct writer w = { .at = ret, .max = max };
    for (size_t i = 0; files_call(i) >= 0; i++)
        ask_for(&w, files_call(i));
    write_ioctl(&w);
    if (w.size > max)
        return ENOSPC;
    *ret_count = w.size;
    return 0;
}
