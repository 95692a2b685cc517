/* SPDX-License-Identifier: Apache-2.0 */
/* crash.h - says which plugin crashed, in one line, and lets the crash go on. */
#ifndef NT_CORE_CRASH_H
#define NT_CORE_CRASH_H

#include <stdbool.h>

/* Prepares everything now: a handler may not allocate. Before a plugin's own command runs; once. */
void crash_watch(const char *plugin, const char *file, bool is_json);
/* The command is over. */
void crash_unwatch(void);

#endif
