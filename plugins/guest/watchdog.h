/* SPDX-License-Identifier: Apache-2.0 */
/* watchdog.h - the memory limit where no cgroup can hold it: looks often, and kills the largest
 * process. */
#ifndef GUEST_WATCHDOG_H
#define GUEST_WATCHDOG_H

#include <stdbool.h>
#include <stdint.h>

/* Limit of the whole workspace in bytes; 0: none. It looks only while programs run. */
void watchdog_init(uint64_t memory_bytes);
/* Programs came or went. */
void watchdog_wake(void);
/* Processes that it has killed. */
uint64_t watchdog_kills(void);

#endif
