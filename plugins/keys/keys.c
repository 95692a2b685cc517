/* SPDX-License-Identifier: Apache-2.0 */
/* keys.c - the group keys: API keys of the organisation. */
#include <string.h>

#include "nanoterm/host.h"
#include "nanoterm/plugin.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/json.h"

static int keys_create(struct nt_call *call, struct nt_error *reterr)
{
    nt_auto_json json_t *body = json_pack("{s:s}", "name", call->host->text(call, "name"));
    nt_autofree char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    if (!text)
        return nt_fail(reterr, NT_E_USAGE, "the name is not UTF-8");
    /* Not sent twice: the answer to the first could be lost, and its key would stay behind. */
    const struct nt_request request = { .size = sizeof(request),
                                        .flags = NT_REQ_NO_RETRY,
                                        .method = "POST",
                                        .path = "/v1/keys",
                                        .body = { text, strlen(text) } };
    struct nt_response response = { .size = sizeof(response) };
    if (call->host->request(call, &request, &response, reterr) < 0
        || call->host->emit_json(call, response.body, reterr) < 0)
        return -1;
    call->host->message(call, NT_SAY_NOTE, "The key is not shown again: keep it now.");
    return 0;
}

static int keys_list(struct nt_call *call, struct nt_error *reterr)
{
    const struct nt_request request = { .size = sizeof(request),
                                        .method = "GET",
                                        .path = "/v1/keys" };
    struct nt_response response = { .size = sizeof(response) };
    if (call->host->request(call, &request, &response, reterr) < 0)
        return -1;
    nt_auto_json json_t *page = json_loadb(response.body.data, response.body.size, 0, NULL);
    json_t *items = json_object_get(page, "items");
    nt_autofree char *text = json_is_array(items) ? json_dumps(items, JSON_COMPACT) : NULL;
    if (!text)
        return nt_fail(reterr, NT_E_RESPONSE, "the server's answer is not a list of API keys");
    return call->host->emit_json(call, (struct nt_bytes){ text, strlen(text) }, reterr);
}

static int keys_revoke(struct nt_call *call, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(1024);
    nt_buf_add(&path, "/v1/keys/");
    nt_buf_add_url_part(&path, call->host->text(call, "id"));
    if (!nt_buf_ok(&path))
        return nt_fail(reterr, NT_E_LIMIT, "the id is too long");
    const struct nt_request request = { .size = sizeof(request),
                                        .method = "DELETE",
                                        .path = nt_buf_text(&path) };
    struct nt_response response = { .size = sizeof(response) };
    if (call->host->request(call, &request, &response, reterr) < 0
        || call->host->emit_json(call, response.body, reterr) < 0)
        return -1;
    call->host->message(call, NT_SAY_DONE, "API key revoked");
    return 0;
}

#define KEY_COLUMNS                                                                                \
    { .name = "id", .help = "Its id, which is no secret", .type = NT_ID },                         \
        { .name = "name", .help = "What it is for", .type = NT_TEXT },                             \
        { .name = "prefix", .help = "How the key begins", .type = NT_TEXT },                       \
        { .name = "created_at", .help = "When it was made", .type = NT_TIME },                     \
        { .name = "last_used_at",                                                                  \
          .help = "When it was last used, to the minute",                                          \
          .type = NT_TIME },                                                                       \
    {                                                                                              \
        .name = "org_id", .help = "Its organisation", .type = NT_ID, .flags = NT_WIDE              \
    }
static const struct nt_column key_columns[] = { KEY_COLUMNS };
static const struct nt_column new_columns[] = {
    { .name = "api_key", .help = "The key itself, shown this once", .type = NT_TEXT },
    KEY_COLUMNS,
};

static const struct nt_opt create_opts[] = {
    { .name = "name",
      .help = "What it is for",
      .type = NT_TEXT,
      .arg = "text",
      .fallback = "nanoterm keys create" },
};
static const struct nt_arg revoke_args[] = {
    { .name = "id", .help = "Id of the key, as `keys list` shows it", .type = NT_ID },
};
static const struct nt_example create_examples[] = {
    { "keys create --name ci", "A key for another machine" },
};
static const struct nt_example list_examples[] = { { "keys list", "All that can be used" } };
static const struct nt_example revoke_examples[] = {
    { "keys revoke key_a1b2c3d4", "Requests with it are refused from now on" },
};
static const uint32_t api_errors[] = { NT_E_AUTH, NT_E_CONNECT, NT_E_TIMEOUT };
static const uint32_t revoke_errors[] = { NT_E_NOT_FOUND, NT_E_AUTH, NT_E_CONNECT, NT_E_TIMEOUT };

static const struct nt_command commands[] = {
    { .path = "keys create",
      .summary = "Make an API key, which is shown once",
      .run = keys_create,
      .opts = NT_TABLE(create_opts),
      .columns = NT_TABLE(new_columns),
      .examples = NT_TABLE(create_examples),
      .errors = NT_TABLE(api_errors),
      .effects = NT_REMOTE | NT_WRITES,
      .result = NT_RESULT_ONE },
    { .path = "keys list",
      .summary = "List the API keys of the organisation",
      .run = keys_list,
      .columns = NT_TABLE(key_columns),
      .examples = NT_TABLE(list_examples),
      .errors = NT_TABLE(api_errors),
      .effects = NT_REMOTE | NT_IDEMPOTENT,
      .result = NT_RESULT_LIST },
    { .path = "keys revoke",
      .summary = "Revoke an API key for good",
      .run = keys_revoke,
      .args = NT_TABLE(revoke_args),
      .columns = NT_TABLE(key_columns),
      .examples = NT_TABLE(revoke_examples),
      .errors = NT_TABLE(revoke_errors),
      .effects = NT_REMOTE | NT_WRITES | NT_DESTROYS,
      .result = NT_RESULT_ONE },
};
static const struct nt_group groups[] = { { .name = "keys", .summary = "API keys" } };
static const struct nt_plugin plugin = { NT_PLUGIN_HEAD,
                                         .name = "keys",
                                         .version = "1.0.0",
                                         .summary = "API keys: make, list and revoke them",
                                         .groups = NT_TABLE(groups),
                                         .commands = NT_TABLE(commands) };
NT_PLUGIN(plugin);
