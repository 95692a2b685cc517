/* SPDX-License-Identifier: Apache-2.0 */
/* monitor.h - the privileged half of a server that root runs: takes the requests of wire.h from the
 * API process, each only in its state, and asks the engine.
 *
 * Everything that comes from the API process is hostile. A message that breaks the rules ends it.
 * No process, socket or file is touched here: the acts of life are the owner's (struct
 * monitor_acts), so that tests and the fuzzer drive this part alone. */
#ifndef NT_SERVE_MONITOR_MONITOR_H
#define NT_SERVE_MONITOR_MONITOR_H

#include "plugins/serve/monitor/wire.h"

struct monitor;

/* What the owner does for it. data is monitor_new's. */
struct monitor_acts {
    /* Sends one message, with a descriptor (taken) or -1. -1: the API process is gone. */
    int (*send)(void *data, const void *message, size_t size, int fd);
    /* Finds or makes the file of the owner's key; the API process gets its hash only. */
    int (*owner_key)(void *data, uint8_t ret_hash[32], bool *ret_made, struct nt_error *reterr);
    void (*ready)(void *data);
    void (*failed)(void *data, const struct nt_error *error);
    void (*note)(void *data, const char *line);
    void (*debug)(void *data, const char *event, const char *fields);
    void (*leave)(void *data);
    int (*handover)(void *data, const char *program, struct nt_error *reterr);
    /* Makes a socket that listens on a port below 1024. */
    int (*listen)(void *data, const char *address, uint16_t port, int *ret_fd,
                  struct nt_error *reterr);
};

int monitor_new(struct nt_loop *loop, const struct nt_engine_ops *ops,
                const struct monitor_acts *acts, void *data, struct monitor **ret,
                struct nt_error *reterr);
/* Opens the engine; `host` without its functions and data, which are the monitor's. */
int monitor_open_engine(struct monitor *monitor, const struct nt_engine_host *host,
                        struct nt_error *reterr);
struct nt_engine *monitor_engine(struct monitor *monitor);
/* One message from the API process, aligned. NULL, or why the API process must end. */
const char *monitor_message(struct monitor *monitor, const void *message, size_t size);
/* Closes the engine; workspaces live on. Takes NULL. */
void monitor_free(struct monitor *monitor);

#endif
