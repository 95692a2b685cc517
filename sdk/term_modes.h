/* SPDX-License-Identifier: Apache-2.0 */
/* term_modes.h - what the output of a program has done to its terminal: the modes that are on, and
 * whether a byte stands between two escape sequences and characters.
 *
 * No screen is kept, only what a screen cannot tell. Pure: no memory, no descriptors; the guest
 * compiles it in as well. A byte costs one step, whatever comes; a string (OSC, DCS) that never
 * ends is never left, as in a terminal. */
#ifndef NT_SDK_TERM_MODES_H
#define NT_SDK_TERM_MODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NT_TERM_PARAMS 16u
/* Text of nt_term_restore and nt_term_undo at the most. */
#define NT_TERM_TEXT_MAX 512u

struct nt_term {
    uint32_t modes;       /* bit n: row n of the table in term_modes.c differs from its default */
    uint16_t top, bottom; /* scroll region, from 1; 0: the whole screen */
    uint16_t params[NT_TERM_PARAMS];
    uint8_t count;    /* of params */
    uint8_t state;    /* of the parser */
    uint8_t left;     /* bytes of a character still to come */
    char prefix;      /* '?', '>', … of a control sequence; 0: none */
    char middle;      /* its intermediate byte; 0: none */
    char charsets[2]; /* G0 and G1: 'B' is ASCII */
    bool is_shifted;  /* G1 is used */
    uint8_t shape;    /* of the cursor, 0: the user's own */
    bool is_coloured; /* something of SGR may be on */
};

void nt_term_init(struct nt_term *term);
void nt_term_feed(struct nt_term *term, const void *bytes, size_t size);
/* Between sequences and characters: here a stream may be cut. */
bool nt_term_is_clear(const struct nt_term *term);
/* Feeds until the first such place; returns how many bytes that took, size when there is none. */
size_t nt_term_feed_to_clear(struct nt_term *term, const void *bytes, size_t size);

/* Text that brings any terminal to a blank screen with these modes; returns its size. */
size_t nt_term_restore(const struct nt_term *term, char ret[NT_TERM_TEXT_MAX]);
/* Text that ends what a program has left on; empty when it has cleaned up. */
size_t nt_term_undo(const struct nt_term *term, char ret[NT_TERM_TEXT_MAX]);
/* Text that switches on again what undo has ended; what was on the screen is not known. */
size_t nt_term_redo(const struct nt_term *term, char ret[NT_TERM_TEXT_MAX]);

#endif
