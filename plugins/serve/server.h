/* SPDX-License-Identifier: Apache-2.0 */
/* server.h - one running API server: its loop, store, engine and listeners; and the workspaces it
 * knows. */
#ifndef NT_SERVE_SERVER_H
#define NT_SERVE_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "nanoterm/engine.h"
#include "nanoterm/host.h"
#include "plugins/serve/guest/client.h"
#include "plugins/serve/http/exchange.h"

struct cli_auth;
struct inherited;
struct store;
struct tls_files;
struct uploads;
struct way_out;

#define FILE_URL_KEY 32u /* bytes */

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
    const struct server_options *options;
    struct listener *listeners;
    struct cli_auth *cli_auth;       /* logins (api/cli_auth.h); NULL: nobody needs one */
    struct net_tls *tls;             /* of the TCP listeners; NULL: they are plain */
    char local_token[68];            /* of the embedded socket; empty: there is none */
    uint8_t url_key[FILE_URL_KEY];   /* of signed URLs (api/file_urls.c) */
    char owner_org[44];              /* the local user's organisation */
    struct exchange *dead_exchanges; /* freed between two rounds of the loop */
    uint32_t exchanges;              /* alive */
    struct act *acts;                /* what is being done to workspaces (act.h) */
    struct creation *creations;      /* creates in flight (api/sandbox_create.c) */
    struct publish *publishes;       /* ports that are being published (api/ports.c) */
    /* running workspaces that may use the internet (workspaces.c) */
    struct internet_row *internet;
    struct state_watch *state_watches;  /* who wants to hear of states (api/sandbox_watch.c) */
    struct uploads *uploads;            /* sessions of uploads (uploads/uploads.h) */
    struct health_row *health;          /* which guests answer (health.c) */
    struct health_check *health_checks; /* the questions in flight */
    uint32_t guest_ops;                 /* of this room, in flight */
    /* workspaces with ports, while the start looks for them (ports.c) */
    char (*published)[44];
    size_t published_count;
    int64_t idle_since_ms;
    uid_t owner; /* whose commands the embedded socket serves */
    bool reconciled;
    bool stopping;
    bool handing_over;
    int handover_fd; /* the program to go on with; -1: none, or the monitor has it */
};

/* What a server that gave its privilege up gets from its monitor (monitor/), instead of doing it
 * itself. Its cwd is the folder of the store. */
struct server_given {
    const char *token; /* of the embedded socket; empty: there is none */
    uid_t owner;
    const struct listener *listeners; /* what each is like; with listener_fds (taken) */
    const int *listener_fds;
    uint32_t listener_count;
    /* Once there is a loop; stop may be called from then on. Before end. */
    int (*begin)(struct nt_loop *loop, void (*stop)(struct server *server), struct server *server,
                 struct nt_error *reterr);
    void (*end)(void);
    int (*owner_key)(void *data, uint8_t ret_hash[32], bool *ret_made, struct nt_error *reterr);
    void (*ready)(void); /* serving: the socket may have its name */
    void (*leave)(void); /* draining: it may lose it */
    int (*handover)(const char *program, struct nt_error *reterr);
    const struct tls_files *tls; /* NULL: the listeners are plain */
    /* A socket that listens on a port below 1024. reterr->sys: why not, if the kernel said so.
     * *Waits.* */
    int (*listen)(const char *address, uint16_t port, int *ret_fd, struct nt_error *reterr);
};

/* How a server is to run. Texts are borrowed while it lives. */
struct server_options {
    const struct nt_engine_ops *engine_ops;
    const char *engine_name;
    const char *data_dir;
    const char *runtime_dir;
    const char *libexec_dir;
    /* "unix:PATH", "HOST:PORT"; none: the socket of the runtime folder */
    const char *const *listens;
    uint32_t listen_count;
    struct inherited *inherited; /* sockets for some of them that are there already; NULL: none */
    bool insecure_listen;        /* beyond loopback is fine without TLS */
    /* Absolute paths; NULL: no TLS. Without them but with `given`: the process beside has read
     * them. */
    const char *tls_certificates, *tls_key;
    const char *const *host_names; /* that a Host header may have, besides our own */
    uint32_t host_name_count;
    bool embedded;          /* lock and ready pipe are inherited (local.h) */
    int listen_fd;          /* embedded, after a hand-over: the socket is bound already; else -1 */
    const char *min_client; /* oldest nanoterm that is served, X.Y.Z; NULL or empty: any */
    int64_t idle_ms;        /* 0: never leaves by itself */
    int64_t list_ms;        /* how long the engine may take to list its workspaces; 0: 20 s */
    const struct server_given *given;          /* NULL: this process has what it needs */
    void (*say)(void *data, const char *line); /* what a person should know; NULL: nobody listens */
    void (*debug)(void *data, const char *event, const char *fields);
    void *data;
};

/* Runs a server until it was asked to stop or has nothing to do. *Waits.* */
int server_run(const struct server_options *options, struct nt_error *reterr);
/* An embedded server that cannot even begin: tells the one who waits for it. */
void server_refuse(const struct nt_error *error);
/* Begins to stop: takes no more, finishes what was accepted (10 s at the most), then server_run
 * returns. Twice is fine. */
void server_stop(struct server *server);
/* Another certificate for the connections to come. -1: it goes on with the one it has. */
int server_use_tls(struct server *server, const struct tls_files *files, struct nt_error *reterr);
/* Finishes, then goes on as another program. -1: it goes on as it is. */
int server_hand_over(struct server *server, const char *program, struct nt_error *reterr);
/* Makes the loop go round once more soon (and bury what is dead). */
void server_wake(struct server *server);
int64_t server_unix_ms(void);

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
    uint32_t disk_mb;     /* 0: unlimited */
    const char *envs;     /* JSON object, "{}" */
    const char *metadata; /* JSON object, "{}" */
};

/* A copy that may outlive ws: without the texts of envs and metadata, which are ws's own. */
static inline struct workspace workspace_without_texts(const struct workspace *ws)
{
    struct workspace copy = *ws;
    copy.envs = copy.metadata = "{}";
    return copy;
}

/* Finds a workspace of the exchange's organisation by id or by name, and calls found, later; ws is
 * valid in the call. Not there: the exchange is answered 404 sandbox_not_found and found is not
 * called. */
void workspace_find(struct exchange *x, const char *id_or_name,
                    void (*found)(struct exchange *x, const struct workspace *ws, void *data),
                    void *data);

/* guest_op_new for the engine of this server. A workspace that does not run is NT_E_CONFLICT
 * (sandbox_not_ready). */
int workspace_guest(struct server *server, const struct workspace *ws, struct nt_bytes request,
                    const struct guest_events *events, void *data, struct guest_op **ret,
                    struct nt_error *reterr);

/* --- workspaces.c: for this room ----------------------------------------------------------- */

/* Copies ws with its texts; workspace_done frees them. */
int workspace_copy(const struct workspace *ws, struct workspace *ret, struct nt_error *reterr);
void workspace_done(struct workspace *ws);
/* The row was written like this: keeps in mind who may use the internet. */
void workspaces_note(struct server *server, const struct workspace *ws);
void workspaces_forget(struct server *server); /* frees it */
bool workspaces_has_internet(const struct server *server, const char *id);
/* The engine's events, and what it knows against what the store knows; `done` once, later. */
void workspaces_event(struct server *server, const struct nt_engine_event *event);
void workspaces_reconcile(struct server *server,
                          void (*done)(struct server *server, const struct nt_error *error));

#endif
