/* SPDX-License-Identifier: Apache-2.0 */
/* outside.c - which programs may run outside of the sandbox: those that nobody can have written or
 * put there but the person and root, and not the program of an earlier start. What runs a script or
 * loads a program is asked the same, and where it is looked for. */
#include "plugins/sandbox-enforce/policy/outside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugins/sandbox-enforce/enforce/enforce.h"
#include "plugins/sandbox-enforce/policy/outside_check.h"
#include "plugins/sandbox-enforce/policy/paths.h"
#include "plugins/sandbox-enforce/policy/script.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/program.h"

#define RUNNERS_MAX 10 /* what runs what runs it …: more than any start has */
/* For PATH when no folder is left, as an empty one would mean the current folder. */
#define NOWHERE "/dev/null"

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
        return check_refuse(&c, "depends on the folder that it is started in", reterr);
    if (check_walk(&c, path, &way, reterr) < 0)
        return -1;
    c.path = way.at;
    return way.is_missing ? 0 : check_open(&c, way.at, ret_fd, reterr);
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
            return check_refuse(&c, "is too long", reterr);
        if (folder[0] != '/') {
            c.path = n ? folder : "an empty entry";
            return check_refuse(&c, "means the current folder", reterr);
        }
        if (check_walk_folder(&c, folder, &way, reterr) < 0)
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
                check_refuse(&c, "says in its first line not plainly what runs it", reterr);
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
    return check_refuse(&c, "is run by too many others", reterr);
}

/* --- all together -------------------------------------------------------------------------- */

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

static int open_all(struct check *c, int *ret_fd, struct nt_error *reterr)
{
    nt_autoclose int fd = -1;
    if (check_open(c, c->path, &fd, reterr) < 0 || check_profile(c, reterr) < 0
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
            return check_refuse(&c, "is not absolute", reterr);
    } else if (nt_program_next(&search, what->path, path)) {
        return check_refuse(&c, "is in no folder of PATH", reterr);
    }
    c.path = path;
    if (check_walk(&c, path, &way, reterr) < 0)
        return -1;
    if (way.is_missing)
        return check_refuse(&c, strerrordesc_np(ENOENT), reterr);
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
    return folder[0] == '/' && check_walk_folder(&c, folder, &way, &why) == 0 && !way.is_missing;
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

bool outside_keeps(const char *entry)
{
    /* The password manager's own say who asks, and run nothing. */
    return strncmp(entry, "PATH=", 5) != 0
           && (!enforce_variable_is_unsafe(entry) || strncmp(entry, "OP_", 3) == 0);
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
