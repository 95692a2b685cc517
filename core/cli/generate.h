/* SPDX-License-Identifier: Apache-2.0 */
/* generate.h - what the build has the program write about itself: man pages, completion, and
 * the list of packages (core/plugin/stock.h). */
#ifndef NT_CORE_GENERATE_H
#define NT_CORE_GENERATE_H

#include "core/plugin/plugins.h"

/* Makes a folder per package below `folder`, each to be copied to "…/share": man1/NAME.1, the
 * scripts of the shells where each looks for them, and the list. Under another name of the program
 * (plugins_called) it is one folder, nanoterm-as-NAME, with the pages of all its commands.
 * packages_file: the lines of our plugins, as in the list. */
int generate(const struct plugins *plugins, const char *folder, const char *packages_file,
             struct nt_error *reterr);

#endif
