/* SPDX-License-Identifier: Apache-2.0 */
/* term_modes.c - follows the control sequences of ECMA-48 and of DEC and xterm terminals; see
 * term_modes.h. Source: xterm's ctlseqs; the states are those of the VT500 parser, without its
 * 8-bit controls, which are parts of characters in UTF-8. */
#include "term_modes.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { CLEAR, CHARACTER, ESCAPE, ESCAPE_MIDDLE, CONTROL, STRING, OSC, STRING_ESCAPE };

/* Modes that a program may leave on. Private ones are set by CSI ? N h. */
static const struct mode {
    uint16_t number;
    bool is_private, is_on; /* by default */
} modes[] = {
    { 47, true, false },   { 1047, true, false }, { 1049, true, false }, /* other screen: first */
    { 1, true, false },    { 6, true, false },    { 7, true, true },     { 9, true, false },
    { 25, true, true },    { 1000, true, false }, { 1001, true, false }, { 1002, true, false },
    { 1003, true, false }, { 1004, true, false }, { 1005, true, false }, { 1006, true, false },
    { 1015, true, false }, { 1016, true, false }, { 2004, true, false }, { 2026, true, false },
    { 4, false, false },   { 20, false, false },
};
#define MODES (sizeof(modes) / sizeof(modes[0]))
#define SCREENS 3u
#define ORIGIN 4u         /* row of mode 6 */
#define KEYPAD (1u << 31) /* ESC = */
_Static_assert(MODES < 31, "a mode is a bit");

void nt_term_init(struct nt_term *term)
{
    *term = (struct nt_term){ .charsets = { 'B', 'B' } };
}

bool nt_term_is_clear(const struct nt_term *term)
{
    return term->state == CLEAR;
}

static uint16_t param(const struct nt_term *t, unsigned i, uint16_t fallback)
{
    return i < t->count && t->params[i] ? t->params[i] : fallback;
}

static void set_modes(struct nt_term *t, bool on)
{
    for (unsigned i = 0; i < t->count; i++) {
        for (unsigned m = 0; m < MODES; m++) {
            if (modes[m].number != t->params[i] || modes[m].is_private != (t->prefix == '?'))
                continue;
            t->modes = on != modes[m].is_on ? t->modes | 1u << m : t->modes & ~(1u << m);
            if (m < SCREENS && !on) /* any of the three goes back to the first screen */
                t->modes &= ~((1u << SCREENS) - 1);
        }
    }
}

/* DECSTR: what belongs to drawing; not the mouse, not the screen, not pastes. */
static void soft_reset(struct nt_term *t)
{
    static const uint16_t reset[] = { 1, 6, 7, 25, 4 };
    for (unsigned m = 0; m < MODES; m++)
        for (unsigned i = 0; i < sizeof(reset) / sizeof(reset[0]); i++)
            if (modes[m].number == reset[i])
                t->modes &= ~(1u << m);
    t->modes &= ~KEYPAD;
    t->top = t->bottom = 0;
    t->charsets[0] = t->charsets[1] = 'B';
    t->is_shifted = t->is_coloured = false;
}

static void control(struct nt_term *t, char final)
{
    if ((final == 'h' || final == 'l') && (t->prefix == '?' || !t->prefix) && !t->middle) {
        set_modes(t, final == 'h');
    } else if (final == 'r' && !t->prefix && !t->middle) {
        t->top = param(t, 0, 1);
        t->bottom = param(t, 1, 0);
        if (t->top == 1 && !t->bottom)
            t->top = 0;
    } else if (final == 'm' && !t->prefix && !t->middle) {
        t->is_coloured = t->count && t->params[t->count - 1];
    } else if (final == 'p' && t->middle == '!') {
        soft_reset(t);
    } else if (final == 'q' && t->middle == ' ') {
        t->shape = param(t, 0, 0) <= 6 ? (uint8_t)param(t, 0, 0) : 0;
    }
}

