/* SPDX-License-Identifier: Apache-2.0 */
/* needs.c - what a plugin declares that it uses: are the rows good, and how they are told. */
#include "needs.h"

#include <stdlib.h>
#include <string.h>

#include "sdk/error.h"
#include "sdk/json.h"

#define HOST_MAX 253u

#define BAD(...) nt_fail(reterr, NT_E_PLUGIN_FAILED, __VA_ARGS__)

static const char *const kinds[] = { [NT_NEED_ROUTE] = "route",
                                     [NT_NEED_HOST] = "host",
                                     [NT_NEED_READ] = "read",
                                     [NT_NEED_WRITE] = "write",
                                     [NT_NEED_PROGRAM] = "program" };
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

const char *needs_kind(uint32_t kind)
{
    return kind < KINDS && kinds[kind] ? kinds[kind] : "unknown";
}

uint32_t needs_kind_of(const char *name)
{
    for (uint32_t i = 1; i < KINDS; i++)
        if (strcmp(kinds[i], name) == 0)
            return i;
    return 0;
}

const struct nt_need *needs_at(const struct nt_table *needs, uint32_t index)
{
    return (const void *)((const char *)needs->rows + (size_t)index * needs->stride);
}

bool needs_has_kind(const struct nt_table *needs, uint32_t kind)
{
    for (uint32_t i = 0; i < needs->count; i++)
        if (needs_at(needs, i)->kind == kind)
            return true;
    return false;
}

/* --- are they good? ------------------------------------------------------------------------ */

static bool is_one_of(const char *text, size_t size, const char *const *list)
{
    for (; *list; list++)
        if (strlen(*list) == size && memcmp(*list, text, size) == 0)
            return true;
    return false;
}

static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Segments behind slashes: none empty, none "." or "..". `extra`: characters beyond letters and
 * digits that may stand in one; NULL: any. */
static bool has_plain_segments(const char *path, const char *extra, const char *const *patterns)
{
    while (*path) {
        if (*path++ != '/')
            return false;
        size_t size = strcspn(path, "/");
        if (size == 0 || (size == 1 && path[0] == '.') || (size == 2 && memcmp(path, "..", 2) == 0))
            return false;
        bool is_pattern = patterns && is_one_of(path, size, patterns);
        if (is_pattern && size == strlen("{...}") && path[size])
            return false; /* {...} is the last */
        for (size_t i = 0; !is_pattern && extra && i < size; i++)
            if (!is_letter_or_digit(path[i]) && !strchr(extra, path[i]))
                return false;
        path += size;
    }
    return true;
}

static bool is_route(const char *value)
{
    static const char *const methods[] = { "ANY",    "GET",   "HEAD",    "POST", "PUT",
                                           "DELETE", "PATCH", "UPGRADE", NULL };
    static const char *const patterns[] = { "{}", "{...}", NULL };
    size_t method = strcspn(value, " ");
    return is_one_of(value, method, methods) && value[method] == ' ' && value[method + 1] == '/'
           && has_plain_segments(value + method + 1, "-._~:@", patterns);
}

bool needs_split_host(const char *value, char *ret_host, size_t size, uint32_t *ret_port)
{
    const char *colon = strrchr(value, ':');
    if (!colon || colon == value)
        return false;
    const char *host = value;
    size_t length = (size_t)(colon - value);
    bool is_v6 = host[0] == '[';
    if (is_v6 && (length < 4 || host[length - 1] != ']'))
        return false;
    host += is_v6;
    length -= is_v6 ? 2 : 0;
    if (length >= size || length > HOST_MAX)
        return false;
    for (size_t i = 0; i < length; i++)
        if (!is_letter_or_digit(host[i]) && !strchr(is_v6 ? ":." : "-.", host[i]))
            return false;
    uint32_t port = 0;
    for (const char *p = colon + 1; *p; p++) {
        if (*p < '0' || *p > '9' || p - colon > 5)
            return false;
        port = port * 10 + (uint32_t)(*p - '0');
    }
    memcpy(ret_host, host, length);
    ret_host[length] = '\0';
    *ret_port = port;
    return port > 0 && port <= 65535;
}

/* "/x", "~/x", "$PWD", "$PWD/x" */
static bool is_path(const char *value)
{
    if (value[0] == '~' && value[1] == '/')
        value += 1;
    else if (strncmp(value, "$PWD", 4) == 0)
        value += 4;
    else if (value[0] != '/')
        return false;
    return has_plain_segments(value, NULL, NULL);
}

static bool is_program(const char *value)
{
    if (value[0] == '/')
        return has_plain_segments(value, NULL, NULL);
    return *value && !strchr(value, '/') && value[0] != '.';
}

