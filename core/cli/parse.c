/* SPDX-License-Identifier: Apache-2.0 */
/* parse.c - words to a command with its values, by the tables alone. */
#include "parse.h"

#include <stdlib.h>
#include <string.h>

#include "core/cli/value.h"
#include "core/plugin/stock.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define EARLY_MAX 16

/* Where the reading stands. */
struct reader {
    const struct tree *tree;
    char *const *argv;
    int argc;
    int at;
    struct parsed *parsed;
    uint32_t arg_at;      /* slot of the next positional */
    int early[EARLY_MAX]; /* words before the command that are options of it */
    int early_count;
    int rest_first; /* the first word taken for an NT_REST argument without `--`; 0: none */
    bool is_done;   /* --help or --version ended the reading */
};

void parsed_done(struct parsed *parsed)
{
    if (!parsed)
        return;
    free(parsed->slots);
    free(parsed->texts);
    *parsed = (struct parsed){ .globals = GLOBALS_INIT };
}

const struct slot *parsed_slot(const struct parsed *parsed, const char *name)
{
    for (uint32_t i = 0; i < parsed->slot_count; i++) {
        const struct slot *slot = &parsed->slots[i];
        if (strcmp(slot->arg ? slot->arg->name : slot->opt->name, name) == 0)
            return slot;
    }
    return NULL;
}

/* --- making room --------------------------------------------------------------------------- */

static uint32_t flags_of(const struct slot *slot)
{
    return slot->arg ? slot->arg->flags : slot->opt->flags;
}

static uint32_t texts_of(const struct slot *slot, uint32_t words)
{
    uint32_t flags = flags_of(slot);
    return flags & (NT_MANY | NT_REST) ? words : slot->opt && (flags & NT_PAIR) ? 2 : 1;
}

/* One text for each slot, and for those that may repeat as many as there are words. */
static int make_slots(struct reader *r, struct nt_error *reterr)
{
    struct parsed *p = r->parsed;
    uint32_t count = p->command->args.count + p->command->opts.count;
    uint32_t words = (uint32_t)(r->argc - r->at) + 1;
    p->slots = calloc(count + 1, sizeof(*p->slots));
    if (!p->slots)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    p->slot_count = count;
    size_t texts = 1;
    for (uint32_t i = 0; i < count; i++) {
        p->slots[i].arg = tree_row(&p->command->args, i);
        if (!p->slots[i].arg)
            p->slots[i].opt = tree_row(&p->command->opts, i - p->command->args.count);
        texts += texts_of(&p->slots[i], words);
    }
    p->texts = calloc(texts, sizeof(*p->texts));
    if (!p->texts)
        return nt_fail(reterr, NT_E_MEMORY, "out of memory");
    const char **next = p->texts;
    for (uint32_t i = 0; i < count; i++) {
        p->slots[i].texts = next;
        next += texts_of(&p->slots[i], words);
    }
    return 0;
}

static struct slot *find_opt(struct parsed *p, const char *name, char letter)
{
    for (uint32_t i = 0; i < p->slot_count; i++) {
        struct slot *slot = &p->slots[i];
        if (slot->opt
            && (name ? strcmp(slot->opt->name, name) == 0
                     : slot->opt->letter == (unsigned char)letter))
            return slot;
    }
    return NULL;
}

static struct value_rule rule_of(const struct nt_opt *opt)
{
    return (struct value_rule){ opt->type, opt->choices, opt->min, opt->max };
}

/* --- setting values ------------------------------------------------------------------------ */

static int set_flag(struct reader *r, struct slot *slot, const struct nt_opt *opt, bool on,
                    struct nt_error *reterr)
{
    if (!slot)
        return globals_set(&r->parsed->globals, opt, NULL, on, reterr);
    slot->number = !on ? 0 : opt->flags & NT_MANY ? slot->number + 1 : 1;
    slot->count = on;
    slot->texts[0] = on ? "true" : NULL;
    slot->is_given = true;
    slot->words++;
    return 0;
}

