/* SPDX-License-Identifier: Apache-2.0 */
/* keys.c - the calls of store.h about API keys and the organisations that they belong to.
 *
 * Of a key there is its hash, and the few characters by which people tell it from others. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/serve/store/db.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

struct key_job {
    struct store_job job;
    uint8_t hash[STORE_KEY_HASH];
    struct store_key key; /* to write or to look for; what was found */
    bool found;
    struct store_key *rows;
    size_t count;
    store_key_done *done;
    void (*each)(void *data, const struct store_key *key);
    store_done *listed;
    void *data;
};

static void key_finish(struct store_job *job, bool quiet)
{
    struct key_job *j = (struct key_job *)job;
    const struct nt_error *error = job->failed ? &job->error : NULL;
    for (size_t i = 0; !quiet && !error && j->each && i < j->count; i++)
        j->each(j->data, &j->rows[i]);
    if (!quiet && j->listed)
        j->listed(j->data, error);
    if (!quiet && j->done)
        j->done(j->data, j->found && !error ? &j->key : NULL, error);
    free(j->rows);
    free(j);
}

static int submit(struct store *store, const struct key_job *job, struct nt_error *reterr)
{
    nt_autofree struct key_job *j = malloc(sizeof(*j));
    if (!j)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for a key");
    *j = *job;
    j->job.finish = key_finish;
    if (store_submit(store, &j->job, reterr) < 0)
        return -1;
    (void)nt_take(j);
    return 0;
}

/* --- one key --------------------------------------------------------------------------------- */

#define COLUMNS "id, org_id, name, prefix, created_at_ms, last_used_at_ms"

static void read_row(sqlite3_stmt *statement, struct store_key *ret)
{
    snprintf(ret->id, sizeof(ret->id), "%s", db_text(statement, 0));
    snprintf(ret->org_id, sizeof(ret->org_id), "%s", db_text(statement, 1));
    nt_copy_text(ret->name, sizeof(ret->name), db_text(statement, 2));
    snprintf(ret->prefix, sizeof(ret->prefix), "%s", db_text(statement, 3));
    ret->created_at_ms = sqlite3_column_int64(statement, 4);
    ret->last_used_at_ms = sqlite3_column_int64(statement, 5);
}

static int find_run(sqlite3 *db, struct store_job *job, struct nt_error *reterr)
{
    struct key_job *j = (struct key_job *)job;
    nt_auto(db_freep) sqlite3_stmt *statement = NULL;
    if (db_query(db, &statement, reterr,
                 "SELECT " COLUMNS " FROM api_keys WHERE hash = ? AND revoked_at_ms = 0", "b",
                 j->hash, (int)sizeof(j->hash))
        < 0)
        return -1;
    int found = db_step(db, statement, reterr);
    if (found <= 0)
        return found;
    j->found = true;
    read_row(statement, &j->key);
    return 0;
}

int store_key_find(struct store *store, const uint8_t hash[STORE_KEY_HASH], store_key_done *done,
                   void *data, struct nt_error *reterr)
{
    struct key_job job = { .job = { .run = find_run }, .done = done, .data = data };
    memcpy(job.hash, hash, sizeof(job.hash));
    return submit(store, &job, reterr);
}

static int use_run(sqlite3 *db, struct store_job *job, struct nt_error *reterr)
{
    struct key_job *j = (struct key_job *)job;
    return db_write(db, reterr, "UPDATE api_keys SET last_used_at_ms = ? WHERE id = ?", "it",
                    db_now_ms(), j->key.id);
}

int store_key_used(struct store *store, const char *id, struct nt_error *reterr)
{
    struct key_job job = { .job = { .run = use_run, .writes = true } };
    nt_copy_text(job.key.id, sizeof(job.key.id), id);
    return submit(store, &job, reterr);
}

static int insert_key(sqlite3 *db, struct key_job *j, const char *principal,
                      struct nt_error *reterr)
{
    db_random_id(j->key.id, sizeof(j->key.id), "key", 8);
    j->key.created_at_ms = db_now_ms();
    j->found = true;
    return db_write(db, reterr,
                    "INSERT INTO api_keys (id, org_id, principal_id, hash, created_at_ms, name, "
                    "prefix) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    "tttbitt", j->key.id, j->key.org_id, principal, j->hash, (int)sizeof(j->hash),
                    j->key.created_at_ms, j->key.name, j->key.prefix);
}

static int add_run(sqlite3 *db, struct store_job *job, struct nt_error *reterr)
{
    struct key_job *j = (struct key_job *)job;
    nt_auto(db_freep) sqlite3_stmt *statement = NULL;
    if (db_query(db, &statement, reterr,
                 "SELECT id FROM principals WHERE org_id = ? AND role = 'owner' LIMIT 1", "t",
                 j->key.org_id)
        < 0)
        return -1;
    int found = db_step(db, statement, reterr);
    if (found <= 0)
        return found < 0 ? -1 : nt_fail(reterr, NT_E_NOT_FOUND, "the organisation has no owner");
    return insert_key(db, j, db_text(statement, 0), reterr);
}

