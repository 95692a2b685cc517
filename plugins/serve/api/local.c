/* SPDX-License-Identifier: Apache-2.0 */
/* local.c - what only this user's own commands may ask, over the embedded socket: a hand-over to a
 * newer program. */
#include "nanoterm/local.h"
#include "plugins/serve/api/routes.h"
#include "plugins/serve/server.h"
#include "sdk/error.h"
#include "sdk/json.h"

static void post_handover(struct server *server, struct exchange *x)
{
    struct nt_error error = NT_ERROR_INIT;
    const char *binary = nt_json_text(exchange_json(x), "binary");
    if (!exchange_principal(x)->is_local || !server->options || !server->embedded) {
        exchange_fail(x, 403, "forbidden",
                      "only the server that runs in the background can hand over");
        return;
    }
    if (server->stopping) {
        exchange_fail(x, 409, "conflict", "the server is leaving already");
        return;
    }
    if (!binary) {
        exchange_fail(x, 400, "invalid_request",
                      "\"binary\" must be the absolute path of a nanoterm program");
        return;
    }
    if (server_hand_over(server, binary, &error) < 0) {
        exchange_fail_error(x, &error);
        return;
    }
    exchange_send_json(x, 202, json_pack("{s:s}", "status", "handing_over"));
    server_stop(server);
}

static const struct route rows[] = {
    { .method = "POST",
      .pattern = "/v1/local/handover",
      .handler = post_handover,
      .flags = ROUTE_JSON },
};
const struct routes local_routes = { rows, sizeof(rows) / sizeof(rows[0]) };
