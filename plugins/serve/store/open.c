/* SPDX-License-Identifier: Apache-2.0 */
/* open.c - opens the database file; one that is broken is moved aside with its journal, never
 * written over. */
#include "db.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define BUSY_MS 5000

static void database_closep(sqlite3 **db)
{
    sqlite3_close(*db);
}

/* Marks an error as "the file is no good", which moving it aside can heal. */
#define BROKEN 0x7fffffff

static int fail_open(sqlite3 *db, int status, const char *path, struct nt_error *reterr)
{
    int kind = status & 0xff;
    nt_fail(reterr, NT_E_SERVER, "%s: %s", path, db ? sqlite3_errmsg(db) : sqlite3_errstr(status));
    if (kind == SQLITE_CORRUPT || kind == SQLITE_NOTADB)
        reterr->sys = BROKEN;
    return -1;
}

static int check(sqlite3 *db, const char *path, struct nt_error *reterr)
{
    nt_auto(db_freep) sqlite3_stmt *statement = NULL;
    int status = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &statement, NULL);
    if (status == SQLITE_OK)
        status = sqlite3_step(statement);
    if (status != SQLITE_ROW)
        return fail_open(db, status, path, reterr);
    if (strcmp(db_text(statement, 0), "ok") != 0) {
        nt_fail(reterr, NT_E_SERVER, "%s: %s", path, db_text(statement, 0));
        reterr->sys = BROKEN;
        return -1;
    }
    return 0;
}

/* As it is: a process that may not walk the path of its folder can open what is in it. */
static int here_path(sqlite3_vfs *vfs, const char *name, int size, char *ret)
{
    (void)vfs;
    return snprintf(ret, (size_t)size, "%s", name) < size ? SQLITE_OK : SQLITE_CANTOPEN;
}

/* The usual files of SQLite, but for names that stay relative. Its name; NULL: the usual ones. */
static const char *files_of(const char *path)
{
    static sqlite3_vfs here;
    if (path[0] == '/')
        return NULL;
    if (!here.zName) {
        here = *sqlite3_vfs_find(NULL);
        here.zName = "nanoterm-here";
        here.xFullPathname = here_path;
        sqlite3_vfs_register(&here, 0);
    }
    return here.zName;
}

static int open_one(const char *path, sqlite3 **ret, struct nt_error *reterr)
{
    nt_auto(database_closep) sqlite3 *db = NULL;
    int flags =
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW;
    int status = sqlite3_open_v2(path, &db, flags, files_of(path));
    if (status == SQLITE_OK)
        status = sqlite3_busy_timeout(db, BUSY_MS);
    static const char *const settings[] = { "PRAGMA journal_mode = WAL",
                                            "PRAGMA synchronous = FULL", "PRAGMA foreign_keys = ON",
                                            "PRAGMA trusted_schema = OFF",
                                            "PRAGMA temp_store = MEMORY" };
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]) && status == SQLITE_OK; i++)
        status = sqlite3_exec(db, settings[i], NULL, NULL, NULL);
    if (status != SQLITE_OK)
        return fail_open(db, status, path, reterr);
    if (check(db, path, reterr) < 0 || store_migrate(db, reterr) < 0)
        return -1;
    *ret = nt_take(db);
    return 0;
}

/* The journal goes with its database: applied to another one it would break that, too. */
static int move_aside(const char *path, char ret_to[4096], struct nt_error *reterr)
{
    static const char *const parts[] = { "", "-wal", "-shm" };
    snprintf(ret_to, 4096, "%s.corrupt-%lld", path, (long long)time(NULL));
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        nt_auto(nt_buf_done) struct nt_buf from = NT_BUF(4096), to = NT_BUF(4096);
        nt_buf_addf(&from, "%s%s", path, parts[i]);
        nt_buf_addf(&to, "%s%s", ret_to, parts[i]);
        if (!nt_buf_ok(&from) || !nt_buf_ok(&to))
            return nt_fail(reterr, NT_E_LIMIT, "the path of the database is too long");
        if (renameat2(AT_FDCWD, nt_buf_text(&from), AT_FDCWD, nt_buf_text(&to), RENAME_NOREPLACE)
                < 0
            && errno != ENOENT)
            return nt_fail_sys(reterr, errno, "cannot move %s aside", nt_buf_text(&from));
    }
    return 0;
}

int store_open_database(const char *dir, sqlite3 **ret, struct store_opened *ret_opened,
                        struct nt_error *reterr)
{
    char path[3900];
    bool is_here = strcmp(dir, STORE_HERE) == 0;
    if (snprintf(path, sizeof(path), "%s%snanoterm.db", is_here ? "" : dir, is_here ? "" : "/")
        >= (int)sizeof(path))
        return nt_fail(reterr, NT_E_LIMIT, "the path of the data folder is too long");
    struct stat st;
    ret_opened->origin = lstat(path, &st) == 0 ? STORE_FOUND : STORE_MADE;
    /* SQLite takes an empty file for a new database, and cannot open what is no file: both are what
     * is left of one. */
    bool is_remains = ret_opened->origin == STORE_FOUND
                      && (S_ISDIR(st.st_mode) || (S_ISREG(st.st_mode) && st.st_size == 0));
    if (!is_remains && open_one(path, ret, reterr) == 0)
        return 0;
    if (!is_remains && reterr->sys != BROKEN)
        return -1;
    if (move_aside(path, ret_opened->moved_to, reterr) < 0 || open_one(path, ret, reterr) < 0)
        return -1;
    ret_opened->origin = STORE_REBUILT;
    return 0;
}
