/* SPDX-License-Identifier: Apache-2.0 */
/* commands.h - the group `config`. */
#ifndef NT_CORE_CONFIG_COMMANDS_H
#define NT_CORE_CONFIG_COMMANDS_H

#include "nanoterm/plugin.h"

extern const struct nt_plugin config_plugin;

#endif
