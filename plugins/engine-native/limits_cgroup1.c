/* SPDX-License-Identifier: Apache-2.0 */
/* limits_cgroup1.c - cgroup v1 controllers under /sys/fs/cgroup/{memory,pids,cpu}, which only host
 * root can use.
 *
 * Each workspace has a folder nanoterm/ID in each controller. The guest sees a cgroup namespace and
 * no cgroup file system, so the limits are hard. */
#include "limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "nanoterm/engine.h"

static const char *const controllers[] = { "memory", "pids", "cpu" };
enum { MEMORY, PIDS, CPU, COUNT };

/* The folder "nanoterm" of a controller, made when it is missing; -1 with errno. */
static int open_group(const char *controller, bool make)
{
    char path[64];
    snprintf(path, sizeof(path), "/sys/fs/cgroup/%s", controller);
    struct statfs fs;
    int root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return -1;
    int fd = -1;
    if (fstatfs(root, &fs) < 0 || fs.f_type != CGROUP_SUPER_MAGIC)
        errno = ENODEV;
    else if (!make || mkdirat(root, "nanoterm", 0755) == 0 || errno == EEXIST)
        fd = openat(root, "nanoterm", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    int saved = errno;
    close(root);
    errno = saved;
    return fd;
}

static int write_number(int dir, const char *name, uint64_t value)
{
    char text[24];
    int length = snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int sys = write(fd, text, (size_t)length) == length ? 0 : errno;
    close(fd);
    return sys;
}

static uint32_t can(const char *controller)
{
    if (geteuid() != 0)
        return NT_LIMIT_NONE;
    int fd = open_group(controller, true);
    if (fd < 0)
        return NT_LIMIT_NONE;
    uint32_t strength =
        faccessat(fd, "cgroup.procs", W_OK, AT_EACCESS) == 0 ? NT_LIMIT_HARD : NT_LIMIT_NONE;
    close(fd);
    return strength;
}

static void cgroup1_probe(struct limits_strength *ret)
{
    ret->memory = can("memory");
    ret->pids = can("pids");
    ret->cpu = can("cpu");
}

static int set(int which, int dir, const struct limits *limits)
{
    switch (which) {
    case MEMORY:
        return write_number(dir, "memory.limit_in_bytes", limits->memory_bytes);
    case PIDS:
        return write_number(dir, "pids.max", limits->pids);
    default: {
        int sys = write_number(dir, "cpu.cfs_period_us", 100000);
        return sys ? sys
                   : write_number(dir, "cpu.cfs_quota_us", (uint64_t)limits->cpu_millis * 100);
    }
    }
}

static void cgroup1_enter(const struct limits *limits, struct limits_strength *ret, int *ret_group)
{
    uint32_t *strengths[COUNT] = { &ret->memory, &ret->pids, &ret->cpu };
    const bool wanted[COUNT] = { limits->memory_bytes != 0, limits->pids != 0,
                                 limits->cpu_millis != 0 };
    (void)ret_group;
    *ret = (struct limits_strength){ 0 };
    if (geteuid() != 0)
        return;
    for (int i = 0; i < COUNT; i++) {
        if (!wanted[i])
            continue;
        int group = open_group(controllers[i], true), dir = -1;
        if (group < 0)
            continue;
        if (mkdirat(group, limits->id, 0755) == 0 || errno == EEXIST)
            dir = openat(group, limits->id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        close(group);
        if (dir < 0)
            continue;
        /* 0 in `tasks`: this thread, without the lock that a move of another process needs. */
        if (set(i, dir, limits) == 0 && write_number(dir, "tasks", 0) == 0)
            *strengths[i] = NT_LIMIT_HARD;
        close(dir);
    }
}

static void cgroup1_open_counters(const char *id, int ret[LIMITS_COUNTERS])
{
    static const struct {
        const char *controller, *file;
    } files[LIMITS_COUNTERS] = {
        [LIMITS_MEMORY_EVENTS] = { "memory", "memory.oom_control" },
        [LIMITS_PIDS_EVENTS] = { "pids", "pids.events" },
        [LIMITS_MEMORY_USED] = { "memory", "memory.usage_in_bytes" },
        [LIMITS_PIDS_USED] = { "pids", "pids.current" },
    };
    for (int i = 0; i < LIMITS_COUNTERS && geteuid() == 0; i++) {
        int group = ret[i] < 0 ? open_group(files[i].controller, false) : -1;
        int dir =
            group < 0 ? -1 : openat(group, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (dir >= 0)
            ret[i] = openat(dir, files[i].file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (dir >= 0)
            close(dir);
        if (group >= 0)
            close(group);
    }
}

static bool cgroup1_clear(const char *id)
{
    bool clear = true;
    if (geteuid() != 0)
        return true;
    for (int i = 0; i < COUNT; i++) {
        int group = open_group(controllers[i], false);
        if (group < 0)
            continue;
        if (unlinkat(group, id, AT_REMOVEDIR) < 0 && errno == EBUSY)
            clear = false;
        close(group);
    }
    return clear;
}

const struct limits_backend limits_cgroup1 = {
    "cgroup v1", cgroup1_probe, cgroup1_enter, cgroup1_open_counters, NULL, cgroup1_clear
};
