/* SPDX-License-Identifier: Apache-2.0 */
/* limits.h - enforcing sizes: one backend a file, tried in order, the strongest first.
 *
 * Used by both programs: nanoterm-launch applies, the engine asks and clears. Needs no other code of the room. */
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

struct limits_backend {
    const char *name;
    /* What it could enforce here, tried by call. */
    void (*probe)(struct limits_strength *ret);
    /* Puts the process under the limits. 0, or an errno value with nothing left behind. */
    int (*apply)(const struct limits *limits, pid_t pid, struct limits_strength *ret);
    /* Removes what apply made, once the processes are gone. */
    void (*clear)(const char *id);
};

extern const struct limits_backend limits_cgroup2, limits_cgroup1, limits_none;

/* The strongest of all backends for each kind. */
void limits_probe(struct limits_strength *ret);
/* Applies with every backend what none before it has made hard. 0, or an errno value. */
int limits_apply(const struct limits *limits, pid_t pid, struct limits_strength *ret);
void limits_clear(const char *id);

#endif
