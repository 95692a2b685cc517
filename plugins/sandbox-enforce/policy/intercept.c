/* SPDX-License-Identifier: Apache-2.0 */
/* intercept.c - hosts whose TLS ends at the proxy, as what counts is which of their requests: how
 * long the certificates for that are good, and who is told where they are. */
#include "plugins/sandbox-enforce/policy/intercept.h"

#include <stdio.h>
#include <string.h>

#include "plugins/sandbox-enforce/errors.h"
#include "plugins/sandbox-enforce/policy/hosts.h"
#include "plugins/sandbox-enforce/policy/references.h"
#include "sdk/error.h"
#include "sdk/json.h"
#include "sdk/parse.h"

enum { DAY_S = 24 * 3600, CA_S = DAY_S, CA_MAX_S = 365 * DAY_S, LEAF_S = 15 * 60 };

/* --- network.tls_intercept ------------------------------------------------------------------- */

/* "90", "90s", "15m", "24h", "1d"; 0: none of them. */
static uint32_t seconds_of(const char *text)
{
    static const struct {
        char letter;
        uint32_t seconds;
    } units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', DAY_S } };
    char digits[16];
    struct nt_error ignored = NT_ERROR_INIT;
    uint64_t count = 0;
    uint32_t unit = 1;
    size_t size = strspn(text, "0123456789");
    if (!size || size >= sizeof(digits) || text[0] == '0')
        return 0;
    if (text[size])
        unit = 0;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (text[size] == units[i].letter && !text[size + 1])
            unit = units[i].seconds;
    memcpy(digits, text, size);
    digits[size] = '\0';
    if (!unit || nt_parse_u64(digits, 1, CA_MAX_S / unit, &count, &ignored) < 0)
        return 0;
    return (uint32_t)count * unit;
}

static void read_duration(struct parser *p, const char *path, const json_t *value,
                          enum profile_text target)
{
    const char *text = parse_text(p, path, value);
    if (text && !seconds_of(text))
        parse_error(p, path,
                    "\"%.32s\" is not a time such as 24h, 15m or 900 (seconds), at most 365d",
                    text);
    else if (text)
        p->profile->texts[target] = text;
}

/* A variable that programs read the name of a file from: not one that others go by. */
static bool is_for_bundles(const char *name)
{
    static const char *const others[] = { "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
                                          "http_proxy", "https_proxy", "all_proxy", "no_proxy",
                                          "LANG",       "IFS" };
    struct nt_error ignored = NT_ERROR_INIT;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (strcmp(others[i], name) == 0)
            return false;
    return variable_check(name, &ignored) == 0;
}

static void read_variables(struct parser *p, const char *path, const json_t *value)
{
    struct policy_texts names = { 0 };
    parse_texts(p, path, value, &names);
    for (size_t i = 0; i < names.count; i++)
        if (is_for_bundles(names.at[i]))
            texts_add_new(p->m, &p->profile->lists[PROFILE_CA_VARIABLES], names.at[i]);
        else
            parse_error(p, path, "%.64s is not the name of a variable that may be set to a bundle",
                        names.at[i]);
}

void parse_tls_intercept(struct parser *p, const char *path, const json_t *value)
{
    const char *name;
    json_t *item;
    if (json_is_null(value))
        return;
    if (!json_is_object(value)) {
        parse_error(p, path, "an object is needed: { \"ca_validity\": \"24h\", … }");
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)value, name, item)
    {
        const char *whole = memory_format(p->m, "%s.%s", path, name);
        if (!whole)
            return;
        if (strcmp(name, "ca_validity") == 0)
            read_duration(p, whole, item, PROFILE_CA_VALIDITY);
        else if (strcmp(name, "leaf_validity") == 0)
            read_duration(p, whole, item, PROFILE_LEAF_VALIDITY);
        else if (strcmp(name, "ca_env_vars") == 0)
            read_variables(p, whole, item);
        else if (strcmp(name, "ca_lifecycle") != 0)
            parse_error(p, whole, "there is no such key");
        else if (json_is_string(item) && strcmp(json_string_value(item), "trusted") == 0)
            parse_error(p, whole,
                        "trusted would put the authority into the system's store for every "
                        "program, which exists on macOS only; write session");
        else if (!json_is_string(item) || strcmp(json_string_value(item), "session") != 0)
            parse_error(p, whole, "there is session alone");
    }
}

