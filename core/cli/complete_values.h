/* SPDX-License-Identifier: Apache-2.0 */
/* complete_values.h - values that completion asks others for: ids of workspaces and of
 * their jobs, names of profiles, plugins and settings. */
#ifndef NT_CORE_COMPLETE_VALUES_H
#define NT_CORE_COMPLETE_VALUES_H

#include "core/cli/complete.h"
#include "core/plugin/plugins.h"

/* `data` of complete_source.values is the struct plugins. Asks the server only when one is there,
 * for half a second at the most: a key that is pressed must not start anything. */
void complete_values(void *data, const char *kind, const char *first,
                     void (*add)(void *to, const char *value, const char *note), void *to);

#endif
