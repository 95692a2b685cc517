/* SPDX-License-Identifier: Apache-2.0 */
/* terminal.h - the terminal of a program, and all who look at it: the connection that started it
 * and those that attach. */
#ifndef GUEST_TERMINAL_H
#define GUEST_TERMINAL_H

#include "plugins/guest/jobs.h"
#include "plugins/guest/state.h"

struct program;
struct terminal;

/* Makes one of COLS by ROWS; child gets three descriptors of it for the program. Answers the error
 * itself: NULL. */
struct terminal *terminal_new(struct conn *c, const struct request *r, int child[3]);
/* c is its owner from here, and speaks STDIN, STDIN_END, RESIZE, SIGNAL. */
void terminal_begin(struct terminal *t, struct program *p, struct conn *c);
/* The program runs, and STARTED was sent. stays: its owner looks on. */
void terminal_started(struct terminal *t, bool stays);
/* Its log file takes bytes again. */
void terminal_resume(struct terminal *t);
/* The program has ended: only what it has written is still to come. program_terminal_done tells
 * when that was read. */
void terminal_drain(struct terminal *t);
/* Closes it: the programs in it get SIGHUP. */
void terminal_hang_up(struct terminal *t);
/* The last words: viewers get the rest and EXIT. The program lets go of it. */
void terminal_ended(struct terminal *t, const struct job_end *end);
/* The program did not start, or is freed. NULL is nothing. */
void terminal_free(struct terminal *t);
/* Frees those whose last viewer has left in this turn. */
void terminals_sweep(void);

/* ATTACH. */
void terminal_view(struct terminal *t, struct conn *c, const struct request *r);
void terminal_add_size(const struct terminal *t, struct nt_g_writer *w);
uint64_t terminal_bytes(const struct terminal *t);

#endif
