/* SPDX-License-Identifier: Apache-2.0 */
/* npm.h - asks npm which registry it is configured for. */
#ifndef NT_CORE_UPDATE_NPM_H
#define NT_CORE_UPDATE_NPM_H

#include "sdk/buf.h"

/* Adds the URL of the registry for a package of that scope ("@nanoterm"), without a slash at its
 * end; nothing when npm is not there or says nothing useful. Waits for npm, so only in the worker.
 */
void npm_registry(const char *scope, struct nt_buf *url);

#endif
