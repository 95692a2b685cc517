/* SPDX-License-Identifier: Apache-2.0 */
/* counters.c - how often this workspace ran into its limits; see counters.h. */
#include "plugins/guest/counters.h"

#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "plugins/guest/state.h"
#include "plugins/guest/watchdog.h"

#define DISK_FULL_BYTES (64u * 1024u) /* less than this is free: it is full */

struct usage counters_usage;
static bool is_group[GUEST_FD_COUNT];

void counters_init(void)
{
    for (int fd = GUEST_FD_MEMORY_EVENTS; fd < GUEST_FD_COUNT; fd++) {
        struct statfs fs;
        is_group[fd] = fstatfs(fd, &fs) == 0
                       && (fs.f_type == CGROUP2_SUPER_MAGIC || fs.f_type == CGROUP_SUPER_MAGIC);
    }
}

/* The number that stands at the start of the file, or behind a word; 0: none. */
static uint64_t number_in(int fd, const char *word)
{
    char text[1024];
    ssize_t n = is_group[fd] ? pread(fd, text, sizeof(text) - 1, 0) : 0;
    text[n > 0 ? n : 0] = '\0';
    const char *at = text;
    for (size_t size = word ? strlen(word) : 0; size > 0; at++) {
        if (strncmp(at, word, size) == 0) {
            at += size;
            break;
        }
        at = strchr(at, '\n');
        if (!at)
            return 0;
    }
    return strtoull(at, NULL, 10);
}

struct counters counters_now(void)
{
    return (struct counters){
        .oom_kills = number_in(GUEST_FD_MEMORY_EVENTS, "oom_kill ") + watchdog_kills(),
        .pids_refused = number_in(GUEST_FD_PIDS_EVENTS, "max "),
    };
}

static bool is_full(const char *path)
{
    struct statvfs fs;
    return statvfs(path, &fs) == 0 && fs.f_blocks > 0
           && (uint64_t)fs.f_bavail * fs.f_frsize < DISK_FULL_BYTES;
}

uint64_t counters_hits(const struct counters *since)
{
    struct counters now = counters_now();
    uint64_t hits = 0;
    if (now.oom_kills > since->oom_kills)
        hits |= NT_GH_MEMORY;
    if (now.pids_refused > since->pids_refused)
        hits |= NT_GH_PIDS;
    if (is_full(guest.base) || is_full("/tmp"))
        hits |= NT_GH_DISK;
    return hits;
}

void counters_note_usage(void)
{
    counters_usage = (struct usage){ .counters = counters_now(),
                                     .memory_bytes = number_in(GUEST_FD_MEMORY_USED, NULL),
                                     .pids = number_in(GUEST_FD_PIDS_USED, NULL) };
}
