/* SPDX-License-Identifier: Apache-2.0 */
/* target.c - takes the target of a request apart, and matches it against patterns. */
#include "target.h"

#include <stdlib.h>
#include <string.h>

#include "sdk/cleanup.h"
#include "sdk/error.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Decodes size bytes at text in place and ends them with NUL (there is room: a separator
 * follows). */
static bool decode(char *text, size_t size, bool plus_is_space)
{
    size_t out = 0;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (c == '%') {
            if (size - i < 3)
                return false;
            int a = hex_digit(text[i + 1]), b = hex_digit(text[i + 2]);
            if (a < 0 || b < 0 || (a == 0 && b == 0))
                return false;
            c = (char)(a * 16 + b);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        text[out++] = c;
    }
    text[out] = '\0';
    return true;
}

static int split_path(struct target *t, char *path, struct nt_error *reterr)
{
    for (char *at = path + 1, *next; at; at = next) {
        char *slash = strchr(at, '/');
        size_t size = slash ? (size_t)(slash - at) : strlen(at);
        next = slash ? slash + 1 : NULL;
        if (t->count == TARGET_SEGMENTS)
            return nt_fail(reterr, NT_E_INVALID, "the path has too many segments");
        if (!decode(at, size, false))
            return nt_fail(reterr, NT_E_INVALID, "the path has a broken escape");
        t->segments[t->count++] = at;
    }
    return 0;
}

static int split_query(struct target *t, char *query, struct nt_error *reterr)
{
    for (char *at = query, *next; at; at = next) {
        char *end = strchr(at, '&');
        size_t size = end ? (size_t)(end - at) : strlen(at);
        next = end ? end + 1 : NULL;
        if (size == 0)
            continue;
        if (t->query_count == TARGET_QUERY)
            return nt_fail(reterr, NT_E_INVALID, "the query has too many parameters");
        char *equals = memchr(at, '=', size);
        size_t name_size = equals ? (size_t)(equals - at) : size;
        char *value = equals ? equals + 1 : at + size;
        size_t value_size = equals ? size - name_size - 1 : 0;
        if (!decode(value, value_size, true) || !decode(at, name_size, true))
            return nt_fail(reterr, NT_E_INVALID, "the query has a broken escape");
        t->query[t->query_count].name = at;
        t->query[t->query_count].value = equals ? value : "";
        t->query_count++;
    }
    return 0;
}

int target_parse(const char *text, struct target *ret, struct nt_error *reterr)
{
    if (text[0] != '/')
        return nt_fail(reterr, NT_E_INVALID, "the request target must begin with a slash");
    if (strchr(text, '#'))
        return nt_fail(reterr, NT_E_INVALID, "the request target has a fragment");
    struct target t = { .memory = strdup(text) };
    if (!t.memory)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for the request");
    char *query = strchr(t.memory, '?');
    if (query)
        *query++ = '\0';
    if (split_path(&t, t.memory, reterr) < 0 || (query && split_query(&t, query, reterr) < 0)) {
        target_done(&t);
        return -1;
    }
    *ret = t;
    return 0;
}

void target_done(struct target *target)
{
    free(target->memory);
    *target = (struct target){ 0 };
}

const char *target_query(const struct target *target, const char *name)
{
    for (size_t i = 0; i < target->query_count; i++)
        if (strcmp(target->query[i].name, name) == 0)
            return target->query[i].value;
    return NULL;
}

bool target_matches(const struct target *target, const char *pattern,
                    const char *ret_params[TARGET_PARAMS])
{
    size_t params = 0, segment = 0;
    const char *at = pattern;
    while (*at == '/') {
        at++;
        size_t size = strcspn(at, "/");
        if (segment == target->count)
            return false;
        const char *have = target->segments[segment++];
        if (size == 2 && at[0] == '{' && at[1] == '}') {
            if (!*have || params == TARGET_PARAMS)
                return false;
            ret_params[params++] = have;
        } else if (strlen(have) != size || memcmp(have, at, size) != 0) {
            return false;
        }
        at += size;
    }
    return segment == target->count;
}
