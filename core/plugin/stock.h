/* SPDX-License-Identifier: Apache-2.0 */
/* stock.h - which package has which of our plugins, and which word of the command line is whose:
 * so that a command that is not installed can be named. Written by the build, read when a command
 * was not found; no plugin is opened for it. */
#ifndef NT_CORE_PLUGIN_STOCK_H
#define NT_CORE_PLUGIN_STOCK_H

#include <stdbool.h>

#include "nanoterm/error.h"
#include "sdk/buf.h"

/* One line of the file: "WORD PLUGIN PACKAGE". A plugin's own name is one of its words. */
struct stock {
    char plugin[64];
    char package[96];
};

/* Reads a file of such lines; nothing is added when it cannot be read or is too large. */
void stock_read(const char *file, struct nt_buf *ret);
/* The line of a word; false: there is none. */
bool stock_find(const char *text, const char *word, struct stock *ret);
/* After a command was not found: -1 with NT_E_PLUGIN_MISSING when the first word of path is that of
 * a plugin of ours, else 0. file: NULL: the installation's. */
int stock_check(const char *file, const char *path, struct nt_error *reterr);

#endif
