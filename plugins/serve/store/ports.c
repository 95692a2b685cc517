/* SPDX-License-Identifier: Apache-2.0 */
/* ports.c - the calls of store.h about published ports. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/serve/store/db.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

struct port_job {
    struct store_job job;
    struct store_port port; /* to write; to look for */
    struct store_port *rows;
    size_t count;
    void (*each)(void *data, const struct store_port *port);
    store_done *done;
    void *data;
};

static void port_finish(struct store_job *job, bool quiet)
{
    struct port_job *j = (struct port_job *)job;
    for (size_t i = 0; !quiet && !job->failed && i < j->count; i++)
        j->each(j->data, &j->rows[i]);
    if (!quiet)
        j->done(j->data, job->failed ? &job->error : NULL);
    free(j->rows);
    free(j);
}

static int put_run(sqlite3 *db, struct store_job *job, struct nt_error *reterr)
{
    const struct store_port *p = &((struct port_job *)job)->port;
    return db_write(db, reterr,
                    "INSERT INTO ports VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET port = "
                    "excluded.port, address = excluded.address, notice = excluded.notice",
                    "ttiitt", p->ws_id, p->org_id, (int64_t)p->port, (int64_t)p->host_port,
                    p->address, p->notice);
}

static int remove_run(sqlite3 *db, struct store_job *job, struct nt_error *reterr)
{
    const struct store_port *p = &((struct port_job *)job)->port;
    return db_write(db, reterr, "DELETE FROM ports WHERE workspace_id = ? AND host_port = ?", "ti",
                    p->ws_id, (int64_t)p->host_port);
}

static int list_run(sqlite3 *db, struct store_job *job, struct nt_error *reterr)
{
    struct port_job *j = (struct port_job *)job;
    nt_auto(db_freep) sqlite3_stmt *statement = NULL;
    if (db_query(db, &statement, reterr,
                 "SELECT workspace_id, org_id, port, host_port, address, notice FROM ports"
                 " WHERE ?1 = '' OR workspace_id = ?1 ORDER BY workspace_id, port, host_port",
                 "t", j->port.ws_id)
        < 0)
        return -1;
    int more;
    while ((more = db_step(db, statement, reterr)) > 0) {
        struct store_port *rows = reallocarray(j->rows, j->count + 1, sizeof(*rows));
        if (!rows)
            return nt_fail(reterr, NT_E_MEMORY, "no memory for the published ports");
        j->rows = rows;
        struct store_port *p = &rows[j->count++];
        *p = (struct store_port){ .port = (uint16_t)sqlite3_column_int64(statement, 2),
                                  .host_port = (uint16_t)sqlite3_column_int64(statement, 3) };
        snprintf(p->ws_id, sizeof(p->ws_id), "%s", db_text(statement, 0));
        snprintf(p->org_id, sizeof(p->org_id), "%s", db_text(statement, 1));
        snprintf(p->address, sizeof(p->address), "%s", db_text(statement, 4));
        snprintf(p->notice, sizeof(p->notice), "%s", db_text(statement, 5));
    }
    return more;
}

static int submit(struct store *store, struct port_job job, struct nt_error *reterr)
{
    nt_autofree struct port_job *j = malloc(sizeof(*j));
    if (!j)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for the published ports");
    *j = job;
    j->job.finish = port_finish;
    if (store_submit(store, &j->job, reterr) < 0)
        return -1;
    (void)nt_take(j);
    return 0;
}

int store_port_put(struct store *store, const struct store_port *port, store_done *done, void *data,
                   struct nt_error *reterr)
{
    struct port_job job = {
        .job = { .writes = true, .run = put_run }, .port = *port, .done = done, .data = data
    };
    return submit(store, job, reterr);
}

int store_port_remove(struct store *store, const char *ws_id, uint16_t host_port, store_done *done,
                      void *data, struct nt_error *reterr)
{
    struct port_job job = { .job = { .writes = true, .run = remove_run },
                            .port = { .host_port = host_port },
                            .done = done,
                            .data = data };
    snprintf(job.port.ws_id, sizeof(job.port.ws_id), "%s", ws_id);
    return submit(store, job, reterr);
}

int store_port_list(struct store *store, const char *ws_id,
                    void (*each)(void *data, const struct store_port *port), store_done *done,
                    void *data, struct nt_error *reterr)
{
    struct port_job job = { .job = { .run = list_run }, .each = each, .done = done, .data = data };
    snprintf(job.port.ws_id, sizeof(job.port.ws_id), "%s", ws_id ? ws_id : "");
    return submit(store, job, reterr);
}