static int check_need(const struct nt_need *need, struct nt_error *reterr)
{
    char host[HOST_MAX + 1];
    uint32_t port;
    switch (need->kind) {
    case NT_NEED_ROUTE:
        return is_route(need->value) ? 0 : BAD("not a route: \"GET /v1/sandboxes/{}/files/{...}\"");
    case NT_NEED_HOST:
        return needs_split_host(need->value, host, sizeof(host), &port)
                   ? 0
                   : BAD("not a host and a port: \"api.example.com:443\"");
    case NT_NEED_READ:
    case NT_NEED_WRITE:
        return is_path(need->value) ? 0
                                    : BAD("not a path: \"/etc/x\", \"~/.config/x\", \"$PWD\", "
                                          "without . and ..");
    case NT_NEED_PROGRAM:
        return is_program(need->value) ? 0 : BAD("not the name of a program, nor a path");
    default:
        return need->kind ? 0 : BAD("no kind"); /* one of a newer nanoterm allows nothing */
    }
}

int needs_check(const struct nt_plugin *plugin, struct nt_error *reterr)
{
    const struct nt_table *needs = &plugin->needs;
    for (uint32_t i = 0; i < needs->count; i++) {
        const struct nt_need *need = needs_at(needs, i);
        if (check_need(need, reterr) < 0)
            return nt_wrap(reterr, "need '%s'", need->value);
        for (uint32_t j = 0; j < i; j++)
            if (needs_at(needs, j)->kind == need->kind
                && strcmp(needs_at(needs, j)->value, need->value) == 0)
                return BAD("need '%s': a second one of this kind and value", need->value);
    }
    return 0;
}

/* --- telling -------------------------------------------------------------------------------- */

static int add(json_t *list, const char *kind, const char *value, const char *why)
{
    return json_array_append_new(
        list, json_pack("{s:s, s:s, s:s}", "kind", kind, "value", value, "why", why));
}

static bool has_value(const json_t *list, const char *value)
{
    size_t i;
    json_t *row;
    json_array_foreach(list, i, row)
    {
        if (strcmp(nt_json_text(row, "kind"), "variable") == 0
            && strcmp(nt_json_text(row, "value"), value) == 0)
            return true;
    }
    return false;
}

json_t *needs_to_json(const struct nt_plugin *plugin)
{
    nt_auto_json json_t *list = json_array();
    for (uint32_t i = 0; i < plugin->needs.count; i++) {
        const struct nt_need *need = needs_at(&plugin->needs, i);
        if (add(list, needs_kind(need->kind), need->value, need->why) < 0)
            return NULL;
    }
    const struct nt_command *commands = plugin->commands.rows;
    for (uint32_t i = 0; i < plugin->commands.count; i++) {
        const struct nt_opt *opts = commands[i].opts.rows;
        for (uint32_t j = 0; j < commands[i].opts.count; j++)
            if (opts[j].env && !has_value(list, opts[j].env)
                && add(list, "variable", opts[j].env, opts[j].help) < 0)
                return NULL;
    }
    return nt_take(list);
}

void needs_add_lines(const struct nt_plugin *plugin, struct nt_buf *b)
{
    nt_auto_json json_t *list = needs_to_json(plugin);
    size_t i;
    json_t *row;
    json_array_foreach(list, i, row)
    {
        nt_buf_add(b, "  ");
        nt_buf_addf(b, "%-9s", nt_json_text(row, "kind"));
        nt_buf_add_printable(b, nt_json_text(row, "value"), false);
        nt_buf_add(b, "  (");
        nt_buf_add_printable(b, nt_json_text(row, "why"), false);
        nt_buf_add(b, ")\n");
    }
}

bool needs_are_equal(const struct nt_plugin *a, const struct nt_plugin *b)
{
    nt_auto_json json_t *x = needs_to_json(a);
    nt_auto_json json_t *y = needs_to_json(b);
    return x && y && json_equal(x, y);
}

bool needs_is_core_variable(const char *entry)
{
    static const char *const tools[] = { "NANOTERM_", "NULLSPACE_", "NONO_" };
    static const char *const ends[] = { "KEY", "TOKEN", "SECRET", "PASSWORD" };
    size_t size = strcspn(entry, "=");
    for (size_t i = 0; i < sizeof(tools) / sizeof(tools[0]); i++) {
        if (strncmp(entry, tools[i], strlen(tools[i])) != 0)
            continue;
        for (size_t j = 0; j < sizeof(ends) / sizeof(ends[0]); j++) {
            size_t length = strlen(ends[j]);
            if (size > length && memcmp(entry + size - length, ends[j], length) == 0)
                return true;
        }
    }
    return false;
}
