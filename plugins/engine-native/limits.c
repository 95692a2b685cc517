/* SPDX-License-Identifier: Apache-2.0 */
/* limits.c - goes through the backends, the strongest first. */
#include "limits.h"

#include <poll.h>

#include "nanoterm/engine.h"

static const struct limits_backend *const backends[] = { &limits_cgroup2, &limits_cgroup1,
                                                         &limits_none };
#define BACKENDS (sizeof(backends) / sizeof(backends[0]))

static void raise_to(uint32_t *value, uint32_t other)
{
    if (other > *value)
        *value = other;
}

static void raise_all(struct limits_strength *to, const struct limits_strength *other)
{
    raise_to(&to->cpu, other->cpu);
    raise_to(&to->memory, other->memory);
    raise_to(&to->pids, other->pids);
}

void limits_probe(struct limits_strength *ret)
{
    *ret = (struct limits_strength){ 0 };
    for (size_t i = 0; i < BACKENDS; i++) {
        struct limits_strength one = { 0 };
        backends[i]->probe(&one);
        raise_all(ret, &one);
    }
}

/* What is still wanted: all that is not hard yet. */
static struct limits left_of(const struct limits *limits, const struct limits_strength *got)
{
    struct limits left = *limits;
    left.cpu_millis = got->cpu == NT_LIMIT_HARD ? 0 : left.cpu_millis;
    left.memory_bytes = got->memory == NT_LIMIT_HARD ? 0 : left.memory_bytes;
    left.pids = got->pids == NT_LIMIT_HARD ? 0 : left.pids;
    return left;
}

void limits_enter(const struct limits *limits, struct limits_strength *strength, int *ret_group)
{
    for (size_t i = 0; i < BACKENDS; i++) {
        struct limits_strength one = { 0 };
        struct limits left = left_of(limits, strength);
        if (backends[i]->enter)
            backends[i]->enter(&left, &one, ret_group);
        raise_all(strength, &one);
    }
}

void limits_apply(const struct limits *limits, pid_t pid, struct limits_strength *strength)
{
    for (size_t i = 0; i < BACKENDS; i++) {
        struct limits_strength one = { 0 };
        struct limits left = left_of(limits, strength);
        if (backends[i]->apply)
            backends[i]->apply(&left, pid, &one);
        raise_all(strength, &one);
    }
}

void limits_open_counters(const char *id, int ret[LIMITS_COUNTERS])
{
    for (int i = 0; i < LIMITS_COUNTERS; i++)
        ret[i] = -1;
    for (size_t i = 0; i < BACKENDS; i++)
        if (backends[i]->open_counters)
            backends[i]->open_counters(id, ret);
}

void limits_clear(const char *id, int64_t wait_ms)
{
    for (int64_t waited = 0;; waited += 5) {
        bool busy = false;
        for (size_t i = 0; i < BACKENDS; i++)
            busy = (backends[i]->clear && !backends[i]->clear(id)) || busy;
        if (!busy || waited >= wait_ms)
            return;
        poll(NULL, 0, 5);
    }
}
