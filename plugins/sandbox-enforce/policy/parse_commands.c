/* SPDX-License-Identifier: Apache-2.0 */
/* parse_commands.c - the key command_policies: commands with sandboxes of their own, and who may
 * start them. What of nono's is not built is refused by its name, here and in the files beside. */
#include "plugins/sandbox-enforce/policy/parse_commands.h"

#include <string.h>

#include "sdk/cleanup.h"
#include "sdk/json.h"

#define WORD_MAX 4096u

bool commands_is_nothing(const json_t *value)
{
    return json_is_null(value) || json_is_false(value)
           || (json_is_array(value) && json_array_size(value) == 0)
           || (json_is_object(value) && json_object_size(value) == 0);
}

/* A key of those rows; false: there is no such. */
bool commands_take_other(struct parser *p, const struct other_key *rows, const char *path,
                         const char *name, const json_t *value)
{
    for (; rows->name; rows++) {
        if (strcmp(rows->name, name) != 0)
            continue;
        if (commands_is_nothing(value) || rows->what == OTHER_SILENT)
            return true;
        if (rows->what == OTHER_REFUSED)
            parse_error(p, path, "%s", rows->why);
        else
            texts_add_new(
                p->m, &p->profile->warnings,
                memory_format(p->m, "the key %s has no effect here: %s", path, rows->why));
        return true;
    }
    return false;
}

const char *commands_below(struct parser *p, const char *path, const char *name)
{
    const char *whole = memory_format(p->m, "%s.%.64s", path, name);
    return whole ? whole : path;
}

bool commands_is_object(struct parser *p, const char *path, const json_t *value)
{
    if (!json_is_object(value))
        parse_error(p, path, "an object is needed: { … }");
    return json_is_object(value);
}

bool commands_is_name(const char *name)
{
    return *name && strlen(name) <= 64 && strcmp(name, ".") != 0 && strcmp(name, "..") != 0
           && strcmp(name, COMMAND_SESSION) != 0
           && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-")
                  == strlen(name);
}

void commands_read_words(struct parser *p, const char *path, const json_t *value,
                         struct policy_texts *ret)
{
    size_t i;
    json_t *item;
    if (!json_is_array(value))
        parse_error(p, path, "a list is needed: [ … ]");
    json_array_foreach((json_t *)(uintptr_t)value, i, item)
    {
        const char *text = json_string_value(item);
        if (!text || strlen(text) > WORD_MAX)
            parse_error(p, path, "a text is needed, of at most %u bytes", WORD_MAX);
        else
            texts_add(p->m, ret, memory_text(p->m, text));
    }
}

/* --- a command ------------------------------------------------------------------------------- */

static void read_edge(const struct commands_parser *c, const char *path, const char *caller,
                      const json_t *value, struct command *into)
{
    struct parser *p = c->p;
    const char *name;
    json_t *inner;
    struct command_edge *rows = memory_grow(p->m, into->edges, into->edge_count, sizeof(*rows));
    if (!rows)
        return;
    into->edges = rows;
    struct command_edge *edge = &rows[into->edge_count++];
    *edge = (struct command_edge){ .caller = memory_text(p->m, caller),
                                   .place = memory_text(p->m, path) };
    if (p->m->failed || (json_is_string(value) && strcmp(json_string_value(value), "deny") == 0))
        return;
    if (!json_object_get(value, "sandbox") && !json_object_get(value, "invocation_policy")) {
        commands_read_sandbox(c, path, value, edge);
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)value, name, inner)
    {
        const char *at = commands_below(p, path, name);
        if (strcmp(name, "sandbox") == 0)
            commands_read_sandbox(c, at, inner, edge);
        else if (strcmp(name, "invocation_policy") == 0)
            commands_read_invocation(p, at, inner, edge);
        else
            parse_error(p, at, "there is no such key");
    }
    if (!json_object_get(value, "sandbox"))
        parse_error(p, path, "sandbox is missing");
}

static void read_digest(struct parser *p, const char *path, const json_t *value,
                        struct command *into)
{
    const char *text = json_string_value(value);
    char *digest = text ? memory_text(p->m, text) : NULL;
    if (!text || strlen(text) != 64 || strspn(text, "0123456789abcdefABCDEF") != 64) {
        parse_error(p, path, "64 hexadecimal digits are needed");
        return;
    }
    for (char *at = digest; at && *at; at++)
        *at = (char)(*at >= 'A' && *at <= 'F' ? *at - 'A' + 'a' : *at);
    into->sha256 = digest;
}

