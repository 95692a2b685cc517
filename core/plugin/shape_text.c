/* SPDX-License-Identifier: Apache-2.0 */
/* shape_text.c - the tables of a plugin as lines of text, which are read without copying a text.
 *
 * A row is its members in the order of its fields, then a line "."; those at its end that are
 * absent are not written. A member is one line, told by its first character:
 *
 *   =text     a text; a line feed in it is written as a tab, which no text may hold
 *   #-5       a number that is not zero
 *   *3        a table, followed by that many rows
 *   -         absent
 *
 * First comes the row of the plugin, with no more of each command than its names, then a line #N
 * for each command: the bytes of its whole row. Those rows follow, in the same order. A start reads
 * the names and the row of the command that runs.
 */
#include "shape.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/plugin/shape_row.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

/* Of the rows that an unknown member of a newer nanoterm may have. */
#define ROWS_MAX 65536u

#define BAD(...) nt_fail(reterr, NT_E_PLUGIN_FAILED, __VA_ARGS__)

/* --- writing -------------------------------------------------------------------------------- */

struct writer {
    struct nt_buf *out;
    uint32_t absent; /* members of this row that are not written yet */
};

static void write_row(const struct shape *shape, const void *row, struct nt_buf *out);

/* Adds what begins the line of a member that is there, after those before it that are not. */
static void begin(struct writer *w, char kind)
{
    for (; w->absent; w->absent--)
        nt_buf_add(w->out, "-\n");
    nt_buf_add_char(w->out, kind);
}

static void write_text(struct writer *w, const char *text)
{
    if (!text) {
        w->absent++;
        return;
    }
    begin(w, '=');
    for (;;) {
        size_t size = strcspn(text, "\n");
        nt_buf_add_bytes(w->out, text, size);
        text += size;
        if (!*text)
            break;
        nt_buf_add_char(w->out, '\t');
        text++;
    }
    nt_buf_add_char(w->out, '\n');
}

static void write_number(struct writer *w, int64_t number)
{
    if (number == 0) {
        w->absent++;
        return;
    }
    begin(w, '#');
    nt_buf_addf(w->out, "%" PRId64 "\n", number);
}

static void write_table(struct writer *w, const struct shape *shape, const struct nt_table *table)
{
    if (table->count == 0) {
        w->absent++;
        return;
    }
    begin(w, '*');
    nt_buf_addf(w->out, "%u\n", table->count);
    for (uint32_t i = 0; i < table->count; i++)
        write_row(shape, (const char *)table->rows + (size_t)i * table->stride, w->out);
}

static void write_row(const struct shape *shape, const void *row, struct nt_buf *out)
{
    struct writer w = { out, 0 };
    for (uint32_t i = 0; i < shape->count; i++) {
        const struct shape_field *field = &shape->fields[i];
        struct nt_table table;
        const char *text;
        int64_t wide;
        uint32_t narrow;
        switch (field->kind) {
        case SHAPE_TEXT:
            SHAPE_GET(text, row, field);
            write_text(&w, text);
            break;
        case SHAPE_TABLE:
            SHAPE_GET(table, row, field);
            write_table(&w, field->row, &table);
            break;
        case SHAPE_U32:
            SHAPE_GET(narrow, row, field);
            write_number(&w, narrow);
            break;
        case SHAPE_U64: /* its bits, as a signed one */
        case SHAPE_I64:
            SHAPE_GET(wide, row, field);
            write_number(&w, wide);
            break;
        case SHAPE_POINTER:
            w.absent++;
            break;
        }
    }
    nt_buf_add(out, ".\n");
}

size_t shape_write(const struct nt_plugin *plugin, struct nt_buf *ret)
{
    const struct nt_command *commands = plugin->commands.rows;
    nt_auto(nt_buf_done) struct nt_buf rows = NT_BUF(SHAPE_PLUGIN_MAX);
    size_t begin = ret->size;
    write_row(&shape_names, plugin, ret);
    for (uint32_t i = 0; i < plugin->commands.count; i++) {
        size_t before = rows.size;
        write_row(&shape_command, &commands[i], &rows);
        nt_buf_addf(ret, "#%zu\n", rows.size - before);
    }
    size_t names = ret->size - begin;
    nt_buf_add_bytes(ret, nt_buf_text(&rows), rows.size);
    ret->failed |= rows.failed;
    return names;
}

