/* SPDX-License-Identifier: Apache-2.0 */
/* clock.h - how time goes by. */
#ifndef NT_SDK_CLOCK_H
#define NT_SDK_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Milliseconds since some moment, for deadlines: nobody can set this clock. It stands while the
 * machine sleeps. */
static inline int64_t nt_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

#endif
