/* SPDX-License-Identifier: Apache-2.0 */
/* last_words.h - what the program wrote to stderr last, for those who guess why it failed.
 *
 * The program gets a pipe as its stderr, and a thread copies from it to the real one. Only where
 * nobody can tell the difference: not on a terminal, and not where stdout and stderr are one file
 * (two ways there would mix lines up). */
#ifndef NT_ENFORCE_LAST_WORDS_H
#define NT_ENFORCE_LAST_WORDS_H

#include <stddef.h>

#define LAST_WORDS_MAX 4096u

struct last_words;

/* Puts a pipe in the place of descriptor 2, until last_words_listen: what is forked meanwhile gets
 * it. NULL: stderr is not one that can be listened to. */
struct last_words *last_words_begin(void);
/* Descriptor 2 is the real one again, and the thread begins. */
void last_words_listen(struct last_words *w);
/* All who have the pipe have ended: waits until the rest is copied. *ret lives until
 * last_words_free. */
size_t last_words_end(struct last_words *w, const char **ret);
void last_words_free(struct last_words *w);

#endif
