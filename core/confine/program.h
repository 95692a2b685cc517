/* SPDX-License-Identifier: Apache-2.0 */
/* program.h - runs an external command: a program of a third party, under the rules of a plugin but
 * that it may start itself. */
#ifndef NT_CORE_PROGRAM_H
#define NT_CORE_PROGRAM_H

#include "core/confine/confine.h"

/* Starts it with the words of the command, waits, and makes its exit status that of `call`. It gets
 * no credential and, beside the cleaned environment, NANOTERM_COMMAND (the command's path),
 * NANOTERM_PROGRAM (this program) and, when they are on, NANOTERM_JSON=1, NANOTERM_QUIET=1 and
 * NANOTERM_COLOR=1. Arguments as of confine_serve. */
int program_run(const struct confine_options *options, struct nt_call *call, const char *weaker,
                int64_t timeout_ms, struct nt_error *reterr);

#endif