static void read_command(const struct commands_parser *c, const char *path, const json_t *object,
                         struct command *into)
{
    static const struct other_key others[] = {
        { "allow_writable_executable", OTHER_REFUSED,
          "the program would choose what runs with the command's grants: keep it where the program "
          "may not write" },
        { "allow_direct_exec_bypass", OTHER_REFUSED,
          "no name leads past the command's sandbox here: take the command out of the list" },
        { "allow_direct_exec_bypass_with_credentials", OTHER_REFUSED, "nothing leads past it" },
        { "daemon_pid_source", OTHER_IDLE, "it is of another system" },
        { NULL, 0, NULL },
    };
    struct parser *p = c->p;
    const char *name, *caller;
    json_t *value, *edge;
    if (!commands_is_object(p, path, object))
        return;
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        const char *at = commands_below(p, path, name);
        if (strcmp(name, "executable") == 0)
            into->executable = parse_text(p, at, value);
        else if (strcmp(name, "sha256") == 0)
            read_digest(p, at, value, into);
        else if (strcmp(name, "can_use") == 0)
            parse_texts(p, at, value, &into->can_use);
        else if (strcmp(name, "export_env") == 0)
            commands_read_passed(p, at, value, &into->exported);
        else if (strcmp(name, "sandbox") == 0)
            read_edge(c, at, COMMAND_SESSION, value, into);
        else if (strcmp(name, "intercept") == 0)
            commands_read_intercepts(p, at, value, into);
        else if (strcmp(name, "from") == 0 && commands_is_object(p, at, value))
            json_object_foreach(value, caller, edge)
                read_edge(c, commands_below(p, at, caller), caller, edge, into);
        else if (strcmp(name, "from") != 0 && !commands_take_other(p, others, at, name, value))
            parse_error(p, at, "there is no such key");
    }
    if (into->executable && !strchr("/~$", into->executable[0]))
        parse_error(p, path, "executable is an absolute path");
    if (json_object_get(object, "sandbox")
        && json_object_get(json_object_get(object, "from"), COMMAND_SESSION))
        parse_error(p, path, "sandbox and from.session say the same twice: write one");
}

static void read_commands(const struct commands_parser *c, const char *path, const json_t *object)
{
    const char *name;
    json_t *value;
    struct parser *p = c->p;
    if (!commands_is_object(p, path, object))
        return;
    if (json_object_size(object) > COMMANDS_MAX) {
        parse_error(p, path, "more than %u commands", COMMANDS_MAX);
        return;
    }
    c->into->commands =
        memory_room(p->m, (json_object_size(object) + 1) * sizeof(*c->into->commands));
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        const char *at = commands_below(p, path, name);
        if (!c->into->commands)
            return;
        struct command *command = &c->into->commands[c->into->count++];
        *command = (struct command){ .name = memory_text(p->m, name) };
        if (!command->name)
            return;
        if (!commands_is_name(name))
            parse_error(p, at,
                        "a name is of letters, digits, \".\", \"_\", \"+\" and \"-\", and "
                        "not \"session\"");
        else
            read_command(c, at, value, command);
    }
}

/* Names that lead to no command would be rules that never count. */
static void check_names(const struct commands_parser *c, const char *path)
{
    const struct command_policies *all = c->into;
    for (size_t i = 0; i < all->count; i++) {
        const struct command *command = &all->commands[i];
        for (size_t j = 0; j < command->can_use.count; j++)
            if (!command_find_by_name(all, command->can_use.at[j], strlen(command->can_use.at[j])))
                parse_error(c->p, path, "can_use of %s: there is no command %.64s", command->name,
                            command->can_use.at[j]);
        for (size_t j = 0; j < command->edge_count; j++) {
            const char *caller = command->edges[j].caller;
            if (strcmp(caller, COMMAND_SESSION) != 0
                && !command_find_by_name(all, caller, strlen(caller)))
                parse_error(c->p, path, "from of %s: there is no command %.64s", command->name,
                            caller);
        }
    }
}

void parse_command_policies(struct parser *p, const char *path, const json_t *value)
{
    static const struct other_key others[] = {
        { "commands", OTHER_SILENT, NULL }, /* read below */
        { "credentials", OTHER_SILENT, NULL },
        { "entrypoint", OTHER_IDLE, "commands.NAME.sandbox says what may be started directly" },
        { "allow_writable_executables", OTHER_REFUSED,
          "the program would choose what runs with a command's grants: keep commands where it may "
          "not write" },
        { "approval_backends", OTHER_REFUSED, NOBODY_APPROVES },
        { "approval_defaults", OTHER_REFUSED, NOBODY_APPROVES },
        { "deny_direct_exec_bypass", OTHER_SILENT, NULL }, /* nobody has one */
        { NULL, 0, NULL },
    };
    struct command_policies *into = memory_room(p->m, sizeof(*into));
    const json_t *commands = json_object_get(value, "commands");
    const struct commands_parser c = { p, into, json_object_get(value, "credentials") };
    const char *name;
    json_t *inner;
    if (commands_is_nothing(value) || !commands_is_object(p, path, value) || !into)
        return;
    json_object_foreach((json_t *)(uintptr_t)value, name, inner)
    {
        const char *at = commands_below(p, path, name);
        if (strcmp(name, "executable_dirs") == 0)
            parse_texts(p, at, inner, &into->folders);
        else if (strcmp(name, "session_export_env") == 0)
            commands_read_passed(p, at, inner, &into->exported);
        else if (!commands_take_other(p, others, at, name, inner))
            parse_error(p, at, "there is no such key");
    }
    commands_check_credentials(&c, commands_below(p, path, "credentials"));
    if (commands && !json_is_null(commands))
        read_commands(&c, commands_below(p, path, "commands"), commands);
    check_names(&c, path);
    nt_autofree char *text = json_dumps(value, JSON_COMPACT);
    into->text = text ? memory_text(p->m, text) : NULL;
    p->profile->commands = into;
}
