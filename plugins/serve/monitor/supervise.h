/* SPDX-License-Identifier: Apache-2.0 */
/* supervise.h - the process that root starts: keeps what only root may touch, and the API process
 * alive beside it. */
#ifndef NT_SERVE_MONITOR_SUPERVISE_H
#define NT_SERVE_MONITOR_SUPERVISE_H

#include "plugins/serve/server.h"

/* server_run for root: in two processes. *Waits.* */
int supervise_run(const struct server_options *options, struct nt_error *reterr);

#endif