static int set_value(struct reader *r, struct slot *slot, const struct nt_opt *opt,
                     const char *value, struct nt_error *reterr)
{
    struct value_rule rule = rule_of(opt);
    int64_t number;
    if (value_check(&rule, value, &number, reterr) < 0) {
        if (opt->flags & NT_SECRET)
            return nt_fail(reterr, NT_E_USAGE, "--%s: not a valid value", opt->name);
        return nt_wrap(reterr, "--%s", opt->name);
    }
    if (!slot) {
        if (!*value)
            return nt_fail(reterr, NT_E_USAGE, "--%s needs a value", opt->name);
        return globals_set(&r->parsed->globals, opt, value, true, reterr) < 0
                   ? nt_wrap(reterr, "--%s", opt->name)
                   : 0;
    }
    if (!(opt->flags & NT_MANY))
        slot->count = 0; /* the last one wins */
    slot->texts[slot->count++] = value;
    if (slot->count == 1)
        slot->number = number;
    slot->is_given = true;
    slot->words++;
    return 0;
}

/* The second word of an option that takes two. */
static int read_second(struct reader *r, struct slot *slot, const struct nt_opt *opt,
                       struct nt_error *reterr)
{
    if (!slot || !(opt->flags & NT_PAIR))
        return 0;
    if (r->at >= r->argc)
        return nt_fail(reterr, NT_E_USAGE, "--%s needs two values", opt->name);
    slot->texts[slot->count++] = r->argv[r->at++];
    return 0;
}

/* --- options ------------------------------------------------------------------------------- */

/* The option of the command or, when it has none of that name, the global one. */
static const struct nt_opt *look_up(struct reader *r, const char *name, char letter,
                                    struct slot **ret_slot)
{
    *ret_slot = find_opt(r->parsed, name, letter);
    return *ret_slot ? (*ret_slot)->opt : globals_find(name, letter);
}

static int fail_unknown(struct reader *r, const char *shown, const char *name,
                        struct nt_error *reterr)
{
    nt_auto(nt_buf_done) struct nt_buf meant = NT_BUF(200);
    if (name)
        tree_suggest_options(r->parsed->command, name, &meant);
    return nt_fail(reterr, NT_E_USAGE, "unknown option %.80s%s", shown, nt_buf_text(&meant));
}

/* Ends the reading where help or the version was asked for: what follows need not be right. */
static void check_done(struct reader *r)
{
    struct parsed *p = r->parsed;
    if (p->globals.help)
        p->what = PARSED_HELP;
    else if (p->globals.version)
        p->what = PARSED_VERSION;
    r->is_done = p->globals.help || p->globals.version;
}

static int read_long(struct reader *r, const char *word, struct nt_error *reterr)
{
    const char *value = strchr(word, '=');
    char name[TREE_PATH_MAX];
    size_t length = value ? (size_t)(value - word) : strlen(word);
    if (length - 2 >= sizeof(name))
        return fail_unknown(r, word, NULL, reterr);
    memcpy(name, word + 2, length - 2);
    name[length - 2] = '\0';
    value = value ? value + 1 : NULL;

    struct slot *slot;
    bool on = true;
    const struct nt_opt *opt = look_up(r, name, 0, &slot);
    if (!opt && strncmp(name, "no-", 3) == 0) {
        opt = look_up(r, name + 3, 0, &slot);
        on = false;
        if (opt && opt->type != NT_FLAG)
            opt = NULL;
    }
    if (!opt) {
        char shown[TREE_PATH_MAX + 2];
        memcpy(shown, word, length);
        shown[length] = '\0';
        return fail_unknown(r, shown, name, reterr);
    }
    r->at++;
    if (opt->type == NT_FLAG) {
        if (value)
            return nt_fail(reterr, NT_E_USAGE, "--%s takes no value", name);
        return set_flag(r, slot, opt, on, reterr);
    }
    if (!value) {
        if (r->at >= r->argc)
            return nt_fail(reterr, NT_E_USAGE, "--%s needs a value", name);
        value = r->argv[r->at++];
    }
    return set_value(r, slot, opt, value, reterr) < 0 ? -1 : read_second(r, slot, opt, reterr);
}

