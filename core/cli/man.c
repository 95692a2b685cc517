/* SPDX-License-Identifier: Apache-2.0 */
/* man.c - man pages from the tables; see man.h. */
#include "man.h"

#include <string.h>

#include "core/cli/personality.h"
#include "core/cli/value.h"
#include "nanoterm/host.h"
#include "sdk/cleanup.h"

/* Text that roff takes as it is: no escapes, no requests, '-' as typed. */
static void add_text(struct nt_buf *b, const char *text)
{
    bool at_start = true;
    for (const char *at = text ? text : ""; *at; at++) {
        if (at_start && (*at == '.' || *at == '\''))
            nt_buf_add(b, "\\&");
        if (*at == '\\')
            nt_buf_add(b, "\\e");
        else if (*at == '-')
            nt_buf_add(b, "\\-");
        else
            nt_buf_add_char(b, *at);
        at_start = *at == '\n';
    }
}

static void add_title(struct nt_buf *b, const char *name, const char *version)
{
    nt_buf_addf(b, ".TH \"%s\" 1 \"\" \"nanoterm %s\" \"nanoterm manual\"\n.SH NAME\n", name,
                version);
    add_text(b, name);
}

void man_add_name(struct nt_buf *b, const char *program, const struct nt_command *command)
{
    nt_buf_addf(b, "%s-", program);
    for (const char *at = command->path; *at; at++)
        nt_buf_add_char(b, *at == ' ' ? '-' : *at);
}

static void add_arg(struct nt_buf *b, const struct nt_arg *arg)
{
    bool is_optional = arg->flags & NT_OPTIONAL;
    nt_buf_addf(b, "%s%s\\fI", is_optional ? "[" : "", arg->flags & NT_REST ? "\\-\\- " : "");
    add_text(b, arg->name);
    nt_buf_addf(b, "\\fR%s%s", arg->flags & (NT_REST | NT_MANY) ? "..." : "",
                is_optional ? "]" : "");
}

static void add_synopsis(struct nt_buf *b, const char *program, const struct nt_command *command)
{
    nt_buf_addf(b, ".SH SYNOPSIS\n.B %s ", program);
    add_text(b, command->path);
    nt_buf_add(b, "\n");
    if (command->opts.count)
        nt_buf_add(b, "[\\fIoptions\\fR]\n");
    const struct nt_arg *arg;
    for (uint32_t i = 0; (arg = tree_row(&command->args, i)); i++) {
        add_arg(b, arg);
        nt_buf_add_char(b, '\n');
    }
}

static void add_opt(struct nt_buf *b, const struct nt_opt *opt)
{
    if (opt->flags & NT_HIDDEN)
        return;
    nt_buf_add(b, ".TP\n");
    if (opt->letter)
        nt_buf_addf(b, "\\fB\\-%c\\fR, ", (char)opt->letter);
    nt_buf_add(b, "\\fB\\-\\-");
    add_text(b, opt->name);
    nt_buf_add(b, "\\fR");
    if (opt->type != NT_FLAG) {
        nt_buf_add(b, " \\fI");
        add_text(b, opt->arg                                 ? opt->arg
                    : opt->type == NT_CHOICE && opt->choices ? opt->choices
                                                             : value_type_word(opt->type));
        nt_buf_addf(b, "\\fR%s", opt->flags & NT_MANY ? "..." : "");
    }
    nt_buf_add_char(b, '\n');
    add_text(b, opt->help);
    if (opt->fallback) {
        nt_buf_add(b, " (default: ");
        add_text(b, opt->type != NT_FLAG ? opt->fallback : *opt->fallback == '1' ? "on" : "off");
        nt_buf_add(b, ")");
    }
    if (opt->env)
        nt_buf_addf(b, " (environment: %s)", opt->env);
    nt_buf_add_char(b, '\n');
}

static void add_pair(struct nt_buf *b, const char *left, const char *right)
{
    nt_buf_add(b, ".TP\n\\fB");
    add_text(b, left);
    nt_buf_add(b, "\\fR\n");
    add_text(b, right && *right ? right : " ");
    nt_buf_add_char(b, '\n');
}

static void add_lists(struct nt_buf *b, const struct nt_command *command, const char *program)
{
    const struct personality *self = personality_called(program);
    const struct nt_arg *arg;
    const struct nt_opt *opt;
    const struct nt_column *column;
    if (command->args.count)
        nt_buf_add(b, ".SH ARGUMENTS\n");
    for (uint32_t i = 0; (arg = tree_row(&command->args, i)); i++)
        add_pair(b, arg->name, arg->help);
    nt_buf_add(b, ".SH OPTIONS\n");
    for (uint32_t i = 0; (opt = tree_row(&command->opts, i)); i++)
        add_opt(b, opt);
    nt_buf_add(b, ".SS Global options\n");
    for (uint32_t i = 0; (opt = personality_global(self, false, i)); i++)
        add_opt(b, opt);
    if (command->columns.count && command->result != NT_RESULT_NONE)
        nt_buf_add(b, ".SH RESULT\nThe columns, which are the keys with \\fB\\-\\-json\\fR:\n");
    for (uint32_t i = 0;
         command->result != NT_RESULT_NONE && (column = tree_row(&command->columns, i)); i++)
        add_pair(b, column->name, column->help);
}

