/* SPDX-License-Identifier: Apache-2.0 */
/* capture_answer.c - reads what a command of credential_capture has printed: a text, headers as
 * JSON, or what a provider answers (nono.credential-provider.v1). */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "plugins/sandbox-enforce/proxy/capture.h"
#include "plugins/sandbox-enforce/proxy/source.h"
#include "sdk/cleanup.h"
#include "sdk/json.h"

/* It goes into a header line: what ends a line would begin another header. */
static const char *check(const char *text)
{
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return "what it printed has a line end or a control character";
    return *text ? NULL : "it printed nothing";
}

static const char *of_text(const char *text, struct token **ret)
{
    const char *why = check(text);
    if (why)
        return why;
    *ret = token_new(text);
    return *ret ? NULL : "out of memory";
}

/* The library's copies are not left behind. */
static void wipe(const json_t *value)
{
    const char *name;
    json_t *inner;
    char *at = (char *)(uintptr_t)json_string_value(value);
    if (at)
        explicit_bzero(at, json_string_length(value));
    json_object_foreach((json_t *)(uintptr_t)value, name, inner) wipe(inner);
}

static bool may_set(const struct policy_capture *policy, const char *name)
{
    for (size_t i = 0; i < policy->headers.count; i++)
        if (strcasecmp(policy->headers.at[i], name) == 0)
            return true;
    return false;
}

static const char *of_headers(const struct policy_capture *policy, const json_t *headers,
                              struct token **ret)
{
    const char *pairs[2 * SOURCE_HEADERS_MAX], *name;
    uint32_t count = 0;
    json_t *value;
    if (!json_object_size(headers))
        return "it printed no headers";
    json_object_foreach((json_t *)(uintptr_t)headers, name, value)
    {
        const char *text = json_string_value(value);
        if (!may_set(policy, name))
            return "it printed a header that is not among allow_headers";
        if (!text)
            return "it printed a header that is no text";
        const char *why = check(text);
        if (why)
            return why;
        for (uint32_t i = 0; i < count; i++)
            if (strcasecmp(pairs[2 * i], name) == 0)
                return "it printed a header twice";
        if (count == SOURCE_HEADERS_MAX)
            return "it printed too many headers";
        pairs[2 * count] = name;
        pairs[2 * count++ + 1] = text;
    }
    *ret = token_new_headers(pairs, count);
    return *ret ? NULL : "out of memory";
}

/* {"material": {"type": "secret", "value": …}} or {…: {"type": "headers", "headers": { … }}} */
static const char *of_material(const struct policy_capture *policy, const json_t *material,
                               struct token **ret)
{
    const char *type = nt_json_text(material, "type");
    const char *value = nt_json_text(material, "value");
    if (!type)
        return "it printed no material with a type";
    if (strcmp(type, "headers") == 0)
        return of_headers(policy, json_object_get(material, "headers"), ret);
    if (strcmp(type, "secret") != 0)
        return "the type of what it printed is neither secret nor headers";
    return value ? of_text(value, ret) : "it printed a secret without a value";
}

const char *capture_read(const struct policy_capture *policy, char *answer, size_t size,
                         struct token **ret)
{
    if (strlen(answer) != size)
        return "what it printed is no text";
    if (!policy->config && !policy->prints_headers) {
        while (size && strchr("\r\n", answer[size - 1]))
            answer[--size] = '\0';
        return of_text(answer, ret);
    }
    nt_auto_json json_t *object = json_loadb(answer, size, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(object))
        return "what it printed is no JSON object";
    const char *why = policy->config ? of_material(policy, json_object_get(object, "material"), ret)
                                     : of_headers(policy, json_object_get(object, "headers"), ret);
    wipe(object);
    return why;
}
