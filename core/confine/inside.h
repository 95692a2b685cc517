/* SPDX-License-Identifier: Apache-2.0 */
/* inside.h - the confined process: waits for its start, confines itself, loads the plugin, runs the
 * command. */
#ifndef NT_CORE_INSIDE_H
#define NT_CORE_INSIDE_H

#include <sys/types.h>

#include "core/confine/confine.h"

/* Never returns; ends with `parent`. `channel` is this end of the socketpair. */
_Noreturn void inside_run(const struct confine_options *options, int channel, pid_t parent);

#endif
