/* SPDX-License-Identifier: Apache-2.0 */
/* state.h - what is remembered of the version check: one line in the user's folder of state. */
#ifndef NT_CORE_UPDATE_STATE_H
#define NT_CORE_UPDATE_STATE_H

#include <stdbool.h>
#include <stdint.h>

struct update_state {
    int64_t checked_ms; /* Unix time; 0: never */
    int64_t shown_ms;
    char version[24]; /* the newest that is known: numbers and dots; empty: none */
};

/* True when text is three numbers with dots and nothing else: what may be stored and shown. */
bool update_is_version(const char *text);
/* Descriptor of the folder, made (0700) where it is not there; -1: there is none of ours. */
int update_folder(void);
/* What is there and is ours; else an empty state. */
void update_read(int folder, const char *name, struct update_state *ret);
/* Replaces it at once; best effort. */
void update_write(int folder, const char *name, const struct update_state *state);

#endif
