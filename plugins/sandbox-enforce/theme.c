/* SPDX-License-Identifier: Apache-2.0 */
/* theme.c - which theme, and its colours; see theme.h. */
#include "theme.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sdk/cleanup.h"

#define SETTINGS_MAX 65536

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

/* --- config.toml --------------------------------------------------------------------------- */

static int open_settings(void)
{
    char path[PATH_MAX];
    struct stat st;
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    bool is_set = config && config[0] == '/';
    int size = snprintf(path, sizeof(path), "%s%s/nono/config.toml",
                        is_set ? config : (home ? home : ""), is_set ? "" : "/.config");
    nt_autoclose int fd = size > 0 && (size_t)size < sizeof(path)
                              ? open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
                              : -1;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > SETTINGS_MAX)
        return -1;
    return nt_take_fd(fd);
}

/* `KEY = "VALUE"`, with either kind of quotes, in a line that begins at AT. */
static bool read_value(const char *at, const char *key, char *ret, size_t max)
{
    size_t length = strlen(key);
    if (strncmp(at, key, length) != 0)
        return false;
    at += length;
    at += strspn(at, " \t");
    if (*at++ != '=')
        return false;
    at += strspn(at, " \t");
    const char *end = *at == '"' || *at == '\'' ? strchr(at + 1, *at) : NULL;
    if (!end || (size_t)(end - at) > max)
        return false;
    memcpy(ret, at + 1, (size_t)(end - at - 1));
    ret[end - at - 1] = '\0';
    return true;
}

/* Of TOML what this one setting needs: tables by their line, texts without escapes. */
static bool theme_of_settings(char *ret, size_t max)
{
    nt_autofree char *text = malloc(SETTINGS_MAX + 1);
    nt_autoclose int fd = text ? open_settings() : -1;
    ssize_t size = fd < 0 ? -1 : read(fd, text, SETTINGS_MAX);
    if (size < 0)
        return false;
    text[size] = '\0';
    bool is_ui = false, is_found = false;
    char *rest = text;
    for (char *line; !is_found && (line = strsep(&rest, "\n"));) {
        line += strspn(line, " \t");
        if (*line == '[')
            is_ui = strncmp(line, "[ui]", 4) == 0;
        else
            is_found = is_ui ? read_value(line, "theme", ret, max)
                             : read_value(line, "ui.theme", ret, max);
    }
    return is_found;
}

/* --- colours ------------------------------------------------------------------------------- */

static bool wants_colour(void)
{
    const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
    return isatty(2) && term && *term && strcmp(term, "dumb") != 0 && !(no_color && *no_color);
}

const struct theme *theme_of(const char *name)
{
    char set[32];
    if (!wants_colour())
        return NULL;
    if (name && *name)
        return find(name);
    return theme_of_settings(set, sizeof(set)) ? find(set) : &themes[0];
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
