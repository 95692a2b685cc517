/* SPDX-License-Identifier: Apache-2.0 */
/* call_state.h - what stands behind a struct nt_call; for call.c and host.c only. */
#ifndef NT_CORE_CALL_STATE_H
#define NT_CORE_CALL_STATE_H

#include "core/cli/call.h"

/* An answer of the person; lives as long as the command. */
struct answer {
    struct answer *next;
    char text[];
};

struct call {
    struct nt_call head; /* first: a plugin holds its address */
    struct call_options options;
    struct api *api;  /* made when first asked for */
    int64_t begun_ms; /* CLOCK_MONOTONIC */
    struct answer *answers;
    uint32_t status, by;
    bool has_status;
    uint32_t limits; /* NT_LIMIT_* */
    bool is_debug;
};

struct call *call_of(struct nt_call *call);
/* Milliseconds left of what the command may take; 0: none, -1: there is no end. */
int64_t call_left_ms(const struct call *call);

#endif