static void escape(struct nt_term *t, char final)
{
    if (t->middle == '(' || t->middle == ')') {
        t->charsets[t->middle == ')'] = final;
    } else if (t->middle) {
        return;
    } else if (final == '=' || final == '>') {
        t->modes = final == '=' ? t->modes | KEYPAD : t->modes & ~KEYPAD;
    } else if (final == 'c') {
        nt_term_init(t);
    }
}

static void step_clear(struct nt_term *t, uint8_t c)
{
    t->state = CLEAR;
    if (c == 0x0E || c == 0x0F) {
        t->is_shifted = c == 0x0E;
    } else if (c >= 0xC2 && c <= 0xF4) {
        t->left = c < 0xE0 ? 1 : c < 0xF0 ? 2 : 3;
        t->state = CHARACTER;
    }
}

static void step_escape(struct nt_term *t, uint8_t c)
{
    if (c >= 0x20 && c <= 0x2F) {
        t->middle = (char)c;
        t->state = ESCAPE_MIDDLE;
    } else if (t->state == ESCAPE && c == '[') {
        t->count = 0;
        t->prefix = t->middle = 0;
        memset(t->params, 0, sizeof(t->params));
        t->state = CONTROL;
    } else if (t->state == ESCAPE && (c == ']' || c == 'P' || c == 'X' || c == '^' || c == '_')) {
        t->state = c == ']' ? OSC : STRING;
    } else if (c >= 0x30 && c <= 0x7E) {
        t->state = CLEAR;
        escape(t, (char)c);
    }
}

static void step_control(struct nt_term *t, uint8_t c)
{
    if (c >= '0' && c <= '9') {
        if (!t->count)
            t->count = 1;
        uint16_t *p = &t->params[t->count - 1];
        *p = *p > 6553 ? UINT16_MAX : (uint16_t)(*p * 10 + (c - '0'));
    } else if (c == ';' || c == ':') {
        t->count = t->count ? t->count : 1;
        if (t->count < NT_TERM_PARAMS)
            t->count++;
        else
            t->params[NT_TERM_PARAMS - 1] = 0; /* too many: the last place takes the rest */
    } else if (c >= 0x3C && c <= 0x3F) {
        t->prefix = (char)c;
    } else if (c >= 0x20 && c <= 0x2F) {
        t->middle = (char)c;
    } else if (c >= 0x40 && c <= 0x7E) {
        t->state = CLEAR;
        control(t, (char)c);
    }
}

static void step(struct nt_term *t, uint8_t c)
{
    if (t->state == CHARACTER) {
        if ((c & 0xC0) == 0x80) {
            if (--t->left == 0)
                t->state = CLEAR;
            return;
        }
        t->state = CLEAR; /* a character that was cut: the byte stands for itself */
    }
    if (c == 0x18 || c == 0x1A) { /* CAN, SUB end whatever there was */
        t->state = CLEAR;
    } else if (t->state == STRING_ESCAPE && c == '\\') {
        t->state = CLEAR;
    } else if (t->state == STRING || t->state == OSC) {
        if (c == 0x1B)
            t->state = STRING_ESCAPE;
        else if (c == 0x07 && t->state == OSC)
            t->state = CLEAR;
    } else if (c == 0x1B) {
        t->middle = 0;
        t->state = ESCAPE;
    } else if (t->state == STRING_ESCAPE) {
        t->middle = 0;
        t->state = ESCAPE; /* the escape has ended the string and begins another sequence */
        step_escape(t, c);
    } else if (t->state == CLEAR) {
        step_clear(t, c);
    } else if (t->state == CONTROL) {
        step_control(t, c);
    } else {
        step_escape(t, c);
    }
}

void nt_term_feed(struct nt_term *term, const void *bytes, size_t size)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < size; i++)
        if (term->state != CLEAR || p[i] < 0x20 || p[i] > 0x7E)
            step(term, p[i]);
}

size_t nt_term_feed_to_clear(struct nt_term *term, const void *bytes, size_t size)
{
    const uint8_t *p = bytes;
    size_t i = 0;
    for (; i < size && term->state != CLEAR; i++) {
        if (term->state == CHARACTER && (p[i] & 0xC0) != 0x80) {
            term->state = CLEAR;
            break;
        }
        step(term, p[i]);
    }
    return i;
}

