/* SPDX-License-Identifier: Apache-2.0 */
/* verb_check.c - `plugin check`: everything that would keep a plugin from being used here. */
#include <stdbool.h>

#include "core/cli/call.h"
#include "core/plugin/files.h"
#include "core/plugin/inspect.h"
#include "core/plugin/verbs.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

struct report {
    struct nt_call *call;
    struct nt_error failure; /* of the output */
};

static void add_row(struct report *report, const char *step, const char *result, const char *detail)
{
    const struct nt_value row[] = { { .type = NT_TEXT, .text = step },
                                    { .type = NT_TEXT, .text = result },
                                    { .type = NT_TEXT, .text = detail } };
    if (report->failure.code == 0)
        report->call->host->emit(report->call, row, sizeof(row) / sizeof(row[0]), &report->failure);
}

static void on_step(void *data, const char *step, const char *detail, const struct nt_error *error)
{
    add_row(data, step, error ? "failed" : "ok", detail);
}

static int check_signature(struct report *report, const char *file, int fd, const char *name,
                           struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(SIGNATURE_MAX_BYTES + 1024u);
    struct signature signature;
    if (files_read_signature(file, &text, reterr) < 0) {
        if (reterr->code != NT_E_NOT_FOUND) {
            add_row(report, "signature", "failed", reterr->message);
            return -1;
        }
        add_row(report, "signature", "none", "it is not signed");
        return 0;
    }
    if (signature_verify(nt_buf_text(&text), text.size, fd, name, &signature, reterr) < 0) {
        add_row(report, "signature", "failed", reterr->message);
        return -1;
    }
    nt_auto(nt_buf_done) struct nt_buf who = NT_BUF(512);
    nt_buf_addf(&who, "%s, key %s", signature.signer, signature.key);
    add_row(report, "signature", "ok", nt_buf_text(&who));
    return 0;
}

/* What fails is the result of this command, not its failure. */
int verb_check(struct nt_call *call, struct nt_error *reterr)
{
    const char *path = call->host->text(call, "file");
    nt_autoclose int fd = -1;
    nt_auto(nt_buf_done) struct nt_buf file = NT_BUF(8192);
    if (files_open(path, &fd, &file, reterr) < 0)
        return -1;
    struct report report = { call, NT_ERROR_INIT };
    struct inspected inspected;
    struct nt_error why = NT_ERROR_INIT;
    bool fits =
        inspect(call_plugins(call), fd, nt_buf_text(&file), on_step, &report, &inspected, &why) == 0
        && check_signature(&report, nt_buf_text(&file), fd, inspected.name, &why) == 0;
    inspected_done(&inspected);
    if (report.failure.code != 0) {
        *reterr = report.failure;
        return -1;
    }
    if (!fits)
        call->host->set_status(call, 1, NT_BY_TOOL);
    return 0;
}
