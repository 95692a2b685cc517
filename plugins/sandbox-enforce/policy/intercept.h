/* SPDX-License-Identifier: Apache-2.0 */
/* intercept.h - network.tls_intercept of a profile: read, shown, and what a policy makes of it. */
#ifndef NT_ENFORCE_POLICY_INTERCEPT_H
#define NT_ENFORCE_POLICY_INTERCEPT_H

#include "plugins/sandbox-enforce/policy/make.h"
#include "plugins/sandbox-enforce/policy/parse.h"

void parse_tls_intercept(struct parser *p, const char *path, const json_t *value);
/* Empty when the profile says nothing. */
json_t *tls_intercept_to_json(const struct profile *profile);
json_t *tls_intercept_schema(void);
void make_intercept(struct maker *k);

#endif
