/* SPDX-License-Identifier: Apache-2.0 */
/* sandboxes.c - /v1/sandboxes: list, get, remove, time to live, metrics. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/serve/act.h"
#include "plugins/serve/api/routes.h"
#include "plugins/serve/api/sandbox.h"
#include "plugins/serve/record.h"
#include "plugins/serve/health.h"
#include "plugins/serve/store/store.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/json.h"
#include "sdk/parse.h"

#define PAGE 100u

/* --- list ---------------------------------------------------------------------------------- */

struct listing {
    struct exchange *x;
    json_t *items;
    json_t *metadata; /* what a row must have; NULL: anything */
    uint32_t limit, seen;
    char last[80];
    const char **ids; /* of the items whose guests are asked; borrowed from them */
    size_t id_count;
};

static void listing_free(struct listing *l)
{
    json_decref(l->items);
    json_decref(l->metadata);
    free(l->ids);
    free(l);
}

static bool has_metadata(const struct workspace *ws, json_t *wanted)
{
    if (!wanted)
        return true;
    nt_auto_json json_t *have = json_loads(ws->metadata, JSON_ALLOW_NUL, NULL);
    const char *name;
    json_t *value;
    json_object_foreach(wanted, name,
                        value) if (!json_equal(json_object_get(have, name), value)) return false;
    return true;
}

static void on_row(void *data, const struct workspace *ws)
{
    struct listing *l = data;
    if (l->seen++ == l->limit) /* one more than asked for: there is a next page */
        return;
    snprintf(l->last, sizeof(l->last), "%" PRId64 ":%s", ws->created_at_ms, ws->id);
    if (!has_metadata(ws, l->metadata))
        return;
    json_t *item = sandbox_json(ws, exchange_is_wide(l->x), exchange_query(l->x, "fields"));
    json_array_append_new(l->items, item);
    /* Only the wide form says whether a guest answers. */
    const char *id = json_string_value(json_object_get(item, "id"));
    if (id && ws->status == WORKSPACE_RUNNING && json_object_get(item, "unreachable"))
        l->ids[l->id_count++] = id;
}

static void listing_send(struct listing *l)
{
    bool has_next = l->seen > l->limit;
    json_t *page = json_pack("{s:O, s:b}", "items", l->items, "has_next", has_next);
    if (has_next)
        json_object_set_new(page, "next_token", json_string(l->last));
    exchange_send_json(l->x, 200, page);
    listing_free(l);
}

static void on_health(void *data)
{
    struct listing *l = data;
    size_t i;
    json_t *item;
    json_array_foreach(l->items, i, item)
    {
        const char *id = json_string_value(json_object_get(item, "id"));
        if (id && health_is_unreachable(exchange_server(l->x), id))
            json_object_set_new(item, "unreachable", json_true());
    }
    listing_send(l);
}

static void on_listed(void *data, const struct nt_error *error)
{
    struct listing *l = data;
    if (error) {
        exchange_fail_error(l->x, error);
        listing_free(l);
    } else if (!l->id_count
               || !health_ask(exchange_server(l->x), l->ids, l->id_count, on_health, l)) {
        listing_send(l);
    }
}

static int parse_states(const char *text, uint32_t *ret, struct nt_error *reterr)
{
    *ret = 0;
    while (text && *text) {
        size_t size = strcspn(text, ",");
        uint32_t bit = sandbox_state_bit(text, size);
        if (size > 0 && !bit)
            return nt_fail(reterr, NT_E_INVALID, "state: there is no %.*s",
                           size > 20 ? 20 : (int)size, text);
        *ret |= bit;
        text += size + (text[size] == ',');
    }
    return 0;
}

