/* SPDX-License-Identifier: Apache-2.0 */
/* limits.c - goes through the backends, the strongest first. */
#include "limits.h"

#include "nanoterm/engine.h"

static const struct limits_backend *const backends[] = { &limits_cgroup2, &limits_cgroup1, &limits_none };
#define BACKENDS (sizeof(backends) / sizeof(backends[0]))

static void raise_to(uint32_t *value, uint32_t other)
{
    if (other > *value)
        *value = other;
}

void limits_probe(struct limits_strength *ret)
{
    *ret = (struct limits_strength){ 0 };
    for (size_t i = 0; i < BACKENDS; i++) {
        struct limits_strength one = { 0 };
        backends[i]->probe(&one);
        raise_to(&ret->cpu, one.cpu);
        raise_to(&ret->memory, one.memory);
        raise_to(&ret->pids, one.pids);
    }
}

int limits_apply(const struct limits *limits, pid_t pid, struct limits_strength *ret)
{
    struct limits left = *limits;
    struct limits_strength got = { 0 };
    for (size_t i = 0; i < BACKENDS; i++) {
        struct limits_strength one = { 0 };
        if (!left.cpu_millis && !left.pids && !left.memory_bytes)
            break;
        int sys = backends[i]->apply(&left, pid, &one);
        if (sys) {
            limits_clear(limits->id);
            return sys;
        }
        raise_to(&got.cpu, one.cpu);
        raise_to(&got.memory, one.memory);
        raise_to(&got.pids, one.pids);
        left.cpu_millis = got.cpu == NT_LIMIT_HARD ? 0 : left.cpu_millis;
        left.memory_bytes = got.memory == NT_LIMIT_HARD ? 0 : left.memory_bytes;
        left.pids = got.pids == NT_LIMIT_HARD ? 0 : left.pids;
    }
    *ret = got;
    return 0;
}

void limits_clear(const char *id)
{
    for (size_t i = 0; i < BACKENDS; i++)
        if (backends[i]->clear)
            backends[i]->clear(id);
}
