/* SPDX-License-Identifier: Apache-2.0 */
/* record.c - records as text, and how they get to the engine; see record.h. */
#include "record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/serve/api/sandbox.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/json.h"

#define KEEP_MS 10000

void record_done(struct record *record)
{
    workspace_done(&record->ws);
}

/* --- writing ------------------------------------------------------------------------------- */

static json_t *ports_json(const struct record *r)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < r->port_count; i++)
        json_array_append_new(list, json_pack("{s:i, s:i, s:s}", "port", (int)r->ports[i].port,
                                              "host_port", (int)r->ports[i].host_port, "address",
                                              r->ports[i].address));
    return list;
}

/* An object that was one when it was stored. */
static json_t *object_of(const char *text)
{
    json_t *value = json_loads(text ? text : "{}", 0, NULL);
    return value ? value : json_object();
}

static char *dump(const json_t *root)
{
    char *text = json_dumps(root, JSON_COMPACT);
    if (text && strlen(text) < NT_RECORD_MAX)
        return text;
    free(text);
    return NULL;
}

int record_write(const struct record *r, char **ret, struct nt_error *reterr)
{
    const struct workspace *ws = &r->ws;
    nt_auto_json json_t *root = json_pack(
        "{s:i, s:s, s:s, s:b, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:b, s:b, s:I, s:I,"
        " s:o}",
        "version", 1, "id", ws->id, "org_id", ws->org_id, "is_owners", (int)r->is_owners, "name",
        ws->name, "image", ws->image, "template", ws->template_name, "size", ws->size, "cwd",
        ws->cwd, "vcpus", (json_int_t)ws->vcpus, "memory_mb", (json_int_t)ws->memory_mb, "disk_mb",
        (json_int_t)ws->disk_mb, "pids", (json_int_t)ws->pids, "internet", (int)ws->internet,
        "on_timeout_hibernate", (int)ws->on_timeout_hibernate, "timeout_ms",
        (json_int_t)ws->timeout_ms, "created_at_ms", (json_int_t)ws->created_at_ms, "ports",
        ports_json(r));
    if (!root)
        return nt_fail(reterr, NT_E_MEMORY, "no memory for the record of %s", ws->id);
    json_object_set_new(root, "envs", object_of(ws->envs));
    json_object_set_new(root, "metadata", object_of(ws->metadata));
    *ret = dump(root);
    if (!*ret) {
        json_object_del(root, "envs");
        json_object_del(root, "metadata");
        *ret = dump(root);
    }
    return *ret ? 0 : nt_fail(reterr, NT_E_LIMIT, "the record of %s is too long", ws->id);
}

/* --- reading ------------------------------------------------------------------------------- */

static bool take_text(const json_t *root, const char *key, char *ret, size_t size)
{
    const char *text = nt_json_text(root, key);
    if (!text || strlen(text) >= size)
        return false;
    memcpy(ret, text, strlen(text) + 1);
    return true;
}

static bool take_number(const json_t *root, const char *key, int64_t max, int64_t *ret)
{
    const json_t *value = json_object_get(root, key);
    *ret = json_integer_value(value);
    return json_is_integer(value) && *ret >= 0 && *ret <= max;
}

static bool take_small(const json_t *root, const char *key, uint32_t *ret)
{
    int64_t number;
    if (!take_number(root, key, UINT32_MAX, &number))
        return false;
    *ret = (uint32_t)number;
    return true;
}

static bool take_ports(const json_t *list, struct record *r)
{
    size_t count = json_array_size(list);
    if (!json_is_array(list) || count > PORTS_MAX)
        return false;
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(list, i);
        struct store_port *p = &r->ports[i];
        int64_t port, host_port;
        if (!take_number(item, "port", 65535, &port)
            || !take_number(item, "host_port", 65535, &host_port) || !port || !host_port
            || !take_text(item, "address", p->address, sizeof(p->address)))
            return false;
        p->port = (uint16_t)port;
        p->host_port = (uint16_t)host_port;
        nt_copy_text(p->ws_id, sizeof(p->ws_id), r->ws.id);
        nt_copy_text(p->org_id, sizeof(p->org_id), r->ws.org_id);
    }
    r->port_count = (uint32_t)count;
    return true;
}

/* The text of an object; "{}" when it is missing. NULL: no memory. */
static char *text_of(const json_t *object)
{
    return json_is_object(object) ? json_dumps(object, JSON_COMPACT) : strdup("{}");
}

