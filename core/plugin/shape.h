/* SPDX-License-Identifier: Apache-2.0 */
/* shape.h - what the structs of plugin.h look like, declared once: members, bounds and row types.
 *
 * The bounded copy out of a loaded plugin, the manifest and the comparison of both follow from it.
 * A new member of plugin.h is one line in shape.c, at the end of its fields: manifests know members
 * by their place. */
#ifndef NT_CORE_SHAPE_H
#define NT_CORE_SHAPE_H

#include <jansson.h>
#include <stdbool.h>

#include "core/plugin/arena.h"
#include "nanoterm/plugin.h"

/* Bytes of all tables and texts of one plugin, copied. */
#define SHAPE_PLUGIN_MAX ((size_t)4 * 1024 * 1024)

enum shape_kind {
    SHAPE_TEXT,
    SHAPE_U32,
    SHAPE_U64,
    SHAPE_I64,
    /* a function or a struct of them: copied out of a plugin, never written to a manifest */
    SHAPE_POINTER,
    SHAPE_TABLE,
};

struct shape;

struct shape_field {
    const char *key;
    size_t offset;
    enum shape_kind kind;
    bool needed;             /* texts: must be there and not be empty */
    uint32_t max;            /* texts: bytes; tables: rows */
    const struct shape *row; /* tables */
};

struct shape {
    const char *name;  /* "option": for errors */
    uint32_t size;     /* of this build's struct */
    uint32_t size_1_0; /* a shorter one is refused */
    uint32_t count;
    const struct shape_field *fields;
};

/* struct nt_plugin, without the head (size, abi). */
extern const struct shape shape_plugin;

/* Copies a descriptor that a plugin gave into the structs of this build: shorter rows are padded
 * with zero, longer ones cut, every text is copied, bounded and checked. NT_E_PLUGIN_ABI names the
 * row. A pointer that leads nowhere crashes: call it for a foreign file in a child first. */
int shape_adopt(const struct nt_plugin *theirs, struct arena *arena, struct nt_plugin *ret,
                struct nt_error *reterr);
/* The tables as JSON. NULL: out of memory. */
json_t *shape_to_json(const struct nt_plugin *plugin);
/* And back, with the same bounds. Pointers are NULL. NT_E_PLUGIN_FAILED names the row. */
int shape_from_json(const json_t *json, struct arena *arena, struct nt_plugin *ret,
                    struct nt_error *reterr);
/* True when both say the same; pointers are not looked at. */
bool shape_is_equal(const struct nt_plugin *a, const struct nt_plugin *b);
/* Copies the pointers of b (run, start, ops) into a, whose tables are equal and lie in an arena. */
void shape_take_pointers(struct nt_plugin *a, const struct nt_plugin *b);

#endif
