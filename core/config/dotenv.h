/* SPDX-License-Identifier: Apache-2.0 */
/* dotenv.h - the .env of the current folder: hostile input.
 *
 * Whoever can put a file into a project can write it. Six names are read from it and nothing else;
 * it never sets an environment variable. Not read at all: a link, anything but a regular file, a
 * file of another user, one that others can write, one of more than 64 KiB. */
#ifndef NT_CORE_DOTENV_H
#define NT_CORE_DOTENV_H

#include <stdbool.h>

#include "sdk/buf.h"

#define DOTENV_NAMES 6

struct dotenv {
    char *values[DOTENV_NAMES];
    char path[1024];   /* for the origin of a setting; "" when there is none */
    char ignored[320]; /* why a file that is there was not read; "" */
};

/* Reads ./.env. Never fails: a file that is not there or not fit gives no values. */
void dotenv_read(struct dotenv *ret);
/* Frees and wipes. */
void dotenv_done(struct dotenv *dotenv);
/* The value of one of the names; NULL: not set or empty. */
const char *dotenv_get(const struct dotenv *dotenv, const char *name);
/* Takes the values out of a text of `size` bytes; for dotenv_read and the tests. */
void dotenv_parse(struct dotenv *dotenv, const char *text, size_t size);

#endif
