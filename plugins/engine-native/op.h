/* SPDX-License-Identifier: Apache-2.0 */
/* op.h - one call in flight, shared by calls.c (how it comes in and is queued) and op.c (what it
 * does). */
#ifndef ENGINE_OP_H
#define ENGINE_OP_H

#include "engine_state.h"

enum kind {
    CREATE,
    START,
    STOP,
    REMOVE,
    INSPECT,
    LIST,
    KEEP,
    RECALL,
    CLEAR /* our own: what a guest that ended has left */
};
enum phase {
    WAITING,   /* in a queue, or for its first turn */
    PREPARING, /* worker: folder, image, launcher */
    LAUNCHING, /* reports and the guest's 'R' */
    ENDING,    /* the guest was asked or killed */
    CLEANING,  /* worker: what is left is forgotten or removed; or a record is at work */
};

struct nt_engine_op {
    struct nt_engine *engine;
    struct space *space; /* NULL: loose */
    struct nt_engine_op *next;
    const struct nt_loop_ops *loop_ops;
    struct nt_loop *loop;
    nt_engine_done *done;
    void *data;
    nt_engine_each *each;
    enum kind kind;
    enum phase phase;
    bool reported;  /* the callback has come */
    bool abandoned; /* cancelled or late: undo what can be undone */
    bool undo;      /* CLEANING removes the workspace's folder */
    bool made;      /* this call made the folder */
    bool is_running, is_ready;
    struct nt_error error; /* code 0: fine so far */
    struct nt_timer *soon, *deadline, *kill_timer;
    struct nt_watch *report_watch, *ready_watch, *launcher_watch;
    struct talk *talk;
    int launcher_fd, listener;
    struct launched launched;
    struct limits_strength strength;
    int64_t grace_ms;
    char key[132];
    char id[44];
    /* The worker's: only it touches these while the phase is PREPARING or CLEANING. */
    struct meta meta;
    struct image image;
    struct nt_error work_error;
    bool work_failed, is_new;
    char notice[256];
    char *record; /* CREATE and KEEP: to write; RECALL: what was read; NULL: none */
    int64_t begun_ms, prepared_ms;
};

/* The callback, once; outcome of a failure: NT_OP_FAILED when proven. */
void op_report(struct nt_engine_op *op, uint32_t outcome, const struct nt_error *error);
/* Keeps the first error. */
void op_fail(struct nt_engine_op *op, uint32_t code, const char *message);
/* Ends a timer and forgets it. */
void op_end_timer(struct nt_engine_op *op, struct nt_timer **timer);
/* Gives the workspace to the first of its queue, when it is free. */
void op_begin(struct space *space);
void op_on_deadline(void *data);
void op_free(struct nt_engine_op *op);

#endif
