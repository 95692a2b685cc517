/* SPDX-License-Identifier: Apache-2.0 */
/* captures.c - the commands of credential_capture that this sandbox may need: found and checked
 * before anything starts. The proxy runs them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inner.h"
#include "plugins/sandbox-enforce/policy/outside.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

static int find(const struct policy *policy, const struct policy_capture *capture,
                const char **ret_program, struct nt_error *reterr)
{
    char key[128], path[PATH_MAX];
    nt_autofree char *search = NULL;
    if (outside_path(policy, NULL, &search, reterr) < 0)
        return -1;
    const struct outside what = { .policy = policy,
                                  .key = key,
                                  .path = capture->words.at[0],
                                  .file = capture->file,
                                  .search = search };
    snprintf(key, sizeof(key), "credential_capture.%.64s", capture->name);
    if (outside_find(&what, path, reterr) < 0)
        return -1;
    for (size_t i = 1; i < capture->words.count; i++)
        if (outside_check_argument(&what, capture->words.at[i], reterr) < 0)
            return -1;
    *ret_program = strdup(path);
    return *ret_program ? 0 : nt_fail(reterr, NT_E_MEMORY, "out of memory");
}

int captures_find(struct supervise *s, struct nt_error *reterr)
{
    const struct policy *policy = s->options.policy;
    for (size_t i = 0; i < policy->route_count; i++) {
        const struct policy_capture *capture = policy->routes[i].capture;
        if (!capture)
            continue;
        if (!s->captures && !(s->captures = calloc(policy->route_count, sizeof(*s->captures))))
            return nt_fail(reterr, NT_E_MEMORY, "out of memory");
        if (find(policy, capture, &s->captures[i], reterr) < 0)
            return -1;
    }
    return 0;
}

void captures_free(struct supervise *s)
{
    for (size_t i = 0; s->captures && i < s->options.policy->route_count; i++)
        free((void *)(uintptr_t)s->captures[i]);
    free(s->captures);
}
