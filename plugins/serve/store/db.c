/* SPDX-License-Identifier: Apache-2.0 */
/* db.c - small helpers around SQLite: statements with bound values, errors, ids, the clock. */
#include "db.h"

#include <errno.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "sdk/cleanup.h"
#include "sdk/error.h"

int db_fail(sqlite3 *db, const char *what, struct nt_error *reterr)
{
    nt_fail(reterr, NT_E_SERVER, "the database: %s: %s", what, sqlite3_errmsg(db));
    if ((sqlite3_errcode(db) & 0xFF) == SQLITE_FULL)
        reterr->sys = ENOSPC;
    return -1;
}

int db_run(sqlite3 *db, const char *sql, struct nt_error *reterr)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK
               ? 0
               : db_fail(db, "a statement failed", reterr);
}

static int query(sqlite3 *db, sqlite3_stmt **ret, struct nt_error *reterr, const char *sql,
                 const char *types, va_list args)
{
    nt_auto(db_freep) sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
        return db_fail(db, "a statement is wrong", reterr);
    for (int at = 1; *types; types++, at++) {
        int status;
        if (*types == 'i') {
            status = sqlite3_bind_int64(statement, at, va_arg(args, int64_t));
        } else if (*types == 'b') {
            const void *bytes = va_arg(args, const void *);
            status = sqlite3_bind_blob(statement, at, bytes, va_arg(args, int), SQLITE_STATIC);
        } else {
            status =
                sqlite3_bind_text(statement, at, va_arg(args, const char *), -1, SQLITE_STATIC);
        }
        if (status != SQLITE_OK)
            return db_fail(db, "a value was not taken", reterr);
    }
    *ret = nt_take(statement);
    return 0;
}

int db_query(sqlite3 *db, sqlite3_stmt **ret, struct nt_error *reterr, const char *sql,
             const char *types, ...)
{
    va_list args;
    va_start(args, types);
    int status = query(db, ret, reterr, sql, types, args);
    va_end(args);
    return status;
}

int db_step(sqlite3 *db, sqlite3_stmt *statement, struct nt_error *reterr)
{
    switch (sqlite3_step(statement)) {
    case SQLITE_ROW:
        return 1;
    case SQLITE_DONE:
        return 0;
    default:
        return db_fail(db, "reading or writing failed", reterr);
    }
}

int db_write(sqlite3 *db, struct nt_error *reterr, const char *sql, const char *types, ...)
{
    nt_auto(db_freep) sqlite3_stmt *statement = NULL;
    va_list args;
    va_start(args, types);
    int status = query(db, &statement, reterr, sql, types, args);
    va_end(args);
    return status < 0 || db_step(db, statement, reterr) < 0 ? -1 : 0;
}

const char *db_text(sqlite3_stmt *statement, int column)
{
    const unsigned char *text = sqlite3_column_text(statement, column);
    return text ? (const char *)text : "";
}

int64_t db_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void db_random_id(char *ret, size_t size, const char *prefix, unsigned letters)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    size_t at = (size_t)snprintf(ret, size, "%s_", prefix);
    for (unsigned i = 0; i < letters && at + 1 < size; i++)
        ret[at++] = alphabet[randombytes_uniform(sizeof(alphabet) - 1)];
    ret[at] = '\0';
}
