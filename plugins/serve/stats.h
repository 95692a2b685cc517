/* SPDX-License-Identifier: Apache-2.0 */
/* stats.h - one sample of what the workspaces of an organisation use, all asked at once. */
#ifndef NT_SERVE_STATS_H
#define NT_SERVE_STATS_H

#include <jansson.h>

#include "plugins/serve/server.h"

#define STATS_MAX 200u /* workspaces in one sample: the newest */

/* org_id NULL: of all. `done` comes once, later: rows is an array (borrowed), or NULL with an
 * error. Those that do not answer are in it, marked unreachable, and cost no more than
 * HEALTH_MS and STATS_MS. */
#define STATS_MS 1000
int stats_collect(struct server *server, const char *org_id,
                  void (*done)(void *data, json_t *rows, const struct nt_error *error), void *data,
                  struct nt_error *reterr);

#endif
