/* SPDX-License-Identifier: Apache-2.0 */
/* auth.c - who asks: the local user by uid and token, or the bearer of an API key. */
#include "router.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "nanoterm/local.h"
#include "plugins/serve/api/file_urls.h"
#include "plugins/serve/server.h"
#include "plugins/serve/store/store.h"
#include "sdk/parse.h"

#define KEY_MAX 256
#define USED_MS 60000 /* how exactly the last use of a key is known: a write for each */

/* The local user: the kernel names the uid, the token proves that it is not a program in a sandbox
 * of that uid. */
static bool is_local_user(const struct exchange *x, const char *token)
{
    const struct net_peer *peer = net_request_peer(x->req);
    const char *ours = x->server->local_token;
    return x->listener->is_embedded && peer->is_unix && peer->uid == x->server->owner && ours[0]
           && strlen(token) == strlen(ours) && sodium_memcmp(token, ours, strlen(ours)) == 0;
}

struct lookup {
    struct exchange *x;
    void (*granted)(struct exchange *x);
};

static void on_key(void *data, const struct store_key *key, const struct nt_error *error)
{
    struct lookup *lookup = data;
    struct exchange *x = lookup->x;
    void (*granted)(struct exchange * x) = lookup->granted;
    free(lookup);
    if (error) {
        exchange_fail_error(x, error);
    } else if (!key) {
        exchange_fail(x, 401, "unauthorized", "the API key is not known here");
    } else {
        struct nt_error unused = NT_ERROR_INIT;
        snprintf(x->principal.id, sizeof(x->principal.id), "%s", key->id);
        snprintf(x->principal.org_id, sizeof(x->principal.org_id), "%s", key->org_id);
        if (x->req) /* else the peer was lost meanwhile */
            net_request_hold(x->req, key->id);
        if (server_unix_ms() - key->last_used_at_ms >= USED_MS)
            (void)store_key_used(x->server->store, key->id, &unused); /* the next one notes it */
        granted(x);
    }
}

/* The URL itself is the credential; it may say nothing but what was signed. */
static void check_signed(struct exchange *x, const char *token, void (*granted)(struct exchange *x))
{
    const char *path = exchange_query(x, "path");
    enum file_url_verdict verdict = FILE_URL_FORGED;
    if (path && x->target.query_count == 2)
        verdict = file_url_check(x->server->url_key, token, net_request_method(x->req),
                                 exchange_param(x, 0), path, server_unix_ms() / 1000,
                                 x->principal.org_id);
    if (verdict == FILE_URL_EXPIRED) {
        exchange_fail(x, 410, "expired", "the URL has expired: ask for a new one");
    } else if (verdict != FILE_URL_GOOD) {
        exchange_fail(x, 401, "unauthorized", "the token of the URL is not for this");
    } else {
        snprintf(x->principal.id, sizeof(x->principal.id), "url");
        granted(x);
    }
}

void auth_check(struct exchange *x, void (*granted)(struct exchange *x))
{
    const char *signature = exchange_query(x, "token");
    if (signature && (x->route->flags & ROUTE_SIGNED)
        && !net_request_header(x->req, "Authorization")) {
        check_signed(x, signature, granted);
        return;
    }
    const char *token = net_request_header(x->req, NT_LOCAL_TOKEN_HEADER);
    if (token && x->listener->is_unix) {
        if (!is_local_user(x, token)) {
            exchange_fail(x, 401, "unauthorized", "the local token is not that of this server");
            return;
        }
        snprintf(x->principal.id, sizeof(x->principal.id), "local");
        snprintf(x->principal.org_id, sizeof(x->principal.org_id), "%s", x->server->owner_org);
        x->principal.is_local = true;
        granted(x);
        return;
    }
    const char *header = net_request_header(x->req, "Authorization");
    if (!header || strncasecmp(header, "Bearer ", 7) != 0) {
        exchange_fail(x, 401, "unauthorized", "an API key is needed: Authorization: Bearer nt_…");
        return;
    }
    const char *key = header + 7 + strspn(header + 7, " ");
    size_t size = strlen(key);
    struct lookup *lookup = size > 0 && size <= KEY_MAX ? malloc(sizeof(*lookup)) : NULL;
    if (!lookup) {
        exchange_fail(x, 401, "unauthorized", "the API key is not known here");
        return;
    }
    *lookup = (struct lookup){ x, granted };
    /* Only the hash is looked up: how long a comparison takes tells nothing of a key. */
    uint8_t hash[STORE_KEY_HASH];
    store_key_hash(key, hash);
    struct nt_error error = NT_ERROR_INIT;
    if (store_key_find(x->server->store, hash, on_key, lookup, &error) < 0)
        on_key(lookup, NULL, &error);
}

void exchange_cut(struct exchange *x, const char *key_id)
{
    for (const struct listener *l = x->server->listeners; l; l = l->next)
        net_server_cut(l->net, key_id, x->req ? net_request_connection(x->req) : 0);
}
