/* SPDX-License-Identifier: Apache-2.0 */
/* launch.h - from an EXEC request to arguments, environment and pipes. */
#ifndef GUEST_LAUNCH_H
#define GUEST_LAUNCH_H

#include "plugins/guest/program.h"

/* What a program is started with; freed by launch_done. */
struct launch {
    char **argv;
    char **env;
    char *text;             /* argv and the entries of env live in it */
    char *const *argv_else; /* as in supervisor_plan */
    const char *cwd;
    int child[3]; /* its ends; -1: not made yet */
    int own[3];   /* ours */
};

/* Reads the request. Answers the error itself: -1. */
int launch_read(struct launch *l, struct conn *c, const struct request *r,
                const struct nt_g_frame *frame);
char *const *launch_argv(const struct launch *l);
/* Makes pipes, or takes and checks the descriptors that came. Answers the error itself: -1. */
int launch_streams(struct launch *l, struct conn *c, uint64_t flags);
/* The same for NT_GX_TTY, with its terminal. */
struct terminal *launch_terminal(struct launch *l, struct conn *c, const struct request *r);
void launch_done(struct launch *l);

#endif
