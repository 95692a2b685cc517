/* SPDX-License-Identifier: Apache-2.0 */
/* metrics.c - GET /metrics: what the server counts of itself, in the text form of Prometheus
 * (version 0.0.4).
 *
 * It tells of all organisations, so the credential must be of the owner's; loopback is no
 * exception. ?workspaces=1 adds what each running workspace uses: at most STATS_MAX of them, by
 * their id alone. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/serve/api/routes.h"
#include "plugins/serve/health.h"
#include "plugins/serve/http/router.h"
#include "plugins/serve/measure.h"
#include "plugins/serve/server.h"
#include "plugins/serve/stats.h"
#include "plugins/serve/store/store.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define TEXT_MAX (4u * 1024 * 1024)
#define TYPE "text/plain; version=0.0.4; charset=utf-8"

struct scrape {
    struct exchange *x;
    struct server *server;
    struct nt_buf text;
    struct nt_timer *lag;
    uint64_t lag_begun_ns;
};

static void head(struct nt_buf *b, const char *name, const char *type, const char *help)
{
    nt_buf_addf(b, "# HELP nanoterm_%s %s\n# TYPE nanoterm_%s %s\n", name, help, name, type);
}

/* Microseconds as seconds. */
static void add_seconds(struct nt_buf *b, uint64_t us)
{
    nt_buf_addf(b, "%" PRIu64 ".%06" PRIu64, us / 1000000, us % 1000000);
}

