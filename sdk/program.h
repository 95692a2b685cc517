/* SPDX-License-Identifier: Apache-2.0 */
/* program.h - a program by its name, in the folders of a PATH.
 *
 * An entry of PATH that is empty or relative means the current folder, which belongs to a project
 * and so to others: it is never looked in. What is found is a name. Whether it may run where it
 * shall is asked elsewhere, as is what it may do there. */
#ifndef NT_SDK_PROGRAM_H
#define NT_SDK_PROGRAM_H

#include <limits.h>

/* For where no PATH is set. */
#define NT_PROGRAM_USUAL_PATH "/usr/local/bin:/usr/bin:/bin"

/**
 * Whether the file can be executed: a regular one with the right to, for the effective user.
 *
 * @return 0, or ENOENT or EACCES, as the error of a start would be
 */
int nt_program_try(const char *path);

/**
 * Finds the next program of a name.
 *
 * @param path  in: the folders that are left to look in, as in PATH; out: those behind the one
 *              where it was found, NULL after the last. NULL is none
 * @param name  without a slash
 * @param ret   the absolute path
 * @return 0, or ENOENT: there is none; or EACCES: there are only such that cannot be executed
 */
int nt_program_next(const char **path, const char *name, char ret[PATH_MAX]);

#endif
