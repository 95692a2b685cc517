/* SPDX-License-Identifier: Apache-2.0 */
/* matches.c - looks through granted folders for what patterns deny; see matches.h.
 *
 * They may hold a million files (/usr and /tmp are granted by default), so it is done by names:
 * none is asked for more than the list of its folder says, the last part of a pattern decides
 * first, no folder is looked through twice, and none where no pattern can match. */
#include "matches.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/policy/paths.h"
#include "sdk/cleanup.h"
#include "sdk/clock.h"
#include "sdk/error.h"

struct wanted {
    char *last; /* "/" and the last part of the pattern */
    char *head; /* the folder that all its matches lie in: what stands before the first wildcard */
};

struct search {
    const struct policy *policy;
    struct wanted *wanted; /* one for each pattern */
    char **folders;        /* still to be looked through */
    size_t count, room, seen;
    const struct matches_bounds *bounds;
    int64_t end_ms;
    matches_found *found;
    void *context;
};

static void search_done(struct search *s)
{
    for (size_t i = 0; s->wanted && i < s->policy->pattern_count; i++) {
        free(s->wanted[i].last);
        free(s->wanted[i].head);
    }
    free(s->wanted);
    for (size_t i = 0; i < s->count; i++)
        free(s->folders[i]);
    free(s->folders);
}

static int split(const char *pattern, struct wanted *ret)
{
    size_t end = strlen(pattern), start, head = strcspn(pattern, "*?");
    while (end > 1 && pattern[end - 1] == '/')
        end--;
    for (start = end; start > 0 && pattern[start - 1] != '/';)
        start--;
    /* Up to the last whole part; a pattern that begins with none matches at any depth. */
    head = head < start ? head : start;
    while (head > 0 && pattern[head - 1] != '/')
        head--;
    bool is_anywhere = pattern[0] != '/' || head <= 1;
    int size = asprintf(&ret->last, "/%.*s", (int)(end - start), pattern + start);
    ret->head = is_anywhere ? strdup("/") : strndup(pattern, head - 1);
    if (size < 0)
        ret->last = NULL;
    return ret->last && ret->head ? 0 : -1;
}

static bool is_of_kernel(const char *path)
{
    return path_is_below(path, "/proc") || path_is_below(path, "/sys")
           || path_is_below(path, "/dev");
}

static bool is_granted_below(const struct policy_grant *grant, const char *above)
{
    if (grant->is_file || is_of_kernel(grant->path))
        return false;
    return !above || (path_is_below(grant->path, above) && strcmp(grant->path, above) != 0);
}

/* Whether something in FOLDER can match. */
static bool is_reached(const struct search *s, const char *folder)
{
    for (size_t i = 0; i < s->policy->pattern_count; i++)
        if (path_is_below(folder, s->wanted[i].head) || path_is_below(s->wanted[i].head, folder))
            return true;
    return false;
}

/* The folders above were asked about before: all is decided by the last part where that differs. */
static bool may_match(const struct search *s, const char *path)
{
    const char *name = strrchr(path, '/');
    for (size_t i = 0; i < s->policy->pattern_count; i++)
        if (path_matches(s->wanted[i].last, name))
            return true;
    return false;
}

/* 1: it is denied, so there is no need to look into it; 0: look. */
static int ask(struct search *s, const char *path, struct nt_error *reterr)
{
    struct policy_answer answer;
    policy_ask_canonical(s->policy, path, POLICY_READ, &answer);
    if (answer.pattern && s->found(s->context, path, reterr) < 0)
        return -1;
    return answer.pattern || answer.deny;
}

static int add_folder(struct search *s, const char *path, struct nt_error *reterr)
{
    if (s->count == s->room) {
        size_t room = s->room ? s->room * 2 : 64;
        char **grown = realloc(s->folders, room * sizeof(*grown));
        if (!grown)
            return nt_fail(reterr, NT_E_MEMORY, "out of memory");
        s->folders = grown;
        s->room = room;
    }
    s->folders[s->count] = strdup(path);
    if (!s->folders[s->count])
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    s->count++;
    return 0;
}

static int hint(struct nt_error *reterr)
{
    return nt_hint(reterr, "begin the pattern with the folder that it is about, grant smaller "
                           "folders, or name the paths instead");
}

