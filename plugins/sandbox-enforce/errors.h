/* SPDX-License-Identifier: Apache-2.0 */
/* errors.h - the errors of this plugin; their rows stand in sandbox_enforce.c. */
#ifndef NT_ENFORCE_ERRORS_H
#define NT_ENFORCE_ERRORS_H

#include "nanoterm/error.h"

enum {
    /* A protection that was asked for cannot be had: the message names it, the hint its remedy. */
    ENFORCE_E_UNAVAILABLE = NT_E_PLUGIN_FIRST, /* enforce.sandbox_unavailable */
    ENFORCE_E_PROTECTED,                       /* a grant that opens what a group denies */
    ENFORCE_E_PROFILE,    /* unknown, broken or forbidden profile, group, service */
    ENFORCE_E_CREDENTIAL, /* a secret that cannot be read, or a target that is refused */
    ENFORCE_E_COMMAND,    /* the program is not there */
    ENFORCE_E_CAP_FILE,   /* NONO_CAP_FILE is not what nanoterm wrote */
    ENFORCE_E_NOT_BUILT,  /* part of a later version: sessions, audit, rollback, trust */
    ENFORCE_E_TRACE,      /* strace is missing or failed */
    ENFORCE_E_REFUSED,    /* the program is not executable, or its name is blocked */
};

#endif
