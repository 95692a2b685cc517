/* SPDX-License-Identifier: Apache-2.0 */
/* manifest.c - the tables of one plugin as text; see manifest.h. */
#include "manifest.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "core/plugin/check.h"
#include "core/plugin/shape.h"
#include "sdk/error.h"
#include "sdk/parse.h"

/* Of the layout of a manifest, not of the plugin's tables. */
#define FORMAT 2u

#define BAD(...) nt_fail(reterr, NT_E_PLUGIN_FAILED, __VA_ARGS__)

void manifest_write(const struct manifest *manifest, struct nt_buf *ret)
{
    nt_buf_addf(ret, "nanoterm-manifest %u\nabi %u\nsize %" PRIu64 "\nbuild %s\n", FORMAT, NT_ABI,
                manifest->file_size, manifest->build_id);
    shape_write(&manifest->tables, ret);
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

/* `text` becomes the texts of the tables. */
static int understand(char *text, size_t size, struct arena *arena, struct manifest *ret,
                      struct nt_error *reterr)
{
    char *at = text, *end = text + size;
    uint64_t format, abi;
    *ret = (struct manifest){ .file_size = 0 };
    if (!head_number(&at, end, "nanoterm-manifest", &format) || format != FORMAT
        || !head_number(&at, end, "abi", &abi) || abi != NT_ABI)
        return BAD("it is not a manifest of format %u and ABI %u", FORMAT, NT_ABI);
    const char *id = NULL;
    if (head_number(&at, end, "size", &ret->file_size))
        id = head_text(&at, end, "build");
    if (!id || strlen(id) >= sizeof(ret->build_id))
        return BAD("it does not name the file");
    memcpy(ret->build_id, id, strlen(id) + 1);
    if (shape_read(at, (size_t)(end - at), arena, &ret->tables, reterr) < 0)
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

int manifest_read(int fd, uint64_t size, struct arena *arena, struct manifest *ret,
                  struct nt_error *reterr)
{
    char *text = size <= MANIFEST_MAX_BYTES ? arena_room(arena, size + 1) : NULL;
    if (!text)
        return nt_fail(reterr, NT_E_LIMIT, "it is longer than %zu bytes", MANIFEST_MAX_BYTES);
    for (size_t got = 0; got < size;) {
        ssize_t n = read(fd, text + got, size - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return nt_fail_sys(reterr, n < 0 ? errno : EIO, "cannot read it");
        got += (size_t)n;
    }
    return understand(text, size, arena, ret, reterr);
}
