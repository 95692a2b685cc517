/* SPDX-License-Identifier: Apache-2.0 */
/* schema.c - what a command writes, as JSON Schema; see schema.h. */
#include "schema.h"

#include <string.h>

#include "core/output/cell.h"
#include "core/output/error_line.h"

#define DRAFT "https://json-schema.org/draft/2020-12/schema"

static json_t *text(const char *value)
{
    json_t *json = value ? cell_of_text(value) : NULL;
    return json ? json : json_null();
}

static void set(json_t *object, const char *key, json_t *value)
{
    json_object_set_new(object, key, value);
}

static const char *type_word(uint32_t type)
{
    switch (type) {
    case NT_INT:
    case NT_DURATION_MS:
    case NT_SIZE_BYTES:
        return "integer";
    case NT_BOOL:
    case NT_FLAG:
        return "boolean";
    case NT_REAL:
        return "number";
    default:
        return "string";
    }
}

/* {"type": T} or {"type": [T, "null"]} */
static json_t *typed(const char *type, bool can_be_null)
{
    json_t *object = json_object();
    set(object, "type", can_be_null ? json_pack("[s, s]", type, "null") : json_string(type));
    return object;
}

/* Every cell can be null: what an older server does not know is not there. */
static json_t *of_column(const struct nt_column *row)
{
    json_t *schema;
    if (row->type == NT_JSON) {
        schema = row->schema ? json_loads(row->schema, 0, NULL) : NULL;
        if (schema && !json_is_object(schema)) { /* a manifest may say anything */
            json_decref(schema);
            schema = NULL;
        }
        schema = schema ? json_pack("{s:[o, {s:s}]}", "anyOf", schema, "type", "null")
                        : json_object(); /* any value */
    } else {
        schema = typed(type_word(row->type), true);
    }
    if (row->type == NT_TIME)
        set(schema, "format", text("date-time"));
    if (row->help)
        set(schema, "description", text(row->help));
    return schema;
}

const char *schema_kind(const struct nt_command *command)
{
    static const char *const kinds[] = { [NT_RESULT_NONE] = "none",
                                         [NT_RESULT_ONE] = "one",
                                         [NT_RESULT_LIST] = "list",
                                         [NT_RESULT_STREAM] = "stream" };
    return kinds[command->result <= NT_RESULT_STREAM ? command->result : NT_RESULT_NONE];
}

json_t *schema_of_result(const struct nt_command *command)
{
    json_t *properties = json_object(), *required = json_array(), *schema = json_object();
    const struct nt_column *row;
    for (uint32_t i = 0; (row = tree_row(&command->columns, i)); i++) {
        set(properties, row->name, of_column(row));
        json_array_append_new(required, text(row->name));
    }
    set(schema, "type", text("object"));
    set(schema, "properties", properties);
    set(schema, "required", required);
    if (strcmp(schema_kind(command), "none") == 0) {
        json_decref(schema);
        return json_null();
    }
    if (command->result == NT_RESULT_LIST)
        schema = json_pack("{s:s, s:o}", "type", "array", "items", schema);
    if (schema)
        set(schema, "$schema", text(DRAFT));
    return schema;
}

/* The codes of the table; a server can have finer ones. */
static json_t *codes_of(const struct nt_command *command, const struct help_source *source)
{
    json_t *codes = json_array();
    const uint32_t *code;
    struct nt_error_row row;
    for (uint32_t i = 0; (code = tree_row(&command->errors, i)); i++)
        if (source->error_row && source->error_row(source->data, command, *code, &row))
            json_array_append_new(codes, text(row.text));
    return codes;
}

json_t *schema_of_error(const struct nt_command *command, const struct help_source *source)
{
    json_t *properties = json_object(), *required = json_array(), *schema = json_object();
    struct error_line_member member;
    for (uint32_t i = 0; error_line_member(i, &member); i++) {
        json_t *of = typed(member.type, member.can_be_null);
        set(of, "description", text(member.help));
        if (strcmp(member.name, "code") == 0)
            set(of, "examples", codes_of(command, source));
        if (strcmp(member.name, "level") == 0)
            set(of, "const", text("error"));
        set(properties, member.name, of);
        json_array_append_new(required, text(member.name));
    }
    set(schema, "$schema", text(DRAFT));
    set(schema, "type", text("object"));
    set(schema, "properties", properties);
    set(schema, "required", required);
    return schema;
}
