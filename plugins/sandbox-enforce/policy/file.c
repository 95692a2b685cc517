/* SPDX-License-Identifier: Apache-2.0 */
/* file.c - a policy as JSON, for the program that lives under it, and back. No secret and no
 * reference to one is written; what is read is taken for what a stranger wrote. */
#include "plugins/sandbox-enforce/policy/make.h"

#include <stdlib.h>
#include <string.h>

#include "plugins/sandbox-enforce/errors.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/json.h"

#define FILE_MAX ((size_t)1024 * 1024)
#define ROWS_MAX 8192u
#define TEXT_MAX 8192u

static const char *const access_names[] = { "none", "read", "write", "readwrite" };
static const char *const network_names[] = { "open", "blocked", "filtered" };

/* --- writing --------------------------------------------------------------------------------- */

/* Paths are bytes; JSON is not: what is no UTF-8 is left out rather than changed. */
static json_t *text_of(const char *text)
{
    return json_string(text ? text : "");
}

static json_t *texts_of(const struct policy_texts *texts)
{
    json_t *array = json_array();
    for (size_t i = 0; i < texts->count; i++)
        json_array_append_new(array, text_of(texts->at[i]));
    return array;
}

/* A number for one port, a pair for more. */
static json_t *ports_of(const struct policy_ports *ports, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, ports[i].first == ports[i].last
                                         ? json_integer(ports[i].first)
                                         : json_pack("[i, i]", ports[i].first, ports[i].last));
    return array;
}

static json_t *endpoints_of(const struct policy_endpoint *rows, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(
            array, json_pack("{s:s, s:s}", "method", rows[i].method, "path", rows[i].path));
    return array;
}

/* A string of JSON; false: it is none, which is no UTF-8. Plain text is written as it is, whatever
 * needs care is left to the library. */
static bool add_string(struct nt_buf *b, const char *text)
{
    size_t size = 0;
    while (text && text[size] >= 0x20 && text[size] < 0x7f && text[size] != '"'
           && text[size] != '\\')
        size++;
    if (text && !text[size]) {
        nt_buf_add_char(b, '"');
        nt_buf_add_bytes(b, text, size);
        nt_buf_add_char(b, '"');
        return true;
    }
    nt_auto_json json_t *string = json_string(text);
    nt_autofree char *escaped = string ? json_dumps(string, JSON_ENCODE_ANY) : NULL;
    nt_buf_add(b, escaped ? escaped : "");
    return escaped;
}

/* ,"KEY":"TEXT"; `key` with all that stands before the text. */
static bool add_member(struct nt_buf *b, const char *key, const char *text)
{
    nt_buf_add(b, key);
    return add_string(b, text);
}

static void add_bool(struct nt_buf *b, const char *key, bool value)
{
    nt_buf_add(b, key);
    nt_buf_add(b, value ? "true" : "false");
}

static bool write_grant(struct nt_buf *b, const struct policy_grant *row)
{
    bool is_good = add_member(b, "{\"original\":", row->original ? row->original : "")
                   && add_member(b, ",\"path\":", row->path ? row->path : "")
                   && add_member(b, ",\"access\":", access_names[row->access & POLICY_BOTH])
                   && add_member(b, ",\"source\":", row->source);
    add_bool(b, ",\"is_file\":", row->is_file);
    return is_good;
}

static bool write_deny(struct nt_buf *b, const struct policy_deny *row)
{
    bool is_good = add_member(b, "{\"path\":", row->path ? row->path : "")
                   && add_member(b, ",\"source\":", row->source)
                   && add_member(b, ",\"about\":", row->about);
    add_bool(b, ",\"is_absolute\":", row->is_absolute);
    return is_good;
}

/* Ends the row that began at `mark`, or takes it back. */
static void end_row(struct nt_buf *b, size_t mark, bool is_good)
{
    if (is_good)
        nt_buf_add(b, "},");
    else if (nt_buf_ok(b))
        b->size = mark;
}

