/* SPDX-License-Identifier: Apache-2.0 */
/* stats.c - GET /v1/stats: what each workspace of the organisation uses, in one sample. */
#include "plugins/serve/api/routes.h"
#include "plugins/serve/server.h"
#include "plugins/serve/stats.h"
#include "sdk/error.h"

static void on_stats(void *data, json_t *rows, const struct nt_error *error)
{
    struct exchange *x = data;
    if (error)
        exchange_fail_error(x, error);
    else
        exchange_send_json(x, 200, json_pack("{s:O}", "items", rows));
}

static void get_stats(struct server *server, struct exchange *x)
{
    struct nt_error error = NT_ERROR_INIT;
    if (stats_collect(server, exchange_principal(x)->org_id, on_stats, x, &error) < 0)
        exchange_fail_error(x, &error);
}

static const struct route rows[] = {
    { .method = "GET", .pattern = "/v1/stats", .handler = get_stats },
};
const struct routes stats_routes = { rows, sizeof(rows) / sizeof(rows[0]) };
