/* SPDX-License-Identifier: Apache-2.0 */
/* store.c - the store's thread: takes all that waits, runs it (in one transaction when something of
 * it writes), calls back.
 *
 * So many small changes cost one fsync. Each job has a savepoint: one that fails undoes only
 * itself. */
#include "store.h"

#include <stdlib.h>
#include <string.h>

#include "plugins/serve/measure.h"
#include "plugins/serve/store/db.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define QUEUE_MAX 4096u
#define BATCH_MAX 256u

struct store {
    sqlite3 *db;
    uv_thread_t thread;
    uv_mutex_t mutex;
    uv_cond_t wake;
    uv_async_t finished;
    struct store_job *queue, **queue_end; /* under mutex */
    struct store_job *done, **done_end;   /* under mutex */
    bool stopping;                        /* under mutex */
    uint32_t in_flight;                   /* loop's thread */
    struct measure commits;
    void (*closed)(void *data);
    void *closed_data;
};

static void run_job(sqlite3 *db, struct store_job *job)
{
    job->error = (struct nt_error)NT_ERROR_INIT;
    if (db_run(db, "SAVEPOINT job", &job->error) < 0) {
        job->failed = true;
        return;
    }
    job->failed = job->run(db, job, &job->error) < 0;
    if (job->failed)
        sqlite3_exec(db, "ROLLBACK TO job", NULL, NULL, NULL);
    struct nt_error error = NT_ERROR_INIT;
    if (db_run(db, "RELEASE job", &error) < 0 && !job->failed) {
        job->failed = true;
        job->error = error;
    }
}

static void run_batch(struct store *store, struct store_job *batch)
{
    sqlite3 *db = store->db;
    struct nt_error error = NT_ERROR_INIT;
    bool writes = false;
    for (struct store_job *job = batch; job; job = job->next)
        writes = writes || job->writes;
    /* Nobody else writes to this database: reading needs no transaction, which would cost more than
     * most answers. */
    for (struct store_job *job = batch; job && !writes; job = job->next) {
        job->error = (struct nt_error)NT_ERROR_INIT;
        job->failed = job->run(db, job, &job->error) < 0;
    }
    if (!writes)
        return;
    bool is_open = db_run(db, "BEGIN IMMEDIATE", &error) == 0;
    for (struct store_job *job = batch; job && is_open; job = job->next)
        run_job(db, job);
    uint64_t begun_ns = uv_hrtime();
    if (is_open && db_run(db, "COMMIT", &error) == 0) {
        measure_add(&store->commits, (uv_hrtime() - begun_ns) / 1000);
        return;
    }
    sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    for (struct store_job *job = batch; job; job = job->next)
        if ((job->writes || !is_open) && !job->failed) { /* nothing of it is on the disk */
            job->failed = true;
            job->error = error;
        }
}

static void work(void *data)
{
    struct store *store = data;
    uv_mutex_lock(&store->mutex);
    for (;;) {
        while (!store->queue && !store->stopping)
            uv_cond_wait(&store->wake, &store->mutex);
        if (!store->queue)
            break;
        struct store_job *batch = store->queue, *last = batch;
        for (unsigned i = 1; i < BATCH_MAX && last->next; i++)
            last = last->next;
        store->queue = last->next;
        if (!store->queue)
            store->queue_end = &store->queue;
        last->next = NULL;
        uv_mutex_unlock(&store->mutex);
        run_batch(store, batch);
        uv_mutex_lock(&store->mutex);
        *store->done_end = batch;
        store->done_end = &last->next;
        uv_async_send(&store->finished);
    }
    uv_mutex_unlock(&store->mutex);
}

static void finish_all(struct store *store, bool quiet)
{
    uv_mutex_lock(&store->mutex);
    struct store_job *job = store->done;
    store->done = NULL;
    store->done_end = &store->done;
    uv_mutex_unlock(&store->mutex);
    while (job) {
        struct store_job *next = job->next;
        store->in_flight--;
        job->finish(job, quiet);
        job = next;
    }
}

static void on_finished(uv_async_t *handle)
{
    finish_all(handle->data, false);
}

