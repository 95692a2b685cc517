/* SPDX-License-Identifier: Apache-2.0 */
/* commands.h - what the rows of `profile` run. */
#ifndef NT_ENFORCE_POLICY_COMMANDS_H
#define NT_ENFORCE_POLICY_COMMANDS_H

#include <jansson.h>
#include <stdbool.h>

#include "nanoterm/host.h"
#include "plugins/sandbox-enforce/policy/expand.h"

/* commands_profile.c */
int profile_run_list(struct nt_call *call, struct nt_error *reterr);
int profile_run_show(struct nt_call *call, struct nt_error *reterr);
int profile_run_diff(struct nt_call *call, struct nt_error *reterr);
int profile_run_validate(struct nt_call *call, struct nt_error *reterr);
/* commands_groups.c */
int profile_run_groups(struct nt_call *call, struct nt_error *reterr);
/* commands_init.c */
int profile_run_init(struct nt_call *call, struct nt_error *reterr);
int profile_run_schema(struct nt_call *call, struct nt_error *reterr);
int profile_run_guide(struct nt_call *call, struct nt_error *reterr);

/* commands_init.c: a new file with missing folders, or with FORCE in the place of the old one at
 * once. NT_E_CONFLICT: it is there. */
int profile_write(char *path, const char *text, bool force, struct nt_error *reterr);

/* One result, taken. */
int profile_emit(struct nt_call *call, json_t *object, struct nt_error *reterr);
/* Text on the standard output. */
int profile_print(struct nt_call *call, const char *text, struct nt_error *reterr);
/* JSON for people, with a newline at the end; takes VALUE. */
int profile_print_json(struct nt_call *call, json_t *value, struct nt_error *reterr);
/* Places with the current folder as the working folder. */
int profile_places(struct memory *m, struct places *ret, struct nt_error *reterr);

#endif
