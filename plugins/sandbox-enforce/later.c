/* SPDX-License-Identifier: Apache-2.0 */
/* later.c - what a command of a later version does: it refuses. */
#include "plugins/sandbox-enforce/commands.h"
#include "plugins/sandbox-enforce/errors.h"
#include "sdk/error.h"

int later_run(struct nt_call *call, struct nt_error *reterr)
{
    return nt_fail(reterr, ENFORCE_E_NOT_BUILT, "'%s' is not built yet", call->command->path);
}
