/* SPDX-License-Identifier: Apache-2.0 */
/* run.c - run, shell and wrap: from options to a policy, from a policy to a program. */
#include "plugins/sandbox-enforce/commands.h"
#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/options.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

static int start(struct nt_call *call, bool is_wrap, struct nt_error *reterr)
{
    nt_auto(options_done) struct options options = { .memory = NULL };
    if (options_read(call, &options, reterr) < 0)
        return -1;
    options.request.is_wrap = is_wrap;
    return nt_fail(reterr, ENFORCE_E_NOT_BUILT, "'%s' is not built yet", call->command->path);
}

int enforce_run(struct nt_call *call, struct nt_error *reterr)
{
    return start(call, false, reterr);
}

int enforce_shell(struct nt_call *call, struct nt_error *reterr)
{
    return start(call, false, reterr);
}

int enforce_wrap(struct nt_call *call, struct nt_error *reterr)
{
    return start(call, true, reterr);
}
