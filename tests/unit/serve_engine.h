/* SPDX-License-Identifier: Apache-2.0 */
/* serve_engine.h - an engine in memory for tests of the server: workspaces are rows, guests say OK
 * to everything. */
#ifndef NT_TESTS_SERVE_ENGINE_H
#define NT_TESTS_SERVE_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "nanoterm/engine.h"

#define FAKE_MAX 64u

struct fake_engine {
    struct nt_engine_host host;
    struct {
        char id[44];
        uint32_t state; /* NT_WS_* */
    } rows[FAKE_MAX];
    unsigned count;
    int guests[FAKE_MAX]; /* their ends of the streams */
    unsigned guest_count;
    unsigned creates, removes, configures;
    bool fail_create;       /* the next creates fail */
    int64_t create_ms;      /* how long a create takes */
    int64_t list_ms;        /* how long a list takes, whatever its deadline says */
    struct fake_call *late; /* calls in flight */
};

/* The one engine; outlives its being closed, as workspaces do. Only for the thread of the server
 * while that runs. */
extern struct fake_engine fake;
extern const struct nt_engine_ops fake_engine_ops;

void fake_engine_reset(void);
/* Puts a workspace there, as if it had been made by another server. */
void fake_engine_add(const char *id, uint32_t state);
uint32_t fake_engine_state(const char *id);

#endif
