/* SPDX-License-Identifier: Apache-2.0 */
/* changes.c - the calls of store.h that change a workspace: the row, its event, and the answer that
 * is kept for a repeated request, always in one transaction. */
#include "store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/serve/store/row.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define ANSWER_KEPT_MS (INT64_C(24) * 3600 * 1000)

struct change_job {
    struct store_job job;
    struct workspace ws;
    char *event;
    /* The answer. */
    char *key, *route, *body;
    uint8_t request[STORE_KEY_HASH];
    uint32_t status;
    /* What came out. */
    enum store_begun begun;
    uint32_t kept_status;
    char *kept_body;
    void (*begin_done)(void *data, enum store_begun begun, uint32_t status, const char *body,
                       const struct nt_error *error);
    store_done *done;
    void *data;
};

static void change_free(struct change_job *j)
{
    workspace_done(&j->ws);
    free(j->event);
    free(j->key);
    free(j->route);
    free(j->body);
    free(j->kept_body);
    free(j);
}

static void change_freep(struct change_job **j)
{
    if (*j)
        change_free(*j);
}

static void change_finish(struct store_job *job, bool quiet)
{
    struct change_job *j = (struct change_job *)job;
    const struct nt_error *error = job->failed ? &job->error : NULL;
    if (!quiet && j->begin_done)
        j->begin_done(j->data, j->begun, j->kept_status, j->kept_body, error);
    else if (!quiet)
        j->done(j->data, error);
    change_free(j);
}

static char *copy(const char *text)
{
    return strdup(text ? text : "");
}

static struct change_job *change_new(const struct workspace *ws, const char *event,
                                     const struct store_answer *answer, struct nt_error *reterr)
{
    struct change_job *j = calloc(1, sizeof(*j));
    if (!j || workspace_copy(ws, &j->ws, reterr) < 0) {
        free(j);
        nt_fail(reterr, NT_E_MEMORY, "no memory for a change");
        return NULL;
    }
    j->job.writes = true;
    j->job.finish = change_finish;
    j->event = copy(event);
    bool is_kept = answer && answer->key;
    j->key = copy(is_kept ? answer->key : NULL);
    j->route = copy(is_kept ? answer->route : NULL);
    j->body = copy(is_kept ? answer->body : NULL);
    if (is_kept) {
        memcpy(j->request, answer->request, sizeof(j->request));
        j->status = answer->status;
    }
    if (j->event && j->key && j->route && j->body)
        return j;
    change_free(j);
    nt_fail(reterr, NT_E_MEMORY, "no memory for a change");
    return NULL;
}

/* Looks for an answer of before; j->begun says what was found. */
static int look_for_answer(sqlite3 *db, struct change_job *j, struct nt_error *reterr)
{
    nt_auto(db_freep) sqlite3_stmt *statement = NULL;
    if (db_write(db, reterr,
                 "DELETE FROM idempotency WHERE org_id = ? AND key = ? AND route = ? AND "
                 "expires_at_ms < ?",
                 "ttti", j->ws.org_id, j->key, j->route, db_now_ms())
            < 0
        || db_query(db, &statement, reterr,
                    "SELECT request, status, body FROM idempotency WHERE org_id = ? AND key = ? "
                    "AND route = ?",
                    "ttt", j->ws.org_id, j->key, j->route)
               < 0)
        return -1;
    int found = db_step(db, statement, reterr);
    if (found <= 0)
        return found;
    const void *request = sqlite3_column_blob(statement, 0);
    if (sqlite3_column_bytes(statement, 0) != STORE_KEY_HASH
        || memcmp(request, j->request, STORE_KEY_HASH) != 0) {
        j->begun = STORE_OTHER_REQUEST;
        return 0;
    }
    j->kept_status = (uint32_t)sqlite3_column_int64(statement, 1);
    j->begun = j->kept_status ? STORE_ANSWERED : STORE_PENDING;
    j->kept_body = strdup(db_text(statement, 2));
    return j->kept_body ? 0 : nt_fail(reterr, NT_E_MEMORY, "no memory for an answer");
}

