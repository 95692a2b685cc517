/* SPDX-License-Identifier: Apache-2.0 */
/* state.c - the line of the version check; see state.h. */
#include "state.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/config/config.h"
#include "nanoterm/host.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"
#include "sdk/parse.h"

#define LINE 128
#define MARK "update-1"

bool update_is_version(const char *text)
{
    for (int i = 0; i < 3; i++) {
        size_t digits = strspn(text, "0123456789");
        if (digits == 0 || digits > 6 || text[digits] != (i < 2 ? '.' : '\0'))
            return false;
        text += digits + 1;
    }
    return true;
}

/* Beside the folder of the embedded server. */
int update_folder(void)
{
    char path[PATH_MAX];
    const char *data = config_path(NT_PATH_DATA);
    const char *slash = data ? strrchr(data, '/') : NULL;
    if (!slash || slash == data)
        return -1;
    memcpy(path, data, (size_t)(slash - data));
    path[slash - data] = '\0';
    (void)!mkdir(path, 0700);
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat st;
    if (folder >= 0
        && (fstat(folder, &st) < 0 || st.st_uid != geteuid()
            || (st.st_mode & (S_IWGRP | S_IWOTH)))) {
        close(folder);
        return -1;
    }
    return folder;
}

static bool read_number(char **at, int64_t *ret)
{
    struct nt_error unused = NT_ERROR_INIT;
    char *word = strsep(at, " ");
    return word && nt_parse_i64(word, 0, INT64_MAX, ret, &unused) == 0;
}

void update_read(int folder, const char *name, struct update_state *ret)
{
    char line[LINE];
    struct stat st;
    *ret = (struct update_state){ .checked_ms = 0 };
    nt_autoclose int fd =
        openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid())
        return;
    ssize_t size = read(fd, line, sizeof(line) - 1);
    if (size <= 0)
        return;
    line[size] = '\0';
    line[strcspn(line, "\n")] = '\0';
    char *at = line, *mark = strsep(&at, " ");
    struct update_state state = { .checked_ms = 0 };
    if (strcmp(mark, MARK) != 0 || !read_number(&at, &state.checked_ms)
        || !read_number(&at, &state.shown_ms))
        return;
    if (at && update_is_version(at) && strlen(at) < sizeof(state.version))
        memcpy(state.version, at, strlen(at) + 1);
    *ret = state;
}

void update_write(int folder, const char *name, const struct update_state *state)
{
    char line[LINE], temporary[64];
    int size = snprintf(line, sizeof(line), MARK " %" PRId64 " %" PRId64 " %s\n", state->checked_ms,
                        state->shown_ms, state->version[0] ? state->version : "-");
    snprintf(temporary, sizeof(temporary), ".%.40s.%d", name, (int)getpid());
    nt_autoclose int fd =
        openat(folder, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    if (write(fd, line, (size_t)size) != size || renameat(folder, temporary, folder, name) < 0)
        unlinkat(folder, temporary, 0);
}
