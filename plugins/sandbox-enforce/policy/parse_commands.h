/* SPDX-License-Identifier: Apache-2.0 */
/* parse_commands.h - what the readers of command_policies share: parse_commands.c reads the whole,
 * parse_command_rules.c what starts are judged by, parse_command_sandbox.c what a command has. */
#ifndef NT_ENFORCE_POLICY_PARSE_COMMANDS_H
#define NT_ENFORCE_POLICY_PARSE_COMMANDS_H

#include "plugins/sandbox-enforce/policy/command_policies.h"
#include "plugins/sandbox-enforce/policy/parse.h"

#define NOBODY_APPROVES "nobody can be asked yet: write it under deny or under allow"

struct commands_parser {
    struct parser *p;
    struct command_policies *into;
    const json_t *credentials; /* command_policies.credentials */
};

/* What is done with a key that this room has no value for. */
enum other {
    OTHER_REFUSED, /* unless it says nothing: null, false, [] or {} */
    OTHER_IDLE,    /* has no effect here: a warning */
    OTHER_SILENT,  /* is so here in any case */
};
struct other_key {
    const char *name;
    enum other what;
    const char *why;
};

/* null, false, [] or {}. */
bool commands_is_nothing(const json_t *value);
/* A key of those rows, which end with no name; false: there is no such. */
bool commands_take_other(struct parser *p, const struct other_key *rows, const char *path,
                         const char *name, const json_t *value);
/* "PATH.NAME" */
const char *commands_below(struct parser *p, const char *path, const char *name);
/* false with an error when it is none. */
bool commands_is_object(struct parser *p, const char *path, const json_t *value);
bool commands_is_name(const char *name);
/* Words of a command line: each as often as it stands there, empty ones too. */
void commands_read_words(struct parser *p, const char *path, const json_t *value,
                         struct policy_texts *ret);

/* --- parse_command_rules.c ----------------------------------------------------------------- */

void commands_read_invocation(struct parser *p, const char *path, const json_t *object,
                              struct command_edge *ret);
void commands_read_intercepts(struct parser *p, const char *path, const json_t *value,
                              struct command *into);

/* --- parse_command_sandbox.c --------------------------------------------------------------- */

void commands_read_sandbox(const struct commands_parser *c, const char *path, const json_t *object,
                           struct command_edge *ret);
/* Names of variables that may be let in. */
void commands_read_passed(struct parser *p, const char *path, const json_t *value,
                          struct policy_texts *ret);
/* Also of those that no sandbox names: what is not built is refused in any case. */
void commands_check_credentials(const struct commands_parser *c, const char *path);

#endif
