/* SPDX-License-Identifier: Apache-2.0 */
/* manifest.h - the tables of one plugin as a file beside it: what it says is a hint until the
 * plugin is loaded. */
#ifndef NT_CORE_MANIFEST_H
#define NT_CORE_MANIFEST_H

#include <jansson.h>
#include <stdint.h>

#include "core/plugin/arena.h"
#include "core/plugin/elf_id.h"
#include "nanoterm/plugin.h"

/* A manifest or a cache that is larger is not read. */
#define MANIFEST_MAX_BYTES ((size_t)4 * 1024 * 1024)

struct manifest {
    struct nt_plugin tables; /* in the caller's arena; pointers are NULL */
    uint64_t file_size;
    char build_id[ELF_ID_SIZE];
};

/* The JSON of a manifest; NULL: out of memory. */
json_t *manifest_to_json(const struct manifest *manifest);
/* Reads one and checks its tables. NT_E_PLUGIN_FAILED with the reason. */
int manifest_from_json(const json_t *json, struct arena *arena, struct manifest *ret,
                       struct nt_error *reterr);
/* Reads JSON from a descriptor: bounded in size, depth by jansson (2048). NULL: reterr says why. */
json_t *manifest_read(int fd, struct nt_error *reterr);
/* Loads what is behind fd (see load.h), checks its tables and fills *ret. name: what it must be
 * called; NULL: any. */
int manifest_make(int fd, const char *name, struct arena *arena, struct manifest *ret,
                  struct nt_error *reterr);

#endif