static void end_rows(struct nt_buf *b)
{
    if (nt_buf_ok(b) && b->data[b->size - 1] == ',')
        b->size--;
    nt_buf_add_char(b, ']');
}

/* Every policy has dozens of grants and denies. They are written as text: as values of the library
 * they were a quarter of the work of starting a program. */
static void write_grants(struct nt_buf *b, const struct policy *p)
{
    nt_buf_add(b, "\"fs\":[");
    for (size_t i = 0; i < p->grant_count; i++) {
        size_t mark = b->size;
        end_row(b, mark, write_grant(b, &p->grants[i]));
    }
    end_rows(b);
}

static void write_denies(struct nt_buf *b, const struct policy *p)
{
    nt_buf_add(b, "\"denies\":[");
    for (size_t i = 0; i < p->deny_count; i++) {
        size_t mark = b->size;
        end_row(b, mark, write_deny(b, &p->denies[i]));
    }
    end_rows(b);
}

static json_t *unix_of(const struct policy *p)
{
    json_t *array = json_array();
    for (size_t i = 0; i < p->unix_count; i++)
        json_array_append_new(
            array, json_pack("{s:o, s:b, s:b, s:b}", "path", text_of(p->unix_grants[i].path),
                             "may_bind", p->unix_grants[i].may_bind, "is_folder",
                             p->unix_grants[i].is_folder, "is_tree", p->unix_grants[i].is_tree));
    return array;
}

static json_t *denied_hosts_of(const struct policy *p)
{
    json_t *array = json_array();
    for (size_t i = 0; i < p->denied_host_count; i++)
        json_array_append_new(array, json_pack("{s:s, s:s}", "name", p->denied_hosts[i].name,
                                               "source", p->denied_hosts[i].source));
    return array;
}

static json_t *hosts_of(const struct policy *p)
{
    json_t *array = json_array();
    for (size_t i = 0; i < p->host_count; i++)
        json_array_append_new(
            array, json_pack("{s:s, s:s, s:o}", "name", p->hosts[i].name, "source",
                             p->hosts[i].source, "endpoints",
                             endpoints_of(p->hosts[i].endpoints, p->hosts[i].endpoint_count)));
    return array;
}

/* As nono has them: names alone, and endpoints by name. */
static void add_domains(json_t *object, const struct policy *p)
{
    json_t *names = json_array(), *endpoints = json_object();
    for (size_t i = 0; i < p->host_count; i++) {
        json_array_append_new(names, json_string(p->hosts[i].name));
        if (p->hosts[i].endpoint_count)
            json_object_set_new(endpoints, p->hosts[i].name,
                                endpoints_of(p->hosts[i].endpoints, p->hosts[i].endpoint_count));
    }
    json_object_set_new(object, "allowed_domains", names);
    json_object_set_new(object, "domain_endpoints", endpoints);
}

static json_t *routes_of(const struct policy *p)
{
    json_t *array = json_array();
    for (size_t i = 0; i < p->route_count; i++)
        json_array_append_new(array, json_pack("{s:s, s:s}", "name", p->routes[i].name, "upstream",
                                               p->routes[i].upstream));
    return array;
}

/* What nono has beside the grants. */
static json_t *rest_of(const struct policy *policy)
{
    json_t *object = json_object();
    json_object_set_new(object, "net_blocked", json_boolean(policy->network != POLICY_NET_OPEN));
    json_object_set_new(object, "allowed_commands", texts_of(&policy->allowed_commands));
    json_object_set_new(object, "blocked_commands", texts_of(&policy->blocked_commands));
    json_object_set_new(object, "bypass_protection_paths", texts_of(&policy->bypasses));
    add_domains(object, policy);
    return object;
}