static int begin_run(sqlite3 *db, struct store_job *job, struct nt_error *reterr)
{
    struct change_job *j = (struct change_job *)job;
    int64_t now = db_now_ms();
    if (*j->key && (look_for_answer(db, j, reterr) < 0 || j->begun != STORE_BEGUN))
        return j->begun != STORE_BEGUN ? 0 : -1;
    if (row_write(db, &j->ws, reterr) < 0) {
        if (reterr->code != NT_E_CONFLICT)
            return -1;
        j->begun = STORE_NAME_TAKEN;
        return 0;
    }
    if (db_write(db, reterr, "INSERT INTO intents VALUES (?, ?, 'create', ?)", "tti", j->ws.id,
                 j->ws.org_id, now)
        < 0)
        return -1;
    if (!*j->key)
        return 0;
    return db_write(db, reterr, "INSERT INTO idempotency VALUES (?, ?, ?, ?, ?, 0, NULL, ?)",
                    "tttbti", j->ws.org_id, j->key, j->route, j->request, (int)sizeof(j->request),
                    j->ws.id, now + ANSWER_KEPT_MS);
}

int store_workspace_begin(struct store *store, const struct workspace *ws,
                          const struct store_answer *answer,
                          void (*done)(void *data, enum store_begun begun, uint32_t status,
                                       const char *body, const struct nt_error *error),
                          void *data, struct nt_error *reterr)
{
    nt_auto(change_freep) struct change_job *j = change_new(ws, NULL, answer, reterr);
    if (!j)
        return -1;
    j->job.run = begin_run;
    j->begin_done = done;
    j->data = data;
    if (store_submit(store, &j->job, reterr) < 0)
        return -1;
    (void)nt_take(j);
    return 0;
}

static int put_run(sqlite3 *db, struct store_job *job, struct nt_error *reterr)
{
    struct change_job *j = (struct change_job *)job;
    if (row_write(db, &j->ws, reterr) < 0
        || db_write(db, reterr, "DELETE FROM intents WHERE workspace_id = ?", "t", j->ws.id) < 0)
        return -1;
    if (j->ws.status == WORKSPACE_DESTROYED
        && db_write(db, reterr, "DELETE FROM ports WHERE workspace_id = ?", "t", j->ws.id) < 0)
        return -1;
    if (*j->event) {
        char id[44];
        db_random_id(id, sizeof(id), "evt", 16);
        if (db_write(
                db, reterr,
                "INSERT INTO events (id, org_id, workspace_id, kind, at_ms) VALUES (?, ?, ?, ?, ?)",
                "tttti", id, j->ws.org_id, j->ws.id, j->event, db_now_ms())
            < 0)
            return -1;
    }
    if (!*j->key)
        return 0;
    return db_write(
        db, reterr,
        "INSERT INTO idempotency VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
        " status = excluded.status, body = excluded.body, expires_at_ms = excluded.expires_at_ms",
        "tttbtiti", j->ws.org_id, j->key, j->route, j->request, (int)sizeof(j->request), j->ws.id,
        (int64_t)j->status, j->body, db_now_ms() + ANSWER_KEPT_MS);
}

static int undo_run(sqlite3 *db, struct store_job *job, struct nt_error *reterr)
{
    struct change_job *j = (struct change_job *)job;
    if (put_run(db, job, reterr) < 0)
        return -1;
    return db_write(db, reterr, "DELETE FROM idempotency WHERE workspace_id = ?", "t", j->ws.id);
}

static int submit_change(struct store *store, const struct workspace *ws, const char *event,
                         const struct store_answer *answer,
                         int (*run)(sqlite3 *db, struct store_job *job, struct nt_error *reterr),
                         store_done *done, void *data, struct nt_error *reterr)
{
    nt_auto(change_freep) struct change_job *j = change_new(ws, event, answer, reterr);
    if (!j)
        return -1;
    j->job.run = run;
    j->done = done;
    j->data = data;
    if (store_submit(store, &j->job, reterr) < 0)
        return -1;
    (void)nt_take(j);
    return 0;
}

int store_workspace_put(struct store *store, const struct workspace *ws, const char *event,
                        const struct store_answer *answer, store_done *done, void *data,
                        struct nt_error *reterr)
{
    return submit_change(store, ws, event, answer, put_run, done, data, reterr);
}

int store_workspace_undo(struct store *store, const struct workspace *ws, store_done *done,
                         void *data, struct nt_error *reterr)
{
    return submit_change(store, ws, "sandbox.create_failed", NULL, undo_run, done, data, reterr);
}