static void add_statuses(struct nt_buf *b, const struct nt_command *command,
                         const struct help_source *source)
{
    const uint32_t *code;
    nt_buf_add(b, ".SH EXIT STATUS\n");
    add_pair(b, "0", "success");
    if (command->effects & NT_RUNS)
        add_pair(b, "n", "the program's own; 128+n when signal n ended it");
    const struct personality *self = personality_called(source->program ? source->program : "");
    nt_buf_addf(b, ".TP\n\\fB%u\\fR\nusage\n", personality_status(self, 2));
    for (uint32_t i = 0; (code = tree_row(&command->errors, i)); i++) {
        struct nt_error_row row;
        if (*code == NT_E_USAGE || !source->error_row(source->data, command, *code, &row))
            continue;
        nt_buf_addf(b, ".TP\n\\fB%u\\fR\n", row.exit_status);
        add_text(b, row.text);
        if (row.help && *row.help) {
            nt_buf_add(b, ": ");
            add_text(b, row.help);
        }
        nt_buf_add_char(b, '\n');
    }
}

static void add_examples(struct nt_buf *b, const char *program, const struct nt_command *command)
{
    const struct nt_example *example;
    nt_buf_add(b, ".SH EXAMPLES\n");
    for (uint32_t i = 0; (example = tree_row(&command->examples, i)); i++) {
        nt_buf_add(b, ".TP\n");
        add_text(b, example->note && *example->note ? example->note : "Example");
        nt_buf_addf(b, "\n.B %s ", program);
        add_text(b, example->command);
        nt_buf_add_char(b, '\n');
    }
}

void man_add_command(struct nt_buf *b, const struct nt_command *command,
                     const struct help_source *source, const char *version)
{
    nt_auto(nt_buf_done) struct nt_buf name = NT_BUF(256);
    const char *program = source->program ? source->program : "nanoterm";
    man_add_name(&name, program, command);
    add_title(b, nt_buf_text(&name), version);
    nt_buf_add(b, " \\- ");
    add_text(b, command->summary);
    nt_buf_add_char(b, '\n');
    add_synopsis(b, program, command);
    if (command->description && *command->description) {
        nt_buf_add(b, ".SH DESCRIPTION\n");
        add_text(b, command->description);
        nt_buf_add_char(b, '\n');
    }
    add_lists(b, command, program);
    add_statuses(b, command, source);
    add_examples(b, program, command);
    nt_buf_addf(b, ".SH SEE ALSO\n.BR %s (1)\n", program);
}

/* --- the page of the program --------------------------------------------------------------- */

struct note {
    const char *name, *text;
};

/* Of every name. */
static const struct note common_environment[] = {
    { "NANOTERM_PLUGIN_PATH", "Folders with plugins, looked into first, separated by colons." },
    { "NO_COLOR", "Set and not empty: no colour." },
    { NULL, NULL },
};
static const struct note common_files[] = {
    { "~/.nanoterm/config.json", "Settings and credentials, readable by you alone." },
    { "~/.nanoterm/plugins/", "Your own plugins." },
    { NULL, NULL },
};

#define SERVER_FOLDER                                                                              \
    {                                                                                              \
        "~/.nanoterm/server/", "What the server of this machine keeps."                            \
    }

