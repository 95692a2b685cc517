/* SPDX-License-Identifier: Apache-2.0 */
/* keys.c - /v1/keys: the API keys of an organisation; /v1/orgs: another organisation, made by the
 * one whose server this is. A key is told once, when it is made. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/serve/api/routes.h"
#include "plugins/serve/api/sandbox.h"
#include "plugins/serve/server.h"
#include "plugins/serve/store/store.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define NAME_MAX_BYTES 64u

struct wish {
    struct exchange *x;
    json_t *items; /* of a list */
    char key[64];  /* a new one */
    bool is_org;
};

static struct wish *wish_new(struct exchange *x)
{
    struct wish *wish = calloc(1, sizeof(*wish));
    if (wish)
        wish->x = x;
    else
        exchange_fail(x, 503, "internal_error", "no memory for a key");
    return wish;
}

static void wish_free(struct wish *wish)
{
    json_decref(wish->items);
    sodium_memzero(wish, sizeof(*wish));
    free(wish);
}

static json_t *key_json(const struct store_key *key)
{
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o}", "id", key->id, "org_id", key->org_id, "name",
                     key->name, "prefix", key->prefix[0] ? json_string(key->prefix) : json_null(),
                     "created_at", sandbox_time_json(key->created_at_ms), "last_used_at",
                     sandbox_time_json(key->last_used_at_ms));
}

/* NULL: the exchange was answered. */
static const char *name_of(struct exchange *x)
{
    const char *name = json_string_value(json_object_get(exchange_json(x), "name"));
    bool is_name = name && *name && strlen(name) <= NAME_MAX_BYTES;
    for (const char *p = name; is_name && *p; p++)
        is_name = (unsigned char)*p >= 0x20 && *p != 0x7f;
    if (!is_name)
        exchange_fail(x, 400, "invalid_request",
                      "name is a text of 1 to %u bytes without control characters", NAME_MAX_BYTES);
    return is_name ? name : NULL;
}

/* --- one ------------------------------------------------------------------------------------- */

static void on_made(void *data, const struct store_key *key, const struct nt_error *error)
{
    struct wish *wish = data;
    if (error) {
        exchange_fail_error(wish->x, error);
    } else {
        json_t *object = key_json(key);
        json_object_set_new(object, "api_key", json_string(wish->key));
        if (wish->is_org)
            object =
                json_pack("{s:s, s:s, s:o}", "id", key->org_id, "name", key->name, "key", object);
        exchange_send_json(wish->x, 201, object);
    }
    wish_free(wish);
}

static void post_key(struct server *server, struct exchange *x)
{
    struct nt_error error = NT_ERROR_INIT;
    const char *name = name_of(x);
    struct wish *wish = name ? wish_new(x) : NULL;
    if (!wish)
        return;
    store_key_make(wish->key);
    if (store_key_add(server->store, exchange_principal(x)->org_id, wish->key, name, on_made, wish,
                      &error)
        < 0)
        on_made(wish, NULL, &error);
}

/* Only the organisation that the server was made for makes others. */
static void post_org(struct server *server, struct exchange *x)
{
    struct nt_error error = NT_ERROR_INIT;
    if (strcmp(exchange_principal(x)->org_id, server->owner_org) != 0) {
        exchange_fail(x, 403, "forbidden", "only the owner of this server makes organisations");
        return;
    }
    const char *name = name_of(x);
    struct wish *wish = name ? wish_new(x) : NULL;
    if (!wish)
        return;
    wish->is_org = true;
    store_key_make(wish->key);
    if (store_org_add(server->store, name, wish->key, on_made, wish, &error) < 0)
        on_made(wish, NULL, &error);
}

static void on_revoked(void *data, const struct store_key *key, const struct nt_error *error)
{
    struct wish *wish = data;
    if (error) {
        exchange_fail_error(wish->x, error);
    } else if (!key) {
        exchange_fail(wish->x, 404, "not_found", "there is no such API key");
    } else {
        exchange_cut(wish->x, key->id);
        exchange_send_json(wish->x, 200, key_json(key));
    }
    wish_free(wish);
}

static void delete_key(struct server *server, struct exchange *x)
{
    struct nt_error error = NT_ERROR_INIT;
    struct wish *wish = wish_new(x);
    if (wish
        && store_key_revoke(server->store, exchange_principal(x)->org_id, exchange_param(x, 0),
                            on_revoked, wish, &error)
               < 0)
        on_revoked(wish, NULL, &error);
}

/* --- all ------------------------------------------------------------------------------------- */

static void on_row(void *data, const struct store_key *key)
{
    struct wish *wish = data;
    json_array_append_new(wish->items, key_json(key));
}

static void on_listed(void *data, const struct nt_error *error)
{
    struct wish *wish = data;
    if (error)
        exchange_fail_error(wish->x, error);
    else
        exchange_send_json(wish->x, 200, json_pack("{s:O}", "items", wish->items));
    wish_free(wish);
}

static void get_keys(struct server *server, struct exchange *x)
{
    struct nt_error error = NT_ERROR_INIT;
    struct wish *wish = wish_new(x);
    if (!wish)
        return;
    wish->items = json_array();
    if (store_key_list(server->store, exchange_principal(x)->org_id, on_row, on_listed, wish,
                       &error)
        < 0)
        on_listed(wish, &error);
}

static const struct route rows[] = {
    { "GET", "/v1/keys", get_keys, 0, 0 },
    { "POST", "/v1/keys", post_key, ROUTE_JSON, 8192 },
    { "DELETE", "/v1/keys/{}", delete_key, 0, 0 },
    { "POST", "/v1/orgs", post_org, ROUTE_JSON, 8192 },
};
const struct routes key_routes = { rows, sizeof(rows) / sizeof(rows[0]) };
