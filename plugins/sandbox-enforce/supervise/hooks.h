/* SPDX-License-Identifier: Apache-2.0 */
/* hooks.h - session_hooks: scripts of the person's own that run outside of the sandbox, before the
 * program starts and when it has ended. Who may write such a script or choose it is as good as
 * outside, so what is executed is what was checked, by its descriptor. */
#ifndef NT_ENFORCE_HOOKS_H
#define NT_ENFORCE_HOOKS_H

#include "nanoterm/host.h"
#include "plugins/sandbox-enforce/policy/policy.h"

#define HOOKS_LINES_MAX 1024u

struct hooks {
    const struct policy *policy;
    struct nt_call *call;
    bool is_silent;
    int scripts[POLICY_HOOKS]; /* O_PATH; -1: there is none */
    char *path;                /* PATH=…, of theirs; malloc'ed */
    char session[17];
    /* What the script before said for the program's environment, NAME=value: malloc'ed, each too.
     * Not filtered. */
    char **lines;
    size_t line_count;
};

/* Opens and checks the scripts of the policy; *ret stays NULL when it has none. ENFORCE_E_PROFILE
 * says what is wrong with one: nothing has run then. */
int hooks_open(const struct policy *policy, struct nt_call *call, bool is_silent,
               const char *session, struct hooks **ret, struct nt_error *reterr);
/* Runs the script before the program and takes its lines; that it fails is a warning. -1: the
 * person gave up (NT_E_CANCELLED), the time of the command is over (NT_E_TIMEOUT), or there is no
 * place for its lines: nothing shall start. For a process of one thread. */
int hooks_before(struct hooks *hooks, struct nt_error *reterr);
/* Runs the script after a program that ended with STATUS (128+n: by a signal). What goes wrong is a
 * warning. */
void hooks_after(struct hooks *hooks, int status);
void hooks_free(struct hooks *hooks);
/* A line for the person. */
void hooks_warn(const struct hooks *hooks, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
