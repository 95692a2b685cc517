/* SPDX-License-Identifier: Apache-2.0 */
/* version.h - compares the versions of two builds. */
#ifndef NT_CORE_VERSION_H
#define NT_CORE_VERSION_H

#include <stdbool.h>

/* True when both are "N.N.N" and a comes before b; what cannot be read is not older. Text behind
 * the numbers ("-rc1") does not count. */
bool version_is_older(const char *a, const char *b);

#endif
