/* SPDX-License-Identifier: Apache-2.0 */
/* external.h - commands that are programs: executables `nanoterm-NAME` with a manifest
 * `nanoterm-NAME.json` beside it. */
#ifndef NT_CORE_EXTERNAL_H
#define NT_CORE_EXTERNAL_H

#include "core/plugin/registry.h"

/* Adds those of the folders in NANOTERM_EXTERNAL_PATH, or of the user's own folder when that is not
 * set. Opens no executable for more than its owner and mode. -1: out of memory. */
int external_discover(struct plugins *plugins, struct nt_error *reterr);

#endif
