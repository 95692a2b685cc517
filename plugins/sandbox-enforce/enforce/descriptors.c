/* SPDX-License-Identifier: Apache-2.0 */
/* descriptors.c - an open descriptor is a right that no rule about paths takes away: all that were
 * not named are closed. */
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "layers.h"

static int close_between(unsigned first, unsigned last)
{
    if (first > last)
        return 0;
    return syscall(SYS_close_range, first, last, 0u) < 0 ? errno : 0;
}

/* The lowest kept descriptor that is not below FIRST; -1: none. */
static int next_kept(const struct enforce *e, unsigned first)
{
    int found = e->listener >= (int)first ? e->listener : -1;
    for (size_t i = 0; i < e->keep_count; i++)
        if (e->keep[i] >= (int)first && (found < 0 || e->keep[i] < found))
            found = e->keep[i];
    return found;
}

int descriptors_enter(struct enforce *e)
{
    unsigned first = 3;
    for (int fd; (fd = next_kept(e, first)) >= 0; first = (unsigned)fd + 1) {
        int sys = fd ? close_between(first, (unsigned)fd - 1) : 0;
        if (sys)
            return sys;
    }
    return close_between(first, ~0u);
}

int descriptors_verify(struct enforce *e)
{
    int fd = e->ruleset >= 0 ? e->ruleset : e->stranger;
    e->ruleset = e->stranger = -1; /* closed with the rest */
    return fd >= 0 && fcntl(fd, F_GETFD) >= 0 ? ENOTRECOVERABLE : 0;
}
