/* SPDX-License-Identifier: Apache-2.0 */
/* terminals.c - a /dev/pts of a mount namespace's own, in which some terminals of outside keep
 * their names.
 *
 * All terminals of a person lie in one folder, those of other windows as well, where passwords are
 * typed. Rules for files cannot tell them from the ones that a program makes for itself; in an
 * instance of devpts of its own there are no others. Source: the kernel's
 * Documentation/filesystems/devpts.rst. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "layers.h"
#include "namespaces.h"

#define FOLDER "/dev/pts/"

enum { NUMBER_MAX = 255 };

/* -1: none that could be kept. */
static int number_of(const struct enforce_place *place)
{
    char *end;
    if (place->tree < 0 || strncmp(place->path, FOLDER, strlen(FOLDER)) != 0)
        return -1;
    long number = strtol(place->path + strlen(FOLDER), &end, 10);
    return *end || number < 0 || number > NUMBER_MAX ? -1 : (int)number;
}

/* A name is there while its terminal is: a new instance gives numbers from 0 upwards, so as many
 * are made as it takes, and those that nobody wants are given back. */
static void keep_names(struct enforce_place *kept, size_t count, int *ret_held)
{
    int made[NUMBER_MAX + 1], highest = -1, n = 0;
    for (size_t i = 0; i < count; i++)
        highest = number_of(&kept[i]) > highest ? number_of(&kept[i]) : highest;
    for (; n <= highest; n++) {
        made[n] = open(FOLDER "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (made[n] < 0)
            break;
    }
    for (size_t i = 0; i < count; i++) {
        int number = number_of(&kept[i]);
        if (number >= 0 && number < n && made[number] >= 0
            && syscall(SYS_move_mount, kept[i].tree, "", AT_FDCWD, kept[i].path,
                       MOVE_MOUNT_F_EMPTY_PATH)
                   == 0) {
            ret_held[i] = made[number];
            made[number] = -1;
        }
    }
    while (n-- > 0)
        if (made[n] >= 0)
            close(made[n]);
}

int enforce_spaces_terminals(struct enforce_place *kept, size_t count, int *ret_held)
{
    int sys = 0;
    for (size_t i = 0; i < count; i++) {
        ret_held[i] = -1;
        kept[i].at = kept[i].tree = -1;
        (void)spaces_clone_place(&kept[i]); /* else it has no name there */
    }
    if (mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "ptmxmode=0666,mode=0620") < 0)
        sys = errno;
    if (!sys)
        keep_names(kept, count, ret_held);
    for (size_t i = 0; i < count; i++)
        spaces_close_place(&kept[i]);
    return sys;
}
