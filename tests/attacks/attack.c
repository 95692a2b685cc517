/* SPDX-License-Identifier: Apache-2.0 */
/* attack.c - `nt-attack NAME`: runs one attack, says on stdout that it was begun, and ends with how
 * it went. `nt-attack --list` names all. Static, so that it runs wherever the kernel does. */
#include "attack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *path_in(const char *folder, const char *name)
{
    static char paths[4][4096];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

int through_if(long r)
{
    int sys = errno;
    if (r < 0)
        fprintf(stderr, "%s\n", strerror(sys));
    return r < 0 ? REFUSED : THROUGH;
}

int try_open(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600), r = through_if(fd);
    if (fd >= 0)
        close(fd);
    return r;
}

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value ? value : "";
}

int main(int argc, char **argv)
{
    static const struct attack *const all[] = { file_attacks, owner_attacks, process_attacks,
                                                network_attacks, kernel_attacks };
    const struct target t = {
        .inside = variable("ATTACK_INSIDE"),
        .outside = variable("ATTACK_OUTSIDE"),
        .pid = (pid_t)strtoul(variable("ATTACK_PID"), NULL, 10),
        .port = (uint16_t)strtoul(variable("ATTACK_PORT"), NULL, 10),
        .abstract = variable("ATTACK_ABSTRACT"),
        .local = variable("ATTACK_LOCAL"),
    };
    if (argc != 2)
        return 2;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        for (const struct attack *a = all[i]; a->name; a++) {
            if (strcmp(argv[1], "--list") == 0)
                puts(a->name);
            if (strcmp(argv[1], a->name) != 0)
                continue;
            puts("begun");
            fflush(stdout);
            return a->run(&t);
        }
    return strcmp(argv[1], "--list") == 0 ? 0 : 2;
}
