/* SPDX-License-Identifier: Apache-2.0 */
/* trust.h - opens folders and files that only root or this user can have written. */
#ifndef NT_SDK_TRUST_H
#define NT_SDK_TRUST_H

#include <stdbool.h>
#include <sys/stat.h>

#include "nanoterm/error.h"

/* Whether it belongs to root or to the user. */
bool nt_trust_is_ours(const struct stat *st);
/* Opens an absolute folder for reading (close-on-exec). Every folder from / on, and every symbolic
 * link on the way, must belong to root or the user, and nobody else may write to it; a sticky
 * folder of root (/tmp) may lie between when what follows in it passes. NT_E_NOT_FOUND: there is
 * none. NT_E_PLUGIN_FAILED: which folder, and why. */
int nt_trust_open_folder(const char *path, int *ret_fd, struct nt_error *reterr);
/* Opens a regular file in such a folder: never through a link, nobody else may write to it. */
int nt_trust_open_file(int folder, const char *name, int *ret_fd, struct stat *ret_st,
                       struct nt_error *reterr);

#endif
