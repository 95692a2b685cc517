/* SPDX-License-Identifier: Apache-2.0 */
/* ws_state.c - `ws stop`, `ws start` and `ws rm`: one request each. */
#include "ws.h"

#include <inttypes.h>
#include <string.h>

#include "sdk/cleanup.h"
#include "sdk/error.h"

static int change(struct nt_call *call, const char *method, const char *action, const char *body,
                  const char *done, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(1024);
    if (ws_path(&path, call->host->text(call, "id"), action, reterr) < 0)
        return -1;
    struct nt_request request = { .size = sizeof(request),
                                  .method = method,
                                  .path = nt_buf_text(&path),
                                  .body = { body, strlen(body) } };
    struct nt_response response = { .size = sizeof(response) };
    if (call->host->request(call, &request, &response, reterr) < 0)
        return -1;
    call->host->message(call, NT_SAY_DONE, done);
    return call->flags & NT_CALL_JSON ? call->host->emit_json(call, response.body, reterr) : 0;
}

int ws_stop(struct nt_call *call, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf body = NT_BUF(64);
    nt_buf_addf(&body, "{\"grace_ms\":%" PRId64 "}", call->host->number(call, "grace"));
    return change(call, "POST", "/stop", nt_buf_text(&body), "Workspace stopped", reterr);
}

int ws_start(struct nt_call *call, struct nt_error *reterr)
{
    return change(call, "POST", "/start", "", "Workspace started", reterr);
}

int ws_rm(struct nt_call *call, struct nt_error *reterr)
{
    return change(call, "DELETE", "", "", "Workspace removed", reterr);
}
