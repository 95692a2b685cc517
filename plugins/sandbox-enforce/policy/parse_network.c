/* SPDX-License-Identifier: Apache-2.0 */
/* parse_network.c - the keys of a profile that are objects of their own: domains with endpoints,
 * secrets and variables. */
#include "plugins/sandbox-enforce/policy/parse.h"

#include <stdio.h>
#include <string.h>

#include "plugins/sandbox-enforce/policy/hosts.h"
#include "plugins/sandbox-enforce/policy/references.h"
#include "sdk/error.h"
#include "sdk/json.h"

static bool is_method(const char *text)
{
    return strcmp(text, "*") == 0
           || (*text && strlen(text) <= 32
               && strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-")
                      == strlen(text));
}

void parse_endpoints(struct parser *p, const char *path, const json_t *value,
                     struct policy_endpoint **ret, size_t *ret_count)
{
    size_t i;
    json_t *item;
    if (!json_is_array(value)) {
        parse_error(p, path, "a list is needed: [{\"method\": …, \"path\": …}]");
        return;
    }
    json_array_foreach(value, i, item)
    {
        const char *method = nt_json_text(item, "method"), *glob = nt_json_text(item, "path");
        size_t known = (glob ? 1u : 0u) + (method ? 1u : 0u);
        known += nt_json_text(item, "reason") ? 1u : 0u;
        if (!json_is_object(item) || json_object_size(item) != known || !glob || glob[0] != '/'
            || (method && !is_method(method))) {
            parse_error(p, path,
                        "each has a method, a path that starts with / and, for people, a reason; "
                        "nothing else");
            continue;
        }
        struct policy_endpoint *rows = memory_grow(p->m, *ret, *ret_count, sizeof(*rows));
        if (!rows)
            return;
        *ret = rows;
        rows[(*ret_count)++] =
            (struct policy_endpoint){ .method = method ? memory_text(p->m, method) : "*",
                                      .path = memory_text(p->m, glob) };
    }
}

void parse_domains(struct parser *p, const char *path, const json_t *value)
{
    size_t i;
    json_t *item;
    if (!json_is_array(value)) {
        parse_error(p, path, "a list is needed: [ … ]");
        return;
    }
    json_array_foreach(value, i, item)
    {
        struct profile *profile = p->profile;
        struct profile_domain row = { 0 };
        const json_t *name = json_is_object(item) ? json_object_get(item, "domain") : item;
        row.name = parse_text(p, path, name);
        const json_t *endpoints = json_is_object(item) ? json_object_get(item, "endpoints") : NULL;
        if (endpoints)
            parse_endpoints(p, path, endpoints, &row.endpoints, &row.endpoint_count);
        if (json_is_object(item) && json_object_size(item) != (endpoints ? 2u : 1u))
            parse_error(p, path, "an entry has a domain and endpoints, nothing else");
        if (endpoints && !row.endpoint_count)
            parse_error(p, path, "an empty list of endpoints allows nothing: leave it out");
        struct profile_domain *rows =
            memory_grow(p->m, profile->domains, profile->domain_count, sizeof(*rows));
        if (!rows || !row.name)
            continue;
        profile->domains = rows;
        rows[profile->domain_count++] = row;
    }
}

/* What the proxy's variables tell tools to reach without it. It opens nothing; and it must not
 * send what is meant for the proxy's list elsewhere, so no whole domain stands there by its name
 * alone. */
static const char *no_proxy_wrong(const char *text)
{
    char plain[HOST_MAX];
    bool is_suffix = text[0] == '.' || strncmp(text, "*.", 2) == 0;
    const char *name = text[0] == '.' ? text + 1 : text[0] == '*' && is_suffix ? text + 2 : text;
    if (!*name || strpbrk(text, ",/@ []%") || strchr(name, '*') || !host_plain(name, plain))
        return "it is a name without dots, an address, *.suffix or .suffix; no list, port or path";
    if (policy_is_metadata(name))
        return "it names cloud metadata, or a link-local address";
    if (strchr(name, ':') ? !host_is_address(name) : false)
        return "it has a port: a host alone is needed";
    if (!is_suffix && strchr(name, '.') && !host_is_address(name))
        return "a domain is written .name or *.name";
    return NULL;
}

void parse_no_proxy(struct parser *p, const char *path, const json_t *value)
{
    struct policy_texts all = { 0 };
    parse_texts(p, path, value, &all);
    for (size_t i = 0; i < all.count; i++) {
        const char *wrong = no_proxy_wrong(all.at[i]);
        if (wrong)
            parse_error(p, path, "\"%.64s\": %s", all.at[i], wrong);
        else
            texts_add_new(p->m, &p->profile->lists[PROFILE_NO_PROXY], all.at[i]);
    }
}

/* --- variables ------------------------------------------------------------------------------- */

void parse_env_credentials(struct parser *p, const char *path, const json_t *value)
{
    const char *reference;
    json_t *item;
    if (!json_is_object(value)) {
        parse_error(p, path, "an object is needed: { \"reference\": \"VARIABLE\" }");
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)value, reference, item)
    {
        struct profile *profile = p->profile;
        struct nt_error e = NT_ERROR_INIT;
        const char *variable = parse_entry(p, path, item, "env_var");
        if (!variable)
            continue;
        if (reference_check(reference, &e) < 0 || variable_check(variable, &e) < 0) {
            parse_error(p, path, "%s", e.message);
            continue;
        }
        struct policy_env_credential *rows = memory_grow(
            p->m, profile->env_credentials, profile->env_credential_count, sizeof(*rows));
        if (!rows)
            return;
        profile->env_credentials = rows;
        rows[profile->env_credential_count++] =
            (struct policy_env_credential){ memory_text(p->m, reference), variable };
    }
}

void parse_set_vars(struct parser *p, const char *path, const json_t *value)
{
    const char *name;
    json_t *item;
    if (!json_is_object(value)) {
        parse_error(p, path, "an object is needed: { \"NAME\": \"value\" }");
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)value, name, item)
    {
        const char *text = json_string_value(item);
        if (!is_variable_name(name) || strcmp(name, "PATH") == 0 || strncmp(name, "NONO_", 5) == 0
            || strncmp(name, "LD_", 3) == 0)
            parse_error(p, path, "%.64s cannot be set: PATH, LD_… and NONO_… are not a profile's",
                        name);
        else if (!text)
            parse_error(p, path, "the value of %.64s must be a text", name);
        else
            texts_add(p->m, &p->profile->lists[PROFILE_SET_VARS],
                      memory_format(p->m, "%s=%s", name, text));
    }
}