static int read_letters(struct reader *r, const char *word, struct nt_error *reterr)
{
    r->at++;
    for (const char *at = word + 1; *at; at++) {
        struct slot *slot;
        const struct nt_opt *opt = look_up(r, NULL, *at, &slot);
        if (!opt) {
            /* A byte of a longer character is not shown alone, and what follows a letter may be a
             * secret. */
            if ((unsigned char)*at >= 0x80)
                return fail_unknown(r, word, NULL, reterr);
            return nt_fail(reterr, NT_E_USAGE, "unknown option -%c", *at);
        }
        if (opt->type == NT_FLAG) {
            if (set_flag(r, slot, opt, true, reterr) < 0)
                return -1;
            continue;
        }
        const char *value = at + 1;
        if (!*value) {
            if (r->at >= r->argc)
                return nt_fail(reterr, NT_E_USAGE, "-%c (--%s) needs a value", *at, opt->name);
            value = r->argv[r->at++];
        }
        return set_value(r, slot, opt, value, reterr) < 0 ? -1 : read_second(r, slot, opt, reterr);
    }
    return 0;
}

static int read_option(struct reader *r, struct nt_error *reterr)
{
    const char *word = r->argv[r->at];
    int status = word[1] == '-' ? read_long(r, word, reterr) : read_letters(r, word, reterr);
    if (status == 0)
        check_done(r);
    return status;
}

static bool is_option(const char *word)
{
    return word[0] == '-' && word[1] != '\0' && strcmp(word, "--") != 0;
}

/* --- the command --------------------------------------------------------------------------- */

static int fail_no_command(struct reader *r, const char *path, const char *word,
                           struct nt_error *reterr)
{
    if (!*r->parsed->path && stock_check(r->tree->stock, word, reterr) < 0)
        return -1;
    nt_auto(nt_buf_done) struct nt_buf meant = NT_BUF(200);
    tree_suggest_commands(r->tree, path, &meant);
    return nt_fail(reterr, NT_E_USAGE, "unknown command '%.100s'%s", path, nt_buf_text(&meant));
}

/* An option that every command of a view has may stand before the command: it is passed over now,
 * and read when the command is known. */
static bool pass_early(struct reader *r)
{
    const struct view *view = r->tree->view;
    const char *word = r->argv[r->at];
    for (uint32_t i = 0; view && i < view->opt_count; i++) {
        const struct nt_opt *opt = &view->opts[i];
        size_t length = strlen(opt->name);
        bool is_long = word[1] == '-' && strncmp(word + 2, opt->name, length) == 0
                       && (word[2 + length] == '\0' || word[2 + length] == '=');
        bool is_short = opt->letter && word[1] == (char)opt->letter && word[2] == '\0';
        if ((!is_long && !is_short) || r->early_count == EARLY_MAX)
            continue;
        bool has_next = opt->type != NT_FLAG && !(is_long && word[2 + length] == '=');
        if (has_next && r->at + 1 >= r->argc)
            return false;
        r->early[r->early_count++] = r->at;
        r->at += has_next ? 2 : 1;
        return true;
    }
    return false;
}

