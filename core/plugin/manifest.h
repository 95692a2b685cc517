/* SPDX-License-Identifier: Apache-2.0 */
/* manifest.h - the tables of one plugin as a file beside it: what it says is a hint until the
 * plugin is loaded.
 *
 * NAME.manifest is text, of lines. A head names the file that it is of and says how long the names
 * are; then follow the tables (shape_text.c), the names first:
 *
 *   nanoterm-manifest 3
 *   abi 1
 *   size 231296
 *   build 5c0e…
 *   names 118
 *   =doctor
 *
 * It is read into memory whole, or the names first and a command when it is needed; its texts are
 * used where they lie. One of another format does not count: the tables are read as if there were
 * none, and `plugin install` or the build writes a new one. */
#ifndef NT_CORE_MANIFEST_H
#define NT_CORE_MANIFEST_H

#include <stddef.h>
#include <stdint.h>

#include "core/plugin/arena.h"
#include "core/plugin/elf_id.h"
#include "core/plugin/shape.h"
#include "nanoterm/plugin.h"
#include "sdk/buf.h"

/* A manifest or a cache that is larger is not read. */
#define MANIFEST_MAX_BYTES ((size_t)4 * 1024 * 1024)
/* What the arena of one that is read must have room for: its text and its rows. */
#define MANIFEST_ARENA_MAX (MANIFEST_MAX_BYTES * 2)

struct manifest {
    struct nt_plugin tables;    /* in the caller's arena; pointers are NULL */
    struct shape_place *places; /* of the rows of its commands; NULL: it was read whole */
    uint64_t rows_at;           /* where they begin in the file */
    uint64_t file_size;
    char build_id[ELF_ID_SIZE];
};

/* Adds the text of a manifest, whose tables have passed check_tables. */
void manifest_write(const struct manifest *manifest, struct nt_buf *ret);
/* Reads one and checks its tables; the text is copied into the arena. NT_E_PLUGIN_FAILED or
 * NT_E_PLUGIN_ABI with the reason. */
int manifest_parse(const char *text, size_t size, struct arena *arena, struct manifest *ret,
                   struct nt_error *reterr);
/* The same from the beginning of a file of that size. */
int manifest_read(int fd, uint64_t size, struct arena *arena, struct manifest *ret,
                  struct nt_error *reterr);
/* Only its head and its names, which are checked alone: of commands no more than path, summary,
 * aliases and flags. */
int manifest_read_names(int fd, uint64_t size, struct arena *arena, struct manifest *ret,
                        struct nt_error *reterr);
/* The rest of a command, into its row, from the same file; it must have the same names. */
int manifest_read_command(int fd, uint32_t index, struct arena *arena, struct manifest *manifest,
                          struct nt_error *reterr);

#endif
