/* SPDX-License-Identifier: Apache-2.0 */
/* glob.h - patterns over paths, of files and of requests. */
#ifndef NT_ENFORCE_POLICY_GLOB_H
#define NT_ENFORCE_POLICY_GLOB_H

#include <stdbool.h>

/* PATTERN over a whole path, part by part: "**" stands for any number of parts, "*" for any text
 * within one, the character ONE for any other one ('\0': none does). How many slashes stand between
 * parts or at the end counts for nothing. For files, and for paths of requests, where "?" is a
 * character like others. Takes no longer than the product of both sizes. */
bool path_glob(const char *pattern, const char *path, char one);

#endif
