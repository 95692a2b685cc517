/* SPDX-License-Identifier: Apache-2.0 */
/* raw.h - the command `api`: a raw call to the API. */
#ifndef NT_CORE_RAW_H
#define NT_CORE_RAW_H

#include "nanoterm/plugin.h"

extern const struct nt_plugin raw_plugin;

#endif
