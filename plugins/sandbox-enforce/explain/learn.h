/* SPDX-License-Identifier: Apache-2.0 */
/* learn.h - from what a program did to the smallest profile that lets it do that again. */
#ifndef NT_ENFORCE_LEARN_H
#define NT_ENFORCE_LEARN_H

#include <jansson.h>
#include <stdbool.h>

#include "nanoterm/error.h"
#include "plugins/sandbox-enforce/explain/trace.h"
#include "plugins/sandbox-enforce/policy/policy.h"

struct learn;

struct learn *learn_new(void); /* NULL: no memory */
/* For trace_new; DATA is the struct learn. */
void learn_event(void *data, const struct trace_event *event);
/* {meta, filesystem {allow, read, …}, network {outbound, listening}, skipped [{path, reason}]}.
 * What POLICY allows already is left out unless is_all. Looks at the files as they are now: what is
 * gone again is granted by its folder. Never grants what POLICY denies, nor a folder above that:
 * these are in `skipped`. */
int learn_result(const struct learn *l, const struct policy *policy, const char *name, bool is_all,
                 json_t **ret, struct nt_error *reterr);
void learn_free(struct learn *l);

#endif