/* What only nanoterm has, beside the denies. */
static json_t *own_of(const struct policy *policy)
{
    json_t *own = json_object(), *patterns = json_array();
    for (size_t i = 0; i < policy->pattern_count; i++)
        json_array_append_new(patterns, text_of(policy->patterns[i].text));
    json_object_set_new(own, "version", json_integer(1));
    json_object_set_new(own, "network", json_string(network_names[policy->network]));
    json_object_set_new(own, "patterns", patterns);
    json_object_set_new(own, "sockets", unix_of(policy));
    json_object_set_new(own, "sockets_by_grant", json_boolean(policy->unix_by_grant));
    json_object_set_new(own, "hosts", hosts_of(policy));
    json_object_set_new(own, "denied_hosts", denied_hosts_of(policy));
    json_object_set_new(own, "routes", routes_of(policy));
    json_object_set_new(own, "open_ports", ports_of(policy->open_ports, policy->open_port_count));
    json_object_set_new(own, "listen_ports",
                        ports_of(policy->listen_ports, policy->listen_port_count));
    json_object_set_new(own, "connect_ports",
                        ports_of(policy->connect_ports, policy->connect_port_count));
    json_object_set_new(own, "workdir", text_of(policy->workdir));
    json_object_set_new(own, "profile", policy->profile ? text_of(policy->profile) : json_null());
    return own;
}

/* The members of an object, with a comma before them. */
static bool add_members(struct nt_buf *b, json_t *object)
{
    nt_autofree char *text = json_dumps(object, JSON_COMPACT);
    if (!text)
        return false;
    nt_buf_add_char(b, ',');
    nt_buf_add_bytes(b, text + 1, strlen(text) - 2);
    return true;
}

int policy_to_json(const struct policy *policy, char **ret, struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(FILE_MAX);
    nt_auto_json json_t *rest = rest_of(policy);
    nt_auto_json json_t *own = own_of(policy);
    nt_buf_add_char(&text, '{');
    write_grants(&text, policy);
    bool is_whole = add_members(&text, rest);
    nt_buf_add(&text, ",\"nanoterm\":{");
    write_denies(&text, policy);
    is_whole = add_members(&text, own) && is_whole;
    nt_buf_add(&text, "}}");
    if (!is_whole)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    if (!nt_buf_ok(&text))
        return nt_fail(reterr, NT_E_LIMIT, "the policy is too large for its file");
    *ret = nt_buf_take(&text);
    return *ret ? 0 : nt_fail(reterr, NT_E_MEMORY, "out of memory");
}

/* --- reading --------------------------------------------------------------------------------- */

struct reader {
    struct owned *owned;
    bool is_bad;
};

/* A copy; NULL marks the whole as bad. */
static const char *take_text(struct reader *r, const json_t *object, const char *key)
{
    const char *text = nt_json_text(object, key);
    if (!text || strlen(text) > TEXT_MAX) {
        r->is_bad = true;
        return NULL;
    }
    return memory_text(&r->owned->memory, text);
}

static const char *take_path(struct reader *r, const json_t *object)
{
    const char *path = take_text(r, object, "path");
    if (path && path[0] != '/')
        r->is_bad = true;
    return path;
}

