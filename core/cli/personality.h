/* SPDX-License-Identifier: Apache-2.0 */
/* personality.h - what the program is under each of its names: which commands stand at the top,
 * how an error is told. By the name it was called by; plugins only see the number. */
#ifndef NT_CORE_PERSONALITY_H
#define NT_CORE_PERSONALITY_H

#include <stdbool.h>
#include <stddef.h>

#include "core/plugin/view.h"

struct personality {
    uint32_t id; /* NT_AS_* */
    const char *program;
    const char *summary; /* what it is, behind its name */
    const char *about;   /* the first line of its help */
    /* The commands that it has; NULL: all. */
    const struct view *view;
    /* Every failure of its own ends with 1; Ctrl-C is none. */
    bool plain_statuses;
};

/* By the path that it was called by; an unknown name is the first. */
const struct personality *personality_of(const char *argv0);
const struct personality *personality_called(const char *program);
/* The index-th; NULL: no more. */
const struct personality *personality_at(size_t index);
/* The exit status of an error whose row says STATUS. */
uint32_t personality_status(const struct personality *p, uint32_t status);
/* The index-th global option to show, NULL: no more. IS_EARLY: also those that its commands have
 * themselves, and that may stand before them. */
const struct nt_opt *personality_global(const struct personality *p, bool is_early, uint32_t index);

#endif
