/* SPDX-License-Identifier: Apache-2.0 */
/* routes.h - does what a plugin asks for stand in what it declares? */
#ifndef NT_CORE_ROUTES_H
#define NT_CORE_ROUTES_H

#include <stdbool.h>
#include <stdint.h>

#include "nanoterm/plugin.h"

/* Is that request one of the declared routes? PATH may have a query; how servers may read it
 * otherwise than we do (encoded slashes and dots, dot segments, empty segments, backslashes) is
 * never one. METHOD "UPGRADE" is that of nt_host.upgrade_local. */
bool routes_allow(const struct nt_table *needs, const char *method, const char *path);
/* The same for a host and a port; letters in any case. */
bool routes_allow_host(const struct nt_table *needs, const char *host, uint32_t port);
/* May a plugin of others give this header? Those that the core itself sets, and those that change
 * whose request it is, are not. */
bool routes_allow_header(const char *name, const char *value);

#endif