/* labels: "" or "a=\"b\"". The sum of the buckets is the count: one is never ahead of the other. */
static void histogram(struct nt_buf *b, const char *name, const char *labels, struct measure *m)
{
    uint64_t count = atomic_load(&m->count), sum = 0;
    const char *comma = *labels ? "," : "";
    for (unsigned i = 0; i < MEASURE_BUCKETS; i++) {
        sum += atomic_load(&m->buckets[i]);
        nt_buf_addf(b, "nanoterm_%s_bucket{%s%sle=\"", name, labels, comma);
        add_seconds(b, measure_bounds_us[i]);
        nt_buf_addf(b, "\"} %" PRIu64 "\n", sum);
    }
    count = count < sum ? sum : count;
    nt_buf_addf(b, "nanoterm_%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, labels, comma, count);
    nt_buf_addf(b, "nanoterm_%s_sum%s%s%s ", name, *labels ? "{" : "", labels, *labels ? "}" : "");
    add_seconds(b, atomic_load(&m->sum_us));
    nt_buf_addf(b, "\nnanoterm_%s_count%s%s%s %" PRIu64 "\n", name, *labels ? "{" : "", labels,
                *labels ? "}" : "", count);
}

static void add_requests(struct nt_buf *b)
{
    static const char *const classes[] = { "0xx", "1xx", "2xx", "3xx", "4xx", "5xx" };
    head(b, "http_requests_total", "counter",
         "Answers by route and class of status; 1xx: the connection was handed on.");
    for (uint32_t i = 0; i < measures.count; i++) {
        const struct measure_route *row = &measures.routes[i];
        for (unsigned c = 1; c < 6; c++)
            if (row->classes[c])
                nt_buf_addf(b,
                            "nanoterm_http_requests_total{method=\"%s\",route=\"%s\",class=\"%s\"} "
                            "%" PRIu64 "\n",
                            row->route ? row->route->method : "",
                            row->route ? row->route->pattern : "none", classes[c], row->classes[c]);
    }
    head(b, "http_request_seconds", "histogram", "From the head of a request to its answer.");
    for (uint32_t i = 0; i < measures.count; i++) {
        nt_auto(nt_buf_done) struct nt_buf labels = NT_BUF(512);
        const struct route *route = measures.routes[i].route;
        nt_buf_addf(&labels, "method=\"%s\",route=\"%s\"", route ? route->method : "",
                    route ? route->pattern : "none");
        histogram(b, "http_request_seconds", nt_buf_text(&labels), &measures.routes[i].took);
    }
}

static void add_gauge(struct nt_buf *b, const char *name, const char *help, uint64_t value)
{
    head(b, name, "gauge", help);
    nt_buf_addf(b, "nanoterm_%s %" PRIu64 "\n", name, value);
}

static void scrape_end(struct scrape *s, const struct nt_error *error)
{
    if (error)
        exchange_fail_error(s->x, error);
    else if (!nt_buf_ok(&s->text))
        exchange_fail(s->x, 500, "internal_error", "the metrics are too long");
    else
        exchange_send_text(s->x, 200, TYPE,
                           (struct nt_bytes){ nt_buf_text(&s->text), s->text.size });
    s->server->loop->ops->timer_end(s->lag);
    nt_buf_done(&s->text);
    free(s);
}

static void on_stats(void *data, json_t *rows, const struct nt_error *error)
{
    static const struct {
        const char *name, *type, *help, *member;
    } gauges[] = {
        { "workspace_cpu_seconds_total", "counter", "Processor time of its programs.", "cpu_us" },
        { "workspace_memory_bytes", "gauge", "Memory in use.", "mem_used_bytes" },
        { "workspace_memory_limit_bytes", "gauge", "Memory that it may use.", "mem_limit_bytes" },
        { "workspace_pids", "gauge", "Processes and threads.", "pids_used" },
        { "workspace_oom_kills_total", "counter", "Processes killed for memory.", "oom_kills" },
    };
    struct scrape *s = data;
    for (size_t g = 0; rows && g < sizeof(gauges) / sizeof(gauges[0]); g++) {
        size_t i;
        json_t *row;
        head(&s->text, gauges[g].name, gauges[g].type, gauges[g].help);
        json_array_foreach(rows, i, row)
        {
            const json_t *value = json_object_get(row, gauges[g].member);
            if (!value || !json_object_get(row, "at_ms"))
                continue;
            nt_buf_addf(&s->text, "nanoterm_%s{workspace=\"%s\"} ", gauges[g].name,
                        json_string_value(json_object_get(row, "id")));
            if (g == 0)
                add_seconds(&s->text, (uint64_t)json_integer_value(value));
            else
                nt_buf_addf(&s->text, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
            nt_buf_add_char(&s->text, '\n');
        }
    }
    scrape_end(s, error);
}

static void on_counts(void *data, const uint64_t counts[STORE_STATES], const struct nt_error *error)
{
    static const char *const states[STORE_STATES] = { "creating", "running", "stopped", "destroyed",
                                                      "error" };
    struct scrape *s = data;
    struct nt_error failure = NT_ERROR_INIT;
    if (error) {
        scrape_end(s, error);
        return;
    }
    head(&s->text, "workspaces", "gauge", "Workspaces by state.");
    for (unsigned i = 0; i < STORE_STATES; i++)
        if (i != WORKSPACE_DESTROYED)
            nt_buf_addf(&s->text, "nanoterm_workspaces{state=\"%s\"} %" PRIu64 "\n", states[i],
                        counts[i]);
    const char *wanted = exchange_query(s->x, "workspaces");
    if (!wanted || strcmp(wanted, "1") != 0)
        scrape_end(s, NULL);
    else if (stats_collect(s->server, NULL, on_stats, s, &failure) < 0)
        scrape_end(s, &failure);
}

static void on_lag(void *data)
{
    struct scrape *s = data;
    struct server *server = s->server;
    struct nt_error error = NT_ERROR_INIT;
    uint64_t lag_us = (uv_hrtime() - s->lag_begun_ns) / 1000;
    head(&s->text, "event_loop_lag_seconds", "gauge",
         "How late a timer of zero came, just now: what else the loop was at.");
    nt_buf_add(&s->text, "nanoterm_event_loop_lag_seconds ");
    add_seconds(&s->text, lag_us);
    nt_buf_add_char(&s->text, '\n');
    add_requests(&s->text);
    add_gauge(&s->text, "requests_in_flight", "Requests that are not answered yet.",
              server->exchanges);
    add_gauge(&s->text, "guest_operations_in_flight", "Connections to guests that are at work.",
              guest_ops_in_flight());
    add_gauge(&s->text, "workspaces_unreachable",
              "Running workspaces whose guest did not answer when last asked.",
              health_unreachable_count(server));
    head(&s->text, "store_commit_seconds", "histogram", "How long a commit to the disk took.");
    histogram(&s->text, "store_commit_seconds", "", store_commits(server->store));
    head(&s->text, "build_info", "gauge", "The program that answers.");
    nt_buf_addf(&s->text, "nanoterm_build_info{version=\"%s\",engine=\"%s\"} 1\n", NT_VERSION,
                server->engine_name);
    if (store_workspace_counts(server->store, on_counts, s, &error) < 0)
        scrape_end(s, &error);
}

static void get_metrics(struct server *server, struct exchange *x)
{
    if (strcmp(exchange_principal(x)->org_id, server->owner_org) != 0) {
        exchange_fail(x, 403, "forbidden", "only the owner of this server may read its metrics");
        return;
    }
    struct scrape *s = calloc(1, sizeof(*s));
    if (s) {
        *s = (struct scrape){
            .x = x, .server = server, .text = NT_BUF(TEXT_MAX), .lag_begun_ns = uv_hrtime()
        };
        s->lag = server->loop->ops->timer(server->loop, 0, 0, on_lag, s);
    }
    if (s && s->lag)
        return;
    free(s);
    exchange_fail(x, 500, "internal_error", "out of memory");
}

static const struct route rows[] = {
    { .method = "GET", .pattern = "/metrics", .handler = get_metrics },
};
const struct routes metrics_routes = { rows, sizeof(rows) / sizeof(rows[0]) };
