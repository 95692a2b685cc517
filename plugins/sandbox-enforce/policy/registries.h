/* SPDX-License-Identifier: Apache-2.0 */
/* registries.h - the hosts that packages come from on this machine, asked of its package managers'
 * settings and of host lists; nothing is built in. */
#ifndef NT_ENFORCE_POLICY_REGISTRIES_H
#define NT_ENFORCE_POLICY_REGISTRIES_H

#include "plugins/sandbox-enforce/policy/expand.h"
#include "plugins/sandbox-enforce/policy/memory.h"
#include "plugins/sandbox-enforce/policy/policy.h"

/* ret_hosts gets plain names, each once; ret_origins, parallel, where each came from. None is no
 * error. May run the package managers (cwd /, a few seconds each at the most) and keeps what they
 * said in the user's cache. POLICY as in managers.h. */
int registries_find(struct memory *m, const struct policy *policy, const struct places *places,
                    struct policy_texts *ret_hosts, struct policy_texts *ret_origins,
                    struct nt_error *reterr);

#endif
