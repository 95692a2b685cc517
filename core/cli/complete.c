/* SPDX-License-Identifier: Apache-2.0 */
/* complete.c - what could stand where the cursor is; see complete.h. */
#include "complete.h"

#include <stdlib.h>
#include <string.h>

#include "core/cli/personality.h"
#include "sdk/cleanup.h"

/* Where the last word stands. */
struct place {
    char path[TREE_PATH_MAX];
    const struct nt_command *command; /* NULL: still on the way to one */
    const struct nt_opt *opt;         /* the last word is its value */
    uint32_t args;                    /* positionals before the last word */
    const char *first;                /* the first of them; NULL: none */
    bool is_behind;                   /* a `--` stands before it */
};

/* What is being written. */
struct offer {
    struct nt_buf *b;
    const char *typed;  /* what candidates must begin with */
    const char *before; /* stands before each: "--name=" */
    const char *first;  /* argument of the command; NULL: none */
};

static void add(void *data, const char *word, const char *note)
{
    const struct offer *o = data;
    if (strncmp(word, o->typed, strlen(o->typed)) != 0)
        return;
    nt_buf_add(o->b, o->before);
    nt_buf_add_printable(o->b, word, false); /* of the server: no escapes, no newlines */
    nt_buf_add_char(o->b, '\t');
    nt_buf_add_printable(o->b, note ? note : "", false);
    nt_buf_add_char(o->b, '\n');
}

/* --- where it stands ----------------------------------------------------------------------- */

static const struct nt_opt *find_opt(const struct tree *tree, const struct nt_command *command,
                                     const char *name, size_t length, char letter)
{
    const struct personality *self = personality_called(tree_program(tree));
    const struct nt_opt *opt;
    for (uint32_t i = 0; command && (opt = tree_row(&command->opts, i)); i++)
        if (letter ? opt->letter == (unsigned char)letter
                   : strlen(opt->name) == length && memcmp(opt->name, name, length) == 0)
            return opt;
    for (uint32_t i = 0; (opt = personality_global(self, !command, i)); i++)
        if (letter ? opt->letter == (unsigned char)letter
                   : strlen(opt->name) == length && memcmp(opt->name, name, length) == 0)
            return opt;
    return NULL;
}

/* The option whose value the next word is; NULL: none. */
static const struct nt_opt *waits_for_value(const struct tree *tree,
                                            const struct nt_command *command, const char *word)
{
    const struct nt_opt *opt = NULL;
    if (word[1] == '-' && !strchr(word, '='))
        opt = find_opt(tree, command, word + 2, strlen(word + 2), 0);
    else if (word[1] != '-' && word[2] == '\0')
        opt = find_opt(tree, command, NULL, 0, word[1]);
    return opt && opt->type != NT_FLAG ? opt : NULL;
}

static bool is_option(const char *word)
{
    return word[0] == '-' && word[1] != '\0';
}

/* True when the word leads on, and p->path has it then. */
static bool go_on(const struct tree *tree, struct place *p, const char *word)
{
    nt_auto(nt_buf_done) struct nt_buf longer = NT_BUF(TREE_PATH_MAX - 1);
    nt_buf_addf(&longer, "%s%s%s", p->path, *p->path ? " " : "", word);
    if (!*word || !nt_buf_ok(&longer) || !tree_leads_on(tree, nt_buf_text(&longer)))
        return false;
    memcpy(p->path, nt_buf_text(&longer), longer.size + 1);
    p->command = tree_command(tree, p->path);
    return true;
}

static struct place find_place(const struct tree *tree, int count, char *const *words)
{
    struct place p = { .path = "" };
    for (int i = 0; i < count - 1; i++) {
        const char *word = words[i];
        if (p.opt) {
            p.opt = NULL;
        } else if (p.is_behind) {
            p.args++;
        } else if (strcmp(word, "--") == 0) {
            p.is_behind = true;
        } else if (is_option(word)) {
            p.opt = waits_for_value(tree, p.command, word);
        } else if (p.args > 0 || !go_on(tree, &p, word)) {
            p.first = p.args == 0 ? word : p.first;
            p.args++;
        }
    }
    return p;
}

/* --- what fits ----------------------------------------------------------------------------- */

static void add_choices(struct offer *o, const char *choices)
{
    while (*choices) {
        size_t length = strcspn(choices, "|");
        nt_autofree char *choice = strndup(choices, length);
        if (choice)
            add(o, choice, "");
        choices += length + (choices[length] == '|');
    }
}

/* A kind is NAME, or NAME:word|word with words that its table knows; NAME may be empty then. What
 * has a slash is the file of a profile. */
