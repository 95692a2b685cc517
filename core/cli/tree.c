/* SPDX-License-Identifier: Apache-2.0 */
/* tree.c - the commands and groups that a user can name, and finding one by its words. */
#include "tree.h"

#include <string.h>

#include "globals.h"
#include "sdk/close.h"

const void *tree_row(const struct nt_table *table, uint32_t index)
{
    if (!table->rows || index >= table->count)
        return NULL;
    return (const char *)table->rows + (size_t)index * table->stride;
}

const char *tree_program(const struct tree *tree)
{
    return tree->program ? tree->program : "nanoterm";
}

/* True when `whole` is `path` or continues it with a space. */
static bool begins_with_words(const char *whole, const char *path, bool needs_more)
{
    size_t length = strlen(path);
    if (strncmp(whole, path, length) != 0)
        return false;
    return whole[length] == ' ' || (!needs_more && whole[length] == '\0');
}

/* Calls fn for the path and each alias of a command until it returns true. */
static bool any_spelling(const struct nt_command *command, const char *path,
                         bool (*fn)(const char *spelling, const char *path))
{
    if (fn(command->path, path))
        return true;
    const struct nt_alias *alias;
    for (uint32_t i = 0; (alias = tree_row(&command->aliases, i)); i++)
        if (fn(alias->path, path))
            return true;
    return false;
}

static bool is_same(const char *spelling, const char *path)
{
    return strcmp(spelling, path) == 0;
}

static bool is_longer(const char *spelling, const char *path)
{
    return begins_with_words(spelling, path, true);
}

const struct nt_command *tree_command(const struct tree *tree, const char *path)
{
    /* A path wins over an alias: the first owner of a name keeps it. */
    for (uint32_t i = 0; i < tree->count; i++)
        if (is_same(tree->commands[i]->path, path))
            return tree->commands[i];
    for (uint32_t i = 0; i < tree->count; i++)
        if (any_spelling(tree->commands[i], path, is_same))
            return tree->commands[i];
    return NULL;
}

bool tree_is_group(const struct tree *tree, const char *path)
{
    for (uint32_t i = 0; i < tree->count; i++)
        if (any_spelling(tree->commands[i], path, is_longer))
            return true;
    return false;
}

bool tree_leads_on(const struct tree *tree, const char *path)
{
    return tree_command(tree, path) || tree_is_group(tree, path) || tree_group(tree, path);
}

const struct nt_group *tree_group(const struct tree *tree, const char *name)
{
    for (uint32_t i = 0; i < tree->group_count; i++)
        if (strcmp(tree->groups[i]->name, name) == 0)
            return tree->groups[i];
    return NULL;
}

struct suggestions {
    struct nt_buf *b;
    const char *prefix;
    unsigned count;
};

static void suggest(struct suggestions *s, const char *text)
{
    if (s->count >= TREE_SUGGESTIONS)
        return;
    nt_buf_addf(s->b, "%s'%s%s'", s->count == 0 ? " (did you mean " : " or ", s->prefix, text);
    s->count++;
}

static void suggest_end(struct suggestions *s)
{
    if (s->count)
        nt_buf_add(s->b, "?)");
}

/* Cuts a spelling to as many words as path has. */
static void cut_words(char ret[TREE_PATH_MAX], const char *spelling, const char *path)
{
    unsigned words = 1;
    for (; *path; path++)
        words += *path == ' ';
    size_t length = 0;
    for (; spelling[length] && length < TREE_PATH_MAX - 1; length++) {
        if (spelling[length] == ' ' && --words == 0)
            break;
        ret[length] = spelling[length];
    }
    ret[length] = '\0';
}

/* Where the last word of a path begins. */
static size_t last_word(const char *path)
{
    const char *space = strrchr(path, ' ');
    return space ? (size_t)(space - path) + 1 : 0;
}

/* Only the last word is mistyped: those before it led to a group. */
static bool is_close_path(const char *typed, const char *meant)
{
    size_t at = last_word(typed);
    return last_word(meant) == at && strncmp(typed, meant, at) == 0
           && nt_is_close(typed + at, meant + at);
}

void tree_suggest_commands(const struct tree *tree, const char *path, struct nt_buf *b)
{
    struct suggestions s = { b, "", 0 };
    char last[TREE_PATH_MAX] = "";
    for (uint32_t i = 0; i < tree->count; i++) {
        const struct nt_command *command = tree->commands[i];
        char words[TREE_PATH_MAX];
        cut_words(words, command->path, path);
        /* Sorted: the same group follows itself. */
        if (!(command->flags & NT_HIDDEN) && strcmp(words, last) != 0
            && is_close_path(path, words)) {
            suggest(&s, words);
            memcpy(last, words, sizeof(last));
        }
        const struct nt_alias *alias;
        for (uint32_t j = 0; (alias = tree_row(&command->aliases, j)); j++) {
            cut_words(words, alias->path, path);
            if (!(alias->flags & NT_HIDDEN) && !(command->flags & NT_HIDDEN)
                && strcmp(words, last) != 0 && strcmp(words, alias->path) == 0
                && is_close_path(path, words))
                suggest(&s, words);
        }
    }
    suggest_end(&s);
}

void tree_suggest_options(const struct nt_command *command, const char *typed, struct nt_buf *b)
{
    struct suggestions s = { b, "--", 0 };
    const struct nt_opt *opt;
    for (uint32_t i = 0; command && (opt = tree_row(&command->opts, i)); i++)
        if (!(opt->flags & NT_HIDDEN) && nt_is_close(typed, opt->name))
            suggest(&s, opt->name);
    for (uint32_t i = 0; (opt = globals_opt(i)); i++)
        if (!(opt->flags & NT_HIDDEN) && nt_is_close(typed, opt->name))
            suggest(&s, opt->name);
    suggest_end(&s);
}
