/* SPDX-License-Identifier: Apache-2.0 */
/* theme.h - the colours of what is told before a program starts: 24-bit, and never a difference in
 * the text. */
#ifndef NT_ENFORCE_THEME_H
#define NT_ENFORCE_THEME_H

#include "nanoterm/host.h"
#include "sdk/buf.h"

enum theme_role { THEME_TITLE, THEME_GRANT, THEME_NETWORK, THEME_DIM, THEME_ROLES };

struct theme {
    const char *name;
    unsigned colours[THEME_ROLES]; /* 0xRRGGBB */
};

/* NAME (NULL: not given), else [ui] theme of config.toml in the user's folder of nono, else mocha;
 * an unknown name is mocha, too. NULL: stderr is no terminal that wants colours. */
const struct theme *theme_of(const struct nt_call *call, const char *name);
/* Adds TEXT in that colour; as it is without a theme. */
void theme_add(struct nt_buf *b, const struct theme *theme, enum theme_role role, const char *text);

#endif
