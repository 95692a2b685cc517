/* SPDX-License-Identifier: Apache-2.0 */
/* ports.c - /v1/sandboxes/{}/ports: what is published and who listens inside, publishing, taking
 * away; and …/host, which publishes on loopback what is not published yet. */
#include "plugins/serve/ports.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/serve/act.h"
#include "plugins/serve/api/answer.h"
#include "plugins/serve/api/port_json.h"
#include "plugins/serve/api/routes.h"
#include "plugins/serve/api/sandbox.h"
#include "plugins/serve/api/utf8_text.h"
#include "plugins/serve/record.h"
#include "plugins/serve/store/store.h"
#include "sdk/buf.h"
#include "sdk/error.h"
#include "sdk/parse.h"

uint16_t port_of_path(struct exchange *x, unsigned index)
{
    struct nt_error error = NT_ERROR_INIT;
    uint64_t port = 0;
    if (nt_parse_u64(exchange_param(x, index), 1, 65535, &port, &error) < 0)
        exchange_fail(x, 400, "invalid_request", "a port is a number from 1 to 65535");
    return (uint16_t)port;
}

bool port_is_running(struct exchange *x, const struct workspace *ws)
{
    if (ws->status == WORKSPACE_RUNNING)
        return true;
    exchange_fail(x, 409, "sandbox_not_ready", "%s is not running", ws->name);
    return false;
}

/* --- JSON ---------------------------------------------------------------------------------- */

/* "127.0.0.1:80", "[::1]:80"; an address that means all is reached by localhost. */
static void host_text(const char *address, uint16_t port, char *ret, size_t size)
{
    bool is_any = strcmp(address, "0.0.0.0") == 0 || strcmp(address, "::") == 0;
    bool is_v6 = strchr(address, ':') && !is_any;
    snprintf(ret, size, "%s%s%s:%u", is_v6 ? "[" : "", is_any ? "127.0.0.1" : address,
             is_v6 ? "]" : "", (unsigned)port);
}

static json_t *mapped_json(const struct store_port *p)
{
    char host[64], url[96];
    bool is_usual = strcmp(p->address, "127.0.0.1") == 0;
    host_text(p->address, p->host_port, host, sizeof(host));
    if (is_usual)
        snprintf(host, sizeof(host), "localhost:%u", (unsigned)p->host_port);
    snprintf(url, sizeof(url), "http://%s", host);
    return json_pack("{s:s, s:i, s:i, s:s, s:s, s:o}", "kind", "mapped", "port", (int)p->port,
                     "host_port", (int)p->host_port, "address", p->address, "url", url, "notice",
                     p->notice[0] ? json_string(p->notice) : json_null());
}

static json_t *listener_json(const struct nt_g_frame *frame)
{
    json_t *item = json_pack("{s:s}", "kind", "listener");
    struct nt_g_field f;
    for (size_t at = 0; nt_g_each(frame->payload, frame->size, &at, &f) > 0;) {
        uint64_t number = nt_g_is_text(f.tag) || f.size != 8 ? 0 : nt_g_load(f.data, 8);
        if (f.tag == NT_GT_HOST_PORT) { /* a published one: the store says it */
            json_decref(item);
            return NULL;
        }
        if (f.tag == NT_GT_PORT)
            json_object_set_new(item, "port", json_integer((json_int_t)(number & 0xffffu)));
        else if (f.tag == NT_GT_PID)
            json_object_set_new(item, "pid", json_integer((json_int_t)(number & INT32_MAX)));
        else if (f.tag == NT_GT_ADDRESS)
            json_object_set_new(item, "address", utf8_json((const char *)f.data, f.size));
        else if (f.tag == NT_GT_COMMAND)
            json_object_set_new(item, "process", utf8_json((const char *)f.data, f.size));
        else if (f.tag == NT_GT_SINCE_MS && number < (uint64_t)INT64_MAX)
            json_object_set_new(item, "since", sandbox_time_json((int64_t)number));
    }
    return item;
}

/* --- listing ------------------------------------------------------------------------------- */

struct listing {
    struct exchange *x;
    struct workspace ws; /* texts are not kept */
    json_t *items;
};

static void listing_end(struct listing *l, const struct nt_error *error)
{
    if (error)
        answer_guest_error(l->x, error, GUEST_FILE);
    else
        exchange_send_json(l->x, 200, json_pack("{s:O}", "items", l->items));
    json_decref(l->items);
    free(l);
}

static void on_entry(void *data, const struct nt_g_frame *frame)
{
    struct listing *l = data;
    json_t *item = frame->type == NT_G_ENTRY ? listener_json(frame) : NULL;
    if (item && json_array_size(l->items) < 4096)
        json_array_append_new(l->items, item);
    else
        json_decref(item);
}

