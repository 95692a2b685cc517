/* SPDX-License-Identifier: Apache-2.0 */
/* limits_none.c - what is left without cgroups: processors by affinity, and an honest answer for
 * the rest.
 *
 * RLIMIT_NPROC counts per uid and user namespace, so it is hard to get around only for a program
 * that makes no further namespace; a nested one starts with a count of its own below the same
 * ceiling. Reported as soft. */
#include "limits.h"

#include <errno.h>
#include <sched.h>
#include <sys/resource.h>

#include "nanoterm/engine.h"

static void none_probe(struct limits_strength *ret)
{
    *ret = (struct limits_strength){ .cpu = NT_LIMIT_SOFT,
                                     .memory = NT_LIMIT_SOFT,
                                     .pids = NT_LIMIT_SOFT };
}

/* Keeps as many processors as the quota needs; a program inside may widen it again: soft. */
static bool narrow_affinity(pid_t pid, uint32_t cpu_millis)
{
    cpu_set_t have, want;
    if (sched_getaffinity(pid, sizeof(have), &have) < 0)
        return false;
    uint32_t left = (cpu_millis + 999) / 1000, count = (uint32_t)CPU_COUNT(&have);
    if (left >= count)
        return cpu_millis >= count * 1000;
    /* Not always the first ones: different workspaces should not share one processor. */
    uint32_t skip = (uint32_t)pid % count;
    CPU_ZERO(&want);
    for (uint32_t round = 0; round < 2 && left > 0; round++)
        for (size_t i = 0; i < CPU_SETSIZE && left > 0; i++) {
            if (!CPU_ISSET(i, &have) || CPU_ISSET(i, &want))
                continue;
            if (skip > 0) {
                skip--;
                continue;
            }
            CPU_SET(i, &want);
            left--;
        }
    return sched_setaffinity(pid, sizeof(want), &want) == 0;
}

static void none_apply(const struct limits *limits, pid_t pid, struct limits_strength *ret)
{
    *ret = (struct limits_strength){ 0 };
    if (limits->cpu_millis && narrow_affinity(pid, limits->cpu_millis))
        ret->cpu = NT_LIMIT_SOFT;
    /* The guest looks, and kills what has grown too large (plugins/guest/watchdog.c). */
    if (limits->memory_bytes)
        ret->memory = NT_LIMIT_SOFT;
    if (limits->pids) {
        /* One uid per namespace: the count starts at zero there. */
        struct rlimit limit = { limits->pids, limits->pids };
        if (prlimit(pid, RLIMIT_NPROC, &limit, NULL) == 0)
            ret->pids = NT_LIMIT_SOFT;
    }
}

const struct limits_backend limits_none = { "none", none_probe, NULL, NULL, none_apply, NULL };