/* --- texts --------------------------------------------------------------------------------- */

struct text {
    char *at;
    size_t size;
};

static void __attribute__((format(printf, 2, 3))) add(struct text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->at + t->size, NT_TERM_TEXT_MAX - t->size, format, args);
    va_end(args);
    if (n > 0 && (size_t)n < NT_TERM_TEXT_MAX - t->size)
        t->size += (size_t)n;
}

static void add_mode(struct text *t, unsigned m, bool on)
{
    add(t, "\033[%s%u%c", modes[m].is_private ? "?" : "", modes[m].number, on ? 'h' : 'l');
}

static bool is_on(const struct nt_term *term, unsigned m)
{
    return (term->modes >> m & 1u) != modes[m].is_on;
}

static void add_region(struct text *t, const struct nt_term *term)
{
    if (term->top)
        add(t, term->bottom ? "\033[%u;%ur" : "\033[%ur", term->top, term->bottom);
}

static void add_charsets(struct text *t, const struct nt_term *term)
{
    for (unsigned i = 0; i < 2; i++)
        if (term->charsets[i] != 'B')
            add(t, "\033%c%c", i ? ')' : '(', term->charsets[i]);
    if (term->is_shifted)
        add(t, "\016");
}

size_t nt_term_restore(const struct nt_term *term, char ret[NT_TERM_TEXT_MAX])
{
    struct text t = { ret, 0 };
    add(&t, "\030\033\\"); /* out of whatever sequence was cut */
    add_mode(&t, SCREENS - 1, false);
    for (unsigned m = 0; m < SCREENS; m++)
        if (is_on(term, m))
            add_mode(&t, m, true);
    add(&t, "\033[0m\033(B\033)B\017\033[?6l\033[r\033[H\033[2J");
    for (unsigned m = SCREENS; m < MODES; m++)
        add_mode(&t, m, is_on(term, m));
    add(&t, "\033%c", term->modes & KEYPAD ? '=' : '>');
    add_region(&t, term);
    if (term->top && !is_on(term, ORIGIN)) /* what scrolls there shall not begin above it */
        add(&t, "\033[%uH", term->top);
    add_charsets(&t, term);
    add(&t, "\033[%u q", term->shape);
    return t.size;
}

size_t nt_term_undo(const struct nt_term *term, char ret[NT_TERM_TEXT_MAX])
{
    struct text t = { ret, 0 };
    if (!nt_term_is_clear(term))
        add(&t, "\030\033\\");
    for (unsigned m = SCREENS; m < MODES; m++)
        if (term->modes >> m & 1u)
            add_mode(&t, m, modes[m].is_on);
    if (term->modes & KEYPAD)
        add(&t, "\033>");
    if (term->top)
        add(&t, "\0337\033[r\0338"); /* the region's end moves the cursor */
    if (term->charsets[0] != 'B' || term->charsets[1] != 'B' || term->is_shifted)
        add(&t, "\033(B\033)B\017");
    if (term->is_coloured)
        add(&t, "\033[0m");
    if (term->shape)
        add(&t, "\033[0 q");
    for (unsigned m = 0; m < SCREENS; m++)
        if (term->modes >> m & 1u)
            add_mode(&t, m, false);
    return t.size;
}

size_t nt_term_redo(const struct nt_term *term, char ret[NT_TERM_TEXT_MAX])
{
    struct text t = { ret, 0 };
    for (unsigned m = 0; m < MODES; m++)
        if (term->modes >> m & 1u)
            add_mode(&t, m, !modes[m].is_on);
    if (term->modes & KEYPAD)
        add(&t, "\033=");
    if (term->top) {
        add(&t, "\0337");
        add_region(&t, term);
        add(&t, "\0338");
    }
    add_charsets(&t, term);
    if (term->shape)
        add(&t, "\033[%u q", term->shape);
    return t.size;
}
