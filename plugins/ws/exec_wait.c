/* SPDX-License-Identifier: Apache-2.0 */
/* exec_wait.c - `exec-wait`: waits for LOG.exit, which is written once when a job has ended. The
 * file is what counts: it is there for every other program of the workspace, too. The list of jobs
 * only tells whether waiting makes sense. */
#include <stdlib.h>
#include <string.h>

#include "sdk/error.h"
#include "sdk/json.h"
#include "sdk/parse.h"
#include "ws.h"

/* After its end, the file is written within this time, or never. */
#define WRITTEN_MS 30000

struct wait {
    struct nt_call *call;
    const char *id;
    const char *log;
    int64_t late_ms; /* for how long the job has ended, but no file is there */
};

static int get(struct wait *w, const char *path, struct nt_response *ret, struct nt_error *reterr)
{
    struct nt_request request = {
        .size = sizeof(request), .flags = NT_REQ_BRIEF, .method = "GET", .path = path
    };
    *ret = (struct nt_response){ .size = sizeof(*ret) };
    return w->call->host->request(w->call, &request, ret, reterr);
}

/* 1: *ret_status is what the file says, 0: it is not there. */
static int look_at_file(struct wait *w, uint32_t *ret_status, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(16 * 1024);
    struct nt_response response;
    uint64_t status;
    if (ws_path(&path, w->id, "/file?path=", reterr) < 0)
        return -1;
    nt_buf_add_url_part(&path, w->log);
    nt_buf_add(&path, ".exit");
    if (!nt_buf_ok(&path))
        return nt_fail(reterr, NT_E_LIMIT, "the path of the log file is too long");
    if (get(w, nt_buf_text(&path), &response, reterr) < 0) {
        if (strcmp(reterr->server_code, "file_not_found") != 0)
            return -1;
        *reterr = (struct nt_error)NT_ERROR_INIT;
        return 0;
    }
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(16);
    size_t size = response.body.size;
    const char *bytes = response.body.data;
    nt_buf_add_bytes(&text, bytes, size && bytes[size - 1] == '\n' ? size - 1 : size);
    if (!nt_buf_ok(&text) || nt_parse_u64(nt_buf_text(&text), 0, 255, &status, reterr) < 0)
        return nt_fail(reterr, NT_E_RUNTIME, "%s.exit does not hold an exit status", w->log);
    *ret_status = (uint32_t)status;
    return 1;
}

/* The newest job with that log file; NULL: there is none. Borrowed from jobs. */
static json_t *find_job(json_t *jobs, const char *log)
{
    size_t i;
    json_t *job;
    nt_auto(nt_buf_done) struct nt_buf whole = NT_BUF(16 * 1024);
    if (log[0] != '/')
        nt_buf_add(&whole, "/workspace/");
    nt_buf_add(&whole, log);
    json_array_foreach(jobs, i, job)
    {
        const char *path = nt_json_text(job, "log");
        if (path && nt_buf_ok(&whole) && strcmp(path, nt_buf_text(&whole)) == 0)
            return job;
    }
    return NULL;
}

/* Whether the file may still come. */
static int look_at_job(struct wait *w, int64_t interval_ms, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(1024);
    struct nt_response response;
    if (ws_path(&path, w->id, "/jobs", reterr) < 0
        || get(w, nt_buf_text(&path), &response, reterr) < 0)
        return -1;
    nt_auto_json json_t *page = json_loadb(response.body.data, response.body.size, 0, NULL);
    json_t *jobs = json_object_get(page, "items");
    if (!json_is_array(jobs))
        return nt_fail(reterr, NT_E_RESPONSE, "the server's answer is not a list of jobs");
    json_t *job = find_job(jobs, w->log);
    if (!job) {
        nt_fail(reterr, NT_E_NOT_FOUND, "no job of %s writes to %s, and there is no %s.exit", w->id,
                w->log, w->log);
        return nt_hint(reterr, "start one with: nanoterm exec %s --detach --log %s -- COMMAND",
                       w->id, w->log);
    }
    if (json_is_true(json_object_get(job, "running")))
        return 0;
    w->late_ms += interval_ms;
    if (w->late_ms < WRITTEN_MS)
        return 0;
    nt_fail(reterr, NT_E_RUNTIME, "the job has ended, but %s.exit was not written, or is gone",
            w->log);
    return nt_hint(reterr, "its status is in: nanoterm job wait %s %s", w->id,
                   nt_json_text(job, "id"));
}

static void on_time(void *data)
{
    *(uint32_t *)data = 1;
}

static int pause_for(struct nt_call *call, int64_t ms, struct nt_error *reterr)
{
    struct nt_loop *loop = call->host->loop(call);
    uint32_t done = 0;
    struct nt_timer *timer = loop->ops->timer(loop, ms, 0, on_time, &done);
    if (!timer)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for a timer");
    int result = call->host->wait(call, &done, reterr);
    loop->ops->timer_end(timer);
    return result;
}

int ws_exec_wait(struct nt_call *call, struct nt_error *reterr)
{
    struct wait w = { .call = call,
                      .id = call->host->text(call, "workspace-id"),
                      .log = call->host->text(call, "log") };
    int64_t interval_ms = call->host->number(call, "interval");
    uint32_t status = 0;
    for (;;) {
        int found = look_at_file(&w, &status, reterr);
        if (found == 0 && look_at_job(&w, interval_ms, reterr) == 0) {
            if (pause_for(call, interval_ms, reterr) < 0)
                return -1;
            continue;
        }
        if (found <= 0)
            return -1;
        call->host->set_status(call, status, NT_BY_PROGRAM);
        return 0;
    }
}
