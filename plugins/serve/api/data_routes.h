/* SPDX-License-Identifier: Apache-2.0 */
/* data_routes.h - the routes of what happens inside a workspace: programs, their processes, files. */
#ifndef NT_SERVE_API_DATA_ROUTES_H
#define NT_SERVE_API_DATA_ROUTES_H

#include "plugins/serve/http/exchange.h"

extern const struct routes exec_routes;    /* exec.c */
extern const struct routes exec_ws_routes; /* exec_ws.c */
extern const struct routes process_routes; /* processes.c */
extern const struct routes files_routes;   /* files.c: JSON */
extern const struct routes file_routes;    /* file_raw.c: bytes */
extern const struct routes fd_routes;      /* fd.c */
extern const struct routes clone_routes;   /* clone.c */

#endif