static struct key_job new_key(const char *org_id, const char *key, const char *name,
                              store_key_done *done, void *data)
{
    struct key_job job = { .job = { .writes = true }, .done = done, .data = data };
    store_key_hash(key, job.hash);
    nt_copy_text(job.key.prefix, sizeof(job.key.prefix), key);
    nt_copy_text(job.key.name, sizeof(job.key.name), name);
    nt_copy_text(job.key.org_id, sizeof(job.key.org_id), org_id);
    return job;
}

int store_key_add(struct store *store, const char *org_id, const char *key, const char *name,
                  store_key_done *done, void *data, struct nt_error *reterr)
{
    struct key_job job = new_key(org_id, key, name, done, data);
    job.job.run = add_run;
    return submit(store, &job, reterr);
}

static int revoke_run(sqlite3 *db, struct store_job *job, struct nt_error *reterr)
{
    struct key_job *j = (struct key_job *)job;
    nt_auto(db_freep) sqlite3_stmt *statement = NULL;
    if (db_query(db, &statement, reterr,
                 "SELECT " COLUMNS " FROM api_keys WHERE id = ? AND org_id = ? AND "
                 "revoked_at_ms = 0",
                 "tt", j->key.id, j->key.org_id)
        < 0)
        return -1;
    int found = db_step(db, statement, reterr);
    if (found <= 0)
        return found;
    j->found = true;
    read_row(statement, &j->key);
    return db_write(db, reterr, "UPDATE api_keys SET revoked_at_ms = ? WHERE id = ?", "it",
                    db_now_ms(), j->key.id);
}

int store_key_revoke(struct store *store, const char *org_id, const char *id, store_key_done *done,
                     void *data, struct nt_error *reterr)
{
    struct key_job job = { .job = { .writes = true, .run = revoke_run },
                           .done = done,
                           .data = data };
    nt_copy_text(job.key.id, sizeof(job.key.id), id);
    nt_copy_text(job.key.org_id, sizeof(job.key.org_id), org_id);
    return submit(store, &job, reterr);
}

/* --- all of an organisation ------------------------------------------------------------------ */

static int list_run(sqlite3 *db, struct store_job *job, struct nt_error *reterr)
{
    struct key_job *j = (struct key_job *)job;
    nt_auto(db_freep) sqlite3_stmt *statement = NULL;
    if (db_query(db, &statement, reterr,
                 "SELECT " COLUMNS " FROM api_keys WHERE org_id = ? AND revoked_at_ms = 0"
                 " ORDER BY created_at_ms, id",
                 "t", j->key.org_id)
        < 0)
        return -1;
    int more;
    while ((more = db_step(db, statement, reterr)) > 0) {
        struct store_key *rows = reallocarray(j->rows, j->count + 1, sizeof(*rows));
        if (!rows)
            return nt_fail(reterr, NT_E_MEMORY, "no memory for the keys");
        j->rows = rows;
        read_row(statement, &rows[j->count++]);
    }
    return more;
}

int store_key_list(struct store *store, const char *org_id,
                   void (*each)(void *data, const struct store_key *key), store_done *done,
                   void *data, struct nt_error *reterr)
{
    struct key_job job = { .job = { .run = list_run }, .each = each, .listed = done, .data = data };
    nt_copy_text(job.key.org_id, sizeof(job.key.org_id), org_id);
    return submit(store, &job, reterr);
}

/* --- organisations --------------------------------------------------------------------------- */

static int org_run(sqlite3 *db, struct store_job *job, struct nt_error *reterr)
{
    struct key_job *j = (struct key_job *)job;
    char principal[44];
    int64_t now = db_now_ms();
    db_random_id(j->key.org_id, sizeof(j->key.org_id), "org", 12);
    db_random_id(principal, sizeof(principal), "usr", 8);
    if (db_write(db, reterr, "INSERT INTO organisations VALUES (?, ?, ?)", "tti", j->key.org_id,
                 j->key.name, now)
            < 0
        || db_write(db, reterr, "INSERT INTO principals VALUES (?, ?, 'owner', 'owner', ?)", "tti",
                    principal, j->key.org_id, now)
               < 0)
        return -1;
    return insert_key(db, j, principal, reterr);
}

int store_org_add(struct store *store, const char *name, const char *key, store_key_done *done,
                  void *data, struct nt_error *reterr)
{
    struct key_job job = new_key("", key, name, done, data);
    job.job.run = org_run;
    return submit(store, &job, reterr);
}
