/* SPDX-License-Identifier: Apache-2.0 */
/* check.c - is a plugin's table a good one? */
#include "check.h"

#include <inttypes.h>
#include <string.h>

#include "core/cli/value.h"
#include "core/plugin/needs.h"
#include "sdk/error.h"
#include "sdk/json.h"

#define NAME_MAX_BYTES 32u
#define PATH_MAX_BYTES 128u
#define TIMEOUT_MAX_MS ((int64_t)7 * 24 * 3600 * 1000)

#define BAD(...) nt_fail(reterr, NT_E_PLUGIN_FAILED, __VA_ARGS__)

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* [a-z0-9][a-z0-9-]* up to `end` characters. */
static bool is_word(const char *text, size_t length)
{
    if (length == 0 || !(is_lower(text[0]) || is_digit(text[0])))
        return false;
    for (size_t i = 1; i < length; i++)
        if (!is_lower(text[i]) && !is_digit(text[i]) && text[i] != '-')
            return false;
    return true;
}

static bool is_name(const char *name)
{
    return strlen(name) <= NAME_MAX_BYTES * 2 && is_word(name, strlen(name));
}

bool check_is_plugin_name(const char *name)
{
    return is_lower(name[0]) && strlen(name) <= NAME_MAX_BYTES && is_word(name, strlen(name));
}

/* Words separated by one space. */
static bool is_path(const char *path)
{
    if (strlen(path) >= PATH_MAX_BYTES)
        return false;
    for (;;) {
        size_t length = strcspn(path, " ");
        if (!is_word(path, length))
            return false;
        path += length;
        if (!*path)
            return true;
        path++;
    }
}

/* Letters, digits, '_' and '-': a key of JSON that needs no quoting in --fields. */
static bool is_column_name(const char *name)
{
    for (const char *p = name; *p; p++)
        if (!is_lower(*p) && !is_digit(*p) && !(*p >= 'A' && *p <= 'Z') && *p != '_' && *p != '-')
            return false;
    return *name && strlen(name) <= NAME_MAX_BYTES * 2;
}

static bool begins_with(const char *text, const char *path)
{
    size_t length = strlen(path);
    return strncmp(text, path, length) == 0 && (text[length] == ' ' || text[length] == '\0');
}

static int check_fallback(const struct nt_opt *opt, struct nt_error *reterr)
{
    if (!opt->fallback)
        return 0;
    if (opt->type == NT_FLAG)
        return strcmp(opt->fallback, "0") == 0 || strcmp(opt->fallback, "1") == 0
                   ? 0
                   : BAD("the fallback of a flag is 0 or 1, not '%s'", opt->fallback);
    struct value_rule rule = { opt->type, opt->choices, opt->min, opt->max };
    int64_t number;
    if (value_check(&rule, opt->fallback, &number, reterr) == 0)
        return 0;
    reterr->code = NT_E_PLUGIN_FAILED;
    return nt_wrap(reterr, "fallback");
}

static int check_choices(const struct nt_opt *opt, struct nt_error *reterr)
{
    if (opt->type != NT_CHOICE)
        return opt->choices ? BAD("choices, but it is no NT_CHOICE") : 0;
    if (!opt->choices)
        return BAD("no choices");
    for (const char *at = opt->choices;; at++) {
        size_t length = strcspn(at, "|");
        if (length == 0)
            return BAD("an empty choice in '%s'", opt->choices);
        at += length;
        if (!*at)
            return 0;
    }
}

static const struct nt_opt *opt_named(const struct nt_command *command, const char *name,
                                      size_t length)
{
    const struct nt_opt *opts = command->opts.rows;
    for (uint32_t i = 0; i < command->opts.count; i++)
        if (strlen(opts[i].name) == length && memcmp(opts[i].name, name, length) == 0)
            return &opts[i];
    return NULL;
}

static int check_conflicts(const struct nt_command *command, const struct nt_opt *opt,
                           struct nt_error *reterr)
{
    for (const char *at = opt->conflicts; at && *at;) {
        size_t length = strcspn(at, " ");
        const struct nt_opt *other = opt_named(command, at, length);
        if (!other || other == opt)
            return BAD("conflicts with '%.*s', which is no other option", (int)length, at);
        at += length;
        at += strspn(at, " ");
    }
    return 0;
}

