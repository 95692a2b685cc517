/* SPDX-License-Identifier: Apache-2.0 */
/* engine.h - the service "nanoterm.engine/1": makes, starts, stops and removes workspaces, and
 * opens streams to their guests. All else (exec, files, ports, metrics) is done by the guest
 * (guest.h), the same on every engine.
 *
 * Everything here is *async*: a call returns at once with an operation, and its callback comes
 * exactly once, later, on the loop's thread, as done, failed or unknown. Nothing blocks the loop's
 * thread. Names, ids and quotas are the server's; identity is the instance plus the boot nonce of
 * the guest's first frame. */
#ifndef NANOTERM_ENGINE_H
#define NANOTERM_ENGINE_H

#include "nanoterm/error.h"
#include "nanoterm/stream.h"

#define NT_ENGINE_SERVICE "nanoterm.engine/1"

struct nt_engine;    /* an opened engine; the plugin's own */
struct nt_engine_op; /* a call in flight; the plugin's own */

/* nt_engine_ops.caps */
#define NT_ENGINE_LOCAL_FD 0x1u /* streams are local descriptors (NT_STREAM_FD) */
#define NT_ENGINE_PASS_FDS 0x2u /* that carry descriptors */
#define NT_ENGINE_FREEZE 0x4u
#define NT_ENGINE_IMAGE_HOST 0x8u
#define NT_ENGINE_IMAGE_TAR 0x10u
#define NT_ENGINE_WAY_OUT 0x20u /* NT_SPEC_WAY_OUT works */
#define NT_ENGINE_KEEP 0x40u    /* spec.record, keep and recall work */

/* How firmly a limit holds. */
enum {
    NT_LIMIT_NONE = 0, /* not enforced */
    NT_LIMIT_SOFT = 1, /* can be exceeded for a while, or by a hostile program */
    NT_LIMIT_HARD = 2, /* enforced by the kernel for the whole workspace */
};

/* nt_engine_result.outcome */
enum {
    NT_OP_DONE = 0,
    NT_OP_FAILED = 1,  /* proven: the act did not happen, or was undone */
    NT_OP_UNKNOWN = 2, /* lost sight of it: ask with inspect */
};

/* nt_engine_state.state */
enum {
    NT_WS_ABSENT = 0,
    NT_WS_STOPPED = 1,
    NT_WS_RUNNING = 2,
    NT_WS_UNREACHABLE = 3, /* never means stopped */
};

/* Port inside a workspace on which its way out (an HTTP proxy) listens, on 127.0.0.1. */
#define NT_WAY_OUT_PORT 3128

/* Bytes of a record, with the NUL at its end: what the server keeps beside a workspace, to know it
 * again when its own memory is lost. The engine does not look into it. */
#define NT_RECORD_MAX 8192u

/* nt_engine_spec.flags */
#define NT_SPEC_REQUIRE_LIMITS 0x1u /* refuse (NT_E_UNAVAILABLE) when a limit would be below hard */
#define NT_SPEC_HARDEN 0x2u         /* Landlock inside, too */
/* a listener inside, on 127.0.0.1:NT_WAY_OUT_PORT, is the way out */
#define NT_SPEC_WAY_OUT 0x4u

/* What to make. Texts are borrowed for the call. */
struct nt_engine_spec {
    uint32_t size;
    uint32_t flags;
    const char *id;        /* "ws_a1b2c3d4": also the name of its folder */
    const char *hostname;  /* "ws-a1b2c3d4" */
    const char *image;     /* "host", or "file:/absolute/rootfs.tar" */
    uint32_t cpu_millis;   /* 1000: one processor; 0: unlimited */
    uint32_t pids;         /* 0: unlimited */
    uint64_t memory_bytes; /* 0: unlimited */
    uint64_t disk_bytes;   /* 0: unlimited */
    const char *record;    /* the first one (NT_ENGINE_KEEP); NULL: none */
};

/* What is known of a workspace. */
struct nt_engine_state {
    uint32_t size;
    uint32_t state;                                           /* NT_WS_* */
    uint32_t limit_cpu, limit_memory, limit_pids, limit_disk; /* NT_LIMIT_* */
    char id[44];
    char location[64]; /* where it runs: "pid 4242 on this machine" */
    char base[68];     /* identity of its base image, hex; empty: none */
    /* something the user should know: "the base image has changed"; empty: nothing */
    char notice[256];
    uint64_t disk_used_bytes; /* of its own layer; 0: not counted */
};

/* How a call ended. Valid until the callback returns. */
struct nt_engine_result {
    uint32_t size;
    uint32_t outcome;             /* NT_OP_* */
    struct nt_error error;        /* when not done */
    struct nt_engine_state state; /* create, start, stop, inspect */
    struct nt_bytes receipt;      /* can be stored; given back to inspect after a restart */
    struct nt_bytes record;       /* recall, without a NUL; size 0: there is none */
};

