/* SPDX-License-Identifier: Apache-2.0 */
/* catalog.c - every command as JSON. */
#include "catalog.h"

#include <jansson.h>
#include <string.h>

#include "core/cli/globals.h"
#include "core/cli/value.h"
#include "core/output/cell.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

static json_t *text(const char *value)
{
    json_t *json = value ? cell_of_text(value) : NULL;
    return json ? json : json_null();
}

static void set(json_t *object, const char *key, json_t *value)
{
    json_object_set_new(object, key, value);
}

static json_t *choices_of(const char *choices)
{
    if (!choices)
        return json_null();
    json_t *list = json_array();
    for (const char *at = choices; *at;) {
        size_t size = strcspn(at, "|");
        json_array_append_new(list, json_stringn(at, size));
        at += size;
        at += *at == '|';
    }
    return list;
}

static json_t *words_of(const char *words)
{
    json_t *list = json_array();
    for (const char *at = words ? words : ""; *at;) {
        size_t size = strcspn(at, " ");
        json_array_append_new(list, json_stringn(at, size));
        at += size;
        at += strspn(at, " ");
    }
    return list;
}

static json_t *opt_of(const struct nt_opt *opt)
{
    json_t *o = json_object();
    char letter[2] = { (char)opt->letter, '\0' };
    bool is_bounded = opt->min != opt->max;
    set(o, "name", text(opt->name));
    set(o, "letter", text(opt->letter ? letter : NULL));
    set(o, "type", text(value_type_word(opt->type)));
    set(o, "value",
        text(opt->type == NT_FLAG ? NULL
             : opt->arg           ? opt->arg
                                  : value_type_word(opt->type)));
    set(o, "help", text(opt->help));
    set(o, "default", text(opt->fallback));
    set(o, "choices", choices_of(opt->choices));
    set(o, "min", is_bounded ? json_integer(opt->min) : json_null());
    set(o, "max", is_bounded ? json_integer(opt->max) : json_null());
    set(o, "env", text(opt->env));
    set(o, "conflicts", words_of(opt->conflicts));
    set(o, "multiple", json_boolean(opt->flags & NT_MANY));
    set(o, "required", json_boolean(opt->flags & NT_REQUIRED));
    set(o, "secret", json_boolean(opt->flags & NT_SECRET));
    set(o, "hidden", json_boolean(opt->flags & NT_HIDDEN));
    return o;
}

static json_t *arg_of(const struct nt_arg *arg)
{
    json_t *o = json_object();
    set(o, "name", text(arg->name));
    set(o, "type", text(value_type_word(arg->type)));
    set(o, "help", text(arg->help));
    set(o, "required", json_boolean(!(arg->flags & NT_OPTIONAL)));
    set(o, "multiple", json_boolean(arg->flags & (NT_MANY | NT_REST)));
    set(o, "behind_dashes", json_boolean(arg->flags & NT_REST));
    return o;
}

static json_t *type_schema(uint32_t type)
{
    json_t *null = json_string("null");
    switch (type) {
    case NT_INT:
    case NT_DURATION_MS:
    case NT_SIZE_BYTES:
        return json_pack("{s:[s,o]}", "type", "integer", null);
    case NT_BOOL:
    case NT_FLAG:
        return json_pack("{s:[s,o]}", "type", "boolean", null);
    case NT_REAL:
        return json_pack("{s:[s,o]}", "type", "number", null);
    case NT_TIME:
        return json_pack("{s:[s,o], s:s}", "type", "string", null, "format", "date-time");
    case NT_JSON:
        json_decref(null);
        return json_object(); /* any value */
    default:
        return json_pack("{s:[s,o]}", "type", "string", null);
    }
}

/* The result as JSON Schema: an object of the columns, or an array of such. */
static json_t *result_of(const struct nt_command *command)
{
    static const char *const kinds[] = { [NT_RESULT_NONE] = "none",
                                         [NT_RESULT_ONE] = "one",
                                         [NT_RESULT_LIST] = "list",
                                         [NT_RESULT_STREAM] = "stream" };
    uint32_t kind = command->result <= NT_RESULT_STREAM ? command->result : NT_RESULT_NONE;
    json_t *result = json_object();
    set(result, "kind", text(kinds[kind]));
    if (kind == NT_RESULT_NONE) {
        set(result, "schema", json_null());
        return result;
    }
    json_t *properties = json_object(), *required = json_array();
    const struct nt_column *row;
    for (uint32_t i = 0; (row = tree_row(&command->columns, i)); i++) {
        json_t *schema = type_schema(row->type);
        if (row->help)
            set(schema, "description", text(row->help));
        set(properties, row->name, schema);
        json_array_append_new(required, text(row->name));
    }
    json_t *object = json_object();
    set(object, "type", text("object"));
    set(object, "properties", properties);
    set(object, "required", required);
    if (kind == NT_RESULT_LIST) {
        json_t *array = json_object();
        set(array, "type", text("array"));
        set(array, "items", object);
        object = array;
    }
    set(result, "schema", object);
    return result;
}