/* An option that says that it excludes --no-ITSELF means another thing by that than unsetting. */
static bool excludes(const struct nt_opt *opt, const struct nt_opt *other)
{
    size_t length = strlen(other->name);
    for (const char *at = opt->conflicts; at && *at; at += strspn(at, " ")) {
        size_t size = strcspn(at, " ");
        if (size == length && memcmp(at, other->name, length) == 0)
            return true;
        at += size;
    }
    return false;
}

static int check_opt(const struct nt_command *command, uint32_t index, struct nt_error *reterr)
{
    const struct nt_opt *opts = command->opts.rows, *opt = &opts[index];
    if (!is_name(opt->name))
        return BAD("not a name: [a-z0-9][a-z0-9-]*, without dashes in front");
    if (opt->letter
        && !((opt->letter >= 'a' && opt->letter <= 'z')
             || (opt->letter >= 'A' && opt->letter <= 'Z')))
        return BAD("its letter is not an ASCII letter");
    for (uint32_t i = 0; i < command->opts.count; i++) {
        const struct nt_opt *other = &opts[i];
        if (i < index && strcmp(other->name, opt->name) == 0)
            return BAD("a second option of this name");
        if (i < index && opt->letter && other->letter == opt->letter)
            return BAD("its letter '%c' is that of --%s", (char)opt->letter, other->name);
        if (opt->type == NT_FLAG && strncmp(other->name, "no-", 3) == 0
            && strcmp(other->name + 3, opt->name) == 0 && !excludes(opt, other)
            && !excludes(other, opt))
            return BAD("--%s unsets this flag already", other->name);
    }
    if ((opt->flags & NT_PAIR) && opt->type != NT_TEXT)
        return BAD("two words, but it is no NT_TEXT");
    if (opt->min > opt->max)
        return BAD("min %" PRId64 " is above max %" PRId64, opt->min, opt->max);
    if ((opt->type == NT_DURATION_MS || opt->type == NT_SIZE_BYTES) && opt->min < 0)
        return BAD("min %" PRId64 " is below 0", opt->min);
    if ((opt->flags & NT_REQUIRED) && opt->fallback)
        return BAD("required, but there is a fallback");
    if (check_choices(opt, reterr) < 0 || check_fallback(opt, reterr) < 0)
        return -1;
    return check_conflicts(command, opt, reterr);
}

static int check_args(const struct nt_command *command, struct nt_error *reterr)
{
    const struct nt_arg *args = command->args.rows;
    const struct nt_arg *many = NULL, *optional = NULL;
    for (uint32_t i = 0; i < command->args.count; i++) {
        const struct nt_arg *arg = &args[i];
        if (!is_name(arg->name))
            return BAD("argument '%s': not a name: [a-z0-9][a-z0-9-]*", arg->name);
        if (arg->type == NT_FLAG)
            return BAD("argument '%s': a flag is an option", arg->name);
        if (arg->type == NT_CHOICE)
            return BAD("argument '%s': an argument has no choices", arg->name);
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(args[j].name, arg->name) == 0)
                return BAD("argument '%s': a second one of this name", arg->name);
        if (opt_named(command, arg->name, strlen(arg->name)))
            return BAD("argument '%s': an option has this name", arg->name);
        if (arg->flags & NT_REST) {
            if (i + 1 != command->args.count)
                return BAD("argument '%s': NT_REST must be the last row", arg->name);
            /* behind `--`: neither NT_MANY nor an optional one before it can take its words */
            continue;
        }
        if (many)
            return BAD("argument '%s': nothing is left behind '%s', which takes all", arg->name,
                       many->name);
        if (optional && !(arg->flags & NT_OPTIONAL))
            return BAD("argument '%s': required, but it follows '%s', which is optional", arg->name,
                       optional->name);
        many = arg->flags & NT_MANY ? arg : NULL;
        optional = arg->flags & NT_OPTIONAL ? arg : optional;
    }
    return 0;
}

/* A schema of a manifest is not parsed: every start would do so, and open the source of jansson's
 * seed for it. Whoever uses it (core/cli/schema.c) looks whether it is one. */
static int check_columns(const struct nt_command *command, bool is_loaded, struct nt_error *reterr)
{
    const struct nt_column *columns = command->columns.rows;
    for (uint32_t i = 0; i < command->columns.count; i++) {
        if (!is_column_name(columns[i].name))
            return BAD("column '%s': not a name", columns[i].name);
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(columns[j].name, columns[i].name) == 0)
                return BAD("column '%s': a second one of this name", columns[i].name);
        if (columns[i].schema && columns[i].type != NT_JSON)
            return BAD("column '%s': a schema, but it is no NT_JSON", columns[i].name);
        if (!columns[i].schema || !is_loaded)
            continue;
        nt_auto_json json_t *schema = json_loads(columns[i].schema, 0, NULL);
        if (!json_is_object(schema))
            return BAD("column '%s': its schema is not a JSON object", columns[i].name);
    }
    return 0;
}

