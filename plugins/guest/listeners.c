/* SPDX-License-Identifier: Apache-2.0 */
/* listeners.c - which programs inside wait for TCP connections: /proc/net/tcp and tcp6 of this
 * network, and whose descriptor each socket is. Runs in a helper: /proc of a workspace may be
 * long. */
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "plugins/guest/ports.h"

#define LISTENERS_MAX 1024u
#define STATE_LISTEN 0x0au
#define NAME_BYTES 64

struct listener {
    uint64_t inode;
    uint64_t since_ms;
    int pid; /* 0: not one that can be seen */
    uint16_t port;
    char address[INET6_ADDRSTRLEN];
    char command[NAME_BYTES];
};

static struct listener *found;
static size_t found_count;

/* The kernel prints addresses as 32-bit words of the machine's own byte order. */
static bool read_address(const char *hex, char ret[INET6_ADDRSTRLEN])
{
    uint32_t words[4] = { 0 };
    size_t digits = strspn(hex, "0123456789ABCDEFabcdef");
    if (digits != 8 && digits != 32)
        return false;
    for (size_t i = 0; i < digits / 8; i++) {
        char word[9] = "";
        memcpy(word, hex + 8 * i, 8);
        words[i] = (uint32_t)strtoul(word, NULL, 16);
    }
    return inet_ntop(digits == 8 ? AF_INET : AF_INET6, words, ret, INET6_ADDRSTRLEN) != NULL;
}

/* "  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000  0 4711 …" */
static bool read_line(const char *line, struct listener *ret)
{
    char local[48], remote[48];
    unsigned state;
    unsigned long uid, timeout;
    if (sscanf(line, " %*u: %47s %47s %x %*s %*s %*s %lu %lu %" SCNu64, local, remote, &state, &uid,
               &timeout, &ret->inode)
            != 6
        || state != STATE_LISTEN || ret->inode == 0)
        return false;
    const char *colon = strchr(local, ':');
    ret->port = colon ? (uint16_t)strtoul(colon + 1, NULL, 16) : 0;
    return ret->port && read_address(local, ret->address);
}

static void read_table(const char *path)
{
    char line[512];
    FILE *file = fopen(path, "re");
    while (file && found_count < LISTENERS_MAX && fgets(line, sizeof(line), file)) {
        struct listener l = { 0 };
        if (read_line(line, &l) && l.inode != guest.way_out_inode)
            found[found_count++] = l;
    }
    if (file)
        fclose(file);
}

static ssize_t slurp(int dir, const char *name, char *ret, size_t size)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd < 0 ? -1 : read(fd, ret, size - 1);
    if (fd >= 0)
        close(fd);
    ret[n > 0 ? n : 0] = '\0';
    return n;
}

/* When a process started, by the wall clock of now: the 22nd word of its stat counts from boot. */
static uint64_t started_ms(const char *stat)
{
    const char *p = strrchr(stat, ')');
    for (int i = 0; p && i < 20; i++)
        p = strchr(p + 1, ' ');
    struct timespec now, boot;
    if (!p || clock_gettime(CLOCK_REALTIME, &now) < 0 || clock_gettime(CLOCK_BOOTTIME, &boot) < 0)
        return 0;
    uint64_t started = strtoull(p + 1, NULL, 10) * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
    uint64_t up = (uint64_t)boot.tv_sec * 1000 + (uint64_t)boot.tv_nsec / 1000000;
    uint64_t unix_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    return unix_ms - (up > started ? up - started : 0);
}

static void name_owner(int dir, int pid, struct listener *l)
{
    char text[1024];
    l->pid = pid;
    slurp(dir, "comm", l->command, sizeof(l->command));
    l->command[strcspn(l->command, "\n")] = '\0';
    if (slurp(dir, "stat", text, sizeof(text)) > 0)
        l->since_ms = started_ms(text);
}

static void look_at_process(int pid, int dir)
{
    int fds = openat(dir, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fds < 0 ? NULL : fdopendir(fds);
    for (struct dirent *d; list && (d = readdir(list));) {
        char target[64];
        ssize_t n = readlinkat(dirfd(list), d->d_name, target, sizeof(target) - 1);
        uint64_t inode;
        target[n > 0 ? n : 0] = '\0';
        if (sscanf(target, "socket:[%" SCNu64 "]", &inode) != 1)
            continue;
        for (size_t i = 0; i < found_count; i++)
            if (found[i].inode == inode && !found[i].pid)
                name_owner(dir, pid, &found[i]);
    }
    if (list)
        closedir(list);
    else if (fds >= 0)
        close(fds);
}

/* The first process that has a socket is its owner: parents come before their children, mostly. */
static void find_owners(void)
{
    DIR *proc = opendir("/proc");
    for (struct dirent *d; proc && (d = readdir(proc));) {
        if (!isdigit((unsigned char)d->d_name[0]))
            continue;
        int dir = openat(dirfd(proc), d->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0)
            continue;
        look_at_process((int)strtol(d->d_name, NULL, 10), dir);
        close(dir);
    }
    if (proc)
        closedir(proc);
}

void listeners_serve(struct helper_io *io)
{
    found = calloc(LISTENERS_MAX, sizeof(*found));
    if (!found)
        io_refuse(io, NT_GE_LIMIT, 0, "out of memory");
    read_table("/proc/self/net/tcp");
    read_table("/proc/self/net/tcp6");
    if (found_count)
        find_owners();
    ports_tell(io);
    for (size_t i = 0; i < found_count; i++) {
        uint8_t memory[512];
        struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_ENTRY);
        nt_g_add_number(&w, NT_GT_PORT, found[i].port);
        nt_g_add_text(&w, NT_GT_ADDRESS, found[i].address);
        if (found[i].pid) {
            nt_g_add_number(&w, NT_GT_PID, (uint64_t)found[i].pid);
            nt_g_add_text(&w, NT_GT_COMMAND, found[i].command);
            nt_g_add_number(&w, NT_GT_SINCE_MS, found[i].since_ms);
        }
        io_send(io, &w);
    }
    uint8_t memory[64];
    struct nt_g_writer w = nt_g_begin(memory, sizeof(memory), NT_G_END);
    io_send(io, &w);
}
