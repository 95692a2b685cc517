/* SPDX-License-Identifier: Apache-2.0 */
/* launch.h - what the files of nanoterm-launch share: the plan, the state of one launch, and the
 * steps.
 *
 * One process, one thread, one launch; then it exits. The child half runs between clone and
 * exec. */
#ifndef LAUNCH_H
#define LAUNCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../limits.h"
#include "../plan.h"

#define LAYERS_MAX 12
#define GUEST_FD_JOBS 6 /* folder of the logs of jobs; where child.c puts it for the guest */

struct launch {
    /* The plan; texts live in its memory. */
    const char *id, *hostname, *image, *workspace, *guest, *stop_at;
    const char *layers[LAYERS_MAX]; /* folders of "/" with an overlay of their own */
    uint32_t layer_count;
    uint32_t flags;
    uint64_t watched_bytes; /* memory limit that the guest itself must watch; 0: none */
    uid_t uid;
    gid_t gid;
    struct limits limits;

    /* Trees: descriptors of detached mounts (as root) or of folders (rootless), opened before the
     * child moves. */
    int image_fd;             /* skeleton or image: "root", and a folder per layer */
    int layer_fd;             /* the workspace's own layer: upper and work folders */
    int host_fds[LAYERS_MAX]; /* the host's folder of each layer */
    int dpkg_fd;              /* the package database of the host; -1: none */
    int guest_fd;             /* the guest program, on a read-only mount */
    int jobs_fd;

    int go_fd;     /* child: reads one byte when the maps are written */
    int status_fd; /* child: writes a struct launch_report when a step fails; closes on exec */
    int listener_fd;
    int counters[LIMITS_COUNTERS]; /* for the guest; -1: there is none */
    const char *at;                /* mount point while the tree is built */
};

/* One step. apply returns 0 or an errno value; verify (may be NULL) tries what must hold now, same
 * result. */
struct launch_step {
    const char *name;
    int (*apply)(struct launch *l);
    int (*verify)(struct launch *l);
};

/* Runs the steps in order; the first failure is written to the status pipe. Never returns. */
_Noreturn void child_run(struct launch *l);

/* chroot.c: as real root in a chroot, makes its tree the root of a mount namespace of our own. 0 or
 * errno. */
int chroot_leave(void);

/* confine.c: with PLAN_HARDEN a Landlock domain around all programs of the workspace; no
 * capabilities; the filter of system calls. */
int confine_landlock(struct launch *l);
int confine_landlock_verify(struct launch *l);
int confine_capabilities(struct launch *l);
int confine_capabilities_verify(struct launch *l);
int confine_calls(struct launch *l);

/* trees.c: both halves. */
int trees_open(struct launch *l);   /* opens what the plan names, in the caller's mount namespace */
int trees_attach(struct launch *l); /* as root: into the child's mount namespace */
int trees_map(struct launch *l,
              int userns_fd); /* as root: gives the trees of DISK_UID to the workspace's uid */

/* root.c: the root of the workspace, in the child. */
int root_private(struct launch *l);
int root_overlay(struct launch *l);
int root_layers(struct launch *l);
int root_devices(struct launch *l);
int root_kernel(struct launch *l);
int root_temporary(struct launch *l);
int root_packages(struct launch *l);
int root_pivot(struct launch *l);
int root_pivot_verify(struct launch *l);

#endif