static void on_listed(void *data, const struct nt_error *error)
{
    listing_end(data, error);
}

static void on_mapped(void *data, const struct store_port *port)
{
    struct listing *l = data;
    json_array_append_new(l->items, mapped_json(port));
}

static void on_all_mapped(void *data, const struct nt_error *error)
{
    struct listing *l = data;
    struct nt_error failure = NT_ERROR_INIT;
    uint8_t memory[64];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_PORTS);
    if (error || l->ws.status != WORKSPACE_RUNNING)
        listing_end(l, error);
    else if (guest_ask(exchange_server(l->x), l->ws.id, (struct nt_bytes){ memory, nt_g_done(&w) },
                       on_entry, on_listed, l, &failure)
             < 0)
        listing_end(l, &failure);
}

static void on_list(struct exchange *x, const struct workspace *ws, void *data)
{
    (void)data;
    struct nt_error error = NT_ERROR_INIT;
    struct listing *l = calloc(1, sizeof(*l));
    if (!l) {
        exchange_fail(x, 500, "internal_error", "out of memory");
        return;
    }
    *l = (struct listing){ .x = x, .ws = *ws, .items = json_array() };
    if (store_port_list(exchange_server(x)->store, ws->id, on_mapped, on_all_mapped, l, &error) < 0)
        listing_end(l, &error);
}

static void get_ports(struct server *server, struct exchange *x)
{
    (void)server;
    workspace_find(x, exchange_param(x, 0), on_list, NULL);
}

/* --- publishing, and host ------------------------------------------------------------------ */

struct publish {
    struct publish *next; /* begun later */
    struct exchange *x;
    char ws_id[44], org_id[44];
    struct port_wish wish;
    struct store_port found;
    uint32_t count; /* of rows that are there */
    bool is_host;   /* POST …/host: one on loopback that is there will do */
    bool waits;     /* for an earlier one of the kind, which may make what it wants */
};

static void publish_end(struct publish *p, const struct nt_error *error);
static void on_known(void *data, const struct store_port *port);
static void on_all_known(void *data, const struct nt_error *error);

static void publish_begin(struct publish *p)
{
    struct nt_error error = NT_ERROR_INIT;
    p->waits = false;
    if (store_port_list(exchange_server(p->x)->store, p->ws_id, on_known, on_all_known, p, &error)
        < 0)
        publish_end(p, &error);
}

static bool is_same(const struct publish *a, const struct publish *b)
{
    return a->is_host && b->is_host && a->wish.port == b->wish.port
           && strcmp(a->ws_id, b->ws_id) == 0;
}

/* Two that ask for the same host at a time would each find none, and make one. */
static void publish_enter(struct server *server, struct publish *p)
{
    struct publish **at = &server->publishes;
    for (; *at; at = &(*at)->next)
        p->waits = p->waits || is_same(*at, p);
    *at = p;
    if (!p->waits)
        publish_begin(p);
}

static void publish_leave(struct server *server, const struct publish *p)
{
    struct publish **at = &server->publishes;
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    for (struct publish *other = *at; other; other = other->next)
        if (other->waits && is_same(other, p)) {
            publish_begin(other);
            return;
        }
}

static void publish_end(struct publish *p, const struct nt_error *error)
{
    struct server *server = exchange_server(p->x);
    struct store_port row = p->found;
    if (!row.host_port) {
        row.port = p->wish.port;
        row.host_port = p->wish.host_port;
        memcpy(row.address, p->wish.address, sizeof(row.address));
    }
    char host[64], url[96], ws_url[96];
    host_text(row.address, row.host_port, host, sizeof(host));
    snprintf(url, sizeof(url), "http://%s", host);
    snprintf(ws_url, sizeof(ws_url), "ws://%s", host);
    if (error)
        answer_guest_error(p->x, error, GUEST_FILE);
    else if (p->is_host)
        exchange_send_json(
            p->x, 200,
            json_pack("{s:s, s:s, s:s}", "host", host, "url", url, "websocket_url", ws_url));
    else
        exchange_send_json(p->x, 201, mapped_json(&row));
    ports_close(&p->wish, 1);
    publish_leave(server, p);
    free(p);
}

static void on_kept(void *data)
{
    publish_end(data, NULL);
}

static void on_published(void *data, const struct nt_error *error)
{
    struct publish *p = data;
    if (error)
        publish_end(p, error);
    else
        record_keep(exchange_server(p->x), p->ws_id, on_kept, p);
}

