/* SPDX-License-Identifier: Apache-2.0 */
/* openapi.c - GET /v1/openapi.json: what this server answers, as a document that tools read. It is
 * open: it tells nothing of anybody, and tools ask for it before they have a credential. */
#include "plugins/serve/api/openapi.h"

#include "plugins/serve/api/routes.h"

static void get_openapi(struct server *server, struct exchange *x)
{
    struct net_request *req = exchange_request(x);
    struct net_header headers[EXCHANGE_HEADERS + 1];
    uint32_t count = exchange_headers(x, headers);
    headers[count++] = (struct net_header){ "Content-Type", "application/json" };
    exchange_detach(x); /* x and its headers live until the loop's next round */
    net_respond(req, 200, headers, count, openapi_document);
}

static const struct route rows[] = {
    { .method = "GET", .pattern = "/v1/openapi.json", .handler = get_openapi, .flags = ROUTE_OPEN },
};
const struct routes openapi_routes = { rows, sizeof(rows) / sizeof(rows[0]) };
