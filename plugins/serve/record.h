/* SPDX-License-Identifier: Apache-2.0 */
/* record.h - the second copy of a workspace's row: a text that the engine keeps beside the
 * workspace, from which the row is made again when the database is lost. */
#ifndef NT_SERVE_RECORD_H
#define NT_SERVE_RECORD_H

#include "plugins/serve/ports.h"
#include "plugins/serve/server.h"
#include "plugins/serve/store/store.h"

/* What a record says. */
struct record {
    struct workspace ws; /* without what the engine knows: state, limits, base */
    struct store_port ports[PORTS_MAX];
    uint32_t port_count;
    bool is_owners; /* of the owner's organisation, whatever that was called */
    bool is_cut;    /* environment and metadata were too long */
};

void record_done(struct record *record);
/* The text, to be freed, of less than NT_RECORD_MAX bytes: without environment and metadata when
 * they do not fit. */
int record_write(const struct record *record, char **ret, struct nt_error *reterr);
/* NT_E_INVALID: damaged. */
int record_read(struct nt_bytes text, struct record *ret, struct nt_error *reterr);

/* The text for a workspace that is being made, to be freed; NULL: the engine keeps none, or it does
 * not fit. */
char *record_first(const struct server *server, const struct workspace *ws,
                   const struct port_wish *ports, uint32_t port_count);
/* Gives the engine the record as the store has the workspace now; done once, later or in the call.
 * A failure loses the copy only, and is not told. */
void record_keep(struct server *server, const char *ws_id, void (*done)(void *data), void *data);

/* adopt.c: makes a row for a workspace that the engine has and the store has not, from its record;
 * without one its name and settings are made up, and its notice says so. done once, later or in the
 * call. */
void adopt(struct server *server, const struct nt_engine_state *state, void (*done)(void *data),
           void *data);

#endif
