/* SPDX-License-Identifier: Apache-2.0 */
/* grants.c - paths that are open: of options, the profile and groups. Each is opened once; what a
 * deny closes is an error for what somebody named, and left out for a group. */
#include "plugins/sandbox-enforce/policy/make.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/policy/command_policies.h"
#include "plugins/sandbox-enforce/policy/groups.h"
#include "plugins/sandbox-enforce/policy/paths.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

static bool is_named(const char *source)
{
    return strcmp(source, "user") == 0 || strcmp(source, "profile") == 0;
}

static int add_row(struct owned *o, const struct policy_grant *row, const struct file_id *id,
                   struct nt_error *reterr)
{
    struct policy *p = &o->policy;
    struct policy_grant *grants =
        memory_grow(&o->memory, p->grants, p->grant_count, sizeof(*grants));
    struct file_id *ids = memory_grow(&o->memory, o->grant_ids, p->grant_count, sizeof(*ids));
    if (!grants || !ids)
        return memory_fail(&o->memory, reterr);
    p->grants = grants, o->grant_ids = ids;
    grants[p->grant_count] = *row;
    ids[p->grant_count++] = *id;
    return 0;
}

static int refuse(const struct policy_deny *deny, const char *original, const char *path,
                  struct nt_error *reterr)
{
    const char *relation = strcmp(deny->path, path) == 0     ? ""
                           : path_is_below(path, deny->path) ? ", in "
                                                             : ", another name of ";
    bool is_same = strcmp(original, path) == 0;
    nt_fail(reterr, ENFORCE_E_PROTECTED, "%s%s%s%s%s is denied: %s (%s)", original,
            is_same ? "" : ", which is ", is_same ? "" : path, relation,
            *relation ? deny->path : "", deny->about, deny->source);
    if (deny->is_absolute)
        return nt_hint(reterr, "a sandboxed program never sees it; grant something else");
    return nt_hint(reterr, "if it must be open, add --bypass-protection %s",
                   path_is_below(path, deny->path) ? path : deny->path);
}

/* /dev/stdin and its like lead to whatever the caller gave: only what it was opened for, and never
 * a folder with all that is in it. */
static bool is_usable_stream(const char *path, const struct found *found, uint32_t access)
{
    static const char *const names[] = { "/dev/stdin", "/dev/stdout", "/dev/stderr" };
    for (int fd = 0; fd < 3; fd++) {
        if (strcmp(path, names[fd]) != 0)
            continue;
        int mode = fcntl(fd, F_GETFL);
        if (mode < 0 || !found->is_file || mode & O_PATH)
            return false;
        mode &= O_ACCMODE;
        return (access & POLICY_READ ? mode != O_WRONLY : true)
               && (access & POLICY_WRITE ? mode != O_RDONLY : true);
    }
    return true;
}

/* The program may have put a link there since the session began; not in /dev, whose links lead to
 * what the command was given. */
static bool is_as_before(const struct owned *o, const char *path, const char *found)
{
    if (!o->is_final || strcmp(path, found) == 0 || strncmp(path, "/dev/", 5) == 0)
        return true;
    for (size_t i = 0; o->known && i < o->known->linked.count; i++)
        if (strcmp(o->known->linked.at[i], path) == 0)
            return strcmp(o->known->leads_to.at[i], found) == 0;
    return false;
}

static void say_skipped(struct owned *o, const char *original, int failed)
{
    o->has_skipped = true;
    if (failed == ENOENT)
        warn(o, "%s is skipped: there is nothing", original);
    else
        warn(o, "%s is skipped: %s", original, strerrordesc_np(failed));
}

