/* SPDX-License-Identifier: Apache-2.0 */
/* help.c - --help of everything, from the tables. */
#include "help.h"

#include <string.h>

#include "core/cli/personality.h"
#include "core/cli/value.h"
#include "core/output/width.h"
#include "sdk/cleanup.h"

#define LINE 80u
#define TEXT_AT 28u /* where the right column begins */

/* --- layout -------------------------------------------------------------------------------- */

static void add_spaces(struct nt_buf *b, size_t count)
{
    char *at = nt_buf_room(b, count);
    if (!at)
        return;
    memset(at, ' ', count);
    nt_buf_added(b, count);
}

void help_add_wrapped(struct nt_buf *b, const char *text, size_t at, size_t indent)
{
    bool is_first = true;
    while (*text) {
        size_t gap = strspn(text, " ");
        const char *word = text + gap;
        size_t size = strcspn(word, " \n");
        size_t width = width_of_bytes(word, size);
        if (!is_first && at + gap + width > LINE) {
            nt_buf_add_char(b, '\n');
            add_spaces(b, indent);
            at = indent;
            gap = 0;
        }
        add_spaces(b, is_first ? 0 : gap);
        nt_buf_add_bytes(b, word, size);
        at += (is_first ? 0 : gap) + width;
        is_first = false;
        text = word + size;
        if (*text == '\n') {
            nt_buf_add_char(b, '\n');
            if (text[1] && text[1] != '\n')
                add_spaces(b, indent);
            at = indent;
            is_first = true;
            text++;
        }
    }
}

/* "  left   right", the right one wrapped in its column. */
static void add_pair(struct nt_buf *b, const char *left, const char *right)
{
    size_t width = width_of(left) + 2;
    nt_buf_add(b, "  ");
    nt_buf_add(b, left);
    if (*right) {
        if (width + 2 > TEXT_AT) {
            nt_buf_add_char(b, '\n');
            width = 0;
        }
        add_spaces(b, TEXT_AT - width);
        help_add_wrapped(b, right, TEXT_AT, TEXT_AT);
    }
    nt_buf_add_char(b, '\n');
}

/* --- options and arguments ----------------------------------------------------------------- */

static const char *value_word(const struct nt_opt *opt)
{
    return opt->arg                                 ? opt->arg
           : opt->type == NT_CHOICE && opt->choices ? opt->choices
                                                    : value_type_word(opt->type);
}

static void add_opt(struct nt_buf *b, const struct nt_opt *opt)
{
    nt_auto(nt_buf_done) struct nt_buf left = NT_BUF(1024);
    nt_auto(nt_buf_done) struct nt_buf right = NT_BUF(8192);
    if (opt->letter)
        nt_buf_addf(&left, "-%c, ", (char)opt->letter);
    else
        nt_buf_add(&left, "    ");
    nt_buf_addf(&left, "--%s", opt->name);
    if (opt->type != NT_FLAG)
        nt_buf_addf(&left, " <%s>%s", value_word(opt), opt->flags & NT_MANY ? "..." : "");

    nt_buf_add(&right, opt->help ? opt->help : "");
    const char *sep = " (";
    if (opt->type == NT_CHOICE && opt->choices && opt->arg) {
        nt_buf_addf(&right, "%sone of: ", sep);
        for (const char *at = opt->choices; *at; at++)
            nt_buf_add(&right, *at == '|' ? ", " : (char[]){ *at, '\0' });
        sep = "; ";
    }
    if (opt->fallback) {
        nt_buf_addf(&right, "%sdefault: %s", sep, opt->fallback);
        sep = "; ";
    }
    if (opt->flags & NT_REQUIRED) {
        nt_buf_addf(&right, "%srequired", sep);
        sep = "; ";
    }
    if (opt->env) {
        nt_buf_addf(&right, "%senvironment: %s", sep, opt->env);
        sep = "; ";
    }
    if (opt->conflicts) {
        nt_buf_addf(&right, "%snot with --", sep);
        for (const char *at = opt->conflicts; *at; at++)
            nt_buf_add(&right, *at == ' ' ? ", --" : (char[]){ *at, '\0' });
        sep = "; ";
    }
    if (*sep == ';')
        nt_buf_add_char(&right, ')');
    add_pair(b, nt_buf_text(&left), nt_buf_text(&right));
}

static void add_arg_word(struct nt_buf *b, const struct nt_arg *arg)
{
    bool is_optional = arg->flags & NT_OPTIONAL;
    nt_buf_addf(b, "%s%s<%s%s>%s", is_optional ? "[" : "", arg->flags & NT_REST ? "-- " : "",
                arg->name, arg->flags & (NT_REST | NT_MANY) ? "..." : "", is_optional ? "]" : "");
}

