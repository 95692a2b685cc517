/* SPDX-License-Identifier: Apache-2.0 */
/* commands.h - the core's own commands about itself: `commands`, `completion`, `help` and `schema`.
 */
#ifndef NT_CORE_COMMANDS_H
#define NT_CORE_COMMANDS_H

#include "nanoterm/plugin.h"

extern const struct nt_plugin cli_plugin;

#endif
