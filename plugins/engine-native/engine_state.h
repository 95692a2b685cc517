/* SPDX-License-Identifier: Apache-2.0 */
/* engine_state.h - an opened engine, its workspaces and its calls in flight: shared by engine.c and
 * op.c, loop's thread. */
#ifndef ENGINE_STATE_H
#define ENGINE_STATE_H

#include "limits.h"
#include "native.h"

struct nt_engine_op;

/* One workspace that this engine knows. */
struct space {
    struct nt_engine *engine;
    struct space *next;
    struct meta meta;
    struct nt_engine_op *current; /* at work on it */
    struct nt_engine_op *queue;   /* waiting for current, in order */
    struct nt_watch *pid_watch, *listener_watch;
    struct talk *asking; /* for the listener, after a restart */
    struct limits_strength strength;
    int64_t pid;
    int pidfd, listener;
    bool on_disk, running, damaged;
    char notice[256];
};

struct nt_engine {
    struct nt_engine_host host;
    struct disk disk;
    struct space *spaces;
    struct nt_engine_op *loose; /* calls that wait only for their callback */
    uint32_t refs;              /* workers hold one */
    bool closed;
};

void engine_unref(struct nt_engine *engine);

struct space *space_find(struct nt_engine *engine, const char *id);
struct space *space_new(struct nt_engine *engine, const char *id);
void space_free(struct space *space);
void space_state(const struct space *space, struct nt_engine_state *ret);
/* Takes the listener of the way out and accepts from it. */
void space_listen(struct space *space, int fd);
/* Takes the guest's pidfd and hears of its end. */
int space_watch(struct space *space, int pidfd);

struct nt_engine_op *op_create(struct nt_engine *e, const struct nt_engine_call *call,
                               const struct nt_engine_spec *spec);
struct nt_engine_op *op_start(struct nt_engine *e, const struct nt_engine_call *call,
                              const char *id);
struct nt_engine_op *op_stop(struct nt_engine *e, const struct nt_engine_call *call, const char *id,
                             int64_t grace_ms);
struct nt_engine_op *op_remove(struct nt_engine *e, const struct nt_engine_call *call,
                               const char *id);
struct nt_engine_op *op_inspect(struct nt_engine *e, const struct nt_engine_call *call,
                                const char *id);
struct nt_engine_op *op_list(struct nt_engine *e, const struct nt_engine_call *call,
                             nt_engine_each *each);
struct nt_engine_op *op_keep(struct nt_engine *e, const struct nt_engine_call *call, const char *id,
                             const char *record);
struct nt_engine_op *op_recall(struct nt_engine *e, const struct nt_engine_call *call,
                               const char *id);
void op_cancel(struct nt_engine_op *op);
/* The guest has ended and nobody asked: removes its cgroup, socket and record. */
void op_clear(struct space *space);
/* The guest of op's workspace has ended: true when op was waiting for that or has failed by it. */
bool op_guest_ended(struct nt_engine_op *op);
/* The engine closes: callbacks come now, as unknown. */
void op_close_all(struct space *space);
void op_close_loose(struct nt_engine *engine);

#endif
