/* SPDX-License-Identifier: Apache-2.0 */
/* outside_check.c - the questions of outside_check.h, each by a descriptor.
 *
 * Whoever owns a link chooses what it leads to, so each is looked at, and all folders above: one
 * that others may rename in is no better than one that they may write to. */
#include "plugins/sandbox-enforce/policy/outside_check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/policy/paths.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/trust.h"

#define LINKS_MAX 40u

static const struct policy no_policy;

struct check check_begin(const struct outside *what)
{
    return (struct check){ .what = what,
                           .policy = what->policy ? what->policy : &no_policy,
                           .path = what->path,
                           .role = "" };
}

int check_refuse(const struct check *c, const char *why, struct nt_error *reterr)
{
    nt_fail(reterr, ENFORCE_E_PROFILE, "%s: %s%.120s %s", c->what->key, c->role, c->path, why);
    return nt_hint(reterr, "`profile guide` says what it must be; nothing was started");
}

/* --- what the program may write ------------------------------------------------------------ */

static int refuse_writable(const struct check *c, const char *what, const char *path,
                           const struct policy_grant *grant, struct nt_error *reterr)
{
    nt_fail(reterr, ENFORCE_E_PROFILE,
            "%s: %s%s%.80s lies in %.80s, which the program may write (%s): it would choose what "
            "runs outside",
            c->what->key, c->role, what, path, grant->path, grant->source);
    return nt_hint(reterr, "keep it where no program may write, such as ~/.config/nanoterm");
}

/* By names. That a denied part of a grant is hidden does not count: who may write to the folders
 * above can move them away, and put others there for the next start. */
int check_grants(const struct check *c, const char *what, const char *path, struct nt_error *reterr)
{
    if (c->what->project && path_is_below(path, c->what->project))
        return check_refuse(c, "lies in the working folder", reterr);
    for (const struct policy *policy = c->policy; policy; policy = policy->above)
        for (size_t i = 0; i < policy->grant_count; i++) {
            const struct policy_grant *grant = &policy->grants[i];
            if (grant->access & POLICY_WRITE
                && (grant->is_file ? strcmp(path, grant->path) == 0
                                   : path_is_below(path, grant->path)))
                return refuse_writable(c, what, path, grant, reterr);
        }
    return 0;
}

struct other_name {
    const struct check *c;
    const char *what;
    struct nt_error *reterr;
};

static int check_name(void *data, const char *name)
{
    const struct other_name *other = data;
    return check_grants(other->c, other->what, name, other->reterr);
}

/* By what they name: a grant may be another name of a folder, as bind mounts are; or hold one. FD
 * is open at PATH, which WHAT comes before in messages. */
int check_same(const struct check *c, const char *what, const char *path, int fd,
               struct nt_error *reterr)
{
    struct stat granted, st;
    char text[64];
    if (fstat(fd, &st) < 0)
        return nt_fail_sys(reterr, errno, "%s", c->what->key);
    for (const struct policy *policy = c->policy; policy; policy = policy->above)
        for (size_t i = 0; i < policy->grant_count; i++) {
            const struct policy_grant *grant = &policy->grants[i];
            if (grant->access & POLICY_WRITE && grant->fd >= 0 && fstat(grant->fd, &granted) == 0
                && granted.st_dev == st.st_dev && granted.st_ino == st.st_ino)
                return refuse_writable(c, what, path, grant, reterr);
        }
    snprintf(text, sizeof(text), "%sby a second mount ", what);
    struct other_name other = { c, text, reterr };
    int sys = outside_other_names(fd, path, check_name, &other);
    return sys > 0 ? nt_fail_sys(reterr, sys, "%s: the mounts", c->what->key) : sys;
}

/* --- the file and its folders -------------------------------------------------------------- */

static int check_file(const struct check *c, int fd, const char *path, struct nt_error *reterr)
{
    const struct stat *st = &c->st;
    char name[32];
    if (!S_ISREG(st->st_mode))
        return check_refuse(c, "is not a file", reterr);
    if (!nt_trust_is_ours(st))
        return check_refuse(c, "is neither yours nor root's", reterr);
    if (st->st_mode & S_IWOTH)
        return check_refuse(c, "may be written by everybody", reterr);
    /* The other one may lie where the program writes; programs of the system have several there. */
    bool is_system = st->st_uid == 0 && path_is_below(path, "/usr");
    if (st->st_nlink > 1 && st->st_uid == geteuid() && !is_system)
        return check_refuse(c, "has a second name (a hard link): copy it", reterr);
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    if (faccessat(AT_FDCWD, name, X_OK, AT_EACCESS) < 0)
        return check_refuse(c, "is not executable", reterr);
    return 0;
}

static int check_folder(const struct check *c, const char *path, bool is_parent,
                        struct nt_error *reterr)
{
    struct found found;
    struct stat st;
    int sys = path_find(AT_FDCWD, path, &found);
    if (sys)
        return check_refuse(c, strerrordesc_np(sys), reterr);
    nt_autoclose int fd = found.fd;
    if (fstat(fd, &st) < 0 || strcmp(found.path, path) != 0)
        return check_refuse(c, "was moved meanwhile", reterr);
    if (!nt_trust_is_ours(&st))
        return check_refuse(c, "lies in a folder that is neither yours nor root's", reterr);
    /* In a sticky folder further up nobody can rename what is yours. */
    if (st.st_mode & S_IWOTH && (is_parent || !(st.st_mode & S_ISVTX)))
        return check_refuse(c, "lies in a folder that everybody may write to", reterr);
    return check_same(c, "", path, fd, reterr);
}

