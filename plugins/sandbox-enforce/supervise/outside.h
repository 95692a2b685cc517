/* SPDX-License-Identifier: Apache-2.0 */
/* outside.h - what a profile may let run outside of the sandbox: scripts of session_hooks, commands
 * of credential_capture. Whoever may write one, a folder above it or the profile that names it is
 * as good as outside. */
#ifndef NT_ENFORCE_OUTSIDE_H
#define NT_ENFORCE_OUTSIDE_H

#include <limits.h>

#include "plugins/sandbox-enforce/policy/policy.h"

struct outside {
    const struct policy *policy;
    const char *key;  /* of the profile, for errors: "session_hooks.before" */
    const char *path; /* as it is named there */
    const char *file; /* the profile's; NULL: it has none */
};

/* Opens a script, which is named without links, and says whether it may run. *ret_fd is O_PATH,
 * close-on-exec. ENFORCE_E_PROFILE otherwise. */
int outside_open(const struct outside *what, int *ret_fd, struct nt_error *reterr);
/* Finds a command, by its name in PATH or by an absolute path, links or not; ret: what it is. The
 * program inside can change nothing of the way to it, so the path means the same later. */
int outside_find(const struct outside *what, char ret[PATH_MAX], struct nt_error *reterr);
/* An argument that is a file: its content may be what runs. */
int outside_check_argument(const struct outside *what, const char *argument,
                           struct nt_error *reterr);

/* --- outside_mounts.c ---------------------------------------------------------------------- */

/* Tells the other names that FILE, which is PATH, has by mounts, until ON_NAME returns something
 * else than 0. That, or errno where they cannot be known. */
int outside_other_names(int file, const char *path, int (*on_name)(void *data, const char *name),
                        void *data);

#endif