json_t *tls_intercept_to_json(const struct profile *profile)
{
    const char *ca = profile->texts[PROFILE_CA_VALIDITY];
    const char *leaf = profile->texts[PROFILE_LEAF_VALIDITY];
    const struct policy_texts *names = &profile->lists[PROFILE_CA_VARIABLES];
    json_t *object = json_object();
    if (ca)
        json_object_set_new(object, "ca_validity", json_string(ca));
    if (leaf)
        json_object_set_new(object, "leaf_validity", json_string(leaf));
    json_t *array = names->count ? json_array() : NULL;
    for (size_t i = 0; i < names->count; i++)
        json_array_append_new(array, json_string(names->at[i]));
    if (array)
        json_object_set_new(object, "ca_env_vars", array);
    return object;
}

json_t *tls_intercept_schema(void)
{
    static const char time[] = "^[1-9][0-9]*(s|m|h|d)?$";
    return json_pack("{s:[s,s], s:b, s:{s:{s:[s]}, s:{s:s, s:s}, s:{s:s, s:s}, s:{s:s, s:{s:s, "
                     "s:s}}}}",
                     "type", "object", "null", "additionalProperties", 0, "properties",
                     "ca_lifecycle", "enum", "session", "ca_validity", "type", "string", "pattern",
                     time, "leaf_validity", "type", "string", "pattern", time, "ca_env_vars",
                     "type", "array", "items", "type", "string", "pattern",
                     "^[A-Za-z_][A-Za-z0-9_]*$");
}

/* --- what it comes to ------------------------------------------------------------------------ */

void make_intercept(struct maker *k)
{
    struct policy_intercept *i = &k->policy->intercept;
    const char *ca = k->profile.texts[PROFILE_CA_VALIDITY];
    const char *leaf = k->profile.texts[PROFILE_LEAF_VALIDITY];
    i->ca_s = ca ? seconds_of(ca) : CA_S;
    if (k->request->ca_days)
        i->ca_s = k->request->ca_days * DAY_S;
    i->leaf_s = leaf ? seconds_of(leaf) : LEAF_S;
    i->variables = k->profile.lists[PROFILE_CA_VARIABLES];
}

/* The host of "https://host:port/base", and its port. */
static bool split_url(const char *url, char ret_host[HOST_MAX], uint16_t *ret_port)
{
    char digits[8];
    struct nt_error ignored = NT_ERROR_INIT;
    uint64_t port = 443;
    const char *rest;
    if (strncmp(url, "https://", 8) != 0 || !host_of_url(url, ret_host, &rest))
        return false;
    if (*rest == ':') {
        size_t count = strcspn(++rest, "/");
        if (count >= sizeof(digits))
            return false;
        memcpy(digits, rest, count);
        digits[count] = '\0';
        if (nt_parse_u64(digits, 1, 65535, &port, &ignored) < 0)
            return false;
    }
    *ret_port = (uint16_t)port;
    return true;
}

const char *policy_intercepted(const struct policy *policy, size_t index, char ret[POLICY_HOST_MAX])
{
    uint16_t port;
    for (size_t i = 0; i < policy->host_count; i++)
        if (policy->hosts[i].endpoint_count && index-- == 0) {
            snprintf(ret, POLICY_HOST_MAX, "%s", policy->hosts[i].name);
            return ret;
        }
    for (size_t i = 0; i < policy->route_count; i++)
        if (split_url(policy->routes[i].upstream, ret, &port) && index-- == 0)
            return ret;
    return NULL;
}

bool policy_intercepts(const struct policy *policy, const char *host, uint16_t port)
{
    char plain[HOST_MAX], name[HOST_MAX];
    uint16_t its;
    if (policy->network != POLICY_NET_FILTERED || !host_plain(host, plain)
        || policy_is_metadata(plain))
        return false;
    for (size_t i = 0; i < policy->route_count; i++)
        if (split_url(policy->routes[i].upstream, name, &its) && strcmp(name, plain) == 0
            && its == port)
            return true;
    struct policy_answer answer;
    policy_ask_host(policy, host, port, &answer);
    return !answer.is_allowed && !answer.route && answer.limited;
}
