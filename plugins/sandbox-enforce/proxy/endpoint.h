/* SPDX-License-Identifier: Apache-2.0 */
/* endpoint.h - one meaning for a request's path, and which rules it meets. */
#ifndef NT_ENFORCE_PROXY_ENDPOINT_H
#define NT_ENFORCE_PROXY_ENDPOINT_H

#include <stdbool.h>

#include "plugins/sandbox-enforce/policy/policy.h"
#include "sdk/buf.h"

/* Takes the path of TARGET ("/a/b?query") apart. ret_plain: decoded, for rules. ret_wire: the same
 * path as it is sent on, so that the receiver reads what was judged. Both are added to. is_strict
 * (there are rules): what two readers could read differently is refused - encoded slashes, escapes
 * of escapes, what is no UTF-8 - and slashes are collapsed.
 * NULL: fine; else what is wrong: static. Dot segments, however written, are refused always. */
const char *endpoint_path(const char *target, bool is_strict, struct nt_buf *ret_plain,
                          struct nt_buf *ret_wire);

/* No rules: true. "*" stands for any text within one segment, "**" for any number of segments;
 * methods compare without case, "*" is any. */
bool endpoint_allows(const struct policy_endpoint *rules, size_t count, const char *method,
                     const char *plain);

/* The same for a route, whose denied endpoints come first. NULL: it is carried; else why not. */
const char *endpoint_refuses(const struct policy_route *route, const char *method,
                             const char *plain);
/* Denied for whoever reads it: some servers compare without case, or drop the parameters (";x") of
 * a segment. */
bool endpoint_is_denied(const struct policy_route *route, const char *method, const char *plain);
/* May it stand in an option as it is, and means itself alone there? */
bool endpoint_is_literal(const char *plain);
/* Has it any rule, so that a path must have one meaning only? */
bool endpoint_has_rules(const struct policy_route *route);

#endif