/* Reads the words of the command, with global options between them. */
static int read_command(struct reader *r, struct nt_error *reterr)
{
    struct parsed *p = r->parsed;
    nt_auto(nt_buf_done) struct nt_buf longer = NT_BUF(TREE_PATH_MAX - 1);
    while (r->at < r->argc && !r->is_done) {
        const char *word = r->argv[r->at];
        if (strcmp(word, "--") == 0)
            break;
        if (is_option(word)) {
            if (tree_command(r->tree, p->path))
                break; /* may be the command's own */
            if (pass_early(r))
                continue;
            if (read_option(r, reterr) < 0)
                return -1;
            continue;
        }
        nt_buf_reset(&longer);
        nt_buf_addf(&longer, "%s%s%s", p->path, *p->path ? " " : "", word);
        bool fits = nt_buf_ok(&longer) && *word && !strchr(word, ' ');
        if (fits && tree_leads_on(r->tree, nt_buf_text(&longer))) {
            nt_copy_text(p->path, sizeof(p->path), nt_buf_text(&longer));
            r->at++;
            continue;
        }
        if (tree_command(r->tree, p->path))
            break; /* its first argument */
        if (fits)
            return fail_no_command(r, nt_buf_text(&longer), word, reterr);
        return nt_fail(reterr, NT_E_USAGE, "unknown command '%.100s'", word);
    }
    p->command = tree_command(r->tree, p->path);
    if (p->command && r->tree->fill && r->tree->fill(r->tree->data, p->command, reterr) < 0)
        return -1;
    if (p->command || r->is_done)
        return 0;
    if (r->at < r->argc) /* `--` without a command */
        return nt_fail(reterr, NT_E_USAGE, "a command must stand before '--'");
    if (*p->path && !tree_is_group(r->tree, p->path)
        && stock_check(r->tree->stock, p->path, reterr) < 0)
        return -1;
    p->what = PARSED_HELP;
    r->is_done = true;
    return 0;
}

/* --- positionals --------------------------------------------------------------------------- */

static int set_arg(struct slot *slot, const char *word, struct nt_error *reterr)
{
    struct value_rule rule = { slot->arg->type, NULL, 0, 0 };
    int64_t number = 0;
    if (!(flags_of(slot) & NT_REST) && value_check(&rule, word, &number, reterr) < 0) {
        if (flags_of(slot) & NT_SECRET)
            return nt_fail(reterr, NT_E_USAGE, "<%s>: not a valid value", slot->arg->name);
        return nt_wrap(reterr, "<%s>", slot->arg->name);
    }
    if (slot->count == 0)
        slot->number = number;
    slot->texts[slot->count++] = word;
    slot->is_given = true;
    slot->words++;
    return 0;
}

/* The slot for the next positional; NULL: there are enough. */
static struct slot *next_arg(struct reader *r)
{
    struct parsed *p = r->parsed;
    if (r->arg_at >= p->command->args.count)
        return NULL;
    struct slot *slot = &p->slots[r->arg_at];
    if (!(flags_of(slot) & (NT_MANY | NT_REST)))
        r->arg_at++;
    return slot;
}

static int read_positional(struct reader *r, struct nt_error *reterr)
{
    const char *word = r->argv[r->at];
    struct slot *slot = next_arg(r);
    if (!slot)
        return nt_fail(reterr, NT_E_USAGE, "one word too many: '%.100s'", word);
    if (flags_of(slot) & NT_REST) {
        /* The words of a program without `--`: fine while none looks like an option, for then it is
         * unclear whose option it would be. */
        r->rest_first = r->at;
        for (; r->at < r->argc; r->at++) {
            word = r->argv[r->at];
            if (is_option(word) || strcmp(word, "--") == 0)
                return nt_fail(reterr, NT_E_USAGE, "put '--' before the command: '... -- %.60s'",
                               r->argv[r->rest_first]);
            if (set_arg(slot, word, reterr) < 0)
                return -1;
        }
        return 0;
    }
    r->at++;
    return set_arg(slot, word, reterr);
}

