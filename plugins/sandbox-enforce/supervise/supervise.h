/* SPDX-License-Identifier: Apache-2.0 */
/* supervise.h - starts a program under a policy and stays with it: the only place that knows in
 * which process what happens.
 *
 *   supervisor   the command itself: unconfined, not dumpable; waits, forwards signals, answers the
 *                notifications, holds the proxy, tells what was denied
 *     keeper     first process inside (PID 1 of a PID namespace where there is one, else a
 *                subreaper): made with the namespaces, ends all that is left when the program or
 *                the supervisor ends, even by SIGKILL
 *       program  enters the layers, verifies each, then execve
 *
 *   hooks        session_hooks of a profile: scripts of the person's own before and after the
 *                program, children of the supervisor and as unconfined (hooks.h)
 *
 * `wrap` is the program's part alone, in the calling process. */
#ifndef NT_ENFORCE_SUPERVISE_H
#define NT_ENFORCE_SUPERVISE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "nanoterm/error.h"
#include "nanoterm/host.h"
#include "plugins/sandbox-enforce/explain/denials.h"
#include "plugins/sandbox-enforce/policy/policy.h"

/* What keeps the program from what, decided before it starts and printed by --dry-run and --json.
 * One row per forbidden act. */
struct supervise_row {
    const char *act;   /* "read outside the grants", "connect by TCP", … */
    const char *layer; /* "landlock", "seccomp", "namespace", "notification", "proxy", "mount" */
    const char *rule;  /* what exactly; static */
};

/* Layers of the start that --accept-weaker can name, besides those of enforce.h. */
#define SUPERVISE_WEAKER_NAMESPACES "namespaces"
#define SUPERVISE_WEAKER_NOTIFICATION "notification"
#define SUPERVISE_WEAKER_PATTERNS "patterns" /* hold only for files that are there at the start */

struct mediate;

struct supervise_options {
    struct nt_call *call; /* for messages */
    const struct policy *policy;
    char *const *argv;         /* the program and its words */
    const char *const *weaker; /* names of --accept-weaker */
    size_t weaker_count;
    /* For a command that another one asked for (mediate/); zero of a person's own. */
    const char *executable;        /* what is executed, in place of argv[0] */
    char *const *environment;      /* in place of this process's */
    const struct mediate *mediate; /* the files of commands, as they were found for the session */
    int channel, leash;            /* bytes that are signals; hung up, either ends it. Above 2 */
    pid_t group;                   /* the process group of who asked: the program joins it */
    uint32_t ignored, mask;        /* signals (1 << number), and of the modes of new files */
    bool is_wrap, is_shell;
    bool is_diagnosed; /* calls on files are looked at, too */
    bool is_explained; /* what the program says last is searched for denials */
    bool is_silent;    /* no warnings */
    bool is_trial; /* nothing will be started: what is missing is found by trying, not by a start */
};

struct supervise;

/* Decides what the sandbox consists of. Starts nothing but, with is_trial, a child that ends at
 * once; changes nothing. What the policy needs and this machine does not have is
 * ENFORCE_E_UNAVAILABLE with the part and the remedy: from here (is_trial, wrap), else from
 * supervise_run, which finds out by doing it. */
int supervise_plan(const struct supervise_options *options, struct supervise **ret,
                   struct nt_error *reterr);
/* Before a run by trying, after it as it was. Valid until the next call. */
const struct supervise_row *supervise_rows(struct supervise *s, size_t *ret_count);

/* Runs it. *ret_status is the program's (128+n for signals; 126, 127). denials gets what was seen.
 * Waits; the main thread's. -1: the program never ran. */
int supervise_run(struct supervise *s, struct denials *denials, int *ret_status,
                  struct nt_error *reterr);
/* After it: the program was executed. Else a message has said why it was not. */
bool supervise_has_run(const struct supervise *s);
/* wrap: replaces this process. Returns only with an error. */
int supervise_wrap(struct supervise *s, struct nt_error *reterr);
void supervise_free(struct supervise *s);

#endif