/* --- reading -------------------------------------------------------------------------------- */

struct reader {
    char *at, *end;
    struct arena *arena;
};

/* A line: its first character, and what follows, with a NUL behind it. */
struct line {
    char kind;
    char *value;
    size_t size;
};

/* false: it is cut off. */
static bool take_line(struct reader *r, struct line *ret)
{
    char *begin = r->at;
    char *end = memchr(begin, '\n', (size_t)(r->end - begin));
    if (!end || end == begin)
        return false;
    *end = '\0';
    r->at = end + 1;
    *ret = (struct line){ *begin, begin + 1, (size_t)(end - begin) - 1 };
    return true;
}

/* A line that is this character alone. */
static bool is_mark(const struct line *line, char kind)
{
    return line->kind == kind && line->size == 0;
}

/* Digits with an optional '-', nothing else. */
static bool parse_number(const struct line *line, int64_t *ret)
{
    const char *at = line->value, *end = at + line->size;
    bool is_negative = *at == '-';
    int64_t value = 0;
    at += is_negative;
    if (at == end)
        return false;
    for (; at < end; at++) {
        int digit = *at - '0';
        if (digit < 0 || digit > 9 || __builtin_mul_overflow(value, 10, &value)
            || __builtin_add_overflow(value, is_negative ? -digit : digit, &value))
            return false;
    }
    *ret = value;
    return true;
}

static int read_row(struct reader *r, const struct shape *shape, void *ret_row,
                    struct nt_error *reterr);

static int read_table(struct reader *r, const struct shape_field *field, const struct line *line,
                      void *ret_row, struct nt_error *reterr)
{
    const struct shape *shape = field->row;
    int64_t count;
    if (line->kind != '*' || !parse_number(line, &count) || count < 0 || count > field->max)
        return BAD("%s is not a list of at most %u", field->key, field->max);
    if (count == 0)
        return 0;
    char *rows = arena_room(r->arena, (size_t)count * shape->size);
    if (!rows)
        return nt_fail(reterr, NT_E_LIMIT, "the tables are too large");
    for (size_t i = 0; i < (size_t)count; i++) {
        char *row = rows + i * shape->size;
        if (read_row(r, shape, row, reterr) < 0)
            return nt_wrap(reterr, "%s %zu (%s)", shape->name, i, shape_row_name(shape, row));
    }
    struct nt_table table = { rows, (uint32_t)count, shape->size };
    SHAPE_SET(ret_row, field, table);
    return 0;
}

static int read_text(const struct shape_field *field, const struct line *line, void *ret_row,
                     struct nt_error *reterr)
{
    if (line->kind != '=')
        return BAD("%s is not a text", field->key);
    for (char *tab = line->value; (tab = strchr(tab, '\t'));)
        *tab = '\n';
    if (shape_check_text(field, line->value, line->size, reterr) < 0)
        return -1;
    SHAPE_SET(ret_row, field, line->value);
    return 0;
}

static int read_number(const struct shape_field *field, const struct line *line, void *ret_row,
                       struct nt_error *reterr)
{
    int64_t wide;
    if (line->kind != '#' || !parse_number(line, &wide)
        || (field->kind == SHAPE_U32 && (wide < 0 || wide > UINT32_MAX)))
        return BAD("%s is not a number that fits", field->key);
    uint32_t narrow = (uint32_t)wide;
    if (field->kind == SHAPE_U32)
        SHAPE_SET(ret_row, field, narrow);
    else
        SHAPE_SET(ret_row, field, wide);
    return 0;
}

/* line NULL: absent. */
static int read_field(struct reader *r, const struct shape_field *field, const struct line *line,
                      void *ret_row, struct nt_error *reterr)
{
    if (!line)
        return field->kind == SHAPE_TEXT ? shape_check_text(field, NULL, 0, reterr) : 0;
    switch (field->kind) {
    case SHAPE_TEXT:
        return read_text(field, line, ret_row, reterr);
    case SHAPE_TABLE:
        return read_table(r, field, line, ret_row, reterr);
    case SHAPE_POINTER:
        return BAD("%s is never written", field->key);
    default:
        return read_number(field, line, ret_row, reterr);
    }
}

