/* SPDX-License-Identifier: Apache-2.0 */
/* verbs.h - the commands of the built-in group `plugin` that have a file of their own. */
#ifndef NT_CORE_PLUGIN_VERBS_H
#define NT_CORE_PLUGIN_VERBS_H

#include "nanoterm/host.h"

int verb_info(struct nt_call *call, struct nt_error *reterr);    /* verb_info.c */
int verb_check(struct nt_call *call, struct nt_error *reterr);   /* verb_check.c */
int verb_new(struct nt_call *call, struct nt_error *reterr);     /* verb_new.c */
int verb_sign(struct nt_call *call, struct nt_error *reterr);    /* verb_sign.c */
int verb_install(struct nt_call *call, struct nt_error *reterr); /* verb_install.c */
int verb_remove(struct nt_call *call, struct nt_error *reterr);  /* verb_install.c */

#endif
