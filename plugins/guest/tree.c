/* SPDX-License-Identifier: Apache-2.0 */
/* tree.c - walks /proc/PID/task/TID/children (or, without CONFIG_PROC_CHILDREN, all of /proc); see
 * tree.h.
 *
 * The caller is child subreaper of the tree (or PID 1), so that what lost its parent is its own
 * child: a process cannot leave the tree by forking twice or by a session of its own. */
#include "plugins/guest/tree.h"

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define QUEUE_MAX 65536 /* more than a workspace may have; the rest is met in the next round */
#define PASSES_MAX 16

struct dirent64 {
    uint64_t ino;
    int64_t off;
    unsigned short size;
    unsigned char type;
    char name[];
};

static pid_t queue[QUEUE_MAX];
static int queue_size;

static void push(pid_t pid)
{
    if (pid > 0 && queue_size < QUEUE_MAX)
        queue[queue_size++] = pid;
}

/* Calls fn for each name in a folder that is a number. */
static void each_number(const char *path, void (*fn)(long number, long arg), long arg)
{
    _Alignas(struct dirent64) char memory[4096];
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    long n;
    while ((n = syscall(SYS_getdents64, fd, memory, sizeof(memory))) > 0) {
        for (long at = 0; at < n;) {
            const struct dirent64 *d = (const struct dirent64 *)(const void *)(memory + at);
            at += d->size;
            long number = 0;
            const char *p = d->name;
            while (*p >= '0' && *p <= '9' && number < 100000000)
                number = number * 10 + (*p++ - '0');
            if (*p == '\0' && p != d->name)
                fn(number, arg);
        }
    }
    close(fd);
}

static bool has_children_files = true;

static void push_children(long tid, long pid)
{
    char path[64], text[4096];
    snprintf(path, sizeof(path), "/proc/%ld/task/%ld/children", pid, tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    long number = 0;
    ssize_t n;
    while ((n = read(fd, text, sizeof(text))) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            if (text[i] >= '0' && text[i] <= '9') {
                number = number * 10 + (text[i] - '0');
            } else {
                push((pid_t)number);
                number = 0;
            }
        }
    }
    push((pid_t)number);
    close(fd);
}

/* Without children files: pushes pid when parent is its parent. */
static void push_when_child(long pid, long parent)
{
    char path[64], text[512];
    snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n <= 0)
        return;
    text[n] = '\0';
    const char *p = strrchr(text, ')'); /* the name before it may hold anything */
    if (!p || strlen(p) < 5)
        return;
    long of = 0;
    for (p += 4; *p >= '0' && *p <= '9' && of < 100000000; p++)
        of = of * 10 + (*p - '0');
    if (of == parent)
        push((pid_t)pid);
}

int tree_signal(pid_t root, int signo, bool (*skip)(pid_t pid))
{
    int count = 0;
    has_children_files = access("/proc/thread-self/children", F_OK) == 0;
    queue_size = 0;
    push(root);
    for (int i = 0; i < queue_size; i++) {
        if (i > 0 && skip && skip(queue[i]))
            continue;
        if (i > 0) {
            count++;
            kill(queue[i], signo);
        }
        char path[64];
        snprintf(path, sizeof(path), "/proc/%ld/task", (long)queue[i]);
        if (has_children_files)
            each_number(path, push_children, queue[i]);
        else
            each_number("/proc", push_when_child, queue[i]);
    }
    return count;
}

void tree_kill(pid_t root, bool (*skip)(pid_t pid))
{
    int before = -1;
    for (int i = 0; i < PASSES_MAX; i++) { /* stopped ones make no more children */
        int now = tree_signal(root, SIGSTOP, skip);
        if (now == before || now == 0)
            break;
        before = now;
    }
    tree_signal(root, SIGKILL, skip);
}
