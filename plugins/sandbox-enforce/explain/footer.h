/* SPDX-License-Identifier: Apache-2.0 */
/* footer.h - the lines after a program that failed: what its status means, what was denied and how
 * that is known, and which option would have allowed it. */
#ifndef NT_ENFORCE_FOOTER_H
#define NT_ENFORCE_FOOTER_H

#include "nanoterm/host.h"
#include "plugins/sandbox-enforce/explain/denials.h"
#include "plugins/sandbox-enforce/policy/policy.h"

/* Looks through the last lines that the program wrote to stderr for what was refused and is denied
 * by the policy: DENIAL_INFERRED. Only lines that speak of a refusal count, and only paths that are
 * there: a file that is missing, a folder of mode 000 or a full disk are nobody's denial. With
 * HAS_READONLY all but what may be written is read-only inside, so that EROFS can be ours. */
void footer_infer(const struct policy *policy, bool has_readonly, const char *text, size_t size,
                  struct denials *denials);

/* To stderr, without escapes of the program's making. Nothing for status 0, nor where nothing was
 * denied and a signal of the person's or a closed pipe ended it. IS_TRACED: calls on
 * files were looked at, too. */
void footer_print(struct nt_call *call, const struct policy *policy, const struct denials *denials,
                  bool is_traced, int status);

#endif
