/* SPDX-License-Identifier: Apache-2.0 */
/* hook_check.c - which scripts may run outside of the sandbox: those that nobody can have written
 * or put there but the person and root, and not the program of an earlier start.
 *
 * The path is taken as it is written, without links: whoever owns a link chooses what runs. All
 * folders above are looked at, as a folder that others may rename in is no better than one that
 * they may write to. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hook.h"
#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/policy/paths.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

struct check {
    const struct policy *policy;
    const struct policy_hook *hook;
    const char *name; /* "before" */
    struct stat script;
};

static int refuse(const struct check *c, const char *why, struct nt_error *reterr)
{
    nt_fail(reterr, ENFORCE_E_PROFILE, "session_hooks.%s: %.120s %s", c->name, c->hook->script,
            why);
    return nt_hint(reterr, "`profile guide` says what a script must be; nothing was started");
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
            "session_hooks.%s: %s%.80s lies in %.80s, which the program may write (%s): it would "
            "choose what runs outside",
            c->name, what, path, grant->path, grant->source);
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

/* By what they name: a grant may be another name of a folder, as bind mounts are. */
static int check_same(const struct check *c, const char *what, const char *path,
                      const struct stat *st, struct nt_error *reterr)
{
    struct stat granted;
    for (size_t i = 0; i < c->policy->grant_count; i++) {
        const struct policy_grant *grant = &c->policy->grants[i];
        if (grant->access & POLICY_WRITE && grant->fd >= 0 && fstat(grant->fd, &granted) == 0
            && granted.st_dev == st->st_dev && granted.st_ino == st->st_ino)
            return refuse_writable(c, what, path, grant, reterr);
    }
    return 0;
}

/* The profile that names the script: by what it is, and by the folder that its name stands in. */
static int check_profile(const struct check *c, struct nt_error *reterr)
{
    static const char what[] = "the profile ";
    char folder[PATH_MAX] = ".";
    struct found found;
    struct stat st;
    const char *file = c->hook->file, *slash = file ? strrchr(file, '/') : NULL;
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
        if (check_grants(c, what, found.path, reterr) < 0 || fstat(fd, &st) < 0
            || check_same(c, what, found.path, &st, reterr) < 0)
            return -1;
    }
    return 0;
}

/* --- the file and its folders -------------------------------------------------------------- */

static int check_file(const struct check *c, int fd, struct nt_error *reterr)
{
    const struct stat *st = &c->script;
    char name[32];
    if (!S_ISREG(st->st_mode))
        return refuse(c, "is not a file", reterr);
    if (!is_trusted(st))
        return refuse(c, "is neither yours nor root's", reterr);
    if (st->st_mode & S_IWOTH)
        return refuse(c, "may be written by everybody", reterr);
    /* The other one may lie where the program writes. */
    if (st->st_nlink > 1 && st->st_uid == geteuid())
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
    return check_same(c, "", path, &st, reterr);
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

int hook_open(const struct policy *policy, size_t when, int *ret_fd, struct nt_error *reterr)
{
    struct check c = { .policy = policy,
                       .hook = &policy->hooks[when],
                       .name = policy_hook_name(when) };
    struct found found, again;
    int sys = path_find(AT_FDCWD, c.hook->script, &found);
    if (sys)
        return nt_fail(reterr, ENFORCE_E_PROFILE, "session_hooks.%s: %.120s: %s", c.name,
                       c.hook->script, strerrordesc_np(sys));
    nt_autoclose int fd = found.fd;
    if (strcmp(found.path, c.hook->script) != 0) {
        nt_fail(reterr, ENFORCE_E_PROFILE,
                "session_hooks.%s: %.80s is a link, or not written plainly", c.name,
                c.hook->script);
        return nt_hint(reterr, "its path is %.200s", found.path);
    }
    if (fstat(fd, &c.script) < 0)
        return nt_fail_sys(reterr, errno, "session_hooks.%s", c.name);
    if (check_file(&c, fd, reterr) < 0 || check_grants(&c, "", found.path, reterr) < 0
        || check_same(&c, "", found.path, &c.script, reterr) < 0
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
