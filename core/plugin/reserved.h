/* SPDX-License-Identifier: Apache-2.0 */
/* reserved.h - the words that only plugins of the installation may own. */
#ifndef NT_CORE_RESERVED_H
#define NT_CORE_RESERVED_H

#include <stdbool.h>
#include <stddef.h>

/* True for the first word of a command, group or plugin name of the three command trees. */
bool reserved_is_word(const char *word, size_t length);
/* True for the instances of the "nanoterm." services that are ours. */
bool reserved_is_instance(const char *service, const char *instance);

#endif
