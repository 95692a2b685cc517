/* SPDX-License-Identifier: Apache-2.0 */
/* plan.h - what the engine tells nanoterm-launch, and what comes back: the one contract between the
 * two programs.
 *
 * The plan is one frame in the form of guest.h (fields: tag, length, bytes) on a sealed memfd. The
 * report is a SOCK_SEQPACKET socket: struct launch_report, PIDFD first (with the descriptor),
 * LISTENER when asked for, then RUNNING or FAILED. Both programs are installed together; numbers
 * may change between versions. */
#ifndef ENGINE_PLAN_H
#define ENGINE_PLAN_H

#include <stdint.h>

/* Descriptors that nanoterm-launch is started with. */
enum {
    LAUNCH_FD_PLAN = 3,
    LAUNCH_FD_REPORT = 4,
    LAUNCH_FD_WORKSPACE = 5, /* the workspace's folder */
    LAUNCH_FD_SOCKET = 6,    /* listening socket for the guest */
    LAUNCH_FD_READY = 7,     /* writing end of the ready pipe */
    LAUNCH_FD_COUNT = 8,
};

enum {
    PLAN_FRAME = 1, /* type of the frame */
    PLAN_ID = 1,
    PLAN_HOSTNAME = 2,
    PLAN_IMAGE = 3,     /* folder of the skeleton or of the extracted tar */
    PLAN_WORKSPACE = 4, /* path of the workspace's folder */
    PLAN_GUEST = 5,     /* path of the guest program */
    PLAN_FLAGS = 6,     /* PLAN_* below */
    PLAN_UID = 7,       /* uid on the host of the one uid inside */
    PLAN_GID = 8,
    PLAN_CPU_MILLIS = 9,
    PLAN_PIDS = 10,
    PLAN_MEMORY = 11,
    PLAN_LAYER = 12,   /* name of a folder that is an overlay of its own, repeated: "usr" */
    PLAN_STOP_AT = 13, /* tests: the name of a step before which the launcher kills itself */
};

#define PLAN_WAY_OUT 0x1u
#define PLAN_HOST_IMAGE 0x2u
#define PLAN_AS_ROOT 0x4u /* the launcher is host root: idmapped layers */
#define PLAN_HARDEN 0x8u

#define PLAN_MAX (64u * 1024u)

/* The one user inside. */
#define INSIDE_UID 1000u
#define INSIDE_GID 1000u
/* As host root (one below it is the API process's, plugins/serve/monitor/drop.h): owner, on disk,
 * of skeletons, images and layers. Nobody's: in no passwd and no subuid range that distributions
 * hand out. Never mapped into a workspace but through an idmapped mount. */
#define DISK_UID 1879048191u
/* As host root: the first host uid of workspaces; one each. */
#define FIRST_UID 1879048192u

enum {
    REPORT_PIDFD = 1,
    REPORT_LISTENER = 2,
    REPORT_RUNNING = 3,
    REPORT_FAILED = 4,
    REPORT_STOP = 5, /* child to launcher, for tests: PLAN_STOP_AT is reached */
};

struct launch_report {
    uint32_t kind;
    int32_t sys; /* FAILED: errno value */
    int64_t pid;
    uint64_t start; /* of /proc/PID/stat: ticks since boot */
    uint32_t limit_cpu, limit_memory, limit_pids, reserved;
    char boot[40];
    char step[40];     /* FAILED: the step's name */
    char message[160]; /* FAILED: the missing part and its remedy; empty: none */
};

#endif
