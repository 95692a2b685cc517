/* SPDX-License-Identifier: Apache-2.0 */
/* exec_limits.h - the limits that a failed program ran into, as the wire names them. */
#ifndef NT_WS_EXEC_LIMITS_H
#define NT_WS_EXEC_LIMITS_H

#include <jansson.h>
#include <stdint.h>

/* A list of words of the wire as NT_GH_* of guest.h; unknown ones are skipped. */
uint64_t exec_hits_of(const json_t *words);

#endif
