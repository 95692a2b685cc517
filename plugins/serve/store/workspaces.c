/* SPDX-License-Identifier: Apache-2.0 */
/* workspaces.c - the calls of store.h about workspaces that only read, and their intents. */
#include "store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/serve/store/row.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

/* --- one workspace ------------------------------------------------------------------------- */

struct find_job {
    struct store_job job;
    char org_id[44];
    char wanted[132];
    bool found;
    struct workspace ws;
    store_found *done;
    void *data;
};

static int find_run(sqlite3 *db, struct store_job *job, struct nt_error *reterr)
{
    struct find_job *j = (struct find_job *)job;
    nt_auto(db_freep) sqlite3_stmt *statement = NULL;
    /* An id wins over a name that looks like one. */
    if (db_query(db, &statement, reterr,
                 "SELECT " ROW_COLUMNS " FROM workspaces WHERE status != ?1"
                 " AND ((org_id = ?2 AND (id = ?3 OR name = ?3)) OR (?2 = '' AND id = ?3))"
                 " ORDER BY id = ?3 DESC LIMIT 1",
                 "itt", (int64_t)WORKSPACE_DESTROYED, j->org_id, j->wanted)
        < 0)
        return -1;
    int found = db_step(db, statement, reterr);
    if (found <= 0)
        return found;
    if (row_read(statement, &j->ws, reterr) < 0)
        return -1;
    j->found = true;
    return 0;
}

static void find_finish(struct store_job *job, bool quiet)
{
    struct find_job *j = (struct find_job *)job;
    if (!quiet)
        j->done(j->data, j->found && !job->failed ? &j->ws : NULL,
                job->failed ? &job->error : NULL);
    workspace_done(&j->ws);
    free(j);
}

int store_workspace_find(struct store *store, const char *org_id, const char *id_or_name,
                         store_found *done, void *data, struct nt_error *reterr)
{
    nt_autofree struct find_job *j = calloc(1, sizeof(*j));
    if (!j)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for the workspace");
    j->job.run = find_run;
    j->job.finish = find_finish;
    snprintf(j->org_id, sizeof(j->org_id), "%s", org_id ? org_id : "");
    /* Longer than any id or name: cut, it matches none of them. */
    snprintf(j->wanted, sizeof(j->wanted), "%s", id_or_name);
    j->done = done;
    j->data = data;
    if (store_submit(store, &j->job, reterr) < 0)
        return -1;
    (void)nt_take(j);
    return 0;
}

/* --- a list of them ------------------------------------------------------------------------ */

struct list_job {
    struct store_job job;
    char org_id[44]; /* empty: all */
    char template_name[132];
    bool any_template;
    int64_t after_ms;
    char after_id[44]; /* empty: from the newest */
    uint32_t limit, states;
    struct workspace *rows;
    uint32_t count;
    void (*each)(void *data, const struct workspace *ws);
    store_done *done;
    void *data;
};

static int list_run(sqlite3 *db, struct store_job *job, struct nt_error *reterr)
{
    struct list_job *j = (struct list_job *)job;
    j->rows = calloc(j->limit, sizeof(*j->rows));
    if (!j->rows)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for the list");
    nt_auto(db_freep) sqlite3_stmt *statement = NULL;
    if (db_query(db, &statement, reterr,
                 "SELECT " ROW_COLUMNS
                 " FROM workspaces WHERE (?1 = '' OR org_id = ?1) AND ((1 << status) & ?2) != 0"
                 " AND (?3 OR template_name = ?4) AND (?6 = '' OR (created_at_ms, id) < (?5, ?6))"
                 " ORDER BY created_at_ms DESC, id DESC LIMIT ?7",
                 "tiititi", j->org_id, (int64_t)j->states, (int64_t)j->any_template,
                 j->template_name, j->after_ms, j->after_id, (int64_t)j->limit)
        < 0)
        return -1;
    int more;
    while ((more = db_step(db, statement, reterr)) > 0 && j->count < j->limit) {
        if (row_read(statement, &j->rows[j->count], reterr) < 0)
            return -1;
        j->count++;
    }
    return more < 0 ? -1 : 0;
}

static void list_finish(struct store_job *job, bool quiet)
{
    struct list_job *j = (struct list_job *)job;
    for (uint32_t i = 0; i < j->count; i++) {
        if (!quiet && !job->failed)
            j->each(j->data, &j->rows[i]);
        workspace_done(&j->rows[i]);
    }
    if (!quiet)
        j->done(j->data, job->failed ? &job->error : NULL);
    free(j->rows);
    free(j);
}

int store_workspace_list(struct store *store, const struct store_list *list,
                         void (*each)(void *data, const struct workspace *ws), store_done *done,
                         void *data, struct nt_error *reterr)
{
    nt_autofree struct list_job *j = calloc(1, sizeof(*j));
    if (!j)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for the list");
    j->job.run = list_run;
    j->job.finish = list_finish;
    snprintf(j->org_id, sizeof(j->org_id), "%s", list->org_id ? list->org_id : "");
    j->any_template = !list->template_name;
    snprintf(j->template_name, sizeof(j->template_name), "%s",
             list->template_name ? list->template_name : "");
    if (list->after
        && sscanf(list->after, "%" SCNd64 ":%43[a-z0-9_]", &j->after_ms, j->after_id) != 2)
        return nt_fail(reterr, NT_E_INVALID, "the page token is not one of this server");
    j->limit = list->limit == 0 || list->limit > STORE_LIST_MAX ? STORE_LIST_MAX : list->limit;
    j->states = list->states ? list->states : ~(1u << WORKSPACE_DESTROYED);
    j->each = each;
    j->done = done;
    j->data = data;
    if (store_submit(store, &j->job, reterr) < 0)
        return -1;
    (void)nt_take(j);
    return 0;
}

