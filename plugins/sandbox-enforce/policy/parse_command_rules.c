/* SPDX-License-Identifier: Apache-2.0 */
/* parse_command_rules.c - invocation_policy and intercept of a command: words and variables, and
 * what becomes of a start that has them. */
#include "plugins/sandbox-enforce/policy/parse_commands.h"

#include <string.h>

#include "plugins/sandbox-enforce/policy/references.h"
#include "sdk/json.h"

#define ROWS_MAX 1024u

/* --- what is matched ------------------------------------------------------------------------- */

static void read_words(struct parser *p, const char *path, const json_t *object,
                       struct command_match *ret)
{
    static const char *const names[] = { "exact", "prefix", "contains" };
    if (!commands_is_object(p, path, object))
        return;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const json_t *list = json_object_get(object, names[i]);
        if (!list)
            continue;
        ret->how = (enum command_words)(COMMAND_EXACT + i);
        commands_read_words(p, commands_below(p, path, names[i]), list, &ret->words);
    }
    if (json_object_size(object) != 1 || ret->how == COMMAND_ANY)
        parse_error(p, path, "it has one of exact, prefix and contains");
    else if (!ret->words.count && ret->how != COMMAND_EXACT)
        parse_error(p, path, "an empty list is in every start: leave argv out");
}

static void read_variables(struct parser *p, const char *path, const json_t *object,
                           struct command_match *ret)
{
    const char *name;
    json_t *value;
    if (!commands_is_object(p, path, object))
        return;
    ret->variables = memory_room(p->m, (json_object_size(object) + 1) * sizeof(*ret->variables));
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        const char *at = commands_below(p, path, name);
        if (!ret->variables)
            return;
        struct command_variable *row = &ret->variables[ret->variable_count];
        const json_t *equals = json_object_get(value, "equals"),
                     *one_of = json_object_get(value, "one_of");
        if (!is_variable_name(name) || json_object_size(value) != 1 || !(equals || one_of)) {
            parse_error(p, at, "a variable has one of equals and one_of");
            continue;
        }
        row->name = memory_text(p->m, name);
        const char *text = json_string_value(equals);
        if (text)
            texts_add(p->m, &row->values, memory_text(p->m, text));
        else if (equals)
            parse_error(p, at, "a text is needed");
        if (one_of)
            commands_read_words(p, at, one_of, &row->values);
        ret->variable_count++;
    }
}

static void read_match(struct parser *p, const char *path, const json_t *object,
                       struct command_match *ret)
{
    const char *name;
    json_t *value;
    static const struct other_key others[] = {
        { "backend", OTHER_REFUSED, NOBODY_APPROVES },
        { "timeout_secs", OTHER_REFUSED, NOBODY_APPROVES },
        { NULL, 0, NULL },
    };
    if (!commands_is_object(p, path, object))
        return;
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        const char *at = commands_below(p, path, name);
        if (strcmp(name, "argv") == 0)
            read_words(p, at, value, ret);
        else if (strcmp(name, "env") == 0)
            read_variables(p, at, value, ret);
        else if (strcmp(name, "reason") == 0)
            ret->reason = parse_text(p, at, value);
        else if (!commands_take_other(p, others, at, name, value))
            parse_error(p, at, "there is no such key");
    }
}

static void read_matches(struct parser *p, const char *path, const json_t *value,
                         struct command_matches *ret)
{
    size_t i;
    json_t *item;
    if (!json_is_array(value) || json_array_size(value) > ROWS_MAX) {
        parse_error(p, path, "a list of at most %u rules is needed", ROWS_MAX);
        return;
    }
    ret->at = memory_room(p->m, (json_array_size(value) + 1) * sizeof(*ret->at));
    json_array_foreach(value, i, item)
    {
        const char *at = memory_format(p->m, "%s[%zu]", path, i);
        if (!ret->at || !at)
            return;
        read_match(p, at, item, &ret->at[ret->count++]);
    }
}