static int check_examples(const struct nt_command *command, struct nt_error *reterr)
{
    const struct nt_example *examples = command->examples.rows;
    const struct nt_alias *aliases = command->aliases.rows;
    if (command->examples.count == 0)
        return BAD("no example");
    for (uint32_t i = 0; i < command->examples.count; i++) {
        bool ok = begins_with(examples[i].command, command->path);
        for (uint32_t j = 0; !ok && j < command->aliases.count; j++)
            ok = begins_with(examples[i].command, aliases[j].path);
        if (!ok)
            return BAD("example '%s': does not begin with '%s'", examples[i].command,
                       command->path);
    }
    return 0;
}

static bool has_row(const struct nt_plugin *plugin, uint32_t code)
{
    if (code < NT_E_PLUGIN_FIRST)
        return nt_error_row_of(code) != NULL;
    const struct nt_error_row *rows = plugin->errors.rows;
    for (uint32_t i = 0; i < plugin->errors.count; i++)
        if (rows[i].number == code)
            return true;
    return false;
}

/* True when one of the commands before `index`, or a spelling of this one before `alias`, is
 * `path`. */
static bool is_taken(const struct nt_plugin *plugin, uint32_t index, uint32_t alias,
                     const char *path)
{
    const struct nt_command *commands = plugin->commands.rows;
    for (uint32_t i = 0; i <= index; i++) {
        const struct nt_alias *aliases = commands[i].aliases.rows;
        if ((i < index || alias != UINT32_MAX) && strcmp(commands[i].path, path) == 0)
            return true;
        uint32_t count = i < index ? commands[i].aliases.count : alias == UINT32_MAX ? 0 : alias;
        for (uint32_t j = 0; j < count; j++)
            if (strcmp(aliases[j].path, path) == 0)
                return true;
    }
    return false;
}

/* Are the path and the aliases paths? */
static int check_spellings(const struct nt_command *command, struct nt_error *reterr)
{
    if (!is_path(command->path))
        return BAD("not a path: words of [a-z0-9-] with one space between them");
    const struct nt_alias *aliases = command->aliases.rows;
    for (uint32_t i = 0; i < command->aliases.count; i++)
        if (!is_path(aliases[i].path))
            return BAD("alias '%s': not a path", aliases[i].path);
    return 0;
}

/* Does nothing before it in the plugin have one of its names? */
static int check_is_free(const struct nt_plugin *plugin, uint32_t index, struct nt_error *reterr)
{
    const struct nt_command *command = (const struct nt_command *)plugin->commands.rows + index;
    const struct nt_alias *aliases = command->aliases.rows;
    if (is_taken(plugin, index, UINT32_MAX, command->path))
        return BAD("a second command or alias of this name");
    for (uint32_t i = 0; i < command->aliases.count; i++)
        if (is_taken(plugin, index, i, aliases[i].path))
            return BAD("alias '%s': taken by a command or alias", aliases[i].path);
    return 0;
}

static int check_command(const struct nt_plugin *plugin, uint32_t index, bool needs_pointers,
                         struct nt_error *reterr)
{
    const struct nt_command *command = (const struct nt_command *)plugin->commands.rows + index;
    if (needs_pointers && !command->run)
        return BAD("run is NULL");
    if (command->timeout_ms < -1 || command->timeout_ms > TIMEOUT_MAX_MS)
        return BAD("timeout_ms %" PRId64 " is neither -1 nor at most a week", command->timeout_ms);
    if (command->result > NT_RESULT_STREAM)
        return BAD("result %u is not known", command->result);
    const struct nt_opt *opts = command->opts.rows;
    for (uint32_t i = 0; i < command->opts.count; i++)
        if (check_opt(command, i, reterr) < 0)
            return nt_wrap(reterr, "option --%s", opts[i].name);
    const uint32_t *codes = command->errors.rows;
    for (uint32_t i = 0; i < command->errors.count; i++)
        if (!has_row(plugin, codes[i]))
            return BAD("error %u has no row", codes[i]);
    if (check_args(command, reterr) < 0 || check_columns(command, needs_pointers, reterr) < 0)
        return -1;
    return check_examples(command, reterr);
}

