/* SPDX-License-Identifier: Apache-2.0 */
/* parse_inert.c - keys that do nothing on this system or in this version: each may be there, none
 * may be of another type than it has, and each that says something gets a warning. None of them
 * restricts anything: those are never without effect. */
#include "plugins/sandbox-enforce/policy/parse.h"

#include <string.h>

enum shape {
    SHAPE_BOOL,
    SHAPE_TEXTS,
    SHAPE_ORIGINS,
    SHAPE_PATHS,
    SHAPE_TEXT,
    SHAPE_COUNT,
    SHAPE_OBJECT
};

struct member {
    const char *of, *name; /* of "": a key of a profile or one of its sections */
    enum shape shape;
    json_int_t max;    /* SHAPE_COUNT, from 1 */
    bool may_be_null;  /* says nothing */
    const char *about; /* why it has no effect */
};

#define LATER "it belongs to a part of a later version"
#define NO_BROWSER "no browser is opened for the program"
static const struct member members[] = {
    { "", "allow_http2", SHAPE_BOOL, 0, false, "the proxy speaks HTTP/1.1 to upstreams" },
    { "", "suppress_save_prompt", SHAPE_PATHS, 0, false, "nothing is asked at the end" },
    { "", "ignore", SHAPE_PATHS, 0, false, "nothing is asked at the end" },
    { "", "skipdirs", SHAPE_TEXTS, 0, false, LATER },
    { "", "interactive", SHAPE_BOOL, 0, true, "the program gets the terminal in any case" },
    { "", "allow_launch_services", SHAPE_BOOL, 0, true, "it is of another system" },
    { "", "unsafe_macos_seatbelt_rules", SHAPE_TEXTS, 0, false, "it is of another system" },
    { "", "rollback", SHAPE_OBJECT, 0, false, LATER },
    { "", "undo", SHAPE_OBJECT, 0, false, LATER },
    { "rollback", "exclude_patterns", SHAPE_TEXTS, 0, false, NULL },
    { "rollback", "exclude_globs", SHAPE_TEXTS, 0, false, NULL },
    { "", "open_urls", SHAPE_OBJECT, 0, true, NO_BROWSER },
    { "open_urls", "allow_origins", SHAPE_ORIGINS, 0, false, NULL },
    { "open_urls", "allow_localhost", SHAPE_BOOL, 0, false, NULL },
    { "", "diagnostics", SHAPE_OBJECT, 0, false,
      "what is told of denials is not chosen by a profile" },
    { "diagnostics", "suppress_system_services", SHAPE_TEXTS, 0, false, NULL },
    { "diagnostics", "redaction", SHAPE_OBJECT, 0, false, NULL },
    { "redaction", "extra_env_vars", SHAPE_TEXTS, 0, false, NULL },
    { "diagnostics", "network_denial_audit", SHAPE_OBJECT, 0, false, NULL },
    { "network_denial_audit", "rate_per_sec", SHAPE_COUNT, 1000, false, NULL },
    { "network_denial_audit", "burst", SHAPE_COUNT, 10000, false, NULL },
    { "", "hooks", SHAPE_OBJECT, 0, false,
      "nothing is installed into an agent's settings; write the hook there yourself" },
    { "hooks", "*", SHAPE_OBJECT, 0, false, NULL }, /* any name */
    { "*", "event", SHAPE_TEXT, 0, false, NULL },
    { "*", "matcher", SHAPE_TEXT, 0, false, NULL },
    { "*", "script", SHAPE_TEXT, 0, false, NULL },
};
#define MEMBERS (sizeof(members) / sizeof(members[0]))

static const struct member *find(const char *of, const char *name)
{
    if (strcmp(of, "undo") == 0) /* its older name */
        of = "rollback";
    for (size_t i = 0; i < MEMBERS; i++)
        if (strcmp(members[i].of, of) == 0
            && (strcmp(members[i].name, name) == 0 || strcmp(members[i].name, "*") == 0))
            return &members[i];
    return NULL;
}

static void check(struct parser *p, const struct member *m, const char *path, const json_t *value);