/* --- how many ------------------------------------------------------------------------------ */

struct count_job {
    struct store_job job;
    uint64_t counts[STORE_STATES];
    void (*done)(void *data, const uint64_t counts[STORE_STATES], const struct nt_error *error);
    void *data;
};

static int count_run(sqlite3 *db, struct store_job *job, struct nt_error *reterr)
{
    struct count_job *j = (struct count_job *)job;
    nt_auto(db_freep) sqlite3_stmt *statement = NULL;
    if (db_query(db, &statement, reterr, "SELECT status, count(*) FROM workspaces GROUP BY status",
                 "")
        < 0)
        return -1;
    int more;
    while ((more = db_step(db, statement, reterr)) > 0) {
        int64_t state = sqlite3_column_int64(statement, 0);
        if (state >= 0 && state < STORE_STATES)
            j->counts[state] = (uint64_t)sqlite3_column_int64(statement, 1);
    }
    return more < 0 ? -1 : 0;
}

static void count_finish(struct store_job *job, bool quiet)
{
    struct count_job *j = (struct count_job *)job;
    if (!quiet)
        j->done(j->data, j->counts, job->failed ? &job->error : NULL);
    free(j);
}

int store_workspace_counts(struct store *store,
                           void (*done)(void *data, const uint64_t counts[STORE_STATES],
                                        const struct nt_error *error),
                           void *data, struct nt_error *reterr)
{
    nt_autofree struct count_job *j = calloc(1, sizeof(*j));
    if (!j)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for the numbers");
    *j = (struct count_job){ .job = { .run = count_run, .finish = count_finish },
                             .done = done,
                             .data = data };
    if (store_submit(store, &j->job, reterr) < 0)
        return -1;
    (void)nt_take(j);
    return 0;
}

/* --- intents ------------------------------------------------------------------------------- */

struct intent_job {
    struct store_job job;
    char ws_id[44];
    char what[20];
    struct intent_row {
        char ws_id[44], what[20];
    } * rows;
    size_t count;
    void (*each)(void *data, const char *ws_id, const char *what);
    store_done *done;
    void *data;
};

static int intent_run(sqlite3 *db, struct store_job *job, struct nt_error *reterr)
{
    struct intent_job *j = (struct intent_job *)job;
    return db_write(
        db, reterr,
        "INSERT INTO intents (workspace_id, org_id, what, at_ms)"
        " SELECT id, org_id, ?2, ?3 FROM workspaces WHERE id = ?1"
        " ON CONFLICT (workspace_id) DO UPDATE SET what = excluded.what, at_ms = excluded.at_ms",
        "tti", j->ws_id, j->what, db_now_ms());
}

static int intent_list_run(sqlite3 *db, struct store_job *job, struct nt_error *reterr)
{
    struct intent_job *j = (struct intent_job *)job;
    nt_auto(db_freep) sqlite3_stmt *statement = NULL;
    if (db_query(db, &statement, reterr, "SELECT workspace_id, what FROM intents", "") < 0)
        return -1;
    int more;
    while ((more = db_step(db, statement, reterr)) > 0) {
        struct intent_row *rows = reallocarray(j->rows, j->count + 1, sizeof(*rows));
        if (!rows)
            return nt_fail(reterr, NT_E_MEMORY, "no memory for the intents");
        j->rows = rows;
        snprintf(rows[j->count].ws_id, sizeof(rows->ws_id), "%s", db_text(statement, 0));
        snprintf(rows[j->count].what, sizeof(rows->what), "%s", db_text(statement, 1));
        j->count++;
    }
    return more < 0 ? -1 : 0;
}

static void intent_finish(struct store_job *job, bool quiet)
{
    struct intent_job *j = (struct intent_job *)job;
    for (size_t i = 0; i < j->count && !quiet && !job->failed; i++)
        j->each(j->data, j->rows[i].ws_id, j->rows[i].what);
    if (!quiet)
        j->done(j->data, job->failed ? &job->error : NULL);
    free(j->rows);
    free(j);
}

static int intent_submit(struct store *store, struct intent_job job, struct nt_error *reterr)
{
    nt_autofree struct intent_job *j = malloc(sizeof(*j));
    if (!j)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for an intent");
    *j = job;
    j->job.finish = intent_finish;
    if (store_submit(store, &j->job, reterr) < 0)
        return -1;
    (void)nt_take(j);
    return 0;
}

int store_intent(struct store *store, const char *ws_id, const char *what, store_done *done,
                 void *data, struct nt_error *reterr)
{
    struct intent_job job = { .job = { .writes = true, .run = intent_run },
                              .done = done,
                              .data = data };
    snprintf(job.ws_id, sizeof(job.ws_id), "%s", ws_id);
    snprintf(job.what, sizeof(job.what), "%s", what);
    return intent_submit(store, job, reterr);
}

int store_intent_list(struct store *store,
                      void (*each)(void *data, const char *ws_id, const char *what),
                      store_done *done, void *data, struct nt_error *reterr)
{
    struct intent_job job = {
        .job = { .run = intent_list_run }, .each = each, .done = done, .data = data
    };
    return intent_submit(store, job, reterr);
}
