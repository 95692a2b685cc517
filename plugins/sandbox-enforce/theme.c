/* SPDX-License-Identifier: Apache-2.0 */
/* theme.c - which theme, and its colours; see theme.h. */
#include "theme.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sdk/nono_config.h"

static const struct theme themes[] = {
    { "mocha", { 0xcba6f7, 0xa6e3a1, 0x89b4fa, 0x6c7086 } },
    { "latte", { 0x8839ef, 0x40a02b, 0x1e66f5, 0x9ca0b0 } },
    { "frappe", { 0xca9ee6, 0xa6d189, 0x8caaee, 0x737994 } },
    { "macchiato", { 0xc6a0f6, 0xa6da95, 0x8aadf4, 0x6e738d } },
    { "tokyo-night", { 0xbb9af7, 0x9ece6a, 0x7aa2f7, 0x565f89 } },
    { "minimal", { 0xffffff, 0xd0d0d0, 0xd0d0d0, 0x808080 } },
};

static const struct theme *find(const char *name)
{
    for (size_t i = 0; i < sizeof(themes) / sizeof(themes[0]); i++)
        if (strcmp(themes[i].name, name) == 0)
            return &themes[i];
    return &themes[0];
}

/* The core speaks of the standard output alone: where both are terminals, --no-color and the
 * settings count for both. */
static bool wants_colour(const struct nt_call *call)
{
    const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
    bool is_refused = (call->flags & NT_CALL_STDOUT_TTY) && !(call->flags & NT_CALL_COLOR);
    return isatty(2) && term && *term && strcmp(term, "dumb") != 0 && !(no_color && *no_color)
           && !is_refused;
}

const struct theme *theme_of(const struct nt_call *call, const char *name)
{
    char set[32];
    if (!wants_colour(call))
        return NULL;
    if (name && *name)
        return find(name);
    return nt_nono_config("ui", "theme", set, sizeof(set)) ? find(set) : &themes[0];
}

void theme_add(struct nt_buf *b, const struct theme *theme, enum theme_role role, const char *text)
{
    if (!theme) {
        nt_buf_add(b, text);
        return;
    }
    unsigned c = theme->colours[role];
    nt_buf_addf(b, "\x1b[38;2;%u;%u;%um%s\x1b[0m", c >> 16 & 0xff, c >> 8 & 0xff, c & 0xff, text);
}
