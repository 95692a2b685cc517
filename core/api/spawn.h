/* SPDX-License-Identifier: Apache-2.0 */
/* spawn.h - runs the embedded server as a process of its own, with nothing of ours but what it
 * needs. */
#ifndef NT_CORE_SPAWN_H
#define NT_CORE_SPAWN_H

#include "nanoterm/error.h"

/* Starts `program serve --embedded`: own session, cwd /, umask 077, default signals, clean
 * environment, the locked lock file as descriptor 3, a pipe as 4, stderr to the log. Borrowed: all.
 * ret_ready is the pipe's end to read from (close-on-exec, non-blocking). */
int spawn_server(const char *program, int lock_fd, int log_fd, int *ret_ready,
                 struct nt_error *reterr);

#endif
