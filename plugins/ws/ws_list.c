/* SPDX-License-Identifier: Apache-2.0 */
/* ws_list.c - `ws list`: every page of the listing, row by row. */
#include "ws.h"

#include <string.h>

#include "sdk/error.h"
#include "sdk/json.h"

#define PAGES_MAX 10000 /* a server whose token never ends is broken */

/* Emits the rows of one page; *ret_token gets the next page's token, empty at the end. */
static int one_page(struct nt_call *call, const char *path, struct nt_buf *ret_token,
                    struct nt_error *reterr)
{
    nt_auto_json json_t *page = NULL;
    if (ws_get(call, path, &page, reterr) < 0)
        return -1;
    json_t *items = json_is_array(page) ? page : json_object_get(page, "items");
    if (!json_is_array(items))
        return nt_fail(reterr, NT_E_RESPONSE, "the server's answer is not a list of workspaces");
    nt_buf_reset(ret_token);
    if (json_is_true(json_object_get(page, "has_next"))
        && json_is_string(json_object_get(page, "next_token")))
        nt_buf_add(ret_token, json_string_value(json_object_get(page, "next_token")));
    nt_autofree char *text = json_dumps(items, JSON_COMPACT);
    if (!text || !nt_buf_ok(ret_token))
        return nt_fail(reterr, NT_E_MEMORY, "no memory for the list");
    return call->host->emit_json(call, (struct nt_bytes){ text, strlen(text) }, reterr);
}

int ws_list(struct nt_call *call, struct nt_error *reterr)
{
    const char *state = call->host->text(call, "state");
    nt_auto(nt_buf_done) struct nt_buf path = NT_BUF(8192);
    nt_auto(nt_buf_done) struct nt_buf token = NT_BUF(4096);
    for (unsigned pages = 0; pages < PAGES_MAX; pages++) {
        nt_buf_reset(&path);
        nt_buf_addf(&path, "/v1/sandboxes?limit=200%s%s", state ? "&state=" : "",
                    state ? state : "");
        if (token.size > 0) {
            nt_buf_add(&path, "&next_token=");
            nt_buf_add_url_part(&path, nt_buf_text(&token));
        }
        if (!nt_buf_ok(&path))
            return nt_fail(reterr, NT_E_RESPONSE, "the server's page token is too long");
        if (one_page(call, nt_buf_text(&path), &token, reterr) < 0)
            return -1;
        if (token.size == 0)
            return 0;
    }
    return nt_fail(reterr, NT_E_RESPONSE, "the server's list does not end");
}
