/* SPDX-License-Identifier: Apache-2.0 */
/* tree.h - the end of all that a process has started. */
#ifndef NT_ENFORCE_TREE_H
#define NT_ENFORCE_TREE_H

/* Ends by SIGKILL every process that descends from this one, which must be a subreaper
 * (PR_SET_CHILD_SUBREAPER), and takes their statuses. Returns when none is left. For the thread
 * that has the children. */
void tree_kill(void);

#endif
