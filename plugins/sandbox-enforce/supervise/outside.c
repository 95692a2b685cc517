/* SPDX-License-Identifier: Apache-2.0 */
/* outside.c - which programs may run outside of the sandbox: those that nobody can have written or
 * put there but the person and root, and not the program of an earlier start.
 *
 * Whoever owns a link chooses what runs: a script is named without any, and for a command each is
 * looked at. All folders above are, too, as a folder that others may rename in is no better than
 * one that they may write to. */
#include "outside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/policy/paths.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/program.h"

#define LINKS_MAX 40u

struct check {
    const struct outside *what;
    const struct policy *policy;
    struct stat script;
};

static int refuse(const struct check *c, const char *why, struct nt_error *reterr)
{
    nt_fail(reterr, ENFORCE_E_PROFILE, "%s: %.120s %s", c->what->key, c->what->path, why);
    return nt_hint(reterr, "`profile guide` says what it must be; nothing was started");
}

static bool is_trusted(const struct stat *st)
{
    return st->st_uid == 0 || st->st_uid == geteuid();
}

/* --- what the program may write ------------------------------------------------------------ */

static int refuse_writable(const struct check *c, const char *what, const char *path,
                           const struct policy_grant *grant, struct nt_error *reterr)
{
    nt_fail(reterr, ENFORCE_E_PROFILE,
            "%s: %s%.80s lies in %.80s, which the program may write (%s): it would choose what "
            "runs outside",
            c->what->key, what, path, grant->path, grant->source);
    return nt_hint(reterr, "keep it where no program may write, such as ~/.config/nanoterm");
}

/* By names. That a denied part of a grant is hidden does not count: who may write to the folders
 * above can move them away, and put others there for the next start. */
