/* SPDX-License-Identifier: Apache-2.0 */
/* npm.c - npm's own configuration, from npm itself: its files, variables and defaults have more
 * rules than a reader of .npmrc would know. */
#include "npm.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sdk/cleanup.h"

#define URL_BYTES 1024

/* One line of `npm config get KEY`, when it is a URL. The caller has set an alarm for all of it. */
static bool get(const char *key, struct nt_buf *url)
{
    int ends[2];
    pid_t pid;
    char name[128], line[URL_BYTES];
    snprintf(name, sizeof(name), "%s", key);
    char *const argv[] = { (char[]){ "npm" }, (char[]){ "config" }, (char[]){ "get" }, name, NULL };
    if (pipe2(ends, O_CLOEXEC) < 0)
        return false;
    nt_autoclose int in = ends[0];
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    int failed = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (failed)
        return false;
    size_t size = 0;
    while (size < sizeof(line) - 1) {
        ssize_t got = read(in, line + size, sizeof(line) - 1 - size);
        if (got == 0 || (got < 0 && errno != EINTR))
            break;
        size += got > 0 ? (size_t)got : 0;
    }
    close(nt_take_fd(in)); /* one that says too much ends by SIGPIPE */
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    line[size] = '\0';
    size = strcspn(line, " \t\r\n");
    while (size > 0 && line[size - 1] == '/')
        size--;
    line[size] = '\0';
    if (strncmp(line, "https://", 8) != 0 && strncmp(line, "http://", 7) != 0)
        return false; /* "undefined", or not an answer at all */
    nt_buf_add(url, line);
    return true;
}

void npm_registry(const char *scope, struct nt_buf *url)
{
    char key[128];
    snprintf(key, sizeof(key), "%s:registry", scope);
    if (!get(key, url))
        get("registry", url);
}