int add_grant(struct owned *o, int base, const char *original, const char *path, uint32_t access,
              const char *source, enum grant_kind kind, const char **ret_path,
              struct nt_error *reterr)
{
    struct policy *p = &o->policy;
    struct found found;
    if (ret_path)
        *ret_path = NULL;
    int failed = path_find(base, path, &found);
    if (failed) {
        if (failed == EMFILE || failed == ENFILE || failed == ENOMEM)
            return nt_fail_sys(reterr, failed, "cannot open %s", original);
        if (is_named(source))
            say_skipped(o, original, failed);
        return 0;
    }
    nt_autoclose int fd = found.fd;
    if (strncmp(source, "group:", 6) == 0 && !is_as_before(o, path, found.path))
        return 0;
    if (o->is_final && strcmp(source, "profile") == 0 && strcmp(found.path, path) != 0)
        return nt_fail(reterr, ENFORCE_E_PROTECTED,
                       "%s leads to %s now, and did not when the session began", original,
                       found.path);
    if (kind == GRANT_FOLDER && found.is_file)
        return nt_fail(reterr, NT_E_USAGE,
                       "%s is a file: a folder is needed here, or the option for files (--%s-file)",
                       original,
                       access == POLICY_BOTH    ? "allow"
                       : access == POLICY_WRITE ? "write"
                                                : "read");
    if (kind == GRANT_FILE && !found.is_file)
        return nt_fail(reterr, NT_E_USAGE,
                       "%s is a folder: a file is needed here, or the option for folders (--%s)",
                       original,
                       access == POLICY_BOTH    ? "allow"
                       : access == POLICY_WRITE ? "write"
                                                : "read");
    if (!is_usable_stream(path, &found, access))
        return 0;
    struct file_id id = { found.dev, found.ino };
    const struct policy_deny *deny = deny_of(o, found.path, &id);
    if (deny)
        return is_named(source) ? refuse(deny, original, found.path, reterr) : 0;
    const struct policy_pattern *pattern = pattern_of(p, found.path);
    if (pattern && is_named(source)) {
        nt_fail(reterr, ENFORCE_E_PROTECTED, "%s is denied by the pattern %s (%s)", original,
                pattern->text, pattern->source);
        return nt_hint(reterr, "if it must be open, add --bypass-protection %s", found.path);
    }
    if (pattern)
        return 0;

    for (size_t i = 0; i < p->grant_count; i++) {
        struct policy_grant *same = &p->grants[i];
        if (o->grant_ids[i].ino != id.ino || o->grant_ids[i].dev != id.dev
            || strcmp(same->path, found.path) != 0)
            continue;
        same->access |= access;
        if (ret_path)
            *ret_path = same->path;
        return 0; /* the first named it: options come before profiles, those before groups */
    }
    struct policy_grant row = { .original = original,
                                .path = memory_text(&o->memory, found.path),
                                .source = source,
                                .access = access,
                                .is_file = found.is_file,
                                .fd = fd };
    if (!row.path || add_row(o, &row, &id, reterr) < 0)
        return memory_fail(&o->memory, reterr);
    fd = -1; /* the policy's from now on */
    if (ret_path)
        *ret_path = row.path;
    return 0;
}

