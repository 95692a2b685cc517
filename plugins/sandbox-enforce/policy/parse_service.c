/* SPDX-License-Identifier: Apache-2.0 */
/* parse_service.c - network.custom_credentials: services of one's own. Whatever could send a
 * credential elsewhere than its owner meant is an error. */
#include <stdio.h>
#include <string.h>

#include "plugins/sandbox-enforce/policy/hosts.h"
#include "plugins/sandbox-enforce/policy/parse.h"
#include "plugins/sandbox-enforce/policy/references.h"
#include "sdk/error.h"
#include "sdk/json.h"

#define NOBODY_APPROVES                                                                            \
    "nobody is asked for single requests here: write the paths under deny or under allow"

/* "deny", or {"decision": "deny"} as nono writes it. */
static void read_default(struct parser *p, const char *path, const json_t *value,
                         struct policy_route *ret)
{
    bool is_object = json_is_object(value) && json_object_size(value) == 1;
    const char *text = json_string_value(is_object ? json_object_get(value, "decision") : value);
    if (text && strcmp(text, "allow") == 0)
        ret->others = POLICY_OTHERS_CARRIED;
    else if (text && strcmp(text, "approve") == 0)
        parse_error(p, path, "%s", NOBODY_APPROVES);
    else if (!text || strcmp(text, "deny") != 0)
        parse_error(p, path, "it is \"allow\", \"deny\" or {\"decision\": …}, nothing else");
}

/* network.custom_credentials.NAME.endpoint_policy: {deny, allow, default}, judged in that order. */
static void read_endpoint_policy(struct parser *p, const char *path, const json_t *object,
                                 struct policy_route *ret)
{
    const char *name;
    json_t *value;
    if (!json_is_object(object)) {
        parse_error(p, path,
                    "an object is needed: {\"deny\": [ … ], \"allow\": [ … ], \"default\": …}");
        return;
    }
    ret->others = POLICY_OTHERS_REFUSED;
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        const char *at = memory_format(p->m, "%s.%.64s", path, name);
        if (!at)
            return;
        if (strcmp(name, "deny") == 0)
            parse_endpoints(p, at, value, &ret->denied, &ret->denied_count);
        else if (strcmp(name, "allow") == 0)
            parse_endpoints(p, at, value, &ret->endpoints, &ret->endpoint_count);
        else if (strcmp(name, "default") == 0)
            read_default(p, at, value, ret);
        else if (strcmp(name, "approve") != 0)
            parse_error(p, at, "there is no such key");
        else if (!json_is_array(value) || json_array_size(value))
            parse_error(p, at, "%s", NOBODY_APPROVES);
    }
}

/* https, or http to this machine: a credential never goes over a network in the clear. */
static bool is_upstream(const char *url)
{
    char host[HOST_MAX], plain[HOST_MAX];
    bool is_https = strncmp(url, "https://", 8) == 0;
    if (!is_https && strncmp(url, "http://", 7) != 0)
        return false;
    const char *start = url + (is_https ? 8 : 7);
    size_t size = start[0] == '[' ? strcspn(start, "]") + 1 : strcspn(start, ":/?#");
    if (!size || size >= sizeof(host) || strpbrk(start, "@?#\\ "))
        return false;
    memcpy(host, start, size);
    host[size] = '\0';
    if (!host_plain(host, plain) || strchr(plain, '*') || policy_is_metadata(plain))
        return false;
    if (start[size] == ':') {
        size_t digits = strspn(start + size + 1, "0123456789");
        if (!digits || digits > 5 || !strchr("/", start[size + 1 + digits]))
            return false;
    }
    return is_https || host_is_loopback(plain);
}