/* What stands behind `--`: the words of an NT_REST argument, else positionals. */
static int read_behind(struct reader *r, struct nt_error *reterr)
{
    struct parsed *p = r->parsed;
    uint32_t args = p->command->args.count;
    struct slot *last = args ? &p->slots[args - 1] : NULL;
    bool has_rest = last && (flags_of(last) & NT_REST);
    for (r->at++; r->at < r->argc; r->at++) {
        struct slot *slot = has_rest ? last : next_arg(r);
        if (!slot)
            return nt_fail(reterr, NT_E_USAGE, "one word too many: '%.100s'", r->argv[r->at]);
        if (set_arg(slot, r->argv[r->at], reterr) < 0)
            return -1;
    }
    return 0;
}

static int read_words(struct reader *r, struct nt_error *reterr)
{
    while (r->at < r->argc && !r->is_done) {
        const char *word = r->argv[r->at];
        if (strcmp(word, "--") == 0)
            return read_behind(r, reterr);
        if (is_option(word) ? read_option(r, reterr) < 0 : read_positional(r, reterr) < 0)
            return -1;
    }
    return 0;
}

/* The words of an external command are its own, whatever they look like. Only --help as the first
 * is ours: each command has that. */
static int read_all_words(struct reader *r, struct nt_error *reterr)
{
    const char *first = r->at < r->argc ? r->argv[r->at] : "";
    if (strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0)
        return read_option(r, reterr);
    r->at += strcmp(first, "--") == 0;
    for (; r->at < r->argc; r->at++)
        if (set_arg(&r->parsed->slots[0], r->argv[r->at], reterr) < 0)
            return -1;
    return 0;
}

/* --- what was not given -------------------------------------------------------------------- */

/* Names in `list`, separated by spaces. */
static bool is_listed(const char *list, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = list; at && *at;) {
        size_t size = strcspn(at, " ");
        if (size == length && memcmp(at, name, length) == 0)
            return true;
        at += size;
        at += strspn(at, " ");
    }
    return false;
}

/* The option that was typed and excludes this one, in either direction; NULL: none. */
static const struct slot *conflict_of(const struct parsed *p, const struct slot *slot)
{
    for (uint32_t i = 0; i < p->slot_count; i++) {
        const struct slot *other = &p->slots[i];
        if (other == slot || !other->opt || !other->words
            || (other->opt->type == NT_FLAG && !other->number))
            continue;
        if (is_listed(slot->opt->conflicts, other->opt->name)
            || is_listed(other->opt->conflicts, slot->opt->name))
            return other;
    }
    return NULL;
}

static int env_flag(struct slot *slot, const char *text, struct nt_error *reterr)
{
    static const char *const yes[] = { "1", "true", "yes", "on" };
    static const char *const no[] = { "0", "false", "no", "off" };
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        bool on = strcmp(text, yes[i]) == 0;
        if (!on && strcmp(text, no[i]) != 0)
            continue;
        slot->number = on;
        slot->count = on;
        slot->texts[0] = on ? "true" : NULL;
        slot->is_given = true;
        return 0;
    }
    return nt_fail(reterr, NT_E_USAGE, "'%s' is not 1 or 0", text);
}

/* Takes a value from the environment or the table's default. */
static int fill(struct slot *slot, const char *text, const char *source, struct nt_error *reterr)
{
    const struct nt_opt *opt = slot->opt;
    if (opt->type == NT_FLAG)
        return env_flag(slot, text, reterr) < 0 ? nt_wrap(reterr, "%s", source) : 0;
    struct value_rule rule = rule_of(opt);
    if (value_check(&rule, text, &slot->number, reterr) < 0) {
        if (opt->flags & NT_SECRET)
            return nt_fail(reterr, NT_E_USAGE, "%s: not a valid value for --%s", source, opt->name);
        return nt_wrap(reterr, "%s", source);
    }
    slot->texts[0] = text;
    slot->count = 1;
    return 0;
}

