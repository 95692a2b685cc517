/* SPDX-License-Identifier: Apache-2.0 */
/* jsonc.c - blanks out comments and last commas in a copy, so that lines and columns stay, and
 * gives the rest to jansson. */
#include "plugins/sandbox-enforce/policy/jsonc.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "plugins/sandbox-enforce/errors.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/json.h"

/* Behind a text that starts at AT (its quote); SIZE when it has no end. */
static size_t skip_text(const char *bytes, size_t at, size_t size)
{
    for (at++; at < size; at++)
        if (bytes[at] == '\\')
            at++;
        else if (bytes[at] == '"')
            return at + 1;
    return size;
}

/* Behind the comment at AT, blanked out. Its lines stay. */
static size_t blank_comment(char *bytes, size_t at, size_t size)
{
    bool is_line = bytes[at + 1] == '/';
    bytes[at] = bytes[at + 1] = ' ';
    for (at += 2; at < size; at++) {
        if (bytes[at] == '\n') {
            if (is_line)
                return at;
        } else if (!is_line && bytes[at] == '*' && at + 1 < size && bytes[at + 1] == '/') {
            bytes[at] = bytes[at + 1] = ' ';
            return at + 2;
        } else {
            bytes[at] = ' ';
        }
    }
    return is_line ? size : size + 1; /* a comment without an end */
}

/* false: a comment has no end. */
static bool blank(char *bytes, size_t size)
{
    size_t comma = SIZE_MAX; /* nothing but blanks and comments since then */
    char last = '[';         /* what stood before: a comma needs a value before it */
    size_t at = size >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    memset(bytes, ' ', at); /* a byte order mark */
    while (at < size) {
        char c = bytes[at];
        if (c == '/' && at + 1 < size && (bytes[at + 1] == '/' || bytes[at + 1] == '*')) {
            at = blank_comment(bytes, at, size);
            continue;
        }
        if (c == '"') {
            comma = SIZE_MAX;
            last = c;
            at = skip_text(bytes, at, size);
            continue;
        }
        if ((c == '}' || c == ']') && comma != SIZE_MAX)
            bytes[comma] = ' ';
        if (!strchr(" \t\r\n", c) || !c) {
            comma = c == ',' && !strchr("[{,:", last) ? at : SIZE_MAX;
            last = c ? c : 'x';
        }
        at++;
    }
    return at == size;
}

int jsonc_parse(struct nt_bytes text, json_t **ret, struct nt_error *reterr)
{
    if (text.size > JSONC_MAX)
        return nt_fail(reterr, NT_E_LIMIT, "a profile has at most %u bytes", JSONC_MAX);
    nt_autofree char *copy = malloc(text.size + 1);
    if (!copy)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    if (text.size)
        memcpy(copy, text.data, text.size);
    if (!blank(copy, text.size))
        return nt_fail(reterr, ENFORCE_E_PROFILE, "a comment has no end");
    json_error_t where;
    nt_auto_json json_t *value = json_loadb(copy, text.size, JSON_REJECT_DUPLICATES, &where);
    if (!value)
        return nt_fail(reterr, ENFORCE_E_PROFILE, "line %d, column %d: %s", where.line,
                       where.column, where.text);
    if (!json_is_object(value))
        return nt_fail(reterr, ENFORCE_E_PROFILE, "it is not an object: { … }");
    *ret = nt_take(value);
    return 0;
}