int record_read(struct nt_bytes text, struct record *ret, struct nt_error *reterr)
{
    nt_auto_json json_t *root = json_loadb(text.data, text.size, JSON_REJECT_DUPLICATES, NULL);
    struct record r = { .is_owners = json_is_true(json_object_get(root, "is_owners")) };
    struct workspace *ws = &r.ws;
    if (!root || !take_text(root, "id", ws->id, sizeof(ws->id))
        || !take_text(root, "org_id", ws->org_id, sizeof(ws->org_id))
        || !take_text(root, "name", ws->name, sizeof(ws->name)) || !sandbox_name_is_fine(ws->name)
        || !take_text(root, "image", ws->image, sizeof(ws->image))
        || !take_text(root, "template", ws->template_name, sizeof(ws->template_name))
        || !take_text(root, "size", ws->size, sizeof(ws->size))
        || !take_text(root, "cwd", ws->cwd, sizeof(ws->cwd))
        || !take_small(root, "vcpus", &ws->vcpus) || !take_small(root, "memory_mb", &ws->memory_mb)
        || !take_small(root, "disk_mb", &ws->disk_mb) || !take_small(root, "pids", &ws->pids)
        || !take_number(root, "timeout_ms", INT64_MAX, &ws->timeout_ms)
        || !take_number(root, "created_at_ms", INT64_MAX, &ws->created_at_ms)
        || !take_ports(json_object_get(root, "ports"), &r))
        return nt_fail(reterr, NT_E_INVALID, "the record is damaged");
    ws->internet = json_is_true(json_object_get(root, "internet"));
    ws->on_timeout_hibernate = json_is_true(json_object_get(root, "on_timeout_hibernate"));
    r.is_cut = !json_is_object(json_object_get(root, "envs"));
    ws->envs = text_of(json_object_get(root, "envs"));
    ws->metadata = text_of(json_object_get(root, "metadata"));
    if (!ws->envs || !ws->metadata) {
        record_done(&r);
        return nt_fail(reterr, NT_E_MEMORY, "no memory for a record");
    }
    *ret = r;
    return 0;
}

/* --- to the engine ------------------------------------------------------------------------- */

char *record_first(const struct server *server, const struct workspace *ws,
                   const struct port_wish *ports, uint32_t port_count)
{
    struct nt_error error = NT_ERROR_INIT;
    nt_autofree struct record *r = calloc(1, sizeof(*r));
    char *text = NULL;
    if (!r || !(server->engine_ops->caps & NT_ENGINE_KEEP))
        return NULL;
    r->ws = *ws; /* its texts stay its own */
    r->is_owners = strcmp(ws->org_id, server->owner_org) == 0;
    for (uint32_t i = 0; i < port_count && i < PORTS_MAX; i++) {
        struct store_port *p = &r->ports[r->port_count++];
        p->port = ports[i].port;
        p->host_port = ports[i].host_port;
        memcpy(p->address, ports[i].address, sizeof(p->address));
    }
    return record_write(r, &text, &error) == 0 ? text : NULL;
}

struct keeping {
    struct server *server;
    struct record record;
    void (*done)(void *data);
    void *data;
};

static void keeping_end(struct keeping *k, const char *why)
{
    if (why && k->server->options->debug)
        k->server->options->debug(k->server->options->data, "record.not_kept", why);
    k->done(k->data);
    record_done(&k->record);
    free(k);
}

static void on_kept(void *data, const struct nt_engine_result *result)
{
    keeping_end(data, result->outcome == NT_OP_DONE ? NULL : result->error.message);
}

static void on_port(void *data, const struct store_port *port)
{
    struct keeping *k = data;
    if (k->record.port_count < PORTS_MAX)
        k->record.ports[k->record.port_count++] = *port;
}

static void on_ports(void *data, const struct nt_error *error)
{
    struct keeping *k = data;
    struct server *server = k->server;
    struct nt_error failure = NT_ERROR_INIT;
    nt_autofree char *text = NULL;
    if (error || record_write(&k->record, &text, &failure) < 0) {
        keeping_end(k, error ? error->message : failure.message);
        return;
    }
    struct nt_engine_call call = { .size = sizeof(call),
                                   .key = "keep",
                                   .done = on_kept,
                                   .data = k,
                                   .deadline_ms =
                                       server->loop->ops->now_ms(server->loop) + KEEP_MS };
    if (!server->engine_ops->keep(server->engine, &call, k->record.ws.id, text))
        keeping_end(k, "the engine could not begin");
}

static void on_found(void *data, const struct workspace *ws, const struct nt_error *error)
{
    struct keeping *k = data;
    struct nt_error failure = NT_ERROR_INIT;
    if (error || !ws || workspace_copy(ws, &k->record.ws, &failure) < 0) {
        keeping_end(k, error ? error->message : ws ? failure.message : "it is gone");
        return;
    }
    k->record.is_owners = strcmp(ws->org_id, k->server->owner_org) == 0;
    if (store_port_list(k->server->store, ws->id, on_port, on_ports, k, &failure) < 0)
        keeping_end(k, failure.message);
}

void record_keep(struct server *server, const char *ws_id, void (*done)(void *data), void *data)
{
    struct nt_error error = NT_ERROR_INIT;
    struct keeping *k = (server->engine_ops->caps & NT_ENGINE_KEEP) ? calloc(1, sizeof(*k)) : NULL;
    if (!k) {
        done(data);
        return;
    }
    *k = (struct keeping){ .server = server, .done = done, .data = data };
    if (store_workspace_find(server->store, NULL, ws_id, on_found, k, &error) < 0)
        keeping_end(k, error.message);
}
