/* SPDX-License-Identifier: Apache-2.0 */
/* cap_file.h - reads the file that tells a sandboxed process what it may do (NONO_CAP_FILE). */
#ifndef NT_ENFORCE_CAP_FILE_H
#define NT_ENFORCE_CAP_FILE_H

#include <stdbool.h>

#include "nanoterm/error.h"
#include "plugins/sandbox-enforce/policy/policy.h"

#define CAP_FILE_VARIABLE "NONO_CAP_FILE"
#define CAP_FILE_PREFIX ".nono-"
#define CAP_FILE_DIGITS 16u /* lower-case hex, then ".json" */

/* *ret_sandboxed false: the variable is not set, and there is no policy. ENFORCE_E_CAP_FILE: it
 * names what no supervisor of this user wrote - anything but a regular file of the user's (or
 * root's), with exactly such a name, directly in the folder for temporary files, not writable by
 * others. A forged file is refused, never believed. */
int cap_file_read(bool *ret_sandboxed, struct policy **ret, struct nt_error *reterr);

#endif
