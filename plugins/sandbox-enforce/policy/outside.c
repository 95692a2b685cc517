/* SPDX-License-Identifier: Apache-2.0 */
/* outside.c - which programs may run outside of the sandbox: those that nobody can have written or
 * put there but the person and root, and not the program of an earlier start.
 *
 * Whoever owns a link chooses what runs: a script is named without any, and for a command each is
 * looked at. All folders above are, too, as a folder that others may rename in is no better than
 * one that they may write to. The same is asked of what runs a script, or loads a program. */
#include "plugins/sandbox-enforce/policy/outside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/policy/paths.h"
#include "plugins/sandbox-enforce/policy/script.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/program.h"
#include "sdk/trust.h"

#define LINKS_MAX 40u

#define RUNNERS_MAX 10 /* what runs what runs it …: more than any start has */
/* For PATH when no folder is left, as an empty one would mean the current folder. */
#define NOWHERE "/dev/null"

struct check {
    const struct outside *what;
    const struct policy *policy;
    const char *path; /* of what is looked at, for errors */
    const char *role; /* "", or what it does: before it */
    struct stat st;
};

static const struct policy no_policy;

static struct check check_begin(const struct outside *what)
{
    return (struct check){ .what = what,
                           .policy = what->policy ? what->policy : &no_policy,
                           .path = what->path,
                           .role = "" };
}

