/* SPDX-License-Identifier: Apache-2.0 */
/* parse.h - words to a command with its values, by the tables alone.
 *
 * GNU rules: `--name value`, `--name=value`, `-n value`, `-nvalue`, `-ab`, `--no-FLAG`, options
 * before or behind positionals, `--` ends options. Names are never abbreviated: a script must not
 * change its meaning when a new option begins with the same letters. */
#ifndef NT_CORE_PARSE_H
#define NT_CORE_PARSE_H

#include "core/cli/globals.h"
#include "core/cli/tree.h"

/* The values of one argument or option. */
struct slot {
    const struct nt_opt *opt; /* one of the two is set */
    const struct nt_arg *arg;
    const char **texts; /* borrowed words; at least `count` */
    uint32_t count;
    uint32_t words; /* how many of them stood on the command line */
    int64_t number; /* of the first; flags: 0 or 1 */
    bool is_given;  /* by words or environment */
};

enum parsed_what {
    PARSED_RUN,
    PARSED_HELP, /* of `command`, or of the group `path`; "" is the whole tree */
    PARSED_VERSION,
};

struct parsed {
    enum parsed_what what;
    char path[TREE_PATH_MAX]; /* the words that were understood: the spelling that the user chose */
    const struct nt_command *command;
    struct globals globals;
    struct slot *slots; /* arguments first, then options, in the order of the tables */
    uint32_t slot_count;
    const char **texts; /* behind all slots */
};

/* Understands argv[1..]; the words are borrowed. Errors: NT_E_USAGE, NT_E_PLUGIN_MISSING, with a
 * hint. */
int parse_words(const struct tree *tree, int argc, char *const *argv, struct parsed *ret,
                struct nt_error *reterr);
void parsed_done(struct parsed *parsed);
/* By the name in the table; an argument wins over an option of the same name. NULL: none. */
const struct slot *parsed_slot(const struct parsed *parsed, const char *name);

#endif