static void add_values(struct offer *o, uint32_t type, const char *kind,
                       const struct complete_source *source)
{
    const char *words = kind ? strchr(kind, ':') : NULL;
    nt_autofree char *name = words ? strndup(kind, (size_t)(words - kind)) : NULL;
    if (words) {
        bool is_profile = name && strcmp(name, "profiles") == 0;
        kind = is_profile && strchr(o->typed, '/') ? "files" : name && *name ? name : NULL;
        if (!is_profile || strcmp(kind, "files") != 0)
            add_choices(o, words + 1);
        if (!kind)
            return;
    }
    bool is_dir = kind && strcmp(kind, "dirs") == 0;
    if (is_dir || (kind && strcmp(kind, "files") == 0) || (!kind && type == NT_PATH))
        nt_buf_add(o->b, is_dir ? ":dirs\n" : ":files\n");
    else if (kind && source && source->values)
        source->values(source->data, kind, o->first, add, o);
}

static void add_value_of(struct offer *o, const struct nt_opt *opt,
                         const struct complete_source *source)
{
    if (opt->type == NT_CHOICE && opt->choices)
        add_choices(o, opt->choices);
    else
        add_values(o, opt->type, opt->complete, source);
}

static void add_opt(struct offer *o, const struct nt_opt *opt)
{
    nt_auto(nt_buf_done) struct nt_buf word = NT_BUF(256);
    nt_buf_addf(&word, "--%s", opt->name);
    if (!(opt->flags & NT_HIDDEN))
        add(o, nt_buf_text(&word), opt->help);
}

static void add_opts(struct offer *o, const struct nt_command *command, const struct tree *tree)
{
    const struct personality *self = personality_called(tree_program(tree));
    const struct nt_opt *opt;
    for (uint32_t i = 0; command && (opt = tree_row(&command->opts, i)); i++)
        add_opt(o, opt);
    for (uint32_t i = 0; (opt = personality_global(self, !command, i)); i++)
        add_opt(o, opt);
}

/* The next word of a spelling that begins with the words of path; false: it does not, or ends
 * there. */
static bool next_word(const char *spelling, const char *path, char ret[TREE_PATH_MAX])
{
    size_t length = strlen(path);
    if (length && (strncmp(spelling, path, length) != 0 || spelling[length] != ' '))
        return false;
    spelling += length ? length + 1 : 0;
    size_t size = strcspn(spelling, " ");
    if (size == 0 || size >= TREE_PATH_MAX)
        return false;
    memcpy(ret, spelling, size);
    ret[size] = '\0';
    return true;
}

/* Sorted, so that the same word follows itself. */
static void add_commands(struct offer *o, const struct tree *tree, const char *path)
{
    char word[TREE_PATH_MAX], last[TREE_PATH_MAX] = "";
    for (uint32_t i = 0; i < tree->count; i++) {
        const struct nt_command *command = tree->commands[i];
        if ((command->flags & NT_HIDDEN) || !next_word(command->path, path, word)
            || strcmp(word, last) == 0)
            continue;
        memcpy(last, word, sizeof(last));
        nt_auto(nt_buf_done) struct nt_buf whole = NT_BUF(TREE_PATH_MAX * 2);
        nt_buf_addf(&whole, "%s%s%s", path, *path ? " " : "", word);
        const struct nt_command *exact = tree_command(tree, nt_buf_text(&whole));
        const struct nt_group *group = tree_group(tree, nt_buf_text(&whole));
        add(o, word, exact ? exact->summary : group ? group->summary : "");
    }
}

static void add_positional(struct offer *o, const struct place *p,
                           const struct complete_source *source)
{
    const struct nt_arg *arg = NULL, *row;
    for (uint32_t i = 0; (row = tree_row(&p->command->args, i)); i++)
        if (i == p->args || (i < p->args && (row->flags & (NT_MANY | NT_REST))))
            arg = row;
    if (arg && !(arg->flags & NT_REST))
        add_values(o, arg->type, arg->complete, source);
}

void complete_add(struct nt_buf *b, const struct tree *tree, int count, char *const *words,
                  const struct complete_source *source)
{
    if (count < 1)
        return;
    struct place p = find_place(tree, count, words);
    const char *typed = words[count - 1];
    struct offer o = { b, typed, "", p.first };
    const char *equals = p.is_behind || strncmp(typed, "--", 2) != 0 ? NULL : strchr(typed, '=');
    if (p.opt) {
        add_value_of(&o, p.opt, source);
    } else if (equals) {
        const struct nt_opt *opt =
            find_opt(tree, p.command, typed + 2, (size_t)(equals - typed) - 2, '\0');
        nt_autofree char *before = strndup(typed, (size_t)(equals - typed) + 1);
        if (!opt || !before || opt->type == NT_FLAG)
            return;
        o.typed = equals + 1;
        o.before = before;
        add_value_of(&o, opt, source);
    } else if (typed[0] == '-' && !p.is_behind) {
        add_opts(&o, p.command, tree);
    } else {
        if (!p.is_behind && p.args == 0)
            add_commands(&o, tree, p.path);
        if (p.command)
            add_positional(&o, &p, source);
    }
}

