/* SPDX-License-Identifier: Apache-2.0 */
/* show.c - what a profile says, as JSON. */
#include "plugins/sandbox-enforce/policy/show.h"

#include <stdlib.h>
#include <string.h>

#include "plugins/sandbox-enforce/policy/command_policies.h"
#include "plugins/sandbox-enforce/policy/intercept.h"
#include "plugins/sandbox-enforce/policy/parse.h"
#include "sdk/cleanup.h"
#include "sdk/json.h"
#include "sdk/parse.h"

static json_t *text_or_null(const char *text)
{
    return text && *text ? json_string(text) : json_null();
}

static json_t *texts_of(const struct policy_texts *texts)
{
    json_t *array = json_array();
    for (size_t i = 0; i < texts->count; i++)
        json_array_append_new(array, json_string(texts->at[i]));
    return array;
}

static json_int_t port_of(const char *text)
{
    struct nt_error ignored = NT_ERROR_INIT;
    uint64_t port = 0;
    nt_parse_u64(text, 0, 65535, &port, &ignored);
    return (json_int_t)port;
}

static json_t *ports_of(const struct policy_texts *texts)
{
    json_t *array = json_array();
    for (size_t i = 0; i < texts->count; i++)
        json_array_append_new(array, json_integer(port_of(texts->at[i])));
    return array;
}

