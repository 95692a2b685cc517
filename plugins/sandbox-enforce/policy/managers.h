/* SPDX-License-Identifier: Apache-2.0 */
/* managers.h - asks the package managers of this machine which registry they use when nothing is
 * set: each knows its own. */
#ifndef NT_ENFORCE_POLICY_MANAGERS_H
#define NT_ENFORCE_POLICY_MANAGERS_H

#include "plugins/sandbox-enforce/policy/expand.h"
#include "plugins/sandbox-enforce/policy/memory.h"
#include "plugins/sandbox-enforce/policy/policy.h"

/* FN gets what each printed, and the command ("npm config get registry"). They run side by side in
 * the folder /, as the user, with a time limit; never when this program is set-uid. Only such run
 * as may run outside of the sandbox of POLICY (outside.h), which may be unfinished but for its
 * grants; NULL: of none. What they said
 * is kept for a day in the user's cache, as long as the same programs are found. */
void managers_ask(struct memory *m, const struct policy *policy, const struct places *places,
                  void (*fn)(void *data, const char *text, const char *origin), void *data);

#endif
