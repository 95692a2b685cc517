/* SPDX-License-Identifier: Apache-2.0 */
/* engine_loop.h - a struct nt_loop on poll(2) for the engine's tests: no library, one thread,
 * workers are threads. */
#ifndef TEST_ENGINE_LOOP_H
#define TEST_ENGINE_LOOP_H

#include <stdbool.h>

#include "nanoterm/stream.h"

struct nt_loop *test_loop_new(void);
/* Runs until *until is true or ms have passed; the value of *until. NULL: for the whole time. */
bool test_loop_run(struct nt_loop *loop, const bool *until, int64_t ms);
/* Runs it until no worker is at work and none waits to be told of its end. */
void test_loop_settle(struct nt_loop *loop);
/* Waits for workers, then fails the process (abort) when a timer or watch was left. */
void test_loop_free(struct nt_loop *loop);

#endif
