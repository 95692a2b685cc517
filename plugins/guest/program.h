/* SPDX-License-Identifier: Apache-2.0 */
/* program.h - a program that was started by EXEC, with its whole tree of processes, until the last
 * of them is gone. */
#ifndef GUEST_PROGRAM_H
#define GUEST_PROGRAM_H

#include <sys/types.h>

#include "plugins/guest/counters.h"
#include "plugins/guest/state.h"

struct job;
struct launch;
struct sidecar;
struct terminal;

/* One of its outputs. */
struct output {
    struct source source;
    int fd;        /* -1: at its end, or never ours */
    bool is_done;  /* nothing more is awaited from it */
    uint16_t type; /* NT_G_STDOUT, NT_G_STDERR */
    /* after the program's end: what it has written until then and is not read yet; -1: it runs */
    int left;
    uint64_t bytes;
};

/* Someone who is told when the tree is gone. */
struct waiter {
    struct waiter *next;
    struct conn *conn;
    struct program *program;
};

struct program {
    struct program *next, *prev;
    pid_t supervisor;
    pid_t pid;  /* of the program; 0 until it has started */
    pid_t born; /* the same, known before it has started */
    struct source control;
    struct source input; /* watched while the pipe is full */
    int in_fd;           /* writing end of its stdin; -1: closed */
    size_t in_at;        /* of the STDIN frame that waits */
    struct output out[2];
    struct conn *conn; /* whose foreground program it is; NULL: nobody's, or it has ended */
    struct conn *feeder;
    struct job *job;
    struct sidecar *side;  /* writes its LOG; NULL: none */
    struct launch *launch; /* while it waits for side; else NULL */
    uint64_t beat_ms;
    struct terminal *terminal; /* NULL: it has none, or has ended */
    struct waiter *waiters;
    struct timer timeout;
    struct timer rescue; /* the supervisor does not obey: it may have been stopped by a program */
    uint64_t timeout_ms;
    struct counters counters; /* when it started */
    uint64_t killed;          /* NT_GR_* of our own kill; 0: none */
    int wait_status;
    bool has_exited; /* wait_status is known */
    bool is_lost;    /* the supervisor was killed */
    bool is_gone;    /* no process of the tree is left */
    bool is_told;    /* its end was announced */
    bool is_failed;  /* it did not start */
    bool is_hung_up; /* its terminal was closed: what does not end is killed */
};

void program_exec(struct conn *c, const struct request *r, const struct nt_g_frame *frame);
/* SIGNAL to the process group. -1: it has ended. */
int program_signal(struct program *p, int signo);
/* Kills the tree; reason is NT_GR_*, 0: nobody will ask. */
void program_kill(struct program *p, uint64_t reason);
/* Answers OK on c when the tree is gone. */
void program_wait_gone(struct program *p, struct conn *c);
/* Writes to its stdin: 1 all taken, 0 the pipe is full (the conn is resumed later). */
int program_feed(struct program *p, struct conn *c, const uint8_t *bytes, size_t size);
void program_close_input(struct program *p);
/* Its terminal was read to the end. */
void program_terminal_done(struct program *p);
/* Who started it in a terminal has gone. */
void program_terminal_lost(struct program *p);
/* As when a line is dropped: SIGHUP, and a moment for the shell to write its history. */
void program_hang_up(struct program *p);

/* For program_begin.c. Room for one more. */
bool programs_have_room(void);
/* Among the others from now on: its supervisor has been started. c is whose foreground it is. */
void program_join(struct program *p, struct conn *c);
/* What its supervisor says (for loop_add). */
void program_hear(struct source *source, uint32_t events);
/* Takes what its outputs hold, after its log file had no room. */
void program_pump(struct program *p);

/* A child that is no helper was reaped. */
void program_reaped(pid_t pid);
unsigned programs_alive(void);
void programs_signal_all(int signo);
void programs_kill_all(void);
/* Kills what lost its supervisor, and so became our own child. */
void programs_sweep_orphans(void);
/* Frees what ended in this turn. */
void programs_sweep(void);

#endif