/* In the order of enum profile_list from PROFILE_ALLOW and of struct policy_request. */
static const struct {
    uint32_t access;
    enum grant_kind kind;
} kinds[] = {
    { POLICY_BOTH, GRANT_FOLDER }, { POLICY_READ, GRANT_FOLDER }, { POLICY_WRITE, GRANT_FOLDER },
    { POLICY_BOTH, GRANT_FILE },   { POLICY_READ, GRANT_FILE },   { POLICY_WRITE, GRANT_FILE },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static int add_typed(struct maker *k, struct nt_error *reterr)
{
    const struct policy_request *r = k->request;
    const struct policy_texts *lists[KINDS] = { &r->allow,      &r->read,      &r->write,
                                                &r->allow_file, &r->read_file, &r->write_file };
    for (size_t i = 0; i < KINDS; i++)
        for (size_t j = 0; j < lists[i]->count; j++) {
            const char *original = memory_text(k->m, lists[i]->at[j]);
            const char *path = original ? expand_home(k->m, &k->places, original) : NULL;
            if (!path)
                return memory_fail(k->m, reterr);
            if (add_grant(k->owned, k->policy->workdir_fd, original, path, kinds[i].access, "user",
                          kinds[i].kind, NULL, reterr)
                < 0)
                return -1;
        }
    return 0;
}

const char *expand_written(struct maker *k, const char *text, const char **ret_missing)
{
    *ret_missing = NULL;
    return k->request->overlay ? text : expand(k->m, &k->places, text, ret_missing);
}

static int add_written(struct maker *k, struct nt_error *reterr)
{
    for (size_t i = 0; i < KINDS; i++) {
        const struct policy_texts *list = &k->profile.lists[PROFILE_ALLOW + i];
        for (size_t j = 0; j < list->count; j++) {
            const char *missing, *path = expand_written(k, list->at[j], &missing);
            if (!path && !missing)
                return memory_fail(k->m, reterr);
            if (!path) {
                warn(k->owned, "%s of the profile is skipped: %s is not set", list->at[j], missing);
                continue;
            }
            if (add_grant(k->owned, k->policy->workdir_fd, list->at[j], path, kinds[i].access,
                          "profile", kinds[i].kind, NULL, reterr)
                < 0)
                return nt_wrap(reterr, "profile %s", k->policy->profile ? k->policy->profile : "");
        }
    }
    return 0;
}

/* A folder for everybody's temporary files that holds nanoterm's own state (a home folder beneath
 * /tmp) would have to be hidden in parts on every start. It is left out instead. */
static bool holds_own_state(const struct policy *p, const char *path)
{
    char real[PATH_MAX];
    if (!path_resolve_into(path, real))
        return false;
    for (size_t i = 0; i < p->deny_count; i++)
        if (p->denies[i].is_absolute && path_is_below(p->denies[i].path, real))
            return true;
    return false;
}

/* The name of the terminal that descriptor FD is; false: it is none, or has no name here. */
static bool terminal_of(int fd, char ret[64])
{
    char link[32];
    struct stat is, named;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t size = isatty(fd) ? readlink(link, ret, 63) : -1;
    ret[size > 0 ? size : 0] = '\0';
    return strncmp(ret, "/dev/pts/", 9) == 0 && fstat(fd, &is) == 0 && lstat(ret, &named) == 0
           && is.st_dev == named.st_dev && is.st_ino == named.st_ino;
}

/* For /dev/pts: the terminals that the program makes, and of the person's those that it gets. On
 * the others somebody types passwords, and believes what stands there. */
static int add_terminals(struct maker *k, uint32_t access, const char *source,
                         struct nt_error *reterr)
{
    char path[64];
    k->policy->own_terminals = true;
    for (int fd = 0; fd <= 2; fd++) {
        if (!terminal_of(fd, path))
            continue;
        const char *name = memory_text(k->m, path);
        if (!name)
            return memory_fail(k->m, reterr);
        if (add_grant(k->owned, AT_FDCWD, name, name, access, source, GRANT_FILE, NULL, reterr) < 0)
            return -1;
    }
    return 0;
}

static int add_list(struct maker *k, const char *const *list, uint32_t access, const char *source,
                    struct nt_error *reterr)
{
    for (; list && *list; list++) {
        if (strcmp(*list, "/proc/self") == 0) {
            const struct policy_grant row = { *list, *list, source, access, false, -1 };
            const struct file_id none = { 0 };
            if (add_row(k->owned, &row, &none, reterr) < 0)
                return -1;
            continue;
        }
        if (strcmp(*list, "/dev/pts") == 0) {
            if (add_terminals(k, access, source, reterr) < 0)
                return -1;
            continue;
        }
        const char *missing, *path = expand(k->m, &k->places, *list, &missing);
        if (!path && !missing)
            return memory_fail(k->m, reterr);
        if (!path
            || (access == POLICY_WRITE && strncmp(*list, "/dev/", 5) != 0
                && holds_own_state(k->policy, path)))
            continue;
        if (add_grant(k->owned, AT_FDCWD, *list, path, access, source, GRANT_ANY, NULL, reterr) < 0)
            return -1;
    }
    return 0;
}

static int add_of_groups(struct maker *k, struct nt_error *reterr)
{
    const struct policy_texts *include = &k->profile.lists[PROFILE_INCLUDE];
    for (size_t i = 0; i < include->count; i++) {
        const struct group *group = group_find(include->at[i]);
        if (!group || !(group->read || group->write || group->both))
            continue;
        const char *source = memory_format(k->m, "group:%s", group->name);
        if (!source)
            return memory_fail(k->m, reterr);
        if (add_list(k, group->read, POLICY_READ, source, reterr) < 0
            || add_list(k, group->write, POLICY_WRITE, source, reterr) < 0
            || add_list(k, group->both, POLICY_BOTH, source, reterr) < 0)
            return -1;
    }
    return 0;
}

int make_grants(struct maker *k, struct nt_error *reterr)
{
    if (add_typed(k, reterr) < 0 || add_written(k, reterr) < 0)
        return -1;
    return add_of_groups(k, reterr);
}

/* --- the working folder --------------------------------------------------------------------- */

int policy_share_workdir(struct policy *policy, struct nt_error *reterr)
{
    struct owned *o = (struct owned *)policy; /* its first member */
    if (policy->is_workdir_covered)
        return 0;
    uint32_t access = policy->workdir_access ? policy->workdir_access : POLICY_READ;
    const char *path = NULL;
    /* By the descriptor: it is the folder that the person was asked about. */
    if (add_grant(o, policy->workdir_fd, policy->workdir, ".", access, "user", GRANT_FOLDER, &path,
                  reterr)
            < 0
        || mark_inside(o, reterr) < 0)
        return nt_wrap(reterr, "sharing the working folder");
    policy->is_workdir_covered = path != NULL;
    return 0;
}
