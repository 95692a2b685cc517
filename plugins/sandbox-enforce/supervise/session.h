/* SPDX-License-Identifier: Apache-2.0 */
/* session.h - one program that runs inside, from its start to its end: what the supervisor waits
 * for, in one loop. */
#ifndef NT_ENFORCE_SESSION_H
#define NT_ENFORCE_SESSION_H

#include "inner.h"
#include "plugins/sandbox-enforce/explain/kernel_audit.h"
#include "plugins/sandbox-enforce/supervise/last_words.h"

struct session {
    struct supervise *s;
    struct denials *denials;
    struct enforce layers; /* of the program; the supervisor's copy is closed after the fork */

    pid_t keeper, program; /* the program: 0 until it has said something */
    int pidfd;             /* of the keeper */
    int socket;            /* to the keeper and the program */
    int signals;           /* signalfd */
    int go;                /* write end */
    sigset_t old_signals;
    bool has_old_signals;

    /* The terminal, where the program shall have it. */
    int terminal; /* 0, 1 or 2; -1: none */
    struct termios modes;
    bool has_modes;

    struct notify *notify;
    struct last_words *words;   /* NULL: stderr is not listened to */
    struct kernel_audit *audit; /* NULL: the kernel tells nothing */
    struct proxy *proxy;

    bool is_joined; /* the program is in the group of who asked for it */
    bool is_let_go; /* nothing is between the program and its start any more */
    bool is_ended;
    int status; /* wait status of the program */
    bool has_failed;
    struct inside_message failure;
    bool is_late; /* the deadline of the command ended it */
};

/* Starts the program and waits for its end. *ret_busy: an outer sandbox has the one listener that
 * there can be; nothing ran. */
int session_run(struct supervise *s, struct denials *denials, int *ret_status, bool *ret_busy,
                struct nt_error *reterr);

/* --- session_signals.c --------------------------------------------------------------------- */

int session_block_signals(struct session *session, struct nt_error *reterr);
void session_unblock_signals(struct session *session);
void session_find_terminal(struct session *session);
/* The program has ended: the terminal is ours again, as it was. */
void session_take_terminal(struct session *session, bool restore_modes);
/* What a signal means: forwarded, or the terminal handed on after `fg`. */
void session_on_signals(struct session *session);
/* The program was stopped by SIGNAL: so are we, until somebody continues us. */
void session_on_stop(struct session *session, int signal);
void session_tell(struct session *session, enum inside_kind kind, int value);

#endif
