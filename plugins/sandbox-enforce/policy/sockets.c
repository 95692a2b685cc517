/* SPDX-License-Identifier: Apache-2.0 */
/* sockets.c - which sockets of this machine may be connected to or bound by path. The names are
 * resolved now; a folder stands for what lies directly in it, a tree for what lies deeper, too. */
#include "plugins/sandbox-enforce/policy/make.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/policy/paths.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

/* What a name stands for. */
struct reach {
    bool may_bind, is_folder, is_tree;
};

/* In the order of enum profile_list from PROFILE_UNIX and of struct policy_request. */
static const struct reach reaches[] = {
    { false, false, false }, { true, false, false }, { false, true, false },
    { true, true, false },   { false, true, true },  { true, true, true },
};
#define REACHES (sizeof(reaches) / sizeof(reaches[0]))

static int add_row(struct maker *k, const char *path, struct reach reach, struct nt_error *reterr)
{
    struct policy *p = k->policy;
    for (size_t i = 0; i < p->unix_count; i++) {
        struct policy_unix *same = &p->unix_grants[i];
        if (strcmp(same->path, path) == 0 && same->is_folder == reach.is_folder
            && same->is_tree == reach.is_tree) {
            same->may_bind |= reach.may_bind;
            return 0;
        }
    }
    struct policy_unix *rows = memory_grow(k->m, p->unix_grants, p->unix_count, sizeof(*rows));
    if (!rows)
        return memory_fail(k->m, reterr);
    p->unix_grants = rows;
    const char *slash = strrchr(path, '/');
    size_t size = reach.is_folder ? strlen(path) : (size_t)(slash - path);
    const char *folder = size ? memory_bytes(k->m, path, size) : "/";
    int fd = folder ? open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW) : -1;
    if (fd < 0)
        return nt_fail_sys(reterr, folder ? errno : ENOMEM, "cannot open the folder of %s", path);
    rows[p->unix_count++] = (struct policy_unix){ .path = path,
                                                  .may_bind = reach.may_bind,
                                                  .is_folder = reach.is_folder,
                                                  .is_tree = reach.is_tree,
                                                  .parent_fd = fd };
    return 0;
}

/* The socket is to be made by the program: its folder must be writable for that. */
static int add_missing(struct maker *k, const char *original, const char *path, const char *source,
                       struct nt_error *reterr)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return nt_fail(reterr, NT_E_USAGE, "%s names no socket", original);
    const char *folder = !slash          ? "."
                         : slash == path ? "/"
                                         : memory_bytes(k->m, path, (size_t)(slash - path));
    const char *real = NULL;
    if (!folder)
        return memory_fail(k->m, reterr);
    if (add_grant(k->owned, k->policy->workdir_fd, original, folder, POLICY_WRITE, source,
                  GRANT_FOLDER, &real, reterr)
        < 0)
        return -1;
    if (!real)
        return 0; /* skipped, with a warning */
    const char *whole = memory_format(k->m, "%s/%s", strcmp(real, "/") ? real : "", name);
    if (!whole)
        return memory_fail(k->m, reterr);
    const struct policy_deny *deny = deny_of(k->owned, whole, NULL);
    if (deny)
        return nt_fail(reterr, ENFORCE_E_PROTECTED, "%s is denied: %s", original, deny->about);
    return add_row(k, whole, (struct reach){ .may_bind = true }, reterr);
}

static int add_socket(struct maker *k, const char *original, const char *path, struct reach reach,
                      const char *source, struct nt_error *reterr)
{
    struct found found;
    if (k->request->is_wrap) {
        nt_fail(reterr, NT_E_USAGE,
                "%s: sockets by path need somebody who watches, and `wrap` leaves nobody",
                original);
        return nt_hint(reterr, "use `run` instead");
    }
    int failed = path_find(k->policy->workdir_fd, path, &found);
    if (failed == ENOENT && reach.may_bind && !reach.is_folder)
        return add_missing(k, original, path, source, reterr);
    if (!failed) {
        close(found.fd);
        if (!reach.is_folder && !S_ISSOCK(found.mode))
            return nt_fail(reterr, NT_E_USAGE, "%s is not a socket", original);
    }
    uint32_t access = reach.is_folder && reach.may_bind ? POLICY_BOTH : POLICY_READ;
    const char *real = NULL;
    if (add_grant(k->owned, k->policy->workdir_fd, original, path, access, source,
                  reach.is_folder ? GRANT_FOLDER : GRANT_FILE, &real, reterr)
        < 0)
        return -1;
    return real ? add_row(k, real, reach, reterr) : 0;
}

int make_sockets(struct maker *k, struct nt_error *reterr)
{
    const struct policy_request *r = k->request;
    const struct policy_texts *typed[REACHES] = {
        &r->unix_socket,          &r->unix_socket_bind,    &r->unix_socket_dir,
        &r->unix_socket_dir_bind, &r->unix_socket_subtree, &r->unix_socket_subtree_bind
    };
    for (size_t i = 0; i < REACHES; i++) {
        for (size_t j = 0; j < typed[i]->count; j++) {
            const char *original = memory_text(k->m, typed[i]->at[j]);
            const char *path = original ? expand_home(k->m, &k->places, original) : NULL;
            if (!path)
                return memory_fail(k->m, reterr);
            if (add_socket(k, original, path, reaches[i], "user", reterr) < 0)
                return -1;
        }
        const struct policy_texts *written = &k->profile.lists[PROFILE_UNIX + i];
        for (size_t j = 0; j < written->count; j++) {
            const char *missing, *path = expand_written(k, written->at[j], &missing);
            if (!path && !missing)
                return memory_fail(k->m, reterr);
            if (!path)
                warn(k->owned, "%s of the profile is skipped: %s is not set", written->at[j],
                     missing);
            else if (add_socket(k, written->at[j], path, reaches[i], "profile", reterr) < 0)
                return -1;
        }
    }
    return 0;
}