bool profile_is_header(const char *text)
{
    static const char token[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    static const char *const taken[] = { "host",
                                         "content-length",
                                         "transfer-encoding",
                                         "connection",
                                         "upgrade",
                                         "te",
                                         "trailer",
                                         "proxy-authorization",
                                         "keep-alive",
                                         "proxy-connection",
                                         "proxy-authenticate" };
    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
        if (strcasecmp(taken[i], text) == 0)
            return false;
    return *text && strlen(text) <= 128 && strspn(text, token) == strlen(text);
}

static bool is_format(const char *text)
{
    const char *place = strstr(text, "{}");
    return place && !strstr(place + 2, "{}");
}

bool profile_is_service_name(const char *name)
{
    return *name && strlen(name) <= 64
           && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
                  == strlen(name);
}

static void read_inject(struct parser *p, const char *path, const char *text,
                        enum policy_inject *ret)
{
    static const char *const modes[] = { "header", "url_path", "query_param", "basic_auth" };
    for (uint32_t i = 0; i < 4; i++)
        if (strcmp(modes[i], text) == 0) {
            *ret = (enum policy_inject)i;
            return;
        }
    parse_error(p, path, "\"%.64s\" is not one of header, url_path, query_param, basic_auth", text);
}

/* Keys of nono's that would send a credential in a way, or hold a program back, that is not built:
 * never ignored. */
static bool refuse_known(struct parser *p, const char *path, const char *name, const json_t *value)
{
    static const struct {
        const char *name, *why;
    } rows[] = {
        { "spiffe", "no workload API is asked here: let a command of credential_capture print the "
                    "token, and name it by cmd://" },
        { "rate_limit", "requests are not slowed down here: let the upstream limit its key, or a "
                        "proxy on this machine that is made the upstream" },
        { "redeem_phantoms",
          "no tokens are taken out of answers here, so none can be put back: name "
          "the secret in credential_key" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (strcmp(rows[i].name, name) == 0) {
            if (!json_is_null(value) && !(json_is_array(value) && !json_array_size(value)))
                parse_error(p, path, "%s", rows[i].why);
            return true;
        }
    return false;
}

/* What has a meaning of its own in the request, and may not be said twice. */
static bool is_own_parameter(const char *name)
{
    static const char *const own[] = { "grant_type", "client_id", "client_secret", "scope" };
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        if (strcmp(own[i], name) == 0)
            return true;
    return false;
}

static void read_extra(struct parser *p, const char *path, const json_t *object,
                       struct policy_texts *ret)
{
    const char *name;
    json_t *value;
    if (!json_is_object(object) && !json_is_null(object))
        parse_error(p, path, "an object is needed: { \"name\": \"value\" }");
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        const char *text = parse_text(p, path, value);
        if (!*name || is_own_parameter(name))
            parse_error(p, path, "\"%.64s\" is not a parameter of your own", name);
        else if (text && texts_add(p->m, ret, memory_text(p->m, name)))
            texts_add(p->m, ret, text);
    }
}

static void check_auth(struct parser *p, const char *at, const struct policy_auth *auth)
{
    struct nt_error e = NT_ERROR_INIT;
    if (!auth->token_url || !is_upstream(auth->token_url) || strpbrk(auth->token_url, "?#"))
        parse_error(p, at,
                    "token_url is needed: https://host/…, or http:// to this machine; "
                    "without a query");
    if (!auth->client_id)
        parse_error(p, at, "client_id is needed");
    else if (strstr(auth->client_id, "://") && reference_check(auth->client_id, &e) < 0)
        parse_error(p, at, "%s", e.message);
    if (!auth->client_secret)
        parse_error(p, at, "client_secret is needed: the reference of a secret");
    else if (reference_check(auth->client_secret, &e) < 0)
        parse_error(p, at, "client_secret: %s", e.message);
}

/* network.custom_credentials.NAME.auth */
static void read_auth(struct parser *p, const char *path, const json_t *object,
                      struct policy_route *ret)
{
    struct policy_auth *auth = memory_room(p->m, sizeof(*auth));
    const char *name;
    json_t *value;
    if (!json_is_object(object)) {
        parse_error(p, path, "an object is needed: {\"token_url\": …}");
        return;
    }
    if (!auth)
        return;
    *auth = (struct policy_auth){ 0 };
    const struct {
        const char *name;
        const char **to;
    } texts[] = { { "token_url", &auth->token_url },
                  { "client_id", &auth->client_id },
                  { "client_secret", &auth->client_secret },
                  { "scope", &auth->scope } };
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        bool is_known = strcmp(name, "extra_params") == 0;
        if (is_known)
            read_extra(p, path, value, &auth->extra);
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]) && !is_known; i++)
            if (strcmp(texts[i].name, name) == 0) {
                is_known = true;
                if (texts[i].to != &auth->scope || !json_is_null(value))
                    *texts[i].to = parse_text(p, path, value);
            }
        if (!is_known)
            parse_error(p, path, "there is no such key: %.64s", name);
    }
    check_auth(p, path, auth);
    ret->auth = auth;
}

