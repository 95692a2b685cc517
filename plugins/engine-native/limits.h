/* SPDX-License-Identifier: Apache-2.0 */
/* limits.h - enforcing sizes: one backend a file, tried in order, the strongest first.
 *
 * Used by both programs: nanoterm-launch applies, the engine asks and clears. Needs no other code
 * of the room. */
#ifndef ENGINE_LIMITS_H
#define ENGINE_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What is wanted (0: no limit) and how firmly each holds (NT_LIMIT_*). */
struct limits {
    const char *id;
    uint32_t cpu_millis, pids;
    uint64_t memory_bytes;
};

struct limits_strength {
    uint32_t cpu, memory, pids;
};

/* Files of a workspace's group that its guest reads, in the order of its descriptors
 * (plugins/guest/state.h). */
enum {
    LIMITS_MEMORY_EVENTS,
    LIMITS_PIDS_EVENTS,
    LIMITS_MEMORY_USED,
    LIMITS_PIDS_USED,
    LIMITS_COUNTERS,
};

/* A group is entered before the clone, so that its child is born inside: moving a process between
 * groups waits for a grace period of the kernel, 10 to 20 ms (measured). */
struct limits_backend {
    const char *name;
    /* What it could enforce here, tried by call. */
    void (*probe)(struct limits_strength *ret);
    /* Before the clone: makes the group, and enters it or returns it in *ret_group for
     * CLONE_INTO_CGROUP (its owner closes it; left alone otherwise). NULL: no group. */
    void (*enter)(const struct limits *limits, struct limits_strength *ret, int *ret_group);
    /* Opens the counters of that group, those that are -1 and that it has. NULL: it has none. */
    void (*open_counters)(const char *id, int ret[LIMITS_COUNTERS]);
    /* After the clone: what goes by process. NULL: nothing. */
    void (*apply)(const struct limits *limits, pid_t pid, struct limits_strength *ret);
    /* Removes what enter made, once the processes are gone; false: one is still on its way out.
     * NULL: nothing. */
    bool (*clear)(const char *id);
};

extern const struct limits_backend limits_cgroup2, limits_cgroup1, limits_none;

/* The strongest of all backends for each kind. */
void limits_probe(struct limits_strength *ret);
/* Both with every backend, for what none before it has made hard; *strength is raised. */
void limits_enter(const struct limits *limits, struct limits_strength *strength, int *ret_group);
void limits_apply(const struct limits *limits, pid_t pid, struct limits_strength *strength);
/* Descriptors for reading; -1: there is no such counter. */
void limits_open_counters(const char *id, int ret[LIMITS_COUNTERS]);
/* Waits up to wait_ms for processes that are on their way out. */
void limits_clear(const char *id, int64_t wait_ms);

#endif
