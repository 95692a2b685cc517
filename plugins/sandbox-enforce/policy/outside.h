/* SPDX-License-Identifier: Apache-2.0 */
/* outside.h - what may run outside of the sandbox: scripts of session_hooks, commands of
 * credential_capture, programs of password managers, package managers. Whoever may write one, what
 * runs it, a folder above or the profile that names it is as good as outside. */
#ifndef NT_ENFORCE_OUTSIDE_H
#define NT_ENFORCE_OUTSIDE_H

#include <limits.h>
#include <stdbool.h>

#include "plugins/sandbox-enforce/policy/policy.h"

struct outside {
    const struct policy *policy; /* NULL: no program is meant */
    const char *key;             /* of the profile, for errors: "session_hooks.before" */
    const char *path;            /* as it is named there */
    const char *file;            /* the profile's; NULL: it has none */
    /* The PATH that it will have: a script may name its interpreter by `env`. NULL: the usual one
     */
    const char *search;
    const char *project; /* nor does it lie here; NULL: no such folder */
};

/* Opens a script, which is named without links, and says whether it may run. *ret_fd is O_PATH,
 * close-on-exec. ENFORCE_E_PROFILE otherwise. */
int outside_open(const struct outside *what, int *ret_fd, struct nt_error *reterr);
/* Finds a command, by its name in PATH or by an absolute path, links or not; ret: what it is. The
 * program inside can change nothing of the way to it, so the path means the same later. */
int outside_find(const struct outside *what, char ret[PATH_MAX], struct nt_error *reterr);
/* The folders of PATH in which only the person and root can put something, as PATH for what runs
 * outside: whatever looks for a program there finds none that the program inside has chosen.
 * PROJECT as above. Malloc'ed. */
int outside_path(const struct policy *policy, const char *project, char **ret,
                 struct nt_error *reterr);
/* Whether it gets a variable of the person's, "NAME=value": not PATH, which is made anew, and none
 * that makes it run other code (LD_PRELOAD, PYTHONPATH), which may lie where the program writes. */
bool outside_keeps(const char *entry);
/* An argument that is a file: its content may be what runs. */
int outside_check_argument(const struct outside *what, const char *argument,
                           struct nt_error *reterr);

/* --- outside_mounts.c ---------------------------------------------------------------------- */

/* Tells the other names that FILE, which is PATH, has by mounts, until ON_NAME returns something
 * else than 0. That, or errno where they cannot be known. */
int outside_other_names(int file, const char *path, int (*on_name)(void *data, const char *name),
                        void *data);

#endif
