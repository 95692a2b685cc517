/* SPDX-License-Identifier: Apache-2.0 */
/* commands.h - the built-in group `plugin`. */
#ifndef NT_CORE_PLUGIN_COMMANDS_H
#define NT_CORE_PLUGIN_COMMANDS_H

#include "nanoterm/plugin.h"

extern const struct nt_plugin plugin_plugin;

#endif
