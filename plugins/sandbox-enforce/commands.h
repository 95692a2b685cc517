/* SPDX-License-Identifier: Apache-2.0 */
/* commands.h - what the rows of this plugin's table run. */
#ifndef NT_ENFORCE_COMMANDS_H
#define NT_ENFORCE_COMMANDS_H

#include "nanoterm/host.h"

/* run.c */
int enforce_run(struct nt_call *call, struct nt_error *reterr);
int enforce_shell(struct nt_call *call, struct nt_error *reterr);
int enforce_wrap(struct nt_call *call, struct nt_error *reterr);

/* explain/why.c, explain/learn_command.c */
int why_run(struct nt_call *call, struct nt_error *reterr);
int learn_run(struct nt_call *call, struct nt_error *reterr);

/* setup.c */
int setup_run(struct nt_call *call, struct nt_error *reterr);

/* later.c: fails with ENFORCE_E_NOT_BUILT */
int later_run(struct nt_call *call, struct nt_error *reterr);

#endif
