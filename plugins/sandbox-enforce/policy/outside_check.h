/* SPDX-License-Identifier: Apache-2.0 */
/* outside_check.h - whether a file, and the way to it, is such that nobody else can have chosen it.
 * For outside.c alone. */
#ifndef NT_ENFORCE_OUTSIDE_CHECK_H
#define NT_ENFORCE_OUTSIDE_CHECK_H

#include <sys/stat.h>

#include "plugins/sandbox-enforce/policy/outside.h"

struct check {
    const struct outside *what;
    const struct policy *policy;
    const char *path; /* of what is looked at, for errors */
    const char *role; /* "", or what it does: before it */
    struct stat st;
};

/* The way to something: what is behind us, canonical, and what comes. */
struct way {
    char at[PATH_MAX], rest[2 * PATH_MAX];
    unsigned links;
    bool is_missing; /* it ends where nothing is, and nobody else can put anything there */
};

struct check check_begin(const struct outside *what);
/* ENFORCE_E_PROFILE: "key: path WHY". Returns -1. */
int check_refuse(const struct check *c, const char *why, struct nt_error *reterr);
/* That it lies in no grant for writing, by its name; WHAT comes before the path in errors. */
int check_grants(const struct check *c, const char *what, const char *path,
                 struct nt_error *reterr);
/* The same by what FD, open at PATH, is: under another name of a mount, or as a grant itself. */
int check_same(const struct check *c, const char *what, const char *path, int fd,
               struct nt_error *reterr);
/* Goes the way to PATH, absolute, and judges each folder and link of it; w->at is where it led. */
int check_walk(const struct check *c, const char *path, struct way *w, struct nt_error *reterr);
/* The same to a folder in which something is looked for: what is put into it counts, too. */
int check_walk_folder(const struct check *c, const char *path, struct way *w,
                      struct nt_error *reterr);
/* Opens PATH, canonical, and judges it and the folders above: *ret_fd is O_PATH. */
int check_open(struct check *c, const char *path, int *ret_fd, struct nt_error *reterr);

#endif
