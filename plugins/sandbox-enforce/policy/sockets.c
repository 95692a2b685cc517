/* SPDX-License-Identifier: Apache-2.0 */
/* sockets.c - which sockets of this machine may be connected to or bound by path. The names are
 * resolved now; a folder stands for what lies directly in it. */
#include "plugins/sandbox-enforce/policy/make.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/policy/paths.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

static int add_row(struct maker *k, const char *path, bool may_bind, bool is_folder,
                   struct nt_error *reterr)
{
    struct policy *p = k->policy;
    for (size_t i = 0; i < p->unix_count; i++)
        if (strcmp(p->unix_grants[i].path, path) == 0 && p->unix_grants[i].is_folder == is_folder) {
            p->unix_grants[i].may_bind |= may_bind;
            return 0;
        }
    struct policy_unix *rows = memory_grow(k->m, p->unix_grants, p->unix_count, sizeof(*rows));
    if (!rows)
        return memory_fail(k->m, reterr);
    p->unix_grants = rows;
    const char *slash = strrchr(path, '/');
    size_t size = is_folder ? strlen(path) : (size_t)(slash - path);
    const char *folder = size ? memory_bytes(k->m, path, size) : "/";
    int fd = folder ? open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW) : -1;
    if (fd < 0)
        return nt_fail_sys(reterr, folder ? errno : ENOMEM, "cannot open the folder of %s", path);
    rows[p->unix_count++] = (struct policy_unix){
        .path = path, .may_bind = may_bind, .is_folder = is_folder, .parent_fd = fd
    };
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
    return add_row(k, whole, true, false, reterr);
}

static int add_socket(struct maker *k, const char *original, const char *path, bool may_bind,
                      bool is_folder, const char *source, struct nt_error *reterr)
{
    struct found found;
    if (k->request->is_wrap) {
        nt_fail(reterr, NT_E_USAGE,
                "%s: sockets by path need somebody who watches, and `wrap` leaves nobody",
                original);
        return nt_hint(reterr, "use `run` instead");
    }
    int failed = path_find(k->policy->workdir_fd, path, &found);
    if (failed == ENOENT && may_bind && !is_folder)
        return add_missing(k, original, path, source, reterr);
    if (!failed) {
        close(found.fd);
        if (!is_folder && !S_ISSOCK(found.mode))
            return nt_fail(reterr, NT_E_USAGE, "%s is not a socket", original);
    }
    uint32_t access = is_folder && may_bind ? POLICY_BOTH : POLICY_READ;
    const char *real = NULL;
    if (add_grant(k->owned, k->policy->workdir_fd, original, path, access, source,
                  is_folder ? GRANT_FOLDER : GRANT_FILE, &real, reterr)
        < 0)
        return -1;
    return real ? add_row(k, real, may_bind, is_folder, reterr) : 0;
}

int make_sockets(struct maker *k, struct nt_error *reterr)
{
    const struct policy_request *r = k->request;
    const struct policy_texts *typed[] = { &r->unix_socket, &r->unix_socket_bind,
                                           &r->unix_socket_dir, &r->unix_socket_dir_bind };
    for (size_t i = 0; i < 4; i++) {
        bool may_bind = i & 1, is_folder = i >= 2;
        for (size_t j = 0; j < typed[i]->count; j++) {
            const char *original = memory_text(k->m, typed[i]->at[j]);
            const char *path = original ? expand_home(k->m, &k->places, original) : NULL;
            if (!path)
                return memory_fail(k->m, reterr);
            if (add_socket(k, original, path, may_bind, is_folder, "user", reterr) < 0)
                return -1;
        }
        const struct policy_texts *written = &k->profile.lists[PROFILE_UNIX + i];
        for (size_t j = 0; j < written->count; j++) {
            const char *missing, *path = expand(k->m, &k->places, written->at[j], &missing);
            if (!path && !missing)
                return memory_fail(k->m, reterr);
            if (!path)
                warn(k->owned, "%s of the profile is skipped: %s is not set", written->at[j],
                     missing);
            else if (add_socket(k, written->at[j], path, may_bind, is_folder, "profile", reterr)
                     < 0)
                return -1;
        }
    }
    return 0;
}
