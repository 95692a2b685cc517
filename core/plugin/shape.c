/* SPDX-License-Identifier: Apache-2.0 */
/* shape.c - what the structs of plugin.h look like, declared once; copying and comparing by it. */
#include "shape.h"

#include <stddef.h>
#include <string.h>

#include "core/plugin/shape_row.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

/* A row of a newer plugin is longer than ours; beyond this it is not a row. */
#define STRIDE_MAX 4096u
#define LINE_MAX_BYTES 1024u
#define TEXT_MAX_BYTES 16384u

#define TEXT(type, member)                                                                         \
    {                                                                                              \
#member, offsetof(type, member), SHAPE_TEXT, false, LINE_MAX_BYTES, NULL                   \
    }
#define NEEDED(type, member)                                                                       \
    {                                                                                              \
#member, offsetof(type, member), SHAPE_TEXT, true, LINE_MAX_BYTES, NULL                    \
    }
#define LONG_TEXT(type, member)                                                                    \
    {                                                                                              \
#member, offsetof(type, member), SHAPE_TEXT, false, TEXT_MAX_BYTES, NULL                   \
    }
#define NUMBER(type, member, kind)                                                                 \
    {                                                                                              \
#member, offsetof(type, member), kind, false, 0, NULL                                      \
    }
#define POINTER(type, member)                                                                      \
    {                                                                                              \
#member, offsetof(type, member), SHAPE_POINTER, false, 0, NULL                             \
    }
#define TABLE(type, member, row, rows_max)                                                         \
    {                                                                                              \
#member, offsetof(type, member), SHAPE_TABLE, false, rows_max, row                         \
    }
#define SHAPE(text, type, size_of_1_0, fields)                                                     \
    {                                                                                              \
        text, sizeof(type), size_of_1_0, sizeof(fields) / sizeof((fields)[0]), fields              \
    }

static const struct shape_field arg_fields[] = {
    NEEDED(struct nt_arg, name),
    NEEDED(struct nt_arg, help),
    TEXT(struct nt_arg, complete),
    NUMBER(struct nt_arg, type, SHAPE_U32),
    NUMBER(struct nt_arg, flags, SHAPE_U32),
};
static const struct shape shape_arg = SHAPE("argument", struct nt_arg, NT_ARG_SIZE_1_0, arg_fields);

static const struct shape_field opt_fields[] = {
    NEEDED(struct nt_opt, name),
    NEEDED(struct nt_opt, help),
    TEXT(struct nt_opt, arg),
    TEXT(struct nt_opt, fallback),
    TEXT(struct nt_opt, env),
    TEXT(struct nt_opt, choices),
    TEXT(struct nt_opt, complete),
    TEXT(struct nt_opt, conflicts),
    NUMBER(struct nt_opt, min, SHAPE_I64),
    NUMBER(struct nt_opt, max, SHAPE_I64),
    NUMBER(struct nt_opt, letter, SHAPE_U32),
    NUMBER(struct nt_opt, type, SHAPE_U32),
    NUMBER(struct nt_opt, flags, SHAPE_U32),
};
static const struct shape shape_opt = SHAPE("option", struct nt_opt, NT_OPT_SIZE_1_0, opt_fields);

static const struct shape_field example_fields[] = {
    NEEDED(struct nt_example, command),
    NEEDED(struct nt_example, note),
};
static const struct shape shape_example = SHAPE("example", struct nt_example, 16, example_fields);

static const struct shape_field column_fields[] = {
    NEEDED(struct nt_column, name),
    TEXT(struct nt_column, title),
    TEXT(struct nt_column, path),
    TEXT(struct nt_column, help),
    NUMBER(struct nt_column, type, SHAPE_U32),
    NUMBER(struct nt_column, flags, SHAPE_U32),
    LONG_TEXT(struct nt_column, schema),
};
static const struct shape shape_column =
    SHAPE("column", struct nt_column, NT_COLUMN_SIZE_1_0, column_fields);

static const struct shape_field code_fields[] = { { "code", 0, SHAPE_U32, false, 0, NULL } };
static const struct shape shape_code = SHAPE("error code", uint32_t, 4, code_fields);

