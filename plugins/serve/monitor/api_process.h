/* SPDX-License-Identifier: Apache-2.0 */
/* api_process.h - the half of root's server that reads the network: this program again, as nobody.
 */
#ifndef NT_SERVE_MONITOR_API_PROCESS_H
#define NT_SERVE_MONITOR_API_PROCESS_H

#include "plugins/serve/server.h"

/* Starts it (this program with --api-process) on its end of a socketpair. What root's environment
 * and terminal have in them stays behind. */
int api_process_spawn(int fd, pid_t *ret, struct nt_error *reterr);
/* In it: reads the plan from WIRE_FD, gives up all privilege, and serves. *Waits.* */
int api_process_run(void (*debug)(void *data, const char *event, const char *fields), void *data,
                    struct nt_error *reterr);

#endif
