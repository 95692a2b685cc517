/* SPDX-License-Identifier: Apache-2.0 */
/* command_policies.h - commands that run in sandboxes of their own: what a profile says of each,
 * and whether a caller may start one with these words.
 *
 * All of it belongs to the memory of the profile or policy that it was read for. */
#ifndef NT_ENFORCE_POLICY_COMMAND_POLICIES_H
#define NT_ENFORCE_POLICY_COMMAND_POLICIES_H

#include "plugins/sandbox-enforce/policy/profile.h"

/* The caller of what the program itself starts. */
#define COMMAND_SESSION "session"
#define COMMANDS_MAX 128u

struct command_variable {
    const char *name;
    struct policy_texts values; /* one of them */
};

enum command_words { COMMAND_ANY, COMMAND_EXACT, COMMAND_PREFIX, COMMAND_CONTAINS };

/* Words and variables of a start; both must be as it says. */
struct command_match {
    enum command_words how;
    struct policy_texts words; /* behind the name; CONTAINS: side by side */
    struct command_variable *variables;
    size_t variable_count;
    const char *reason; /* NULL: none */
};

struct command_matches {
    struct command_match *at;
    size_t count;
};

/* What a caller may have of a command. */
struct command_edge {
    const char *caller;
    const char *place;       /* in the profile: "command_policies.commands.git.from.session" */
    struct profile *sandbox; /* over `default`; NULL: the caller may not start it */
    struct policy_texts prepended; /* words in front of those that it was given */
    struct policy_texts passed;    /* variables of the program's that it gets; NAME or PREFIX_* */
    bool is_judged;                /* there is an invocation_policy */
    bool is_allowed;               /* what neither list names */
    struct command_matches denied, allowed;
};

struct command_intercept {
    struct command_match match;
    const char *text;            /* is printed in its place */
    struct policy_texts program; /* is started in its place; neither: the command itself */
};

struct command {
    const char *name;
    const char *executable; /* NULL: found by its name */
    const char *sha256;     /* lower case; NULL: any */
    struct policy_texts can_use, exported;
    struct command_edge *edges;
    size_t edge_count;
    struct command_intercept *intercepts;
    size_t intercept_count;
};

struct command_policies {
    struct policy_texts folders;  /* searched behind PATH */
    struct policy_texts exported; /* of the session */
    struct command *commands;
    size_t count;
    /* Paths of groups that `default` grants and that led elsewhere when the session began: there */
    struct policy_texts linked, leads_to;
    const char *text; /* as it stands in the profile, JSON without comments */
};

/* NULL: there is none. */
const struct command *command_find_by_name(const struct command_policies *policies,
                                           const char *name, size_t size);
/* Why a command is not started, for the person: in words, and what of the profile says so. */
struct command_refusal {
    const char *why;
    char rule[256];
};

/* What CALLER may have of it; NULL: nothing. */
const struct command_edge *command_edge_of(const struct command_policies *policies,
                                           const struct command *command, const char *caller,
                                           struct command_refusal *ret_refusal);
/* Whether NAME of "NAME=value" stands in the list: exactly, or beneath a "PREFIX*". */
bool command_passes(const struct policy_texts *list, const char *entry);

/* WORDS without the name and ENVIRONMENT (NAME=value) end with NULL. */
bool command_matches(const struct command_match *match, char *const *words,
                     char *const *environment);
/* Whether the invocation_policy lets it through. */
bool command_may_start(const struct command_edge *edge, char *const *words,
                       char *const *environment, struct command_refusal *ret_refusal);

#endif
