/* SPDX-License-Identifier: Apache-2.0 */
/* cleanup.h - variables that clean up after themselves when their scope ends.
 *
 * A variable with cleanup is initialised where it is declared; ownership leaves it with nt_take.
 * Never for what closes later, such as a libuv handle. */
#ifndef NT_SDK_CLEANUP_H
#define NT_SDK_CLEANUP_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define nt_auto(fn) __attribute__((cleanup(fn)))
#define nt_autofree nt_auto(nt_freep)
#define nt_autoclose nt_auto(nt_closep)

/* The value of the variable p, which becomes NULL: ownership moves to the caller. */
#define nt_take(p)                                                                                 \
    __extension__({                                                                                \
        __typeof__(p) nt_v_ = (p);                                                                 \
        (p) = NULL;                                                                                \
        nt_v_;                                                                                     \
    })

/* The same for a descriptor, which becomes -1. */
#define nt_take_fd(p)                                                                              \
    __extension__({                                                                                \
        int nt_v_ = (p);                                                                           \
        (p) = -1;                                                                                  \
        nt_v_;                                                                                     \
    })

static inline void nt_freep(void *variable) /* the address of any pointer */
{
    int saved = errno;
    void *p;
    memcpy(&p, variable, sizeof(p)); /* keeps the aliasing rules */
    free(p);
    errno = saved;
}

static inline void nt_closep(int *fd)
{
    int saved = errno;
    if (*fd >= 0)
        close(*fd);
    errno = saved;
}

#endif
