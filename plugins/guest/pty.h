/* SPDX-License-Identifier: Apache-2.0 */
/* pty.h - terminals of the workspace's own devpts: opened by descriptor, so that nothing that a
 * program puts in their place can be opened instead, or stop the guest. */
#ifndef GUEST_PTY_H
#define GUEST_PTY_H

#include <stdbool.h>
#include <stdint.h>

/* Before any program runs. Without a devpts, terminals are refused later. */
void pty_init(void);
/* Both close-on-exec and nobody's controlling terminal; the master does not block. -1: errno. */
int pty_open(uint16_t cols, uint16_t rows, int *ret_master, int *ret_slave);
void pty_resize(int master, uint16_t cols, uint16_t rows);
/* SIGWINCH to the foreground programs. */
void pty_redraw(int master);

/* Whether it may be the value of TERM: a name, never a path. */
bool pty_is_term(const char *value);

#endif
