/* SPDX-License-Identifier: Apache-2.0 */
/* pty_session.h - what one connection of channel=pty knows; shared by pty_ws.c, which speaks with
 * the client, and pty_begin.c, which asks the guest. */
#ifndef NT_SERVE_API_PTY_SESSION_H
#define NT_SERVE_API_PTY_SESSION_H

#include "plugins/serve/api/pty.h"
#include "plugins/serve/server.h"
#include "sdk/buf.h"

enum pty_phase {
    PHASE_FIRST,  /* waits for the client's message */
    PHASE_START,  /* narrow: the program is being started in the background */
    PHASE_ATTACH, /* pty_started is awaited */
    PHASE_LIVE,
    PHASE_OVER,
};

/* One connection; lives until the socket is closed, the guest's operation has ended and no bytes
 * are lent. */
struct pty_session {
    struct server *server;
    struct net_ws *sock;
    struct guest_op *op;
    struct nt_timer *timer; /* for the first message; after the end, for the close */
    struct workspace ws;
    struct principal principal;
    enum pty_phase phase;
    bool is_wide, is_detached;
    bool is_inside; /* wide: of a binary message whose first byte was read */
    bool owes_consumed, is_lent, is_stalled;
    bool can_beat; /* the guest gives signs of life, and the client wants them */
    bool hangs_up, can_hang_up, is_hanging_up;
    json_int_t beat_ms;
    uint64_t owed, waiting; /* to be granted; in the guest's queue since it was full */
    struct nt_buf text;
    struct pty_row row;
    char label[128]; /* the client's id of its request */
};

/* pty_start: starts what the client's first message asks for. events: of the guest's answer, with
 * the session as data. */
int pty_begin_start(struct pty_session *s, json_t *m, const struct guest_events *events,
                    struct nt_error *reterr);
/* pty_connect. options NULL: to the session that was just started. */
int pty_begin_attach(struct pty_session *s, const json_t *options,
                     const struct guest_events *events, struct nt_error *reterr);

#endif
