/* SPDX-License-Identifier: Apache-2.0 */
/* routes.c - does what a plugin asks for stand in what it declares? */
#include "routes.h"

#include <string.h>
#include <strings.h>

#include "core/plugin/needs.h"

#define SEGMENT_MAX 1024u

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Decodes one segment. false: what some server could read as more than one, or as another one. */
static bool decode(const char *text, size_t size, char ret[SEGMENT_MAX])
{
    size_t length = 0;
    for (size_t i = 0; i < size; i++) {
        int c = (unsigned char)text[i];
        if (c == '%') {
            if (size - i < 3 || hex(text[i + 1]) < 0 || hex(text[i + 2]) < 0)
                return false;
            c = hex(text[i + 1]) * 16 + hex(text[i + 2]);
            i += 2;
            if (c == '.' || c == '%') /* a hidden dot; encoded twice */
                return false;
        }
        if (c < 0x20 || c == 0x7f || strchr("/\\#;", c) || length + 1 >= SEGMENT_MAX)
            return false;
        ret[length++] = (char)c;
    }
    ret[length] = '\0';
    return length > 0 && strcmp(ret, ".") != 0 && strcmp(ret, "..") != 0;
}

static bool is_pattern(const char *segment, size_t size, const char *pattern)
{
    return strlen(pattern) == size && memcmp(segment, pattern, size) == 0;
}

/* Both walk segment by segment; `path` ends at `end`. */
static bool fits(const char *wanted, const char *path, const char *end)
{
    char segment[SEGMENT_MAX];
    bool is_rest = false;
    while (path < end) {
        const char *slash = memchr(path + 1, '/', (size_t)(end - path - 1));
        const char *next = slash ? slash : end;
        if (*path != '/' || !decode(path + 1, (size_t)(next - path - 1), segment))
            return false;
        path = next;
        if (is_rest)
            continue;
        if (*wanted != '/')
            return false;
        size_t size = strcspn(++wanted, "/");
        is_rest = is_pattern(wanted, size, "{...}");
        bool is_any = is_rest || is_pattern(wanted, size, "{}");
        if (!is_any && (strlen(segment) != size || memcmp(segment, wanted, size) != 0))
            return false;
        wanted += size;
    }
    /* `{...}` may stand for none at all. */
    return is_rest || !*wanted || strcmp(wanted, "/{...}") == 0;
}

bool routes_allow(const struct nt_table *needs, const char *method, const char *path)
{
    const char *end = path + strcspn(path, "?");
    for (const char *p = end; *p; p++)
        if ((unsigned char)*p <= 0x20 || *p == 0x7f || *p == '#')
            return false;
    for (uint32_t i = 0; i < needs->count; i++) {
        const struct nt_need *need = needs_at(needs, i);
        if (need->kind != NT_NEED_ROUTE)
            continue;
        size_t size = strcspn(need->value, " ");
        bool is_any = is_pattern(need->value, size, "ANY") && strcmp(method, "UPGRADE") != 0;
        if ((is_any || is_pattern(need->value, size, method))
            && fits(need->value + size + 1, path, end))
            return true;
    }
    return false;
}

bool routes_allow_host(const struct nt_table *needs, const char *host, uint32_t port)
{
    char declared[256];
    uint32_t declared_port;
    for (uint32_t i = 0; i < needs->count; i++) {
        const struct nt_need *need = needs_at(needs, i);
        if (need->kind == NT_NEED_HOST
            && needs_split_host(need->value, declared, sizeof(declared), &declared_port)
            && declared_port == port && strcasecmp(declared, host) == 0)
            return true;
    }
    return false;
}

bool routes_allow_header(const char *name, const char *value)
{
    static const char *const names[] = {
        "Accept",   "Accept-Language", "If-Match", "If-None-Match", "If-Modified-Since",
        "If-Range", "Range",           "Prefer"
    };
    for (const char *p = value; *p; p++)
        if (((unsigned char)*p < 0x20 && *p != '\t') || *p == 0x7f)
            return false;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcasecmp(names[i], name) == 0)
            return true;
    return false;
}
