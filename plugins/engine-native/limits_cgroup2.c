/* SPDX-License-Identifier: Apache-2.0 */
/* limits_cgroup2.c - cgroup v2: a folder nanoterm/ID below the server's own delegated group.
 *
 * Works where the server's group is writable for it and has the controllers (a unit with
 * Delegate=yes, or host root). The kernel forbids processes in a group whose children have
 * controllers, so the children are made beside the server's own leaf: below its parent when that
 * one is delegated too, else nothing is possible here. */
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

static bool write_text(int dir, const char *name, const char *text)
{
    int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t length = strlen(text);
    bool ok = write(fd, text, length) == (ssize_t)length;
    close(fd);
    return ok;
}

/* Reads a small file as text; false when it is missing or too long. */
static bool read_text(int dir, const char *name, char *ret, size_t size)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, ret, size - 1);
    close(fd);
    if (n < 0 || (size_t)n == size - 1)
        return false;
    ret[n] = '\0';
    return true;
}

/* The group that may hold ours: the parent of this process's own group, or the group when it is the
 * root. */
static int open_group(void)
{
    char text[4096], path[4096 + 32];
    if (!read_text(AT_FDCWD, "/proc/self/cgroup", text, sizeof(text)))
        return -1;
    char *own = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
    if (!own)
        return -1;
    own += *own == '\n' ? 4 : 3;
    own[strcspn(own, "\n")] = '\0';
    if (strstr(own, "/.."))
        return -1;
    char *slash = strrchr(own, '/');
    if (slash)
        *slash = '\0';
    static const char *const roots[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };
    for (size_t i = 0; i < 2; i++) {
        struct statfs fs;
        if (statfs(roots[i], &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC)
            continue;
        snprintf(path, sizeof(path), "%s%s", roots[i], own);
        int parent = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (parent < 0)
            continue;
        int fd = -1;
        if (mkdirat(parent, "nanoterm", 0755) == 0 || errno == EEXIST)
            fd = openat(parent, "nanoterm", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        close(parent);
        return fd;
    }
    return -1;
}

/* Which controllers can be handed to groups below ours; they are handed over by the call. */
static void enable(int group, struct limits_strength *ret)
{
    char text[512];
    *ret = (struct limits_strength){ 0 };
    if (faccessat(group, "cgroup.procs", W_OK, AT_EACCESS) < 0
        || !read_text(group, "cgroup.controllers", text, sizeof(text)))
        return;
    text[strcspn(text, "\n")] = '\0';
    char *save = NULL;
    for (char *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        uint32_t *strength = strcmp(word, "memory") == 0 ? &ret->memory
                             : strcmp(word, "pids") == 0 ? &ret->pids
                             : strcmp(word, "cpu") == 0  ? &ret->cpu
                                                         : NULL;
        char order[16];
        snprintf(order, sizeof(order), "+%.12s", word);
        if (strength && write_text(group, "cgroup.subtree_control", order))
            *strength = NT_LIMIT_HARD;
    }
}

static void cgroup2_probe(struct limits_strength *ret)
{
    *ret = (struct limits_strength){ 0 };
    int group = open_group();
    if (group < 0)
        return;
    enable(group, ret);
    close(group);
}

static void cgroup2_enter(const struct limits *limits, struct limits_strength *ret, int *ret_group)
{
    struct limits_strength can = { 0 };
    char text[48];
    *ret = (struct limits_strength){ 0 };
    int group = open_group();
    if (group < 0)
        return;
    enable(group, &can);
    int dir = -1;
    if ((limits->memory_bytes && can.memory) || (limits->pids && can.pids)
        || (limits->cpu_millis && can.cpu))
        if (mkdirat(group, limits->id, 0755) == 0 || errno == EEXIST)
            dir = openat(group, limits->id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    close(group);
    if (dir < 0)
        return;
    struct limits_strength got = { 0 };
    snprintf(text, sizeof(text), "%llu", (unsigned long long)limits->memory_bytes);
    if (limits->memory_bytes && can.memory && write_text(dir, "memory.max", text)) {
        write_text(dir, "memory.swap.max", "0");
        write_text(dir, "memory.oom.group", "0");
        got.memory = NT_LIMIT_HARD;
    }
    snprintf(text, sizeof(text), "%u", limits->pids);
    if (limits->pids && can.pids && write_text(dir, "pids.max", text))
        got.pids = NT_LIMIT_HARD;
    snprintf(text, sizeof(text), "%llu 100000", (unsigned long long)limits->cpu_millis * 100);
    if (limits->cpu_millis && can.cpu && write_text(dir, "cpu.max", text))
        got.cpu = NT_LIMIT_HARD;
    *ret = got;
    *ret_group = dir;
}

static void cgroup2_open_counters(const char *id, int ret[LIMITS_COUNTERS])
{
    static const char *const files[LIMITS_COUNTERS] = {
        [LIMITS_MEMORY_EVENTS] = "memory.events",
        [LIMITS_PIDS_EVENTS] = "pids.events",
        [LIMITS_MEMORY_USED] = "memory.current",
        [LIMITS_PIDS_USED] = "pids.current",
    };
    int group = open_group();
    int dir = group < 0 ? -1 : openat(group, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    for (int i = 0; i < LIMITS_COUNTERS && dir >= 0; i++)
        if (ret[i] < 0)
            ret[i] = openat(dir, files[i], O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (dir >= 0)
        close(dir);
    if (group >= 0)
        close(group);
}

static bool cgroup2_clear(const char *id)
{
    int group = open_group();
    if (group < 0)
        return true;
    bool clear = unlinkat(group, id, AT_REMOVEDIR) == 0 || errno != EBUSY;
    close(group);
    return clear;
}

const struct limits_backend limits_cgroup2 = {
    "cgroup v2", cgroup2_probe, cgroup2_enter, cgroup2_open_counters, NULL, cgroup2_clear
};
