/* SPDX-License-Identifier: Apache-2.0 */
/* catalog.c - every command as JSON. */
#include "catalog.h"

#include <string.h>

#include "core/cli/schema.h"
#include "core/cli/value.h"
#include "core/output/cell.h"

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

static json_t *result_of(const struct nt_command *command)
{
    json_t *result = json_object();
    set(result, "kind", text(schema_kind(command)));
    set(result, "schema", schema_of_result(command));
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

json_t *catalog_of(const struct nt_command *command, const struct catalog_source *source)
{
    json_t *o = json_object();
    set(o, "path", text(command->path));
    set(o, "summary", text(command->summary));
    set(o, "description", text(command->description));
    tables_of(command, o);
    set(o, "result", result_of(command));
    set(o, "errors", errors_of(command, &source->errors));
    set(o, "error_schema", schema_of_error(command, &source->errors));
    set(o, "effects", effects_of(command->effects));
    set(o, "timeout_ms", command->timeout_ms > 0 ? json_integer(command->timeout_ms) : json_null());
    set(o, "plugin", text(source->plugin ? source->plugin(source->data, command) : NULL));
    set(o, "hidden", json_boolean(command->flags & NT_HIDDEN));
    return o;
}