int store_submit(struct store *store, struct store_job *job, struct nt_error *reterr)
{
    if (store->in_flight >= QUEUE_MAX)
        return nt_fail(reterr, NT_E_UNAVAILABLE, "the database has too much to do; try again");
    job->next = NULL;
    uv_mutex_lock(&store->mutex);
    *store->queue_end = job;
    store->queue_end = &job->next;
    uv_cond_signal(&store->wake);
    uv_mutex_unlock(&store->mutex);
    store->in_flight++;
    return 0;
}

struct measure *store_commits(struct store *store)
{
    return &store->commits;
}

uint32_t store_in_flight(const struct store *store)
{
    return store->in_flight;
}

/* What is old enough that nobody asks for it any more. */
static int forget_old(sqlite3 *db, struct nt_error *reterr)
{
    const int64_t day = INT64_C(24) * 3600 * 1000;
    int64_t now = db_now_ms();
    if (db_write(db, reterr, "DELETE FROM idempotency WHERE expires_at_ms < ?", "i", now) < 0
        || db_write(db, reterr, "DELETE FROM events WHERE at_ms < ?", "i", now - 30 * day) < 0
        || db_write(db, reterr, "DELETE FROM workspaces WHERE status = ? AND created_at_ms < ?",
                    "ii", (int64_t)WORKSPACE_DESTROYED, now - 30 * day)
               < 0)
        return -1;
    return 0;
}

static void database_closep(sqlite3 **db)
{
    sqlite3_close(*db);
}

int store_open(uv_loop_t *uv, const struct store_place *place, struct store **ret,
               struct store_opened *ret_opened, struct nt_error *reterr)
{
    *ret_opened = (struct store_opened){ 0 };
    nt_auto(database_closep) sqlite3 *db = NULL;
    if (store_open_database(place->dir, &db, ret_opened, reterr) < 0
        || store_make_owner(db, place, ret_opened->owner_org, &ret_opened->made_owner_key, reterr)
               < 0
        || forget_old(db, reterr) < 0)
        return -1;
    nt_autofree struct store *store = calloc(1, sizeof(*store));
    if (!store || uv_mutex_init(&store->mutex) < 0)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for the store");
    if (uv_cond_init(&store->wake) < 0) {
        uv_mutex_destroy(&store->mutex);
        return nt_fail(reterr, NT_E_MEMORY, "no memory for the store");
    }
    store->queue_end = &store->queue;
    store->done_end = &store->done;
    store->db = db;
    store->finished.data = store;
    /* The handle first: a thread could be ended, but it would need the handle. */
    int status = uv_async_init(uv, &store->finished, on_finished);
    if (status < 0) {
        uv_cond_destroy(&store->wake);
        uv_mutex_destroy(&store->mutex);
        return nt_fail_sys(reterr, -status, "cannot start the store");
    }
    status = uv_thread_create(&store->thread, work, store);
    if (status < 0) {
        store->db = NULL;
        store->stopping = true;
        /* leaked on purpose: the loop still has it, the process ends */
        uv_close((uv_handle_t *)&store->finished, NULL);
        (void)nt_take(store);
        return nt_fail_sys(reterr, -status, "cannot start the thread of the store");
    }
    db = NULL;
    *ret = nt_take(store);
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    struct store *store = handle->data;
    void (*closed)(void *data) = store->closed;
    void *data = store->closed_data;
    uv_cond_destroy(&store->wake);
    uv_mutex_destroy(&store->mutex);
    free(store);
    if (closed)
        closed(data);
}

void store_close(struct store *store, void (*closed)(void *data), void *data)
{
    store->closed = closed;
    store->closed_data = data;
    uv_mutex_lock(&store->mutex);
    store->stopping = true;
    uv_cond_signal(&store->wake);
    uv_mutex_unlock(&store->mutex);
    uv_thread_join(&store->thread); /* only what was already asked is left: one commit */
    finish_all(store, true);
    sqlite3_close(store->db);
    uv_close((uv_handle_t *)&store->finished, on_closed);
}
