/* SPDX-License-Identifier: Apache-2.0 */
/* child.h - asks a plugin for its tables in a process of its own, which may crash or hang. */
#ifndef NT_CORE_CHILD_H
#define NT_CORE_CHILD_H

#include <stdint.h>

#include "nanoterm/error.h"

/* Runs `program --internal-manifest` on the open file. *Waits*, at most limit_ms; then the process
 * and its group are killed. Gives the text of the manifest (hostile: check it; free it), or NULL
 * with NT_E_PLUGIN_FAILED: "did not finish loading in 5 s", "crashed with signal 11 while loading",
 * or its own reason. */
char *child_manifest(const char *program, int file, int64_t limit_ms, struct nt_error *reterr);

#endif
