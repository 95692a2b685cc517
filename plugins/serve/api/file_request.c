/* SPDX-License-Identifier: Apache-2.0 */
/* file_request.c - paths and users in requests about files. Nothing is normalised here: the guest
 * looks paths up, inside the workspace. */
#include "plugins/serve/api/file_request.h"

#include <stdio.h>
#include <string.h>

const char *file_path_resolve(const struct workspace *ws, const char *path, size_t size,
                              const char *user, char memory[FILE_PATH_MAX])
{
    if (!path || !size || size >= FILE_PATH_MAX || memchr(path, 0, size))
        return NULL;
    const char *base = ws->cwd[0] ? ws->cwd : user && *user ? FILE_HOME : "";
    bool is_whole = path[0] == '/' || !*base;
    int n = snprintf(memory, FILE_PATH_MAX, "%s%s%.*s", is_whole ? "" : base, is_whole ? "" : "/",
                     (int)size, path);
    return n > 0 && (unsigned)n < FILE_PATH_MAX ? memory : NULL;
}

const char *file_path_of(struct exchange *x, const struct workspace *ws, const char *key,
                         char memory[FILE_PATH_MAX])
{
    json_t *value = json_object_get(exchange_json(x), key);
    const char *user = json_string_value(json_object_get(exchange_json(x), "user"));
    const char *path =
        file_path_resolve(ws, json_string_value(value), json_string_length(value), user, memory);
    if (!path)
        exchange_fail(x, 400, "invalid_request", "%s must be a path of 1 to 4095 bytes", key);
    return path;
}

bool file_user_is_fine(const char *user)
{
    return !user || !*user || strcmp(user, "agent") == 0 || strcmp(user, "1000") == 0;
}

bool file_user_check(struct exchange *x)
{
    json_t *value = json_object_get(exchange_json(x), "user");
    const char *user = json_string_value(value);
    if (!value || json_is_null(value) || (user && file_user_is_fine(user)))
        return true;
    exchange_fail(x, 400, "invalid_request", "a workspace has one user: agent");
    return false;
}
