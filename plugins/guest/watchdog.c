/* SPDX-License-Identifier: Apache-2.0 */
/* watchdog.c - the memory limit where no cgroup can hold it.
 *
 * Every LOOK_MS, while programs run, it adds up what they have resident and what the temporary file
 * systems hold. That bound is too high, since shared pages count once per process; only when it is
 * above the limit the exact shares are read, which costs more. Above the limit the largest process
 * is killed, and it looks again soon. What grows faster than it looks gets through: a soft limit.
 */
#include "watchdog.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "plugins/guest/loop.h"
#include "plugins/guest/program.h"

#define LOOK_MS 100
#define AGAIN_MS 10 /* after a kill: the kernel needs a moment to take the memory back */

static struct {
    uint64_t limit_bytes;
    struct timer timer;
    uint64_t kills;
} watchdog;

/* What is in use, and who has the most of it. */
struct use {
    uint64_t bytes, largest_bytes;
    pid_t largest;
};

static ssize_t read_file(const char *path, char *ret, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = read(fd, ret, size - 1);
    close(fd);
    ret[n > 0 ? n : 0] = '\0';
    return n;
}

/* Resident bytes of a process: all of them, or (exact) its share of what it has in common. A
 * process that does not let itself be looked at counts in full. */
static uint64_t bytes_of(pid_t pid, bool exact)
{
    char path[64], text[2048];
    if (exact) {
        snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
        const char *share = read_file(path, text, sizeof(text)) > 0 ? strstr(text, "\nPss:") : NULL;
        if (share)
            return strtoull(share + strlen("\nPss:"), NULL, 10) * 1024;
    }
    snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    const char *resident = read_file(path, text, sizeof(text)) > 0 ? strchr(text, ' ') : NULL;
    return resident ? strtoull(resident, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static struct use look(bool exact)
{
    static const char *const temporary[] = { "/tmp", "/run", "/dev/shm" };
    struct use use = { 0, 0, 0 };
    for (size_t i = 0; i < sizeof(temporary) / sizeof(temporary[0]); i++) {
        struct statvfs fs;
        if (statvfs(temporary[i], &fs) == 0)
            use.bytes += (uint64_t)(fs.f_blocks - fs.f_bfree) * fs.f_frsize;
    }
    DIR *dir = opendir("/proc");
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        pid_t pid = (pid_t)strtoull(entry->d_name, NULL, 10);
        uint64_t bytes = pid == getpid() ? 0 : bytes_of(pid, exact);
        use.bytes += bytes;
        if (bytes > use.largest_bytes) {
            use.largest_bytes = bytes;
            use.largest = pid;
        }
    }
    if (dir)
        closedir(dir);
    return use;
}

static void on_time(struct timer *timer)
{
    struct use use = look(false);
    int64_t next_ms = LOOK_MS;
    if (use.bytes > watchdog.limit_bytes)
        use = look(true);
    if (use.bytes > watchdog.limit_bytes && use.largest) {
        watchdog.kills += kill(use.largest, SIGKILL) == 0;
        next_ms = AGAIN_MS;
    }
    if (programs_alive())
        loop_timer(timer, next_ms, on_time);
}

void watchdog_init(uint64_t memory_bytes)
{
    watchdog.limit_bytes = memory_bytes;
}

void watchdog_wake(void)
{
    if (watchdog.limit_bytes && !watchdog.timer.fn && programs_alive())
        loop_timer(&watchdog.timer, LOOK_MS, on_time);
}

uint64_t watchdog_kills(void)
{
    return watchdog.kills;
}
