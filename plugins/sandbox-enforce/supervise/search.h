/* SPDX-License-Identifier: Apache-2.0 */
/* search.h - which file a person means by the name of a program. */
#ifndef NT_ENFORCE_SEARCH_H
#define NT_ENFORCE_SEARCH_H

#include <limits.h>

#include "nanoterm/error.h"

/* NAME with a slash is that file, made absolute; else the first in a folder of PATH (NULL: the
 * usual ones) that can be executed. Entries that are empty or relative are passed over: the current
 * folder belongs to others. ENFORCE_E_COMMAND: it is not there, ENFORCE_E_REFUSED: it cannot be
 * executed, NT_E_LIMIT. */
int search_program(const char *name, const char *path, char ret[PATH_MAX], struct nt_error *reterr);

#endif
