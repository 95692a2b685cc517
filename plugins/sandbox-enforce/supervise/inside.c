/* SPDX-License-Identifier: Apache-2.0 */
/* inside.c - messages between the supervisor and those inside. */
#include <errno.h>

#include "inner.h"
#include "sdk/fds.h"

int inside_send(int socket, const struct inside_message *message, int fd)
{
    ssize_t n;
    do
        n = nt_send_fds(socket, message, sizeof(*message), &fd, fd >= 0 ? 1 : 0, 0);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof(*message) ? 0 : errno ? errno : EIO;
}
