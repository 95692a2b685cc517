/* SPDX-License-Identifier: Apache-2.0 */
/* hidden.c - which paths have to be covered: what is denied within a grant, by name or by pattern.
 *
 * A pattern also holds for files that do not exist yet, and no mount covers those. Someone who
 * opens files for the program would have to be asked for every open, rename and link of it; that
 * was dropped, since each name that was overlooked would be a way round. So a pattern that can
 * match within a grant stops the start, and `--accept-weaker patterns` goes on with what is there
 * covered. */
#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>

#include "inner.h"
#include "plugins/sandbox-enforce/errors.h"
#include "sdk/error.h"

#define ENTRIES_MAX 1000000u /* of all granted folders */
#define HIDDEN_MAX 4096u     /* a mount each */

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

static bool is_of_kernel(const char *path)
{
    static const char *const trees[] = { "/proc", "/sys", "/dev" };
    for (size_t i = 0; i < sizeof(trees) / sizeof(trees[0]); i++) {
        size_t size = strlen(trees[i]);
        if (strncmp(path, trees[i], size) == 0 && (!path[size] || path[size] == '/'))
            return true;
    }
    return false;
}

/* Granted folders that hold files, ended by NULL; the texts are the policy's. */
static char **granted_folders(const struct policy *policy)
{
    char **folders = calloc(policy->grant_count + 1, sizeof(*folders));
    size_t count = 0;
    for (size_t i = 0; folders && i < policy->grant_count; i++)
        if (!policy->grants[i].is_file && !is_of_kernel(policy->grants[i].path))
            folders[count++] = (char *)(uintptr_t)policy->grants[i].path;
    return folders;
}

static bool matches(const struct policy *policy, const char *path)
{
    struct policy_answer answer;
    policy_ask_canonical(policy, path, POLICY_READ, &answer);
    return answer.pattern != NULL;
}

/* All that is there and matches; links are not followed, what they lead to has a name of its own.
 */
static int walk(struct supervise *s, FTS *tree, struct nt_error *reterr)
{
    FTSENT *entry;
    for (size_t seen = 0; (errno = 0, entry = fts_read(tree)); seen++) {
        if (seen == ENTRIES_MAX)
            return nt_fail(reterr, NT_E_LIMIT,
                           "granted folders hold more than %u files to compare with patterns",
                           ENTRIES_MAX);
        if (entry->fts_info == FTS_DP || entry->fts_info == FTS_SL || entry->fts_info == FTS_SLNONE
            || !matches(s->options.policy, entry->fts_path))
            continue;
        if (add(s, entry->fts_path, reterr) < 0)
            return -1;
        fts_set(tree, entry, FTS_SKIP);
    }
    return errno ? nt_fail_sys(reterr, errno, "looking for what patterns match") : 0;
}

static int find_matches(struct supervise *s, struct nt_error *reterr)
{
    char **folders = granted_folders(s->options.policy);
    if (!folders)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    int result = 0;
    FTS *tree = folders[0] ? fts_open(folders, FTS_PHYSICAL | FTS_NOCHDIR, NULL) : NULL;
    if (tree) {
        result = walk(s, tree, reterr);
        fts_close(tree);
    } else if (folders[0]) {
        result = nt_fail_sys(reterr, errno, "looking for what patterns match");
    }
    free(folders);
    return result;
}

int hidden_find(struct supervise *s, struct nt_error *reterr)
{
    const struct policy *policy = s->options.policy;
    for (size_t i = 0; i < policy->deny_count; i++)
        if (policy->denies[i].is_inside && policy->denies[i].is_there
            && add(s, policy->denies[i].path, reterr) < 0)
            return -1;
    if (!policy->pattern_count)
        return 0;
    if (fence_accepts(s, SUPERVISE_WEAKER_PATTERNS))
        return find_matches(s, reterr);
    nt_fail(reterr, ENFORCE_E_UNAVAILABLE,
            "layer " SUPERVISE_WEAKER_PATTERNS ": %.120s cannot be held for files to come",
            policy->patterns[0].text);
    return nt_hint(reterr, "name the paths instead, or --accept-weaker " SUPERVISE_WEAKER_PATTERNS
                           ", which covers those that are there at the start");
}