static unsigned type_of(int folder, const struct dirent *entry)
{
    struct stat st;
    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type;
    return fstatat(folder, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? DT_UNKNOWN
                                                                        : IFTODT(st.st_mode);
}

static int look_at(struct search *s, const char *path, unsigned type, struct nt_error *reterr)
{
    if (s->seen == s->bounds->names) {
        nt_fail(reterr, NT_E_LIMIT,
                "granted folders hold more than %zu files to compare with patterns", s->seen);
        return hint(reterr);
    }
    s->seen++;
    if (type == DT_LNK)
        return 0;
    int is_closed = may_match(s, path) ? ask(s, path, reterr) : 0;
    if (is_closed || type != DT_DIR || !is_reached(s, path) || is_of_kernel(path))
        return is_closed < 0 ? -1 : 0;
    return add_folder(s, path, reterr);
}

/* Granted folders within ABOVE (NULL: all), each once: one within another of them comes with that.
 */
static int add_granted(struct search *s, const char *above, struct nt_error *reterr)
{
    const struct policy *p = s->policy;
    for (size_t i = 0; i < p->grant_count; i++) {
        const char *path = p->grants[i].path;
        bool is_within = !is_granted_below(&p->grants[i], above) || !is_reached(s, path);
        for (size_t j = 0; j < p->grant_count && !is_within; j++)
            is_within = is_granted_below(&p->grants[j], above)
                        && path_is_below(path, p->grants[j].path)
                        && (j < i || strcmp(path, p->grants[j].path) != 0);
        int is_closed = is_within ? 1 : ask(s, path, reterr);
        if (is_closed < 0 || (is_closed == 0 && add_folder(s, path, reterr) < 0))
            return -1;
    }
    return 0;
}

/* What cannot be opened here is closed to the program as well, unless the folder is its own: it
 * could open that by chmod, so it is taken for a match. */
static int not_opened(struct search *s, const char *path, struct nt_error *reterr)
{
    struct stat st;
    if (errno == ENAMETOOLONG || errno == EMFILE || errno == ENFILE || errno == ENOMEM
        || errno == ENOSYS)
        return nt_fail_sys(reterr, errno, "looking for what patterns match");
    if (errno == EACCES && lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid())
        return s->found(s->context, path, reterr);
    return add_granted(s, path, reterr); /* which may be open by name */
}

static int look_through(struct search *s, const char *path, struct nt_error *reterr)
{
    char below[PATH_MAX];
    struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC,
                            .resolve = RESOLVE_NO_SYMLINKS };
    nt_autoclose int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
    if (fd < 0)
        return not_opened(s, path, reterr);
    DIR *list = fdopendir(fd);
    if (!list)
        return nt_fail_sys(reterr, errno, "looking for what patterns match");
    fd = -1; /* the list's */
    int result = 0;
    for (struct dirent *entry; result == 0 && (errno = 0, entry = readdir(list));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        int size = snprintf(below, sizeof(below), "%s/%s", path[1] ? path : "", entry->d_name);
        if (size < 0 || (size_t)size >= sizeof(below))
            result = nt_fail_sys(reterr, ENAMETOOLONG, "looking for what patterns match");
        else
            result = look_at(s, below, type_of(dirfd(list), entry), reterr);
    }
    /* A folder that goes away meanwhile has nothing left; a disk that fails has. */
    if (result == 0 && errno && errno != ENOENT)
        result = nt_fail_sys(reterr, errno, "looking for what patterns match");
    closedir(list);
    return result;
}

static int begin(struct search *s, struct nt_error *reterr)
{
    const struct policy *p = s->policy;
    s->wanted = calloc(p->pattern_count, sizeof(*s->wanted));
    if (!s->wanted)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    for (size_t i = 0; i < p->pattern_count; i++)
        if (split(p->patterns[i].text, &s->wanted[i]) < 0)
            return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    return add_granted(s, NULL, reterr);
}

int matches_find(const struct policy *policy, const struct matches_bounds *bounds,
                 matches_found *found, void *context, size_t *ret_seen, struct nt_error *reterr)
{
    struct search s = { .policy = policy,
                        .bounds = bounds,
                        .end_ms = nt_now_ms() + bounds->time_ms,
                        .found = found,
                        .context = context };
    int result = policy->pattern_count ? begin(&s, reterr) : 0;
    while (result == 0 && s.count > 0) {
        nt_autofree char *path = s.folders[--s.count];
        if (nt_now_ms() < s.end_ms) {
            result = look_through(&s, path, reterr);
            continue;
        }
        nt_fail(reterr, NT_E_TIMEOUT,
                "%zu files in granted folders were compared with patterns in %lld s, and there are "
                "more",
                s.seen, (long long)bounds->time_ms / 1000);
        result = hint(reterr);
    }
    search_done(&s);
    *ret_seen = s.seen;
    return result;
}
