/* SPDX-License-Identifier: Apache-2.0 */
/* commands.c - a program connects to the name that commands are asked for by: it gets one
 * end of a pair under its number, the broker the other one, with descriptors 0 to 2 of who asks and
 * the number of its process group.
 *
 * They are taken here and not sent by it: so there is no message with descriptors to be looked at,
 * and what the broker gets is what the program has. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/notify/inner.h"
#include "plugins/sandbox-enforce/mediate/protocol.h"
#include "sdk/cleanup.h"
#include "sdk/fds.h"

bool commands_is_asked(const struct notify_ask *ask, const char *name)
{
    return notify_options_of(ask->n)->broker > 0 && strcmp(name, "@" MEDIATE_NAME) == 0;
}

/* A copy of its descriptor; one that it has not is an empty one. -errno. */
static int take(const struct notify_ask *ask, int number)
{
    int fd = (int)syscall(SYS_pidfd_getfd, ask->pidfd, number, 0u);
    if (fd < 0 && errno == EBADF)
        fd = open("/dev/null", (number ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int64_t commands_connect(const struct notify_ask *ask)
{
    int pair[2];
    if (ask->type != SOCK_STREAM)
        return -EPROTOTYPE;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    nt_autoclose int theirs = pair[0];
    nt_autoclose int ours = pair[1];
    nt_autoclose int in = take(ask, 0);
    nt_autoclose int out = take(ask, 1);
    nt_autoclose int err = take(ask, 2);
    const pid_t group = getpgid(ask->pid);
    if (!notify_is_valid(ask->n, ask->id))
        return NOTIFY_NOBODY;
    if (in < 0 || out < 0 || err < 0)
        return -EACCES;
    const int fds[] = { ours, in, out, err };
    /* Nobody waits here: other questions would wait, too. */
    if (nt_send_fds(notify_options_of(ask->n)->broker, &group, sizeof(group), fds, 4, MSG_DONTWAIT)
        != (ssize_t)sizeof(group))
        return errno == EPIPE ? -ECONNREFUSED : -EAGAIN;
    int number = (int)(uint32_t)ask->args[0];
    return -notify_hand_in(ask->n, ask->id, theirs, number,
                           program_closes_on_exec(ask->pid, number));
}