static bool read_decision(struct parser *p, const char *path, const json_t *value)
{
    bool has_more = json_is_object(value) && json_object_size(value) != 1;
    const char *text =
        json_string_value(json_is_object(value) ? json_object_get(value, "decision") : value);
    if (has_more || (text && strcmp(text, "approve") == 0))
        parse_error(p, path, NOBODY_APPROVES);
    else if (!text || (strcmp(text, "allow") != 0 && strcmp(text, "deny") != 0))
        parse_error(p, path, "it is \"allow\" or \"deny\"");
    return text && strcmp(text, "allow") == 0;
}

void commands_read_invocation(struct parser *p, const char *path, const json_t *object,
                              struct command_edge *ret)
{
    const char *name;
    json_t *value;
    static const struct other_key others[] = {
        { "approve", OTHER_REFUSED, NOBODY_APPROVES },
        { NULL, 0, NULL },
    };
    if (!commands_is_object(p, path, object))
        return;
    ret->is_judged = true;
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        const char *at = commands_below(p, path, name);
        if (strcmp(name, "default") == 0)
            ret->is_allowed = read_decision(p, at, value);
        else if (strcmp(name, "deny") == 0)
            read_matches(p, at, value, &ret->denied);
        else if (strcmp(name, "allow") == 0)
            read_matches(p, at, value, &ret->allowed);
        else if (!commands_take_other(p, others, at, name, value))
            parse_error(p, at, "there is no such key");
    }
}

/* --- what is done in its place --------------------------------------------------------------- */

static void read_action(struct parser *p, const char *path, const json_t *object,
                        struct command_intercept *ret)
{
    const char *type = nt_json_text(object, "type");
    const char *text = nt_json_text(object, "stdout");
    const json_t *words = json_object_get(object, "command");
    bool is_pass = type && strcmp(type, "passthrough") == 0;
    bool is_respond = type && strcmp(type, "respond") == 0;
    bool is_exec = type && strcmp(type, "exec") == 0;
    if (!is_pass && !is_respond && !is_exec) {
        parse_error(p, path,
                    "its type is one of passthrough, respond and exec: capture, "
                    "capture_credential and approve are not built");
        return;
    }
    if (json_object_size(object) != (is_pass ? 1u : 2u) || (is_respond && !text)
        || (is_exec && !json_array_size(words))) {
        parse_error(p, path, "respond has a stdout, exec a command, passthrough neither");
        return;
    }
    if (is_respond)
        ret->text = memory_text(p->m, text);
    if (is_exec)
        commands_read_words(p, path, words, &ret->program);
    if (is_exec && ret->program.count && !strchr("/~$", ret->program.at[0][0]))
        parse_error(p, path, "the program of exec is named by an absolute path");
}

static void read_intercept(struct parser *p, const char *path, const json_t *object,
                           struct command_intercept *ret)
{
    const json_t *args = json_object_get(object, "args"), *match = json_object_get(object, "match");
    if (!json_is_object(object) || json_object_size(object) != 2 || (!args && !match)
        || !json_object_get(object, "action")) {
        parse_error(p, path, "it has an action, and one of args and match");
        return;
    }
    if (match)
        read_match(p, commands_below(p, path, "match"), match, &ret->match);
    else
        commands_read_words(p, commands_below(p, path, "args"), args, &ret->match.words);
    if (args && ret->match.words.count)
        ret->match.how = COMMAND_CONTAINS;
    read_action(p, commands_below(p, path, "action"), json_object_get(object, "action"), ret);
}

void commands_read_intercepts(struct parser *p, const char *path, const json_t *value,
                              struct command *into)
{
    size_t i;
    json_t *item;
    if (!json_is_array(value) || json_array_size(value) > ROWS_MAX) {
        parse_error(p, path, "a list of at most %u rules is needed", ROWS_MAX);
        return;
    }
    into->intercepts = memory_room(p->m, (json_array_size(value) + 1) * sizeof(*into->intercepts));
    json_array_foreach(value, i, item)
    {
        const char *at = memory_format(p->m, "%s[%zu]", path, i);
        if (!into->intercepts || !at)
            return;
        struct command_intercept *row = &into->intercepts[into->intercept_count++];
        read_intercept(p, at, item, row);
        if (row->match.how == COMMAND_ANY && !row->match.variable_count
            && i + 1 < json_array_size(value))
            parse_error(p, at, "it matches every start: those behind it would never count");
    }
}