static void read_service(struct parser *p, const char *at, const json_t *object,
                         struct policy_route *ret)
{
    const struct {
        const char *name;
        const char **to;
    } texts[] = {
        { "upstream", &ret->upstream },
        { "credential_key", &ret->key },
        { "env_var", &ret->variable },
        { "inject_header", &ret->header },
        { "credential_format", &ret->format },
        { "path_pattern", &ret->path_pattern },
        { "path_replacement", &ret->path_replacement },
        { "query_param_name", &ret->query_name },
        { "tls_ca", &ret->tls_ca },
        { "tls_client_cert", &ret->tls_certificate },
        { "tls_client_key", &ret->tls_key },
    };
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        const char *path = memory_format(p->m, "%s.%s", at, name);
        bool is_known = false;
        if (!path)
            return;
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]) && !is_known; i++)
            if (strcmp(texts[i].name, name) == 0) {
                *texts[i].to = parse_text(p, path, value);
                is_known = true;
            }
        if (is_known)
            continue;
        if (strcmp(name, "inject_mode") == 0) {
            const char *mode = parse_text(p, path, value);
            if (mode)
                read_inject(p, path, mode, &ret->inject);
        } else if (strcmp(name, "endpoint_rules") == 0) {
            parse_endpoints(p, path, value, &ret->endpoints, &ret->endpoint_count);
        } else if (strcmp(name, "endpoint_policy") == 0) {
            if (!json_is_null(value))
                read_endpoint_policy(p, path, value, ret);
        } else if (strcmp(name, "auth") == 0) {
            if (!json_is_null(value))
                read_auth(p, path, value, ret);
        } else if (strcmp(name, "aws_auth") == 0) {
            if (!json_is_null(value))
                parse_aws(p, path, value, ret);
        } else if (strcmp(name, "proxy") == 0) {
            if (!json_is_object(value) && !json_is_null(value))
                parse_error(p, path, "an object is needed: {\"inject_mode\": …}");
        } else if (!refuse_known(p, path, name, value)) {
            parse_error(p, path, "there is no such key");
        }
    }
    if (json_array_size(json_object_get(object, "endpoint_rules"))
        && json_is_object(json_object_get(object, "endpoint_policy")))
        parse_error(p, at, "endpoint_rules and endpoint_policy say the same twice: write one");
}

static void check_files(struct parser *p, const char *at, const struct policy_route *row)
{
    const struct {
        const char *name, *path;
    } files[] = { { "tls_ca", row->tls_ca },
                  { "tls_client_cert", row->tls_certificate },
                  { "tls_client_key", row->tls_key } };
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        if (files[i].path && !strchr("/~$", files[i].path[0]))
            parse_error(p, at, "%s is the absolute path of a file", files[i].name);
    if (!row->tls_certificate != !row->tls_key)
        parse_error(p, at, "tls_client_cert and tls_client_key need each other");
    if (row->tls_certificate && row->upstream && strncmp(row->upstream, "https://", 8) != 0)
        parse_error(p, at, "tls_client_cert needs an upstream of https://");
}

static void check_service(struct parser *p, const char *at, struct policy_route *row)
{
    struct nt_error e = NT_ERROR_INIT;
    if (!row->upstream || !is_upstream(row->upstream))
        parse_error(p, at, "upstream is needed: https://host/…, or http:// to this machine");
    if (!!row->key + !!row->auth + !!row->aws != 1)
        parse_error(p, at, "one of credential_key, auth and aws_auth is needed, not more");
    else if (row->key && strncmp(row->key, REFERENCE_CAPTURE, REFERENCE_CAPTURE_SIZE) == 0
             && !profile_is_service_name(row->key + REFERENCE_CAPTURE_SIZE))
        parse_error(p, at, "%.100s is not " REFERENCE_CAPTURE "NAME", row->key);
    else if (row->key && strncmp(row->key, REFERENCE_CAPTURE, REFERENCE_CAPTURE_SIZE) != 0
             && reference_check(row->key, &e) < 0)
        parse_error(p, at, "%s", e.message);
    if (row->variable && variable_check(row->variable, &e) < 0)
        parse_error(p, at, "%s", e.message);
    if (row->header && !profile_is_header(row->header))
        parse_error(p, at, "inject_header is not the name of a header that may be set");
    if (row->format && !is_format(row->format))
        parse_error(p, at, "credential_format holds {} once");
    if (row->path_pattern && !is_format(row->path_pattern))
        parse_error(p, at, "path_pattern holds {} once");
    if (row->path_replacement && !is_format(row->path_replacement))
        parse_error(p, at, "path_replacement holds {} once");
    if (row->inject == POLICY_IN_PATH && !row->path_pattern)
        parse_error(p, at, "inject_mode url_path needs a path_pattern");
    if (row->inject == POLICY_IN_QUERY && !row->query_name)
        parse_error(p, at, "inject_mode query_param needs a query_param_name");
    check_files(p, at, row);
    if (row->aws)
        parse_aws_check(p, at, row);
    if (!row->header)
        row->header = "Authorization";
    if (!row->format)
        row->format = strcasecmp(row->header, "Authorization") == 0 ? "Bearer {}" : "{}";
    if (row->path_pattern && !row->path_replacement)
        row->path_replacement = row->path_pattern;
}

