/* SPDX-License-Identifier: Apache-2.0 */
/* secret_bw.c - a credential from Bitwarden by its program `bw`: the password of an item, or one of
 * its fields. */
#include <stdlib.h>
#include <string.h>

#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/proxy/secret.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/json.h"

/* The fields that every login has come before those that the person has made. */
static const json_t *find(const json_t *item, const char *field)
{
    const json_t *login = json_object_get(item, "login"), *value = NULL;
    size_t i;
    json_t *own;
    if (strcmp(field, "password") == 0 || strcmp(field, "username") == 0
        || strcmp(field, "totp") == 0)
        value = json_object_get(login, field);
    else if (strcmp(field, "notes") == 0)
        value = json_object_get(item, field);
    else if (strcmp(field, "uri") == 0)
        value = json_object_get(json_array_get(json_object_get(login, "uris"), 0), field);
    if (json_is_string(value))
        return value;
    json_array_foreach(json_object_get(item, "fields"), i, own)
    {
        const char *name = nt_json_text(own, "name");
        if (name && strcmp(name, field) == 0)
            return json_object_get(own, "value");
    }
    return NULL;
}

/* The library's copies are not left behind. */
static void wipe(const json_t *value)
{
    const char *name;
    json_t *inner;
    size_t i;
    char *at = (char *)(uintptr_t)json_string_value(value);
    if (at)
        explicit_bzero(at, json_string_length(value));
    json_object_foreach((json_t *)(uintptr_t)value, name, inner) wipe(inner);
    json_array_foreach((json_t *)(uintptr_t)value, i, inner) wipe(inner);
}

char *secret_bw_field(const char *item, const char *field)
{
    nt_auto_json json_t *object = json_loads(item, JSON_REJECT_DUPLICATES, NULL);
    const char *text = json_string_value(find(object, field));
    char *ret = text ? strdup(text) : NULL;
    wipe(object);
    return ret;
}

int secret_of_bw(const struct policy *policy, const char *reference, const char *rest, char **ret,
                 struct nt_error *reterr)
{
    const char *slash = strchr(rest, '/');
    nt_autofree char *id = slash ? strndup(rest, (size_t)(slash - rest)) : strdup(rest);
    const char *const argv[] = { "bw", "get", slash ? "item" : "password", "--", id, NULL };
    char *item = NULL;
    if (!id)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory for a credential");
    if (secret_of_program(policy, argv, "Bitwarden CLI", reference, slash ? &item : ret, reterr)
        < 0)
        return -1;
    if (!slash)
        return 0;
    *ret = secret_bw_field(item, slash + 1);
    secret_free(item);
    return *ret ? 0
                : nt_fail(reterr, ENFORCE_E_CREDENTIAL,
                          "%s: the item has no such field (password, username, totp, notes, uri or "
                          "one of your own)",
                          reference);
}
