/* SPDX-License-Identifier: Apache-2.0 */
/* manifest.c - the tables of one plugin as text; see manifest.h. */
#include "manifest.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "core/plugin/check.h"
#include "core/plugin/shape.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/parse.h"

/* Of the layout of a manifest, not of the plugin's tables. */
#define FORMAT 3u

/* More than the lines of a head have. */
#define HEAD_MAX 512u

#define BAD(...) nt_fail(reterr, NT_E_PLUGIN_FAILED, __VA_ARGS__)

void manifest_write(const struct manifest *manifest, struct nt_buf *ret)
{
    nt_auto(nt_buf_done) struct nt_buf tables = NT_BUF(MANIFEST_MAX_BYTES);
    size_t names = shape_write(&manifest->tables, &tables);
    nt_buf_addf(ret, "nanoterm-manifest %u\nabi %u\nsize %" PRIu64 "\nbuild %s\nnames %zu\n",
                FORMAT, NT_ABI, manifest->file_size, manifest->build_id, names);
    nt_buf_add_bytes(ret, nt_buf_text(&tables), tables.size);
    ret->failed |= tables.failed;
}

/* The value of the next line "KEY value", which ends with a NUL then. NULL: it is another. */
static const char *head_text(char **at, const char *end, const char *key)
{
    char *line = *at, *feed = memchr(line, '\n', (size_t)(end - line));
    size_t length = strlen(key);
    if (!feed || (size_t)(feed - line) <= length || memcmp(line, key, length) != 0
        || line[length] != ' ')
        return NULL;
    *feed = '\0';
    *at = feed + 1;
    return line + length + 1;
}

static bool head_number(char **at, const char *end, const char *key, uint64_t *ret)
{
    struct nt_error unused = NT_ERROR_INIT;
    const char *text = head_text(at, end, key);
    return text && nt_parse_u64(text, 1, INT64_MAX, ret, &unused) == 0;
}

/* Reads the head, at the beginning of `text`. Returns what follows it, and how much of that are the
 * names; NULL: it is none. */
static char *read_head(char *text, size_t size, struct manifest *ret, uint64_t *ret_names,
                       struct nt_error *reterr)
{
    char *at = text, *end = text + size;
    uint64_t format, abi;
    const char *id = NULL;
    *ret = (struct manifest){ .file_size = 0 };
    if (!head_number(&at, end, "nanoterm-manifest", &format) || format != FORMAT
        || !head_number(&at, end, "abi", &abi) || abi != NT_ABI) {
        BAD("it is not a manifest of format %u and ABI %u", FORMAT, NT_ABI);
        return NULL;
    }
    if (head_number(&at, end, "size", &ret->file_size))
        id = head_text(&at, end, "build");
    if (!id || strlen(id) >= sizeof(ret->build_id) || !head_number(&at, end, "names", ret_names)) {
        BAD("it does not name the file");
        return NULL;
    }
    memcpy(ret->build_id, id, strlen(id) + 1);
    return at;
}

/* `text` becomes the texts of the tables. */
static int understand(char *text, size_t size, struct arena *arena, struct manifest *ret,
                      struct nt_error *reterr)
{
    uint64_t names;
    char *at = read_head(text, size, ret, &names, reterr);
    if (!at)
        return -1;
    size_t left = (size_t)(text + size - at);
    if (shape_read(at, left, names < left ? (size_t)names : left, arena, &ret->tables, reterr) < 0)
        return -1;
    return check_tables(&ret->tables, false, reterr);
}

int manifest_parse(const char *text, size_t size, struct arena *arena, struct manifest *ret,
                   struct nt_error *reterr)
{
    char *copy = arena_text(arena, text, size);
    return copy ? understand(copy, size, arena, ret, reterr)
                : nt_fail(reterr, NT_E_LIMIT, "the tables are too large");
}

/* All of them or -1. */
static int read_at(int fd, char *ret, size_t size, uint64_t at, struct nt_error *reterr)
{
    for (size_t got = 0; got < size;) {
        ssize_t n = pread(fd, ret + got, size - got, (off_t)(at + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return nt_fail_sys(reterr, n < 0 ? errno : EIO, "cannot read it");
        got += (size_t)n;
    }
    return 0;
}

static int fail_long(struct nt_error *reterr)
{
    return nt_fail(reterr, NT_E_LIMIT, "it is longer than %zu bytes", MANIFEST_MAX_BYTES);
}

int manifest_read(int fd, uint64_t size, struct arena *arena, struct manifest *ret,
                  struct nt_error *reterr)
{
    char *text = size <= MANIFEST_MAX_BYTES ? arena_room(arena, size + 1) : NULL;
    if (!text)
        return fail_long(reterr);
    if (read_at(fd, text, (size_t)size, 0, reterr) < 0)
        return -1;
    return understand(text, (size_t)size, arena, ret, reterr);
}

int manifest_read_names(int fd, uint64_t size, struct arena *arena, struct manifest *ret,
                        struct nt_error *reterr)
{
    char head[HEAD_MAX];
    size_t begin = size < sizeof(head) ? (size_t)size : sizeof(head);
    uint64_t names;
    if (size > MANIFEST_MAX_BYTES)
        return fail_long(reterr);
    if (read_at(fd, head, begin, 0, reterr) < 0)
        return -1;
    const char *end = read_head(head, begin, ret, &names, reterr);
    if (!end)
        return -1;
    uint64_t at = (uint64_t)(end - head);
    char *text = names <= size - at ? arena_room(arena, names + 1) : NULL;
    if (!text)
        return BAD("it is cut off");
    if (read_at(fd, text, (size_t)names, at, reterr) < 0
        || shape_read_names(text, (size_t)names, arena, &ret->tables, &ret->places, reterr) < 0)
        return -1;
    ret->rows_at = at + names;
    return check_names(&ret->tables, reterr);
}

int manifest_read_command(int fd, uint32_t index, struct arena *arena, struct manifest *manifest,
                          struct nt_error *reterr)
{
    struct nt_table *table = &manifest->tables.commands;
    struct nt_command whole;
    void *rows; /* const for readers; they lie in our arena */
    memcpy(&rows, &table->rows, sizeof(rows));
    struct nt_command *row = (struct nt_command *)rows + index;
    struct shape_place *place = &manifest->places[index];
    char *text = arena_room(arena, place->size + 1);
    if (!text)
        return nt_fail(reterr, NT_E_LIMIT, "the tables are too large");
    if (read_at(fd, text, (size_t)place->size, manifest->rows_at + place->at, reterr) < 0
        || shape_read_command(text, (size_t)place->size, arena, &whole, reterr) < 0)
        return -1;
    if (!shape_is_equal_name(row, &whole))
        return BAD("its command '%s' has two names", row->path);
    const struct nt_command names = *row;
    whole.run = names.run;
    *row = whole;
    place->is_read = check_row(&manifest->tables, index, reterr) == 0;
    if (!place->is_read)
        *row = names;
    return place->is_read ? 0 : -1;
}
