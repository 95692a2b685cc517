/* SPDX-License-Identifier: Apache-2.0 */
/* cli_auth_routes.c - /cli-auth: the page that `auth login` opens, the answer to it, and the key
 * for the code that the browser brought. TCP listeners only: the embedded server needs no login. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/serve/api/cli_auth.h"
#include "plugins/serve/api/routes.h"
#include "plugins/serve/http/router.h"
#include "plugins/serve/store/store.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/json.h"
#include "sdk/parse.h"

static bool has_login(const struct server *server, struct exchange *x)
{
    if (server->cli_auth && !x->listener->is_unix)
        return true;
    exchange_fail(x, 404, "not_found", "local, no login: this server knows its user");
    return false;
}

static void get_page(struct server *server, struct exchange *x)
{
    struct cli_auth_wish wish;
    char seal[CLI_AUTH_TEXT];
    if (!has_login(server, x))
        return;
    if (!cli_auth_read(exchange_query(x, "port"), exchange_query(x, "state"),
                       exchange_query(x, "challenge"), exchange_query(x, "name"), &wish)) {
        exchange_fail(
            x, 400, "invalid_request",
            "this page is opened by `nanoterm auth login`, with a port above 1023, state, "
            "challenge and name");
        return;
    }
    int64_t now_s = server_unix_ms() / 1000;
    cli_auth_seal(server->cli_auth, &wish, now_s, seal);
    cli_auth_page(x, 200, &wish, now_s, seal, NULL);
}

static void go_back(struct server *server, struct exchange *x, const struct cli_auth_wish *wish)
{
    char code[CLI_AUTH_TEXT];
    nt_auto(nt_buf_done) struct nt_buf to = NT_BUF(1024);
    if (!cli_auth_grant(server->cli_auth, wish, server->loop->ops->now_ms(server->loop), code)) {
        exchange_fail(x, 429, "rate_limit_exceeded", "too many logins are under way");
        return;
    }
    /* Only the port is the client's to say: there is no way to another machine. */
    nt_buf_addf(&to, "http://127.0.0.1:%u/callback?code=%s&state=%s", wish->port, code,
                wish->state);
    sodium_memzero(code, sizeof(code));
    exchange_send_page(x, 303, (struct nt_bytes){ NULL, 0 }, "default-src 'none'",
                       nt_buf_text(&to));
}

static void post_page(struct server *server, struct exchange *x)
{
    struct cli_auth_wish wish;
    struct nt_error error = NT_ERROR_INIT;
    uint64_t shown_s = 0;
    const char *shown = exchange_form(x, "shown"), *code = exchange_form(x, "code");
    const char *seal = exchange_form(x, "seal");
    bool is_fine = false;
    if (!has_login(server, x))
        return;
    /* A browser names the page that sends a form; one of another origin is refused already. */
    if (!net_request_header(x->req, "Origin")) {
        exchange_fail(x, 403, "forbidden", "this form is sent by its page only");
        return;
    }
    if (!cli_auth_read(exchange_form(x, "port"), exchange_form(x, "state"),
                       exchange_form(x, "challenge"), exchange_form(x, "name"), &wish)
        || !shown || nt_parse_u64(shown, 0, UINT32_MAX, &shown_s, &error) < 0
        || !cli_auth_is_sealed(server->cli_auth, &wish, (int64_t)shown_s, seal,
                               server_unix_ms() / 1000)) {
        exchange_fail(x, 403, "expired",
                      "this page has expired, or it is not one of ours: run `nanoterm auth login` "
                      "again");
        return;
    }
    if (cli_auth_sign_in(server->cli_auth, code ? code : "", &is_fine, &error) < 0)
        exchange_fail_error(x, &error);
    else if (!is_fine)
        cli_auth_page(x, 403, &wish, (int64_t)shown_s, seal,
                      "That is not the code, or it was used before: look into the file again.");
    else
        go_back(server, x, &wish);
}

struct minted {
    struct exchange *x;
    char key[64];
    char name[68];
};

static void on_minted(void *data, const struct store_key *key, const struct nt_error *error)
{
    struct minted *minted = data;
    struct exchange *x = minted->x;
    if (error)
        exchange_fail_error(x, error);
    else
        exchange_send_json(x, 201,
                           json_pack("{s:s, s:s, s:s, s:s}", "api_key", minted->key, "key_id",
                                     key->id, "org_id", key->org_id, "name", minted->name));
    sodium_memzero(minted, sizeof(*minted));
    free(minted);
}

static void post_token(struct server *server, struct exchange *x)
{
    struct nt_error error = NT_ERROR_INIT;
    const char *code = nt_json_text(exchange_json(x), "code");
    const char *verifier = nt_json_text(exchange_json(x), "verifier");
    if (!has_login(server, x))
        return;
    struct minted *minted = calloc(1, sizeof(*minted));
    if (!minted) {
        exchange_fail(x, 503, "internal_error", "no memory for a login");
        return;
    }
    if (!cli_auth_take(server->cli_auth, code ? code : "", verifier ? verifier : "",
                       server->loop->ops->now_ms(server->loop), minted->name)) {
        free(minted);
        exchange_fail(x, 403, "forbidden", "that code is not good, or not any more");
        return;
    }
    minted->x = x;
    store_key_make(minted->key);
    if (store_key_add(server->store, server->owner_org, minted->key, minted->name, on_minted,
                      minted, &error)
        < 0)
        on_minted(minted, NULL, &error);
}

static const struct route rows[] = {
    { .method = "GET", .pattern = "/cli-auth", .handler = get_page, .flags = ROUTE_OPEN },
    { .method = "POST",
      .pattern = "/cli-auth",
      .handler = post_page,
      .flags = ROUTE_OPEN | ROUTE_FORM,
      .max_body_bytes = 8192 },
    { .method = "POST",
      .pattern = "/cli-auth/token",
      .handler = post_token,
      .flags = ROUTE_OPEN | ROUTE_JSON,
      .max_body_bytes = 8192 },
};
const struct routes cli_auth_routes = { rows, sizeof(rows) / sizeof(rows[0]) };
