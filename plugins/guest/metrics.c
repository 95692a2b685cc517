/* SPDX-License-Identifier: Apache-2.0 */
/* metrics.c - counters of the workspace: those of its cgroup when it can be seen, else of all its
 * processes. */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "plugins/guest/counters.h"
#include "plugins/guest/helper.h"

#define CGROUP "/sys/fs/cgroup/"

/* Reads a small file of the kernel; an empty text when it is not there. */
static const char *slurp(const char *path, char *ret, size_t size)
{
    ret[0] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return ret;
    size_t at = 0;
    ssize_t n;
    while (at < size - 1 && (n = read(fd, ret + at, size - 1 - at)) > 0)
        at += (size_t)n;
    ret[at] = '\0';
    close(fd);
    return ret;
}

static uint64_t number_at(const char *text)
{
    while (*text == ' ' || *text == '\t')
        text++;
    uint64_t value = 0;
    for (; *text >= '0' && *text <= '9' && value < UINT64_MAX / 10 - 1; text++)
        value = value * 10 + (uint64_t)(*text - '0');
    return value;
}

/* The number after a name at the start of a line; 0: not there. */
static uint64_t number_of(const char *text, const char *name)
{
    size_t size = strlen(name);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, size) == 0)
            return number_at(line + size);
    }
    return 0;
}

/* The n-th word (from 0) after the name of a process in its stat, which may itself contain
 * anything. */
static uint64_t stat_field(const char *text, int n)
{
    const char *p = strrchr(text, ')');
    for (int i = -1; p && i < n; i++)
        p = strchr(p + 1, ' ');
    return p ? number_at(p) : 0;
}

struct sums {
    uint64_t cpu_ticks, pages, count;
};

static struct sums sum_processes(void)
{
    struct sums s = { 0, 0, 0 };
    char path[300], text[1024];
    DIR *dir = opendir("/proc");
    for (struct dirent *d; dir && (d = readdir(dir));) {
        if (!isdigit((unsigned char)d->d_name[0]))
            continue;
        snprintf(path, sizeof(path), "/proc/%s/stat", d->d_name);
        slurp(path, text, sizeof(text));
        for (int field = 11; field <= 14; field++) /* own user, system; those of reaped children */
            s.cpu_ticks += stat_field(text, field);
        s.count++;
        s.pages += stat_field(text, 21);
    }
    if (dir)
        closedir(dir);
    return s;
}

/* Bytes of all interfaces but loopback; of loopback when there is no other: the way out goes
 * through it. */
static void sum_network(uint64_t *ret_rx, uint64_t *ret_tx)
{
    static char text[65536];
    uint64_t rx = 0, tx = 0, lo_rx = 0, lo_tx = 0;
    bool has_other = false;
    slurp("/proc/net/dev", text, sizeof(text));
    for (char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        while (*line == ' ')
            line++;
        char *colon = line + strcspn(line, ":\n");
        if (*colon != ':')
            continue;
        uint64_t values[9] = { 0 };
        const char *p = colon + 1;
        for (int i = 0; i < 9; i++) {
            p += strspn(p, " ");
            values[i] = number_at(p);
            p += strcspn(p, " \n");
        }
        if (strncmp(line, "lo:", 3) == 0) {
            lo_rx = values[0];
            lo_tx = values[8];
        } else {
            has_other = true;
            rx += values[0];
            tx += values[8];
        }
    }
    *ret_rx = has_other ? rx : lo_rx;
    *ret_tx = has_other ? tx : lo_tx;
}

void metrics_serve(struct helper_io *io)
{
    char text[8192];
    uint64_t mem_total = number_of(slurp("/proc/meminfo", text, sizeof(text)), "MemTotal:") * 1024;
    uint64_t mem_limit = number_at(slurp(CGROUP "memory.max", text, sizeof(text)));
    uint64_t mem_used = number_at(slurp(CGROUP "memory.current", text, sizeof(text)));
    uint64_t cpu_us = number_of(slurp(CGROUP "cpu.stat", text, sizeof(text)), "usage_usec");
    const struct usage *usage = &counters_usage;
    if (!mem_used)
        mem_used = usage->memory_bytes;
    struct sums sums = sum_processes();
    if (!mem_used)
        mem_used = sums.pages * (uint64_t)sysconf(_SC_PAGESIZE);
    if (!cpu_us)
        cpu_us = sums.cpu_ticks * 1000000 / (uint64_t)sysconf(_SC_CLK_TCK);
    cpu_set_t cpus;
    uint64_t cpu_count =
        sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? (uint64_t)CPU_COUNT(&cpus) : 1;
    struct statvfs disk = { 0 };
    statvfs(guest.base, &disk);
    uint64_t rx, tx;
    sum_network(&rx, &tx);
    uint8_t memory[512];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_OK);
    nt_g_add_number(&w, NT_GT_CPU_US, cpu_us);
    nt_g_add_number(&w, NT_GT_CPU_COUNT, cpu_count);
    nt_g_add_number(&w, NT_GT_MEM_USED, mem_used);
    nt_g_add_number(&w, NT_GT_MEM_TOTAL,
                    mem_limit && mem_limit < mem_total ? mem_limit : mem_total);
    nt_g_add_number(&w, NT_GT_DISK_USED, (disk.f_blocks - disk.f_bfree) * disk.f_frsize);
    nt_g_add_number(&w, NT_GT_DISK_TOTAL, disk.f_blocks * disk.f_frsize);
    nt_g_add_number(&w, NT_GT_NET_RX, rx);
    nt_g_add_number(&w, NT_GT_NET_TX, tx);
    /* The group counts threads as well; without one the processes are counted. */
    nt_g_add_number(&w, NT_GT_PIDS_USED, usage->pids ? usage->pids : sums.count);
    nt_g_add_number(&w, NT_GT_OOM_KILLS, usage->counters.oom_kills);
    nt_g_add_number(&w, NT_GT_PIDS_REFUSED, usage->counters.pids_refused);
    io_send(io, &w);
}
