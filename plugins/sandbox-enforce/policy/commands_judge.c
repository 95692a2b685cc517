/* SPDX-License-Identifier: Apache-2.0 */
/* commands_judge.c - whether a caller may start a command with these words and variables. */
#include "plugins/sandbox-enforce/policy/command_policies.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const struct command *command_find_by_name(const struct command_policies *policies,
                                           const char *name, size_t size)
{
    for (size_t i = 0; i < policies->count; i++)
        if (strlen(policies->commands[i].name) == size
            && memcmp(policies->commands[i].name, name, size) == 0)
            return &policies->commands[i];
    return NULL;
}

__attribute__((format(printf, 3, 4))) static void refuse(struct command_refusal *ret,
                                                         const char *why, const char *rule, ...)
{
    va_list args;
    va_start(args, rule);
    vsnprintf(ret->rule, sizeof(ret->rule), rule, args);
    va_end(args);
    ret->why = why;
}

const struct command_edge *command_edge_of(const struct command_policies *policies,
                                           const struct command *command, const char *caller,
                                           struct command_refusal *ret_refusal)
{
    const struct command *by = command_find_by_name(policies, caller, strlen(caller));
    /* Both must say so: what the caller may use, and whom the command serves. */
    if (by && !texts_have(&by->can_use, command->name)) {
        refuse(ret_refusal, "whoever starts it may not use it",
               "command_policies.commands.%s.can_use does not name it", caller);
        return NULL;
    }
    for (size_t i = 0; i < command->edge_count; i++) {
        const struct command_edge *edge = &command->edges[i];
        if (strcmp(edge->caller, caller) != 0)
            continue;
        if (edge->sandbox)
            return edge;
        refuse(ret_refusal, "its profile denies it", "%s is \"deny\"", edge->place);
        return NULL;
    }
    refuse(ret_refusal, "it has neither a sandbox nor a from for its caller",
           "command_policies.commands.%s.from.%s is missing", command->name, caller);
    return NULL;
}

bool command_passes(const struct policy_texts *list, const char *entry)
{
    size_t size = strcspn(entry, "=");
    for (size_t i = 0; i < list->count; i++) {
        const char *name = list->at[i];
        size_t length = strlen(name);
        bool is_prefix = length && name[length - 1] == '*';
        length -= is_prefix;
        if ((is_prefix ? size >= length : size == length) && memcmp(name, entry, length) == 0)
            return true;
    }
    return false;
}

static size_t count_of(char *const *list)
{
    size_t count = 0;
    while (list[count])
        count++;
    return count;
}

static bool are_same(const struct policy_texts *wanted, char *const *words)
{
    for (size_t i = 0; i < wanted->count; i++)
        if (strcmp(wanted->at[i], words[i]) != 0)
            return false;
    return true;
}

static bool words_match(const struct command_match *match, char *const *words)
{
    size_t count = count_of(words), wanted = match->words.count;
    if (match->how == COMMAND_ANY)
        return true;
    if (count < wanted || (match->how == COMMAND_EXACT && count != wanted))
        return false;
    size_t last = match->how == COMMAND_CONTAINS ? count - wanted : 0;
    for (size_t i = 0; i <= last; i++)
        if (are_same(&match->words, words + i))
            return true;
    return false;
}

static bool variable_matches(const struct command_variable *variable, char *const *environment)
{
    size_t size = strlen(variable->name);
    for (; *environment; environment++)
        if (strncmp(*environment, variable->name, size) == 0 && (*environment)[size] == '='
            && texts_have(&variable->values, *environment + size + 1))
            return true;
    return false;
}

bool command_matches(const struct command_match *match, char *const *words,
                     char *const *environment)
{
    for (size_t i = 0; i < match->variable_count; i++)
        if (!variable_matches(&match->variables[i], environment))
            return false;
    return words_match(match, words);
}

/* The index of the first that matches; the count: none does. */
static size_t first_match(const struct command_matches *list, char *const *words,
                          char *const *environment)
{
    size_t i = 0;
    while (i < list->count && !command_matches(&list->at[i], words, environment))
        i++;
    return i;
}

bool command_may_start(const struct command_edge *edge, char *const *words,
                       char *const *environment, struct command_refusal *ret_refusal)
{
    if (!edge->is_judged)
        return true;
    size_t i = first_match(&edge->denied, words, environment);
    if (i < edge->denied.count) {
        const char *reason = edge->denied.at[i].reason;
        refuse(ret_refusal, reason ? reason : "a rule denies these words or variables",
               "%s.invocation_policy.deny[%zu]", edge->place, i);
        return false;
    }
    if (edge->is_allowed || first_match(&edge->allowed, words, environment) < edge->allowed.count)
        return true;
    refuse(ret_refusal, "these words are not among those that may be said",
           "%s.invocation_policy.allow has no rule for them", edge->place);
    return false;
}
