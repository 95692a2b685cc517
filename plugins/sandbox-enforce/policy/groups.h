/* SPDX-License-Identifier: Apache-2.0 */
/* groups.h - named sets of grants, denies and commands. Built in, as tables: reading them costs a
 * start nothing. */
#ifndef NT_ENFORCE_POLICY_GROUPS_H
#define NT_ENFORCE_POLICY_GROUPS_H

#include <stdbool.h>
#include <stddef.h>

#include "nanoterm/error.h"

struct group_deny {
    const char *path;
    const char *about; /* what lies there, for a person */
};

/* Lists end with NULL (a NULL path); none: NULL. Paths are not expanded. */
struct group {
    const char *name, *summary;
    const char *const *read, *const *write, *const *both;
    const struct group_deny *deny;
    const char *const *commands; /* that may not be started, by file name */
    bool is_required;            /* no profile can leave it out */
};

extern const struct group groups[];
extern const size_t group_count;

/* NULL: there is no such group. */
const struct group *group_find(const char *name);
/* -1: there is no group NAME; WHERE was it named? The hint has the nearest one, of hosts as well
 * where those count. */
int group_fail(const char *where, const char *name, bool has_hosts, struct nt_error *reterr);

#endif
