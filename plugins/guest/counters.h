/* SPDX-License-Identifier: Apache-2.0 */
/* counters.h - how often this workspace ran into its limits, by the counters of the kernel.
 *
 * The launcher gives the files of the workspace's own control group, open for reading (state.h):
 * inside they cannot be seen. Where there is no group the watchdog counts what it has killed;
 * processes that RLIMIT_NPROC refused are counted by nobody. */
#ifndef GUEST_COUNTERS_H
#define GUEST_COUNTERS_H

#include <stdbool.h>
#include <stdint.h>

struct counters {
    uint64_t oom_kills, pids_refused;
};

/* Looks which descriptors are what they should be. */
void counters_init(void);
/* Since the workspace has started. */
struct counters counters_now(void);
/* NT_GH_* of what has been hit since then; the disk as it is now. */
uint64_t counters_hits(const struct counters *since);

/* Everything that METRICS says of the group, read now; for a helper that is about to lose the
 * descriptors. 0: not known. */
struct usage {
    struct counters counters;
    uint64_t memory_bytes, pids;
};
extern struct usage counters_usage;
void counters_note_usage(void);

#endif
