/* SPDX-License-Identifier: Apache-2.0 */
/* hidden.c - which paths have to be covered: what is denied within a grant, by name or by pattern;
 * which folders must stay in their places; and making the one that is made for that, nanoterm's own runtime folder.
 *
 * A pattern also holds for files that do not exist yet, and no mount covers those. Someone who
 * opens files for the program would have to be asked for every open, rename and link of it; that
 * was dropped, since each name that was overlooked would be a way round. So a pattern that can
 * match within a grant stops the start, and `--accept-weaker patterns` goes on with what is there
 * covered. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inner.h"
#include "matches.h"
#include "plugins/sandbox-enforce/errors.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define HIDDEN_MAX 4096u /* a mount each */

static void free_list(char ***list, size_t *count)
{
    for (size_t i = 0; i < *count; i++)
        free((*list)[i]);
    free(*list);
    *list = NULL;
    *count = 0;
}

void hidden_free(struct supervise *s)
{
    free_list(&s->hidden, &s->hidden_count);
    free_list(&s->pinned, &s->pinned_count);
}

static int append(char ***list, size_t *count, const char *path, size_t size,
                  struct nt_error *reterr)
{
    char **grown = realloc(*list, (*count + 1) * sizeof(*grown));
    if (!grown)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    *list = grown;
    grown[*count] = strndup(path, size);
    if (!grown[*count])
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    ++*count;
    return 0;
}

/* Whether the first SIZE bytes of PATH name what lies in a folder that may be written. */
static bool is_movable(const struct policy *policy, const char *path, size_t size)
{
    for (size_t i = 0; i < policy->grant_count; i++) {
        const struct policy_grant *grant = &policy->grants[i];
        size_t length = grant->path[1] ? strlen(grant->path) : 0; /* "/" */
        if (grant->access & POLICY_WRITE && !grant->is_file && grant->fd >= 0 && length < size
            && strncmp(path, grant->path, length) == 0 && path[length] == '/')
            return true;
    }
    return false;
}

static bool is_pinned(const struct supervise *s, const char *path, size_t size)
{
    for (size_t i = 0; i < s->pinned_count; i++)
        if (strncmp(s->pinned[i], path, size) == 0 && !s->pinned[i][size])
            return true;
    return false;
}

/* A folder whose sockets are all granted is a mount of its own, also in one that every program may
 * write: so no socket of somebody else's is moved into it. */
static int pin_granted(struct supervise *s, struct nt_error *reterr)
{
    const struct policy *policy = s->options.policy;
    for (size_t i = 0; i < policy->grant_count; i++) {
        const struct policy_grant *grant = &policy->grants[i];
        const char *slash = strrchr(grant->path, '/');
        char above[PATH_MAX];
        snprintf(above, sizeof(above), "%.*s",
                 slash == grant->path ? 1 : (int)(slash - grant->path), grant->path);
        size_t size = strlen(grant->path);
        if (grant->is_file || !is_movable(policy, grant->path, size)
            || !policy_covers_sockets(policy, grant->path) || policy_covers_sockets(policy, above)
            || is_pinned(s, grant->path, size))
            continue;
        if (append(&s->pinned, &s->pinned_count, grant->path, size, reterr) < 0)
            return -1;
    }
    return 0;
}

/* A cover goes with the folder that holds it: the program must not rename that and put another one
 * there, which whoever stays outside then writes secrets to. */
static int pin_above(struct supervise *s, const char *path, struct nt_error *reterr)
{
    for (const char *end = strchr(path + 1, '/'); end; end = strchr(end + 1, '/')) {
        size_t size = (size_t)(end - path);
        if (is_movable(s->options.policy, path, size) && !is_pinned(s, path, size)
            && append(&s->pinned, &s->pinned_count, path, size, reterr) < 0)
            return -1;
    }
    return 0;
}

static int add(struct supervise *s, const char *path, struct nt_error *reterr)
{
    if (s->hidden_count == HIDDEN_MAX)
        return nt_fail(reterr, NT_E_LIMIT, "more than %u denied paths lie in granted folders",
                       HIDDEN_MAX);
    return append(&s->hidden, &s->hidden_count, path, strlen(path), reterr) < 0
                   || pin_above(s, path, reterr) < 0
               ? -1
               : 0;
}

static int add_match(void *context, const char *path, struct nt_error *reterr)
{
    return add(context, path, reterr);
}

/* --- nanoterm's runtime folder ------------------------------------------------------------- */

static int open_own(int folder, const char *name)
{
    struct stat st;
    nt_autoclose int fd = openat(folder, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH))) {
        errno = EPERM;
        return -1;
    }
    return nt_take_fd(fd);
}

/* The nearest folder above PATH that is there, if only we write to it; -1. *ret_rest: what is
 * missing, in PATH. */
static int open_above(const char *path, const char **ret_rest)
{
    char above[PATH_MAX];
    int fd = -1;
    if (snprintf(above, sizeof(above), "%s", path) >= (int)sizeof(above))
        return -1;
    errno = ENOENT;
    for (char *slash; fd < 0 && errno == ENOENT && (slash = strrchr(above, '/'));) {
        *slash = '\0';
        *ret_rest = path + (slash - above) + 1;
        fd = open_own(AT_FDCWD, slash == above ? "/" : above);
    }
    return fd;
}

bool hidden_is_to_come(const struct policy_deny *deny)
{
    const char *rest;
    nt_autoclose int above = -1;
    if (deny->is_there || !deny->is_runtime || !deny->is_inside_writable)
        return false;
    above = open_above(deny->path, &rest);
    return above >= 0;
}

/* What the first server of this user would make: all but the folder itself is open to others. */
static int make(const char *path)
{
    const char *rest = NULL;
    nt_autoclose int at = open_above(path, &rest);
    while (at >= 0 && *rest) {
        char name[NAME_MAX + 1];
        size_t size = strcspn(rest, "/");
        if (size >= sizeof(name))
            return ENAMETOOLONG;
        memcpy(name, rest, size);
        name[size] = '\0';
        rest += size + (rest[size] == '/');
        if (mkdirat(at, name, *rest ? 0755 : 0700) < 0 && errno != EEXIST)
            return errno;
        int next = open_own(at, name);
        close(at);
        at = next;
    }
    return at < 0 ? errno : 0;
}

int hidden_make(const struct supervise *s, struct nt_error *reterr)
{
    const struct policy *policy = s->options.policy;
    for (size_t i = 0; i < policy->deny_count; i++) {
        int sys = hidden_is_to_come(&policy->denies[i]) ? make(policy->denies[i].path) : 0;
        if (sys)
            return nt_fail_sys(reterr, sys, "cannot make %.160s, to hide it",
                               policy->denies[i].path);
    }
    return 0;
}

/* --- all ----------------------------------------------------------------------------------- */

int hidden_find(struct supervise *s, struct nt_error *reterr)
{
    const struct policy *policy = s->options.policy;
    const struct matches_bounds bounds = { .names = 1000000, .time_ms = 60000 };
    size_t seen;
    for (size_t i = 0; i < policy->deny_count; i++)
        if (policy->denies[i].is_inside
            && (policy->denies[i].is_there || hidden_is_to_come(&policy->denies[i]))
            && add(s, policy->denies[i].path, reterr) < 0)
            return -1;
    if (pin_granted(s, reterr) < 0)
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
