/* SPDX-License-Identifier: Apache-2.0 */
/* hook.h - what the files of hooks.c share: one script, checked and run, and the file that it
 * writes its lines to. */
#ifndef NT_ENFORCE_HOOK_H
#define NT_ENFORCE_HOOK_H

#include <limits.h>
#include <signal.h>
#include <stdint.h>

#include "plugins/sandbox-enforce/supervise/hooks.h"

/* --- hook_run.c ---------------------------------------------------------------------------- */

/* Signals that end a script instead of us. */
struct hook_signals {
    sigset_t old;
    int fd; /* signalfd */
};
int hook_signals_block(struct hook_signals *ret, struct nt_error *reterr);
/* What came meanwhile and was not read is delivered now. */
void hook_signals_unblock(struct hook_signals *signals);

/* The process that is started. */
struct hook_start {
    int script, folder;
    const char *path; /* its first word */
    char **environment;
    int64_t timeout_ms;   /* -1: none */
    struct nt_call *call; /* its deadline counts; NULL: none does */
    const struct hook_signals *signals;
};

enum hook_outcome {
    HOOK_ENDED,       /* by itself: status */
    HOOK_LATE,        /* its time is over */
    HOOK_CALL_LATE,   /* the command's is */
    HOOK_INTERRUPTED, /* by a signal to us */
    HOOK_NOT_STARTED, /* errno in status */
};

/* Runs it and waits. What it has left running stays, unless it was ended by us: then its group goes
 * with it. *ret_status: 128+n for signals. */
enum hook_outcome hook_run(const struct hook_start *start, int *ret_status);

/* --- hook_file.c --------------------------------------------------------------------------- */

#define HOOK_FILE_MAX (64u * 1024)

/* A file that its maker alone can reach, in a folder that no sandbox opens. */
struct hook_file {
    int folder, fd;
    unsigned made; /* so many folders at the end of its path were made for it */
    char path[PATH_MAX];
};
int hook_file_make(const char *folder, struct hook_file *ret, struct nt_error *reterr);
/* What was written to the very file that was made, malloc'ed; it is no text. NULL: there is
 * nothing, and *ret_why says what is wrong, or is NULL. */
char *hook_file_read(const struct hook_file *file, size_t *ret_size, const char **ret_why);
/* Removes it, and the folders that were made for it. */
void hook_file_remove(struct hook_file *file);

#endif