static json_t *ranges_of(const struct policy_texts *texts)
{
    json_t *array = json_array();
    for (size_t i = 0; i < texts->count; i++) {
        const char *dash = strchr(texts->at[i], '-');
        nt_autofree char *first = strndup(texts->at[i], (size_t)(dash - texts->at[i]));
        if (first)
            json_array_append_new(array, json_pack("[I, I]", port_of(first), port_of(dash + 1)));
    }
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

static json_t *domains_of(const struct profile *p)
{
    json_t *array = json_array();
    for (size_t i = 0; i < p->domain_count; i++) {
        const struct profile_domain *row = &p->domains[i];
        json_array_append_new(array, row->endpoint_count ? json_pack(
                                         "{s:s, s:o}", "domain", row->name, "endpoints",
                                         endpoints_of(row->endpoints, row->endpoint_count))
                                                         : json_string(row->name));
    }
    return array;
}

static const char *const inject_modes[] = { "header", "url_path", "query_param", "basic_auth" };

static void set_texts(json_t *object, const char *const *pairs, size_t count)
{
    for (size_t i = 0; i + 1 < count; i += 2)
        if (pairs[i + 1])
            json_object_set_new(object, pairs[i], json_string(pairs[i + 1]));
}

static json_t *place_of(const struct policy_place *place)
{
    const char *const pairs[] = { "inject_mode",       inject_modes[place->inject],
                                  "inject_header",     place->header,
                                  "credential_format", place->format,
                                  "path_pattern",      place->path_pattern,
                                  "path_replacement",  place->path_replacement,
                                  "query_param_name",  place->query_name };
    json_t *object = json_object();
    set_texts(object, pairs, sizeof(pairs) / sizeof(pairs[0]));
    return object;
}

static json_t *auth_of(const struct policy_auth *auth)
{
    const char *const pairs[] = { "token_url",     auth->token_url, "client_id",
                                  auth->client_id, "client_secret", auth->client_secret,
                                  "scope",         auth->scope };
    json_t *object = json_object(), *extra = json_object();
    set_texts(object, pairs, sizeof(pairs) / sizeof(pairs[0]));
    set_texts(extra, auth->extra.at, auth->extra.count);
    json_object_set_new(object, "extra_params", extra);
    return object;
}

static json_t *aws_of(const struct policy_aws *aws)
{
    const char *const pairs[] = { "profile",   aws->profile, "region",
                                  aws->region, "service",    aws->service };
    json_t *object = json_object();
    set_texts(object, pairs, sizeof(pairs) / sizeof(pairs[0]));
    return object;
}

static json_t *services_of(const struct profile *p)
{
    json_t *object = json_object();
    for (size_t i = 0; i < p->service_count; i++) {
        const struct policy_route *row = &p->services[i];
        json_t *item = json_pack("{s:s, s:s, s:s, s:s}", "upstream", row->upstream, "inject_mode",
                                 inject_modes[row->inject], "inject_header", row->header,
                                 "credential_format", row->format);
        const char *const more[] = { "credential_key",   row->key,
                                     "env_var",          row->variable,
                                     "path_pattern",     row->path_pattern,
                                     "path_replacement", row->path_replacement,
                                     "query_param_name", row->query_name,
                                     "tls_ca",           row->tls_ca,
                                     "tls_client_cert",  row->tls_certificate,
                                     "tls_client_key",   row->tls_key };
        set_texts(item, more, sizeof(more) / sizeof(more[0]));
        if (row->auth)
            json_object_set_new(item, "auth", auth_of(row->auth));
        if (row->aws) {
            json_object_set_new(item, "aws_auth", aws_of(row->aws));
            /* A signature stands in no place of choice. */
            json_object_del(item, "inject_mode");
            json_object_del(item, "inject_header");
            json_object_del(item, "credential_format");
        }
        if (row->phantom)
            json_object_set_new(item, "proxy", place_of(row->phantom));
        if (row->others != POLICY_OTHERS_BY_RULES)
            json_object_set_new(item, "endpoint_policy",
                                json_pack("{s:o, s:o, s:{s:s}}", "deny",
                                          endpoints_of(row->denied, row->denied_count), "allow",
                                          endpoints_of(row->endpoints, row->endpoint_count),
                                          "default", "decision",
                                          row->others == POLICY_OTHERS_CARRIED ? "allow" : "deny"));
        else if (row->endpoint_count)
            json_object_set_new(item, "endpoint_rules",
                                endpoints_of(row->endpoints, row->endpoint_count));
        json_object_set_new(object, row->name, item);
    }
    return object;
}

static json_t *env_credentials_of(const struct profile *p)
{
    json_t *object = json_object();
    for (size_t i = 0; i < p->env_credential_count; i++)
        json_object_set_new(object, p->env_credentials[i].reference,
                            json_string(p->env_credentials[i].variable));
    return object;
}

static json_t *vars_of(const struct policy_texts *texts)
{
    json_t *object = json_object();
    for (size_t i = 0; i < texts->count; i++) {
        const char *value = strchr(texts->at[i], '=');
        nt_autofree char *name = strndup(texts->at[i], (size_t)(value - texts->at[i]));
        if (name)
            json_object_set_new(object, name, json_string(value + 1));
    }
    return object;
}

static json_t *capture_of(const struct policy_capture *row)
{
    json_t *item =
        json_pack("{s:i, s:i, s:s}", "timeout_secs", (int)row->timeout_s, "cache_ttl_secs",
                  (int)row->kept_s, "stdin", row->is_told ? "request_json" : "null");
    if (row->config)
        json_object_set_new(item, "provider",
                            json_pack("{s:o, s:o?}", "command", texts_of(&row->words), "config",
                                      json_loads(row->config, 0, NULL)));
    else
        json_object_set_new(item, "command", texts_of(&row->words));
    if (row->pattern)
        json_object_set_new(item, "cache_path_regex", json_string(row->pattern));
    if (row->prints_headers)
        json_object_set_new(
            item, "output",
            json_pack("{s:s, s:o}", "format", "json", "allow_headers", texts_of(&row->headers)));
    if (row->is_heard)
        json_object_set_new(item, "interaction", json_pack("{s:b}", "stdio", 1));
    return item;
}

static json_t *captures_of(const struct profile *p)
{
    json_t *object = json_object();
    for (size_t i = 0; i < p->capture_count; i++)
        json_object_set_new(object, p->captures[i].name, capture_of(&p->captures[i]));
    return object;
}

/* Both keys in any case, so that two profiles can be compared key by key. */
static json_t *hooks_of(const struct profile *p)
{
    json_t *object = json_object();
    for (size_t i = 0; i < POLICY_HOOKS; i++) {
        const struct policy_hook *hook = &p->hooks[i];
        json_t *item = hook->script ? json_pack("{s:s}", "script", hook->script) : json_null();
        if (hook->script && hook->timeout_s)
            json_object_set_new(item, "timeout_secs", json_integer(hook->timeout_s));
        json_object_set_new(object, policy_hook_name(i), item);
    }
    return object;
}

/* Every key in any case, so that two profiles can be compared key by key. */
static json_t *commands_of(const struct profile *p)
{
    static const char *const keys[] = { "commands", "credentials", "executable_dirs",
                                        "session_export_env" };
    json_t *object =
        p->commands && p->commands->text ? json_loads(p->commands->text, 0, NULL) : json_object();
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (!json_object_get(object, keys[i]))
            json_object_set_new(object, keys[i], json_null());
    return object;
}

/* Which of the keys with a reader of their own. */
static json_t *own_value(const struct profile *p, const char *name)
{
    if (strcmp(name, "extends") == 0)
        return texts_of(&p->lists[PROFILE_EXTENDS]);
    if (strcmp(name, "allow_domain") == 0)
        return domains_of(p);
    if (strcmp(name, "credentials") == 0)
        return texts_of(&p->lists[PROFILE_CREDENTIALS]);
    if (strcmp(name, "custom_credentials") == 0)
        return services_of(p);
    if (strcmp(name, "no_proxy") == 0)
        return texts_of(&p->lists[PROFILE_NO_PROXY]);
    if (strcmp(name, "env_credentials") == 0)
        return env_credentials_of(p);
    if (strcmp(name, "credential_capture") == 0)
        return captures_of(p);
    if (strcmp(name, "session_hooks") == 0)
        return hooks_of(p);
    if (strcmp(name, "command_policies") == 0)
        return commands_of(p);
    if (strcmp(name, "tls_intercept") == 0)
        return tls_intercept_to_json(p);
    if (strcmp(name, "isolate") == 0)
        return json_pack("{s:b, s:b, s:b}", "network", (p->flags & PROFILE_ISOLATE_NETWORK) != 0,
                         "ipc", (p->flags & PROFILE_ISOLATE_IPC) != 0, "uts",
                         (p->flags & PROFILE_ISOLATE_UTS) != 0);
    if (strcmp(name, "sandbox_policy") == 0)
        return text_or_null(p->texts[PROFILE_SANDBOX_POLICY]);
    if (strcmp(name, "set_vars") == 0)
        return vars_of(&p->lists[PROFILE_SET_VARS]);
    if (strcmp(name, "allow_vars") == 0)
        return p->flags & PROFILE_HAS_ALLOW_VARS ? texts_of(&p->lists[PROFILE_ALLOW_VARS])
                                                 : json_null();
    return NULL; /* another spelling */
}

static json_t *value_of(const struct profile *p, const struct key *key)
{
    const char *meta[] = { p->name, p->version, p->description, p->author };
    if (key->canonical || key->type == KEY_FREE || key->type == KEY_REFUSED)
        return NULL;
    switch (key->type) {
    case KEY_LIST:
        return texts_of(&p->lists[key->target]);
    case KEY_TEXT:
        return text_or_null(p->texts[key->target]);
    case KEY_NULLABLE: /* each has two spellings */
        return strncmp(key->name, "external", 8) ? text_or_null(p->texts[key->target]) : NULL;
    case KEY_FLAG:
        return json_boolean(p->flags & key->target);
    case KEY_PORTS: /* the names without "_port" at their end, and allow_port, are older */
        return strcmp(key->name, "port_allow") == 0 || strcmp(key->name, "allow_port") == 0
                   ? NULL
                   : ports_of(&p->lists[key->target]);
    case KEY_RANGES:
        return ranges_of(&p->lists[key->target]);
    case KEY_META:
        return text_or_null(meta[key->target]);
    case KEY_OWN:
        return own_value(p, key->name);
    default:
        return NULL;
    }
}

json_t *profile_to_json(const struct profile *profile)
{
    json_t *object = json_object();
    const struct key *key;
    for (size_t i = 0; (key = parse_key_at(i)); i++) {
        json_t *value = value_of(profile, key), *section = object;
        if (!value)
            continue;
        if (*key->section) {
            section = json_object_get(object, key->section);
            if (!section) {
                section = json_object();
                json_object_set_new(object, key->section, section);
            }
        }
        json_object_set_new(section, key->name, value);
    }
    return object;
}

static bool is_empty(const json_t *value)
{
    return json_is_null(value) || json_is_false(value)
           || (json_is_array(value) && json_array_size(value) == 0)
           || (json_is_object(value) && json_object_size(value) == 0);
}

json_t *profile_to_text(const struct profile *profile)
{
    json_t *object = profile_to_json(profile), *value, *inner;
    const char *name, *key;
    void *next, *after;
    json_object_foreach_safe(object, next, name, value)
    {
        if (json_is_object(value) && strcmp(name, "env_credentials") != 0)
            json_object_foreach_safe(value, after, key, inner) if (is_empty(inner))
                json_object_del(value, key);
        if (is_empty(value))
            json_object_del(object, name);
    }
    return object;
}

/* --- differences ----------------------------------------------------------------------------- */

static bool holds(const json_t *array, const json_t *item)
{
    size_t i;
    json_t *other;
    json_array_foreach((json_t *)(uintptr_t)array, i,
                       other) if (json_equal(other, item)) return true;
    return false;
}

/* The items of A that B does not have. */
static json_t *without(const json_t *a, const json_t *b)
{
    json_t *ret = json_array();
    size_t i;
    json_t *item;
    json_array_foreach((json_t *)(uintptr_t)a, i, item) if (!holds(b, item))
        json_array_append(ret, item);
    return ret;
}

static json_t *difference(const json_t *a, const json_t *b)
{
    if (json_is_array(a) && json_is_array(b))
        return json_pack("{s:o, s:o}", "added", without(b, a), "removed", without(a, b));
    return json_pack("{s:O?, s:O?}", "from", a, "to", b);
}

json_t *profile_compare(const json_t *a, const json_t *b)
{
    json_t *ret = json_object(), *value, *inner;
    const char *section, *name;
    json_object_foreach((json_t *)(uintptr_t)a, section, value)
    {
        const json_t *other = json_object_get(b, section);
        if (strcmp(section, "meta") == 0 || json_equal(value, other))
            continue;
        if (!json_is_object(value) || strcmp(section, "env_credentials") == 0) {
            json_object_set_new(ret, section, difference(value, other));
            continue;
        }
        json_t *keys = json_object();
        json_object_foreach(value, name, inner)
        {
            const json_t *other_inner = json_object_get(other, name);
            if (!json_equal(inner, other_inner))
                json_object_set_new(keys, name, difference(inner, other_inner));
        }
        json_object_set_new(ret, section, keys);
    }
    return ret;
}

/* --- schema ---------------------------------------------------------------------------------- */

static json_t *texts_schema(void)
{
    return json_pack("{s:s, s:{s:s, s:i}}", "type", "array", "items", "type", "string", "minLength",
                     1);
}

static json_t *choices_schema(const char *choices)
{
    json_t *array = json_array();
    for (const char *at = choices; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL)
        json_array_append_new(array, json_stringn(at, strcspn(at, "|")));
    return json_pack("{s:o}", "enum", array);
}

static json_t *endpoints_schema(void)
{
    return json_pack("{s:s, s:{s:s, s:b, s:[s], s:{s:{s:s}, s:{s:s}, s:{s:s, s:s}}}}", "type",
                     "array", "items", "type", "object", "additionalProperties", 0, "required",
                     "path", "properties", "method", "type", "string", "reason", "type", "string",
                     "path", "type", "string", "pattern", "^/");
}

/* Where the program puts its token. */
static json_t *place_schema(void)
{
    static const char *const texts[] = { "inject_header", "credential_format", "path_pattern",
                                         "path_replacement", "query_param_name" };
    json_t *properties = json_object();
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        json_object_set_new(properties, texts[i], json_pack("{s:s}", "type", "string"));
    json_object_set_new(properties, "inject_mode",
                        choices_schema("header|url_path|query_param|basic_auth"));
    return json_pack("{s:[s,s], s:b, s:o}", "type", "object", "null", "additionalProperties", 0,
                     "properties", properties);
}

static json_t *service_schema(void)
{
    static const char *const texts[] = { "upstream",         "credential_key",    "env_var",
                                         "inject_header",    "credential_format", "path_pattern",
                                         "path_replacement", "query_param_name",  "tls_ca",
                                         "tls_client_cert",  "tls_client_key" };
    json_t *properties = json_object();
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        json_object_set_new(properties, texts[i], json_pack("{s:s}", "type", "string"));
    json_object_set_new(properties, "inject_mode",
                        choices_schema("header|url_path|query_param|basic_auth"));
    json_object_set_new(properties, "proxy", place_schema());
    json_object_set_new(properties, "endpoint_rules", endpoints_schema());
    json_object_set_new(properties, "endpoint_policy",
                        json_pack("{s:[s,s], s:b, s:{s:o, s:o, s:{s:s, s:i}, s:{s:[{s:[s,s]}, "
                                  "{s:s, s:b, s:[s], s:{s:{s:[s,s]}}}]}}}",
                                  "type", "object", "null", "additionalProperties", 0, "properties",
                                  "deny", endpoints_schema(), "allow", endpoints_schema(),
                                  "approve", "type", "array", "maxItems", 0, "default", "anyOf",
                                  "enum", "allow", "deny", "type", "object", "additionalProperties",
                                  0, "required", "decision", "properties", "decision", "enum",
                                  "allow", "deny"));
    json_object_set_new(properties, "auth",
                        json_pack("{s:[s,s], s:b, s:[s,s,s], s:{s:{s:s}, s:{s:s}, s:{s:s}, "
                                  "s:{s:[s,s]}, s:{s:s, s:{s:s}}}}",
                                  "type", "object", "null", "additionalProperties", 0, "required",
                                  "token_url", "client_id", "client_secret", "properties",
                                  "token_url", "type", "string", "client_id", "type", "string",
                                  "client_secret", "type", "string", "scope", "type", "string",
                                  "null", "extra_params", "type", "object", "additionalProperties",
                                  "type", "string"));
    json_object_set_new(properties, "aws_auth",
                        json_pack("{s:[s,s], s:b, s:{s:{s:[s,s]}, s:{s:[s,s]}, s:{s:[s,s]}}}",
                                  "type", "object", "null", "additionalProperties", 0, "properties",
                                  "profile", "type", "string", "null", "region", "type", "string",
                                  "null", "service", "type", "string", "null"));
    return json_pack("{s:s, s:b, s:[s], s:[{s:[s]}, {s:[s]}, {s:[s]}], s:o}", "type", "object",
                     "additionalProperties", 0, "required", "upstream", "oneOf", "required",
                     "credential_key", "required", "auth", "required", "aws_auth", "properties",
                     properties);
}

static json_t *seconds_schema(int least, int most)
{
    return json_pack("{s:s, s:i, s:i}", "type", "integer", "minimum", least, "maximum", most);
}

static json_t *capture_schema(void)
{
    json_t *command = texts_schema(), *properties = json_object(), *headers = texts_schema();
    json_object_set_new(command, "minItems", json_integer(1));
    json_object_set_new(headers, "minItems", json_integer(1));
    json_object_set(properties, "command", command);
    json_object_set_new(properties, "provider",
                        json_pack("{s:s, s:b, s:[s], s:{s:o, s:{s:s}}}", "type", "object",
                                  "additionalProperties", 0, "required", "command", "properties",
                                  "command", command, "config", "type", "object"));
    json_object_set_new(properties, "timeout_secs", seconds_schema(1, 300));
    json_object_set_new(properties, "ttl_secs", seconds_schema(0, 3600));
    json_object_set_new(properties, "cache_ttl_secs", seconds_schema(0, 3600));
    json_object_set_new(properties, "cache_path_regex",
                        json_pack("{s:s, s:i}", "type", "string", "minLength", 1));
    json_object_set_new(properties, "stdin", choices_schema("null|request_json"));
    json_object_set_new(properties, "output",
                        json_pack("{s:[{s:[s]}, {s:s, s:b, s:[s,s], s:{s:{s:[s]}, s:o}}]}", "anyOf",
                                  "enum", "text", "type", "object", "additionalProperties", 0,
                                  "required", "format", "allow_headers", "properties", "format",
                                  "enum", "json", "allow_headers", headers));
    json_object_set_new(properties, "interaction",
                        json_pack("{s:[s,s], s:b, s:{s:{s:s}, s:{s:[b]}, s:{s:s}, s:{s:s}}}",
                                  "type", "object", "null", "additionalProperties", 0, "properties",
                                  "stdio", "type", "boolean", "stdin", "enum", 0,
                                  "allow_launch_services", "type", "boolean", "open_urls", "type",
                                  "null"));
    return json_pack("{s:s, s:b, s:[{s:[s]}, {s:[s]}], s:o}", "type", "object",
                     "additionalProperties", 0, "oneOf", "required", "command", "required",
                     "provider", "properties", properties);
}

static json_t *hooks_schema(void)
{
    json_t *properties = json_object();
    for (size_t i = 0; i < POLICY_HOOKS; i++)
        json_object_set_new(properties, policy_hook_name(i),
                            json_pack("{s:[s,s], s:b, s:[s], s:{s:{s:s, s:s}, s:{s:s, s:i, s:I}}}",
                                      "type", "object", "null", "additionalProperties", 0,
                                      "required", "script", "properties", "script", "type",
                                      "string", "pattern", "^[/~$]", "timeout_secs", "type",
                                      "integer", "minimum", 1, "maximum", (json_int_t)UINT32_MAX));
    return json_pack("{s:[s,s], s:b, s:o}", "type", "object", "null", "additionalProperties", 0,
                     "properties", properties);
}

/* A text, or one with the systems that it is for. */
static json_t *entry_schema(const char *member)
{
    return json_pack("{s:[{s:s, s:i}, {s:s, s:b, s:[s], s:{s:{s:s, s:i}, s:{s:[{s:s}, {s:s, s:i, "
                     "s:{s:s}}]}}}]}",
                     "anyOf", "type", "string", "minLength", 1, "type", "object",
                     "additionalProperties", 0, "required", member, "properties", member, "type",
                     "string", "minLength", 1, "when", "anyOf", "type", "string", "type", "array",
                     "minItems", 1, "items", "type", "string");
}

static json_t *own_schema(const char *name)
{
    json_t *inert = parse_inert_schema(name);
    if (inert)
        return inert;
    if (strcmp(name, "credential_capture") == 0)
        return json_pack("{s:[s,s], s:o}", "type", "object", "null", "additionalProperties",
                         capture_schema());
    if (strcmp(name, "session_hooks") == 0)
        return hooks_schema();
    if (strcmp(name, "command_policies") == 0)
        return command_policies_schema();
    if (strcmp(name, "tls_intercept") == 0)
        return tls_intercept_schema();
    if (strcmp(name, "isolate") == 0)
        return json_pack("{s:s, s:b, s:{s:{s:s}, s:{s:s}, s:{s:s}, s:{s:b}}}", "type", "object",
                         "additionalProperties", 0, "properties", "network", "type", "boolean",
                         "ipc", "type", "boolean", "uts", "type", "boolean", "loopback", "const",
                         0);
    if (strcmp(name, "sandbox_policy") == 0)
        return json_pack("{s:[s,s,n]}", "enum", "auto", "landlock");
    if (strcmp(name, "extends") == 0)
        return json_pack("{s:[{s:s}, o]}", "anyOf", "type", "string", texts_schema());
    if (strstr(name, "allow_domain") || strstr(name, "proxy_allow") || strstr(name, "allow_proxy"))
        return json_pack("{s:s, s:{s:[{s:s}, {s:s, s:b, s:[s], s:{s:{s:s}, s:o}}]}}", "type",
                         "array", "items", "anyOf", "type", "string", "type", "object",
                         "additionalProperties", 0, "required", "domain", "properties", "domain",
                         "type", "string", "endpoints", endpoints_schema());
    if (strcmp(name, "custom_credentials") == 0)
        return json_pack("{s:s, s:o}", "type", "object", "additionalProperties", service_schema());
    if (strcmp(name, "platform_overrides") == 0) /* whole profiles in them: checked when read */
        return json_pack("{s:[s,s], s:b, s:{s:{s:[s,s]}, s:{s:[s,s]}, s:{s:[s,s]}}}", "type",
                         "object", "null", "additionalProperties", 0, "properties", "linux", "type",
                         "object", "null", "macos", "type", "object", "null", "windows", "type",
                         "object", "null");
    if (strcmp(name, "env_credentials") == 0 || strcmp(name, "secrets") == 0)
        return json_pack("{s:s, s:o}", "type", "object", "additionalProperties",
                         entry_schema("env_var"));
    if (strcmp(name, "set_vars") == 0)
        return json_pack("{s:s, s:{s:s}}", "type", "object", "additionalProperties", "type",
                         "string");
    return texts_schema();
}

static json_t *key_schema(const struct key *key)
{
    switch (key->type) {
    case KEY_LIST:
        if (strcmp(key->section, "filesystem") == 0 || strcmp(key->section, "groups") == 0)
            return json_pack("{s:s, s:o}", "type", "array", "items",
                             entry_schema(*key->section == 'f' ? "path" : "name"));
        return texts_schema();
    case KEY_TEXT:
        return key->choices ? choices_schema(key->choices) : json_pack("{s:s}", "type", "string");
    case KEY_NULLABLE:
        return json_pack("{s:[s,s]}", "type", "string", "null");
    case KEY_FLAG:
        return json_pack("{s:s}", "type", "boolean");
    case KEY_PORTS:
        return json_pack("{s:s, s:{s:s, s:i, s:i}}", "type", "array", "items", "type", "integer",
                         "minimum", 1, "maximum", 65535);
    case KEY_RANGES:
        return json_pack("{s:s, s:{s:s, s:i, s:i, s:{s:s, s:i, s:i}}}", "type", "array", "items",
                         "type", "array", "minItems", 2, "maxItems", 2, "items", "type", "integer",
                         "minimum", 1, "maximum", 65535);
    case KEY_META:
        return json_pack("{s:s}", "type", "string");
    case KEY_OWN:
        return own_schema(key->name);
    case KEY_REFUSED: /* only where it says nothing */
        return json_pack("{s:[n, b, [], {}]}", "enum", 0);
    default:
        return json_object();
    }
}

json_t *profile_schema(void)
{
    json_t *properties = json_object();
    const struct key *key;
    for (size_t i = 0; (key = parse_key_at(i)); i++) {
        json_t *schema = key_schema(key), *into = properties;
        if (key->canonical)
            json_object_set_new(schema, "deprecated", json_true());
        if (*key->section) {
            json_t *section = json_object_get(properties, key->section);
            if (!section) {
                section = json_pack("{s:s, s:b, s:{}}", "type", "object", "additionalProperties", 0,
                                    "properties");
                json_object_set_new(properties, key->section, section);
            }
            into = json_object_get(section, "properties");
        }
        json_object_set_new(into, key->name, schema);
    }
    json_t *meta = json_object_get(properties, "meta");
    json_object_set_new(meta, "required", json_pack("[s]", "name"));
    return json_pack("{s:s, s:s, s:s, s:b, s:[s], s:o}", "$schema",
                     "https://json-schema.org/draft/2020-12/schema", "title", "nanoterm profile",
                     "type", "object", "additionalProperties", 0, "required", "meta", "properties",
                     properties);
}