static void check_object(struct parser *p, const struct member *m, const char *path,
                         const json_t *object)
{
    const char *name;
    json_t *value;
    if (!json_is_object(object)) {
        parse_error(p, path, "an object is needed: { … }");
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        const struct member *inner = find(m->name, name);
        const char *place = memory_format(p->m, "%s.%s", path, name);
        if (inner && place)
            check(p, inner, place, value);
        else if (place)
            parse_error(p, place, "there is no such key");
    }
    for (size_t i = 0; i < MEMBERS && strcmp(m->name, "*") == 0; i++)
        if (strcmp(members[i].of, "*") == 0 && !json_object_get(object, members[i].name))
            parse_error(p, path, "%s is missing", members[i].name);
}

static void check_entries(struct parser *p, const struct member *m, const char *path,
                          const json_t *value)
{
    const char *member = m->shape == SHAPE_ORIGINS ? "origin"
                         : m->shape == SHAPE_PATHS ? "path"
                                                   : NULL;
    size_t i;
    json_t *item;
    if (!json_is_array(value)) {
        parse_error(p, path, "a list is needed: [ … ]");
        return;
    }
    json_array_foreach(value, i, item)
    {
        if (member)
            (void)parse_entry(p, path, item, member);
        else
            (void)parse_text(p, path, item);
    }
}

static void check(struct parser *p, const struct member *m, const char *path, const json_t *value)
{
    json_int_t number = json_integer_value(value);
    if (m->may_be_null && json_is_null(value))
        return;
    switch (m->shape) {
    case SHAPE_BOOL:
        (void)parse_bool(p, path, value);
        break;
    case SHAPE_TEXTS:
    case SHAPE_ORIGINS:
    case SHAPE_PATHS:
        check_entries(p, m, path, value);
        break;
    case SHAPE_TEXT:
        (void)parse_text(p, path, value);
        break;
    case SHAPE_COUNT:
        if (!json_is_integer(value) || number < 1 || number > m->max)
            parse_error(p, path, "a number from 1 to %d is needed", (int)m->max);
        break;
    case SHAPE_OBJECT:
        check_object(p, m, path, value);
        break;
    }
}

static bool says_something(const json_t *value)
{
    const char *name;
    json_t *inner;
    bool says = json_is_true(value) || json_array_size(value) || json_is_string(value)
                || json_is_integer(value);
    json_object_foreach((json_t *)(uintptr_t)value, name, inner) says =
        says || says_something(inner);
    return says;
}

void parse_inert(struct parser *p, const char *path, const json_t *value)
{
    const char *dot = strrchr(path, '.');
    const struct member *m = find("", dot ? dot + 1 : path);
    if (!m)
        return;
    check(p, m, path, value);
    if (says_something(value))
        texts_add_new(p->m, &p->profile->warnings,
                      memory_format(p->m, "the key %s has no effect here: %s", path, m->about));
}

static json_t *schema_of(const struct member *m)
{
    static const char *const types[] = {
        [SHAPE_BOOL] = "boolean",  [SHAPE_TEXTS] = "array", [SHAPE_ORIGINS] = "array",
        [SHAPE_PATHS] = "array",   [SHAPE_TEXT] = "string", [SHAPE_COUNT] = "integer",
        [SHAPE_OBJECT] = "object",
    };
    json_t *schema = json_object(), *type = json_string(types[m->shape]);
    json_object_set_new(schema, "type", m->may_be_null ? json_pack("[o, s]", type, "null") : type);
    if (m->shape == SHAPE_COUNT)
        json_object_set_new(schema, "minimum", json_integer(1)),
            json_object_set_new(schema, "maximum", json_integer(m->max));
    if (m->shape == SHAPE_TEXTS)
        json_object_set_new(schema, "items", json_pack("{s:s}", "type", "string"));
    if (m->shape != SHAPE_OBJECT)
        return schema;
    json_t *properties = json_object();
    json_object_set_new(schema, "additionalProperties", json_false());
    for (size_t i = 0; i < MEMBERS; i++) {
        if (strcmp(members[i].of, strcmp(m->name, "undo") == 0 ? "rollback" : m->name) != 0)
            continue;
        if (strcmp(members[i].name, "*") == 0)
            json_object_set_new(schema, "additionalProperties", schema_of(&members[i]));
        else
            json_object_set_new(properties, members[i].name, schema_of(&members[i]));
    }
    json_object_set_new(schema, "properties", properties);
    return schema;
}

json_t *parse_inert_schema(const char *name)
{
    const struct member *m = find("", name);
    return m ? schema_of(m) : NULL;
}
