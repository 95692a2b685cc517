/* SPDX-License-Identifier: Apache-2.0 */
/* exec.c - `exec`: picks the way to the guest, and turns how the program ended into an exit
 * status. */
#include "ws.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "nanoterm/guest.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

const int exec_signals[EXEC_SIGNALS] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };

int exec_ended(struct nt_call *call, uint32_t reason, uint32_t status, struct nt_error *reterr)
{
    switch (reason) {
    case NT_GR_TIMEOUT:
        return nt_fail(reterr, NT_E_TIMEOUT,
                       "the program did not end in time; it was killed with all it had started");
    case NT_GR_MEMORY:
        nt_fail(reterr, WS_E_OUT_OF_MEMORY,
                "the program was killed: the workspace ran out of memory");
        return nt_hint(reterr, "make a larger workspace: nanoterm ws create --size large");
    case NT_GR_LOST:
        return nt_fail(reterr, NT_E_RUNTIME,
                       "the program's supervisor was killed; its exit status is not known");
    default:
        call->host->set_status(call, status, NT_BY_PROGRAM);
        return 0;
    }
}

int exec_not_started(const struct exec_spec *spec, int sys, const char *message,
                     struct nt_error *reterr)
{
    bool is_missing = sys == ENOENT || sys == ENOTDIR;
    nt_fail(reterr, is_missing ? WS_E_COMMAND_NOT_FOUND : WS_E_NOT_EXECUTABLE,
            "cannot run %s in %s: %s", spec->argv[0], spec->id, message);
    reterr->sys = sys;
    reterr->request_sent = 1;
    return -1;
}

int exec_run(struct nt_call *call, const struct exec_spec *spec, struct nt_error *reterr)
{
    if (exec_local(call, spec, reterr) == 0)
        return 0;
    return reterr->code == NT_E_NOT_LOCAL ? exec_remote(call, spec, reterr) : -1;
}

int ws_exec(struct nt_call *call, struct nt_error *reterr)
{
    const struct nt_host *host = call->host;
    if (host->number(call, "detach") || host->text(call, "log"))
        return nt_fail(reterr, NT_E_NOT_BUILT, "exec --detach and --log are not built yet");
    uint32_t count = host->count(call, "command");
    nt_autofree const char **argv = calloc((size_t)count + 1, sizeof(*argv));
    if (!argv)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for the command");
    for (uint32_t i = 0; i < count; i++)
        argv[i] = host->text_at(call, "command", i);
    struct exec_spec spec = { .id = host->text(call, "workspace-id"),
                              .argv = argv,
                              .count = count,
                              .cwd = host->text(call, "cwd") };
    return exec_run(call, &spec, reterr);
}