static void on_known(void *data, const struct store_port *port)
{
    struct publish *p = data;
    p->count++;
    if (p->is_host && port->port == p->wish.port && !port->notice[0]
        && strchr(port->address, ':') == NULL)
        p->found = *port;
}

static void on_all_known(void *data, const struct nt_error *error)
{
    struct publish *p = data;
    struct nt_error failure = NT_ERROR_INIT;
    if (error || p->found.host_port) {
        publish_end(p, error);
        return;
    }
    if (p->count >= PORTS_MAX) {
        nt_fail(&failure, NT_E_QUOTA, "a workspace has at most %u published ports", PORTS_MAX);
        nt_copy_text(failure.server_code, sizeof(failure.server_code), "quota_exceeded");
        publish_end(p, &failure);
    } else if (port_listen(exchange_server(p->x), &p->wish, &failure) < 0) {
        if (!failure.server_code[0] && failure.code == NT_E_FORBIDDEN)
            nt_copy_text(failure.server_code, sizeof(failure.server_code), "forbidden");
        publish_end(p, &failure);
    } else {
        ports_publish(exchange_server(p->x), p->ws_id, p->org_id, &p->wish, 1, on_published, p);
    }
}

static void publish(struct exchange *x, const struct workspace *ws, bool is_host)
{
    struct server *server = exchange_server(x);
    struct nt_error error = NT_ERROR_INIT;
    struct port_wish wish;
    if (port_parse(server, exchange_json(x), exchange_principal(x)->is_local, &wish, &error) < 0) {
        exchange_fail_error(x, &error);
        return;
    }
    if (!port_is_running(x, ws))
        return;
    struct publish *p = calloc(1, sizeof(*p));
    if (!p) {
        exchange_fail(x, 500, "internal_error", "out of memory");
        return;
    }
    *p = (struct publish){ .x = x, .wish = wish, .is_host = is_host };
    memcpy(p->ws_id, ws->id, sizeof(p->ws_id));
    memcpy(p->org_id, ws->org_id, sizeof(p->org_id));
    publish_enter(server, p);
}

static void on_post(struct exchange *x, const struct workspace *ws, void *data)
{
    (void)data;
    publish(x, ws, false);
}

static void on_host(struct exchange *x, const struct workspace *ws, void *data)
{
    (void)data;
    publish(x, ws, true);
}

static void post_port(struct server *server, struct exchange *x)
{
    (void)server;
    workspace_find(x, exchange_param(x, 0), on_post, NULL);
}

static void post_host(struct server *server, struct exchange *x)
{
    (void)server;
    workspace_find(x, exchange_param(x, 0), on_host, NULL);
}

/* --- taking away --------------------------------------------------------------------------- */

struct withdrawal {
    struct exchange *x;
    char ws_id[44];
};

static void on_forgotten(void *data)
{
    struct withdrawal *w = data;
    exchange_send_empty(w->x, 204);
    free(w);
}

static void on_withdrawn(void *data, const struct nt_error *error)
{
    struct withdrawal *w = data;
    if (!error) {
        record_keep(exchange_server(w->x), w->ws_id, on_forgotten, w);
        return;
    }
    answer_guest_error(w->x, error, GUEST_FILE);
    free(w);
}

static void on_delete(struct exchange *x, const struct workspace *ws, void *data)
{
    (void)data;
    struct nt_error error = NT_ERROR_INIT;
    uint16_t host_port = port_of_path(x, 1);
    struct withdrawal *w = host_port ? calloc(1, sizeof(*w)) : NULL;
    if (!host_port)
        return;
    if (!w) {
        exchange_fail(x, 500, "internal_error", "out of memory");
        return;
    }
    *w = (struct withdrawal){ .x = x };
    memcpy(w->ws_id, ws->id, sizeof(w->ws_id));
    if (port_withdraw(exchange_server(x), ws, host_port, on_withdrawn, w, &error) < 0) {
        exchange_fail_error(x, &error);
        free(w);
    }
}

static void delete_port(struct server *server, struct exchange *x)
{
    (void)server;
    workspace_find(x, exchange_param(x, 0), on_delete, NULL);
}

static const struct route rows[] = {
    { .method = "GET", .pattern = "/v1/sandboxes/{}/ports", .handler = get_ports },
    { .method = "POST",
      .pattern = "/v1/sandboxes/{}/ports",
      .handler = post_port,
      .flags = ROUTE_JSON },
    { .method = "DELETE", .pattern = "/v1/sandboxes/{}/ports/{}", .handler = delete_port },
    { .method = "POST",
      .pattern = "/v1/sandboxes/{}/host",
      .handler = post_host,
      .flags = ROUTE_JSON },
};
const struct routes port_routes = { rows, sizeof(rows) / sizeof(rows[0]) };
