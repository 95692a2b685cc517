/* SPDX-License-Identifier: Apache-2.0 */
/* parse_capture.c - credential_capture: commands that print a credential. Their form alone; whether
 * one may run is asked when a program is to be started (outside.c). */
#include <stdlib.h>
#include <string.h>

#include "plugins/sandbox-enforce/policy/parse.h"
#include "sdk/cleanup.h"
#include "sdk/json.h"

enum {
    TIMEOUT_S = 5,
    TIMEOUT_MAX_S = 300,
    KEPT_S = 900,
    KEPT_MAX_S = 3600,
    WORDS_MAX = 64,
    HEADERS_MAX = 16,
    PATTERN_MAX = 512,
    CONFIG_MAX = 32 * 1024,
};

#define NO_KEY "there is no such key: %.64s"

static void read_number(struct parser *p, const char *path, const json_t *value, json_int_t least,
                        json_int_t most, uint32_t *ret)
{
    json_int_t number = json_is_integer(value) ? json_integer_value(value) : -1;
    if (number < least || number > most)
        parse_error(p, path, "a number of seconds from %d to %d is needed", (int)least, (int)most);
    else
        *ret = (uint32_t)number;
}

/* Not a text alone: nothing is given to a shell. */
static void read_words(struct parser *p, const char *path, const json_t *value,
                       struct policy_texts *ret)
{
    size_t i;
    json_t *item;
    if (!json_is_array(value) || !json_array_size(value) || json_array_size(value) > WORDS_MAX) {
        parse_error(p, path, "a list is needed, the program and its arguments: [\"gh\", …]");
        return;
    }
    json_array_foreach(value, i, item)
    {
        /* An argument may be empty, and of several lines. */
        const char *text = i ? json_string_value(item) : parse_text(p, path, item);
        if (i && (!text || strlen(text) > 4096))
            parse_error(p, path, "an argument is a text of at most 4096 bytes");
        else if (text)
            texts_add(p->m, ret, memory_text(p->m, text));
    }
    if (ret->count && strchr(ret->at[0], '/') && !strchr("/~$", ret->at[0][0]))
        parse_error(p, path, "the program is a name, looked for in PATH, or an absolute path");
}

static void read_provider(struct parser *p, const char *path, const json_t *object,
                          struct policy_capture *ret)
{
    const char *name;
    json_t *value;
    if (!json_is_object(object)) {
        parse_error(p, path, "an object is needed: {\"command\": [ … ], \"config\": { … }}");
        return;
    }
    ret->config = "{}";
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        if (strcmp(name, "command") == 0) {
            read_words(p, path, value, &ret->words);
        } else if (strcmp(name, "config") != 0) {
            parse_error(p, path, NO_KEY, name);
        } else if (!json_is_object(value)) {
            parse_error(p, path, "config is an object");
        } else {
            nt_autofree char *text = json_dumps(value, JSON_COMPACT);
            if (!text || strlen(text) > CONFIG_MAX)
                parse_error(p, path, "config is larger than %d bytes", (int)CONFIG_MAX);
            else
                ret->config = memory_text(p->m, text);
        }
    }
}

static void read_headers(struct parser *p, const char *path, const json_t *value,
                         struct policy_texts *ret)
{
    size_t i;
    json_t *item;
    if (!json_is_array(value) || !json_array_size(value) || json_array_size(value) > HEADERS_MAX) {
        parse_error(p, path, "allow_headers is a list of 1 to %d names", (int)HEADERS_MAX);
        return;
    }
    json_array_foreach(value, i, item)
    {
        const char *name = parse_text(p, path, item);
        if (name && !profile_is_header(name))
            parse_error(p, path, "%.64s is not the name of a header that may be set", name);
        else if (name)
            texts_add_new(p->m, ret, name);
    }
}

/* "text", or {"format": "json", "allow_headers": [ … ]} */
static void read_output(struct parser *p, const char *path, const json_t *value,
                        struct policy_capture *ret)
{
    const char *text = json_string_value(value), *format = nt_json_text(value, "format"), *name;
    json_t *item;
    if (text && strcmp(text, "text") == 0)
        return;
    if (!format || strcmp(format, "json") != 0) {
        parse_error(
            p, path,
            "it is \"text\" or {\"format\": \"json\", \"allow_headers\": [ … ]}, nothing else");
        return;
    }
    ret->prints_headers = true;
    json_object_foreach((json_t *)(uintptr_t)value, name, item)
    {
        if (strcmp(name, "allow_headers") == 0)
            read_headers(p, path, item, &ret->headers);
        else if (strcmp(name, "format") != 0)
            parse_error(p, path, NO_KEY, name);
    }
    if (!ret->headers.count)
        parse_error(p, path, "allow_headers is needed: the headers that the command may set");
}