typedef void nt_engine_done(void *data, const struct nt_engine_result *result);

/* What every call carries. */
struct nt_engine_call {
    uint32_t size;
    uint32_t reserved;
    const char *key;     /* operation key: the same key again is the same operation */
    int64_t deadline_ms; /* of nt_loop_ops.now_ms; 0: the engine's own */
    nt_engine_done *done;
    void *data;
};

/* nt_engine_event.kind */
enum {
    NT_ENGINE_EVENT_STOPPED = 1, /* the guest of `id` has ended without being asked */
    NT_ENGINE_EVENT_GAP = 2,     /* events were lost: list again */
};

struct nt_engine_event {
    uint32_t size;
    uint32_t kind;
    const char *id;
    const char *reason; /* "ttl", "idle", "killed by signal 9", "exit 1" */
};

/* What the server gives when it opens an engine; lives as long as the engine. */
struct nt_engine_host {
    uint32_t size;
    uint32_t reserved;
    struct nt_loop *loop;
    const char *data_dir;    /* the engine's own folder; 0700, there already */
    const char *runtime_dir; /* for sockets; 0700, there already */
    const char *libexec_dir; /* helper programs */
    void (*event)(void *data, const struct nt_engine_event *event);
    /* A program inside connected to the way out (NT_SPEC_WAY_OUT). The host takes the stream: it
     * calls take_fd, or sets *ret_events and *ret_data before it returns; with neither the stream
     * is cancelled. */
    void (*accept_stream)(void *data, const char *id, struct nt_stream *stream,
                          const struct nt_stream_events **ret_events, void **ret_data);
    void (*debug)(void *data, const char *event, const char *fields);
    void *data;
};

/* One workspace in a listing. */
typedef void nt_engine_each(void *data, const struct nt_engine_state *state);

/* One kind of engine. All functions: loop's thread. */
struct nt_engine_ops {
    uint32_t size;
    uint32_t caps; /* NT_ENGINE_* */

    /* Opens it. *Waits*, at the start of the server: may read folders, must not start anything. */
    int (*open)(const struct nt_engine_host *host, struct nt_engine **ret, struct nt_error *reterr);
    /* Ends it: calls in flight get their callback (unknown) before it returns; workspaces live
     * on. */
    void (*close)(struct nt_engine *engine);

    /* Makes a workspace and starts it. Done means: its guest answers. */
    struct nt_engine_op *(*create)(struct nt_engine *engine, const struct nt_engine_call *call,
                                   const struct nt_engine_spec *spec);
    /* Starts a stopped one, from its layer. */
    struct nt_engine_op *(*start)(struct nt_engine *engine, const struct nt_engine_call *call,
                                  const char *id);
    /* Asks its processes to end, waits grace_ms, kills the rest. The layer stays. Done on a stopped
     * one too. */
    struct nt_engine_op *(*stop)(struct nt_engine *engine, const struct nt_engine_call *call,
                                 const char *id, int64_t grace_ms);
    /* Kills and removes it with its layer. Done when nothing is left; on an absent one too. */
    struct nt_engine_op *(*remove)(struct nt_engine *engine, const struct nt_engine_call *call,
                                   const char *id);
    struct nt_engine_op *(*inspect)(struct nt_engine *engine, const struct nt_engine_call *call,
                                    const char *id);
    /* Calls each for every workspace this engine has, then done. */
    struct nt_engine_op *(*list)(struct nt_engine *engine, const struct nt_engine_call *call,
                                 nt_engine_each *each);
    /* The server wants this call no more: its callback comes with NT_E_CANCELLED, outcome failed or
     * unknown. */
    void (*cancel)(struct nt_engine_op *op);

    /* Opens a stream to the guest; the first bytes that come are its NT_G_HELLO. -1: nothing will
     * be called. Else events->open (where the caller may take_fd at once) or events->close with the
     * reason, later. */
    int (*open_stream)(struct nt_engine *engine, const char *id,
                       const struct nt_stream_events *events, void *data, struct nt_error *reterr);
    /* What this engine can enforce here, for doctor and create: the strengths in state's limits. */
    void (*abilities)(struct nt_engine *engine, struct nt_engine_state *ret);

    /* NT_ENGINE_KEEP: */

    /* Replaces the record of a workspace. Done means: it is on the disk. */
    struct nt_engine_op *(*keep)(struct nt_engine *engine, const struct nt_engine_call *call,
                                 const char *id, const char *record);
    struct nt_engine_op *(*recall)(struct nt_engine *engine, const struct nt_engine_call *call,
                                   const char *id);
};

#endif
