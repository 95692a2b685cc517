/* SPDX-License-Identifier: Apache-2.0 */
/* inherited.h - listening sockets that this program was started with (sd_listen_fds(3)): a manager
 * makes and keeps them, starts a server when somebody comes, and nobody is refused between two
 * servers. */
#ifndef NT_SERVE_INHERITED_H
#define NT_SERVE_INHERITED_H

#include <stdint.h>
#include <sys/socket.h>

#include "nanoterm/error.h"

#define INHERITED_MAX 16u
/* Longest "unix:PATH" or "HOST:PORT" of a socket, with its NUL. */
#define INHERITED_WHERE_MAX 128u

struct inherited {
    int fds[INHERITED_MAX];                         /* close-on-exec; -1: taken */
    char where[INHERITED_MAX][INHERITED_WHERE_MAX]; /* as --listen says it */
    uint32_t count;
};

/* Takes the sockets of LISTEN_FDS, if LISTEN_PID says that they are for this process; else there
 * are none. The variables go: they are not for what it starts. NT_E_CONFIG: one is no socket that a
 * server could serve. */
int inherited_take(struct inherited *ret, struct nt_error *reterr);
/* The socket at this place, which is then the caller's; -1: there is none. */
int inherited_get(struct inherited *inherited, const char *where);
void inherited_done(struct inherited *inherited);
/* Writes an address as --listen says it. -1: it has no such name. */
int inherited_where(const struct sockaddr_storage *address, socklen_t size,
                    char ret[INHERITED_WHERE_MAX]);

#endif
