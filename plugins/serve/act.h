/* SPDX-License-Identifier: Apache-2.0 */
/* act.h - one thing that is done to one workspace: intent on the disk, act of the engine, outcome
 * on the disk.
 *
 * One act per workspace at a time; others are refused (sandbox_not_ready) until it has ended. An
 * act goes on when the client that asked for it is gone. */
#ifndef NT_SERVE_ACT_H
#define NT_SERVE_ACT_H

#include "plugins/serve/server.h"
#include "plugins/serve/store/store.h"

enum act_kind {
    ACT_CREATE, /* the row and its intent are there already (store_workspace_begin) */
    ACT_START,
    ACT_STOP,
    ACT_REMOVE,
    ACT_UNDO_CREATE, /* a create of which nobody knows the outcome */
};

struct act_options {
    enum act_kind kind;
    bool hibernate;          /* ACT_STOP: said so in the event */
    uint32_t spec_flags;     /* ACT_CREATE: NT_SPEC_* */
    int64_t grace_ms;        /* ACT_STOP */
    struct port_wish *ports; /* ACT_CREATE: sockets to publish (ports.h); borrowed until done */
    uint32_t port_count;
    const char *reason; /* why, when nobody asked: goes into the notice; NULL: none */
    /* ACT_CREATE: the answer to keep, with the JSON of the finished workspace (may return -1: none
     * is kept). The act asks for it when the outcome is known. NULL: none. */
    int (*answer)(void *data, const struct workspace *ws, struct store_answer *ret);
    /* Once, later. ws: as it is now; valid in the call. */
    void (*done)(void *data, const struct workspace *ws, const struct nt_error *error);
    void *data;
};

/* Copies ws. -1: nothing was begun; NT_E_CONFLICT (sandbox_not_ready): something is being done to
 * it. */
int act_begin(struct server *server, const struct workspace *ws, const struct act_options *options,
              struct nt_error *reterr);
bool act_is_busy(const struct server *server, const char *ws_id);

/* Sends a request that has no raw bytes (CONFIGURE, METRICS, …) to a guest; each OK frame is given
 * to `frame` (may be NULL), then done comes once. */
int guest_ask(struct server *server, const char *ws_id, struct nt_bytes request,
              void (*frame)(void *data, const struct nt_g_frame *frame),
              void (*done)(void *data, const struct nt_error *error), void *data,
              struct nt_error *reterr);
/* The same with a descriptor that goes with the request (taken, also on failure); -1: none. */
int guest_ask_with(struct server *server, const char *ws_id, struct nt_bytes request, int given,
                   void (*frame)(void *data, const struct nt_g_frame *frame),
                   void (*done)(void *data, const struct nt_error *error), void *data,
                   struct nt_error *reterr);
/* The same for CONFIGURE: all environment variables of ws, and its time to live from now. */
int guest_configure(struct server *server, const struct workspace *ws, int64_t ttl_ms,
                    void (*done)(void *data, const struct nt_error *error), void *data,
                    struct nt_error *reterr);

#endif
