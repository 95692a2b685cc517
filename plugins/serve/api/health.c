/* SPDX-License-Identifier: Apache-2.0 */
/* health.c - /healthz: that the server answers, and what it is. Needs no credential and tells
 * nothing of anybody. */
#include "plugins/serve/api/routes.h"
#include "plugins/serve/http/router.h"
#include "plugins/serve/server.h"
#include "plugins/serve/store/store.h"

static void get_health(struct server *server, struct exchange *x)
{
    exchange_send_json(x, 200,
                       json_pack("{s:s, s:s, s:i, s:i, s:s}", "status", "ok", "build", NT_VERSION,
                                 "api_level", API_LEVEL, "schema", STORE_SCHEMA, "engine",
                                 server->engine_name));
}

static const struct route rows[] = {
    { .method = "GET", .pattern = "/healthz", .handler = get_health, .flags = ROUTE_OPEN },
};
const struct routes health_routes = { rows, sizeof(rows) / sizeof(rows[0]) };
