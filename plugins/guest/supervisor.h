/* SPDX-License-Identifier: Apache-2.0 */
/* supervisor.h - one process per program: starts it, tells its exact status, and never loses a
 * descendant. */
#ifndef GUEST_SUPERVISOR_H
#define GUEST_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

struct supervisor_plan {
    char *const *argv;
    char *const *argv_else; /* when that one is not there; NULL: none */
    char *const *env;
    const char *cwd;
    int fds[3];                 /* become 0, 1, 2 of the program */
    const struct rlimit *files; /* RLIMIT_NOFILE of the program */
    int control;                /* SOCK_SEQPACKET to the guest */
    bool is_terminal;           /* 0 is its controlling terminal */
};

/* One packet, either way. */
struct supervisor_message {
    uint32_t kind;
    int32_t value;
};

enum {
    /* To the guest. Its end of file: no process of the tree is left. */
    SUPERVISOR_STARTED = 1, /* value: pid */
    SUPERVISOR_NO_EXEC = 2, /* value: errno */
    SUPERVISOR_NO_CWD = 3,  /* value: errno */
    SUPERVISOR_NO_FORK = 4, /* value: errno */
    SUPERVISOR_EXITED = 5,  /* value: as of waitpid */
    SUPERVISOR_BORN = 6,    /* value: pid of the process that will be the program, before it is */
    /* To the supervisor. */
    SUPERVISOR_KILL = 16,   /* all of the tree; the guest's end of file does the same */
    SUPERVISOR_SIGNAL = 17, /* value: to the process group of the program */
    SUPERVISOR_ALL = 18,    /* value: a signal to each process of the tree */
};

/* Forks. Returns the pid of the supervisor, or -1. */
pid_t supervisor_start(const struct supervisor_plan *plan);

#endif
