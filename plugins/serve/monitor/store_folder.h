/* SPDX-License-Identifier: Apache-2.0 */
/* store_folder.h - DATA/store: where the API process of root's server keeps its database. */
#ifndef NT_SERVE_MONITOR_STORE_FOLDER_H
#define NT_SERVE_MONITOR_STORE_FOLDER_H

#include <stdint.h>

#include "nanoterm/error.h"

/* Makes DATA/store, moves a database of an older version into it, and hands it to uid and gid. The
 * folder's descriptor, or -1. */
int store_folder_open(const char *data_dir, uint32_t uid, uint32_t gid, struct nt_error *reterr);

#endif