/* --- a line of words ----------------------------------------------------------------------- */

int complete_split(const char *line, char ***ret, char **ret_text)
{
    size_t length = strlen(line);
    char *text = malloc(length + 2), *to = text;
    char **words = calloc(length + 2, sizeof(*words));
    if (!text || !words) {
        free(text);
        free(words);
        return -1;
    }
    int count = 0;
    char quote = '\0';
    bool is_word = false;
    for (const char *at = line; *at; at++) {
        if (!quote && (*at == ' ' || *at == '\t' || *at == '\n')) {
            if (is_word)
                *to++ = '\0';
            is_word = false;
            continue;
        }
        if (!is_word)
            words[count++] = to;
        is_word = true;
        if (quote ? *at == quote : *at == '\'' || *at == '"')
            quote = quote ? '\0' : *at;
        else if (*at == '\\' && quote != '\'' && at[1])
            *to++ = *++at;
        else
            *to++ = *at;
    }
    *to = '\0';
    if (!is_word) { /* nothing was begun: one more NUL has room */
        words[count++] = to;
    }
    *ret = words;
    *ret_text = text;
    return count;
}

/* --- the scripts --------------------------------------------------------------------------- */

/* bash breaks words at = and :, so that the answer must begin behind the last of them. */
static const char bash[] =
    "# nanoterm completion for bash: source <(nanoterm completion bash)\n"
    "_nanoterm() {\n"
    "    local line=${COMP_LINE:0:COMP_POINT} word=${COMP_WORDS[COMP_CWORD]} typed cut lines\n"
    "    typed=${line##*[[:space:]]}\n"
    "    mapfile -t lines < <(\"$1\" --internal-complete line \"$line\" 2>/dev/null)\n"
    "    COMPREPLY=()\n"
    "    case ${lines[0]} in\n"
    "    :files) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- \"${word#=}\"); "
    "return ;;\n"
    "    :dirs) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- \"${word#=}\"); "
    "return ;;\n"
    "    esac\n"
    "    case $COMP_WORDBREAKS in\n"
    "    *[=:]*) cut=${typed%\"${typed##*[=:]}\"} ;;\n"
    "    esac\n"
    "    local each\n"
    "    for each in \"${lines[@]}\"; do\n"
    "        each=${each%%$'\\t'*}\n"
    "        COMPREPLY+=(\"${each#\"$cut\"}\")\n"
    "    done\n"
    "}\n"
    "complete -F _nanoterm nanoterm\n";

static const char zsh[] =
    "#compdef nanoterm\n"
    "# nanoterm completion for zsh: source <(nanoterm completion zsh)\n"
    "_nanoterm() {\n"
    "    local -a lines rows\n"
    "    local each\n"
    "    lines=(\"${(@f)$(_call_program nanoterm ${(q)words[1]} --internal-complete words "
    "${(q)words[2,CURRENT]} 2>/dev/null)}\")\n"
    "    case ${lines[1]} in\n"
    "    :files) _files; return ;;\n"
    "    :dirs) _files -/; return ;;\n"
    "    esac\n"
    "    for each in $lines; do\n"
    "        rows+=(\"${${each%%$'\\t'*}//:/\\\\:}:${each#*$'\\t'}\")\n"
    "    done\n"
    "    _describe -V nanoterm rows\n"
    "}\n"
    "if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _nanoterm \"$@\"; else compdef _nanoterm "
    "nanoterm; fi\n";

static const char fish[] =
    "# nanoterm completion for fish: nanoterm completion fish | source\n"
    "function __nanoterm_complete\n"
    "    set -l lines (commandline -opc)[1]\n"
    "    set lines ($lines --internal-complete words (commandline -opc)[2..-1] (commandline -ct) "
    "2>/dev/null)\n"
    "    switch \"$lines[1]\"\n"
    "        case :files\n"
    "            __fish_complete_path (commandline -ct)\n"
    "        case :dirs\n"
    "            __fish_complete_directories (commandline -ct)\n"
    "        case '*'\n"
    "            printf '%s\\n' $lines\n"
    "    end\n"
    "end\n"
    "complete -c nanoterm -f -a '(__nanoterm_complete)'\n";

static const char *script_of(const char *shell)
{
    return strcmp(shell, "bash") == 0   ? bash
           : strcmp(shell, "zsh") == 0  ? zsh
           : strcmp(shell, "fish") == 0 ? fish
                                        : NULL;
}

bool complete_add_script(struct nt_buf *b, const char *shell, const char *program)
{
    static const char name[] = "nanoterm"; /* as the scripts above are written */
    const char *at = script_of(shell), *next;
    if (!at)
        return false;
    for (; (next = strstr(at, name)); at = next + sizeof(name) - 1) {
        nt_buf_add_bytes(b, at, (size_t)(next - at));
        nt_buf_add(b, program);
    }
    nt_buf_add(b, at);
    return true;
}
