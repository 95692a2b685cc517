/* SPDX-License-Identifier: Apache-2.0 */
/* attack.h - one way out of a sandbox, tried: what the files of this program share. */
#ifndef NT_ATTACK_H
#define NT_ATTACK_H

#include <stdint.h>
#include <sys/types.h>

/* How it went. */
#define THROUGH 0 /* the sandbox is broken */
#define REFUSED 1
#define NOTHING 3 /* cannot be tried here, with or without a sandbox: proves nothing */

/* What is given in the environment: see test_enforce_attacks.py. */
struct target {
    const char *inside;   /* ATTACK_INSIDE: the granted folder */
    const char *outside;  /* ATTACK_OUTSIDE: another one, with a file "secret" */
    pid_t pid;            /* ATTACK_PID: a process outside */
    uint16_t port;        /* ATTACK_PORT: somebody outside listens there, TCP and UDP */
    const char *abstract; /* ATTACK_ABSTRACT: name of a stream socket that somebody listens on */
    const char
        *local; /* ATTACK_LOCAL: path of a stream socket; .datagram behind it: one of those */
};

struct attack {
    const char *name;
    int (*run)(const struct target *t);
};

/* Each ends with a row without a name. */
extern const struct attack file_attacks[], owner_attacks[], process_attacks[], network_attacks[],
    kernel_attacks[];

/* "FOLDER/NAME", in one of a few buffers that are used in turn. */
const char *path_in(const char *folder, const char *name);
/* Opens it; closes it again. THROUGH when that worked. */
int try_open(const char *path, int flags);
/* THROUGH when R is not negative. */
int through_if(long r);

#endif