static const struct shape_field alias_fields[] = {
    NEEDED(struct nt_alias, path),
    NUMBER(struct nt_alias, flags, SHAPE_U32),
};
static const struct shape shape_alias = SHAPE("alias", struct nt_alias, 16, alias_fields);

static const struct shape_field command_fields[] = {
    NEEDED(struct nt_command, path),
    NEEDED(struct nt_command, summary),
    LONG_TEXT(struct nt_command, description),
    POINTER(struct nt_command, run),
    TABLE(struct nt_command, args, &shape_arg, 64),
    TABLE(struct nt_command, opts, &shape_opt, 256),
    TABLE(struct nt_command, examples, &shape_example, 64),
    TABLE(struct nt_command, columns, &shape_column, 256),
    TABLE(struct nt_command, errors, &shape_code, 256),
    TABLE(struct nt_command, aliases, &shape_alias, 32),
    NUMBER(struct nt_command, effects, SHAPE_U64),
    NUMBER(struct nt_command, result, SHAPE_U32),
    NUMBER(struct nt_command, flags, SHAPE_U32),
    NUMBER(struct nt_command, timeout_ms, SHAPE_I64),
};
const struct shape shape_command =
    SHAPE("command", struct nt_command, NT_COMMAND_SIZE_1_0, command_fields);

/* The same row, of which no more is known than finding it and its group's help need. */
static const struct shape_field name_fields[] = {
    NEEDED(struct nt_command, path),
    NEEDED(struct nt_command, summary),
    POINTER(struct nt_command, run),
    TABLE(struct nt_command, aliases, &shape_alias, 32),
    NUMBER(struct nt_command, flags, SHAPE_U32),
};
static const struct shape shape_name =
    SHAPE("command", struct nt_command, NT_COMMAND_SIZE_1_0, name_fields);

static const struct shape_field group_fields[] = {
    NEEDED(struct nt_group, name),
    NEEDED(struct nt_group, summary),
    NUMBER(struct nt_group, flags, SHAPE_U32),
};
static const struct shape shape_group = SHAPE("group", struct nt_group, 24, group_fields);

static const struct shape_field error_fields[] = {
    NEEDED(struct nt_error_row, text),
    NEEDED(struct nt_error_row, kind),
    TEXT(struct nt_error_row, help),
    NUMBER(struct nt_error_row, number, SHAPE_U32),
    NUMBER(struct nt_error_row, exit_status, SHAPE_U32),
    NUMBER(struct nt_error_row, retry, SHAPE_U32),
};
static const struct shape shape_error = SHAPE("error", struct nt_error_row, 40, error_fields);

static const struct shape_field service_fields[] = {
    NEEDED(struct nt_service, name),
    NEEDED(struct nt_service, instance),
    POINTER(struct nt_service, ops),
};
static const struct shape shape_service = SHAPE("service", struct nt_service, 24, service_fields);

static const struct shape_field need_fields[] = {
    NEEDED(struct nt_need, value),
    NEEDED(struct nt_need, why),
    NUMBER(struct nt_need, kind, SHAPE_U32),
};
static const struct shape shape_need = SHAPE("need", struct nt_need, 24, need_fields);

#define PLUGIN_FIELDS(command)                                                                     \
    NEEDED(struct nt_plugin, name), NEEDED(struct nt_plugin, version),                             \
        NEEDED(struct nt_plugin, summary), TEXT(struct nt_plugin, vendor),                         \
        TABLE(struct nt_plugin, groups, &shape_group, 64),                                         \
        TABLE(struct nt_plugin, commands, command, 512),                                           \
        TABLE(struct nt_plugin, errors, &shape_error, 512),                                        \
        TABLE(struct nt_plugin, services, &shape_service, 64), POINTER(struct nt_plugin, start),   \
        TABLE(struct nt_plugin, needs, &shape_need, 64)

static const struct shape_field plugin_fields[] = { PLUGIN_FIELDS(&shape_command) };
const struct shape shape_plugin =
    SHAPE("plugin", struct nt_plugin, NT_PLUGIN_SIZE_1_0, plugin_fields);

