/* SPDX-License-Identifier: Apache-2.0 */
/* nono_config.c - single settings out of config.toml; see nono_config.h.
 *
 * Of TOML what single settings need: tables by their line, dotted keys, tables within braces, texts
 * without escapes. A library would be opened at every start for one line of colour. */
#include "nono_config.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sdk/cleanup.h"

#define FILE_MAX 65536

static const char *skip_blank(const char *at)
{
    return at + strspn(at, " \t");
}

/* Past WORD at AT, bare or in quotes; NULL: something else stands there. */
static const char *past_word(const char *at, const char *word)
{
    size_t size = strlen(word);
    char quote = *at == '"' || *at == '\'' ? *at : '\0';
    at += quote != '\0';
    if (strncmp(at, word, size) != 0)
        return NULL;
    at += size;
    if (quote && *at++ != quote)
        return NULL;
    at = skip_blank(at);
    return strchr(".=]", *at) && *at ? at : NULL; /* else it goes on */
}

static bool take(const char *from, const char *end, char *ret, size_t max)
{
    size_t size = (size_t)(end - from);
    if (size >= max)
        return false;
    memcpy(ret, from, size);
    ret[size] = '\0';
    return true;
}

/* The value after "=". */
static bool take_value(const char *at, char *ret, size_t max)
{
    at = skip_blank(at + 1);
    if (*at == '"' || *at == '\'') {
        const char *end = strchr(at + 1, *at);
        return end && take(at + 1, end, ret, max);
    }
    size_t size = strcspn(at, " \t\r#,}");
    return size > 0 && take(at, at + size, ret, max);
}

/* Past the next comma that is in no text; NULL: there is none. */
static const char *next_pair(const char *at)
{
    for (char quote = '\0'; *at; at++) {
        if (quote)
            quote = *at == quote ? '\0' : quote;
        else if (*at == '"' || *at == '\'')
            quote = *at;
        else if (*at == ',')
            return skip_blank(at + 1);
    }
    return NULL;
}

/* `KEY = VALUE` in the table, `TABLE.KEY = VALUE` or `TABLE = { KEY = VALUE }` before all tables.
 */
static bool is_set(const char *line, bool is_inside, bool is_first, const char *table,
                   const char *key, char *ret, size_t max)
{
    const char *at = is_inside ? past_word(line, key) : NULL;
    if (at && *at == '=')
        return take_value(at, ret, max);
    at = is_first ? past_word(line, table) : NULL;
    if (!at)
        return false;
    if (*at == '.') {
        at = past_word(skip_blank(at + 1), key);
        return at && *at == '=' && take_value(at, ret, max);
    }
    at = *at == '=' ? skip_blank(at + 1) : "";
    for (at = *at == '{' ? skip_blank(at + 1) : NULL; at; at = next_pair(at)) {
        const char *end = past_word(at, key);
        if (end && *end == '=')
            return take_value(end, ret, max);
    }
    return false;
}

bool nt_nono_config_in(char *text, const char *table, const char *key, char *ret, size_t max)
{
    bool is_inside = false, is_first = true;
    for (char *line; (line = strsep(&text, "\n"));) {
        const char *at = skip_blank(line);
        if (*at == '[') {
            const char *end = past_word(skip_blank(at + 1), table);
            is_inside = end && *end == ']';
            is_first = false;
        } else if (is_set(at, is_inside, is_first, table, key, ret, max)) {
            return true;
        }
    }
    return false;
}

/* A regular file that is not too long for settings; else -1. */
static int open_file(void)
{
    char path[PATH_MAX];
    struct stat st;
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    bool is_given = config && config[0] == '/';
    int size = snprintf(path, sizeof(path), "%s%s/nono/config.toml",
                        is_given ? config : (home ? home : ""), is_given ? "" : "/.config");
    nt_autoclose int fd = size > 0 && (size_t)size < sizeof(path)
                              ? open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
                              : -1;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX)
        return -1;
    return nt_take_fd(fd);
}

bool nt_nono_config(const char *table, const char *key, char *ret, size_t max)
{
    nt_autoclose int fd = open_file();
    nt_autofree char *text = fd < 0 ? NULL : malloc(FILE_MAX + 1);
    ssize_t size = text ? read(fd, text, FILE_MAX) : -1;
    if (size < 0)
        return false;
    text[size] = '\0';
    return nt_nono_config_in(text, table, key, ret, max);
}
