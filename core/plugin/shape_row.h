/* SPDX-License-Identifier: Apache-2.0 */
/* shape_row.h - members, bounds and row types of the structs of plugin.h: what shape.c declares and
 * shape_text.c goes by. */
#ifndef NT_CORE_SHAPE_ROW_H
#define NT_CORE_SHAPE_ROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "nanoterm/error.h"

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

/* struct nt_plugin, without the head (size, abi); and the same with commands of which only the
 * names are known: path, summary, aliases, flags. */
extern const struct shape shape_plugin, shape_names;
extern const struct shape shape_command;

/* Members are read and written by bytes: the struct behind `row` may be a foreign one, at any
 * alignment. */
#define SHAPE_GET(ret, row, field)                                                                 \
    memcpy(&(ret), (const char *)(row) + (field)->offset, sizeof(ret))
#define SHAPE_SET(row, field, value)                                                               \
    memcpy((char *)(row) + (field)->offset, &(value), sizeof(value))

/* The first member of a row is its name; "?": it has none. */
const char *shape_row_name(const struct shape *shape, const void *row);
/* Is it there when it must be, within its bound, UTF-8 without control characters? text NULL:
 * absent. NT_E_PLUGIN_ABI names the member. */
int shape_check_text(const struct shape_field *field, const char *text, size_t size,
                     struct nt_error *reterr);

#endif