static int parse_listing(struct listing *l, struct store_list *list, struct nt_error *reterr)
{
    const char *limit = exchange_query(l->x, "limit"), *metadata = exchange_query(l->x, "metadata");
    uint64_t number = PAGE;
    if (limit && *limit && nt_parse_u64(limit, 1, UINT32_MAX, &number, reterr) < 0)
        return nt_wrap(reterr, "limit");
    l->limit = number < STORE_LIST_MAX ? (uint32_t)number : STORE_LIST_MAX - 1;
    if (parse_states(exchange_query(l->x, "state"), &list->states, reterr) < 0)
        return -1;
    if (metadata && *metadata) {
        l->metadata = json_loads(metadata, JSON_ALLOW_NUL, NULL);
        if (!json_is_object(l->metadata))
            return nt_fail(reterr, NT_E_INVALID, "metadata must be a JSON object");
    }
    const char *template = exchange_query(l->x, "template"),
               *token = exchange_query(l->x, "next_token");
    list->org_id = exchange_principal(l->x)->org_id;
    list->template_name = template && *template ? template : NULL;
    list->after = token && *token ? token : NULL;
    list->limit = l->limit + 1;
    l->ids = calloc(list->limit, sizeof(*l->ids));
    return l->ids ? 0 : nt_fail(reterr, NT_E_MEMORY, "no memory for the list");
}

static void list_sandboxes(struct server *server, struct exchange *x)
{
    struct nt_error error = NT_ERROR_INIT;
    struct listing *l = calloc(1, sizeof(*l));
    if (!l) {
        nt_fail(&error, NT_E_MEMORY, "no memory for the list");
        exchange_fail_error(x, &error);
        return;
    }
    l->x = x;
    l->items = json_array();
    struct store_list list = { 0 };
    if (parse_listing(l, &list, &error) < 0
        || store_workspace_list(server->store, &list, on_row, on_listed, l, &error) < 0) {
        /* What the query had wrong is the client's. */
        if (error.code == NT_E_USAGE)
            error.code = NT_E_INVALID;
        exchange_fail_error(x, &error);
        listing_free(l);
    }
}

/* --- get, remove --------------------------------------------------------------------------- */

struct look {
    struct exchange *x;
    struct workspace ws;
};

static void on_looked(void *data)
{
    struct look *look = data;
    struct exchange *x = look->x;
    look->ws.unreachable |= health_is_unreachable(exchange_server(x), look->ws.id);
    exchange_send_json(x, 200,
                       sandbox_json(&look->ws, exchange_is_wide(x), exchange_query(x, "fields")));
    workspace_done(&look->ws);
    free(look);
}

static void on_get(struct exchange *x, const struct workspace *ws, void *data)
{
    struct nt_error error = NT_ERROR_INIT;
    const char *id = ws->id;
    struct look *look =
        ws->status == WORKSPACE_RUNNING && exchange_is_wide(x) ? calloc(1, sizeof(*look)) : NULL;
    if (look && workspace_copy(ws, &look->ws, &error) == 0) {
        look->x = x;
        if (health_ask(exchange_server(x), &id, 1, on_looked, look))
            return;
        workspace_done(&look->ws);
    }
    free(look);
    exchange_send_json(x, 200, sandbox_json(ws, exchange_is_wide(x), exchange_query(x, "fields")));
}

static void get_sandbox(struct server *server, struct exchange *x)
{
    workspace_find(x, exchange_param(x, 0), on_get, NULL);
}

static void on_removed(void *data, const struct workspace *ws, const struct nt_error *error)
{
    struct exchange *x = data;
    if (error)
        exchange_fail_error(x, error);
    else if (exchange_is_wide(x))
        exchange_send_json(x, 200, sandbox_json(ws, true, NULL));
    else
        exchange_send_json(x, 200, json_pack("{s:s, s:s}", "id", ws->id, "status", "destroyed"));
}

static void on_remove(struct exchange *x, const struct workspace *ws, void *data)
{
    struct act_options options = { .kind = ACT_REMOVE, .done = on_removed, .data = x };
    struct nt_error error = NT_ERROR_INIT;
    if (act_begin(exchange_server(x), ws, &options, &error) < 0)
        exchange_fail_error(x, &error);
}

static void delete_sandbox(struct server *server, struct exchange *x)
{
    workspace_find(x, exchange_param(x, 0), on_remove, NULL);
}

/* --- time to live -------------------------------------------------------------------------- */

struct ttl {
    struct exchange *x;
    struct workspace ws;
};

