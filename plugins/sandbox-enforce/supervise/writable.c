/* SPDX-License-Identifier: Apache-2.0 */
/* writable.c - which places stay writable when all else that is mounted becomes read-only: what was
 * granted for writing.
 *
 * What lies in another such folder is not one of its own. So a file that is granted together with
 * its folder can be replaced by renaming, as editors save; a file that is granted alone cannot,
 * which Landlock refuses too. */
#include <stdlib.h>
#include <string.h>

#include "inner.h"
#include "sdk/error.h"

void writable_free(struct supervise *s)
{
    free(s->writable);
    s->writable = NULL;
    s->writable_count = 0;
}

/* Terminals are written on a read-only mount too, and there is nothing else in their folder: so
 * the modes of the user's other terminals hold. */
static bool is_writable(const struct policy_grant *grant)
{
    return grant->access & POLICY_WRITE && grant->fd >= 0 && strcmp(grant->path, "/dev/pts") != 0;
}

static bool lies_in(const struct policy_grant *grant, const struct policy_grant *folder)
{
    size_t size = strlen(folder->path);
    return !folder->is_file && strncmp(grant->path, folder->path, size) == 0
           && grant->path[size] == '/';
}

static bool lies_in_any(const struct policy *policy, const struct policy_grant *grant)
{
    for (size_t i = 0; i < policy->grant_count; i++)
        if (is_writable(&policy->grants[i]) && lies_in(grant, &policy->grants[i]))
            return true;
    return false;
}

int writable_find(struct supervise *s, struct nt_error *reterr)
{
    const struct policy *policy = s->options.policy;
    s->writable = calloc(policy->grant_count + 1, sizeof(*s->writable));
    if (!s->writable)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    for (size_t i = 0; i < policy->grant_count; i++) {
        const struct policy_grant *grant = &policy->grants[i];
        if (!is_writable(grant) || lies_in_any(policy, grant))
            continue;
        s->is_all_writable = s->is_all_writable || strcmp(grant->path, "/") == 0;
        s->writable[s->writable_count++] =
            (struct enforce_place){ .path = grant->path, .fd = grant->fd, .at = -1, .tree = -1 };
    }
    return 0;
}