static void add_usage(struct nt_buf *b, const struct nt_command *command, const char *program)
{
    nt_buf_addf(b, "Usage: %s %s", program, command->path);
    if (command->opts.count)
        nt_buf_add(b, " [options]");
    const struct nt_arg *arg;
    for (uint32_t i = 0; (arg = tree_row(&command->args, i)); i++) {
        nt_buf_add_char(b, ' ');
        add_arg_word(b, arg);
    }
    nt_buf_add_char(b, '\n');
}

static void add_args(struct nt_buf *b, const struct nt_command *command)
{
    const struct nt_arg *arg;
    if (command->args.count)
        nt_buf_add(b, "\nArguments:\n");
    for (uint32_t i = 0; (arg = tree_row(&command->args, i)); i++) {
        nt_auto(nt_buf_done) struct nt_buf left = NT_BUF(1024);
        add_arg_word(&left, arg);
        add_pair(b, nt_buf_text(&left), arg->help ? arg->help : "");
    }
}

static void add_globals(struct nt_buf *b, const char *program, bool is_early)
{
    nt_buf_add(b, "\nGlobal options:\n");
    const struct personality *self = personality_called(program);
    const struct nt_opt *opt;
    for (uint32_t i = 0; (opt = personality_global(self, is_early, i)); i++)
        add_opt(b, opt);
}

static void add_opts(struct nt_buf *b, const struct nt_command *command)
{
    bool has_heading = false;
    const struct nt_opt *opt;
    for (uint32_t i = 0; (opt = tree_row(&command->opts, i)); i++) {
        if (opt->flags & NT_HIDDEN)
            continue;
        if (!has_heading)
            nt_buf_add(b, "\nOptions:\n");
        has_heading = true;
        add_opt(b, opt);
    }
}

/* --- the rest of a command ----------------------------------------------------------------- */

static void add_aliases(struct nt_buf *b, const struct nt_command *command, const char *program)
{
    unsigned shown = 0;
    const struct nt_alias *alias;
    for (uint32_t i = 0; (alias = tree_row(&command->aliases, i)); i++)
        if (!(alias->flags & NT_HIDDEN))
            nt_buf_addf(b, "%s%s %s", shown++ ? ", " : "Also: ", program, alias->path);
    if (shown)
        nt_buf_add_char(b, '\n');
}

static void add_columns(struct nt_buf *b, const struct nt_command *command)
{
    const struct nt_column *row;
    if (command->columns.count == 0 || command->result == NT_RESULT_NONE)
        return;
    nt_buf_add(b, "\nResult columns (--fields):\n");
    for (uint32_t i = 0; (row = tree_row(&command->columns, i)); i++)
        if (!(row->flags & NT_HIDDEN))
            add_pair(b, row->name, row->help ? row->help : "");
}

static void add_statuses(struct nt_buf *b, const struct nt_command *command,
                         const struct help_source *source)
{
    nt_buf_add(b, "\nExit statuses:\n  0    success\n");
    if (command->effects & NT_RUNS)
        nt_buf_add(b, "  n    the program's own (128+n: ended by signal n)\n");
    const char *program = source && source->program ? source->program : "nanoterm";
    nt_buf_addf(b, "  %u    usage\n", personality_status(personality_called(program), 2));
    const uint32_t *code;
    for (uint32_t i = 0; (code = tree_row(&command->errors, i)); i++) {
        struct nt_error_row row;
        if (*code == NT_E_USAGE || !source || !source->error_row
            || !source->error_row(source->data, command, *code, &row))
            continue;
        nt_buf_addf(b, "  %-3u  %s%s%s\n", row.exit_status, row.text,
                    row.help && *row.help ? ": " : "", row.help ? row.help : "");
    }
    if (command->effects & (NT_REMOTE | NT_RUNS))
        nt_buf_add(b, "  130  interrupted\n");
}

static void add_examples(struct nt_buf *b, const struct nt_command *command, const char *program)
{
    const struct nt_example *example;
    if (command->examples.count)
        nt_buf_add(b, "\nExamples:\n");
    for (uint32_t i = 0; (example = tree_row(&command->examples, i)); i++) {
        if (example->note && *example->note)
            nt_buf_addf(b, "  # %s\n", example->note);
        nt_buf_addf(b, "  %s %s\n", program, example->command);
    }
}

void help_add_command(struct nt_buf *b, const struct nt_command *command,
                      const struct help_source *source)
{
    const char *program = source && source->program ? source->program : "nanoterm";
    help_add_wrapped(b, command->summary ? command->summary : "", 0, 0);
    nt_buf_add(b, "\n\n");
    add_usage(b, command, program);
    add_aliases(b, command, program);
    if (command->description && *command->description) {
        nt_buf_add_char(b, '\n');
        help_add_wrapped(b, command->description, 0, 0);
        nt_buf_add_char(b, '\n');
    }
    add_args(b, command);
    add_opts(b, command);
    add_globals(b, program, false);
    add_columns(b, command);
    add_statuses(b, command, source);
    add_examples(b, command, program);
}