static int refuse(const struct check *c, const char *why, struct nt_error *reterr)
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
static int check_grants(const struct check *c, const char *what, const char *path,
                        struct nt_error *reterr)
{
    if (c->what->project && path_is_below(path, c->what->project))
        return refuse(c, "lies in the working folder", reterr);
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
static int check_same(const struct check *c, const char *what, const char *path, int fd,
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
    const struct stat *st = &c->st;
    char name[32];
    if (!S_ISREG(st->st_mode))
        return refuse(c, "is not a file", reterr);
    if (!nt_trust_is_ours(st))
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
    if (!nt_trust_is_ours(&st))
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

/* Opens PATH, canonical, and judges it. */
static int open_file(struct check *c, const char *path, int *ret_fd, struct nt_error *reterr)
{
    struct found found, again;
    int sys = path_find(AT_FDCWD, path, &found);
    if (sys)
        return refuse(c, strerrordesc_np(sys), reterr);
    nt_autoclose int fd = found.fd;
    if (strcmp(found.path, path) != 0) {
        refuse(c, "is a link, or not written plainly", reterr);
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
        return refuse(c, strerrordesc_np(sys), reterr);
    close(again.fd);
    if (again.dev != found.dev || again.ino != found.ino)
        return refuse(c, "was replaced meanwhile", reterr);
    *ret_fd = nt_take_fd(fd);
    return 0;
}

/* --- the way to it ------------------------------------------------------------------------- */

/* What is behind us, canonical, and what comes. */
struct way {
    char at[PATH_MAX], rest[2 * PATH_MAX];
    unsigned links;
    bool is_missing; /* it ends where nothing is, and nobody else can put anything there */
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
    if (fd < 0 && errno == ENOENT) {
        w->is_missing = true;
        return check_grants(c, "", next, reterr) < 0
                       || check_folder(c, *w->at ? w->at : "/", true, reterr) < 0
                   ? -1
                   : 0;
    }
    if (fd < 0 || fstat(fd, &st) < 0)
        return refuse(c, strerrordesc_np(errno), reterr);
    if (!nt_trust_is_ours(&st))
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
    *w = (struct way){ .links = 0 };
    int n = snprintf(w->rest, sizeof(w->rest), "%s", path);
    if (n < 0 || (size_t)n >= sizeof(w->rest))
        return refuse(c, "is too long", reterr);
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

/* The way to a folder that is looked in: what is put into it counts, too. */
static int walk_folder(const struct check *c, const char *path, struct way *w,
                       struct nt_error *reterr)
{
    if (walk(c, path, w, reterr) < 0)
        return -1;
    return w->is_missing ? 0 : check_folder(c, *w->at ? w->at : "/", true, reterr);
}

/* --- what runs it -------------------------------------------------------------------------- */

/* The file that PATH leads to, links or not. *ret_fd is -1 when nothing is there, and nobody else
 * can put anything there. */
static int open_runner(const struct outside *what, const char *path, int *ret_fd,
                       struct nt_error *reterr)
{
    struct check c = check_begin(what);
    struct way way;
    c.path = path;
    c.role = "what runs it, ";
    if (path[0] != '/')
        return refuse(&c, "depends on the folder that it is started in", reterr);
    if (walk(&c, path, &way, reterr) < 0)
        return -1;
    c.path = way.at;
    return way.is_missing ? 0 : open_file(&c, way.at, ret_fd, reterr);
}

/* By its name, as `env` looks for it: the folders before it count as well. */
static int open_named_runner(const struct outside *what, const char *name, int *ret_fd,
                             struct nt_error *reterr)
{
    char folder[PATH_MAX], found[PATH_MAX];
    struct check c = check_begin(what);
    struct way way;
    c.path = folder;
    c.role = "what runs it is looked for in PATH, and ";
    for (const char *left = what->search ? what->search : NT_PROGRAM_USUAL_PATH; left;) {
        size_t size = strcspn(left, ":");
        int n = snprintf(folder, sizeof(folder), "%.*s", (int)size, left);
        left = left[size] ? left + size + 1 : NULL;
        if (n < 0 || (size_t)n >= sizeof(folder))
            return refuse(&c, "is too long", reterr);
        if (folder[0] != '/')
            return refuse(&c, n ? "is the current folder's" : "the current folder", reterr);
        if (walk_folder(&c, folder, &way, reterr) < 0)
            return -1;
        const char *one = folder;
        if (!way.is_missing && nt_program_next(&one, name, found) == 0)
            return open_runner(what, found, ret_fd, reterr);
    }
    return 0;
}

/* The program that `env` starts, in its own words; NULL: that is not plain. */
static const char *name_in_words(char *words)
{
    if (strncmp(words, "-S", 2) == 0) {
        words += 2 + strspn(words + 2, " \t");
        words[strcspn(words, " \t")] = '\0';
        if (strpbrk(words, "\\\"'$#"))
            return NULL;
    }
    return *words && *words != '-' && !strchr(words, '=') ? words : NULL;
}

static bool is_env(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && strcmp(slash + 1, "env") == 0;
}

/* The interpreter of a script and what runs that, until there is nothing more, or nothing that is
 * there: then it cannot be started, which is told when it is. */
static int check_runners(const struct outside *what, int fd, struct nt_error *reterr)
{
    char path[SCRIPT_PATH_MAX], words[SCRIPT_WORDS_MAX];
    nt_autoclose int file = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    struct check c = check_begin(what);
    if (file < 0)
        return nt_fail_sys(reterr, errno, "%s", what->key);
    for (unsigned i = 0; i < RUNNERS_MAX; i++) {
        nt_autoclose int next = -1;
        if (!script_runner_words(file, path, words))
            return 0;
        if (open_runner(what, path, &next, reterr) < 0)
            return -1;
        if (next >= 0 && is_env(path) && *words) {
            const char *name = name_in_words(words);
            if (!name) {
                refuse(&c, "says in its first line not plainly what runs it", reterr);
                return nt_hint(reterr, "write #!/usr/bin/env NAME, or the path of the interpreter");
            }
            nt_closep(&next);
            next = -1;
            if ((strchr(name, '/') ? open_runner(what, name, &next, reterr)
                                   : open_named_runner(what, name, &next, reterr))
                < 0)
                return -1;
        }
        if (next < 0)
            return 0;
        close(file);
        file = nt_take_fd(next);
    }
    return refuse(&c, "is run by too many others", reterr);
}

/* --- all together -------------------------------------------------------------------------- */

static int open_all(struct check *c, int *ret_fd, struct nt_error *reterr)
{
    nt_autoclose int fd = -1;
    if (open_file(c, c->path, &fd, reterr) < 0 || check_profile(c, reterr) < 0
        || check_runners(c->what, fd, reterr) < 0)
        return -1;
    *ret_fd = nt_take_fd(fd);
    return 0;
}

int outside_open(const struct outside *what, int *ret_fd, struct nt_error *reterr)
{
    struct check c = check_begin(what);
    return open_all(&c, ret_fd, reterr);
}

int outside_find(const struct outside *what, char ret[PATH_MAX], struct nt_error *reterr)
{
    char path[PATH_MAX];
    const char *search = getenv("PATH");
    struct way way;
    struct check c = check_begin(what);
    if (strchr(what->path, '/')) {
        int n = snprintf(path, sizeof(path), "%s", what->path);
        if (path[0] != '/' || n < 0 || (size_t)n >= sizeof(path))
            return refuse(&c, "is not absolute", reterr);
    } else if (nt_program_next(&search, what->path, path)) {
        return refuse(&c, "is in no folder of PATH", reterr);
    }
    c.path = path;
    if (walk(&c, path, &way, reterr) < 0)
        return -1;
    if (way.is_missing)
        return refuse(&c, strerrordesc_np(ENOENT), reterr);
    /* All that is asked of a script is asked of what the links lead to. */
    int fd = -1;
    c.path = way.at;
    if (open_all(&c, &fd, reterr) < 0)
        return -1;
    close(fd);
    memcpy(ret, way.at, sizeof(way.at));
    return 0;
}

/* Whether nobody else can put anything into FOLDER, or another folder in its place. */
static bool is_closed(const struct outside *what, const char *folder)
{
    struct nt_error why = NT_ERROR_INIT;
    struct check c = check_begin(what);
    struct way way;
    return folder[0] == '/' && walk_folder(&c, folder, &way, &why) == 0 && !way.is_missing;
}

int outside_path(const struct policy *policy, const char *project, char **ret,
                 struct nt_error *reterr)
{
    const struct outside what = {
        .policy = policy, .key = "PATH", .path = "PATH", .project = project
    };
    const char *path = getenv("PATH");
    char folder[PATH_MAX];
    nt_auto(nt_buf_done) struct nt_buf kept = NT_BUF(128 * 1024);
    for (const char *left = path ? path : NT_PROGRAM_USUAL_PATH; left;) {
        size_t size = strcspn(left, ":");
        int n = snprintf(folder, sizeof(folder), "%.*s", (int)size, left);
        left = left[size] ? left + size + 1 : NULL;
        if (n <= 0 || (size_t)n >= sizeof(folder) || !is_closed(&what, folder))
            continue;
        if (kept.size)
            nt_buf_add_char(&kept, ':');
        nt_buf_add(&kept, folder);
    }
    if (!nt_buf_ok(&kept))
        return nt_fail(reterr, NT_E_LIMIT, "PATH is too long");
    *ret = strdup(kept.size ? nt_buf_text(&kept) : NOWHERE);
    return *ret ? 0 : nt_fail(reterr, NT_E_MEMORY, "out of memory");
}

int outside_check_argument(const struct outside *what, const char *argument,
                           struct nt_error *reterr)
{
    static const char what_it_is[] = "its argument ";
    struct check c = check_begin(what);
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
