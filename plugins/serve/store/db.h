/* SPDX-License-Identifier: Apache-2.0 */
/* db.h - inside store/: jobs, the thread that runs them, and small helpers around SQLite. */
#ifndef NT_SERVE_STORE_DB_H
#define NT_SERVE_STORE_DB_H

#include <sqlite3.h>

#include "plugins/serve/server.h"
#include "plugins/serve/store/store.h"

/* One call of store.h. Embedded first in the call's own struct, which finish frees. */
struct store_job {
    struct store_job *next;
    bool writes;
    bool failed;
    struct nt_error error;
    /* Store's thread. What it wrote is undone when it fails. */
    int (*run)(sqlite3 *db, struct store_job *job, struct nt_error *reterr);
    /* Loop's thread, after the commit: calls back (unless `quiet`) and frees. */
    void (*finish)(struct store_job *job, bool quiet);
};

/* Hands the job over. -1: the job is not taken. */
int store_submit(struct store *store, struct store_job *job, struct nt_error *reterr);

/* migrate.c: brings an open database to STORE_SCHEMA. NT_E_CONFIG: it is newer. */
int store_migrate(sqlite3 *db, struct nt_error *reterr);
/* owner.c: makes organisation, owner and key when there are none; *ret_org gets the owner's
 * organisation. */
int store_make_owner(sqlite3 *db, const struct store_place *place, char ret_org[44],
                     bool *ret_made_key, struct nt_error *reterr);
/* open.c: opens, checks and migrates; moves a broken database aside. */
int store_open_database(const char *dir, sqlite3 **ret, struct store_opened *ret_opened,
                        struct nt_error *reterr);

/* Fills reterr from the last error of db. Returns -1. */
int db_fail(sqlite3 *db, const char *what, struct nt_error *reterr);
int db_run(sqlite3 *db, const char *sql, struct nt_error *reterr);
/* Prepares and binds by a list of letters: t text (NULL: null), i int64_t, b bytes (pointer, int
 * size). */
int db_query(sqlite3 *db, sqlite3_stmt **ret, struct nt_error *reterr, const char *sql,
             const char *types, ...);
/* The same for what returns no rows. */
int db_write(sqlite3 *db, struct nt_error *reterr, const char *sql, const char *types, ...);
/* 1: a row, 0: the end, -1. */
int db_step(sqlite3 *db, sqlite3_stmt *statement, struct nt_error *reterr);
/* A column's text; "" for null. */
const char *db_text(sqlite3_stmt *statement, int column);
int64_t db_now_ms(void);
void db_random_id(char *ret, size_t size, const char *prefix, unsigned letters);

static inline void db_freep(sqlite3_stmt **statement)
{
    sqlite3_finalize(*statement);
}

#endif
