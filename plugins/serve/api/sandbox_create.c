/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox_create.c - POST /v1/sandboxes: a new workspace, once per Idempotency-Key.
 *
 * The same key again with the same body gets the same answer: from the store when it is known, by
 * waiting when the first request is still at work. So a client that lost its connection can ask
 * again and gets no second workspace. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/serve/act.h"
#include "plugins/serve/api/sandbox.h"
#include "plugins/serve/store/store.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define KEY_MAX 255u
#define NAME_TRIES 8u
#define WAITERS_MAX 64u
#define ROUTE "POST /v1/sandboxes"

struct creation {
    struct creation *next;
    struct server *server;
    struct exchange *waiters[WAITERS_MAX]; /* the first one asked first */
    uint32_t waiter_count;
    struct sandbox_body body;
    char key[KEY_MAX + 1]; /* empty: none */
    uint8_t request[STORE_KEY_HASH];
    char *answer; /* as it is kept */
    uint32_t tries;
    struct nt_error error; /* why it is undone */
};

static void creation_end(struct creation *c)
{
    for (struct creation **at = &c->server->creations; *at; at = &(*at)->next)
        if (*at == c) {
            *at = c->next;
            break;
        }
    sandbox_body_done(&c->body);
    free(c->answer);
    free(c);
}

static void fail_all(struct creation *c, const struct nt_error *error)
{
    for (uint32_t i = 0; i < c->waiter_count; i++)
        exchange_fail_error(c->waiters[i], error);
    creation_end(c);
}

static void fail_code(struct creation *c, uint32_t code, const char *server_code,
                      const char *message)
{
    struct nt_error error = NT_ERROR_INIT;
    nt_fail(&error, code, "%s", message);
    nt_copy_text(error.server_code, sizeof(error.server_code), server_code);
    fail_all(c, &error);
}

static int make_answer(void *data, const struct workspace *ws, struct store_answer *ret)
{
    struct creation *c = data;
    if (!c->key[0])
        return -1;
    json_t *json = sandbox_json(ws, exchange_is_wide(c->waiters[0]), NULL);
    c->answer = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    *ret = (struct store_answer){
        .key = c->key, .route = ROUTE, .request = c->request, .status = 201, .body = c->answer
    };
    return c->answer ? 0 : -1;
}

static void on_made(void *data, const struct workspace *ws, const struct nt_error *error)
{
    struct creation *c = data;
    if (error) {
        fail_all(c, error);
        return;
    }
    for (uint32_t i = 0; i < c->waiter_count; i++)
        exchange_send_json(c->waiters[i], 201,
                           sandbox_json(ws, exchange_is_wide(c->waiters[i]), NULL));
    creation_end(c);
}

static void begin(struct creation *c);

static void on_undone(void *data, const struct nt_error *error)
{
    struct creation *c = data;
    fail_all(c, error ? error : &c->error);
}

/* The sockets are made after the row: a repeated request would find its own ports in use. */
static bool has_ports(struct creation *c)
{
    struct nt_error error = NT_ERROR_INIT;
    c->error = error;
    for (uint32_t i = 0; i < c->body.port_count; i++) {
        if (port_listen(c->server, &c->body.ports[i], &c->error) == 0)
            continue;
        c->body.ws.status = WORKSPACE_DESTROYED;
        if (store_workspace_undo(c->server->store, &c->body.ws, on_undone, c, &error) < 0)
            fail_all(c, &error);
        return false;
    }
    return true;
}

static void on_begun(void *data, enum store_begun begun, uint32_t status, const char *body,
                     const struct nt_error *error)
{
    struct creation *c = data;
    struct nt_error failure = NT_ERROR_INIT;
    if (error) {
        fail_all(c, error);
        return;
    }
    struct act_options options = { .kind = ACT_CREATE,
                                   .spec_flags = c->body.spec_flags,
                                   .ports = c->body.ports,
                                   .port_count = c->body.port_count,
                                   .answer = make_answer,
                                   .done = on_made,
                                   .data = c };
    switch (begun) {
    case STORE_BEGUN:
        if (!has_ports(c))
            return;
        if (act_begin(c->server, &c->body.ws, &options, &failure) < 0)
            fail_all(c, &failure);
        return;
    case STORE_ANSWERED:
        for (uint32_t i = 0; i < c->waiter_count; i++)
            exchange_send_json(c->waiters[i], status,
                               json_loads(body ? body : "", JSON_ALLOW_NUL, NULL));
        creation_end(c);
        return;
    case STORE_OTHER_REQUEST:
        fail_code(c, NT_E_CONFLICT, "conflict",
                  "this Idempotency-Key was used for another request");
        return;
    case STORE_PENDING:
        fail_code(c, NT_E_CONFLICT, "transition_in_progress",
                  "the first request with this key has not ended yet");
        return;
    case STORE_NAME_TAKEN:
        if (c->body.has_name || ++c->tries > NAME_TRIES) {
            nt_fail(&failure, NT_E_CONFLICT, "there is a workspace with the name %s",
                    c->body.ws.name);
            fail_all(c, &failure);
        } else {
            begin(c);
        }
        return;
    }
}

