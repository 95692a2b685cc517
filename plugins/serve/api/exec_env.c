/* SPDX-License-Identifier: Apache-2.0 */
/* exec_env.c - the per-exec environment: the one place through which the server gives variables to
 * a program. */
#include "plugins/serve/api/exec_env.h"

int exec_environment(struct server *server, const struct workspace *ws,
                     const struct principal *principal,
                     void (*emit)(void *data, const char *name, const char *value), void *data,
                     struct nt_error *reterr)
{
    return 0; /* Nothing is bound to a workspace yet. */
}
