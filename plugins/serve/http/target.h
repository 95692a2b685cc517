/* SPDX-License-Identifier: Apache-2.0 */
/* target.h - the target of a request ("/v1/a%2Fb?x=1+2") taken apart, and matched against patterns.
 *
 * The path is split at '/' while it is still encoded; only then is each segment decoded. So %2F
 * stays inside its segment. Knows nothing of connections: it is tested alone. */
#ifndef NT_SERVE_HTTP_TARGET_H
#define NT_SERVE_HTTP_TARGET_H

#include <stdbool.h>
#include <stddef.h>

#include "nanoterm/error.h"

#define TARGET_SEGMENTS 16u
#define TARGET_QUERY 64u
#define TARGET_PARAMS 4u

struct target {
    char *memory;
    const char *segments[TARGET_SEGMENTS]; /* decoded, may hold '/' */
    size_t count;
    struct {
        const char *name, *value;
    } query[TARGET_QUERY];
    size_t query_count;
};

/* Takes text apart. NT_E_INVALID: not an origin-form target, a broken escape, a NUL, or too many
 * parts. */
int target_parse(const char *text, struct target *ret, struct nt_error *reterr);
void target_done(struct target *target);
/* The value of the first pair of that name; NULL: none. */
const char *target_query(const struct target *target, const char *name);
/* True when the path is that of the pattern; ret_params gets the segments at {} in order (as many
 * as there are). */
bool target_matches(const struct target *target, const char *pattern,
                    const char *ret_params[TARGET_PARAMS]);

#endif
