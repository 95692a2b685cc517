/* SPDX-License-Identifier: Apache-2.0 */
/* hidden.c - which paths have to be covered: what is denied within a grant, by name or by pattern.
 *
 * A pattern also holds for files that do not exist yet, and no mount covers those. Someone who
 * opens files for the program would have to be asked for every open, rename and link of it; that
 * was dropped, since each name that was overlooked would be a way round. So a pattern that can
 * match within a grant stops the start, and `--accept-weaker patterns` goes on with what is there
 * covered. */
#include <stdlib.h>
#include <string.h>

#include "inner.h"
#include "matches.h"
#include "plugins/sandbox-enforce/errors.h"
#include "sdk/error.h"

#define HIDDEN_MAX 4096u /* a mount each */

void hidden_free(struct supervise *s)
{
    for (size_t i = 0; i < s->hidden_count; i++)
        free(s->hidden[i]);
    free(s->hidden);
    s->hidden = NULL;
    s->hidden_count = 0;
}

static int add(struct supervise *s, const char *path, struct nt_error *reterr)
{
    if (s->hidden_count == HIDDEN_MAX)
        return nt_fail(reterr, NT_E_LIMIT, "more than %u denied paths lie in granted folders",
                       HIDDEN_MAX);
    char **grown = realloc(s->hidden, (s->hidden_count + 1) * sizeof(*grown));
    if (!grown)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    s->hidden = grown;
    s->hidden[s->hidden_count] = strdup(path);
    if (!s->hidden[s->hidden_count])
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    s->hidden_count++;
    return 0;
}

static int add_match(void *context, const char *path, struct nt_error *reterr)
{
    return add(context, path, reterr);
}

int hidden_find(struct supervise *s, struct nt_error *reterr)
{
    const struct policy *policy = s->options.policy;
    const struct matches_bounds bounds = { .names = 1000000, .time_ms = 60000 };
    size_t seen;
    for (size_t i = 0; i < policy->deny_count; i++)
        if (policy->denies[i].is_inside && policy->denies[i].is_there
            && add(s, policy->denies[i].path, reterr) < 0)
            return -1;
    if (!policy->pattern_count)
        return 0;
    if (fence_accepts(s, SUPERVISE_WEAKER_PATTERNS))
        return matches_find(policy, &bounds, add_match, s, &seen, reterr);
    nt_fail(reterr, ENFORCE_E_UNAVAILABLE,
            "layer " SUPERVISE_WEAKER_PATTERNS ": %.120s cannot be held for files to come",
            policy->patterns[0].text);
    return nt_hint(reterr, "name the paths instead, or --accept-weaker " SUPERVISE_WEAKER_PATTERNS
                           ", which covers those that are there at the start");
}
