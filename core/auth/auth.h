/* SPDX-License-Identifier: Apache-2.0 */
/* auth.h - the group `auth`: credentials by the API that they were made for, and which APIs are
 * known. */
#ifndef NT_CORE_AUTH_H
#define NT_CORE_AUTH_H

#include "nanoterm/plugin.h"

extern const struct nt_plugin auth_plugin;

#endif
