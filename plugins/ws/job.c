/* SPDX-License-Identifier: Apache-2.0 */
/* job.c - `job list`, `job logs`, `job wait` and `job kill`: programs of a workspace by their
 * ids. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "nanoterm/guest.h"
#include "sdk/error.h"
#include "sdk/json.h"
#include "sdk/parse.h"
#include "exec_limits.h"
#include "ws.h"

static int job_path(struct nt_call *call, struct nt_buf *path, const char *rest,
                    struct nt_error *reterr)
{
    if (ws_path(path, call->host->text(call, "workspace"), "/jobs/", reterr) < 0)
        return -1;
    nt_buf_add_url_part(path, call->host->text(call, "job"));
    nt_buf_add(path, rest);
    if (!nt_buf_ok(path))
        return nt_fail(reterr, NT_E_LIMIT, "the job's id is too long");
    return 0;
}

int ws_job_list(struct nt_call *call, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(1024);
    if (ws_path(&path, call->host->text(call, "workspace"), "/jobs", reterr) < 0)
        return -1;
    nt_auto_json json_t *page = NULL;
    if (ws_get(call, nt_buf_text(&path), &page, reterr) < 0)
        return -1;
    json_t *items = json_object_get(page, "items");
    nt_autofree char *text = json_is_array(items) ? json_dumps(items, JSON_COMPACT) : NULL;
    if (!text)
        return nt_fail(reterr, NT_E_RESPONSE, "the server's answer is not a list of jobs");
    return call->host->emit_json(call, (struct nt_bytes){ text, strlen(text) }, reterr);
}

int ws_job_logs(struct nt_call *call, struct nt_error *reterr)
{
    struct exec_spec spec = { .id = call->host->text(call, "workspace"),
                              .job = call->host->text(call, "job"),
                              .offset = call->host->number(call, "offset"),
                              .no_follow = !call->host->number(call, "follow") };
    return exec_remote(call, &spec, NULL, reterr);
}

/* --- wait ---------------------------------------------------------------------------------- */

static uint32_t reason_of(const char *name)
{
    static const char *const names[] = {
        [NT_GR_EXITED] = "exited", [NT_GR_SIGNALED] = "signaled", [NT_GR_TIMEOUT] = "timeout",
        [NT_GR_KILLED] = "killed", [NT_GR_MEMORY] = "memory",     [NT_GR_LOST] = "lost"
    };
    for (uint32_t i = NT_GR_EXITED; name && i <= NT_GR_LOST; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return NT_GR_LOST;
}

int ws_job_wait(struct nt_call *call, struct nt_error *reterr)
{
    struct exec_spec spec = { .id = call->host->text(call, "workspace"),
                              .job = call->host->text(call, "job"),
                              .offset = INT64_MAX, /* nothing of what is kept already */
                              .is_waited = true };
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(1024);
    if (job_path(call, &path, "", reterr) < 0)
        return -1;
    nt_auto_json json_t *job = NULL;
    if (ws_get(call, nt_buf_text(&path), &job, reterr) < 0)
        return -1;
    if (!json_is_boolean(json_object_get(job, "running")))
        return nt_fail(reterr, NT_E_RESPONSE, "the server's answer is not a job");
    if (json_is_false(json_object_get(job, "running"))) {
        uint32_t reason = reason_of(nt_json_text(job, "reason"));
        exec_tell_limits(call, spec.id, reason, exec_hits_of(json_object_get(job, "limits_hit")));
        return exec_ended(call, &spec, reason,
                          (uint32_t)json_integer_value(json_object_get(job, "status")), reterr);
    }
    if (!json_is_true(json_object_get(job, "kept"))) {
        nt_fail(reterr, NT_E_CONFLICT, "%s belongs to a client that waits for it itself", spec.job);
        return nt_hint(reterr, "start it with exec --detach or --on-disconnect keep");
    }
    return exec_remote(call, &spec, NULL, reterr);
}

/* --- kill ---------------------------------------------------------------------------------- */

/* "TERM", "SIGTERM", "term" or "15". */
static int parse_signal(const char *text, int *ret, struct nt_error *reterr)
{
    uint64_t number;
    struct nt_error ignored = NT_ERROR_INIT;
    const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
    if (nt_parse_u64(text, 1, 64, &number, &ignored) == 0) {
        *ret = (int)number;
        return 0;
    }
    for (int i = 1; i < NSIG; i++) {
        const char *known = sigabbrev_np(i);
        if (known && strcasecmp(known, name) == 0) {
            *ret = i;
            return 0;
        }
    }
    return nt_fail(reterr, NT_E_USAGE, "there is no signal '%s'", text);
}

int ws_job_kill(struct nt_call *call, struct nt_error *reterr)
{
    const char *name = call->host->text(call, "signal");
    int signo = 0;
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(1024);
    nt_auto(nt_buf_done) struct nt_buf body = NT_BUF(64);
    if (name && parse_signal(name, &signo, reterr) < 0)
        return -1;
    if (job_path(call, &path, "/kill", reterr) < 0)
        return -1;
    if (signo)
        nt_buf_addf(&body, "{\"signal\":%d,\"tree\":false}", signo);
    else
        nt_buf_add(&body, "{\"tree\":true}");
    struct nt_request request = { .size = sizeof(request),
                                  .method = "POST",
                                  .path = nt_buf_text(&path),
                                  .body = { nt_buf_text(&body), body.size } };
    struct nt_response response = { .size = sizeof(response) };
    if (call->host->request(call, &request, &response, reterr) < 0)
        return -1;
    call->host->message(call, NT_SAY_DONE,
                        signo ? "Signal sent" : "Job killed, with all that it started");
    return 0;
}