static void ttl_end(struct ttl *ttl, const struct nt_error *error)
{
    if (error) {
        exchange_fail_error(ttl->x, error);
    } else {
        const struct workspace *ws = &ttl->ws;
        int64_t left = ws->timeout_at_ms ? ws->timeout_at_ms - server_unix_ms() : 0;
        exchange_send_json(ttl->x, 200,
                           json_pack("{s:I, s:s, s:o, s:I}", "timeout_ms",
                                     (json_int_t)ws->timeout_ms, "timeout_action",
                                     ws->on_timeout_hibernate ? "hibernate" : "destroy",
                                     "timeout_at", sandbox_time_json(ws->timeout_at_ms),
                                     "remaining_ms", (json_int_t)(left > 0 ? left : 0)));
    }
    workspace_done(&ttl->ws);
    free(ttl);
}

static void on_ttl_kept(void *data)
{
    ttl_end(data, NULL);
}

static void on_ttl_written(void *data, const struct nt_error *error)
{
    struct ttl *ttl = data;
    if (error)
        ttl_end(ttl, error);
    else
        record_keep(exchange_server(ttl->x), ttl->ws.id, on_ttl_kept, ttl);
}

static void on_ttl_taken(void *data, const struct nt_error *error)
{
    struct ttl *ttl = data;
    struct nt_error failure = NT_ERROR_INIT;
    if (error) {
        ttl_end(ttl, error);
        return;
    }
    struct server *server = exchange_server(ttl->x);
    if (act_is_busy(server, ttl->ws.id)) { /* it is being stopped or removed meanwhile: that wins */
        nt_fail(&failure, NT_E_CONFLICT, "something else is being done to %s", ttl->ws.id);
        nt_copy_text(failure.server_code, sizeof(failure.server_code), "sandbox_not_ready");
        ttl_end(ttl, &failure);
    } else if (store_workspace_put(server->store, &ttl->ws, "sandbox.timeout_updated", NULL,
                                   on_ttl_written, ttl, &failure)
               < 0) {
        ttl_end(ttl, &failure);
    }
}

static void on_timeout(struct exchange *x, const struct workspace *ws, void *data)
{
    struct nt_error error = NT_ERROR_INIT;
    struct ttl *ttl = calloc(1, sizeof(*ttl));
    if (!ttl || workspace_copy(ws, &ttl->ws, &error) < 0) {
        free(ttl);
        nt_fail(&error, NT_E_MEMORY, "no memory for the request");
        exchange_fail_error(x, &error);
        return;
    }
    ttl->x = x;
    int64_t timeout_ms;
    if (sandbox_timeout_parse(exchange_json(x), 0, &timeout_ms, &error) < 0
        || sandbox_action_parse(exchange_json(x), &ttl->ws.on_timeout_hibernate, &error) < 0) {
        ttl_end(ttl, &error);
        return;
    }
    bool is_running = ws->status == WORKSPACE_RUNNING;
    ttl->ws.timeout_ms = timeout_ms;
    ttl->ws.timeout_at_ms = is_running && timeout_ms > 0 ? server_unix_ms() + timeout_ms : 0;
    if (!is_running)
        on_ttl_taken(ttl, NULL);
    else if (guest_configure(exchange_server(x), &ttl->ws, timeout_ms, on_ttl_taken, ttl, &error)
             < 0)
        ttl_end(ttl, &error);
}

static void post_timeout(struct server *server, struct exchange *x)
{
    if (!json_is_integer(json_object_get(exchange_json(x), "timeout_ms"))) {
        exchange_fail(x, 400, "invalid_request", "timeout_ms must be a whole number");
        return;
    }
    workspace_find(x, exchange_param(x, 0), on_timeout, NULL);
}

/* --- metrics ------------------------------------------------------------------------------- */

/* Two samples, so that there is a share of the processor and not only a sum. */
#define SAMPLE_MS 100

struct metrics {
    struct exchange *x;
    struct server *server;
    char id[44];
    struct nt_timer *timer;
    uint64_t cpu_us, first_cpu_us;
    int64_t first_at_ms;
    uint64_t values[8];
    bool is_second;
};

/* The members of the answer, in the order of the tags. */
static const char *const metric_names[8] = { NULL,
                                             "cpu_count",
                                             "mem_used_bytes",
                                             "mem_total_bytes",
                                             "disk_used_bytes",
                                             "disk_total_bytes",
                                             "network_rx_bytes",
                                             "network_tx_bytes" };
_Static_assert(NT_GT_NET_TX - NT_GT_CPU_US == 7, "the tags of metrics are not in one row");