static const struct shape_field names_fields[] = { PLUGIN_FIELDS(&shape_name) };
const struct shape shape_names =
    SHAPE("plugin", struct nt_plugin, NT_PLUGIN_SIZE_1_0, names_fields);

const char *shape_row_name(const struct shape *shape, const void *row)
{
    const char *name = NULL;
    if (shape->fields[0].kind == SHAPE_TEXT)
        SHAPE_GET(name, row, &shape->fields[0]);
    return name ? name : "?";
}

/* Eight bytes of printable ASCII: most of what there is, at a fraction of the cost. */
static bool is_plain(const unsigned char *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof(word));
    /* The lowest byte below 0x20 borrows, one of 0x7f carries into its own highest bit. */
    return ((word | (word - 0x2020202020202020u) | (word + 0x0101010101010101u))
            & 0x8080808080808080u)
           == 0;
}

/* UTF-8 without control characters; descriptions may have lines. RFC 3629. */
static bool is_clean_text(const char *text, size_t size)
{
    const unsigned char *p = (const unsigned char *)text;
    for (size_t i = 0; i < size;) {
        if (size - i >= 8 && is_plain(p + i)) {
            i += 8;
            continue;
        }
        unsigned char c = p[i];
        size_t more = c < 0x80                ? 0
                      : c >= 0xc2 && c < 0xe0 ? 1
                      : (c & 0xf0) == 0xe0    ? 2
                      : c >= 0xf0 && c < 0xf5 ? 3
                                              : 9;
        if (more == 9 || i + more >= size || (more == 0 && (c < 0x20 || c == 0x7f) && c != '\n'))
            return false;
        for (size_t j = 1; j <= more; j++)
            if ((p[i + j] & 0xc0) != 0x80)
                return false;
        unsigned char next = more ? p[i + 1] : 0;
        if ((c == 0xe0 && next < 0xa0) || (c == 0xed && next > 0x9f) || (c == 0xf0 && next < 0x90)
            || (c == 0xf4 && next > 0x8f) || (c == 0xc2 && next < 0xa0))
            return false; /* overlong, surrogate, beyond U+10FFFF, C1 control */
        i += more + 1;
    }
    return true;
}

int shape_check_text(const struct shape_field *field, const char *text, size_t size,
                     struct nt_error *reterr)
{
    if (field->needed && (!text || size == 0))
        return nt_fail(reterr, NT_E_PLUGIN_ABI, "%s is missing", field->key);
    if (!text)
        return 0;
    if (size > field->max)
        return nt_fail(reterr, NT_E_PLUGIN_ABI, "%s is longer than %u bytes", field->key,
                       field->max);
    if (!is_clean_text(text, size) || (field->max == LINE_MAX_BYTES && memchr(text, '\n', size)))
        return nt_fail(reterr, NT_E_PLUGIN_ABI, "%s is not clean UTF-8 text", field->key);
    return 0;
}

/* Checks and copies one text. */
static int adopt_text(const struct shape_field *field, const char *text, struct arena *arena,
                      void *ret_row, struct nt_error *reterr)
{
    size_t size = text ? strnlen(text, field->max + 1) : 0; /* beyond the bound: too long */
    if (shape_check_text(field, text, size, reterr) < 0)
        return -1;
    const char *copy = text ? arena_text(arena, text, size) : NULL;
    if (text && !copy)
        return nt_fail(reterr, NT_E_LIMIT, "the tables are too large");
    SHAPE_SET(ret_row, field, copy);
    return 0;
}

static int adopt_row(const struct shape *shape, const void *theirs, struct arena *arena,
                     void *ret_row, struct nt_error *reterr);

