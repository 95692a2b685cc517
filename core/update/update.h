/* SPDX-License-Identifier: Apache-2.0 */
/* update.h - the daily, detached check for a newer version, and the line that tells of it. */
#ifndef NT_CORE_UPDATE_H
#define NT_CORE_UPDATE_H

#include <stdbool.h>
#include <stdint.h>

/* The names of one personality (NT_AS_*). */
struct update_names {
    const char *program;
    const char *off;   /* environment variable that switches it off */
    const char *url;   /* environment variable: where to ask */
    const char *state; /* name of the file of state */
    /* package that npm's registry is asked for; NULL: without a URL nobody is asked */
    const char *package;
    const char *hint;
    bool off_when_empty; /* it does with an empty value, too */
};

/* NULL: this personality has no check. */
const struct update_names *update_names(uint32_t personality);

/* After a command of this version, with its NT_CALL_* flags: on a terminal only; never waits for
 * the network. */
void update_after(uint32_t personality, uint32_t flags, const char *version);

/* The detached process: asks and notes the answer. Its exit status says nothing to anyone. */
void update_work(uint32_t personality);

#endif
