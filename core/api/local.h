/* SPDX-License-Identifier: Apache-2.0 */
/* local.h - the embedded server of this user: where it is, its token, and its start when it does
 * not run. */
#ifndef NT_CORE_LOCAL_H
#define NT_CORE_LOCAL_H

#include "core/api/api_state.h"

/* Path of its socket; NULL: there is no home. */
const char *local_socket(struct nt_error *reterr);
/* The runtime folder, when it is there, is ours alone; a folder that is not there is fine. Because
 * of it whoever listens in that folder is this user (or root). */
int local_check_folder(struct nt_error *reterr);
/* The token of the server that runs now. sys ENOENT: there is none. */
int local_read_token(char *ret, size_t size, struct nt_error *reterr);
/* Returns when a server takes connections: one that somebody else starts, or one started here.
 * However many clients come at once, one server is started: who has the lock starts it and hands it
 * the lock. */
int local_start(struct api *api, int64_t until_ms, struct nt_error *reterr);

#endif