/* From the script's own folder up to the root. */
static int check_folders(const struct check *c, const char *path, struct nt_error *reterr)
{
    char folder[PATH_MAX];
    bool is_parent = true;
    memcpy(folder, path, strlen(path) + 1);
    for (char *slash = strrchr(folder, '/'); slash; slash = strrchr(folder, '/')) {
        bool is_root = slash == folder;
        slash[is_root ? 1 : 0] = '\0';
        if (check_folder(c, folder, is_parent, reterr) < 0)
            return -1;
        if (is_root)
            break;
        is_parent = false;
    }
    return 0;
}

/* Opens PATH, canonical, and judges it. */
int check_open(struct check *c, const char *path, int *ret_fd, struct nt_error *reterr)
{
    struct found found, again;
    int sys = path_find(AT_FDCWD, path, &found);
    if (sys)
        return check_refuse(c, strerrordesc_np(sys), reterr);
    nt_autoclose int fd = found.fd;
    if (strcmp(found.path, path) != 0) {
        check_refuse(c, "is a link, or not written plainly", reterr);
        return nt_hint(reterr, "its path is %.200s", found.path);
    }
    if (fstat(fd, &c->st) < 0)
        return nt_fail_sys(reterr, errno, "%s", c->what->key);
    if (check_file(c, fd, path, reterr) < 0 || check_grants(c, "", path, reterr) < 0
        || check_same(c, "", path, fd, reterr) < 0 || check_folders(c, path, reterr) < 0)
        return -1;
    /* Nobody else can move anything in these folders: so it was opened in them, or it is refused.
     */
    sys = path_find(AT_FDCWD, path, &again);
    if (sys)
        return check_refuse(c, strerrordesc_np(sys), reterr);
    close(again.fd);
    if (again.dev != found.dev || again.ino != found.ino)
        return check_refuse(c, "was replaced meanwhile", reterr);
    *ret_fd = nt_take_fd(fd);
    return 0;
}

/* --- the way to it ------------------------------------------------------------------------- */

/* Puts what a link says before the rest. */
static int follow(const struct check *c, struct way *w, const char *link, struct nt_error *reterr)
{
    char target[PATH_MAX], rest[sizeof(w->rest)];
    ssize_t size = readlink(link, target, sizeof(target) - 1);
    if (size <= 0 || ++w->links > LINKS_MAX)
        return check_refuse(c, "leads through too many links", reterr);
    target[size] = '\0';
    int n = snprintf(rest, sizeof(rest), "%s/%s", target, w->rest);
    if (n < 0 || (size_t)n >= sizeof(rest))
        return check_refuse(c, "leads through links that are too long", reterr);
    memcpy(w->rest, rest, (size_t)n + 1);
    if (target[0] == '/')
        w->at[0] = '\0';
    return 0;
}

/* One name further; w->at was looked at. */
static int step(const struct check *c, struct way *w, const char *name, size_t size,
                struct nt_error *reterr)
{
    char next[PATH_MAX];
    struct stat st;
    int n = snprintf(next, sizeof(next), "%s/%.*s", w->at, (int)size, name);
    if (n < 0 || (size_t)n >= sizeof(next))
        return check_refuse(c, "is too long", reterr);
    nt_autoclose int fd = open(next, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        w->is_missing = true;
        return check_grants(c, "", next, reterr) < 0
                       || check_folder(c, *w->at ? w->at : "/", true, reterr) < 0
                   ? -1
                   : 0;
    }
    if (fd < 0 || fstat(fd, &st) < 0)
        return check_refuse(c, strerrordesc_np(errno), reterr);
    if (!nt_trust_is_ours(&st))
        return check_refuse(c, "leads through something that is neither yours nor root's", reterr);
    if (check_grants(c, "", next, reterr) < 0 || check_same(c, "", next, fd, reterr) < 0)
        return -1;
    memmove(w->rest, name + size, strlen(name + size) + 1);
    if (S_ISLNK(st.st_mode))
        return follow(c, w, next, reterr);
    memcpy(w->at, next, (size_t)n + 1);
    return S_ISDIR(st.st_mode) ? check_folder(c, next, false, reterr) : 0;
}

/* PATH, absolute, into w->at. */
int check_walk(const struct check *c, const char *path, struct way *w, struct nt_error *reterr)
{
    *w = (struct way){ .links = 0 };
    int n = snprintf(w->rest, sizeof(w->rest), "%s", path);
    if (n < 0 || (size_t)n >= sizeof(w->rest))
        return check_refuse(c, "is too long", reterr);
    while (*w->rest && !w->is_missing) {
        const char *name = w->rest + strspn(w->rest, "/");
        size_t size = strcspn(name, "/");
        bool is_here = !size || (size == 1 && name[0] == '.');
        char *slash = strrchr(w->at, '/');
        if (size == 2 && memcmp(name, "..", 2) == 0) {
            if (slash)
                *slash = '\0';
            is_here = true;
        }
        if (is_here)
            memmove(w->rest, name + size, strlen(name + size) + 1);
        else if (step(c, w, name, size, reterr) < 0)
            return -1;
    }
    return 0;
}

int check_walk_folder(const struct check *c, const char *path, struct way *w,
                      struct nt_error *reterr)
{
    if (check_walk(c, path, w, reterr) < 0)
        return -1;
    return w->is_missing ? 0 : check_folder(c, *w->at ? w->at : "/", true, reterr);
}
