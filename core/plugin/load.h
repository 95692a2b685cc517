/* SPDX-License-Identifier: Apache-2.0 */
/* load.h - opens a shared object by its descriptor and takes a checked copy of its tables. */
#ifndef NT_CORE_LOAD_H
#define NT_CORE_LOAD_H

#include "core/plugin/arena.h"
#include "core/plugin/elf_id.h"
#include "nanoterm/plugin.h"

/* Loads what `fd` is open on, for ever, and copies its tables. On success the descriptor stays open
 * as well: the dynamic linker knows the object by the path /proc/self/fd/N, so that N must not come
 * back for another file. NT_E_PLUGIN_ABI or NT_E_PLUGIN_FAILED with the reason. Runs the plugin's
 * constructors. Not its start. */
int load_tables(int fd, struct arena *arena, struct nt_plugin *ret, char ret_build_id[ELF_ID_SIZE],
                struct nt_error *reterr);
/* The same without the copy: the plugin's own descriptor, which nobody has checked. */
int load_file(int fd, const struct nt_plugin **ret, char ret_build_id[ELF_ID_SIZE],
              struct nt_error *reterr);

#endif