static void on_sample(void *data, const struct nt_g_frame *frame)
{
    struct metrics *m = data;
    struct nt_g_field field;
    size_t at = 0;
    while (nt_g_each(frame->payload, frame->size, &at, &field) > 0) {
        int ok = 1;
        uint64_t number =
            field.tag >= NT_GT_CPU_US && field.tag <= NT_GT_NET_TX ? nt_g_number(&field, &ok) : 0;
        if (ok && field.tag >= NT_GT_CPU_US && field.tag <= NT_GT_NET_TX)
            m->values[field.tag - NT_GT_CPU_US] = number > INT64_MAX ? INT64_MAX : number;
    }
}

static void metrics_free(struct metrics *m)
{
    m->server->loop->ops->timer_end(m->timer);
    free(m);
}

static void send_metrics(struct metrics *m, int64_t now_ms)
{
    int64_t passed_ms = now_ms - m->first_at_ms;
    uint64_t used_us = m->values[0] > m->first_cpu_us ? m->values[0] - m->first_cpu_us : 0;
    json_t *sample = json_object();
    json_object_set_new(sample, "timestamp", sandbox_time_json(server_unix_ms()));
    json_object_set_new(
        sample, "cpu_percent",
        json_real(passed_ms > 0 ? (double)used_us / 10.0 / (double)passed_ms : 0.0));
    for (size_t i = 1; i < 8; i++)
        json_object_set_new(sample, metric_names[i], json_integer((json_int_t)m->values[i]));
    exchange_send_json(m->x, 200, json_pack("[o]", sample));
}

static void ask_metrics(struct metrics *m);

static void on_second(void *data)
{
    ask_metrics(data);
}

static void on_asked(void *data, const struct nt_error *error)
{
    struct metrics *m = data;
    int64_t now_ms = m->server->loop->ops->now_ms(m->server->loop);
    if (error) {
        exchange_fail_error(m->x, error);
    } else if (!m->is_second) {
        m->is_second = true;
        m->first_cpu_us = m->values[0];
        m->first_at_ms = now_ms;
        m->timer = m->server->loop->ops->timer(m->server->loop, SAMPLE_MS, 0, on_second, m);
        if (m->timer)
            return;
        send_metrics(m, now_ms);
    } else {
        send_metrics(m, now_ms);
    }
    metrics_free(m);
}

static void ask_metrics(struct metrics *m)
{
    uint8_t memory[NT_G_HEAD];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_METRICS);
    struct nt_error error = NT_ERROR_INIT;
    if (guest_ask(m->server, m->id, (struct nt_bytes){ memory, nt_g_done(&w) }, on_sample, on_asked,
                  m, &error)
        < 0) {
        exchange_fail_error(m->x, &error);
        metrics_free(m);
    }
}

static void on_metrics(struct exchange *x, const struct workspace *ws, void *data)
{
    struct metrics *m = ws->status == WORKSPACE_RUNNING ? calloc(1, sizeof(*m)) : NULL;
    if (!m) { /* what does not run uses nothing */
        exchange_send_json(x, 200, json_array());
        return;
    }
    m->x = x;
    m->server = exchange_server(x);
    snprintf(m->id, sizeof(m->id), "%s", ws->id);
    ask_metrics(m);
}

static void get_metrics(struct server *server, struct exchange *x)
{
    workspace_find(x, exchange_param(x, 0), on_metrics, NULL);
}

static const struct route rows[] = {
    { .method = "POST",
      .pattern = "/v1/sandboxes",
      .handler = sandbox_create,
      .flags = ROUTE_JSON },
    { .method = "GET", .pattern = "/v1/sandboxes", .handler = list_sandboxes },
    { .method = "GET", .pattern = "/v1/sandboxes/{}", .handler = get_sandbox },
    { .method = "DELETE", .pattern = "/v1/sandboxes/{}", .handler = delete_sandbox },
    { .method = "POST",
      .pattern = "/v1/sandboxes/{}/timeout",
      .handler = post_timeout,
      .flags = ROUTE_JSON },
    { .method = "GET", .pattern = "/v1/sandboxes/{}/metrics", .handler = get_metrics },
};
const struct routes sandbox_routes = { rows, sizeof(rows) / sizeof(rows[0]) };