static int check_grants(const struct check *c, const char *what, const char *path,
                        struct nt_error *reterr)
{
    for (size_t i = 0; i < c->policy->grant_count; i++) {
        const struct policy_grant *grant = &c->policy->grants[i];
        if (grant->access & POLICY_WRITE
            && (grant->is_file ? strcmp(path, grant->path) == 0 : path_is_below(path, grant->path)))
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
static int check_same(const struct check *c, const char *what, const char *path, int fd,
                      struct nt_error *reterr)
{
    struct stat granted, st;
    char text[64];
    if (fstat(fd, &st) < 0)
        return nt_fail_sys(reterr, errno, "%s", c->what->key);
    for (size_t i = 0; i < c->policy->grant_count; i++) {
        const struct policy_grant *grant = &c->policy->grants[i];
        if (grant->access & POLICY_WRITE && grant->fd >= 0 && fstat(grant->fd, &granted) == 0
            && granted.st_dev == st.st_dev && granted.st_ino == st.st_ino)
            return refuse_writable(c, what, path, grant, reterr);
    }
    snprintf(text, sizeof(text), "%sby a second mount ", what);
    struct other_name other = { c, text, reterr };
    int sys = outside_other_names(fd, path, check_name, &other);
    return sys > 0 ? nt_fail_sys(reterr, sys, "%s: the mounts", c->what->key) : sys;
}

/* The profile that names the script: by what it is, and by the folder that its name stands in. */
static int check_profile(const struct check *c, struct nt_error *reterr)
{
    static const char what[] = "the profile ";
    char folder[PATH_MAX] = ".";
    struct found found;
    const char *file = c->what->file, *slash = file ? strrchr(file, '/') : NULL;
    if (!file)
        return 0;
    if (slash && (size_t)(slash - file) + 1 < sizeof(folder))
        snprintf(folder, sizeof(folder), "%.*s", (int)(slash - file) + 1, file);
    const char *const names[] = { file, folder };
    for (size_t i = 0; i < 2; i++) {
        int sys = path_find(AT_FDCWD, names[i], &found);
        if (sys)
            return nt_fail_sys(reterr, sys, "cannot open the profile %.150s", names[i]);
        nt_autoclose int fd = found.fd;
        if (check_grants(c, what, found.path, reterr) < 0
            || check_same(c, what, found.path, fd, reterr) < 0)
            return -1;
    }
    return 0;
}

/* --- the file and its folders -------------------------------------------------------------- */

static int check_file(const struct check *c, int fd, const char *path, struct nt_error *reterr)
{
    const struct stat *st = &c->script;
    char name[32];
    if (!S_ISREG(st->st_mode))
        return refuse(c, "is not a file", reterr);
    if (!is_trusted(st))
        return refuse(c, "is neither yours nor root's", reterr);
    if (st->st_mode & S_IWOTH)
        return refuse(c, "may be written by everybody", reterr);
    /* The other one may lie where the program writes; programs of the system have several there. */
    bool is_system = st->st_uid == 0 && path_is_below(path, "/usr");
    if (st->st_nlink > 1 && st->st_uid == geteuid() && !is_system)
        return refuse(c, "has a second name (a hard link): copy it", reterr);
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    if (faccessat(AT_FDCWD, name, X_OK, AT_EACCESS) < 0)
        return refuse(c, "is not executable", reterr);
    return 0;
}

static int check_folder(const struct check *c, const char *path, bool is_parent,
                        struct nt_error *reterr)
{
    struct found found;
    struct stat st;
    int sys = path_find(AT_FDCWD, path, &found);
    if (sys)
        return refuse(c, strerrordesc_np(sys), reterr);
    nt_autoclose int fd = found.fd;
    if (fstat(fd, &st) < 0 || strcmp(found.path, path) != 0)
        return refuse(c, "was moved meanwhile", reterr);
    if (!is_trusted(&st))
        return refuse(c, "lies in a folder that is neither yours nor root's", reterr);
    /* In a sticky folder further up nobody can rename what is yours. */
    if (st.st_mode & S_IWOTH && (is_parent || !(st.st_mode & S_ISVTX)))
        return refuse(c, "lies in a folder that everybody may write to", reterr);
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

int outside_open(const struct outside *what, int *ret_fd, struct nt_error *reterr)
{
    struct check c = { .what = what, .policy = what->policy };
    struct found found, again;
    int sys = path_find(AT_FDCWD, what->path, &found);
    if (sys)
        return nt_fail(reterr, ENFORCE_E_PROFILE, "%s: %.120s: %s", what->key, what->path,
                       strerrordesc_np(sys));
    nt_autoclose int fd = found.fd;
    if (strcmp(found.path, what->path) != 0) {
        nt_fail(reterr, ENFORCE_E_PROFILE, "%s: %.80s is a link, or not written plainly", what->key,
                what->path);
        return nt_hint(reterr, "its path is %.200s", found.path);
    }
    if (fstat(fd, &c.script) < 0)
        return nt_fail_sys(reterr, errno, "%s", what->key);
    if (check_file(&c, fd, found.path, reterr) < 0 || check_grants(&c, "", found.path, reterr) < 0
        || check_same(&c, "", found.path, fd, reterr) < 0
        || check_folders(&c, found.path, reterr) < 0 || check_profile(&c, reterr) < 0)
        return -1;
    /* Nobody else can move anything in these folders: so it was opened in them, or it is refused.
     */
    sys = path_find(AT_FDCWD, found.path, &again);
    if (sys)
        return refuse(&c, strerrordesc_np(sys), reterr);
    close(again.fd);
    if (again.dev != found.dev || again.ino != found.ino)
        return refuse(&c, "was replaced meanwhile", reterr);
    *ret_fd = nt_take_fd(fd);
    return 0;
}

/* --- a command ----------------------------------------------------------------------------- */

/* The way to a file: what is behind us, canonical, and what comes. */
struct way {
    char at[PATH_MAX], rest[2 * PATH_MAX];
    unsigned links;
};

/* Puts what a link says before the rest. */
static int follow(const struct check *c, struct way *w, const char *link, struct nt_error *reterr)
{
    char target[PATH_MAX], rest[sizeof(w->rest)];
    ssize_t size = readlink(link, target, sizeof(target) - 1);
    if (size <= 0 || ++w->links > LINKS_MAX)
        return refuse(c, "leads through too many links", reterr);
    target[size] = '\0';
    int n = snprintf(rest, sizeof(rest), "%s/%s", target, w->rest);
    if (n < 0 || (size_t)n >= sizeof(rest))
        return refuse(c, "leads through links that are too long", reterr);
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
        return refuse(c, "is too long", reterr);
    nt_autoclose int fd = open(next, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return refuse(c, strerrordesc_np(errno), reterr);
    if (!is_trusted(&st))
        return refuse(c, "leads through something that is neither yours nor root's", reterr);
    if (check_grants(c, "", next, reterr) < 0 || check_same(c, "", next, fd, reterr) < 0)
        return -1;
    memmove(w->rest, name + size, strlen(name + size) + 1);
    if (S_ISLNK(st.st_mode))
        return follow(c, w, next, reterr);
    memcpy(w->at, next, (size_t)n + 1);
    return S_ISDIR(st.st_mode) ? check_folder(c, next, false, reterr) : 0;
}

/* PATH, absolute, into w->at. */
static int walk(const struct check *c, const char *path, struct way *w, struct nt_error *reterr)
{
    int n = snprintf(w->rest, sizeof(w->rest), "%s", path);
    w->at[0] = '\0';
    if (n < 0 || (size_t)n >= sizeof(w->rest))
        return refuse(c, "is too long", reterr);
    while (*w->rest) {
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

int outside_find(const struct outside *what, char ret[PATH_MAX], struct nt_error *reterr)
{
    char path[PATH_MAX];
    const char *search = getenv("PATH");
    struct way way = { 0 };
    struct outside found = *what;
    struct check c = { .what = &found, .policy = what->policy };
    if (strchr(what->path, '/')) {
        int n = snprintf(path, sizeof(path), "%s", what->path);
        if (path[0] != '/' || n < 0 || (size_t)n >= sizeof(path))
            return refuse(&c, "is not absolute", reterr);
    } else if (nt_program_next(&search, what->path, path)) {
        return refuse(&c, "is in no folder of PATH", reterr);
    }
    found.path = path;
    if (walk(&c, path, &way, reterr) < 0)
        return -1;
    /* All that is asked of a script is asked of what the links lead to. */
    int fd = -1;
    found.path = way.at;
    if (outside_open(&found, &fd, reterr) < 0)
        return -1;
    close(fd);
    memcpy(ret, way.at, sizeof(way.at));
    return 0;
}

int outside_check_argument(const struct outside *what, const char *argument,
                           struct nt_error *reterr)
{
    static const char what_it_is[] = "its argument ";
    struct check c = { .what = what, .policy = what->policy };
    struct found found;
    if (argument[0] != '/' || path_find(AT_FDCWD, argument, &found))
        return 0;
    nt_autoclose int fd = found.fd;
    if (!found.is_file)
        return 0;
    return check_grants(&c, what_it_is, found.path, reterr) < 0
                   || check_same(&c, what_it_is, found.path, fd, reterr) < 0
               ? -1
               : 0;
}
