/* SPDX-License-Identifier: Apache-2.0 */
/* reserved.c - the words that only plugins of the installation may own: those of the three command
 * trees, of the plugins that DESIGN names, and what a user could mistake for one of them. */
#include "reserved.h"

#include <stdlib.h>
#include <string.h>

static const char *const words[] = {
    /* sorted: looked up by bisection */
    "agent",
    "api",
    "attach",
    "audit",
    "auth",
    "billing",
    "cli",
    "commands",
    "completion",
    "config",
    "cp",
    "docs",
    "doctor",
    "enforce",
    "engine-docker",
    "engine-lxd",
    "engine-native",
    "engine-podman",
    "exec",
    "exec-wait",
    "files",
    "guest",
    "help",
    "inspect",
    "keys",
    "learn",
    "lifecycle",
    "login",
    "logout",
    "logs",
    "mcp",
    "members",
    "monitor",
    "nanoterm",
    "nono",
    "nullspace",
    "org",
    "plugin",
    "policy",
    "profile",
    "prompt",
    "proxy",
    "ps",
    "quickstart",
    "rollback",
    "run",
    "sandbox",
    "sandbox-enforce",
    "schema",
    "secrets",
    "serve",
    "session",
    "setup",
    "shell",
    "snapshot",
    "ssh",
    "status",
    "stop",
    "tail",
    "template",
    "top",
    "trust",
    "undo",
    "update",
    "version",
    "volume",
    "why",
    "wrap",
    "ws",
};
#define COUNT (sizeof(words) / sizeof(words[0]))

bool reserved_is_word(const char *word, size_t length)
{
    size_t low = 0, high = COUNT;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strncmp(words[middle], word, length);
        if (order == 0 && words[middle][length])
            order = 1;
        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

bool reserved_is_instance(const char *service, const char *instance)
{
    static const char *const ours[] = { "native", "podman", "docker", "lxd" };
    if (strncmp(service, "nanoterm.", 9) != 0)
        return false;
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        if (strcmp(ours[i], instance) == 0)
            return true;
    return false;
}