static int complete_opt(struct parsed *p, struct slot *slot, struct nt_error *reterr)
{
    const struct nt_opt *opt = slot->opt;
    const struct slot *other = conflict_of(p, slot);
    if (slot->words) {
        if (other && !(opt->type == NT_FLAG && !slot->number))
            return nt_fail(reterr, NT_E_USAGE, "--%s and --%s exclude each other", opt->name,
                           other->opt->name);
        return 0;
    }
    const char *env = opt->env && !other ? getenv(opt->env) : NULL;
    if (env && *env) {
        char source[TREE_PATH_MAX];
        nt_copy_text(source, sizeof(source), opt->env);
        if (fill(slot, env, source, reterr) < 0)
            return -1;
        slot->is_given = true;
        return 0;
    }
    if (opt->fallback) {
        if (fill(slot, opt->fallback, "default", reterr) < 0)
            return nt_wrap(reterr, "--%s", opt->name);
        slot->is_given = false;
        return 0;
    }
    if ((opt->flags & NT_REQUIRED) && opt->env)
        return nt_fail(reterr, NT_E_USAGE, "--%s is required (or set %s)", opt->name, opt->env);
    if (opt->flags & NT_REQUIRED)
        return nt_fail(reterr, NT_E_USAGE, "--%s is required", opt->name);
    return 0;
}

static int complete(struct parsed *p, struct nt_error *reterr)
{
    for (uint32_t i = 0; i < p->slot_count; i++) {
        struct slot *slot = &p->slots[i];
        if (slot->opt) {
            if (complete_opt(p, slot, reterr) < 0)
                return -1;
        } else if (slot->count == 0 && !(slot->arg->flags & NT_OPTIONAL)) {
            if (slot->arg->flags & NT_REST)
                return nt_fail(reterr, NT_E_USAGE, "<%s> is missing; put it behind '--'",
                               slot->arg->name);
            return nt_fail(reterr, NT_E_USAGE, "<%s> is missing", slot->arg->name);
        }
    }
    return 0;
}

/* --- all of it ----------------------------------------------------------------------------- */

/* What stood before the command. One that has no such option (help) leaves it alone. */
static int read_early(struct reader *r, struct nt_error *reterr)
{
    int at = r->at;
    for (int i = 0; i < r->early_count; i++) {
        const char *word = r->argv[r->early[i]];
        char name[TREE_PATH_MAX] = "";
        if (word[1] == '-')
            nt_copy_text(name, sizeof(name), word + 2);
        name[strcspn(name, "=")] = '\0';
        r->at = r->early[i];
        if (find_opt(r->parsed, *name ? name : NULL, word[1]) && read_option(r, reterr) < 0)
            return -1;
    }
    r->at = at;
    return 0;
}

static int read_all(struct reader *r, struct nt_error *reterr)
{
    if (read_command(r, reterr) < 0)
        return -1;
    if (r->is_done || !r->parsed->command)
        return 0;
    if (make_slots(r, reterr) < 0)
        return -1;
    if (read_early(r, reterr) < 0)
        return -1;
    const struct slot *slot = r->parsed->slots;
    bool is_external = r->parsed->slot_count && slot->arg && (slot->arg->flags & TREE_ARG_WORDS);
    if (is_external ? read_all_words(r, reterr) < 0 : read_words(r, reterr) < 0)
        return -1;
    return r->is_done ? 0 : complete(r->parsed, reterr);
}

int parse_words(const struct tree *tree, int argc, char *const *argv, struct parsed *ret,
                struct nt_error *reterr)
{
    struct parsed parsed = { .globals = GLOBALS_INIT };
    struct reader r = { .tree = tree, .argv = argv, .argc = argc, .at = 1, .parsed = &parsed };
    if (read_all(&r, reterr) < 0) {
        if (!reterr->hint[0] && (reterr->code == NT_E_USAGE || reterr->code == NT_E_LIMIT)) {
            reterr->code = NT_E_USAGE;
            nt_hint(reterr, "see %s %s%s--help", tree_program(tree), parsed.path,
                    *parsed.path ? " " : "");
        }
        parsed_done(&parsed);
        return -1;
    }
    *ret = parsed;
    return 0;
}
