/* SPDX-License-Identifier: Apache-2.0 */
/* handover.h - going on as another (newer) program, with the listener and the lock. */
#ifndef NT_SERVE_HANDOVER_H
#define NT_SERVE_HANDOVER_H

#include "plugins/serve/server.h"

/* Opens a program and checks by descriptor that nobody but root or this user could have written it
 * or put it there: the file and every folder and link on the way (sdk/trust.h). The descriptor, or
 * -1. */
int handover_open(const char *path, struct nt_error *reterr);
/* The listener that the next program gets (taken). */
void handover_keep_listener(int fd);
/* Becomes the program of that descriptor; returns only when that fails. */
int handover_exec(const struct server_options *options, int program_fd, int lock_fd,
                  struct nt_error *reterr);

#endif
