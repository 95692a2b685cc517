/* SPDX-License-Identifier: Apache-2.0 */
/* migrate.c - the numbered steps that bring a database to the schema of this program. Forward only:
 * a step is never changed once it was released, a new one is added at the end and STORE_SCHEMA
 * counts it. */
#include "db.h"

#include <stdio.h>

#include "sdk/cleanup.h"
#include "sdk/error.h"

static const char *const steps[STORE_SCHEMA] = {
    /* 1 */
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;"
    "CREATE TABLE organisations (id TEXT PRIMARY KEY, name TEXT NOT NULL, created_at_ms INTEGER "
    "NOT NULL) STRICT;"
    "CREATE TABLE principals (id TEXT PRIMARY KEY, org_id TEXT NOT NULL REFERENCES "
    "organisations(id),"
    " name TEXT NOT NULL, role TEXT NOT NULL, created_at_ms INTEGER NOT NULL) STRICT;"
    "CREATE TABLE api_keys (id TEXT PRIMARY KEY, org_id TEXT NOT NULL REFERENCES organisations(id),"
    " principal_id TEXT NOT NULL REFERENCES principals(id), hash BLOB NOT NULL UNIQUE,"
    " created_at_ms INTEGER NOT NULL, revoked_at_ms INTEGER NOT NULL DEFAULT 0) STRICT;"
    "CREATE TABLE workspaces (id TEXT PRIMARY KEY, org_id TEXT NOT NULL REFERENCES "
    "organisations(id),"
    " name TEXT NOT NULL, image TEXT NOT NULL, template_name TEXT NOT NULL, size TEXT NOT NULL, "
    "cwd TEXT NOT NULL,"
    " status INTEGER NOT NULL, vcpus INTEGER NOT NULL, memory_mb INTEGER NOT NULL, disk_mb INTEGER "
    "NOT NULL,"
    " pids INTEGER NOT NULL, internet INTEGER NOT NULL, on_timeout_hibernate INTEGER NOT NULL,"
    " unreachable INTEGER NOT NULL, timeout_ms INTEGER NOT NULL, timeout_at_ms INTEGER NOT NULL,"
    " created_at_ms INTEGER NOT NULL, started_at_ms INTEGER NOT NULL, limit_cpu INTEGER NOT NULL,"
    " limit_memory INTEGER NOT NULL, limit_pids INTEGER NOT NULL, limit_disk INTEGER NOT NULL,"
    " base TEXT NOT NULL, notice TEXT NOT NULL, envs TEXT NOT NULL, metadata TEXT NOT NULL) STRICT;"
    /* 3: WORKSPACE_DESTROYED; a name can be used again when its workspace is gone */
    "CREATE UNIQUE INDEX workspaces_name ON workspaces (org_id, name) WHERE status != 3;"
    "CREATE INDEX workspaces_list ON workspaces (org_id, created_at_ms, id);"
    "CREATE TABLE intents (workspace_id TEXT PRIMARY KEY REFERENCES workspaces(id) ON DELETE "
    "CASCADE,"
    " org_id TEXT NOT NULL REFERENCES organisations(id), what TEXT NOT NULL, at_ms INTEGER NOT "
    "NULL) STRICT;"
    "CREATE TABLE idempotency (org_id TEXT NOT NULL REFERENCES organisations(id), key TEXT NOT "
    "NULL,"
    " route TEXT NOT NULL, request BLOB NOT NULL, workspace_id TEXT NOT NULL, status INTEGER NOT "
    "NULL, body TEXT,"
    " expires_at_ms INTEGER NOT NULL, PRIMARY KEY (org_id, key, route)) STRICT;"
    "CREATE INDEX idempotency_workspace ON idempotency (workspace_id);"
    "CREATE TABLE events (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,"
    " org_id TEXT NOT NULL REFERENCES organisations(id), workspace_id TEXT NOT NULL, kind TEXT NOT "
    "NULL,"
    " at_ms INTEGER NOT NULL, delivered_at_ms INTEGER NOT NULL DEFAULT 0) STRICT;",
    /* 2 */
    "CREATE TABLE ports (workspace_id TEXT NOT NULL REFERENCES workspaces(id) ON DELETE CASCADE,"
    " org_id TEXT NOT NULL REFERENCES organisations(id), port INTEGER NOT NULL, host_port INTEGER "
    "NOT NULL,"
    " address TEXT NOT NULL, notice TEXT NOT NULL, PRIMARY KEY (workspace_id, host_port)) STRICT;",
    /* 3 */
    "ALTER TABLE api_keys ADD COLUMN name TEXT NOT NULL DEFAULT '';",
    /* 4 */
    ("ALTER TABLE api_keys ADD COLUMN prefix TEXT NOT NULL DEFAULT '';"
     "ALTER TABLE api_keys ADD COLUMN last_used_at_ms INTEGER NOT NULL DEFAULT 0;"),
};
_Static_assert(WORKSPACE_DESTROYED == 3, "the index of names has this number in it");

static int schema_of(sqlite3 *db, int64_t *ret, struct nt_error *reterr)
{
    nt_auto(db_freep) sqlite3_stmt *statement = NULL;
    if (db_query(db, &statement, reterr, "PRAGMA user_version", "") < 0
        || db_step(db, statement, reterr) < 0)
        return -1;
    *ret = sqlite3_column_int64(statement, 0);
    return 0;
}

int store_migrate(sqlite3 *db, struct nt_error *reterr)
{
    int64_t schema = 0;
    if (schema_of(db, &schema, reterr) < 0)
        return -1;
    if (schema > STORE_SCHEMA) {
        nt_fail(reterr, NT_E_CONFIG, "the database has schema %lld, this program knows %d",
                (long long)schema, STORE_SCHEMA);
        return nt_hint(reterr, "a newer nanoterm has used it: run that one, or update this one");
    }
    for (; schema < STORE_SCHEMA; schema++) {
        char version[64];
        snprintf(version, sizeof(version), "PRAGMA user_version = %lld", (long long)schema + 1);
        if (db_run(db, "BEGIN IMMEDIATE", reterr) < 0)
            return -1;
        if (db_run(db, steps[schema], reterr) < 0 || db_run(db, version, reterr) < 0
            || db_run(db, "COMMIT", reterr) < 0) {
            sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
            return nt_wrap(reterr, "step %lld of the schema", (long long)schema + 1);
        }
    }
    return 0;
}