/* What a program reads under one of its names, besides; in the order of the page. */
static const struct notes {
    uint32_t id; /* NT_AS_* */
    struct note environment[8], files[4];
} notes[] = {
    { NT_AS_NANOTERM,
      {
          { "NANOTERM_API_URL, NANOTERM_API_KEY, NANOTERM_ORG_ID",
            "The API to talk to, the key for it, and the organisation; without a URL it is the "
            "server of this machine, which is started when it is needed." },
          { "NANOTERM_EXTERNAL_PATH",
            "Folders with external commands (nanoterm-NAME and nanoterm-NAME.json), separated by "
            "colons, instead of ~/.nanoterm/external. The program gets no credential, but "
            "NANOTERM_COMMAND, NANOTERM_PROGRAM, and with the options of that name "
            "NANOTERM_JSON, NANOTERM_QUIET and NANOTERM_COLOR as 1." },
          { "NANOTERM_PLUGIN_WEAKER",
            "What may be missing where a plugin of others is confined and the kernel does not "
            "have it: files, scopes, or both with a comma. The setting plugin.weaker." },
      },
      { SERVER_FOLDER, { "~/.nanoterm/external/", "Your own external commands." } } },
    { NT_AS_NULLSPACE,
      {
          { "NULLSPACE_API_URL, NULLSPACE_API_KEY",
            "The API to talk to and the key for it; without a URL it is the server of this "
            "machine, which is started when it is needed." },
          { "NULLSPACE_BASE_URL", "The API, where NULLSPACE_API_URL does not name one." },
      },
      { SERVER_FOLDER } },
    { NT_AS_NONO,
      {
          { "NONO_PROFILE, NONO_NETWORK_PROFILE", "Stand in for the options of that name." },
          { "NONO_ALLOW, NONO_ALLOW_DOMAIN, NONO_CREDENTIAL, NONO_UPSTREAM_BYPASS",
            "The same, with commas between several values." },
          { "NONO_ALLOW_NET, NONO_BLOCK_NET, NONO_TRUST_OVERRIDE",
            "The same, as true or false (yes, no, on, off, 1, 0). What excludes each other as "
            "options does so here." },
          { "NONO_ENV_CREDENTIAL, NONO_UPSTREAM_PROXY, NONO_THEME",
            "Stand in for the options of that name." },
          { "NONO_PROXY_CA_VALIDITY", "How many days the authority of a session is good, where the "
                                      "proxy ends TLS (1 to 365)." },
          { "NONO_KEYRING_TIMEOUT_SECS", "How long a keyring may take to answer." },
          { "NONO_UPDATE_URL", "Where to look for a newer version; without it nobody looks." },
          { "NONO_NO_UPDATE_CHECK", "Set: nobody looks for a newer version." },
      },
      { { "~/.config/nono/config.toml",
          "The theme ([ui] theme), and whether to look for a newer version ([updates] check)." },
        { "~/.config/nanoterm/profiles/, ~/.config/nono/profiles/", "Your own profiles." } } },
};

static void add_notes(struct nt_buf *b, const struct note *all, size_t limit)
{
    for (size_t i = 0; i < limit && all[i].name; i++)
        add_pair(b, all[i].name, all[i].text);
}

static const struct notes *notes_of(uint32_t id)
{
    for (size_t i = 0; i < sizeof(notes) / sizeof(notes[0]); i++)
        if (notes[i].id == id)
            return &notes[i];
    return &notes[0];
}

/* A command that has a page, to name as an example: the first that is no word about the tool. */
static void add_see_also(struct nt_buf *b, const struct tree *tree, const char *program)
{
    nt_auto(nt_buf_done) struct nt_buf page = NT_BUF(256);
    for (uint32_t i = 0; i < tree->count && !page.size; i++)
        if (!(tree->commands[i]->flags & NT_HIDDEN) && (tree->commands[i]->effects & NT_RUNS))
            man_add_name(&page, program, tree->commands[i]);
    nt_buf_add(b, ".SH SEE ALSO\nEach command has a page of its own");
    if (page.size) {
        nt_buf_add(b, ": \\fB");
        add_text(b, nt_buf_text(&page));
        nt_buf_add(b, "\\fR(1)");
    }
    nt_buf_addf(b, ".\n\\fB%s commands\\fR prints all of it as JSON.\n", program);
}

void man_add_program(struct nt_buf *b, const struct tree *tree, const char *version)
{
    const struct personality *self = personality_called(tree_program(tree));
    const struct notes *own = notes_of(self->id);
    const struct nt_opt *opt;
    add_title(b, self->program, version);
    nt_buf_addf(b,
                " \\- %s\n.SH SYNOPSIS\n.B %s\n[\\fIglobal options\\fR] \\fIcommand\\fR "
                "[\\fIoptions\\fR] [\\fIarguments\\fR]\n.SH COMMANDS\n",
                self->summary, self->program);
    for (uint32_t i = 0; i < tree->count; i++)
        if (!(tree->commands[i]->flags & NT_HIDDEN))
            add_pair(b, tree->commands[i]->path, tree->commands[i]->summary);
    nt_buf_add(b, ".SH OPTIONS\n");
    for (uint32_t i = 0; (opt = personality_global(self, true, i)); i++)
        add_opt(b, opt);
    nt_buf_add(b, ".SH ENVIRONMENT\n");
    add_notes(b, own->environment, sizeof(own->environment) / sizeof(own->environment[0]));
    add_notes(b, common_environment, SIZE_MAX);
    nt_buf_add(b, ".SH FILES\n");
    add_notes(b, common_files, SIZE_MAX);
    add_notes(b, own->files, sizeof(own->files) / sizeof(own->files[0]));
    add_see_also(b, tree, self->program);
}
