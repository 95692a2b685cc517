/* SPDX-License-Identifier: Apache-2.0 */
/* shape.h - the tables of a plugin: copied out of it, written to a manifest, read back, compared.
 *
 * All follow from what the structs of plugin.h look like, which is declared once, in shape.c. A new
 * member of plugin.h is one line there, at the end of its fields: manifests know members by their
 * place. */
#ifndef NT_CORE_SHAPE_H
#define NT_CORE_SHAPE_H

#include <stdbool.h>

#include "core/plugin/arena.h"
#include "nanoterm/plugin.h"
#include "sdk/buf.h"

/* Bytes of all tables and texts of one plugin, copied. */
#define SHAPE_PLUGIN_MAX ((size_t)4 * 1024 * 1024)

/* Copies a descriptor that a plugin gave into the structs of this build: shorter rows are padded
 * with zero, longer ones cut, every text is copied, bounded and checked. NT_E_PLUGIN_ABI names the
 * row. A pointer that leads nowhere crashes: call it for a foreign file in a child first. */
int shape_adopt(const struct nt_plugin *theirs, struct arena *arena, struct nt_plugin *ret,
                struct nt_error *reterr);
/* The same, but of commands only the names: path, summary, aliases, flags and run. */
int shape_adopt_names(const struct nt_plugin *theirs, struct arena *arena, struct nt_plugin *ret,
                      struct nt_error *reterr);
/* One whole command of a descriptor that has passed shape_adopt_names. */
int shape_adopt_command(const struct nt_plugin *theirs, uint32_t index, struct arena *arena,
                        struct nt_command *ret, struct nt_error *reterr);

/* The row of a command among the lines of the tables. */
struct shape_place {
    uint64_t at; /* from the end of the names */
    uint64_t size;
    bool is_read; /* it lies in the tables */
};

/* Adds the tables as lines (shape_text.c): first the names, then the commands. `plugin` has passed
 * shape_adopt or shape_read. Returns how many bytes the names take. */
size_t shape_write(const struct nt_plugin *plugin, struct nt_buf *ret);
/* And back, with the same bounds. `text` is altered and its texts stay where they are: it must live
 * as long as *ret. Pointers are NULL. names: how many bytes of it they must take.
 * NT_E_PLUGIN_FAILED or _ABI names the row. */
int shape_read(char *text, size_t size, size_t names, struct arena *arena, struct nt_plugin *ret,
               struct nt_error *reterr);
/* The names alone, which are all of `text`; ret_places: where the row of each command is. */
int shape_read_names(char *text, size_t size, struct arena *arena, struct nt_plugin *ret,
                     struct shape_place **ret_places, struct nt_error *reterr);
/* The row of one command, which is all of `text`. */
int shape_read_command(char *text, size_t size, struct arena *arena, struct nt_command *ret,
                       struct nt_error *reterr);
/* True when both say the same; pointers are not looked at. */
bool shape_is_equal(const struct nt_plugin *a, const struct nt_plugin *b);
bool shape_has_equal_names(const struct nt_plugin *a, const struct nt_plugin *b);
bool shape_is_equal_command(const struct nt_command *a, const struct nt_command *b);
bool shape_is_equal_name(const struct nt_command *a, const struct nt_command *b);
/* Copies the pointers of b (run, start, ops) into a, whose tables are equal and lie in an arena. */
void shape_take_pointers(struct nt_plugin *a, const struct nt_plugin *b);

#endif
