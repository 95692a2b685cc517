/* SPDX-License-Identifier: Apache-2.0 */
/* expand.h - the folders that texts of profiles mean, and the texts made into paths. */
#ifndef NT_ENFORCE_POLICY_EXPAND_H
#define NT_ENFORCE_POLICY_EXPAND_H

#include "nanoterm/error.h"
#include "plugins/sandbox-enforce/policy/memory.h"

/* All absolute; found once, from the environment and the table of users. */
struct places {
    const char *home; /* canonical */
    const char *workdir;
    const char *tmpdir;
    const char *uid;
    const char *config, *data, *state, *cache, *runtime; /* XDG */
};

/* NT_E_CONFIG: there is no home folder. workdir is the caller's to set. */
int places_find(struct memory *m, struct places *ret, struct nt_error *reterr);

/* TEXT with ~, $HOME, $WORKDIR, $TMPDIR, $UID, $XDG_…, $NONO_CONFIG, $NONO_PACKAGES and other
 * variables of the environment put in ("$NAME" or "${NAME}"). NULL: a variable is not set (its name
 * in *ret_missing), or out of memory (*ret_missing NULL). */
const char *expand(struct memory *m, const struct places *places, const char *text,
                   const char **ret_missing);

/* Only a leading "~": for what was typed, where the shell has done the rest. */
const char *expand_home(struct memory *m, const struct places *places, const char *text);

#endif