static int adopt_table(const struct shape_field *field, const struct nt_table *theirs,
                       struct arena *arena, void *ret_row, struct nt_error *reterr)
{
    const struct shape *shape = field->row;
    if (theirs->count == 0)
        return 0;
    if (!theirs->rows)
        return nt_fail(reterr, NT_E_PLUGIN_ABI, "%s has %u rows at NULL", field->key,
                       theirs->count);
    if (theirs->count > field->max)
        return nt_fail(reterr, NT_E_PLUGIN_ABI, "%s has %u rows, more than %u", field->key,
                       theirs->count, field->max);
    uint32_t align = shape->size % 8 == 0 ? 8 : 4;
    if (theirs->stride < shape->size_1_0 || theirs->stride > STRIDE_MAX
        || theirs->stride % align != 0)
        return nt_fail(reterr, NT_E_PLUGIN_ABI, "%s has a row stride of %u bytes, 1.0 has %u",
                       field->key, theirs->stride, shape->size_1_0);
    char *rows = arena_room(arena, (size_t)theirs->count * shape->size);
    nt_autofree char *whole = calloc(1, shape->size);
    if (!rows || !whole)
        return nt_fail(reterr, NT_E_LIMIT, "the tables are too large");
    size_t known = theirs->stride < shape->size ? theirs->stride : shape->size;
    for (uint32_t i = 0; i < theirs->count; i++) {
        memcpy(whole, (const char *)theirs->rows + (size_t)i * theirs->stride, known);
        char *row = rows + (size_t)i * shape->size;
        if (adopt_row(shape, whole, arena, row, reterr) < 0)
            return nt_wrap(reterr, "%s %u (%s)", shape->name, i, shape_row_name(shape, row));
    }
    struct nt_table table = { rows, theirs->count, shape->size };
    SHAPE_SET(ret_row, field, table);
    return 0;
}

/* `theirs` is of full size, with foreign pointers; *ret_row is zero. */
static int adopt_row(const struct shape *shape, const void *theirs, struct arena *arena,
                     void *ret_row, struct nt_error *reterr)
{
    for (uint32_t i = 0; i < shape->count; i++) {
        const struct shape_field *field = &shape->fields[i];
        struct nt_table table;
        const char *text;
        uint64_t wide;
        uint32_t narrow;
        switch (field->kind) {
        case SHAPE_TEXT:
            SHAPE_GET(text, theirs, field);
            if (adopt_text(field, text, arena, ret_row, reterr) < 0)
                return -1;
            break;
        case SHAPE_TABLE:
            SHAPE_GET(table, theirs, field);
            if (adopt_table(field, &table, arena, ret_row, reterr) < 0)
                return -1;
            break;
        case SHAPE_U32:
            SHAPE_GET(narrow, theirs, field);
            SHAPE_SET(ret_row, field, narrow);
            break;
        case SHAPE_U64:
        case SHAPE_I64:
        case SHAPE_POINTER:
            SHAPE_GET(wide, theirs, field);
            SHAPE_SET(ret_row, field, wide);
            break;
        }
    }
    return 0;
}

/* Takes as much of a descriptor as `shape` says. */
static int adopt_plugin(const struct shape *shape, const struct nt_plugin *theirs,
                        struct arena *arena, struct nt_plugin *ret, struct nt_error *reterr)
{
    if (!theirs)
        return nt_fail(reterr, NT_E_PLUGIN_ABI, "nt_plugin_v1 gave no descriptor");
    uint32_t head[2]; /* nothing behind it may be read before both are known to be right */
    memcpy(head, theirs, sizeof(head));
    if (head[1] != NT_ABI)
        return nt_fail(reterr, NT_E_PLUGIN_ABI, "made for ABI %u, this nanoterm has %u", head[1],
                       NT_ABI);
    if (head[0] < NT_PLUGIN_SIZE_1_0 || head[0] > STRIDE_MAX || head[0] % 8 != 0)
        return nt_fail(reterr, NT_E_PLUGIN_ABI, "its descriptor has %u bytes, 1.0 has %u", head[0],
                       NT_PLUGIN_SIZE_1_0);
    struct nt_plugin whole = { .size = 0 };
    memcpy(&whole, theirs, head[0] < sizeof(whole) ? head[0] : sizeof(whole));
    *ret = (struct nt_plugin){ NT_PLUGIN_HEAD };
    return adopt_row(shape, &whole, arena, ret, reterr);
}

