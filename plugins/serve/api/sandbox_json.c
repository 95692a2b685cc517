/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox_json.c - a workspace on the wire. Clients of the narrow form know a closed set of status
 * words and treat an unknown one as a crash; the wide form says what is. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "plugins/serve/api/sandbox.h"
#include "nanoterm/engine.h"

static const struct {
    enum workspace_status status;
    const char *narrow, *wide;
} words[] = {
    { WORKSPACE_CREATING, "creating", "creating" },
    { WORKSPACE_RUNNING, "running", "running" },
    { WORKSPACE_STOPPED, "paused", "stopped" },
    { WORKSPACE_DESTROYED, "destroyed", "destroyed" },
    { WORKSPACE_ERROR, "error", "error" },
};

static const char *word_of(enum workspace_status status, bool is_wide)
{
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (words[i].status == status)
            return is_wide ? words[i].wide : words[i].narrow;
    return "error";
}

uint32_t sandbox_state_bit(const char *word, size_t size)
{
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if ((strlen(words[i].narrow) == size && memcmp(words[i].narrow, word, size) == 0)
            || (strlen(words[i].wide) == size && memcmp(words[i].wide, word, size) == 0))
            return 1u << words[i].status;
    return 0;
}

json_t *sandbox_time_json(int64_t unix_ms)
{
    if (unix_ms <= 0)
        return json_null();
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm tm;
    char date[32], text[48];
    if (!gmtime_r(&seconds, &tm) || strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
        return json_null();
    snprintf(text, sizeof(text), "%s.%03dZ", date, (int)(unix_ms % 1000));
    return json_string(text);
}

static void change_prefix(const char *id, const char *prefix, char *ret, size_t size)
{
    const char *rest = strchr(id, '_');
    /* an id has at most 40 characters */
    snprintf(ret, size, "%s_%.40s", prefix, rest ? rest + 1 : id);
}

void sandbox_snapshot_id(const char *ws_id, char *ret, size_t size)
{
    change_prefix(ws_id, "sn", ret, size);
}

void sandbox_id_of_snapshot(const char *snapshot_id, char *ret, size_t size)
{
    if (strncmp(snapshot_id, "sn_", 3) == 0)
        change_prefix(snapshot_id, "ws", ret, size);
    else
        snprintf(ret, size, "%s", snapshot_id);
}

static const char *limit_word(uint32_t limit)
{
    return limit == NT_LIMIT_HARD ? "hard" : limit == NT_LIMIT_SOFT ? "soft" : "none";
}

static json_t *object_of(const char *text)
{
    json_t *value = json_loads(text ? text : "{}", JSON_ALLOW_NUL, NULL);
    if (json_is_object(value))
        return value;
    json_decref(value);
    return json_object();
}

static bool is_wanted(const char *fields, const char *name)
{
    if (!fields)
        return true;
    size_t size = strlen(name);
    for (const char *at = fields; *at; at += strspn(at, ", ")) {
        size_t length = strcspn(at, ", ");
        if (length == size && memcmp(at, name, size) == 0)
            return true;
        at += length;
    }
    return false;
}

/* Puts one member (taken) when it is wanted. */
static void put(json_t *object, const char *fields, const char *name, json_t *value)
{
    if (is_wanted(fields, name))
        json_object_set_new(object, name, value);
    else
        json_decref(value);
}

static void put_wide(json_t *object, const char *fields, const struct workspace *ws)
{
    put(object, fields, "name", json_string(ws->name));
    put(object, fields, "image", json_string(ws->image));
    put(object, fields, "size", json_string(ws->size));
    put(object, fields, "limits",
        json_pack("{s:s, s:s, s:s, s:s}", "cpu", limit_word(ws->limit_cpu), "memory",
                  limit_word(ws->limit_memory), "pids", limit_word(ws->limit_pids), "disk",
                  limit_word(ws->limit_disk)));
    put(object, fields, "internet_access", json_boolean(ws->internet));
    put(object, fields, "unreachable", json_boolean(ws->unreachable));
    put(object, fields, "notice", ws->notice[0] ? json_string(ws->notice) : json_null());
    put(object, fields, "org_id", json_string(ws->org_id));
}

json_t *sandbox_json(const struct workspace *ws, bool is_wide, const char *fields)
{
    json_t *object = json_object();
    put(object, fields, "id", json_string(ws->id));
    put(object, fields, "status", json_string(word_of(ws->status, is_wide)));
    json_t *config = json_pack("{s:I, s:I}", "vcpus", (json_int_t)ws->vcpus, "memory_mb",
                               (json_int_t)ws->memory_mb);
    if (is_wide) {
        json_object_set_new(config, "pids", json_integer(ws->pids));
        json_object_set_new(config, "disk_mb",
                            ws->disk_mb ? json_integer(ws->disk_mb) : json_null());
    }
    put(object, fields, "config", config);
    put(object, fields, "template", json_string(ws->template_name));
    put(object, fields, "metadata", object_of(ws->metadata));
    put(object, fields, "created_at", sandbox_time_json(ws->created_at_ms));
    put(object, fields, "started_at", sandbox_time_json(ws->started_at_ms));
    put(object, fields, "timeout_at", sandbox_time_json(ws->timeout_at_ms));
    put(object, fields, "expires_at", sandbox_time_json(ws->timeout_at_ms));
    put(object, fields, "timeout_ms",
        ws->timeout_ms > 0 ? json_integer(ws->timeout_ms) : json_null());
    put(object, fields, "timeout_action",
        json_string(ws->on_timeout_hibernate ? "hibernate" : "destroy"));
    put(object, fields, "cwd", json_string(ws->cwd[0] ? ws->cwd : "/workspace"));
    char snapshot[44];
    sandbox_snapshot_id(ws->id, snapshot, sizeof(snapshot));
    put(object, fields, "snapshot_id",
        ws->status == WORKSPACE_STOPPED ? json_string(snapshot) : json_null());
    if (is_wide)
        put_wide(object, fields, ws);
    return object;
}

json_t *sandbox_snapshot_json(const struct workspace *ws, uint64_t size_bytes)
{
    char id[44];
    sandbox_snapshot_id(ws->id, id, sizeof(id));
    json_t *object = json_object();
    json_object_set_new(object, "id", json_string(id));
    json_object_set_new(object, "sandbox_id", json_string(ws->id));
    json_object_set_new(object, "size_bytes", json_integer((json_int_t)size_bytes));
    json_object_set_new(object, "created_at", sandbox_time_json(server_unix_ms()));
    return object;
}