static json_t *errors_of(const struct nt_command *command, const struct help_source *source)
{
    json_t *list = json_array();
    const uint32_t *code;
    for (uint32_t i = 0; (code = tree_row(&command->errors, i)); i++) {
        struct nt_error_row row;
        if (!source->error_row || !source->error_row(source->data, command, *code, &row))
            continue;
        json_t *o = json_object();
        set(o, "code", text(row.text));
        set(o, "kind", text(row.kind));
        set(o, "exit_status", json_integer(row.exit_status));
        set(o, "retryable", json_boolean(row.retry));
        set(o, "help", text(row.help));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *effects_of(uint64_t effects)
{
    static const struct {
        uint64_t bit;
        const char *word;
    } words[] = { { NT_LOCAL, "local" },           { NT_REMOTE, "remote" },
                  { NT_WRITES, "writes" },         { NT_DESTROYS, "destroys" },
                  { NT_IDEMPOTENT, "idempotent" }, { NT_RUNS, "runs" } };
    json_t *list = json_array();
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (effects & words[i].bit)
            json_array_append_new(list, text(words[i].word));
    return list;
}

static json_t *tables_of(const struct nt_command *command, json_t *o)
{
    json_t *list = json_array();
    const struct nt_alias *alias;
    for (uint32_t i = 0; (alias = tree_row(&command->aliases, i)); i++) {
        json_t *item = json_object();
        set(item, "path", text(alias->path));
        set(item, "hidden", json_boolean(alias->flags & NT_HIDDEN));
        json_array_append_new(list, item);
    }
    set(o, "aliases", list);

    list = json_array();
    const struct nt_arg *arg;
    for (uint32_t i = 0; (arg = tree_row(&command->args, i)); i++)
        json_array_append_new(list, arg_of(arg));
    set(o, "arguments", list);

    list = json_array();
    const struct nt_opt *opt;
    for (uint32_t i = 0; (opt = tree_row(&command->opts, i)); i++)
        json_array_append_new(list, opt_of(opt));
    set(o, "options", list);

    list = json_array();
    const struct nt_example *example;
    for (uint32_t i = 0; (example = tree_row(&command->examples, i)); i++) {
        json_t *item = json_object();
        set(item, "command", text(example->command));
        set(item, "note", text(example->note));
        json_array_append_new(list, item);
    }
    set(o, "examples", list);
    return o;
}

static json_t *command_of(const struct nt_command *command, const struct catalog_source *source)
{
    json_t *o = json_object();
    set(o, "path", text(command->path));
    set(o, "summary", text(command->summary));
    set(o, "description", text(command->description));
    tables_of(command, o);
    set(o, "result", result_of(command));
    set(o, "errors", errors_of(command, &source->errors));
    set(o, "effects", effects_of(command->effects));
    set(o, "timeout_ms", command->timeout_ms > 0 ? json_integer(command->timeout_ms) : json_null());
    set(o, "plugin", text(source->plugin ? source->plugin(source->data, command) : NULL));
    set(o, "hidden", json_boolean(command->flags & NT_HIDDEN));
    return o;
}

static int put(const char *data, size_t size, void *buffer)
{
    nt_buf_add_bytes(buffer, data, size);
    return nt_buf_ok(buffer) ? 0 : -1;
}

int catalog_add(struct nt_buf *b, const struct tree *tree, const struct catalog_source *source,
                struct nt_error *reterr)
{
    nt_buf_add_char(b, '[');
    for (uint32_t i = 0; i < tree->count; i++) {
        json_t *o = command_of(tree->commands[i], source);
        nt_buf_add(b, i ? ",\n" : "\n");
        int status = o ? json_dump_callback(o, put, b, JSON_COMPACT | JSON_ENSURE_ASCII) : -1;
        json_decref(o);
        if (status < 0)
            return nt_fail(reterr, NT_E_MEMORY, "cannot build the catalog");
    }
    nt_buf_add(b, "\n]\n");
    return nt_buf_ok(b) ? 0 : nt_fail(reterr, NT_E_LIMIT, "the catalog is too long");
}
