/* SPDX-License-Identifier: Apache-2.0 */
/* generate.h - what the build has the program write about itself: man pages and completion. */
#ifndef NT_CORE_GENERATE_H
#define NT_CORE_GENERATE_H

#include "core/plugin/plugins.h"

/* Writes man1/NAME.1, and the scripts of the shells where each looks for them, below a folder
 * ("…/share"), which is made. */
int generate(const struct plugins *plugins, const char *folder, struct nt_error *reterr);

#endif