/* network.custom_credentials.NAME.proxy: where the program puts its token. What it does not say is
 * as for the credential. */
static void read_phantom(struct parser *p, const char *at, const json_t *object,
                         struct policy_route *row)
{
    struct policy_place *place = memory_room(p->m, sizeof(*place));
    const char *name;
    json_t *value;
    if (!place || !at || !json_object_size(object))
        return;
    *place = (struct policy_place){ .inject = row->inject,
                                    .header = row->header,
                                    .format = row->format,
                                    .path_pattern = row->path_pattern,
                                    .query_name = row->query_name };
    const struct {
        const char *name;
        const char **to;
    } texts[] = {
        { "inject_header", &place->header },
        { "credential_format", &place->format },
        { "path_pattern", &place->path_pattern },
        { "path_replacement", &place->path_replacement },
        { "query_param_name", &place->query_name },
    };
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        bool is_known = strcmp(name, "inject_mode") == 0;
        const char *text = parse_text(p, at, value);
        if (!text)
            return;
        if (is_known)
            read_inject(p, at, text, &place->inject);
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]) && !is_known; i++)
            if (strcmp(texts[i].name, name) == 0) {
                *texts[i].to = text;
                is_known = true;
            }
        if (!is_known)
            parse_error(p, at, "there is no such key: %.64s", name);
    }
    if (!profile_is_header(place->header))
        parse_error(p, at, "inject_header is not the name of a header that may be set");
    if (!is_format(place->format) || (place->path_pattern && !is_format(place->path_pattern)))
        parse_error(p, at, "credential_format and path_pattern hold {} once");
    if (place->inject == POLICY_IN_PATH && !place->path_pattern)
        parse_error(p, at, "inject_mode url_path needs a path_pattern");
    if (place->inject == POLICY_IN_QUERY && !place->query_name)
        parse_error(p, at, "inject_mode query_param needs a query_param_name");
    row->phantom = place;
}

void parse_services(struct parser *p, const char *path, const json_t *value)
{
    const char *name;
    json_t *item;
    if (!json_is_object(value)) {
        parse_error(p, path, "an object is needed: { \"name\": { … } }");
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)value, name, item)
    {
        struct profile *profile = p->profile;
        const char *at = memory_format(p->m, "%s.%.64s", path, name);
        struct policy_route row = { .name = memory_text(p->m, name) };
        struct policy_route *rows =
            memory_grow(p->m, profile->services, profile->service_count, sizeof(*rows));
        if (!at || !row.name || !rows)
            return;
        profile->services = rows;
        if (!profile_is_service_name(name) || !json_is_object(item)) {
            parse_error(p, at, "a name of letters, digits, _ and -, and an object");
            continue;
        }
        size_t before = p->errors->count;
        read_service(p, at, item, &row);
        if (p->errors->count == before)
            check_service(p, at, &row);
        if (p->errors->count == before && row.aws
            && json_object_size(json_object_get(item, "proxy")))
            parse_error(p, at, "aws_auth: the program signs with its token, in no other place");
        if (p->errors->count == before)
            read_phantom(p, memory_format(p->m, "%s.proxy", at), json_object_get(item, "proxy"),
                         &row);
        rows[profile->service_count++] = row;
    }
}
