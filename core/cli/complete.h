/* SPDX-License-Identifier: Apache-2.0 */
/* complete.h - what could stand where the cursor is: the half of completion that every shell
 * shares.
 *
 * Made from the tables alone: no plugin is opened. Ids of workspaces come from the server, when one
 * runs, through a callback. Makes text, writes nothing. */
#ifndef NT_CORE_COMPLETE_H
#define NT_CORE_COMPLETE_H

#include "core/cli/tree.h"

/* What only others know. Members may be NULL. */
struct complete_source {
    /* Calls add for each value of a kind ("ws.ids"), in any order. `first` is the first argument of
     * the command, of which the values may be ("job.ids": of that workspace); NULL: none yet. */
    void (*values)(void *data, const char *kind, const char *first,
                   void (*add)(void *to, const char *value, const char *note), void *to);
    void *data;
};

/**
 * Adds a line for each candidate that begins with the last word: the word, a tab, a note (may be
 * empty). A single line ":files" or ":dirs" instead: the shell completes a path itself; nothing:
 * there is nothing to offer.
 *
 * @param words  as typed, without the program's name; the last one is the one to complete, "" where
 *               none was begun
 */
void complete_add(struct nt_buf *b, const struct tree *tree, int count, char *const *words,
                  const struct complete_source *source);

/* Splits a line as a POSIX shell does, as far as completion needs it: quotes and backslashes. The
 * last word is what stands at the end, "" behind a space. Returns how many; *ret and *ret_text are
 * freed by the caller. -1: out of memory. */
int complete_split(const char *line, char ***ret, char **ret_text);

/* Adds the script of a shell ("bash", "zsh", "fish"), which completes `program` and asks it under
 * that name. False: not one of these. */
bool complete_add_script(struct nt_buf *b, const char *shell, const char *program);

#endif
