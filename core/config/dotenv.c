/* SPDX-License-Identifier: Apache-2.0 */
/* dotenv.c - reads six names from the .env of the current folder, and trusts it with nothing
 * else. */
#include "dotenv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sdk/cleanup.h"

#define DOTENV_MAX (64 * 1024)
#define VALUE_MAX 4096

static const char *const names[DOTENV_NAMES] = {
    "NANOTERM_API_URL",  "NANOTERM_API_KEY",   "NANOTERM_ORG_ID",
    "NULLSPACE_API_URL", "NULLSPACE_BASE_URL", "NULLSPACE_API_KEY",
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static void trim(const char **text, size_t *size)
{
    while (*size > 0 && is_space((*text)[0])) {
        (*text)++;
        (*size)--;
    }
    while (*size > 0 && is_space((*text)[*size - 1]))
        (*size)--;
}

static int index_of(const char *name, size_t size)
{
    for (int i = 0; i < DOTENV_NAMES; i++)
        if (strlen(names[i]) == size && memcmp(names[i], name, size) == 0)
            return i;
    return -1;
}

static void forget(char **value)
{
    if (*value)
        explicit_bzero(*value, strlen(*value));
    free(*value);
    *value = NULL;
}

static void parse_line(struct dotenv *dotenv, const char *line, size_t size)
{
    trim(&line, &size);
    const char *equals = memchr(line, '=', size);
    if (size == 0 || line[0] == '#' || !equals)
        return;
    const char *name = line, *value = equals + 1;
    size_t name_size = (size_t)(equals - line), value_size = size - name_size - 1;
    trim(&name, &name_size);
    trim(&value, &value_size);
    if (value_size >= 2 && (value[0] == '"' || value[0] == '\'')
        && value[value_size - 1] == value[0]) {
        value++;
        value_size -= 2;
    }
    int index = index_of(name, name_size);
    if (index < 0 || value_size > VALUE_MAX)
        return;
    for (size_t i = 0; i < value_size; i++)
        if ((unsigned char)value[i] < 0x20 || value[i] == 0x7f) /* NUL among them */
            return;
    forget(&dotenv->values[index]);
    dotenv->values[index] = strndup(value, value_size);
}

void dotenv_parse(struct dotenv *dotenv, const char *text, size_t size)
{
    while (size > 0) {
        const char *end = memchr(text, '\n', size);
        size_t line = end ? (size_t)(end - text) : size;
        parse_line(dotenv, text, line);
        text += line + (end != NULL);
        size -= line + (end != NULL);
    }
}

/* Reads all of it; false: too long, or an error. */
static bool read_all(int fd, struct nt_buf *text)
{
    for (;;) {
        char *room = nt_buf_room(text, 4096);
        ssize_t got = room ? read(fd, room, 4096) : -1;
        if (got < 0 && room && errno == EINTR)
            continue;
        if (got > 0)
            nt_buf_added(text, (size_t)got);
        if (got <= 0)
            return got == 0 && text->size <= DOTENV_MAX;
    }
}

void dotenv_read(struct dotenv *ret)
{
    *ret = (struct dotenv){ .path = "" };
    /* O_NONBLOCK: a FIFO or a device of that name must not make us wait. */
    nt_autoclose int fd = open(".env", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    const char *why = NULL;
    struct stat st;
    if (fd < 0) {
        if (errno == ELOOP)
            snprintf(ret->ignored, sizeof(ret->ignored), "./.env was not read: it is a link");
        return;
    }
    nt_auto(nt_buf_done) struct nt_buf text = NT_BUF(DOTENV_MAX + 8192);
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        why = "it is not a file";
    else if (st.st_uid != geteuid())
        why = "it belongs to another user";
    else if (st.st_mode & (S_IWGRP | S_IWOTH))
        why = "others can write it";
    else if (st.st_size > DOTENV_MAX || !nt_buf_room(&text, DOTENV_MAX + 8191)
             || !read_all(fd, &text))
        why = "it is longer than 64 KiB";
    if (why) {
        snprintf(ret->ignored, sizeof(ret->ignored), "./.env was not read: %s", why);
        return;
    }
    dotenv_parse(ret, nt_buf_text(&text), text.size);
    explicit_bzero(text.data, text.cap);
    nt_autofree char *folder = getcwd(NULL, 0);
    if (!folder
        || (size_t)snprintf(ret->path, sizeof(ret->path), "%s/.env", folder) >= sizeof(ret->path))
        snprintf(ret->path, sizeof(ret->path), "./.env");
}

void dotenv_done(struct dotenv *dotenv)
{
    for (int i = 0; i < DOTENV_NAMES; i++)
        forget(&dotenv->values[i]);
}

const char *dotenv_get(const struct dotenv *dotenv, const char *name)
{
    int index = index_of(name, strlen(name));
    const char *value = index < 0 ? NULL : dotenv->values[index];
    return value && *value ? value : NULL;
}
