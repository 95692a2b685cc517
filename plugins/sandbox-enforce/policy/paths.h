/* SPDX-License-Identifier: Apache-2.0 */
/* paths.h - names of files made into what they mean now: a descriptor and a canonical path. */
#ifndef NT_ENFORCE_POLICY_PATHS_H
#define NT_ENFORCE_POLICY_PATHS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "plugins/sandbox-enforce/policy/memory.h"

struct found {
    int fd;       /* O_PATH, close-on-exec */
    bool is_file; /* all but a folder */
    dev_t dev;
    ino_t ino;
    mode_t mode;
    char path[PATH_MAX]; /* canonical, of what the descriptor holds */
};

/* Follows links. BASE: the folder that a relative PATH starts in. 0, or an errno value. */
int path_find(int base, const char *path, struct found *ret);

/* The canonical form of PATH (absolute), of which the end may be missing: what is there is
 * resolved, the rest is taken as it is, without "." and "..". NULL: out of memory, or too long. */
const char *path_resolve(struct memory *m, const char *path);
/* The same into a buffer; false: too long. */
bool path_resolve_into(const char *path, char ret[PATH_MAX]);

/* PATH is FOLDER or lies beneath it; both canonical. */
bool path_is_below(const char *path, const char *folder);

/* A glob over a whole path: "**" any number of folders, "*" and "?" within a name. A pattern
 * without a leading "/" matches at any depth. */
bool path_matches(const char *pattern, const char *path);
/* The same for PATH or any folder that it lies in. */
bool path_is_matched(const char *pattern, const char *path);

#endif
