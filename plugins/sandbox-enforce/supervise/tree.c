/* SPDX-License-Identifier: Apache-2.0 */
/* tree.c - ends a tree of processes from its root; see tree.h.
 *
 * The children of a process that ends become children of the subreaper, so ending children until
 * there are none ends all. Each is held by nothing but its pid, which stays its own until it is
 * waited for. */
#include "tree.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The kernel writes "PID PID … ", as many as fit. -1: it has no such file. */
static int kill_listed(void)
{
    char text[4096];
    int count = 0;
    int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t size = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[size > 0 ? size : 0] = '\0';
    char *end = text;
    for (char *at = text; *at; at = end) {
        long pid = strtol(at, &end, 10);
        /* A number that is cut at the end of the text is followed by nothing, not by a space. */
        if (end == at || *end != ' ' || pid <= 1)
            break;
        kill((pid_t)pid, SIGKILL);
        count++;
    }
    return count;
}

/* "PID (name) S PARENT …": the name may hold anything, a bracket as well. */
static pid_t parent_of(int proc, const char *pid)
{
    char path[32], text[512];
    snprintf(path, sizeof(path), "%s/stat", pid);
    int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t size = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[size > 0 ? size : 0] = '\0';
    const char *bracket = strrchr(text, ')');
    return bracket && strlen(bracket) > 4 ? (pid_t)strtol(bracket + 4, NULL, 10) : -1;
}

/* The same for a kernel without CONFIG_PROC_CHILDREN. */
static int kill_searched(void)
{
    int count = 0;
    DIR *proc = opendir("/proc");
    if (!proc)
        return 0;
    for (struct dirent *e = readdir(proc); e; e = readdir(proc))
        if (isdigit((unsigned char)e->d_name[0]) && strlen(e->d_name) < 16
            && parent_of(dirfd(proc), e->d_name) == getpid()) {
            kill((pid_t)strtol(e->d_name, NULL, 10), SIGKILL);
            count++;
        }
    closedir(proc);
    return count;
}

static int kill_children(void)
{
    int count = kill_listed();
    return count < 0 ? kill_searched() : count;
}

void tree_kill(void)
{
    while (kill_children() > 0) {
        if (waitpid(-1, NULL, __WALL) < 0 && errno != EINTR)
            return;
        while (waitpid(-1, NULL, WNOHANG | __WALL) > 0)
            ;
    }
}