static void read_interaction(struct parser *p, const char *path, const json_t *object,
                             struct policy_capture *ret)
{
    const char *name;
    json_t *value;
    if (!json_is_object(object) && !json_is_null(object))
        parse_error(p, path, "an object is needed: {\"stdio\": true}");
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        bool is_set = false;
        if (strcmp(name, "open_urls") != 0)
            is_set = parse_bool(p, path, value);
        if (strcmp(name, "stdio") == 0)
            ret->is_heard = is_set;
        else if (strcmp(name, "stdin") == 0 && is_set)
            parse_error(p, path,
                        "stdin: the terminal is the program's while it runs, which would read what "
                        "you type; sign in before, or let the command ask in a window of its own");
        else if (strcmp(name, "open_urls") == 0 && !json_is_null(value))
            parse_error(p, path,
                        "open_urls: nobody watches here which pages the command opens; leave it "
                        "out: the command runs outside of the sandbox and may open a browser "
                        "itself");
        else if (strcmp(name, "allow_launch_services") == 0 && is_set)
            texts_add_new(p->m, &p->profile->warnings,
                          memory_format(p->m,
                                        "the key %s.%s has no effect here: it is one of macOS",
                                        path, name));
        else if (strcmp(name, "stdin") != 0 && strcmp(name, "open_urls") != 0
                 && strcmp(name, "allow_launch_services") != 0)
            parse_error(p, path, NO_KEY, name);
    }
}

static void read_stdin(struct parser *p, const char *path, const json_t *value,
                       struct policy_capture *ret)
{
    const char *text = json_string_value(value);
    if (text && strcmp(text, "request_json") == 0)
        ret->is_told = true;
    else if (!text || strcmp(text, "null") != 0)
        parse_error(p, path, "it is \"null\" or \"request_json\"");
}

static void read_pattern(struct parser *p, const char *path, const json_t *value,
                         struct policy_capture *ret)
{
    ret->pattern = parse_text(p, path, value);
    if (ret->pattern && strlen(ret->pattern) > PATTERN_MAX)
        parse_error(p, path, "it is longer than %d bytes", (int)PATTERN_MAX);
}

/* The key NAME of a capture. */
static void read_one(struct parser *p, const char *path, const char *name, const json_t *value,
                     struct policy_capture *ret)
{
    if (strcmp(name, "command") == 0)
        read_words(p, path, value, &ret->words);
    else if (strcmp(name, "provider") == 0)
        read_provider(p, path, value, ret);
    else if (strcmp(name, "timeout_secs") == 0)
        read_number(p, path, value, 1, TIMEOUT_MAX_S, &ret->timeout_s);
    else if (strcmp(name, "ttl_secs") == 0 || strcmp(name, "cache_ttl_secs") == 0)
        read_number(p, path, value, 0, KEPT_MAX_S, &ret->kept_s);
    else if (strcmp(name, "cache_path_regex") == 0)
        read_pattern(p, path, value, ret);
    else if (strcmp(name, "stdin") == 0)
        read_stdin(p, path, value, ret);
    else if (strcmp(name, "output") == 0)
        read_output(p, path, value, ret);
    else if (strcmp(name, "interaction") == 0)
        read_interaction(p, path, value, ret);
    else
        parse_error(p, path, "there is no such key");
}

static void read_capture(struct parser *p, const char *at, const json_t *object,
                         struct policy_capture *ret)
{
    const json_t *old = json_object_get(object, "ttl_secs");
    const json_t *now = json_object_get(object, "cache_ttl_secs");
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        const char *path = memory_format(p->m, "%s.%.64s", at, name);
        if (!path)
            return;
        read_one(p, path, name, value, ret);
    }
    if (!json_object_get(object, "command") == !json_object_get(object, "provider"))
        parse_error(p, at, "command or provider is needed, not both");
    if (old && now && !json_equal(old, now))
        parse_error(p, at, "ttl_secs and cache_ttl_secs say the same twice: write one");
    if (ret->config && !ret->words.count)
        parse_error(p, at, "command of the provider: a list is needed");
    ret->is_told |= ret->config != NULL;
}

void parse_captures(struct parser *p, const char *path, const json_t *value)
{
    struct profile *profile = p->profile;
    const char *name;
    json_t *item;
    if (!json_is_object(value)) {
        if (!json_is_null(value))
            parse_error(p, path, "an object is needed: { \"name\": { … } }");
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)value, name, item)
    {
        const char *at = memory_format(p->m, "%s.%.64s", path, name);
        struct policy_capture row = { .name = memory_text(p->m, name),
                                      .timeout_s = TIMEOUT_S,
                                      .kept_s = KEPT_S };
        struct policy_capture *rows =
            memory_grow(p->m, profile->captures, profile->capture_count, sizeof(*rows));
        if (!at || !row.name || !rows)
            return;
        profile->captures = rows;
        if (!profile_is_service_name(name) || !json_is_object(item)) {
            parse_error(p, at, "a name of letters, digits, _ and -, and an object");
            continue;
        }
        read_capture(p, at, item, &row);
        rows[profile->capture_count++] = row;
    }
}
