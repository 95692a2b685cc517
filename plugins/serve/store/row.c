/* SPDX-License-Identifier: Apache-2.0 */
/* row.c - between struct workspace and its row. */
#include "row.h"

#include <stdio.h>

#include "sdk/cleanup.h"
#include "sdk/error.h"

#define TEXT(member, column)                                                                       \
    snprintf(ws.member, sizeof(ws.member), "%s", db_text(statement, column))
#define NUMBER(member, column) ws.member = (uint32_t)sqlite3_column_int64(statement, column)

int row_read(sqlite3_stmt *statement, struct workspace *ret, struct nt_error *reterr)
{
    struct workspace ws = { 0 };
    TEXT(id, 0);
    TEXT(org_id, 1);
    TEXT(name, 2);
    TEXT(image, 3);
    TEXT(template_name, 4);
    TEXT(size, 5);
    TEXT(cwd, 6);
    int64_t status = sqlite3_column_int64(statement, 7);
    ws.status = status >= WORKSPACE_CREATING && status <= WORKSPACE_ERROR
                    ? (enum workspace_status)status
                    : WORKSPACE_ERROR;
    NUMBER(vcpus, 8);
    NUMBER(memory_mb, 9);
    NUMBER(disk_mb, 10);
    NUMBER(pids, 11);
    ws.internet = sqlite3_column_int64(statement, 12) != 0;
    ws.on_timeout_hibernate = sqlite3_column_int64(statement, 13) != 0;
    ws.unreachable = sqlite3_column_int64(statement, 14) != 0;
    ws.timeout_ms = sqlite3_column_int64(statement, 15);
    ws.timeout_at_ms = sqlite3_column_int64(statement, 16);
    ws.created_at_ms = sqlite3_column_int64(statement, 17);
    ws.started_at_ms = sqlite3_column_int64(statement, 18);
    NUMBER(limit_cpu, 19);
    NUMBER(limit_memory, 20);
    NUMBER(limit_pids, 21);
    NUMBER(limit_disk, 22);
    TEXT(base, 23);
    TEXT(notice, 24);
    ws.envs = db_text(statement, 25);
    ws.metadata = db_text(statement, 26);
    return workspace_copy(&ws, ret, reterr);
}

/* The workspace that has this name among those that live. */
static int check_name(sqlite3 *db, const struct workspace *ws, struct nt_error *reterr)
{
    if (ws->status == WORKSPACE_DESTROYED)
        return 0;
    nt_auto(db_freep) sqlite3_stmt *statement = NULL;
    if (db_query(
            db, &statement, reterr,
            "SELECT id FROM workspaces WHERE org_id = ? AND name = ? AND status != ? AND id != ?",
            "ttit", ws->org_id, ws->name, (int64_t)WORKSPACE_DESTROYED, ws->id)
        < 0)
        return -1;
    int found = db_step(db, statement, reterr);
    if (found <= 0)
        return found;
    return nt_fail(reterr, NT_E_CONFLICT, "the name %s is that of %s", ws->name,
                   db_text(statement, 0));
}

int row_write(sqlite3 *db, const struct workspace *ws, struct nt_error *reterr)
{
    if (check_name(db, ws, reterr) < 0)
        return -1;
    /* Not REPLACE: that deletes the row first, and with it the intents that refer to it. */
    return db_write(
        db, reterr,
        "INSERT INTO workspaces (" ROW_COLUMNS
        ") VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
        " ON CONFLICT (id) DO UPDATE SET name = excluded.name, image = excluded.image,"
        " template_name = excluded.template_name, size = excluded.size, cwd = excluded.cwd, status "
        "= excluded.status,"
        " vcpus = excluded.vcpus, memory_mb = excluded.memory_mb, disk_mb = excluded.disk_mb, pids "
        "= excluded.pids,"
        " internet = excluded.internet, on_timeout_hibernate = excluded.on_timeout_hibernate,"
        " unreachable = excluded.unreachable, timeout_ms = excluded.timeout_ms,"
        " timeout_at_ms = excluded.timeout_at_ms, started_at_ms = excluded.started_at_ms,"
        " limit_cpu = excluded.limit_cpu, limit_memory = excluded.limit_memory, limit_pids = "
        "excluded.limit_pids,"
        " limit_disk = excluded.limit_disk, base = excluded.base, notice = excluded.notice, envs = "
        "excluded.envs,"
        " metadata = excluded.metadata",
        "ttttttt"
        "iiiiiiiiiiiiiiii"
        "tttt",
        ws->id, ws->org_id, ws->name, ws->image, ws->template_name, ws->size, ws->cwd,
        (int64_t)ws->status, (int64_t)ws->vcpus, (int64_t)ws->memory_mb, (int64_t)ws->disk_mb,
        (int64_t)ws->pids, (int64_t)ws->internet, (int64_t)ws->on_timeout_hibernate,
        (int64_t)ws->unreachable, ws->timeout_ms, ws->timeout_at_ms, ws->created_at_ms,
        ws->started_at_ms, (int64_t)ws->limit_cpu, (int64_t)ws->limit_memory,
        (int64_t)ws->limit_pids, (int64_t)ws->limit_disk, ws->base, ws->notice, ws->envs,
        ws->metadata);
}