int shape_adopt(const struct nt_plugin *theirs, struct arena *arena, struct nt_plugin *ret,
                struct nt_error *reterr)
{
    return adopt_plugin(&shape_plugin, theirs, arena, ret, reterr);
}

int shape_adopt_names(const struct nt_plugin *theirs, struct arena *arena, struct nt_plugin *ret,
                      struct nt_error *reterr)
{
    return adopt_plugin(&shape_names, theirs, arena, ret, reterr);
}

int shape_adopt_command(const struct nt_plugin *theirs, uint32_t index, struct arena *arena,
                        struct nt_command *ret, struct nt_error *reterr)
{
    const struct nt_table *table = &theirs->commands;
    struct nt_command whole = { .path = NULL };
    if (index >= table->count)
        return nt_fail(reterr, NT_E_PLUGIN_ABI, "it has no command %u", index);
    memcpy(&whole, (const char *)table->rows + (size_t)index * table->stride,
           table->stride < sizeof(whole) ? table->stride : sizeof(whole));
    *ret = (struct nt_command){ .path = NULL };
    return adopt_row(&shape_command, &whole, arena, ret, reterr);
}

static bool is_row_equal(const struct shape *shape, const void *a, const void *b);

static bool is_table_equal(const struct shape *shape, const struct nt_table *a,
                           const struct nt_table *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (!is_row_equal(shape, (const char *)a->rows + (size_t)i * a->stride,
                          (const char *)b->rows + (size_t)i * b->stride))
            return false;
    return true;
}

static bool is_row_equal(const struct shape *shape, const void *a, const void *b)
{
    for (uint32_t i = 0; i < shape->count; i++) {
        const struct shape_field *field = &shape->fields[i];
        if (field->kind == SHAPE_POINTER)
            continue;
        if (field->kind == SHAPE_TEXT) {
            const char *x, *y;
            SHAPE_GET(x, a, field);
            SHAPE_GET(y, b, field);
            if (!x != !y || (x && strcmp(x, y) != 0))
                return false;
        } else if (field->kind == SHAPE_TABLE) {
            struct nt_table x, y;
            SHAPE_GET(x, a, field);
            SHAPE_GET(y, b, field);
            if (!is_table_equal(field->row, &x, &y))
                return false;
        } else {
            size_t size = field->kind == SHAPE_U32 ? sizeof(uint32_t) : sizeof(uint64_t);
            if (memcmp((const char *)a + field->offset, (const char *)b + field->offset, size) != 0)
                return false;
        }
    }
    return true;
}

bool shape_is_equal(const struct nt_plugin *a, const struct nt_plugin *b)
{
    return is_row_equal(&shape_plugin, a, b);
}

bool shape_has_equal_names(const struct nt_plugin *a, const struct nt_plugin *b)
{
    return is_row_equal(&shape_names, a, b);
}

bool shape_is_equal_command(const struct nt_command *a, const struct nt_command *b)
{
    return is_row_equal(&shape_command, a, b);
}

bool shape_is_equal_name(const struct nt_command *a, const struct nt_command *b)
{
    return is_row_equal(&shape_name, a, b);
}

/* Writes a pointer into a row of a table whose rows lie in an arena. */
static void put(const struct nt_table *table, uint32_t index, size_t offset, const void *pointer_at)
{
    void *rows;
    memcpy(&rows, &table->rows, sizeof(rows)); /* const for readers; the arena's owner may write */
    memcpy((char *)rows + (size_t)index * table->stride + offset, pointer_at, sizeof(void *));
}

void shape_take_pointers(struct nt_plugin *a, const struct nt_plugin *b)
{
    a->start = b->start;
    const struct nt_command *commands = b->commands.rows;
    for (uint32_t i = 0; i < b->commands.count; i++)
        put(&a->commands, i, offsetof(struct nt_command, run), &commands[i].run);
    const struct nt_service *services = b->services.rows;
    for (uint32_t i = 0; i < b->services.count; i++)
        put(&a->services, i, offsetof(struct nt_service, ops), &services[i].ops);
}
