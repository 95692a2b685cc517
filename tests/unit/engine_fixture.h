/* SPDX-License-Identifier: Apache-2.0 */
/* engine_fixture.h - an opened engine in a temporary folder, and waiting forms of its calls. */
#ifndef TEST_ENGINE_FIXTURE_H
#define TEST_ENGINE_FIXTURE_H

#include <stdbool.h>

#include "nanoterm/engine.h"

struct fixture {
    char folder[64], data[80], libexec[80];
    struct nt_loop *loop;
    const struct nt_engine_ops *ops;
    struct nt_engine *engine;
    struct nt_engine_host host;
    char stopped[44]; /* id of the last STOPPED event */
    char reason[32];
    bool has_stopped;
    int accepted; /* descriptor of the last way-out connection; -1 */
    bool has_accepted;
};

/* 0; 77 with a line on stderr: workspaces cannot be made here. */
int fixture_make(struct fixture *f);
void fixture_open(struct fixture *f);
void fixture_close(struct fixture *f);
/* Closes and removes all; fails the test when something of a workspace is left. */
void fixture_end(struct fixture *f);

struct outcome {
    bool done;
    uint32_t outcome;
    struct nt_error error;
    struct nt_engine_state state;
};

void fixture_create(struct fixture *f, const char *id, const char *image, uint32_t flags,
                    struct outcome *ret);
/* The same without waiting. */
struct nt_engine_op *fixture_begin(struct fixture *f, const char *id, struct outcome *ret);
void fixture_call(struct fixture *f, char what, const char *id,
                  struct outcome *ret); /* s)tart, p: stop, r, i */
/* A connection to the guest, blocking with a time limit; fails the test. */
int fixture_connect(struct fixture *f, const char *id);
/* Runs /bin/sh -c script inside: exit status, output in memory (NUL-terminated). */
int fixture_sh(struct fixture *f, const char *id, const char *script, char *ret, size_t size);

#endif