/* "vendor.code" */
static bool is_error_text(const char *text)
{
    const char *dot = strchr(text, '.');
    if (!dot || !is_word(text, (size_t)(dot - text)) || !dot[1])
        return false;
    for (const char *p = dot + 1; *p; p++)
        if (!is_lower(*p) && !is_digit(*p) && *p != '_' && *p != '.' && *p != '-')
            return false;
    return true;
}

static int check_errors(const struct nt_plugin *plugin, struct nt_error *reterr)
{
    const struct nt_error_row *rows = plugin->errors.rows;
    for (uint32_t i = 0; i < plugin->errors.count; i++) {
        const struct nt_error_row *row = &rows[i];
        if (row->number < NT_E_PLUGIN_FIRST)
            return BAD("error '%s': its number %u is below %u", row->text, row->number,
                       NT_E_PLUGIN_FIRST);
        if (!is_error_text(row->text))
            return BAD("error '%s': its text is not vendor.code", row->text);
        if (!row->help)
            return BAD("error '%s': no help", row->text);
        if (row->exit_status == 0 || row->exit_status > 255 || row->retry > 1)
            return BAD("error '%s': exit status %u, retry %u", row->text, row->exit_status,
                       row->retry);
        for (uint32_t j = 0; j < i; j++)
            if (rows[j].number == row->number || strcmp(rows[j].text, row->text) == 0)
                return BAD("error '%s': a second one of this number or text", row->text);
    }
    return 0;
}

static int check_groups(const struct nt_plugin *plugin, struct nt_error *reterr)
{
    const struct nt_group *groups = plugin->groups.rows;
    for (uint32_t i = 0; i < plugin->groups.count; i++) {
        if (!is_path(groups[i].name))
            return BAD("group '%s': not a name", groups[i].name);
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(groups[j].name, groups[i].name) == 0)
                return BAD("group '%s': a second one of this name", groups[i].name);
    }
    return 0;
}

static int check_services(const struct nt_plugin *plugin, bool needs_pointers,
                          struct nt_error *reterr)
{
    const struct nt_service *services = plugin->services.rows;
    for (uint32_t i = 0; i < plugin->services.count; i++) {
        if (needs_pointers && !services[i].ops)
            return BAD("service '%s': ops is NULL", services[i].name);
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(services[j].name, services[i].name) == 0
                && strcmp(services[j].instance, services[i].instance) == 0)
                return BAD("service '%s': a second one with instance '%s'", services[i].name,
                           services[i].instance);
    }
    return 0;
}

/* What stands before the commands. */
static int check_head(const struct nt_plugin *plugin, struct nt_error *reterr)
{
    if (!plugin->name || !check_is_plugin_name(plugin->name))
        return BAD("plugin '%s': not a name: [a-z][a-z0-9-]*, at most %u bytes",
                   plugin->name ? plugin->name : "", NAME_MAX_BYTES);
    return check_groups(plugin, reterr) < 0 || check_errors(plugin, reterr) < 0 ? -1 : 0;
}

int check_names(const struct nt_plugin *plugin, struct nt_error *reterr)
{
    if (check_head(plugin, reterr) < 0)
        return -1;
    const struct nt_command *commands = plugin->commands.rows;
    for (uint32_t i = 0; i < plugin->commands.count; i++)
        if (check_spellings(&commands[i], reterr) < 0)
            return nt_wrap(reterr, "command '%s'", commands[i].path);
    if (needs_check(plugin, reterr) < 0)
        return -1;
    return check_services(plugin, false, reterr);
}

int check_row(const struct nt_plugin *plugin, uint32_t index, struct nt_error *reterr)
{
    const struct nt_command *commands = plugin->commands.rows;
    if (check_command(plugin, index, false, reterr) < 0)
        return nt_wrap(reterr, "command '%s'", commands[index].path);
    return 0;
}

int check_tables(const struct nt_plugin *plugin, bool needs_pointers, struct nt_error *reterr)
{
    if (check_head(plugin, reterr) < 0)
        return -1;
    const struct nt_command *commands = plugin->commands.rows;
    for (uint32_t i = 0; i < plugin->commands.count; i++)
        if (check_spellings(&commands[i], reterr) < 0 || check_is_free(plugin, i, reterr) < 0
            || check_command(plugin, i, needs_pointers, reterr) < 0)
            return nt_wrap(reterr, "command '%s'", commands[i].path);
    if (needs_check(plugin, reterr) < 0)
        return -1;
    return check_services(plugin, needs_pointers, reterr);
}