/* --- groups -------------------------------------------------------------------------------- */

static size_t first_word(const char *path)
{
    return strcspn(path, " ");
}

static bool is_in_group(const char *path, const char *group)
{
    size_t length = strlen(group);
    return strncmp(path, group, length) == 0 && path[length] == ' ';
}

/* Commands below `group`, each with its summary. */
static void add_members(struct nt_buf *b, const struct tree *tree, const char *group)
{
    for (uint32_t i = 0; i < tree->count; i++) {
        const struct nt_command *command = tree->commands[i];
        if (!(command->flags & NT_HIDDEN) && is_in_group(command->path, group))
            add_pair(b, command->path, command->summary ? command->summary : "");
    }
}

static bool has_members(const struct tree *tree, const char *group)
{
    for (uint32_t i = 0; i < tree->count; i++)
        if (!(tree->commands[i]->flags & NT_HIDDEN) && is_in_group(tree->commands[i]->path, group))
            return true;
    return false;
}

static const struct nt_example *first_example(const struct tree *tree, const char *group)
{
    for (uint32_t i = 0; i < tree->count; i++) {
        const struct nt_command *command = tree->commands[i];
        if (!(command->flags & NT_HIDDEN) && is_in_group(command->path, group)
            && command->examples.count)
            return tree_row(&command->examples, 0);
    }
    return NULL;
}

/* The group that GROUP is another name of, going by the aliases of its commands: of "long run" for
 * "short run" it is "short". GROUP itself where there is none. */
static const char *real_group(const struct tree *tree, const char *group, char ret[TREE_PATH_MAX])
{
    for (uint32_t i = 0; i < tree->count; i++) {
        const struct nt_command *command = tree->commands[i];
        const struct nt_alias *alias;
        for (uint32_t j = 0; (alias = tree_row(&command->aliases, j)); j++) {
            const char *rest = is_in_group(alias->path, group) ? alias->path + strlen(group) : "";
            size_t length = strlen(command->path), tail = strlen(rest);
            if (!tail || length <= tail || length - tail >= TREE_PATH_MAX
                || strcmp(command->path + length - tail, rest) != 0)
                continue;
            memcpy(ret, command->path, length - tail);
            ret[length - tail] = '\0';
            return ret;
        }
    }
    return group;
}

void help_add_group(struct nt_buf *b, const struct tree *tree, const char *path)
{
    char real[TREE_PATH_MAX];
    if (!has_members(tree, path))
        path = real_group(tree, path, real);
    const struct nt_group *group = tree_group(tree, path);
    if (group && group->summary)
        nt_buf_addf(b, "%s\n\n", group->summary);
    const char *program = tree_program(tree);
    nt_buf_addf(b, "Usage: %s %s <command> [options]\n\nCommands:\n", program, path);
    add_members(b, tree, path);
    add_globals(b, program, true);
    const struct nt_example *example = first_example(tree, path);
    if (example)
        nt_buf_addf(b, "\nExamples:\n  %s %s\n", program, example->command);
    nt_buf_addf(b, "\nMore: %s %s <command> --help\n", program, path);
}

void help_add_tree(struct nt_buf *b, const struct tree *tree)
{
    const struct personality *self = personality_called(tree_program(tree));
    nt_buf_addf(b,
                "%s\n\n"
                "Usage: %s [global options] <command> [options] [arguments]\n\nCommands:\n",
                self->about, self->program);
    for (uint32_t i = 0; i < tree->count; i++) {
        const struct nt_command *command = tree->commands[i];
        if (!(command->flags & NT_HIDDEN) && !strchr(command->path, ' '))
            add_pair(b, command->path, command->summary ? command->summary : "");
    }
    char last[TREE_PATH_MAX] = "";
    for (uint32_t i = 0; i < tree->count; i++) {
        const char *path = tree->commands[i]->path;
        size_t length = first_word(path);
        char name[TREE_PATH_MAX];
        if (!path[length] || length >= sizeof(name))
            continue;
        memcpy(name, path, length);
        name[length] = '\0';
        if (strcmp(name, last) == 0 || !has_members(tree, name))
            continue;
        memcpy(last, name, sizeof(last));
        const struct nt_group *group = tree_group(tree, name);
        nt_buf_addf(b, "\n%s%s%s:\n", name, group && group->summary ? " - " : "",
                    group && group->summary ? group->summary : "");
        add_members(b, tree, name);
    }
    add_globals(b, self->program, true);
    if (!self->view)
        nt_buf_add(b, "\nExamples:\n  nanoterm ws create\n  nanoterm exec ws_a1b2c3d4 -- make\n");
    nt_buf_addf(b, "\nMore: %s <command> --help; %s commands prints all of it as JSON\n",
                self->program, self->program);
}
