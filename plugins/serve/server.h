/* SPDX-License-Identifier: Apache-2.0 */
/* server.h - one running API server: its loop, store, engine and listeners; and the workspaces it knows. */
#ifndef NT_SERVE_SERVER_H
#define NT_SERVE_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "nanoterm/engine.h"
#include "nanoterm/host.h"
#include "plugins/serve/guest/client.h"
#include "plugins/serve/http/exchange.h"

struct store;
struct way_out;

struct server {
    uv_loop_t *uv;
    struct nt_loop *loop;
    struct store *store;
    const struct nt_engine_ops *engine_ops;
    struct nt_engine *engine;
    const char *engine_name;
    const char *data_dir;
    struct way_out *way_out;
    bool embedded;

    /* Below: for the files of this plugin's own room. */
    struct listener *listeners;
    char local_token[68]; /* of the embedded socket; empty: there is none */
    char owner_org[44];   /* the local user's organisation */
    struct exchange *dead_exchanges; /* freed between two rounds of the loop */
    uint32_t exchanges;              /* alive */
};

/* Makes the loop go round once more soon (and bury what is dead). */
void server_wake(struct server *server);

/* Stored once, projected to the wire (api/sandbox_json.c). Times are unix milliseconds, 0: none. */
enum workspace_status {
    WORKSPACE_CREATING,
    WORKSPACE_RUNNING,
    WORKSPACE_STOPPED,
    WORKSPACE_DESTROYED,
    WORKSPACE_ERROR,
};

struct workspace {
    char id[44];
    char org_id[44];
    char name[68];
    char image[260];
    char template_name[132]; /* as the client asked */
    char size[12];           /* small, medium, large; empty: by numbers */
    char cwd[260];           /* empty: /workspace */
    enum workspace_status status;
    uint32_t vcpus;
    uint32_t memory_mb;
    uint32_t pids;
    bool internet;
    bool on_timeout_hibernate;
    bool unreachable;
    int64_t timeout_ms;
    int64_t timeout_at_ms, created_at_ms, started_at_ms;
    uint32_t limit_cpu, limit_memory, limit_pids, limit_disk; /* NT_LIMIT_* */
    char base[68];
    char notice[256];
    uint32_t disk_mb; /* 0: unlimited */
    const char *envs;     /* JSON object, "{}" */
    const char *metadata; /* JSON object, "{}" */
};

/* Finds a workspace of the exchange's organisation by id or by name, and calls found, later; ws is valid in the call.
 * Not there: the exchange is answered 404 sandbox_not_found and found is not called. */
void workspace_find(struct exchange *x, const char *id_or_name,
                    void (*found)(struct exchange *x, const struct workspace *ws, void *data), void *data);

/* guest_op_new for the engine of this server. A workspace that does not run is NT_E_CONFLICT (sandbox_not_ready). */
int workspace_guest(struct server *server, const struct workspace *ws, struct nt_bytes request,
                    const struct guest_events *events, void *data, struct guest_op **ret, struct nt_error *reterr);

#endif
