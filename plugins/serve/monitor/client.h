/* SPDX-License-Identifier: Apache-2.0 */
/* client.h - the API process's side of the monitor: an engine whose every call is a request to it,
 * and the acts of life that the server may not do itself. One per process. */
#ifndef NT_SERVE_MONITOR_CLIENT_H
#define NT_SERVE_MONITOR_CLIENT_H

#include "plugins/serve/monitor/wire.h"

struct client_events {
    void (*stop)(void *data); /* the monitor asks to drain and leave */
    /* another certificate; the file is taken */
    void (*tls)(void *data, const struct wire_tls *word, int fd);
    void (*ended)(void *data); /* the monitor is gone: so is the engine */
};

/* Speaks on fd (taken). abilities, caps: of the real engine. */
int client_begin(struct nt_loop *loop, int fd, const struct wire_plan *plan,
                 const struct client_events *events, void *data, struct nt_error *reterr);
void client_end(void);
/* An engine of engine.h; open it after client_begin. */
const struct nt_engine_ops *client_engine_ops(const struct wire_plan *plan);

/* *Waits.* */
int client_owner_key(uint8_t ret_hash[32], bool *ret_made, struct nt_error *reterr);
int client_handover(const char *program, struct nt_error *reterr);
int client_listen(const char *address, uint16_t port, int *ret_fd, struct nt_error *reterr);
void client_ready(void);
void client_leave(void);
void client_note(const char *line);

#endif
