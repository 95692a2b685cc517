/* SPDX-License-Identifier: Apache-2.0 */
/* tree.h - finds and signals all descendants of a process. No allocation: used after fork, too. */
#ifndef GUEST_TREE_H
#define GUEST_TREE_H

#include <stdbool.h>
#include <sys/types.h>

/* Sends signo to all descendants of root that `skip` (may be NULL) does not name; what is skipped
 * keeps its own descendants. Returns how many there were. */
int tree_signal(pid_t root, int signo, bool (*skip)(pid_t pid));

/* Stops, then kills all descendants. Those that were made meanwhile are met by calling it again,
 * which whoever reaps them does until there is no child left. */
void tree_kill(pid_t root, bool (*skip)(pid_t pid));

#endif