/* Up to the end of the row, over members of a newer nanoterm: each row of theirs has an end, too.
 */
static int skip_members(struct reader *r, struct nt_error *reterr)
{
    int64_t rows = 0, more;
    struct line line;
    while (take_line(r, &line)) {
        if (is_mark(&line, '.') && rows-- == 0)
            return 0;
        if (line.kind != '*')
            continue;
        if (!parse_number(&line, &more) || more < 0 || more > ROWS_MAX)
            return BAD("a list is not one of at most %u", ROWS_MAX);
        rows += more;
    }
    return BAD("it is cut off");
}

static int read_row(struct reader *r, const struct shape *shape, void *ret_row,
                    struct nt_error *reterr)
{
    bool has_ended = false;
    for (uint32_t i = 0; i < shape->count; i++) {
        struct line line;
        if (!has_ended && !take_line(r, &line))
            return BAD("it is cut off");
        has_ended = has_ended || is_mark(&line, '.');
        bool is_absent = has_ended || is_mark(&line, '-');
        if (read_field(r, &shape->fields[i], is_absent ? NULL : &line, ret_row, reterr) < 0)
            return -1;
    }
    return has_ended ? 0 : skip_members(r, reterr);
}

int shape_read_command(char *text, size_t size, struct arena *arena, struct nt_command *ret,
                       struct nt_error *reterr)
{
    struct reader r = { text, text + size, arena };
    *ret = (struct nt_command){ .path = NULL };
    if (read_row(&r, &shape_command, ret, reterr) < 0)
        return nt_wrap(reterr, "command (%s)", shape_row_name(&shape_command, ret));
    return r.at == r.end ? 0 : BAD("something follows a command");
}

int shape_read_names(char *text, size_t size, struct arena *arena, struct nt_plugin *ret,
                     struct shape_place **ret_places, struct nt_error *reterr)
{
    struct reader r = { text, text + size, arena };
    uint64_t at = 0;
    *ret = (struct nt_plugin){ NT_PLUGIN_HEAD };
    if (read_row(&r, &shape_names, ret, reterr) < 0)
        return -1;
    struct shape_place *places = arena_room(arena, (ret->commands.count + 1) * sizeof(*places));
    if (!places)
        return nt_fail(reterr, NT_E_LIMIT, "the tables are too large");
    for (uint32_t i = 0; i < ret->commands.count; i++) {
        struct line line;
        int64_t length;
        if (!take_line(&r, &line) || line.kind != '#' || !parse_number(&line, &length)
            || length <= 0 || (uint64_t)length > SHAPE_PLUGIN_MAX)
            return BAD("it does not say how long its command %u is", i);
        places[i] = (struct shape_place){ .at = at, .size = (uint64_t)length };
        at += (uint64_t)length;
    }
    *ret_places = places;
    return r.at == r.end ? 0 : BAD("something follows its names");
}

int shape_read(char *text, size_t size, size_t names, struct arena *arena, struct nt_plugin *ret,
               struct nt_error *reterr)
{
    struct shape_place *places;
    if (names > size)
        return BAD("it is cut off");
    if (shape_read_names(text, names, arena, ret, &places, reterr) < 0)
        return -1;
    void *rows; /* const for readers; they lie in our arena */
    memcpy(&rows, &ret->commands.rows, sizeof(rows));
    size_t left = size - names;
    for (uint32_t i = 0; i < ret->commands.count; i++) {
        struct nt_command *row = (struct nt_command *)rows + i, whole;
        if (places[i].size > left)
            return BAD("it is cut off");
        if (shape_read_command(text + names + places[i].at, (size_t)places[i].size, arena, &whole,
                               reterr)
            < 0)
            return -1;
        if (!shape_is_equal_name(row, &whole))
            return BAD("its command %u (%s) has two names", i, row->path);
        *row = whole;
        left -= (size_t)places[i].size;
    }
    return left == 0 ? 0 : BAD("something follows its tables");
}
