/* SPDX-License-Identifier: Apache-2.0 */
/* elf_id.h - the build id of a shared object, read from its file without loading it. */
#ifndef NT_CORE_ELF_ID_H
#define NT_CORE_ELF_ID_H

#include "nanoterm/error.h"

/* 64 bytes of id at most, as hex. */
#define ELF_ID_SIZE 129u

/* Reads the GNU build id of a 64-bit ELF file; an empty text when it has none. Everything in the
 * file is hostile: offsets and counts are bounded. NT_E_PLUGIN_ABI: not a shared object for this
 * machine, or cut off. */
int elf_id_read(int fd, char ret[ELF_ID_SIZE], struct nt_error *reterr);

#endif