/* The row and its intent; a made-up name that is taken is made up again. */
static void begin(struct creation *c)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    struct workspace *ws = &c->body.ws;
    size_t at = (size_t)snprintf(ws->id, sizeof(ws->id), "ws_");
    for (unsigned i = 0; i < 8; i++)
        ws->id[at++] = alphabet[randombytes_uniform(sizeof(alphabet) - 1)];
    ws->id[at] = '\0';
    if (!c->body.has_name) {
        sandbox_name_make(ws->name, sizeof(ws->name));
        if (c->tries > NAME_TRIES / 2) /* many workspaces: the words run out */
            snprintf(ws->name + strlen(ws->name), sizeof(ws->name) - strlen(ws->name), "-%u",
                     randombytes_uniform(100000));
    }
    ws->status = WORKSPACE_CREATING;
    ws->created_at_ms = server_unix_ms();
    struct store_answer answer = { .key = c->key[0] ? c->key : NULL,
                                   .route = ROUTE,
                                   .request = c->request };
    struct nt_error error = NT_ERROR_INIT;
    if (store_workspace_begin(c->server->store, ws, &answer, on_begun, c, &error) < 0)
        fail_all(c, &error);
}

/* What was asked, whatever the order of its members. The form of the wire is a part of it: it
 * decides what is meant by what was left out, and what the answer has. */
static void hash_request(const json_t *body, bool is_wide, uint8_t ret[STORE_KEY_HASH])
{
    nt_autofree char *text =
        body ? json_dumps(body, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY) : NULL;
    const char *bytes = text ? text : "";
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, STORE_KEY_HASH);
    crypto_generichash_update(&state, (const unsigned char *)(is_wide ? "1" : "0"), 1);
    crypto_generichash_update(&state, (const unsigned char *)bytes, strlen(bytes));
    crypto_generichash_final(&state, ret, STORE_KEY_HASH);
}

/* Waits for the same request when it is at work: true. */
static bool join(struct server *server, struct exchange *x, const char *key, const uint8_t *request)
{
    for (struct creation *c = server->creations; c; c = c->next) {
        if (strcmp(c->key, key) != 0
            || strcmp(c->body.ws.org_id, exchange_principal(x)->org_id) != 0)
            continue;
        if (memcmp(c->request, request, STORE_KEY_HASH) != 0)
            exchange_fail(x, 409, "conflict", "this Idempotency-Key was used for another request");
        else if (c->waiter_count == WAITERS_MAX)
            exchange_fail(x, 409, "transition_in_progress", "too many requests wait for this one");
        else
            c->waiters[c->waiter_count++] = x;
        return true;
    }
    return false;
}

void sandbox_create(struct server *server, struct exchange *x)
{
    const char *key = net_request_header(exchange_request(x), "Idempotency-Key");
    if (key && (!*key || strlen(key) > KEY_MAX)) {
        exchange_fail(x, 400, "invalid_request", "Idempotency-Key must have 1 to %u bytes",
                      KEY_MAX);
        return;
    }
    uint8_t request[STORE_KEY_HASH];
    hash_request(exchange_json(x), exchange_is_wide(x), request);
    if (key && join(server, x, key, request))
        return;
    if (server->stopping) {
        exchange_fail(x, 503, "sandbox_unavailable", "the server is stopping; try again");
        return;
    }
    struct nt_error error = NT_ERROR_INIT;
    struct creation *c = calloc(1, sizeof(*c));
    if (!c
        || sandbox_body_parse(exchange_json(x), exchange_is_wide(x),
                              exchange_principal(x)->is_local, &c->body, &error)
               < 0
        || sandbox_ports_parse(server, exchange_json(x), exchange_principal(x)->is_local, &c->body,
                               &error)
               < 0) {
        if (c)
            sandbox_body_done(&c->body);
        free(c);
        if (!error.code)
            nt_fail(&error, NT_E_MEMORY, "no memory for the workspace");
        exchange_fail_error(x, &error);
        return;
    }
    c->server = server;
    c->waiters[c->waiter_count++] = x;
    snprintf(c->key, sizeof(c->key), "%s", key ? key : "");
    memcpy(c->request, request, sizeof(request));
    snprintf(c->body.ws.org_id, sizeof(c->body.ws.org_id), "%s", exchange_principal(x)->org_id);
    c->next = server->creations;
    server->creations = c;
    begin(c);
}
