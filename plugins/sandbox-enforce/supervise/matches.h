/* SPDX-License-Identifier: Apache-2.0 */
/* matches.h - what lies in granted folders and is denied by a pattern. */
#ifndef NT_SUPERVISE_MATCHES_H
#define NT_SUPERVISE_MATCHES_H

#include <stddef.h>
#include <stdint.h>

#include "nanoterm/error.h"
#include "plugins/sandbox-enforce/policy/policy.h"

/* Told each path once; a folder, not what is in it. Negative ends the search. */
typedef int matches_found(void *context, const char *path, struct nt_error *reterr);

/* What a search may cost. */
struct matches_bounds {
    size_t names;    /* NT_E_LIMIT beyond */
    int64_t time_ms; /* NT_E_TIMEOUT beyond: a disk may take its time for far fewer names */
};

/* Links are not followed, what they lead to has a name of its own. *ret_seen: the names looked at,
 * also where it fails. */
int matches_find(const struct policy *policy, const struct matches_bounds *bounds,
                 matches_found *found, void *context, size_t *ret_seen, struct nt_error *reterr);

#endif
