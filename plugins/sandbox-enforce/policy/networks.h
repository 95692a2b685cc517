/* SPDX-License-Identifier: Apache-2.0 */
/* networks.h - named sets of hosts, network profiles made of them, and services that take a
 * credential. Built in, but for the hosts of package registries, which registries.h finds. */
#ifndef NT_ENFORCE_POLICY_NETWORKS_H
#define NT_ENFORCE_POLICY_NETWORKS_H

#include <stddef.h>

#include "plugins/sandbox-enforce/policy/policy.h"

/* The group whose hosts depend on this machine. */
#define NETWORK_REGISTRIES "package_registries"

struct network_group {
    const char *name, *summary;
    const char *const *hosts; /* exact or "*.suffix"; ends with NULL; none: found at run time */
};

struct network_profile {
    const char *name, *summary;
    const char *const *groups; /* ends with NULL */
};

extern const struct network_group network_groups[];
extern const size_t network_group_count;

/* NULL: there is no such one. */
const struct network_group *network_group_find(const char *name);
const struct network_profile *network_profile_find(const char *name);
/* A built-in service, without endpoints. */
const struct policy_route *network_service_find(const char *name);

#endif
