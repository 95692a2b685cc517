/* SPDX-License-Identifier: Apache-2.0 */
/* temporary.h - what a session leaves where programs put temporary files, and its end. */
#ifndef NT_ENFORCE_SUPERVISE_TEMPORARY_H
#define NT_ENFORCE_SUPERVISE_TEMPORARY_H

#include <limits.h>
#include <stdbool.h>

#include "sdk/buf.h"

/* How names end: of a file, and of a folder with one file in it. */
#define TEMPORARY_CAP_FILE ".json"
#define TEMPORARY_BUNDLE ".tls"
#define TEMPORARY_FILE "ca.pem"
/* May stand before the owner. */
#define TEMPORARY_COMMENT "# "

/* A new name in the folder of this user; false: there is no such folder. Nothing is made. */
bool temporary_name(const char *suffix, char ret[PATH_MAX]);
/* The beginning of such a file, by which it is known whose it is: an object that is not closed. */
void temporary_add_owner(struct nt_buf *b);
/* Is PATH still what was opened? Another may have the name: the program may write to the folder. */
bool temporary_is(int fd, const char *path);
/* Removes what owners that are gone have left in the folder of the path BESIDE. */
void temporary_sweep(const char *beside);

#endif