static bool take_bool(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

/* The rows of an array that may be missing; room for all of them. */
static void *take_rows(struct reader *r, const json_t *array, size_t size, size_t *ret_count)
{
    size_t count = json_array_size(array);
    *ret_count = 0;
    if (array && (!json_is_array(array) || count > ROWS_MAX)) {
        r->is_bad = true;
        return NULL;
    }
    void *rows = memory_room(&r->owned->memory, (count + 1) * size);
    *ret_count = rows ? count : 0;
    return rows;
}

static void take_grants(struct reader *r, const json_t *array)
{
    struct policy *p = &r->owned->policy;
    p->grants = take_rows(r, array, sizeof(*p->grants), &p->grant_count);
    for (size_t i = 0; i < p->grant_count; i++) {
        const json_t *item = json_array_get(array, i);
        struct policy_grant *row = &p->grants[i];
        const char *access = nt_json_text(item, "access");
        row->fd = -1;
        row->original = take_text(r, item, "original");
        row->path = take_path(r, item);
        row->source = take_text(r, item, "source");
        row->is_file = take_bool(item, "is_file");
        for (uint32_t j = POLICY_READ; j <= POLICY_BOTH; j++)
            if (access && strcmp(access, access_names[j]) == 0)
                row->access = j;
        r->is_bad |= !row->access;
    }
}

static void take_denies(struct reader *r, const json_t *array)
{
    struct policy *p = &r->owned->policy;
    p->denies = take_rows(r, array, sizeof(*p->denies), &p->deny_count);
    for (size_t i = 0; i < p->deny_count; i++) {
        const json_t *item = json_array_get(array, i);
        struct policy_deny *row = &p->denies[i];
        row->original = row->path = take_path(r, item);
        row->source = take_text(r, item, "source");
        row->about = take_text(r, item, "about");
        row->is_absolute = take_bool(item, "is_absolute");
    }
}

static void take_sockets(struct reader *r, const json_t *array)
{
    struct policy *p = &r->owned->policy;
    p->unix_grants = take_rows(r, array, sizeof(*p->unix_grants), &p->unix_count);
    for (size_t i = 0; i < p->unix_count; i++) {
        const json_t *item = json_array_get(array, i);
        p->unix_grants[i] = (struct policy_unix){ .path = take_path(r, item),
                                                  .may_bind = take_bool(item, "may_bind"),
                                                  .is_folder = take_bool(item, "is_folder"),
                                                  .is_tree = take_bool(item, "is_tree"),
                                                  .parent_fd = -1 };
    }
}

static void take_hosts(struct reader *r, const json_t *array)
{
    struct policy *p = &r->owned->policy;
    p->hosts = take_rows(r, array, sizeof(*p->hosts), &p->host_count);
    for (size_t i = 0; i < p->host_count; i++) {
        const json_t *item = json_array_get(array, i), *endpoints;
        struct policy_host *row = &p->hosts[i];
        row->name = take_text(r, item, "name");
        row->source = take_text(r, item, "source");
        endpoints = json_object_get(item, "endpoints");
        row->endpoints = take_rows(r, endpoints, sizeof(*row->endpoints), &row->endpoint_count);
        for (size_t j = 0; j < row->endpoint_count; j++) {
            row->endpoints[j].method = take_text(r, json_array_get(endpoints, j), "method");
            row->endpoints[j].path = take_text(r, json_array_get(endpoints, j), "path");
        }
    }
}

static void take_denied_hosts(struct reader *r, const json_t *array)
{
    struct policy *p = &r->owned->policy;
    p->denied_hosts = take_rows(r, array, sizeof(*p->denied_hosts), &p->denied_host_count);
    for (size_t i = 0; i < p->denied_host_count; i++) {
        const json_t *item = json_array_get(array, i);
        p->denied_hosts[i].name = take_text(r, item, "name");
        p->denied_hosts[i].source = take_text(r, item, "source");
    }
}

static void take_routes(struct reader *r, const json_t *array)
{
    struct policy *p = &r->owned->policy;
    p->routes = take_rows(r, array, sizeof(*p->routes), &p->route_count);
    for (size_t i = 0; i < p->route_count; i++) {
        p->routes[i].name = take_text(r, json_array_get(array, i), "name");
        p->routes[i].upstream = take_text(r, json_array_get(array, i), "upstream");
    }
}

static struct policy_ports *take_ports(struct reader *r, const json_t *array, size_t *ret_count)
{
    struct policy_ports *ports = take_rows(r, array, sizeof(*ports), ret_count);
    for (size_t i = 0; i < *ret_count; i++) {
        const json_t *item = json_array_get(array, i);
        bool is_pair = json_array_size(item) == 2;
        json_int_t first = json_integer_value(is_pair ? json_array_get(item, 0) : item);
        json_int_t last = is_pair ? json_integer_value(json_array_get(item, 1)) : first;
        r->is_bad |= first < 1 || last > 65535 || first > last;
        ports[i] = (struct policy_ports){ (uint16_t)first, (uint16_t)last };
    }
    return ports;
}

static void take_texts(struct reader *r, const json_t *array, struct policy_texts *ret)
{
    size_t i;
    json_t *item;
    if (array && (!json_is_array(array) || json_array_size(array) > ROWS_MAX)) {
        r->is_bad = true;
        return;
    }
    json_array_foreach((json_t *)(uintptr_t)array, i, item)
    {
        const char *text = json_string_value(item);
        r->is_bad |= !text || strlen(text) > TEXT_MAX;
        if (!r->is_bad)
            texts_add(&r->owned->memory, ret, memory_text(&r->owned->memory, text));
    }
}

static void take_patterns(struct reader *r, const json_t *array)
{
    struct policy *p = &r->owned->policy;
    struct policy_texts texts = { 0 };
    take_texts(r, array, &texts);
    p->patterns = take_rows(r, array, sizeof(*p->patterns), &p->pattern_count);
    p->pattern_count = p->patterns ? texts.count : 0;
    for (size_t i = 0; i < p->pattern_count; i++)
        p->patterns[i] = (struct policy_pattern){ texts.at[i], "profile" };
}

static void take_network(struct reader *r, const json_t *own)
{
    const char *network = nt_json_text(own, "network");
    bool is_known = false;
    for (size_t i = 0; network && i < 3; i++)
        if (strcmp(network, network_names[i]) == 0) {
            r->owned->policy.network = (enum policy_network)i;
            is_known = true;
        }
    r->is_bad |= !is_known;
}

static void policy_freep(struct policy **policy)
{
    policy_free(*policy);
}

int policy_from_json(struct nt_bytes json, struct policy **ret, struct nt_error *reterr)
{
    nt_auto_json json_t *object =
        json.size <= FILE_MAX ? json_loadb(json.data, json.size, JSON_REJECT_DUPLICATES, NULL)
                              : NULL;
    const json_t *own = json_object_get(object, "nanoterm");
    if (!json_is_object(own) || !json_is_array(json_object_get(object, "fs")))
        return nt_fail(reterr, ENFORCE_E_CAP_FILE, "the file is not one that nanoterm wrote");
    struct owned *o = calloc(1, sizeof(*o));
    if (!o)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    nt_auto(policy_freep) struct policy *policy = &o->policy;
    policy->workdir_fd = -1;
    struct reader r = { .owned = o };
    take_grants(&r, json_object_get(object, "fs"));
    take_texts(&r, json_object_get(object, "allowed_commands"), &policy->allowed_commands);
    take_texts(&r, json_object_get(object, "blocked_commands"), &policy->blocked_commands);
    take_texts(&r, json_object_get(object, "bypass_protection_paths"), &policy->bypasses);
    take_network(&r, own);
    take_denies(&r, json_object_get(own, "denies"));
    take_patterns(&r, json_object_get(own, "patterns"));
    take_sockets(&r, json_object_get(own, "sockets"));
    policy->unix_by_grant = take_bool(own, "sockets_by_grant");
    take_hosts(&r, json_object_get(own, "hosts"));
    take_denied_hosts(&r, json_object_get(own, "denied_hosts"));
    take_routes(&r, json_object_get(own, "routes"));
    policy->open_ports =
        take_ports(&r, json_object_get(own, "open_ports"), &policy->open_port_count);
    policy->listen_ports =
        take_ports(&r, json_object_get(own, "listen_ports"), &policy->listen_port_count);
    policy->connect_ports =
        take_ports(&r, json_object_get(own, "connect_ports"), &policy->connect_port_count);
    policy->workdir = take_text(&r, own, "workdir");
    if (policy->workdir && policy->workdir[0] != '/')
        r.is_bad = true;
    if (json_is_string(json_object_get(own, "profile")))
        policy->profile = take_text(&r, own, "profile");
    if (r.is_bad)
        return nt_fail(reterr, ENFORCE_E_CAP_FILE, "the file is not one that nanoterm wrote");
    if (o->memory.failed)
        return memory_fail(&o->memory, reterr);
    *ret = nt_take(policy);
    return 0;
}
