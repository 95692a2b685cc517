/* SPDX-License-Identifier: Apache-2.0 */
/* rules.h - what the process of a third party may do: the library sandbox-enforce, told what a
 * declaration allows and what any C program needs. */
#ifndef NT_CORE_RULES_H
#define NT_CORE_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nanoterm/plugin.h"

/* The setting plugin.weaker, where no settings are read. */
#define RULES_WEAKER_VARIABLE "NANOTERM_PLUGIN_WEAKER"
#define RULES_KEEP_MAX 4u

struct rules {
    const struct nt_table *needs; /* rows of struct nt_need; NULL: none */
    int file;                     /* the plugin or program itself; -1: none */
    bool is_program;              /* the file is executed, not loaded */
    int keep[RULES_KEEP_MAX];     /* descriptors that stay open, beside 0, 1 and 2 */
    size_t keep_count;
    /* Names of layers that may be missing where the kernel does not have them, separated by commas
     * (the setting plugin.weaker); NULL or "": none. */
    const char *weaker;
};

/* Confines this process for good. NT_E_UNAVAILABLE names the layer that cannot be had and what to
 * do; the process must then end. Cleans the environment, too. One thread; allocates. */
int rules_enter(const struct rules *rules, struct nt_error *reterr);

/* Removes what no third party shall see from the environment, and overwrites it where it lies but
 * for the `spare_count` texts in `spares`, which options of the command were given from there:
 * - the credentials of nanoterm (needs.h) and all names with a word between underscores that is
 * KEY, APIKEY, AUTH, DSN, PASS or PAT, or begins with TOKEN, SECRET, PASSWORD, PASSWD, PASSPHRASE,
 *   CREDENTIAL, COOKIE or SESSION (what tells of a desktop's session stays);
 * - values that hold a URL with a user in it;
 * - what makes a loader, a shell or an interpreter run other code (enforce.h). */
void rules_clean_environment(const char *const *spares, size_t spare_count);
/* The rule alone. ENTRY is "NAME" or "NAME=value". */
bool rules_is_secret(const char *entry);
/* true: the list of the setting plugin.weaker knows all its words. */
bool rules_are_layers(const char *list);

#endif
