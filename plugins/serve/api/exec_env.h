/* SPDX-License-Identifier: Apache-2.0 */
/* exec_env.h - what the server itself adds to the environment of every program that is started for
 * a client. */
#ifndef NT_SERVE_API_EXEC_ENV_H
#define NT_SERVE_API_EXEC_ENV_H

#include "nanoterm/error.h"

struct principal;
struct server;
struct workspace;

/**
 * Calls emit for each variable of one start; called anew for every exec, so that nothing of it is
 * kept in the workspace. What the client asked for comes after it and wins. Bound secrets come
 * here.
 *
 * @param emit  name and value are borrowed for the call
 * @return 0 or -1: the program must not be
 * started */
int exec_environment(struct server *server, const struct workspace *ws,
                     const struct principal *principal,
                     void (*emit)(void *data, const char *name, const char *value), void *data,
                     struct nt_error *reterr);

#endif
