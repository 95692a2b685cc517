/* SPDX-License-Identifier: Apache-2.0 */
/* row.h - inside store/: a struct workspace and its row. */
#ifndef NT_SERVE_STORE_ROW_H
#define NT_SERVE_STORE_ROW_H

#include "plugins/serve/store/db.h"

/* The columns in the order of row_read and row_bind. */
#define ROW_COLUMNS                                                                                \
    "id, org_id, name, image, template_name, size, cwd, status, vcpus, memory_mb, disk_mb, pids, " \
    "internet,"                                                                                    \
    " on_timeout_hibernate, unreachable, timeout_ms, timeout_at_ms, created_at_ms, "               \
    "started_at_ms, limit_cpu,"                                                                    \
    " limit_memory, limit_pids, limit_disk, base, notice, envs, metadata"

/* Reads the current row of a statement over ROW_COLUMNS. */
int row_read(sqlite3_stmt *statement, struct workspace *ret, struct nt_error *reterr);
/* Writes all of it; a row of that id is replaced in place. A name that is taken: NT_E_CONFLICT. */
int row_write(sqlite3 *db, const struct workspace *ws, struct nt_error *reterr);

#endif
