/* SPDX-License-Identifier: Apache-2.0 */
/* later.c - what a command of a later version does: it refuses. */
#include <string.h>

#include "plugins/sandbox-enforce/commands.h"
#include "plugins/sandbox-enforce/errors.h"
#include "sdk/error.h"

int later_run(struct nt_call *call, struct nt_error *reterr)
{
    const char *path = call->command->path, prefix[] = "enforce ";
    /* In the words of who called: nono's tree has no such first word. */
    if (call->personality == NT_AS_NONO && strncmp(path, prefix, sizeof(prefix) - 1) == 0)
        path += sizeof(prefix) - 1;
    return nt_fail(reterr, ENFORCE_E_NOT_BUILT, "'%s' is not built yet", path);
}
